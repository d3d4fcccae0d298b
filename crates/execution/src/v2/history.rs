//! The bytes of history that a transaction causes at every node, for as long as its block is kept (V57).
//!
//! *Invariants:* they follow from the transaction's bytes alone, whatever it finds and whether it succeeds; sums saturate.

use super::custody::CUSTODY_BYTES_MAX;
use super::grant::GRANT_BYTES_MAX;
use super::record::RECORD2_BYTES;
use super::step::Step;
use super::work::GOVERNANCE_BYTES;
use crate::v1::record::FRONTIER_BYTES_MAX;
use crate::v1::work::{POOL_LEAVES, RETIRED_LEAVES};
use rustorium_types::limits::{NAMED_INPUTS_MAX, OPERATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{AccountId, Operation};
use rustorium_zk::shielded::scan::RECORD_BYTES as POOL_RECORD_BYTES;

/// Bytes of a transaction's receipt and of the rows by which it is found.
pub const RECEIPT: u64 = 120;
/// Bytes of an account's record that is written: its value, its part of the state tree, and the row that can undo it.
pub const RECORD: u64 = 200;
/// Bytes of another leaf that is written, without its name and its value.
pub const LEAF: u64 = 110;

/// Bytes of an id, as the name of a leaf.
const ID: u64 = 32;
/// Bytes of a balance.
const AMOUNT: u64 = size_of::<u128>() as u64;
/// Bytes of a statement's record.
const STATEMENT: u64 = 40;
/// Bytes of a verifier's record without its key.
const VERIFIER: u64 = 32 + 4 + 2 * NAMED_INPUTS_MAX as u64 + 4;
/// Bytes of the approvals of a change: the epoch and the operators' keys.
const APPROVALS: u64 = 8 + 4 + 32 * OPERATORS_MAX as u64;

/// Returns the history of a transaction of so many encoded bytes.
pub(crate) fn history<'a>(sender: &AccountId, encoded: u64, steps: impl IntoIterator<Item = &'a Step<'a>>) -> u64 {
    let of_all = steps.into_iter().map(|step| step_history(sender, step));
    of_all.fold(encoded.saturating_add(RECEIPT + RECORD), u64::saturating_add)
}

/// Returns the history of an operation in either form, without its own bytes.
pub(crate) fn step_history(sender: &AccountId, step: &Step<'_>) -> u64 {
    match step {
        Step::Listed(operation) => operation_history(sender, operation),
        Step::Read(operation) => operation_history(sender, operation),
        Step::CreateAccount { .. } => leaf(RECORD2_BYTES as u64),
        // At no time has it more bytes.
        Step::Grant { grant, .. } => leaf(ID + grant.to_bytes(0).map_or(0, |bytes| bytes.len() as u64)),
        // The custody leaf, and the record of another account, or that of the sender when the change counts.
        Step::Authority(_) => leaf(CUSTODY_BYTES_MAX as u64) + RECORD,
        // The records of seats and committee, and a proposal. Seats have room of their own (V36).
        Step::Seat(_) => leaf(VALUE_BYTES_MAX as u64) + 2 * leaf(GOVERNANCE_BYTES),
        // The committee's record. Owners have room of their own, too.
        Step::Owner(_) => leaf(VALUE_BYTES_MAX as u64) + RETIRED_LEAVES * leaf(ID + 8),
    }
}

fn operation_history(sender: &AccountId, operation: &Operation) -> u64 {
    match operation {
        Operation::CreateAccount { .. } => leaf(RECORD2_BYTES as u64),
        Operation::Put { namespace, key, value } => {
            leaf((key.as_slice().len() + value.as_slice().len()) as u64) + foreign(sender, namespace)
        }
        Operation::Delete { namespace, key } => leaf(key.as_slice().len() as u64) + foreign(sender, namespace),
        Operation::Require(_) => 0,
        Operation::Transfer { .. } => 2 * leaf(ID + AMOUNT),
        Operation::Issue { .. } => leaf(ID + AMOUNT),
        Operation::Grant { prefixes, .. } => {
            let bytes: usize = prefixes.iter().map(|prefix| 4 + prefix.as_slice().len()).sum();
            leaf(ID + 4 + bytes.min(GRANT_BYTES_MAX) as u64)
        }
        Operation::RegisterVerifier { key, .. } => leaf(VERIFIER + key.as_slice().len() as u64),
        // The statement, and at most each named input.
        Operation::VerifyProof { .. } => (NAMED_INPUTS_MAX as u64 + 1) * leaf(ID + 1 + STATEMENT),
        // The pool's own leaves, two nullifiers, the record, and both balances.
        Operation::Shield { .. } | Operation::ShieldedTransfer { .. } | Operation::Unshield { .. } => {
            (POOL_LEAVES + 5) * leaf(2 * ID) + (FRONTIER_BYTES_MAX + POOL_RECORD_BYTES) as u64
        }
        Operation::AddValidator { .. }
        | Operation::RemoveValidator { .. }
        | Operation::ReplaceKey { .. }
        | Operation::EndEpoch { .. }
        | Operation::AddProven { .. }
        | Operation::ReplaceProven { .. } => {
            // The change's approvals have its bytes as their name.
            let name = borsh::object_length(operation).map_or(0, |bytes| bytes as u64);
            leaf(VALUE_BYTES_MAX as u64) + leaf(name + APPROVALS) + RETIRED_LEAVES * leaf(ID + 8)
        }
    }
}

/// Returns the history of a leaf whose name and value have so many bytes.
const fn leaf(bytes: u64) -> u64 {
    LEAF + bytes
}

/// Returns the additional history of a write in another account's namespace: the record of the owner, who pays for the
/// bytes.
fn foreign(sender: &AccountId, namespace: &AccountId) -> u64 {
    if sender == namespace { 0 } else { RECORD }
}
