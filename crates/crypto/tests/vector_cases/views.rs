//! Transactions as the HTTP API writes them.

use rustorium_types::{Condition, InputValue, Operation, PoolTransfer, Transaction1};
use serde_json::{Value, json};

/// `name_hex` always, `name` where the bytes are text.
pub fn pair(object: &mut Value, name: &str, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        object[name] = text.into();
    }
    object[format!("{name}_hex")] = hex::encode(bytes).into();
}

/// `name` where the bytes are text without control characters, else `name_hex`.
pub fn once(object: &mut Value, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control)) {
        Some(text) => object[name] = text.into(),
        None => object[format!("{name}_hex")] = hex::encode(bytes).into(),
    }
}

fn possessed(mut object: Value, possession: &rustorium_types::Possession) -> Value {
    let (validator, node) = (hex::encode(possession.validator), hex::encode(possession.node));
    object["possession"] = json!({ "validator": validator, "node": node });
    object
}

fn condition(condition: &Condition) -> Value {
    match condition {
        Condition::ValueHash { namespace, key, hash } => {
            let mut object = json!({ "type": "value_hash", "namespace": namespace, "hash": hash });
            pair(&mut object, "key", key.as_slice());
            object
        }
        Condition::Absent { namespace, key } => {
            let mut object = json!({ "type": "absent", "namespace": namespace });
            pair(&mut object, "key", key.as_slice());
            object
        }
        Condition::BalanceAtLeast { account, asset, amount } => {
            json!({ "type": "balance_at_least", "account": account, "asset": asset, "amount": amount.to_string() })
        }
        Condition::Proved { verifier, input, equals } => match equals {
            InputValue::Number(number) => {
                json!({ "type": "proved", "verifier": verifier, "input": input, "value": hex::encode(number) })
            }
            InputValue::ThisTransaction => json!({ "type": "proved", "verifier": verifier, "input": input }),
        },
    }
}

pub fn operation(operation: &Operation) -> Value {
    match operation {
        Operation::CreateAccount { region, public_key, storage_bytes } => json!({
            "type": "create_account", "region": region, "public_key": hex::encode(public_key),
            "storage_bytes": storage_bytes,
        }),
        Operation::Put { namespace, key, value } => {
            let mut object = json!({ "type": "put", "namespace": namespace });
            pair(&mut object, "key", key.as_slice());
            once(&mut object, "value", value.as_slice());
            object
        }
        Operation::Delete { namespace, key } => {
            let mut object = json!({ "type": "delete", "namespace": namespace });
            pair(&mut object, "key", key.as_slice());
            object
        }
        Operation::Require(inner) => json!({ "type": "require", "condition": condition(inner) }),
        Operation::Transfer { to, asset, amount } => {
            json!({ "type": "transfer", "to": to, "asset": asset, "amount": amount.to_string() })
        }
        Operation::Issue { symbol, to, amount } => {
            let mut object = json!({ "type": "issue", "to": to, "amount": amount.to_string() });
            pair(&mut object, "symbol", symbol.as_slice());
            object
        }
        Operation::Grant { to, prefixes } => {
            let prefixes: Vec<String> = prefixes.iter().map(|prefix| hex::encode(prefix.as_slice())).collect();
            json!({ "type": "grant", "to": to, "prefixes_hex": prefixes })
        }
        Operation::AddProven { validator, possession } => {
            let plain = Operation::AddValidator { validator: validator.clone() };
            possessed(self::operation(&plain), possession)
        }
        Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
            let (validator_key, new_validator_key) = (*validator_key, *new_validator_key);
            let plain = Operation::ReplaceKey { validator_key, new_validator_key, new_node_key: *new_node_key };
            possessed(self::operation(&plain), possession)
        }
        Operation::AddValidator { validator } => {
            let mut object = json!({
                "type": "add_validator", "validator_key": hex::encode(validator.validator_key),
                "node_key": hex::encode(validator.node_key), "owner_key": hex::encode(validator.owner_key),
                "region": validator.region,
            });
            pair(&mut object, "name", validator.name.as_slice());
            pair(&mut object, "address", validator.address.as_slice());
            object
        }
        Operation::RemoveValidator { validator_key } => {
            json!({ "type": "remove_validator", "validator_key": hex::encode(validator_key) })
        }
        Operation::ReplaceKey { validator_key, new_validator_key, new_node_key } => json!({
            "type": "replace_key", "validator_key": hex::encode(validator_key),
            "new_validator_key": hex::encode(new_validator_key), "new_node_key": hex::encode(new_node_key),
        }),
        Operation::EndEpoch { epoch } => json!({ "type": "end_epoch", "epoch": epoch }),
        Operation::RegisterVerifier { key, named } => {
            let named: Vec<Value> =
                named.iter().map(|input| json!({ "index": input.index, "once": input.once })).collect();
            json!({ "type": "register_verifier", "key_hex": hex::encode(key.as_slice()), "named": named })
        }
        Operation::VerifyProof { verifier, inputs, proof } => {
            let inputs: Vec<String> = inputs.iter().map(hex::encode).collect();
            let proof = hex::encode(proof.as_slice());
            json!({ "type": "verify_proof", "verifier": verifier, "inputs": inputs, "proof_hex": proof })
        }
        Operation::Shield { pool, asset, amount, transfer } => json!({
            "type": "shield", "pool": pool, "asset": asset, "amount": amount.to_string(), "transfer": parts(transfer),
        }),
        Operation::ShieldedTransfer { pool, transfer } => {
            json!({ "type": "shielded_transfer", "pool": pool, "transfer": parts(transfer) })
        }
        Operation::Unshield { pool, asset, amount, to, transfer } => json!({
            "type": "unshield", "pool": pool, "asset": asset, "amount": amount.to_string(), "to": to,
            "transfer": parts(transfer),
        }),
    }
}

fn parts(transfer: &PoolTransfer) -> Value {
    json!({
        "root": hex::encode(transfer.root), "nullifiers": transfer.nullifiers.map(hex::encode),
        "commitments": transfer.commitments.map(hex::encode), "sealed_hex": hex::encode(transfer.sealed),
        "proof_hex": hex::encode(transfer.proof),
    })
}

pub fn transaction(transaction: &Transaction1) -> Value {
    let body = &transaction.body;
    let location = body.location.map(|at| json!({ "latitude_e7": at.latitude_e7, "longitude_e7": at.longitude_e7 }));
    json!({
        "version": body.version,
        "chain": body.chain,
        "sender": body.sender,
        "public_key": hex::encode(body.public_key),
        "nonce": body.nonce,
        "expires_at_ms": body.expires_at_ms,
        "work_limit": body.work_limit,
        "shard_hint": body.shard_hint,
        "location": location,
        "operations": body.data.iter().map(operation).collect::<Vec<_>>(),
        "signature": hex::encode(transaction.signature),
    })
}
