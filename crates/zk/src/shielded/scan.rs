//! A wallet's view of the pool: its own notes, their places in the tree, which of them are spent, and which to spend
//! next.

use std::collections::BTreeMap;

use super::error::ShieldedError;
use super::field::{element_bytes, element_from_bytes};
use super::keys::{Address, FullViewingKey, IncomingViewingKey};
use super::memo::{Memo, Opened, SEALED_BYTES, Sealed, SentNote};
use super::note::{AssetTag, Commitment, Note, Nullifier, Pool};
use super::transfer::{Flow, Payment, Plan, amounts};
use super::tree::{Path, Root, Tree};
use crate::SCALAR_BYTES;

/// The data of a transfer on the chain that a wallet examines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Nullifiers of the spent notes.
    pub nullifiers: [Nullifier; 2],
    /// Commitments that were appended to the tree.
    pub commitments: [Commitment; 2],
    /// The encrypted part.
    pub sealed: Sealed,
}

/// Bytes of a record.
pub const RECORD_BYTES: usize = 4 * SCALAR_BYTES + SEALED_BYTES;

impl Record {
    /// Encodes the record: nullifiers, commitments, the encrypted part.
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut out = [0; RECORD_BYTES];
        let numbers = [self.nullifiers[0].0, self.nullifiers[1].0, self.commitments[0].0, self.commitments[1].0];
        let (head, sealed) = out.split_at_mut(4 * SCALAR_BYTES);
        for (place, number) in head.as_chunks_mut::<SCALAR_BYTES>().0.iter_mut().zip(&numbers) {
            *place = element_bytes(number);
        }
        sealed.copy_from_slice(&self.sealed.to_bytes());
        out
    }

    /// Decodes a record.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Result<Self, ShieldedError> {
        let short = ShieldedError::NotAnElement;
        let (numbers, sealed) = bytes.split_last_chunk::<SEALED_BYTES>().ok_or(short)?;
        let [n0, n1, c0, c1] = numbers.as_chunks::<SCALAR_BYTES>().0 else { return Err(short) };
        Ok(Self {
            nullifiers: [Nullifier(element_from_bytes(n0)?), Nullifier(element_from_bytes(n1)?)],
            commitments: [Commitment(element_from_bytes(c0)?), Commitment(element_from_bytes(c1)?)],
            sealed: Sealed::from_bytes(sealed),
        })
    }
}

/// The key with which a wallet examines transfers.
#[derive(Clone, PartialEq, Eq)]
pub enum ViewingKey {
    /// A key that sees incoming value.
    Incoming(IncomingViewingKey),
    /// A key that sees everything.
    Full(FullViewingKey),
}

/// The parts of one transfer that a key sees.
#[derive(Clone, PartialEq, Eq)]
pub struct ScannedTransfer {
    /// The new notes that belong to the key.
    pub received: [Option<Opened>; 2],
    /// Both new notes, if the key's owner sent them.
    pub sent: Option<[SentNote; 2]>,
}

impl ViewingKey {
    fn incoming(&self) -> &IncomingViewingKey {
        match self {
            Self::Incoming(key) => key,
            Self::Full(key) => key.incoming(),
        }
    }

    /// Returns the address that it watches.
    pub fn address(&self) -> Address {
        self.incoming().address()
    }

    /// Examines one transfer. The order doesn't matter: several threads may examine transfers.
    pub fn look(&self, record: &Record) -> ScannedTransfer {
        let sent = match self {
            Self::Incoming(_) => None,
            Self::Full(key) => key.open_sent(&record.commitments, &record.sealed),
        };
        ScannedTransfer { received: self.incoming().open(&record.commitments, &record.sealed), sent }
    }
}

/// An unspent note of the wallet.
#[derive(Clone, PartialEq, Eq)]
pub struct UnspentNote {
    /// The note with its message.
    pub opened: Opened,
    /// The note's path to the root.
    pub path: Path,
}

/// The changes of a wallet by some transfers.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct WalletChanges {
    /// New notes: the record's number, the leaf's position, the note.
    pub received: Vec<(usize, u32, Opened)>,
    /// Spent notes: the record's number, the leaf's position, the note.
    pub spent: Vec<(usize, u32, Note)>,
    /// Sent notes: the record's number, both notes.
    pub sent: Vec<(usize, [SentNote; 2])>,
}

/// The unspent notes of one key, as of one root.
#[derive(Clone, PartialEq, Eq)]
pub struct Wallet {
    key: ViewingKey,
    tree: Tree,
    held: BTreeMap<u32, UnspentNote>,
    by_nullifier: BTreeMap<Nullifier, u32>,
}

impl Wallet {
    /// Creates a wallet that has seen nothing of the pool yet.
    pub fn new(key: ViewingKey) -> Self {
        Self::since(key, Tree::default())
    }

    /// Creates a wallet whose key received nothing before the pool had this `tree`.
    pub fn since(key: ViewingKey, tree: Tree) -> Self {
        Self { key, tree, held: BTreeMap::new(), by_nullifier: BTreeMap::new() }
    }

    /// Returns the root that its notes' paths lead to.
    pub fn root(&self) -> Root {
        self.tree.root()
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Returns the address that it watches.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Returns the number of commitments that it has seen: the next record's first position.
    pub fn position(&self) -> u64 {
        self.tree.count()
    }

    /// Returns its unspent notes by position. Without a full viewing key, it can't know which notes are spent.
    pub fn unspent(&self) -> &BTreeMap<u32, UnspentNote> {
        &self.held
    }

    /// Returns the value of its unspent notes of an asset.
    pub fn balance(&self, asset: AssetTag) -> u128 {
        self.notes(asset).map(|held| u128::from(held.opened.note.value)).sum()
    }

    fn notes(&self, asset: AssetTag) -> impl Iterator<Item = &UnspentNote> {
        self.held.values().filter(move |held| held.opened.note.asset == asset)
    }

    /// Scans the next transfers, in the chain's order.
    pub fn scan(&mut self, records: &[Record]) -> Result<WalletChanges, ShieldedError> {
        let looks = records.iter().map(|record| self.key.look(record)).collect();
        self.take(records, looks)
    }

    /// Takes the next transfers, in the chain's order, with its key's view of each.
    ///
    /// All of them are added to the tree at once, so the root is the one after the last: pass whole blocks.
    pub fn take(&mut self, records: &[Record], looks: Vec<ScannedTransfer>) -> Result<WalletChanges, ShieldedError> {
        let (wanted, free) = (2 * records.len() as u64, Tree::CAPACITY - self.tree.count());
        if wanted > free {
            return Err(ShieldedError::TreeFull { wanted, free });
        }
        let mut happened = WalletChanges::default();
        let mut position = self.tree.count();
        for (number, (record, look)) in records.iter().zip(looks).enumerate() {
            for nullifier in &record.nullifiers {
                if let Some((position, note)) = self.spend(nullifier) {
                    happened.spent.push((number, position, note));
                }
            }
            for opened in look.received {
                let at = position as u32;
                if let Some(opened) = opened.filter(|opened| opened.note.value > 0) {
                    happened.received.push((number, at, opened.clone()));
                    self.hold(at, opened);
                }
                position += 1;
            }
            happened.sent.extend(look.sent.map(|sent| (number, sent)));
        }
        let leaves: Vec<Commitment> = records.iter().flat_map(|record| record.commitments).collect();
        let mut paths: Vec<&mut Path> = self.held.values_mut().map(|held| &mut held.path).collect();
        self.tree.append_following(&leaves, &mut paths)?;
        Ok(happened)
    }

    fn hold(&mut self, position: u32, opened: Opened) {
        self.put(position, UnspentNote { opened, path: Path::new(position) });
    }

    pub(super) fn put(&mut self, position: u32, held: UnspentNote) {
        if let ViewingKey::Full(key) = &self.key {
            self.by_nullifier.insert(held.opened.note.nullifier(key.nullifier_key(), position), position);
        }
        self.held.insert(position, held);
    }

    fn spend(&mut self, nullifier: &Nullifier) -> Option<(u32, Note)> {
        let position = self.by_nullifier.remove(nullifier)?;
        self.held.remove(&position).map(|held| (position, held.opened.note))
    }

    /// Selects at most two notes of an asset with a value of at least `wanted`: one if one suffices, with as little
    /// surplus as possible.
    pub fn select(&self, asset: AssetTag, wanted: u128) -> Result<Vec<(Note, Path)>, ShieldedError> {
        let mut notes: Vec<&UnspentNote> = self.notes(asset).collect();
        notes.sort_by_key(|held| held.opened.note.value);
        let value = |at: usize| u128::from(notes[at].opened.note.value);
        let chosen = if wanted == 0 {
            Vec::new()
        } else if let Some(single) = (0..notes.len()).find(|at| value(*at) >= wanted) {
            vec![single]
        } else {
            let have = self.balance(asset);
            if have < wanted {
                return Err(ShieldedError::NotEnough { have, wanted });
            }
            let last = notes.len() - 1;
            let second = (0..last).find(|at| value(*at) + value(last) >= wanted);
            vec![second.ok_or(ShieldedError::Scattered { wanted })?, last]
        };
        Ok(chosen.into_iter().map(|at| (notes[at].opened.note.clone(), notes[at].path.clone())).collect())
    }

    /// Returns a plan that makes one note of the two largest of an asset (W4); `None` if there are fewer than two.
    pub fn merge(&self, pool: Pool, asset: AssetTag) -> Result<Option<Plan>, ShieldedError> {
        let mut notes: Vec<&UnspentNote> = self.notes(asset).collect();
        notes.sort_by_key(|held| std::cmp::Reverse(held.opened.note.value));
        let [first, second, ..] = &notes[..] else { return Ok(None) };
        let (ins, most) = (u128::from(first.opened.note.value) + u128::from(second.opened.note.value), u64::MAX);
        let value = u64::try_from(ins).map_err(|_| ShieldedError::Unbalanced { ins, outs: most.into() })?;
        let spends = [first, second].map(|held| (held.opened.note.clone(), held.path.clone())).to_vec();
        let payments = vec![Payment { to: self.key.address(), value, memo: Memo::empty() }];
        Ok(Some(Plan { pool, asset, root: self.root(), spends, payments, public: None }))
    }

    /// Returns a plan that pays `payment`, if any, and moves `public` in or out. The rest returns as change.
    pub fn plan(
        &self,
        pool: Pool,
        asset: AssetTag,
        payment: Option<Payment>,
        public: Option<Flow>,
    ) -> Result<Plan, ShieldedError> {
        let paid = payment.as_ref().map_or(0, |payment| u128::from(payment.value));
        let (enters, leaves) = amounts(public);
        let (enters, outs) = (u128::from(enters), paid + u128::from(leaves));
        let spends = self.select(asset, outs.saturating_sub(enters))?;
        let ins = spends.iter().map(|(note, _)| u128::from(note.value)).sum::<u128>() + enters;
        let change = u64::try_from(ins - outs).map_err(|_| ShieldedError::Unbalanced { ins, outs })?;
        let mut payments: Vec<Payment> = payment.into_iter().collect();
        if change > 0 {
            payments.push(Payment { to: self.key.address(), value: change, memo: Memo::empty() });
        }
        Ok(Plan { pool, asset, root: self.root(), spends, payments, public })
    }
}
