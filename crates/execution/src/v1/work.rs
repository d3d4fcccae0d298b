//! The table of work units: the worst-case cost of each operation, an integer known before execution.
//!
//! One unit is about 0.1 µs of a core that does all of a validator's work for it: it checks the signature (14 µs in a
//! batch), writes a leaf into the state tree (35 µs), reads one (2 µs), hashes and stores bytes.
//!
//! *Invariants:* costs depend on the transaction's bytes alone; the work used never exceeds `worst_case_work`.

use super::record::FRONTIER_BYTES_MAX;
use rustorium_types::limits::{NAMED_INPUTS_MAX, VALUE_BYTES_MAX, VERIFYING_KEY_BYTES_MAX};
use rustorium_types::{AccountId, Condition, Operation, Transaction1, TransactionBody};
use rustorium_zk::Curve;
use rustorium_zk::shielded::scan::RECORD_BYTES;
use rustorium_zk::shielded::statement::PUBLIC_INPUTS;

/// Cost of any transaction: its signature, and its sender's record read and written.
pub const TRANSACTION: u64 = 250;
/// Cost of a leaf that is read.
pub const READ: u64 = 20;
/// Cost of a leaf that is written.
pub const WRITE: u64 = 350;
/// Number of bytes that can be sent, hashed and stored for one unit.
pub const BYTES_PER_UNIT: u64 = 16;
/// Cost of hashing the largest value, for a `Require` on a value's hash.
pub const HASH_VALUE: u64 = VALUE_BYTES_MAX as u64 / 160;

/// Cost of the committee record, read, checked against all validators and written, and of a change's approvals.
pub const COMMITTEE: u64 = 2 * (READ + WRITE) + 2 * VALUE_BYTES_MAX as u64 / BYTES_PER_UNIT;

/// Cost of both signatures of a proof of possession, each checked alone.
pub const POSSESSION: u64 = 1_400;
/// Leaves of retired keys that a change of the committee reads or writes: a validator's two new keys and its two old ones.
pub const RETIRED_LEAVES: u64 = 4;

/// Cost of a proof on BN254 verified alone, including decoding.
pub const PROOF_BN254: u64 = 18_000;
/// Cost of a proof on BLS12-381.
pub const PROOF_BLS12_381: u64 = 25_000;
/// A public input's share of a proof's cost: decoding, and a multiple of a point of the key.
pub const PROOF_INPUT: u64 = 600;
/// Cost of decoding, checking and preparing a verifying key, without the cost of its bytes.
pub const VERIFYING_KEY: u64 = 15_000;
/// Cost of a byte of a verifying key: its points are checked to be in their subgroups.
pub const VERIFYING_KEY_BYTE: u64 = 6;

/// Cost of reading a pool's frontier and appending two commitments alone: at most so many hashes of 21 µs.
pub const POOL_TREE: u64 = 8_000;
/// Number of a pool's leaves that a block's end writes: head, newest root and its slot, the oldest root.
pub const POOL_LEAVES: u64 = 4;

/// Returns the work that counts against the caps of batches and blocks and against the sender's quota. It is the
/// declared work, but at least the cost of looking at the transaction.
pub fn declared_work(transaction: &Transaction1) -> u64 {
    transaction.body.work_limit.max(TRANSACTION)
}

/// Returns the most work that executing `body` can use. With a lower declared limit the transaction always fails.
pub fn worst_case_work(body: &TransactionBody) -> u64 {
    body.data.iter().map(|operation| operation_work(&body.sender, operation)).sum::<u64>() + TRANSACTION
}

/// Returns the cost of one operation by `sender`.
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
        // At most the named inputs, the statement itself and the sender's record, which pays for them.
        Operation::VerifyProof { inputs, proof, .. } => {
            let leaves = NAMED_INPUTS_MAX as u64 + 2;
            let on_bn254 = Curve::of_proof(proof.as_slice().len()) == Some(Curve::Bn254);
            let alone = if on_bn254 { PROOF_BN254 } else { PROOF_BLS12_381 };
            READ + leaves * (READ + WRITE) + bytes(VERIFYING_KEY_BYTES_MAX) + alone + PROOF_INPUT * inputs.len() as u64
        }
        // Leaves: key, nullifiers, record, both balances, the receiver and the sender's record, which pays for them.
        Operation::Shield { .. } | Operation::ShieldedTransfer { .. } | Operation::Unshield { .. } => {
            let leaves = POOL_LEAVES + 7;
            let length = VERIFYING_KEY_BYTES_MAX + FRONTIER_BYTES_MAX + 2 * RECORD_BYTES;
            let proof = PROOF_BN254 + PROOF_INPUT * PUBLIC_INPUTS as u64;
            2 * READ + leaves * (READ + WRITE) + bytes(length) + proof + POOL_TREE
        }
        // The approver pays for the leaves' bytes, so its record is read and written too.
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
    // In another account's namespace, the grant is read, and the owner's record, which pays for the bytes, is written
    // too.
    let foreign = if sender == namespace { 0 } else { 2 * READ + WRITE };
    READ + WRITE + foreign
}

fn bytes(count: usize) -> u64 {
    (count as u64).div_ceil(BYTES_PER_UNIT)
}
