//! The table of work units: what each operation costs at its worst, an integer known before execution.
//!
//! One unit is about 0.1 µs of a core that does everything a validator does for it: checks the signature (14 µs in a
//! batch), writes a leaf into the state tree (35 µs), reads one (2 µs), hashes and stores bytes.
//! *Invariants:* costs depend on the transaction's bytes alone; what is used never exceeds `worst_case_work`.

use crate::record::FRONTIER_BYTES_MAX;
use rustorium_types::limits::{NAMED_INPUTS_MAX, VALUE_BYTES_MAX, VERIFYING_KEY_BYTES_MAX};
use rustorium_types::{AccountId, Condition, Operation, Transaction, TransactionBody};
use rustorium_zk::Curve;
use rustorium_zk::shielded::scan::RECORD_BYTES;
use rustorium_zk::shielded::statement::PUBLIC_INPUTS;

/// Any transaction: its signature, and its sender's record read and written.
pub const TRANSACTION: u64 = 250;
/// One leaf read.
pub const READ: u64 = 20;
/// One leaf written.
pub const WRITE: u64 = 350;
/// Bytes that cost one unit to carry, hash and store.
pub const BYTES_PER_UNIT: u64 = 16;
/// The largest value hashed, for a `Require` on a value's hash.
pub const HASH_VALUE: u64 = VALUE_BYTES_MAX as u64 / 160;

/// The committee record, read, checked against all validators and written, and a change's approvals beside it.
pub const COMMITTEE: u64 = 2 * (READ + WRITE) + 2 * VALUE_BYTES_MAX as u64 / BYTES_PER_UNIT;

/// Both signatures of a proof of possession, each checked alone.
pub const POSSESSION: u64 = 1_400;
/// Leaves of retired keys that a change of the committee reads or writes: a validator's two new keys and its two old ones.
pub const RETIRED_LEAVES: u64 = 4;

/// A proof on BN254 verified alone, decoding included.
pub const PROOF_BN254: u64 = 18_000;
/// The same on BLS12-381.
pub const PROOF_BLS12_381: u64 = 25_000;
/// A public input's share of it: decoded, and a multiple of a point of the key.
pub const PROOF_INPUT: u64 = 600;
/// A verifying key decoded, checked and prepared, but for its bytes.
pub const VERIFYING_KEY: u64 = 15_000;
/// A byte of a verifying key: its points are shown to be in their subgroups.
pub const VERIFYING_KEY_BYTE: u64 = 6;

/// A pool's frontier read, and two commitments appended alone: at most so many hashes of 21 µs.
pub const POOL_TREE: u64 = 8_000;
/// A pool's leaves that a block's end writes: head, newest root and its slot, the oldest root.
pub const POOL_LEAVES: u64 = 4;

/// What a transaction takes of the caps of batches and blocks, and of its sender's quota: what it declares, but at least
/// the cost of looking at it.
pub fn declared_work(transaction: &Transaction) -> u64 {
    transaction.body.work_limit.max(TRANSACTION)
}

/// The most that executing `body` can use: a lower declared limit surely fails.
pub fn worst_case_work(body: &TransactionBody) -> u64 {
    body.data.iter().map(|operation| operation_work(&body.sender, operation)).sum::<u64>() + TRANSACTION
}

/// The cost of one operation by `sender`.
pub fn operation_work(sender: &AccountId, operation: &Operation) -> u64 {
    match operation {
        Operation::CreateAccount { .. } => READ + WRITE,
        Operation::Put { namespace, key, value } => {
            write_value(sender, namespace) + bytes(key.as_slice().len() + value.as_slice().len())
        }
        Operation::Delete { namespace, key } => write_value(sender, namespace) + bytes(key.as_slice().len()),
        Operation::Require(Condition::ValueHash { key, .. }) => READ + HASH_VALUE + bytes(key.as_slice().len()),
        Operation::Require(Condition::Absent { key, .. }) => READ + bytes(key.as_slice().len()),
        Operation::Require(Condition::BalanceAtLeast { .. } | Condition::Proved { .. }) => READ,
        Operation::Transfer { .. } => 3 * READ + 2 * WRITE,
        Operation::Issue { .. } => 2 * READ + WRITE,
        Operation::Grant { prefixes, .. } => {
            2 * READ + WRITE + bytes(prefixes.iter().map(|prefix| prefix.as_slice().len()).sum())
        }
        Operation::RegisterVerifier { key, .. } => {
            let length = key.as_slice().len();
            2 * (READ + WRITE) + bytes(length) + VERIFYING_KEY + VERIFYING_KEY_BYTE * length as u64
        }
        // At most so many named inputs, the statement itself and the sender's record, which pays for them.
        Operation::VerifyProof { inputs, proof, .. } => {
            let leaves = NAMED_INPUTS_MAX as u64 + 2;
            let on_bn254 = Curve::of_proof(proof.as_slice().len()) == Some(Curve::Bn254);
            let alone = if on_bn254 { PROOF_BN254 } else { PROOF_BLS12_381 };
            READ + leaves * (READ + WRITE) + bytes(VERIFYING_KEY_BYTES_MAX) + alone + PROOF_INPUT * inputs.len() as u64
        }
        // Key, nullifiers, record, both balances, the receiver and the sender's record, which pays for them.
        Operation::Shield { .. } | Operation::ShieldedTransfer { .. } | Operation::Unshield { .. } => {
            let leaves = POOL_LEAVES + 7;
            let length = VERIFYING_KEY_BYTES_MAX + FRONTIER_BYTES_MAX + 2 * RECORD_BYTES;
            let proof = PROOF_BN254 + PROOF_INPUT * PUBLIC_INPUTS as u64;
            2 * READ + leaves * (READ + WRITE) + bytes(length) + proof + POOL_TREE
        }
        // The approver pays for the leaves' bytes, so that its record is read and written too.
        Operation::AddValidator { .. }
        | Operation::RemoveValidator { .. }
        | Operation::ReplaceKey { .. }
        | Operation::EndEpoch { .. } => COMMITTEE + READ + WRITE,
        Operation::AddProven { .. } | Operation::ReplaceProven { .. } => {
            COMMITTEE + READ + WRITE + POSSESSION + RETIRED_LEAVES * (READ + WRITE)
        }
    }
}

fn write_value(sender: &AccountId, namespace: &AccountId) -> u64 {
    // In another's namespace the grant is read and the owner's record, which pays for the bytes, is written too.
    let foreign = if sender == namespace { 0 } else { 2 * READ + WRITE };
    READ + WRITE + foreign
}

fn bytes(count: usize) -> u64 {
    (count as u64).div_ceil(BYTES_PER_UNIT)
}
