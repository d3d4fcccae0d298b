//! The weight of a batch in a block's caps, and the stateless rules that it must keep in addition to signatures.

use rustorium_execution::declared_work;
use rustorium_types::limits::TRANSACTION_BYTES_MAX;
use rustorium_types::{BatchBody, ChainId, Epoch, Parameters, Rules, ShardId, Transaction};
use std::ops::AddAssign;
use thiserror::Error;

/// The share of transactions in the caps of batches and blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weight {
    /// Number of transactions.
    pub transactions: u32,
    /// Declared work units.
    pub work: u64,
    /// Encoded bytes of the transactions.
    pub bytes: u64,
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.transactions = self.transactions.saturating_add(other.transactions);
        self.work = self.work.saturating_add(other.work);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Encoded bytes of a transaction.
pub(crate) fn encoded_bytes(transaction: &Transaction) -> usize {
    borsh::object_length(transaction).unwrap_or(usize::MAX)
}

/// Returns the weight of these transactions under a chain's rules; also for a block's inline ones.
pub fn weigh(rules: Rules, transactions: &[Transaction]) -> Weight {
    weigh_each(rules, transactions).0
}

/// Returns what they take together, and the bytes of the largest.
fn weigh_each(rules: Rules, transactions: &[Transaction]) -> (Weight, u64) {
    let (mut total, mut largest) = (Weight::default(), 0);
    for transaction in transactions {
        let bytes = encoded_bytes(transaction) as u64;
        largest = bytes.max(largest);
        total += Weight { transactions: 1, work: declared_work(rules, transaction), bytes };
    }
    (total, largest)
}

/// A batch is invalid for every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BatchRefused {
    /// The batch is for another chain, shard or epoch, or has a transaction of another chain.
    #[error("the batch or a transaction in it is for another chain, shard or epoch")]
    WrongPlace,
    /// The batch is empty.
    #[error("the batch is empty")]
    Empty,
    /// The first batch names a previous one, or a later one names none.
    #[error("the batch's place in its lane and its previous digest contradict each other")]
    BadLink,
    /// A transaction has an operation that the chain's rules don't know. Releases that know no newer rules can't decode
    /// it.
    #[error("a transaction in the batch has an operation of a later protocol version")]
    LaterOperation,
    /// A transaction has a form that the chain's rules lack (V15).
    #[error("a transaction in the batch has the form of a later protocol version")]
    LaterForm,
    /// A transaction is over the format's limit.
    #[error("a transaction in the batch is larger than the format allows")]
    TransactionTooLarge,
    /// The batch is over a cap.
    #[error(
        "the batch's transactions have {signatures} signatures, {bytes} bytes and {work} declared work: over the chain's caps"
    )]
    OverCaps {
        /// Number of the transactions' signatures.
        signatures: usize,
        /// Bytes of the transactions.
        bytes: u64,
        /// Declared work of the transactions.
        work: u64,
    },
}

/// Tells if a batch asks for no more checks of signatures than one whose transactions have a signature each (V20). It is
/// asked before any signature is checked.
pub fn signatures_fit(body: &BatchBody, parameters: &Parameters) -> bool {
    body.signatures() <= parameters.batch_transactions_max as usize
}

/// Checks a batch's stateless rules, except signatures, which `rustorium_crypto::verify_batch` checks. Returns its
/// weight, which `Lanes::hold` takes.
pub fn check_batch(
    body: &BatchBody,
    chain: ChainId,
    shard: ShardId,
    epoch: Epoch,
    rules: Rules,
    parameters: &Parameters,
) -> Result<Weight, BatchRefused> {
    let transactions = body.transactions.as_slice();
    let elsewhere = |transaction: &Transaction| transaction.names_other(&chain);
    if (body.chain, body.shard, body.epoch) != (chain, shard, epoch) || transactions.iter().any(elsewhere) {
        return Err(BatchRefused::WrongPlace);
    }
    if transactions.is_empty() {
        return Err(BatchRefused::Empty);
    }
    if (body.seq == 0) != (body.previous == Default::default()) {
        return Err(BatchRefused::BadLink);
    }
    if transactions.iter().any(|transaction| transaction.form() > rules) {
        return Err(BatchRefused::LaterForm);
    }
    if !transactions.iter().all(|transaction| transaction.is_known_to(rules)) {
        return Err(BatchRefused::LaterOperation);
    }
    let (weight, largest) = weigh_each(rules, transactions);
    if largest > TRANSACTION_BYTES_MAX as u64 {
        return Err(BatchRefused::TransactionTooLarge);
    }
    let Weight { work, bytes, .. } = weight;
    let fits = signatures_fit(body, parameters)
        && work <= parameters.batch_work_max
        && bytes <= u64::from(parameters.batch_bytes_max);
    if fits { Ok(weight) } else { Err(BatchRefused::OverCaps { signatures: body.signatures(), bytes, work }) }
}
