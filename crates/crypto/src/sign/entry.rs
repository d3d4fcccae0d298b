//! A transaction's way into a pool: its chain is checked once, its id is hashed once, its signature is checked once.
//!
//! *Invariants:* `Addressed` comes from a check of chain and version alone, `Admitted` from an `Addressed` whose signature
//! holds; both keep the id that was hashed first.

use super::{Verified, bisect};
use crate::hash::{domain, signed_bytes};
use rustorium_types::{ChainId, Signature, TRANSACTION_VERSION, Transaction, TxId};
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

/// A transaction for this chain in a version that this release speaks. Its signature isn't checked yet.
#[derive(Clone, Debug)]
pub struct Addressed {
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
    fn of(transaction: &Transaction) -> Self {
        let signed = signed_bytes(domain::TRANSACTION, &transaction.body);
        Self { id: id_of_signed(&signed), signed }
    }
}

impl Addressed {
    /// Checks chain and version.
    ///
    /// # Errors
    /// [`Foreign`].
    pub fn check(chain: &ChainId, transaction: Transaction) -> Result<Self, Foreign> {
        let body = &transaction.body;
        if body.chain != *chain {
            return Err(Foreign::Chain { theirs: body.chain, ours: *chain });
        }
        if body.version != TRANSACTION_VERSION {
            return Err(Foreign::Version(body.version));
        }
        Ok(Self { transaction, hashed: None })
    }

    /// Returns the id, which is hashed the first time.
    pub fn id(&mut self) -> TxId {
        self.hashed.get_or_insert_with(|| TransactionHash::of(&self.transaction)).id
    }
}

impl Deref for Addressed {
    type Target = Transaction;
    fn deref(&self) -> &Transaction {
        &self.transaction
    }
}

/// A transaction for this chain whose signature holds, with its id.
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

/// Checks signatures together and bisects to name the bad ones: one result each, in order; `None` where one is false.
/// A signature among `known` isn't checked again, and those that hold are known afterwards.
pub fn admit(transactions: Vec<Addressed>, known: &KnownSignatures) -> Vec<Option<Admitted>> {
    let split = |addressed: Addressed| {
        let hashed = addressed.hashed.unwrap_or_else(|| TransactionHash::of(&addressed.transaction));
        (addressed.transaction, hashed)
    };
    let (transactions, hashed): (Vec<Transaction>, Vec<TransactionHash>) = transactions.into_iter().map(split).unzip();
    let mut good = known.which(hashed.iter().map(|hashed| &hashed.id).zip(transactions.iter().map(|t| &t.signature)));
    let unknown: Vec<usize> = (0..good.len()).filter(|place| !good[*place]).collect();
    let items: Vec<_> = unknown
        .iter()
        .map(|place| {
            let transaction = &transactions[*place];
            (&transaction.body.public_key, hashed[*place].signed.as_slice(), &transaction.signature)
        })
        .collect();
    let mut holds = vec![false; items.len()];
    bisect(&items, &vec![1; items.len()], &mut holds);
    unknown.iter().zip(holds).for_each(|(place, holds)| good[*place] = holds);
    let each = transactions.into_iter().zip(hashed).zip(good);
    let admitted: Vec<_> = each
        .map(|((transaction, TransactionHash { id, .. }), good)| {
            good.then(|| Admitted { id, transaction: Arc::new(Verified(transaction)) })
        })
        .collect();
    known.note(admitted.iter().flatten().map(|admitted| (admitted.id, admitted.transaction.signature)));
    admitted
}

/// Returns the id of a transaction with these signed bytes.
pub(super) fn id_of_signed(signed: &[u8]) -> TxId {
    crate::work::count(|work| work.ids += 1);
    TxId(*blake3::hash(signed).as_bytes())
}

/// Signatures in one generation of those that are known: a table of 16,384 places, which grows with what comes.
const KNOWN_EACH_MAX: usize = 14_336;

/// Signatures of transactions that held lately: a batch that brings one back needs no second check of it.
///
/// An id covers all that a signature does, its key included, so that the same signature under the same id holds again.
/// *Invariants:* two generations of `KNOWN_EACH_MAX` at most; only what was checked here gets in.
#[derive(Debug, Default)]
pub struct KnownSignatures(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TxId, Signature>,
    old: HashMap<TxId, Signature>,
}

impl KnownSignatures {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells which of these are known, in order.
    pub(super) fn which<'a>(&self, signatures: impl Iterator<Item = (&'a TxId, &'a Signature)>) -> Vec<bool> {
        let generations = self.lock();
        let known = |id: &TxId| generations.young.get(id).or_else(|| generations.old.get(id));
        signatures.map(|(id, signature)| known(id) == Some(signature)).collect()
    }

    fn note(&self, signatures: impl Iterator<Item = (TxId, Signature)>) {
        let mut generations = self.lock();
        for (id, signature) in signatures {
            if generations.young.len() >= KNOWN_EACH_MAX {
                generations.old = mem::take(&mut generations.young);
            }
            generations.young.insert(id, signature);
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
        let signature = |number: usize| [number as u8; 64];
        let all = 5 * KNOWN_EACH_MAX;
        known.note((0..all).map(|number| (id(number), signature(number))));
        let generations = known.lock();
        assert!(generations.young.len() <= KNOWN_EACH_MAX && generations.old.len() <= KNOWN_EACH_MAX);
        drop(generations);
        let (newest, oldest) = (all - 1, 0);
        let asked = [newest, all - KNOWN_EACH_MAX, oldest];
        let asked: Vec<_> = asked.iter().map(|number| (id(*number), signature(*number))).collect();
        assert_eq!(known.which(asked.iter().map(|(id, signature)| (id, signature))), [true, true, false]);
        let other = signature(newest + 1);
        assert_eq!(known.which([(&id(newest), &other)].into_iter()), [false], "another signature of the same body");
    }
}
