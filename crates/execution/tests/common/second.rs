//! Transactions in the form of version 2 that say what some of version 1 say.

use super::*;

/// Returns the operation in the form of version 2, as this account sends it.
fn second_operation(sender: &AccountId, operation: &Operation) -> Operation2 {
    let space = |namespace: &AccountId| Some(*namespace).filter(|namespace| namespace != sender);
    let second = match operation.clone() {
        Operation::CreateAccount { region, public_key, storage_bytes } => {
            let authority = Authority::of_key(public_key).unwrap();
            Operation2::CreateAccount { region, authority, storage_bytes }
        }
        Operation::Put { namespace, key, value } => Operation2::Put { namespace: space(&namespace), key, value },
        Operation::Delete { namespace, key } => Operation2::Delete { namespace: space(&namespace), key },
        Operation::Grant { to, prefixes } => Operation2::Grant { to, rights: Rights::ALL, prefixes, until_ms: None },
        // All others are written alike.
        other => decode(&encode(&other), limits::TRANSACTION_BYTES_MAX).unwrap(),
    };
    assert_eq!(second.as_first(sender), Some(operation.clone()));
    second
}

/// Returns the transaction in the form of version 2, by this authority. Its signatures hold for nobody.
pub fn by_authority(authority: Authority, transaction: &Transaction1) -> Transaction {
    let body = &transaction.body;
    let data = body.data.iter().map(|operation| second_operation(&body.sender, operation)).collect();
    with_operations(authority, transaction, data)
}

/// Does the same with other operations.
pub fn with_operations(authority: Authority, transaction: &Transaction1, data: Vec<Operation2>) -> Transaction {
    let body = &transaction.body;
    let signatures = (0..authority.threshold()).map(|place| (place, Signature2::Ed25519([0; 64]))).collect();
    let body = TransactionBody2 {
        authority,
        sender: body.sender,
        nonce: body.nonce,
        expires_at_ms: body.expires_at_ms,
        work_limit: body.work_limit,
        shard_hint: body.shard_hint,
        location: body.location,
        data: BoundedVec::new(data).unwrap(),
    };
    Transaction2::new(body, signatures).unwrap().into()
}

/// Returns the transaction in the form of version 2, by the same key.
pub fn in_second_form(transaction: &Transaction1) -> Transaction {
    by_authority(Authority::of_key(transaction.body.public_key).unwrap(), transaction)
}

/// Returns an authority of some accounts' keys.
pub fn authority_of(threshold: u8, numbers: &[usize]) -> Authority {
    let keys = numbers.iter().map(|number| SignerKey::Ed25519(signer(*number).public()));
    Authority::of_keys(threshold, keys.collect()).unwrap()
}
