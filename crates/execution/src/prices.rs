//! The work that transactions declare and use, by the rules of a version.
//!
//! *Invariants:* what depends on the lengths of values in the state is either bounded or counted by execution.

use crate::v2::step::Step;
use crate::{v1, v2};
use rustorium_types::limits::VALUE_BYTES_MAX;
use rustorium_types::{Rules, Transaction, TransactionBody};

/// Bytes that a client assumes a value has whose length it doesn't know.
pub const ASSUMED_BYTES: u64 = 4 * 1024;

/// Returns the work that counts against the caps of batches and blocks and against the sender's quota. It is the
/// declared work, but at least the cost of looking at the transaction.
pub fn declared_work(rules: Rules, transaction: &Transaction) -> u64 {
    match (rules, transaction) {
        (Rules::V1, Transaction::V1(first)) => v1::work::declared_work(first),
        (Rules::V2, Transaction::V1(first)) => first.body.work_limit.max(v2::work::transaction_work(&first.body)),
        (_, Transaction::V2(second)) => second.body().work_limit.max(v2::work::transaction_work2(second.body())),
    }
}

/// Returns the bytes of history that a transaction causes under version 2 (V57). One with an operation that isn't built causes
/// none, as it is never executed.
pub fn history_of(transaction: &Transaction) -> u64 {
    match transaction {
        Transaction::V1(first) => {
            let steps: Vec<Step<'_>> = first.body.data.iter().map(Step::Listed).collect();
            v2::history::history(&first.body.sender, v2::work::encoded_bytes(&first.body), &steps)
        }
        Transaction::V2(second) => {
            let body = second.body();
            let steps: Vec<Step<'_>> = body.data.iter().filter_map(|one| Step::of(&body.sender, one)).collect();
            v2::history::history(&body.sender, v2::work::encoded_bytes2(body), &steps)
        }
    }
}

/// Returns the least work with which a transaction may succeed, in either form.
pub fn least_work_of(rules: Rules, transaction: &Transaction) -> u64 {
    match transaction {
        Transaction::V1(first) => least_work(rules, &first.body),
        Transaction::V2(second) => v2::work::work2(second.body(), 0),
    }
}

/// Returns the most work that executing `body` can use.
pub fn worst_case_work(rules: Rules, body: &TransactionBody) -> u64 {
    planned_work(rules, body, VALUE_BYTES_MAX as u64)
}

/// Returns the least work with which `body` may succeed. With a lower declared limit it always fails.
pub fn least_work(rules: Rules, body: &TransactionBody) -> u64 {
    planned_work(rules, body, 0)
}

/// Returns the work that executing `body` uses if it succeeds, and each value whose length it doesn't tell has `unknown`
/// bytes. Version 1 asks for no such lengths.
pub fn planned_work(rules: Rules, body: &TransactionBody, unknown: u64) -> u64 {
    match rules {
        Rules::V1 => v1::work::worst_case_work(body),
        Rules::V2 => v2::work::work(body, unknown),
    }
}
