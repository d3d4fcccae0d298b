//! Which shard an operation concerns: the accounts whose leaves it reads or writes, besides its sender's.
//!
//! *Invariants:* an operation that reaches out of its shard's charter fails before it reads or writes a leaf (S3);
//! operators act in the root shard alone (S70), and a validator's owner in each shard by itself.

use super::step::{Change, OwnerStep, Step};
use crate::v1::verifiers::place_of;
use rustorium_crypto::{account_id, authority_account, pool_account, verifier_id};
use rustorium_types::{AccountId, Charter, Condition, Operation, ShardId, SystemSender};

/// Tells if a shard executes transactions of a sender: one of its own accounts, an owner, or, in the root shard, a seat.
pub(crate) fn executes(charter: &Charter, sender: &AccountId) -> bool {
    match SystemSender::of(sender) {
        Some(SystemSender::Seat(_)) => charter.is_whole() || governs(charter),
        Some(SystemSender::Owner(_)) => true,
        None => charter.has(sender),
    }
}

/// Tells if an operation has a place outside the charter.
pub(crate) fn reaches_out(charter: &Charter, sender: &AccountId, step: &Step<'_>) -> bool {
    if charter.is_whole() {
        return false;
    }
    let away = |account: &AccountId| !charter.serves(account);
    match step {
        Step::Listed(operation) => first(charter, sender, operation),
        Step::Read(operation) => first(charter, sender, operation),
        Step::CreateAccount { region, authority, .. } => away(&authority_account(*region, authority)),
        Step::Authority(Change::Set { settings, .. }) => settings.recovery.as_ref().is_some_and(|r| away(&r.account)),
        Step::Authority(change) => change.other().is_some_and(|account| away(&account)),
        Step::Owner(OwnerStep::RecoverOperators(_)) => !governs(charter),
        Step::Grant { to, .. } => away(to),
        Step::Seat(_) | Step::Owner(_) => false,
    }
}

fn first(charter: &Charter, sender: &AccountId, operation: &Operation) -> bool {
    let away = |account: &AccountId| !charter.serves(account);
    match operation {
        Operation::CreateAccount { region, public_key, .. } => away(&account_id(*region, public_key)),
        Operation::Put { namespace, .. } | Operation::Delete { namespace, .. } => away(namespace),
        Operation::Require(condition) => match condition {
            Condition::ValueHash { namespace, .. } | Condition::Absent { namespace, .. } => away(namespace),
            Condition::BalanceAtLeast { account, .. } => away(account),
            Condition::Proved { verifier, .. } => away(&place_of(*verifier)),
        },
        Operation::Transfer { to, .. } | Operation::Issue { to, .. } | Operation::Grant { to, .. } => away(to),
        Operation::RegisterVerifier { key, named } => away(&place_of(verifier_id(sender, key.as_slice(), named))),
        Operation::VerifyProof { verifier, .. } => away(&place_of(*verifier)),
        Operation::Shield { pool, .. } | Operation::ShieldedTransfer { pool, .. } => away(&pool_account(*pool)),
        Operation::Unshield { pool, to, .. } => away(&pool_account(*pool)) || away(to),
        Operation::AddValidator { .. }
        | Operation::RemoveValidator { .. }
        | Operation::ReplaceKey { .. }
        | Operation::EndEpoch { .. }
        | Operation::AddProven { .. }
        | Operation::ReplaceProven { .. } => !governs(charter),
    }
}

fn governs(charter: &Charter) -> bool {
    charter.shard == ShardId::ROOT
}
