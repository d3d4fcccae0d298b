//! Authorities and transactions of version 2.

use super::{account, bounded, bytes, hash, id, operation, signature};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use rustorium_types::*;

/// Authorities of up to eight keys, none of which is of small order.
pub fn authority() -> impl Strategy<Value = Authority> {
    let keys = btree_set(any::<[u8; 32]>().prop_filter("small order", |key| !is_small_order(key)), 1..=8);
    (keys, any::<Index>()).prop_map(|(keys, threshold)| {
        let threshold = threshold.index(keys.len()) as u8 + 1;
        Authority::new(threshold, keys.into_iter().map(SignerKey::Ed25519).collect()).unwrap()
    })
}

fn settings() -> impl Strategy<Value = AuthoritySettings> {
    let recovery = (account(), any::<u64>(), any::<bool>());
    let recovery = recovery.prop_map(|(account, delay_ms, is_final)| Recovery { account, delay_ms, is_final });
    (authority(), any::<u64>(), option::of(recovery)).prop_map(|(authority, delay_ms, recovery)| AuthoritySettings {
        authority,
        delay_ms,
        recovery,
    })
}

fn new_operation() -> impl Strategy<Value = Operation2> {
    let grant = (account(), any::<(bool, bool)>(), bounded(bytes(5), 3), any::<Option<u64>>());
    prop_oneof![
        (any::<u8>(), authority(), any::<u64>()).prop_map(|(region, authority, storage_bytes)| {
            Operation2::CreateAccount { region, authority, storage_bytes }
        }),
        (option::of(account()), bytes(9), bytes(40)).prop_map(|(namespace, key, value)| Operation2::Put {
            namespace,
            key,
            value
        }),
        (option::of(account()), bytes(9)).prop_map(|(namespace, key)| Operation2::Delete { namespace, key }),
        grant.prop_map(|(to, (put, delete), prefixes, until_ms)| {
            Operation2::Grant { to, rights: Rights { put, delete }, prefixes, until_ms }
        }),
        (settings(), any::<bool>())
            .prop_map(|(settings, void_grants)| Operation2::SetAuthority { settings, void_grants }),
        Just(Operation2::CancelAuthority),
        (account(), hash()).prop_map(|(account, change)| Operation2::ApproveAuthority { account, change }),
        (account(), authority()).prop_map(|(account, authority)| Operation2::Recover { account, authority }),
        account().prop_map(|account| Operation2::WithdrawRecovery { account }),
        (change(), any::<u64>())
            .prop_map(|(change, until_ms)| Operation2::Propose { change: Box::new(change), until_ms }),
        (any::<u64>(), id()).prop_map(|(number, change)| Operation2::Approve { number, change: Hash(change) }),
        any::<u64>().prop_map(|number| Operation2::Withdraw { number }),
        (id(), id(), signature()).prop_map(|(validator_key, new_owner_key, possession)| Operation2::SetOwner {
            validator_key,
            new_owner_key,
            possession
        }),
        (id(), bounded(id(), 4), any::<u8>()).prop_map(|(base, operators, quorum)| Operation2::RecoverOperators {
            base: Hash(base),
            operators,
            quorum
        }),
    ]
}

/// Changes of the committee, as operations of version 1 have them.
fn committee_change() -> impl Strategy<Value = GovernanceChange> {
    operation().prop_filter_map("no change of the committee", |operation| {
        Some(match operation {
            Operation::AddProven { validator, possession } => GovernanceChange::AddValidator { validator, possession },
            Operation::RemoveValidator { validator_key } => GovernanceChange::RemoveValidator { validator_key },
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
                GovernanceChange::ReplaceKey { validator_key, new_validator_key, new_node_key, possession }
            }
            Operation::EndEpoch { epoch } => GovernanceChange::EndEpoch { epoch },
            _ => return None,
        })
    })
}

/// Changes that seats decide.
pub fn change() -> impl Strategy<Value = GovernanceChange> {
    let scope = || option::of(account()).prop_map(|account| account.map_or(PauseScope::All, PauseScope::Account));
    let parameters = (any::<(u64, u64, u8)>(), bounded(id(), 4), bounded(id(), 3));
    let parameters = parameters.prop_map(|((epoch_ms, quota_work_max, operator_quorum), operators, not_leading)| {
        Parameters { epoch_ms, quota_work_max, operator_quorum, operators, not_leading, ..Parameters::of(Rules::V2) }
    });
    prop_oneof![
        committee_change(),
        (id(), parameters)
            .prop_map(|(base, parameters)| GovernanceChange::SetParameters { base: Hash(base), parameters }),
        (id(), bounded(id(), 4), any::<u8>()).prop_map(|(base, operators, quorum)| GovernanceChange::SetOperators {
            base: Hash(base),
            operators,
            quorum
        }),
        (scope(), any::<u64>()).prop_map(|(scope, until_ms)| GovernanceChange::Pause { scope, until_ms }),
        scope().prop_map(|scope| GovernanceChange::Resume { scope }),
        (id(), id(), signature()).prop_map(|(validator_key, new_owner_key, possession)| GovernanceChange::SetOwner {
            validator_key,
            new_owner_key,
            possession
        }),
        (account(), any::<(u32, u32, Option<u64>)>()).prop_map(|(account, (work_ppm, history_ppm, until_ms))| {
            GovernanceChange::SetSponsor { account, work_ppm, history_ppm, until_ms }
        }),
        (account(), any::<u32>()).prop_map(|(account, sponsor)| GovernanceChange::AssignSponsor { account, sponsor }),
        any::<(u16, u64)>().prop_map(|(version, not_before_ms)| GovernanceChange::Upgrade { version, not_before_ms }),
    ]
}

/// Operations that version 1 has with the same fields, too.
fn old_operation() -> impl Strategy<Value = Operation2> {
    operation().prop_filter_map("an operation of version 1 alone", |operation| {
        Some(match operation {
            Operation::Require(condition) => Operation2::Require(condition),
            Operation::Transfer { to, asset, amount } => Operation2::Transfer { to, asset, amount },
            Operation::Issue { symbol, to, amount } => Operation2::Issue { symbol, to, amount },
            Operation::AddProven { validator, possession } => Operation2::AddValidator { validator, possession },
            Operation::RemoveValidator { validator_key } => Operation2::RemoveValidator { validator_key },
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
                Operation2::ReplaceKey { validator_key, new_validator_key, new_node_key, possession }
            }
            Operation::EndEpoch { epoch } => Operation2::EndEpoch { epoch },
            Operation::RegisterVerifier { key, named } => Operation2::RegisterVerifier { key, named },
            Operation::VerifyProof { verifier, inputs, proof } => Operation2::VerifyProof { verifier, inputs, proof },
            Operation::Shield { pool, asset, amount, transfer } => Operation2::Shield { pool, asset, amount, transfer },
            Operation::ShieldedTransfer { pool, transfer } => Operation2::ShieldedTransfer { pool, transfer },
            Operation::Unshield { pool, asset, amount, to, transfer } => {
                Operation2::Unshield { pool, asset, amount, to, transfer }
            }
            _ => return None,
        })
    })
}

pub fn operation2() -> impl Strategy<Value = Operation2> {
    prop_oneof![new_operation().boxed(), old_operation().boxed()]
}

/// Transactions whose signatures are in the right form, and hold for nobody.
pub fn transaction2() -> impl Strategy<Value = Transaction2> {
    let location = any::<(i32, i32)>();
    let location = location.prop_map(|(latitude_e7, longitude_e7)| GeoLocation { latitude_e7, longitude_e7 });
    let numbers = any::<(u64, u64, u64, Option<u32>)>();
    let body = (authority(), account(), numbers, option::of(location), bounded(operation2(), 4));
    let body = body.prop_map(|(authority, sender, (nonce, expires_at_ms, work_limit, shard_hint), location, data)| {
        let shard_hint = shard_hint.map(ShardId);
        TransactionBody2 { authority, sender, nonce, expires_at_ms, work_limit, shard_hint, location, data }
    });
    (body, vec(signature(), 8), any::<[u8; 8]>()).prop_map(|(body, signatures, order)| {
        let mut places: Vec<u8> = (0..body.authority.keys().len() as u8).collect();
        places.sort_by_key(|place| order[usize::from(*place)]);
        places.truncate(body.authority.threshold().into());
        places.sort_unstable();
        let signatures = places.into_iter().zip(signatures.into_iter().map(Signature2::Ed25519));
        Transaction2::new(body, signatures.collect()).unwrap()
    })
}

/// Transactions in both forms.
pub fn any_transaction() -> impl Strategy<Value = Transaction> {
    let first = super::transaction().prop_map(Transaction::V1);
    prop_oneof![first.boxed(), transaction2().prop_map(Transaction::V2).boxed()]
}
