//! Reads of version 2 are charged at their true size, as far as the limit pays for them (V54).

use crate::common::*;
use rustorium_crypto::value_hash;
use rustorium_execution::work2::{READ_BYTES_PER_UNIT, operation_work, transaction_work};
use rustorium_execution::*;
use rustorium_state::workers::Serial;
use rustorium_types::*;
use std::cell::RefCell;

/// Bytes of the value that is read: they cost 157 units, the last of which 32 bytes share.
const BYTES: usize = 156 * READ_BYTES_PER_UNIT as usize + 32;
const UNITS: u64 = 157;
const LIMIT: FailureCode = FailureCode::WorkLimit;

fn require_hash(value: &[u8]) -> Operation {
    Operation::Require(Condition::ValueHash { namespace: account(0), key: key(b"k"), hash: value_hash(value) })
}

fn absent() -> Operation {
    Operation::Require(Condition::Absent { namespace: account(0), key: key(b"k") })
}

/// A chain on which the first account has a value of `BYTES` bytes.
fn world() -> (World, Vec<u8>) {
    let (mut world, value) = (World::new(), vec![7; BYTES]);
    let mut transaction = world.sign(0, vec![put(0, b"k", &value)]);
    transaction.body.work_limit = least_work(Rules::V2, &transaction.body);
    assert_eq!(world.run(&[transaction]).receipts[0].outcome, Outcome::Ok, "a new value reads nothing");
    (world, value)
}

/// Executes one operation with this limit above the least. Returns the outcome and the work beyond the least.
fn with(world: &World, operation: &Operation, more: u64) -> (Outcome, i64) {
    let mut transaction = world.sign(0, vec![operation.clone()]);
    let least = least_work(Rules::V2, &transaction.body);
    transaction.body.work_limit = least + more;
    let receipt = world.look(&world.next_header(), &[transaction]).receipts.remove(0);
    (receipt.outcome, receipt.work as i64 - least as i64)
}

#[test]
fn each_read_of_a_value_costs_its_true_size() {
    let (world, value) = world();
    let failed = |code| Outcome::Failed { code, operation: 0 };
    let cases = [
        (require_hash(&value), Outcome::Ok),
        (require_hash(b"another"), failed(FailureCode::Precondition)),
        (absent(), failed(FailureCode::Precondition)),
        (put(0, b"k", b"short"), Outcome::Ok),
        (delete(0, b"k"), Outcome::Ok),
    ];
    for (operation, outcome) in cases {
        assert_eq!(with(&world, &operation, UNITS), (outcome, UNITS as i64), "{operation:?}");
        assert_eq!(with(&world, &operation, 1_000), (outcome, UNITS as i64), "{operation:?}");
        assert_eq!(with(&world, &operation, UNITS - 1), (failed(LIMIT), 0), "{operation:?}");
        assert_eq!(with(&world, &operation, 0), (failed(LIMIT), 0), "{operation:?}");
    }
    // A key that doesn't exist has no bytes to pay for.
    assert_eq!(with(&world, &put(0, b"other", b"value"), 0), (Outcome::Ok, 0));
}

#[test]
fn a_value_of_this_block_costs_what_it_has_become() {
    let (world, _) = world();
    let mut block = [vec![put(0, b"k", &[1; 64])], vec![require_hash(&[1; 64])], vec![delete(0, b"k")], vec![absent()]]
        .into_iter()
        .zip(1..)
        .map(|(operations, nonce)| world.sign_at(0, nonce, operations))
        .collect::<Vec<_>>();
    for (transaction, more) in block.iter_mut().zip([UNITS, 1, 1, 0]) {
        transaction.body.work_limit = least_work(Rules::V2, &transaction.body) + more;
    }
    let receipts = world.look(&world.next_header(), &block).receipts;
    assert!(receipts.iter().all(|receipt| receipt.outcome == Outcome::Ok), "{receipts:?}");
    assert!(receipts.iter().zip(&block).all(|(receipt, made)| receipt.work == made.body.work_limit));
}

#[test]
fn a_failed_write_leaves_the_price_of_the_old_value() {
    let (world, value) = world();
    let fails = Operation::Require(Condition::Absent { namespace: account(1), key: key(b"none") });
    let fails = [put(0, b"k", b"short"), fails, transfer(1, u128::MAX)];
    let mut block = vec![world.sign_at(0, 1, fails.to_vec()), world.sign_at(0, 2, vec![require_hash(&value)])];
    block[1].body.work_limit = least_work(Rules::V2, &block[1].body) + UNITS;
    let receipts = world.look(&world.next_header(), &block).receipts;
    assert!(matches!(receipts[0].outcome, Outcome::Failed { code: FailureCode::InsufficientBalance, operation: 2 }));
    assert_eq!((receipts[1].outcome, receipts[1].work), (Outcome::Ok, block[1].body.work_limit));
}

/// Notes the bounds of limited reads.
struct Noting<'a>(MemState<'a>, RefCell<Vec<usize>>);

impl StateRead for Noting<'_> {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateReadError> {
        self.0.get(key)
    }
}

impl LimitedRead for Noting<'_> {
    fn get_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StateReadError> {
        self.1.borrow_mut().push(bytes_max);
        self.0.get_within(key, bytes_max)
    }
}

#[test]
fn the_state_is_asked_for_no_more_than_the_limit_pays_for() {
    let (world, _) = world();
    let operation = require_hash(b"another");
    let mut transaction = world.sign(0, vec![operation.clone()]);
    let base = transaction_work(&transaction.body) + operation_work(&account(0), &operation, 0);
    transaction.body.work_limit = base + 3;
    let listed = listed(&[transaction]);
    let transactions = with_ids(&world.header.chain, &listed);
    let header = world.next_header();
    let input = world.input(&header, transactions);
    let state = Noting(MemState(&world.state), RefCell::default());
    let receipt = execute_with(&input, &state, &Keys::default(), &Serial).unwrap().receipts.remove(0);
    assert_eq!(receipt.outcome, Outcome::Failed { code: LIMIT, operation: 0 });
    assert_eq!(state.1.into_inner(), [3 * READ_BYTES_PER_UNIT as usize]);
}

#[test]
fn sums_of_work_saturate() {
    let (world, _) = world();
    let many = (0..256).map(|_| delete(0, b"k")).collect();
    assert_eq!(planned_work(Rules::V2, &world.sign(0, many).body, u64::MAX), u64::MAX);
    let mut transaction = world.sign(0, vec![put(0, b"k", b"v")]);
    transaction.body.work_limit = u64::MAX;
    assert_eq!(declared_work(Rules::V2, &transaction.clone().into()), u64::MAX);
    assert!(world.look(&world.next_header(), &[transaction.clone()]).receipts.is_empty(), "no quota pays for it");
    // An operator asks no sponsor, and the credit of an account from the genesis is as old as Unix time.
    let operators = BoundedVec::new(vec![signer(0).public()]).unwrap();
    let (quota_work_max, quota_work_per_s) = (u64::MAX, u64::MAX);
    let rich = World::with(Parameters { quota_work_max, quota_work_per_s, operators, ..Parameters::default() });
    let mut start = rich.sign(0, vec![put(0, b"k", b"v")]);
    start.body.work_limit = u64::MAX;
    assert_eq!(rich.look(&rich.next_header(), &[start]).receipts[0].outcome, Outcome::Ok);
}

#[test]
fn version_one_asks_for_no_lengths() {
    let body = world().0.sign(0, vec![put(0, b"k", b"v"), delete(0, b"k")]).body;
    let costs = [0, ASSUMED_BYTES, 64 * 1024].map(|unknown| planned_work(Rules::V1, &body, unknown));
    assert_eq!(costs, [work::worst_case_work(&body); 3]);
    assert_eq!(least_work(Rules::V1, &body), worst_case_work(Rules::V1, &body));
    let [least, planned, worst] = [0, ASSUMED_BYTES, 64 * 1024].map(|unknown| planned_work(Rules::V2, &body, unknown));
    assert_eq!([planned - least, worst - least], [2 * 64, 2 * 1_024]);
}

#[test]
fn the_vectors_are_what_the_code_makes() {
    let folder = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let text = std::fs::read_to_string(folder.join("../../tests/vectors").join(WORK_VECTORS)).unwrap();
    assert_eq!(text, work_vectors(), "a change of the protocol that is meant: `just regenerate-vectors`");
}
