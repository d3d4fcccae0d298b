//! The table of work units of version 2: constants of the version (V53, V60, V61), which `just bench-work` compares with
//! what operations take.
//!
//! One unit is about 0.1 µs of a core that does all of a validator's work. Values in accounts' namespaces are read at
//! their true size, which only execution knows; other leaves at the largest size of their kind.
//!
//! *Invariants:* costs depend on the transaction's bytes and on the lengths of the values that it reads; sums saturate.

use super::custody::CUSTODY_BYTES_MAX;
use super::grant::GRANT_BYTES_MAX;
use super::record::RECORD2_BYTES;
use super::step::{OwnerStep, SeatStep, Step};
use crate::v1::record::FRONTIER_BYTES_MAX;
use crate::v1::work::{
    POOL_LEAVES, POOL_TREE, PROOF_BLS12_381, PROOF_BN254, PROOF_INPUT, RETIRED_LEAVES, VERIFYING_KEY,
    VERIFYING_KEY_BYTE,
};
use crate::wishes::WISHES_BYTES_MAX;
use rustorium_types::limits::{AUTHORITY_KEYS_MAX, NAMED_INPUTS_MAX, VALUE_BYTES_MAX, VERIFYING_KEY_BYTES_MAX};
use rustorium_types::{AccountId, Condition, Operation, TransactionBody, TransactionBody2};
use rustorium_zk::Curve;
use rustorium_zk::shielded::scan::RECORD_BYTES as POOL_RECORD_BYTES;
use rustorium_zk::shielded::statement::PUBLIC_INPUTS;

/// Cost of any transaction: it is decoded, ordered, and has a receipt.
pub const BASE: u64 = 90;
/// Cost of a transaction's signature, in a batch of them.
pub const SIGNATURE: u64 = 150;
/// Cost of an account's record: it is read and written, and its leaf in the state tree is made anew.
pub const RECORD: u64 = 330;
/// Cost of a leaf that is read, without its bytes.
pub const READ: u64 = 75;
/// Number of bytes of a value that can be read for one unit: they are copied, decrypted and hashed.
pub const READ_BYTES_PER_UNIT: u64 = 64;
/// Cost of a leaf that is written, without its bytes.
pub const WRITE: u64 = 300;
/// Number of bytes that can be sent, hashed and stored for one unit.
pub const BYTES_PER_UNIT: u64 = 16;
/// Cost of a signature that is checked alone.
pub const CHECK: u64 = 700;
/// Cost of each input of a proof on BLS12-381.
pub const PROOF_INPUT_BLS12_381: u64 = 1_100;

/// Bytes of the largest grant.
const GRANT_BYTES: u64 = GRANT_BYTES_MAX as u64;
/// Bytes of a verifier's largest record.
const VERIFIER_BYTES: u64 = (32 + 4 + 2 * NAMED_INPUTS_MAX + 4 + VERIFYING_KEY_BYTES_MAX) as u64;
/// Bytes of a balance.
const AMOUNT_BYTES: u64 = size_of::<u128>() as u64;
/// Bytes of a statement's record, and of an input's.
const STATEMENT_BYTES: u64 = 40;
/// Bytes of a transaction's signature.
const SIGNATURE_BYTES: u64 = 64;
/// Bytes of a signature in the form of version 2: the key's place, the kind and the signature.
const SIGNATURE2_BYTES: u64 = 66;

/// Bytes of an account's record.
const RECORD_BYTES: u64 = RECORD2_BYTES as u64;

/// Cost of a new account. The new leaf may split two nodes of the tree.
pub const CREATE_ACCOUNT: u64 = read(0) + 2 * write(RECORD_BYTES);
/// Bytes of an account's custody leaf, at most: two authorities of eight keys each, and what else waits with them.
const CUSTODY_BYTES: u64 = 1024;
const _: () = assert!(CUSTODY_BYTES_MAX as u64 <= CUSTODY_BYTES);
/// Cost of a change of an account's authority: its custody leaf, and its record if another account changes it. A change of
/// the account's own pays so for the write that notes its effect later.
pub const SET_AUTHORITY: u64 = read(CUSTODY_BYTES) + write(CUSTODY_BYTES) + RECORD;
/// Cost of a change of the committee: its record and the change's approvals.
pub const COMMITTEE: u64 = 2 * (read(VALUE_BYTES_MAX as u64) + write(VALUE_BYTES_MAX as u64));
/// Cost of the proofs of possession of two keys, and of the leaves of retired ones.
pub const POSSESSION: u64 = 2 * CHECK + RETIRED_LEAVES * (READ + WRITE);

/// Bytes of the largest governance record, and of a proposal.
pub(crate) const GOVERNANCE_BYTES: u64 = 12 * 1024;
/// Cost of the governance record and of a proposal.
pub const SEATS: u64 = 2 * (read(GOVERNANCE_BYTES) + write(GOVERNANCE_BYTES));
/// Cost of a proposal or an approval, which may make its change: the records, the committee's, and proofs of possession.
pub const GOVERN: u64 = SEATS + read(VALUE_BYTES_MAX as u64) + write(VALUE_BYTES_MAX as u64) + POSSESSION;
/// Cost of a change of its validator that an owner makes: the committee's record, and proofs of possession.
pub const OWN: u64 = read(VALUE_BYTES_MAX as u64) + write(VALUE_BYTES_MAX as u64) + POSSESSION;
/// Bytes of the owners' wishes, at most.
const WISHES_BYTES: u64 = 10 * 1024;
const _: () = assert!(WISHES_BYTES_MAX as u64 <= WISHES_BYTES);
/// Cost of an owner's wish for other operators, which may decide it: all owners' wishes, and the committee's record.
pub const WISH: u64 =
    read(WISHES_BYTES) + write(WISHES_BYTES) + read(VALUE_BYTES_MAX as u64) + write(VALUE_BYTES_MAX as u64);
// V8: what lets the largest proposal through also lets a wish through.
const _: () = assert!(WISH <= GOVERN);
/// Cost of the dearest transaction with one proposal or approval, by eight signatures (V8).
pub(crate) const GOVERNING: u64 =
    BASE + AUTHORITY_KEYS_MAX as u64 * SIGNATURE + RECORD + GOVERNING_BYTES.div_ceil(BYTES_PER_UNIT) + GOVERN;
/// Bytes of the largest transaction with one proposal, rounded up.
const GOVERNING_BYTES: u64 = 2_560;

/// Returns the cost of reading a value of so many bytes.
pub const fn read(bytes: u64) -> u64 {
    READ + read_bytes(bytes)
}

/// Returns the part of a read's cost that its bytes make.
pub const fn read_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(READ_BYTES_PER_UNIT)
}

/// Returns the cost of writing a value of so many bytes.
pub const fn write(bytes: u64) -> u64 {
    WRITE + bytes.div_ceil(BYTES_PER_UNIT)
}

/// Returns the cost of a transaction without its operations.
pub fn transaction_work(body: &TransactionBody) -> u64 {
    base_work(1, encoded_bytes(body))
}

/// Returns the encoded length of a transaction in the form of version 1 with its signature.
pub(crate) fn encoded_bytes(body: &TransactionBody) -> u64 {
    borsh::object_length(body).map_or(u64::MAX, |bytes| bytes as u64).saturating_add(SIGNATURE_BYTES)
}

/// Returns the cost of a transaction of so many signatures and bytes without its operations.
pub(crate) fn base_work(signatures: u64, encoded: u64) -> u64 {
    (BASE + SIGNATURE * signatures + RECORD).saturating_add(encoded.div_ceil(BYTES_PER_UNIT))
}

/// Returns the cost of a transaction in the form of version 2 without its operations (V21).
pub fn transaction_work2(body: &TransactionBody2) -> u64 {
    base_work(body.authority.threshold().into(), encoded_bytes2(body))
}

/// Returns the encoded length of a transaction in the form of version 2 with its signatures.
pub(crate) fn encoded_bytes2(body: &TransactionBody2) -> u64 {
    let encoded = borsh::object_length(body).map_or(u64::MAX, |bytes| bytes as u64);
    encoded.saturating_add(1 + SIGNATURE2_BYTES * u64::from(body.authority.threshold()))
}

/// Returns the cost of a transaction in the form of version 2, if each value whose length it doesn't tell has `unknown`
/// bytes.
pub fn work2(body: &TransactionBody2, unknown: u64) -> u64 {
    let steps = body.data.iter().map(|operation| Step::of(&body.sender, operation));
    // Those that these rules don't know cost more than any batch may.
    let cost = |step: Option<Step<'_>>| step.map_or(u64::MAX, |step| step_work(&body.sender, &step, unknown));
    steps.map(cost).fold(transaction_work2(body), u64::saturating_add)
}

/// Returns the cost of a transaction, if each value whose length the transaction doesn't tell has `unknown` bytes.
pub fn work(body: &TransactionBody, unknown: u64) -> u64 {
    let operations = body.data.iter().map(|operation| operation_work(&body.sender, operation, unknown));
    operations.fold(transaction_work(body), u64::saturating_add)
}

/// Returns the cost of one operation in either form, if each value whose length it doesn't tell has `unknown` bytes.
pub(crate) fn step_work(sender: &AccountId, step: &Step<'_>, unknown: u64) -> u64 {
    match step {
        Step::Listed(operation) => operation_work(sender, operation, unknown),
        Step::Read(operation) => operation_work(sender, operation, unknown),
        Step::CreateAccount { .. } => CREATE_ACCOUNT,
        // At no time has it more bytes.
        Step::Grant { grant, .. } => grant_work(grant.to_bytes(0).map_or(0, |bytes| bytes.len() as u64)),
        Step::Authority(_) => SET_AUTHORITY,
        Step::Seat(SeatStep::SetAuthority(_) | SeatStep::Withdraw { .. }) => SEATS,
        Step::Seat(_) => GOVERN,
        Step::Owner(OwnerStep::RecoverOperators(_)) => WISH,
        Step::Owner(_) => OWN,
    }
}

/// Returns the cost of one operation by `sender`, if each value whose length it doesn't tell has `unknown` bytes.
pub fn operation_work(sender: &AccountId, operation: &Operation, unknown: u64) -> u64 {
    match operation {
        Operation::CreateAccount { .. } => CREATE_ACCOUNT,
        Operation::Put { namespace, value, .. } => {
            read(unknown) + write(value.as_slice().len() as u64) + foreign(sender, namespace)
        }
        // A node of the tree may collapse.
        Operation::Delete { namespace, .. } => read(unknown) + 2 * write(0) + foreign(sender, namespace),
        Operation::Require(Condition::ValueHash { .. } | Condition::Absent { .. }) => read(unknown),
        Operation::Require(Condition::BalanceAtLeast { .. } | Condition::Proved { .. }) => read(RECORD_BYTES),
        Operation::Transfer { .. } => 2 * read(AMOUNT_BYTES) + read(RECORD_BYTES) + 2 * write(AMOUNT_BYTES),
        Operation::Issue { .. } => read(AMOUNT_BYTES) + read(RECORD_BYTES) + write(AMOUNT_BYTES),
        Operation::Grant { prefixes, .. } => {
            let bytes: usize = prefixes.iter().map(|prefix| 4 + prefix.as_slice().len()).sum();
            grant_work(4 + bytes as u64)
        }
        Operation::RegisterVerifier { key, .. } => {
            let length = key.as_slice().len() as u64;
            read(0) + RECORD + write(length) + VERIFYING_KEY + VERIFYING_KEY_BYTE * length
        }
        // At most the named inputs, the statement itself and the sender's record, which pays for them.
        Operation::VerifyProof { inputs, proof, .. } => {
            let on_bn254 = Curve::of_proof(proof.as_slice().len()) == Some(Curve::Bn254);
            let (alone, input) =
                if on_bn254 { (PROOF_BN254, PROOF_INPUT) } else { (PROOF_BLS12_381, PROOF_INPUT_BLS12_381) };
            let leaves = (NAMED_INPUTS_MAX as u64 + 1) * (read(STATEMENT_BYTES) + write(STATEMENT_BYTES));
            read(VERIFIER_BYTES) + leaves + RECORD + alone + input * inputs.len() as u64
        }
        // Leaves: key, nullifiers, record, both balances, the receiver and the sender's record, which pays for them.
        Operation::Shield { .. } | Operation::ShieldedTransfer { .. } | Operation::Unshield { .. } => {
            let leaves = (POOL_LEAVES + 7) * (READ + WRITE);
            let bytes = write((FRONTIER_BYTES_MAX + 2 * POOL_RECORD_BYTES) as u64);
            let proof = PROOF_BN254 + PROOF_INPUT * PUBLIC_INPUTS as u64;
            2 * READ + read(VERIFIER_BYTES) + leaves + bytes + proof + POOL_TREE
        }
        // The approver pays for the leaves' bytes, so its record is read and written too.
        Operation::AddValidator { .. }
        | Operation::RemoveValidator { .. }
        | Operation::ReplaceKey { .. }
        | Operation::EndEpoch { .. } => COMMITTEE + RECORD,
        Operation::AddProven { .. } | Operation::ReplaceProven { .. } => COMMITTEE + RECORD + POSSESSION,
    }
}

/// Returns the cost of writing a grant of so many bytes.
fn grant_work(bytes: u64) -> u64 {
    read(RECORD_BYTES) + read(GRANT_BYTES) + write(bytes)
}

/// Returns the additional cost of a write in another account's namespace: the grant, and the record of the owner, who
/// pays for the bytes.
fn foreign(sender: &AccountId, namespace: &AccountId) -> u64 {
    if sender == namespace { 0 } else { read(GRANT_BYTES) + RECORD }
}
