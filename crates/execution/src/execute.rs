//! Executes one block's transactions by the rules of its version: receipts, skips, state diff, result root.
//!
//! *Invariants:* the rules are those of the header's version, and are chosen once a block, here.

use crate::limited::LimitedRead;
use crate::v1::ledger::StateReadError;
use crate::v1::verifiers::Keys;
use crate::{v1, v2};
use rustorium_state::workers::{Serial, Workers};
use rustorium_types::{
    AccountId, Charter, Hash, Header, LeafWrite, Parameters, Receipt, ResultLink, Rules, Transaction, TxId,
};
use thiserror::Error;

/// A block to be executed.
#[derive(Debug)]
pub struct Input<'a, T = Transaction> {
    /// The block's header.
    pub header: &'a Header,
    /// The chain's parameters.
    pub parameters: &'a Parameters,
    /// The shard's accounts. Version 1 has one shard, and doesn't look at it.
    pub charter: &'a Charter,
    /// The result root of the previous height.
    pub previous_root: Hash,
    /// The transactions in the block's execution order (`arrange`).
    pub transactions: Vec<(TxId, &'a T)>,
}

/// Reason why a transaction in the order has no receipt and changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Skip {
    /// The transaction is for another chain.
    #[error("the transaction is for another chain")]
    WrongChain,
    /// The transaction is for another protocol version.
    #[error("the transaction has another version than those of its chain")]
    WrongVersion,
    /// The block's time is at or after its expiry.
    #[error("the transaction expired before its block's time")]
    Expired,
    /// The sender is another shard's (S19).
    #[error("the sender's account is in another shard")]
    Elsewhere,
    /// The sender has no account.
    #[error("the sender has no account")]
    UnknownSender,
    /// The authority is not the account's.
    #[error("the sender's account has other keys, or asks for another number of them")]
    WrongKey,
    /// A recovery of the account waits that its keys can't cancel (V31).
    #[error("the sender's account is frozen until {until_ms} by header time, when its recovery takes effect")]
    Frozen {
        /// Header time of the recovery's effect, Unix ms.
        until_ms: u64,
    },
    /// The nonce was used before.
    #[error("the nonce was used before; the next is {expected}")]
    NonceUsed {
        /// The sender's next nonce.
        expected: u64,
    },
    /// An earlier nonce is missing.
    #[error("the nonce is ahead of the account; the next is {expected}")]
    NonceAhead {
        /// The sender's next nonce.
        expected: u64,
    },
    /// All accounts are paused (V43).
    #[error("all accounts are paused until {until_ms} (Unix ms); sign it again then")]
    Paused {
        /// Header time from which accounts go on, Unix ms.
        until_ms: u64,
    },
    /// The work quota is less than the transaction declares.
    #[error("the sender's work quota is {left}, less than the declared work")]
    QuotaTooSmall {
        /// Work units left.
        left: u64,
    },
    /// Under version 2: the account, or its sponsor, can't pay for the declared work yet.
    #[error(
        "the sender has {left} work units now, less than the declared work; there are enough from {ready_at_ms} on"
    )]
    WorkTooSmall {
        /// Work units that the account holds or can draw.
        left: u64,
        /// Header time from which there are enough if nobody else draws from the same sponsor, Unix ms; `u64::MAX` if there
        /// never are.
        ready_at_ms: u64,
    },
    /// Under version 2: the account, or its sponsor, can't pay for the history that the transaction causes yet.
    #[error("the sender has {left} bytes of history now, less than it causes; there are enough from {ready_at_ms} on")]
    HistoryTooSmall {
        /// Bytes that the account holds or can draw.
        left: u64,
        /// Header time from which there are enough, as above.
        ready_at_ms: u64,
    },
}

/// The result of executing a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Receipts of all transactions that used their nonce, in order.
    pub receipts: Vec<Receipt>,
    /// The other transactions, in order.
    pub skipped: Vec<(TxId, Skip)>,
    /// Leaves that changed, ascending by key; none is a deletion.
    pub diff: Vec<LeafWrite>,
    /// The link that the height adds to the chain of result roots.
    pub link: ResultLink,
    /// The result root after the height.
    pub result_root: Hash,
    /// Accounts that used a nonce or whose authority their recovery account changed, in this order, each with the nonce that
    /// it must use next.
    pub touched: Vec<(AccountId, u64)>,
}

/// Executes a block on the state before it. Errors: that state can't be read.
#[cfg(feature = "host")]
pub fn execute(input: &Input<'_>, state: &dyn LimitedRead) -> Result<Execution, StateReadError> {
    execute_with(input, state, &Keys::default(), &Serial)
}

/// Does what `execute` does, with keys that were prepared before. These workers verify the block's proofs.
#[cfg(feature = "host")]
pub fn execute_with<W: Workers>(
    input: &Input<'_>,
    state: &dyn LimitedRead,
    keys: &Keys,
    workers: &W,
) -> Result<Execution, StateReadError> {
    match input.header.rules() {
        Rules::V1 => execute_first(input, state, keys, workers),
        Rules::V2 => v2::execute::execute(input, state, keys, workers),
    }
}

/// Executes a block of version 1. No valid batch of it lists another form, which would be skipped.
fn execute_first<W: Workers>(
    input: &Input<'_>,
    state: &dyn LimitedRead,
    keys: &Keys,
    workers: &W,
) -> Result<Execution, StateReadError> {
    let Input { header, parameters, charter, previous_root, transactions } = input;
    let first = transactions.iter().filter_map(|(id, transaction)| Some((*id, transaction.first()?)));
    let other = transactions.iter().filter(|(_, transaction)| transaction.first().is_none());
    let input = Input { header, parameters, charter, previous_root: *previous_root, transactions: first.collect() };
    let mut done = v1::execute::execute(&input, state, keys, workers)?;
    done.skipped.extend(other.map(|(id, _)| (*id, Skip::WrongVersion)));
    Ok(done)
}
