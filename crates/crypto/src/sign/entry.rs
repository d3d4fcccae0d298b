//! A transaction's way into a pool: its chain is checked once, its id is hashed once, its signatures are checked once.
//!
//! *Invariants:* `Addressed` comes from a check of chain and version alone, `Admitted` from an `Addressed` all of whose
//! signatures hold; both keep the id that was hashed first.

use super::Verified;
use super::transactions::which_hold;
use crate::hash::{bytes_on, signatures_digest};
use rustorium_types::{ChainId, Hash, TRANSACTION_VERSION, Transaction, TxId};
use std::collections::HashMap;
use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Reason why a transaction is for no block of a chain, whatever its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Foreign {
    /// Signed for another chain.
    #[error("The transaction is signed for chain {theirs}, and this node serves {ours}; sign it for {ours}.")]
    Chain {
        /// The transaction's.
        theirs: ChainId,
        /// The node's.
        ours: ChainId,
    },
    /// The transaction has a version that this release doesn't speak.
    #[error("The transaction has version {0}, and this node speaks {TRANSACTION_VERSION}; sign it in that version.")]
    Version(u16),
}

impl Foreign {
    /// Returns the stable code of the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Chain { .. } => "wrong-chain",
            Self::Version(_) => "wrong-version",
        }
    }
}

/// A transaction for this chain in a version that this release speaks. Its signatures aren't checked yet.
#[derive(Clone, Debug)]
pub struct Addressed {
    chain: ChainId,
    transaction: Transaction,
    /// Kept from the first time that the id is asked for.
    hashed: Option<TransactionHash>,
}

#[derive(Clone, Debug)]
struct TransactionHash {
    id: TxId,
    signed: Vec<u8>,
}

impl TransactionHash {
    fn of(chain: &ChainId, transaction: &Transaction) -> Self {
        let signed = bytes_on(chain, transaction);
        Self { id: id_of_signed(&signed), signed }
    }
}

impl Addressed {
    /// Checks chain and version. The form of version 2 names no chain: on another one its signatures don't hold.
    ///
    /// # Errors
    /// [`Foreign`].
    pub fn check(chain: &ChainId, transaction: Transaction) -> Result<Self, Foreign> {
        if let Transaction::V1(first) = &transaction {
            if first.body.chain != *chain {
                return Err(Foreign::Chain { theirs: first.body.chain, ours: *chain });
            }
            if first.body.version != TRANSACTION_VERSION {
                return Err(Foreign::Version(first.body.version));
            }
        }
        Ok(Self { chain: *chain, transaction, hashed: None })
    }

    /// Returns the id, which is hashed the first time.
    pub fn id(&mut self) -> TxId {
        self.hashed.get_or_insert_with(|| TransactionHash::of(&self.chain, &self.transaction)).id
    }
}

impl Deref for Addressed {
    type Target = Transaction;
    fn deref(&self) -> &Transaction {
        &self.transaction
    }
}

/// A transaction for this chain all of whose signatures hold, with its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// The id.
    id: TxId,
    transaction: Arc<Verified<Transaction>>,
}

impl Admitted {
    /// Returns the id.
    pub fn id(&self) -> TxId {
        self.id
    }

    /// Returns the transaction.
    pub fn transaction(&self) -> &Arc<Verified<Transaction>> {
        &self.transaction
    }

    /// Returns the id and the transaction.
    pub fn into_parts(self) -> (TxId, Arc<Verified<Transaction>>) {
        (self.id, self.transaction)
    }
}

/// Checks signatures together and bisects to name the bad ones: one result each, in order; `None` for a transaction that
/// has a false one. Signatures among `known` aren't checked again, and those that hold are known afterwards.
pub fn admit(transactions: Vec<Addressed>, known: &KnownSignatures) -> Vec<Option<Admitted>> {
    let split = |addressed: Addressed| {
        let Addressed { chain, transaction, hashed } = addressed;
        let hashed = hashed.unwrap_or_else(|| TransactionHash::of(&chain, &transaction));
        let signatures = signatures_digest(&transaction);
        (transaction, (hashed, signatures))
    };
    let (transactions, hashed): (Vec<Transaction>, Vec<_>) = transactions.into_iter().map(split).unzip();
    let mut good = known.which(hashed.iter().map(|(hashed, signatures)| (&hashed.id, *signatures)));
    let unknown: Vec<usize> = (0..good.len()).filter(|place| !good[*place]).collect();
    let items = unknown.iter().map(|place| (&transactions[*place], hashed[*place].0.signed.as_slice()));
    let holds = which_hold(&items.collect::<Vec<_>>());
    unknown.iter().zip(holds).for_each(|(place, holds)| good[*place] = holds);
    let holding = hashed.iter().zip(&good).filter(|(_, good)| **good);
    known.note(holding.map(|((hashed, signatures), _)| (hashed.id, *signatures)));
    let each = transactions.into_iter().zip(hashed).zip(good);
    each.map(|((transaction, (TransactionHash { id, .. }, _)), good)| {
        good.then(|| Admitted { id, transaction: Arc::new(Verified(transaction)) })
    })
    .collect()
}

/// Returns the id of a transaction with these signed bytes.
pub(super) fn id_of_signed(signed: &[u8]) -> TxId {
    crate::work::count(|work| work.ids += 1);
    TxId(*blake3::hash(signed).as_bytes())
}

/// Signatures in one generation of those that are known: a table of 16,384 places, which grows with what comes.
const KNOWN_EACH_MAX: usize = 14_336;

/// Digests of transactions' signatures that held lately: a batch that brings them back needs no second check of them.
///
/// An id covers all that its signatures do, their keys included, so that the same signatures under the same id hold
/// again. Other keys of an authority may sign the same body (V18), and the digest covers which of them did.
/// *Invariants:* two generations of `KNOWN_EACH_MAX` at most; only what was checked here gets in.
#[derive(Debug, Default)]
pub struct KnownSignatures(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TxId, Hash>,
    old: HashMap<TxId, Hash>,
}

impl KnownSignatures {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells which of these are known, in order.
    pub(super) fn which<'a>(&self, signatures: impl Iterator<Item = (&'a TxId, Hash)>) -> Vec<bool> {
        let generations = self.lock();
        let known = |id: &TxId| generations.young.get(id).or_else(|| generations.old.get(id));
        signatures.map(|(id, digest)| known(id) == Some(&digest)).collect()
    }

    fn note(&self, signatures: impl Iterator<Item = (TxId, Hash)>) {
        let mut generations = self.lock();
        for (id, digest) in signatures {
            if generations.young.len() >= KNOWN_EACH_MAX {
                generations.old = mem::take(&mut generations.young);
            }
            generations.young.insert(id, digest);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_known_is_bounded() {
        let known = KnownSignatures::default();
        let id = |number: usize| TxId(crate::hash::hash(b"test", &[&number.to_le_bytes()]));
        let signatures = |number: usize| Hash([number as u8; 32]);
        let all = 5 * KNOWN_EACH_MAX;
        known.note((0..all).map(|number| (id(number), signatures(number))));
        let generations = known.lock();
        assert!(generations.young.len() <= KNOWN_EACH_MAX && generations.old.len() <= KNOWN_EACH_MAX);
        drop(generations);
        let (newest, oldest) = (all - 1, 0);
        let asked = [newest, all - KNOWN_EACH_MAX, oldest];
        let asked: Vec<_> = asked.iter().map(|number| (id(*number), signatures(*number))).collect();
        assert_eq!(known.which(asked.iter().map(|(id, digest)| (id, *digest))), [true, true, false]);
        let other = signatures(newest + 1);
        assert_eq!(known.which([(&id(newest), other)].into_iter()), [false], "other signatures of the same body");
    }
}
