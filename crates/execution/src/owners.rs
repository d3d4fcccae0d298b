//! Validators' numbers, and their owners as senders: the records in the state (V36, V37).
//!
//! *Invariants:* what isn't written is as the committee's record says, so nothing is written when version 2 begins; a
//! validator keeps its number while its keys and its owner change, and no number is used twice.

use crate::corrupt::corrupt;
use crate::governance::{pay, room};
use crate::keys::Name;
use crate::{StateRead, StateReadError};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{VALIDATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{BoundedVec, DecodeError, Epoch, SYSTEM_ACCOUNT, StateKey, decode, encode};

/// The numbers of the wanted committee's validators, and the owners that changed hands. It is part of the committee's
/// record.
#[derive(Clone, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Owners {
    /// The number of each validator of the wanted committee, in its order.
    pub numbers: BoundedVec<u32, VALIDATORS_MAX>,
    /// The number of the next validator.
    pub next: u32,
    /// The epoch of `changed`.
    pub epoch: Epoch,
    /// The validators whose owner alone set another one in that epoch (V47).
    pub changed: BoundedVec<u32, VALIDATORS_MAX>,
}

impl Owners {
    /// Returns what holds before anything is written: a validator's number is its place.
    pub(crate) fn of_places(validators: usize) -> Self {
        let next = validators as u32;
        Self { numbers: BoundedVec::new((0..next).collect()).unwrap_or_default(), next, ..Self::default() }
    }

    /// Returns the record after a validator was added behind the others.
    #[must_use]
    pub(crate) fn with_new(self) -> Self {
        let mut numbers = self.numbers.into_vec();
        numbers.push(self.next);
        // The committee has the same bound.
        let numbers = BoundedVec::new(numbers).unwrap_or_default();
        Self { numbers, next: self.next.saturating_add(1), ..self }
    }

    /// Returns the record after the validator at this place was removed, and its number.
    pub(crate) fn without(self, place: usize) -> (Self, u32) {
        let mut numbers = self.numbers.into_vec();
        let number = if place < numbers.len() { numbers.remove(place) } else { u32::MAX };
        let stays = |one: &u32| *one != number;
        let changed = self.changed.into_vec().into_iter().filter(stays).collect();
        let (numbers, changed) = (BoundedVec::new(numbers), BoundedVec::new(changed));
        (Self { numbers: numbers.unwrap_or_default(), changed: changed.unwrap_or_default(), ..self }, number)
    }

    /// Tells if a validator's owner alone set another one in this epoch.
    pub fn was_changed(&self, epoch: Epoch, number: u32) -> bool {
        self.epoch == epoch && self.changed.contains(&number)
    }

    /// Returns the record after a validator's owner alone set another one.
    #[must_use]
    pub(crate) fn with_changed(self, epoch: Epoch, number: u32) -> Self {
        let before = if self.epoch == epoch { self.changed.into_vec() } else { Vec::new() };
        // Each is another validator of the committee, which has the same bound.
        let changed = BoundedVec::new(before.into_iter().chain([number]).collect()).unwrap_or_default();
        Self { epoch, changed, ..self }
    }
}

/// The leaf of a validator's owner: what it did as a sender. Without a leaf it did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct OwnerRecord {
    /// The nonce of the owner's next transaction.
    pub nonce: u64,
    /// Header time up to which the owner's operations are paid by its rate, Unix ms.
    pub paid_ms: u64,
}

impl OwnerRecord {
    /// Decodes a leaf's value.
    ///
    /// # Errors
    /// The bytes are no record.
    pub fn from_bytes(stored: Option<&[u8]>) -> Result<Self, DecodeError> {
        stored.map_or(Ok(Self::default()), |bytes| decode(bytes, VALUE_BYTES_MAX))
    }

    /// Encodes the leaf's value.
    pub fn to_bytes(self) -> Vec<u8> {
        encode(&self)
    }

    /// Reads the record of the owner of the validator with this number.
    ///
    /// # Errors
    /// The state can't be read.
    pub fn read(state: &dyn StateRead, number: u32) -> Result<Self, StateReadError> {
        Self::from_bytes(state.get(&owner_key(number))?.as_deref()).map_err(corrupt)
    }

    /// Returns the number of operations that the owner may do now.
    pub fn room(&self, now_ms: u64) -> u64 {
        room(self.paid_ms, now_ms)
    }

    /// Returns the record after a transaction of so many operations; `None` if the owner has no room for them.
    pub(crate) fn spend(self, now_ms: u64, operations: u64) -> Option<Self> {
        let paid_ms = pay(self.paid_ms, now_ms, operations)?;
        Some(Self { nonce: self.nonce.saturating_add(1), paid_ms })
    }
}

/// Returns the key of the leaf of the owner of the validator with this number.
pub fn owner_key(number: u32) -> StateKey {
    Name::Owner(number).key(SYSTEM_ACCOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_are_never_used_twice() {
        let owners = Owners::of_places(3).with_changed(Epoch(4), 1);
        let (owners, gone) = owners.without(1);
        assert_eq!((gone, owners.numbers.as_slice(), owners.next), (1, &[0, 2][..], 3));
        assert!(owners.changed.is_empty());
        let owners = owners.with_new();
        assert_eq!((owners.numbers.as_slice(), owners.next), (&[0, 2, 3][..], 4));
        let owners = owners.with_changed(Epoch(4), 2).with_changed(Epoch(4), 3);
        assert!(owners.was_changed(Epoch(4), 2) && owners.was_changed(Epoch(4), 3));
        let owners = owners.with_changed(Epoch(5), 0);
        assert_eq!(owners.changed.as_slice(), [0], "a new epoch, new turns");
        assert!(!owners.was_changed(Epoch(4), 0) && !owners.was_changed(Epoch(5), 2));
    }
}
