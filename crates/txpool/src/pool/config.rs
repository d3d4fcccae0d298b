//! A pool's bounds, and the words in which it is spoken to.

use rustorium_types::limits::TRANSACTION_BYTES_MAX;
use rustorium_types::{Parameters, PublicKey, Rules, TxId};

/// The pool's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Transactions held.
    pub transactions_max: usize,
    /// Encoded bytes held.
    pub bytes_max: u64,
    /// Transactions of one sender.
    pub per_sender_max: usize,
    /// How far a nonce may be beyond the first missing one.
    pub gap_max: u64,
    /// Encoded bytes of one transaction.
    pub transaction_bytes_max: usize,
    /// Declared work of one transaction.
    pub transaction_work_max: u64,
    /// How far an expiry may be ahead.
    pub expiry_ahead_ms_max: u64,
    /// Whose operations transactions may have.
    pub rules: Rules,
}

impl PoolConfig {
    /// The bounds that a chain's parameters ask for, with the usual sizes.
    pub fn for_parameters(parameters: &Parameters) -> Self {
        Self {
            transactions_max: 65_536,
            bytes_max: 64 * 1024 * 1024,
            per_sender_max: 4096,
            gap_max: 1024,
            transaction_bytes_max: TRANSACTION_BYTES_MAX.min(parameters.batch_bytes_max as usize),
            transaction_work_max: parameters.batch_work_max,
            expiry_ahead_ms_max: parameters.expiry_ahead_ms_max,
            rules: parameters.rules(),
        }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self::for_parameters(&Parameters::default())
    }
}

/// What admission asks the state about a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountView {
    /// The next nonce.
    pub nonce: u64,
    /// The account's key.
    pub public_key: PublicKey,
}

/// A node's clocks at the moment of an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Monotonic milliseconds: what waits here waits by it.
    pub ms: u64,
    /// Unix milliseconds, which may be wrong, and step.
    pub wall_ms: u64,
}

/// How a transaction was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It waits here now.
    Queued,
    /// It waited here before.
    Duplicate,
}

/// What a pool dropped before it was executed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Expired by an executed header's time: these will never be executed.
    pub expired: Vec<TxId>,
    /// Let go for another reason: another node, or whoever sends the same bytes again, may still have these executed.
    pub given_up: Vec<TxId>,
}

impl Dropped {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.expired.is_empty() && self.given_up.is_empty()
    }
}

/// Bounds of one cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLimits {
    /// Encoded bytes.
    pub bytes: u64,
    /// Transactions.
    pub transactions: usize,
    /// Declared work.
    pub work: u64,
}
