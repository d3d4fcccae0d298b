//! A pool's bounds, and the types of its interface.

use rustorium_execution::{COMMON, NextSigner, TRANSACTION_HISTORY_MAX};
use rustorium_types::limits::TRANSACTION_BYTES_MAX;
use rustorium_types::{Parameters, Rules, Signer, TxId};

/// The pool's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Transactions held.
    pub transactions_max: usize,
    /// Encoded bytes held.
    pub bytes_max: u64,
    /// Transactions of one sender.
    pub per_sender_max: usize,
    /// Largest distance of a nonce from the first missing one.
    pub gap_max: u64,
    /// Encoded bytes of one transaction.
    pub transaction_bytes_max: usize,
    /// Declared work of one transaction.
    pub transaction_work_max: u64,
    /// Bytes of history that one transaction may cause.
    pub transaction_history_max: u64,
    /// Signatures of a batch, and so of one transaction (V20).
    pub batch_signatures_max: usize,
    /// Longest time by which an expiry may be ahead.
    pub expiry_ahead_ms_max: u64,
    /// The rules whose operations transactions may have.
    pub rules: Rules,
}

impl PoolConfig {
    /// Returns the bounds that a chain's rules and parameters ask for, with the usual sizes.
    pub fn of_chain(rules: Rules, parameters: &Parameters) -> Self {
        Self {
            transactions_max: 65_536,
            bytes_max: 64 * 1024 * 1024,
            per_sender_max: 4096,
            gap_max: 1024,
            transaction_bytes_max: TRANSACTION_BYTES_MAX.min(parameters.batch_bytes_max as usize),
            transaction_work_max: match rules {
                Rules::V1 => parameters.batch_work_max,
                // Nobody could ever pay for more.
                Rules::V2 => parameters.batch_work_max.min(parameters.quota_work_max),
            },
            transaction_history_max: match rules {
                Rules::V1 => u64::MAX,
                Rules::V2 => TRANSACTION_HISTORY_MAX,
            },
            batch_signatures_max: parameters.batch_transactions_max as usize,
            expiry_ahead_ms_max: parameters.expiry_ahead_ms_max,
            rules,
        }
    }

    /// Returns the same sizes with the bounds that other rules and parameters of the chain ask for.
    pub fn in_epoch(&self, rules: Rules, parameters: &Parameters) -> Self {
        let Self { transactions_max, bytes_max, per_sender_max, gap_max, .. } = *self;
        Self { transactions_max, bytes_max, per_sender_max, gap_max, ..Self::of_chain(rules, parameters) }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self::of_chain(Rules::NEWEST, &Parameters::default())
    }
}

/// The state's data about a sender that admission needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountView {
    /// The next nonce.
    pub nonce: u64,
    /// The account's authority.
    pub signer: Signer,
    /// Number of the sponsor that the account draws from.
    pub sponsor: u32,
    /// The authority that takes its place, if a change of it waits (V28).
    pub next: Option<NextSigner>,
    /// Header time until which no account's transactions are executed, Unix ms (V43). `None` if they are, and for seats.
    pub paused_until_ms: Option<u64>,
}

impl AccountView {
    /// Returns the view of an account of the common sponsor that nothing stops, and whose authority stays.
    pub fn new(nonce: u64, signer: Signer) -> Self {
        Self { nonce, signer, sponsor: COMMON, next: None, paused_until_ms: None }
    }
}

/// A node's clocks at the moment of an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Monotonic milliseconds, used for all waits.
    pub ms: u64,
    /// Unix milliseconds, which may be wrong, and may jump.
    pub wall_ms: u64,
}

/// Result of an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The transaction waits here now.
    Queued,
    /// The transaction waited here before.
    Duplicate,
}

/// The transactions that a pool dropped before they were executed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DroppedTransactions {
    /// Expired by an executed header's time. These will never be executed.
    pub expired: Vec<TxId>,
    /// Dropped for another reason. They may still be executed: by another node, or if somebody sends the same bytes
    /// again.
    pub given_up: Vec<TxId>,
}

impl DroppedTransactions {
    /// Tells if there are none.
    pub fn is_empty(&self) -> bool {
        self.expired.is_empty() && self.given_up.is_empty()
    }
}

/// Bounds of one cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLimits {
    /// Encoded bytes.
    pub bytes: u64,
    /// Signatures of the transactions (V20).
    pub signatures: usize,
    /// Declared work.
    pub work: u64,
}
