//! The state during a block's execution: leaves are read once, writes stay in memory, and a failed transaction's writes
//! are undone.
//!
//! *Invariants:* nothing is iterated in hash order: leaves stand in the order of their first touch and the diff is
//! sorted; a leaf that ends as it began is not in the diff.

use super::record::{AccountRecord, LEAF_KEY_BYTES, RECORD_BYTES, decode_amount, encode_amount};
use crate::keys::Name;
use rustorium_types::{AccountId, FailureCode, LeafWrite, StateKey};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use thiserror::Error;

/// The state could not be read. This is a fault of this node's store; executing on would lead to a wrong root.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the state cannot be read ({0}); check the disk, or restore the database from a snapshot")]
pub struct StateReadError(pub String);

/// A reader of the state before the block.
pub trait StateRead {
    /// Returns the leaf's value; `None` if there is no such leaf.
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateReadError>;
}

/// Reason why an operation stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The transaction fails.
    Fail(FailureCode),
    /// The block can't be executed on this node now.
    Read(StateReadError),
}

impl From<StateReadError> for Stop {
    fn from(error: StateReadError) -> Self {
        Self::Read(error)
    }
}

/// A leaf's value in memory.
#[derive(Debug, Clone)]
pub(crate) enum Leaf<'a> {
    Absent,
    Amount(u128),
    Account(AccountRecord),
    /// The value as it was read.
    Stored,
    Bytes(Cow<'a, [u8]>),
}

/// The type of a leaf's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Amount,
    Account,
    Bytes,
}

struct Slot<'a> {
    key: StateKey,
    name: Name<'a>,
    before: Option<Vec<u8>>,
    now: Leaf<'a>,
    written: bool,
    /// The transaction that wrote the leaf last, from 1. Its first write is the one to undo.
    writer: u32,
}

impl Slot<'_> {
    fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match &self.now {
            Leaf::Absent => None,
            Leaf::Amount(amount) => Some(Cow::Owned(encode_amount(*amount))),
            Leaf::Account(record) => Some(Cow::Owned(record.to_bytes())),
            Leaf::Stored => self.before.as_deref().map(Cow::Borrowed),
            Leaf::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        }
    }
}

/// A position in the ledger's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At(u32);

/// The state before the block, with the changes of its transactions so far.
pub(crate) struct Ledger<'a> {
    state: &'a dyn StateRead,
    slots: Vec<Slot<'a>>,
    index: HashMap<StateKey, u32>,
    undo: Vec<(u32, Leaf<'a>)>,
    transaction: u32,
    writes_max: usize,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(state: &'a dyn StateRead, writes_max: u32, transactions: usize) -> Self {
        Self {
            state,
            slots: Vec::with_capacity(2 * transactions),
            index: HashMap::with_capacity(2 * transactions),
            undo: Vec::new(),
            transaction: 0,
            writes_max: writes_max as usize,
        }
    }

    /// Starts a transaction: writes are counted from here on and can be undone.
    pub(crate) fn begin(&mut self) {
        self.transaction += 1;
        self.undo.clear();
    }

    /// Undoes all writes since `begin`.
    pub(crate) fn roll_back(&mut self) {
        for (at, leaf) in self.undo.drain(..) {
            self.slots[at as usize].now = leaf;
        }
    }

    /// Returns the leaf's position in memory. The leaf is read from the state unless it was read before.
    pub(crate) fn find(&mut self, account: AccountId, name: Name<'a>) -> Result<At, StateReadError> {
        let key = name.key(account);
        match self.index.entry(key) {
            Entry::Occupied(entry) => Ok(At(*entry.get())),
            Entry::Vacant(entry) => {
                let before = self.state.get(&key)?;
                let now = parse(&key, name.kind(), before.as_deref())?;
                let at = self.slots.len() as u32;
                self.slots.push(Slot { key, name, before, now, written: false, writer: 0 });
                entry.insert(at);
                Ok(At(at))
            }
        }
    }

    /// Returns the record at `at`; `None` if there is no such account.
    pub(crate) fn account(&self, at: At) -> Option<AccountRecord> {
        match self.slots[at.0 as usize].now {
            Leaf::Account(record) => Some(record),
            _ => None,
        }
    }

    /// Returns the amount at `at`; 0 if there is no leaf.
    pub(crate) fn amount(&self, at: At) -> u128 {
        match self.slots[at.0 as usize].now {
            Leaf::Amount(amount) => amount,
            _ => 0,
        }
    }

    /// Returns the bytes at `at`.
    pub(crate) fn bytes(&self, at: At) -> Option<Cow<'_, [u8]>> {
        self.slots[at.0 as usize].bytes()
    }

    /// Returns the storage bytes that the leaf at `at` takes now.
    pub(crate) fn footprint(&self, at: At) -> u64 {
        let slot = &self.slots[at.0 as usize];
        match &slot.now {
            Leaf::Stored => footprint(slot.before.as_ref().map(Vec::len)),
            leaf => leaf_footprint(leaf),
        }
    }

    /// Writes a leaf within the transaction that `begin` started.
    pub(crate) fn write(&mut self, at: At, leaf: Leaf<'a>) -> Result<(), Stop> {
        let slot = &mut self.slots[at.0 as usize];
        if slot.writer == self.transaction {
            slot.now = leaf;
            return Ok(());
        }
        if self.undo.len() >= self.writes_max {
            return Err(Stop::Fail(FailureCode::TooManyWrites));
        }
        slot.writer = self.transaction;
        slot.written = true;
        self.undo.push((at.0, std::mem::replace(&mut slot.now, leaf)));
        Ok(())
    }

    /// Writes the sender's record before the transaction begins. This write can't be undone.
    pub(crate) fn write_sender(&mut self, at: At, record: AccountRecord) {
        let slot = &mut self.slots[at.0 as usize];
        slot.now = Leaf::Account(record);
        slot.written = true;
    }

    /// Writes a leaf that no account pays for, after all transactions. This write can't be undone.
    pub(crate) fn write_unpaid(&mut self, at: At, leaf: Leaf<'a>) {
        let slot = &mut self.slots[at.0 as usize];
        slot.now = leaf;
        slot.written = true;
    }

    /// Returns the changed leaves, ascending by key.
    pub(crate) fn into_diff(self) -> Vec<LeafWrite> {
        let written = self.slots.into_iter().filter(|slot| slot.written);
        let mut diff: Vec<_> = written
            .filter_map(|slot| {
                let now = slot.bytes();
                let changed = now.as_deref() != slot.before.as_deref();
                changed.then(|| LeafWrite {
                    key: slot.key,
                    name: slot.name.to_bytes(),
                    value: now.map(Cow::into_owned),
                })
            })
            .collect();
        diff.sort_unstable_by_key(|write| write.key);
        diff
    }
}

fn parse<'a>(key: &StateKey, kind: Kind, value: Option<&[u8]>) -> Result<Leaf<'a>, StateReadError> {
    let Some(bytes) = value else { return Ok(Leaf::Absent) };
    let leaf = match kind {
        Kind::Amount => decode_amount(bytes).map(Leaf::Amount),
        Kind::Account => AccountRecord::from_bytes(bytes).map(Leaf::Account),
        Kind::Bytes => Ok(Leaf::Stored),
    };
    leaf.map_err(|error| StateReadError(format!("the {kind:?} leaf {key:?} is corrupt: {error}")))
}

/// Returns the storage bytes of a leaf with a value of this length.
pub(crate) fn footprint(value_bytes: Option<usize>) -> u64 {
    value_bytes.map_or(0, |bytes| LEAF_KEY_BYTES + bytes as u64)
}

/// Returns the storage bytes of a leaf that is about to be written.
pub(crate) fn leaf_footprint(leaf: &Leaf<'_>) -> u64 {
    footprint(match leaf {
        Leaf::Absent | Leaf::Stored => None,
        Leaf::Amount(_) => Some(size_of::<u128>()),
        Leaf::Account(_) => Some(RECORD_BYTES),
        Leaf::Bytes(bytes) => Some(bytes.len()),
    })
}
