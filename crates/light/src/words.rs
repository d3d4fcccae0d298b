//! What a checked proof shows, as JSON in the API's words.

use rustorium_execution::{AccountRecord, Shown, decode_amount, header_of};
use rustorium_types::{
    BoundedBytes, ChainId, DecodeError, Header, LeafValue, Operation, Outcome, Proof, Receipt, StateClaim, Subject,
    Transaction, encode,
};
use serde_json::{Value, json};

/// What `proof` shows, of which `shown` was found by checking it.
pub(crate) fn shown(chain: ChainId, proof: &Proof, shown: &Shown) -> Result<Value, DecodeError> {
    let claiming = header_of(proof);
    let (name, facts) = match proof {
        Proof::Read(read) => {
            let items = read.entries.iter().map(|(subject, value)| held(subject, value));
            ("items", Value::Array(items.collect::<Result<_, _>>()?))
        }
        Proof::Receipt(proof) => ("receipt", receipt(&proof.receipt)),
        Proof::Transaction(proof) => {
            let facts =
                json!({ "receipt": receipt(&proof.receipt.receipt), "transaction": transaction(&proof.transaction) });
            ("executed", facts)
        }
        Proof::Block(proof) => ("header", header(&proof.header)),
    };
    let (height, state_root) = match shown.read {
        Some(read) => (Some(read.height), Some(read.root)),
        None => (None, None),
    };
    Ok(json!({
        "kind": proof.kind(),
        "chain": chain,
        "shard": claiming.shard,
        "epoch": claiming.epoch,
        "claimed_by": { "height": claiming.height, "digest": shown.digest, "time_ms": claiming.time_ms },
        "height": height,
        "state_root": state_root,
        name: facts,
    }))
}

fn held(subject: &Subject, value: &LeafValue) -> Result<Value, DecodeError> {
    let bytes = value.as_ref().map(BoundedBytes::as_slice);
    Ok(match subject {
        Subject::Account(account) => {
            let record = bytes.map(AccountRecord::from_bytes).transpose()?;
            let record = record.map(|record| {
                json!({
                    "nonce": record.nonce,
                    "public_key": hex::encode(record.public_key),
                    "region": account.region(),
                    "quota_left": record.quota_left,
                    "storage_bytes_left": record.storage_bytes_left,
                })
            });
            json!({ "type": "account", "account": account, "record": record })
        }
        Subject::Balance(account, asset) => {
            let balance = bytes.map_or(Ok(0), decode_amount)?.to_string();
            json!({ "type": "balance", "account": account, "asset": asset, "balance": balance })
        }
        Subject::Value(account, key) => json!({
            "type": "value",
            "account": account,
            "key_hex": hex::encode(key.as_slice()),
            "value_hex": bytes.map(hex::encode),
        }),
    })
}

fn receipt(receipt: &Receipt) -> Value {
    let (outcome, operation) = match receipt.outcome {
        Outcome::Ok => ("ok", None),
        Outcome::Failed { operation, .. } => ("failed", Some(operation)),
    };
    json!({
        "id": receipt.transaction,
        "sender": receipt.sender,
        "nonce": receipt.nonce,
        "height": receipt.height,
        "index": receipt.index,
        "time_ms": receipt.time_ms,
        "work": receipt.work,
        "outcome": outcome,
        "failed_operation": operation,
    })
}

fn transaction(transaction: &Transaction) -> Value {
    let body = &transaction.body;
    json!({
        "sender": body.sender,
        "public_key": hex::encode(body.public_key),
        "nonce": body.nonce,
        "expires_at_ms": body.expires_at_ms,
        "work_limit": body.work_limit,
        "operations": body.data.iter().map(operation).collect::<Vec<_>>(),
        "signature": hex::encode(transaction.signature),
    })
}

/// An operation; of the rare kinds the name and the canonical bytes.
fn operation(operation: &Operation) -> Value {
    let bytes = |name: &str| json!({ "type": name, "bytes_hex": hex::encode(encode(operation)) });
    match operation {
        Operation::CreateAccount { region, public_key, storage_bytes } => json!({
            "type": "create_account",
            "region": region,
            "public_key": hex::encode(public_key),
            "storage_bytes": storage_bytes,
        }),
        Operation::Put { namespace, key, value } => json!({
            "type": "put",
            "namespace": namespace,
            "key_hex": hex::encode(key.as_slice()),
            "value_hex": hex::encode(value.as_slice()),
        }),
        Operation::Delete { namespace, key } => {
            json!({ "type": "delete", "namespace": namespace, "key_hex": hex::encode(key.as_slice()) })
        }
        Operation::Transfer { to, asset, amount } => {
            json!({ "type": "transfer", "to": to, "asset": asset, "amount": amount.to_string() })
        }
        Operation::Issue { symbol, to, amount } => json!({
            "type": "issue",
            "symbol_hex": hex::encode(symbol.as_slice()),
            "to": to,
            "amount": amount.to_string(),
        }),
        Operation::Grant { to, prefixes } => {
            let prefixes: Vec<String> = prefixes.iter().map(|prefix| hex::encode(prefix.as_slice())).collect();
            json!({ "type": "grant", "to": to, "prefixes_hex": prefixes })
        }
        Operation::Require(_) => bytes("require"),
        Operation::AddValidator { .. } | Operation::AddProven { .. } => bytes("add_validator"),
        Operation::RemoveValidator { .. } => bytes("remove_validator"),
        Operation::ReplaceKey { .. } | Operation::ReplaceProven { .. } => bytes("replace_key"),
        Operation::EndEpoch { .. } => bytes("end_epoch"),
        Operation::RegisterVerifier { .. } => bytes("register_verifier"),
        Operation::VerifyProof { .. } => bytes("verify_proof"),
        Operation::Shield { .. } => bytes("shield"),
        Operation::ShieldedTransfer { .. } => bytes("shielded_transfer"),
        Operation::Unshield { .. } => bytes("unshield"),
    }
}

fn header(header: &Header) -> Value {
    let state = match header.state {
        StateClaim::NoneYet => None,
        StateClaim::Rooted { height, root, .. } => Some(json!({ "height": height, "root": root })),
    };
    json!({
        "height": header.height,
        "epoch": header.epoch,
        "view": header.view,
        "parent": header.parent,
        "proposer": header.proposer,
        "time_ms": header.time_ms,
        "transactions": header.transactions,
        "validator_set": header.validator_set,
        "ends_epoch": header.ends_epoch(),
        "result": { "height": header.result.height, "root": header.result.root },
        "state": state,
    })
}
