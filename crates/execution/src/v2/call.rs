//! Transactions in the forms of both versions, as version 2 executes them.
//!
//! *Invariants:* whatever the form, one operation has one effect and one price: operations in the form of version 2 are
//! executed as those of version 1 that they say, if there are such.

use super::history::history;
use super::quota::Charge;
use super::step::Step;
use super::work::{base_work, encoded_bytes, encoded_bytes2};
use crate::execute::Skip;
use rustorium_crypto::signer;
use rustorium_types::{
    AccountId, ChainId, Signer, TRANSACTION_VERSION, Transaction, Transaction1, TransactionBody2, TxId,
};

/// A transaction that may be executed, if its sender's account allows it.
pub(crate) struct Call<'a> {
    /// The account that pays and acts.
    pub(crate) sender: AccountId,
    /// The authority that the sender must have.
    pub(crate) signer: Signer,
    /// The sender's nonce.
    pub(crate) nonce: u64,
    /// Header time from which the transaction is skipped, Unix ms.
    pub(crate) expires_at_ms: u64,
    /// The most work that it may use.
    pub(crate) work_limit: u64,
    /// The cost of the transaction without its operations.
    pub(crate) base: u64,
    /// Bytes of history that it causes, whatever becomes of it.
    pub(crate) history: u64,
    /// The operations.
    pub(crate) operations: Vec<Step<'a>>,
}

impl<'a> Call<'a> {
    /// Reads a transaction that a block of this chain lists.
    ///
    /// # Errors
    /// The transaction is skipped, whatever the state: it names another chain, or has a version or an operation that these
    /// rules don't know.
    pub(crate) fn of(chain: &ChainId, transaction: &'a Transaction) -> Result<Self, Skip> {
        match transaction {
            Transaction::V1(transaction) => Self::of_first(chain, transaction),
            Transaction::V2(transaction) => Self::of_second(transaction.body()),
        }
    }

    fn of_first(chain: &ChainId, transaction: &'a Transaction1) -> Result<Self, Skip> {
        let body = &transaction.body;
        if body.chain != *chain {
            return Err(Skip::WrongChain);
        }
        if body.version != TRANSACTION_VERSION {
            return Err(Skip::WrongVersion);
        }
        let (operations, bytes): (Vec<_>, _) = (body.data.iter().map(Step::Listed).collect(), encoded_bytes(body));
        Ok(Self {
            sender: body.sender,
            signer: Signer::Single(body.public_key),
            nonce: body.nonce,
            expires_at_ms: body.expires_at_ms,
            work_limit: body.work_limit,
            base: base_work(1, bytes),
            history: history(&body.sender, bytes, &operations),
            operations,
        })
    }

    fn of_second(body: &'a TransactionBody2) -> Result<Self, Skip> {
        let operations: Option<Vec<Step<'_>>> = body.data.iter().map(|one| Step::of(&body.sender, one)).collect();
        let (operations, bytes) = (operations.ok_or(Skip::WrongVersion)?, encoded_bytes2(body));
        Ok(Self {
            sender: body.sender,
            signer: signer(&body.authority),
            nonce: body.nonce,
            expires_at_ms: body.expires_at_ms,
            work_limit: body.work_limit,
            base: base_work(body.authority.threshold().into(), bytes),
            history: history(&body.sender, bytes, &operations),
            operations,
        })
    }

    /// Returns what its admission takes. Its work counts against the caps of batches and blocks, too.
    pub(crate) fn charge(&self) -> Charge {
        Charge { work: self.work_limit.max(self.base), history: self.history }
    }
}

/// A listed transaction with its id: what is executed, or why it is skipped.
pub(crate) type Listed<'a> = (TxId, Result<Call<'a>, Skip>);
