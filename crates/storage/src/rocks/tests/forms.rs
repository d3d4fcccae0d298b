//! Transactions of the tests in the form of version 2.

use super::*;

/// Signs a transaction in the form of version 2, by an authority of two keys.
pub(super) fn in_second_form(body: TransactionBody) -> Verified<Transaction> {
    let chain = ChainId([5; 32]);
    let mut keys = [signer(), SigningKey::from_seed(&[78; 32])];
    keys.sort_unstable_by_key(SigningKey::public);
    let public = keys.iter().map(|key| SignerKey::Ed25519(key.public())).collect();
    let second = |operation: &Operation| match operation.clone() {
        Operation::Put { key, value, .. } => Operation2::Put { namespace: None, key, value },
        Operation::Grant { to, prefixes } => Operation2::Grant { to, rights: Rights::ALL, prefixes, until_ms: None },
        Operation::CreateAccount { .. } => Operation2::CancelAuthority,
        // Both are written alike.
        other => decode(&encode(&other), limits::TRANSACTION_BYTES_MAX).unwrap(),
    };
    let body = TransactionBody2 {
        authority: Authority::new(2, public).unwrap(),
        sender: body.sender,
        nonce: body.nonce,
        expires_at_ms: body.expires_at_ms,
        work_limit: body.work_limit,
        shard_hint: body.shard_hint,
        location: body.location,
        data: BoundedVec::new(body.data.iter().map(second).collect()).unwrap(),
    };
    let signatures = (0u8..).zip(&keys).map(|(place, key)| (place, key.sign_body2(&chain, &body))).collect();
    let made = Transaction2::new(body, signatures).unwrap();
    crypto::verify_transactions(&chain, vec![made.into()]).remove(0).unwrap().1
}
