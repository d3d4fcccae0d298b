//! Authorities, operations and transactions of version 2 as JSON.

use super::views::{once, operation as first, pair};
use rustorium_crypto::change_hash;
use rustorium_types::*;
use serde_json::{Value, json};

pub fn authority(authority: &Authority) -> Value {
    let key = |SignerKey::Ed25519(key): &SignerKey| json!({ "ed25519": hex::encode(key) });
    json!({ "threshold": authority.threshold(), "keys": authority.keys().iter().map(key).collect::<Vec<_>>() })
}

fn settings(settings: &AuthoritySettings) -> Value {
    let recovery = |recovery: Recovery| {
        let Recovery { account, delay_ms, is_final } = recovery;
        json!({ "account": account, "delay_ms": delay_ms, "final": is_final })
    };
    json!({
        "authority": authority(&settings.authority), "delay_ms": settings.delay_ms,
        "recovery": settings.recovery.map(recovery),
    })
}

/// The operation of version 1 whose fields are these, too.
fn as_first(operation: &Operation2) -> Option<Operation> {
    Some(match operation.clone() {
        Operation2::Require(condition) => Operation::Require(condition),
        Operation2::Transfer { to, asset, amount } => Operation::Transfer { to, asset, amount },
        Operation2::Issue { symbol, to, amount } => Operation::Issue { symbol, to, amount },
        Operation2::AddValidator { validator, possession } => Operation::AddProven { validator, possession },
        Operation2::RemoveValidator { validator_key } => Operation::RemoveValidator { validator_key },
        Operation2::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession }
        }
        Operation2::EndEpoch { epoch } => Operation::EndEpoch { epoch },
        Operation2::RegisterVerifier { key, named } => Operation::RegisterVerifier { key, named },
        Operation2::VerifyProof { verifier, inputs, proof } => Operation::VerifyProof { verifier, inputs, proof },
        Operation2::Shield { pool, asset, amount, transfer } => Operation::Shield { pool, asset, amount, transfer },
        Operation2::ShieldedTransfer { pool, transfer } => Operation::ShieldedTransfer { pool, transfer },
        Operation2::Unshield { pool, asset, amount, to, transfer } => {
            Operation::Unshield { pool, asset, amount, to, transfer }
        }
        _ => return None,
    })
}

fn operation(operation: &Operation2) -> Value {
    if let Some(operation) = as_first(operation) {
        return first(&operation);
    }
    match operation {
        Operation2::CreateAccount { region, authority: keys, storage_bytes } => json!({
            "type": "create_account", "region": region, "authority": authority(keys), "storage_bytes": storage_bytes,
        }),
        Operation2::Put { namespace, key, value } => {
            let mut object = json!({ "type": "put", "namespace": namespace });
            pair(&mut object, "key", key.as_slice());
            once(&mut object, "value", value.as_slice());
            object
        }
        Operation2::Delete { namespace, key } => {
            let mut object = json!({ "type": "delete", "namespace": namespace });
            pair(&mut object, "key", key.as_slice());
            object
        }
        Operation2::Grant { to, rights, prefixes, until_ms } => {
            let kinds = [("put", rights.put), ("delete", rights.delete)];
            let rights: Vec<&str> = kinds.iter().filter(|(_, granted)| *granted).map(|(kind, _)| *kind).collect();
            let prefixes: Vec<String> = prefixes.iter().map(|prefix| hex::encode(prefix.as_slice())).collect();
            json!({ "type": "grant", "to": to, "rights": rights, "prefixes_hex": prefixes, "until_ms": until_ms })
        }
        Operation2::SetAuthority { settings: new, void_grants } => {
            json!({ "type": "set_authority", "settings": settings(new), "void_grants": void_grants })
        }
        Operation2::CancelAuthority => json!({ "type": "cancel_authority" }),
        Operation2::ApproveAuthority { account, change } => {
            json!({ "type": "approve_authority", "account": account, "change": change })
        }
        Operation2::Recover { account, authority: keys } => {
            json!({ "type": "recover", "account": account, "authority": authority(keys) })
        }
        Operation2::WithdrawRecovery { account } => json!({ "type": "withdraw_recovery", "account": account }),
        Operation2::Propose { change, until_ms } => {
            json!({ "type": "propose", "change": proposed(change), "until_ms": until_ms, "change_hash": change_hash(change) })
        }
        Operation2::Approve { number, change } => json!({ "type": "approve", "number": number, "change": change }),
        Operation2::Withdraw { number } => json!({ "type": "withdraw", "number": number }),
        Operation2::SetOwner { validator_key, new_owner_key, possession } => {
            new_owner(validator_key, new_owner_key, possession)
        }
        Operation2::RecoverOperators { base, operators, quorum } => {
            let operators: Vec<String> = operators.iter().map(hex::encode).collect();
            json!({ "type": "recover_operators", "base": base, "operators": operators, "quorum": quorum })
        }
        other => panic!("{other:?} is an operation of version 1, too"),
    }
}

fn new_owner(validator_key: &PublicKey, new_owner_key: &PublicKey, possession: &Signature) -> Value {
    json!({
        "type": "set_owner", "validator_key": hex::encode(validator_key), "new_owner_key": hex::encode(new_owner_key),
        "possession": hex::encode(possession),
    })
}

fn scope(scope: PauseScope) -> Option<AccountId> {
    match scope {
        PauseScope::All => None,
        PauseScope::Account(account) => Some(account),
    }
}

/// A change that seats decide. Its hash covers its bytes.
fn proposed(change: &GovernanceChange) -> Value {
    match change.clone() {
        GovernanceChange::AddValidator { validator, possession } => {
            first(&Operation::AddProven { validator, possession })
        }
        GovernanceChange::RemoveValidator { validator_key } => first(&Operation::RemoveValidator { validator_key }),
        GovernanceChange::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
            first(&Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession })
        }
        GovernanceChange::EndEpoch { epoch } => first(&Operation::EndEpoch { epoch }),
        GovernanceChange::SetParameters { base, parameters } => {
            json!({ "type": "set_parameters", "base": base, "parameters": parameters })
        }
        GovernanceChange::SetOperators { base, operators, quorum } => {
            let operators: Vec<String> = operators.iter().map(hex::encode).collect();
            json!({ "type": "set_operators", "base": base, "operators": operators, "quorum": quorum })
        }
        GovernanceChange::Pause { scope: of, until_ms } => {
            json!({ "type": "pause", "account": scope(of), "until_ms": until_ms })
        }
        GovernanceChange::Resume { scope: of } => json!({ "type": "resume", "account": scope(of) }),
        GovernanceChange::SetOwner { validator_key, new_owner_key, possession } => {
            new_owner(&validator_key, &new_owner_key, &possession)
        }
        GovernanceChange::SetSponsor { account, work_ppm, history_ppm, until_ms } => json!({
            "type": "set_sponsor", "account": account, "work_ppm": work_ppm, "history_ppm": history_ppm,
            "until_ms": until_ms,
        }),
        GovernanceChange::AssignSponsor { account, sponsor } => {
            json!({ "type": "assign_sponsor", "account": account, "sponsor": sponsor })
        }
        GovernanceChange::Upgrade { version, not_before_ms } => {
            json!({ "type": "upgrade", "version": version, "not_before_ms": not_before_ms })
        }
    }
}

pub fn transaction(transaction: &Transaction2) -> Value {
    let body = transaction.body();
    let location = body.location.map(|at| json!({ "latitude_e7": at.latitude_e7, "longitude_e7": at.longitude_e7 }));
    let signature = |(key, Signature2::Ed25519(signature)): &(u8, Signature2)| json!({ "key": key, "ed25519": hex::encode(signature) });
    json!({
        "version": 2,
        "sender": body.sender,
        "authority": authority(&body.authority),
        "nonce": body.nonce,
        "expires_at_ms": body.expires_at_ms,
        "work_limit": body.work_limit,
        "shard_hint": body.shard_hint,
        "location": location,
        "operations": body.data.iter().map(operation).collect::<Vec<_>>(),
        "signatures": transaction.signatures().iter().map(signature).collect::<Vec<_>>(),
    })
}
