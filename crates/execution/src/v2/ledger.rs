//! The state during a block's execution under version 2: values of accounts' namespaces are read as far as the
//! transaction's limit pays for them, and only their lengths and hashes stay in memory.
//!
//! *Invariants:* nothing is iterated in hash order: leaves stand in the order of their first touch and the diff is
//! sorted; a leaf that ends as it began is not in the diff; no result depends on what the cache holds.

use super::leaf::Leaf;
use super::record::AccountRecord2;
use super::slots::{At, Before, Slot, Slots};
use super::sponsors::{SponsorRecord, in_effect};
use super::values::Values;
use super::work::{READ_BYTES_PER_UNIT, read_bytes};
use crate::keys::Name;
use crate::limited::LimitedRead;
use crate::v1::ledger::{Kind, StateReadError, Stop, footprint};
use crate::v1::record::decode_amount;
use rustorium_crypto::value_hash;
use rustorium_types::{AccountId, FailureCode, Hash, LeafWrite, LimitedValue, Parameters, SYSTEM_ACCOUNT, StateKey};
use std::borrow::Cow;

/// The state before the block, with the changes of its transactions so far.
pub(crate) struct Ledger<'a> {
    state: &'a dyn LimitedRead,
    slots: Slots<'a>,
    /// Values that were read, of leaves whose bytes an operation may ask for again.
    values: Values,
    undo: Vec<(At, Leaf<'a>)>,
    transaction: u32,
    writes_max: usize,
    work: u64,
    work_limit: u64,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(state: &'a dyn LimitedRead, writes_max: u32) -> Self {
        Self {
            state,
            slots: Slots::default(),
            values: Values::default(),
            undo: Vec::new(),
            transaction: 0,
            writes_max: writes_max as usize,
            work: 0,
            work_limit: 0,
        }
    }

    /// Starts a transaction with this limit: work and writes are counted from here on, and the writes can be undone.
    pub(crate) fn begin(&mut self, work_limit: u64) {
        self.transaction += 1;
        self.undo.clear();
        (self.work, self.work_limit) = (0, work_limit);
    }

    /// Undoes all writes since `begin`.
    pub(crate) fn roll_back(&mut self) {
        for (at, leaf) in self.undo.drain(..) {
            self.slots.get_mut(at).now = leaf;
        }
    }

    /// Counts work of the transaction. Errors: `WorkLimit` if that would be over its limit; then nothing is counted.
    pub(crate) fn charge(&mut self, units: u64) -> Result<(), Stop> {
        let work = self.work.saturating_add(units);
        if work > self.work_limit {
            return Err(Stop::Fail(FailureCode::WorkLimit));
        }
        self.work = work;
        Ok(())
    }

    /// Returns the work of the transaction so far.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }

    /// Returns the leaf's position in memory. The leaf is read from the state unless it was read before. Its price is
    /// part of its operation's, whatever its size.
    pub(crate) fn find(&mut self, account: AccountId, name: Name<'a>) -> Result<At, StateReadError> {
        let key = name.key(account);
        if let Some(at) = self.slots.find(&key) {
            return Ok(at);
        }
        let value = self.state.get(&key)?;
        self.insert(key, name, value)
    }

    /// Does what `find` does for a value in an account's namespace, and charges for its bytes, also if they are in
    /// memory. Errors: `WorkLimit` if it has more bytes than the rest of the limit pays for.
    pub(crate) fn find_value(&mut self, account: AccountId, key: &'a [u8]) -> Result<At, Stop> {
        let name = Name::Data(key);
        let leaf = name.key(account);
        if let Some(at) = self.slots.find(&leaf) {
            self.charge(read_bytes(self.value_bytes(at).unwrap_or(0)))?;
            return Ok(at);
        }
        let left = (self.work_limit - self.work).saturating_mul(READ_BYTES_PER_UNIT);
        let value = match self.state.get_within(&leaf, usize::try_from(left).unwrap_or(usize::MAX))? {
            Some(LimitedValue::Longer) => return Err(Stop::Fail(FailureCode::WorkLimit)),
            Some(LimitedValue::Whole(value)) => Some(value),
            None => None,
        };
        self.charge(read_bytes(value.as_ref().map_or(0, |value| value.len() as u64)))?;
        Ok(self.insert(leaf, name, value)?)
    }

    fn insert(&mut self, key: StateKey, name: Name<'a>, value: Option<Vec<u8>>) -> Result<At, StateReadError> {
        let now = parse(&key, name.kind(), value.as_deref())?;
        // A record changes its form only together with something in it.
        let before = match now {
            Leaf::Account(_) => now.bytes().as_deref().map(Before::of),
            _ => value.as_deref().map(Before::of),
        };
        let asked_for = matches!(now, Leaf::Stored) && !matches!(name, Name::Data(_));
        let at = self.slots.insert(Slot { key, name, before, now, written: false, writer: 0 });
        if let Some(value) = value.filter(|_| asked_for) {
            self.values.insert(at, value);
        }
        Ok(at)
    }

    /// Returns the record at `at`; `None` if there is no such account.
    pub(crate) fn account(&self, at: At) -> Option<AccountRecord2> {
        match self.slots.get(at).now {
            Leaf::Account(record) => Some(record),
            _ => None,
        }
    }

    /// Returns the amount at `at`; 0 if there is no leaf.
    pub(crate) fn amount(&self, at: At) -> u128 {
        match self.slots.get(at).now {
            Leaf::Amount(amount) => amount,
            _ => 0,
        }
    }

    /// Returns the bytes at `at`. A value that the cache no longer holds is read again.
    pub(crate) fn bytes(&mut self, at: At) -> Result<Option<Cow<'_, [u8]>>, StateReadError> {
        let slot = self.slots.get(at);
        if !matches!(slot.now, Leaf::Stored) {
            return Ok(slot.now.bytes());
        }
        if !self.values.holds(at) {
            let again = self.state.get(&slot.key)?;
            let again = again.ok_or_else(|| StateReadError(format!("the leaf {:?} is gone", slot.key)))?;
            self.values.insert(at, again);
        }
        Ok(self.values.get(at).map(Cow::Borrowed))
    }

    /// Returns the BLAKE3 hash of the value at `at`; `None` if there is no leaf.
    pub(crate) fn value_hash(&self, at: At) -> Option<Hash> {
        let slot = self.slots.get(at);
        match &slot.now {
            Leaf::Stored => slot.before.as_ref().map(|before| before.hash),
            leaf => leaf.bytes().as_deref().map(value_hash),
        }
    }

    /// Returns the length of the bytes at `at`; `None` if there is no leaf.
    fn value_bytes(&self, at: At) -> Option<u64> {
        let slot = self.slots.get(at);
        match &slot.now {
            Leaf::Stored => slot.before.as_ref().map(|before| u64::from(before.bytes)),
            Leaf::Bytes(bytes) => Some(bytes.len() as u64),
            Leaf::Absent | Leaf::Amount(_) | Leaf::Account(_) => None,
        }
    }

    /// Returns the storage bytes that the leaf at `at` takes now.
    pub(crate) fn footprint(&self, at: At) -> u64 {
        let slot = self.slots.get(at);
        match &slot.now {
            Leaf::Stored => footprint(slot.before.as_ref().map(|before| before.bytes as usize)),
            leaf => leaf.footprint(),
        }
    }

    /// Writes a leaf within the transaction that `begin` started.
    pub(crate) fn write(&mut self, at: At, leaf: Leaf<'a>) -> Result<(), Stop> {
        let slot = self.slots.get_mut(at);
        if slot.writer == self.transaction {
            slot.now = leaf;
            return Ok(());
        }
        if self.undo.len() >= self.writes_max {
            return Err(Stop::Fail(FailureCode::TooManyWrites));
        }
        slot.writer = self.transaction;
        slot.written = true;
        self.undo.push((at, std::mem::replace(&mut slot.now, leaf)));
        Ok(())
    }

    /// Returns the record of the sponsor that accounts of this number draw from at a header time, and its position.
    pub(crate) fn sponsor(
        &mut self,
        number: u32,
        parameters: &Parameters,
        now_ms: u64,
    ) -> Result<(At, SponsorRecord), StateReadError> {
        in_effect(number, now_ms, |number| self.stored_sponsor(number, parameters))
    }

    /// Returns the record of a sponsor as it is stored, also after the end of its shares, and its position.
    pub(crate) fn stored_sponsor(
        &mut self,
        number: u32,
        parameters: &Parameters,
    ) -> Result<(At, SponsorRecord), StateReadError> {
        let at = self.find(SYSTEM_ACCOUNT, Name::Sponsor(number))?;
        Ok((at, SponsorRecord::read(number, self.bytes(at)?.as_deref(), parameters)?))
    }

    /// Writes the sender's record before the transaction begins. This write can't be undone.
    pub(crate) fn write_sender(&mut self, at: At, record: AccountRecord2) {
        self.write_unpaid(at, Leaf::Account(record));
    }

    /// Writes a leaf that no account pays for, outside of any transaction. This write can't be undone.
    pub(crate) fn write_unpaid(&mut self, at: At, leaf: Leaf<'a>) {
        let slot = self.slots.get_mut(at);
        slot.now = leaf;
        slot.written = true;
    }

    /// Returns the changed leaves, ascending by key.
    pub(crate) fn into_diff(self) -> Vec<LeafWrite> {
        let mut diff: Vec<_> = self.slots.into_iter().filter(|slot| slot.written).filter_map(changed).collect();
        diff.sort_unstable_by_key(|write| write.key);
        diff
    }
}

/// Returns a written leaf's change; `None` if it ends as it began.
fn changed(slot: Slot<'_>) -> Option<LeafWrite> {
    if matches!(slot.now, Leaf::Stored) {
        return None;
    }
    let value = slot.now.bytes();
    if value.as_deref().map(Before::of) == slot.before {
        return None;
    }
    Some(LeafWrite { key: slot.key, name: slot.name.to_bytes(), value: value.map(Cow::into_owned) })
}

fn parse<'a>(key: &StateKey, kind: Kind, value: Option<&[u8]>) -> Result<Leaf<'a>, StateReadError> {
    let Some(bytes) = value else { return Ok(Leaf::Absent) };
    let leaf = match kind {
        Kind::Amount => decode_amount(bytes).map(Leaf::Amount),
        Kind::Account => AccountRecord2::from_bytes(bytes).map(Leaf::Account),
        Kind::Bytes => Ok(Leaf::Stored),
    };
    leaf.map_err(|error| StateReadError(format!("the {kind:?} leaf {key:?} is corrupt: {error}")))
}
