//! The owners' wishes for other operators: the record in the state (V48).
//!
//! *Invariants:* an owner has one wish at most, for each validator that it owns; a wish of a key that owns the validator no
//! more doesn't count.

use crate::committee::CommitteeRecord;
use crate::corrupt::corrupt;
use crate::keys::Name;
use crate::{StateRead, StateReadError};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{VALIDATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{BoundedVec, DecodeError, Hash, PublicKey, SYSTEM_ACCOUNT, StateKey, decode};

/// Longest time that a wish counts.
pub const WISH_MS_MAX: u64 = 7 * 24 * 3600 * 1000;

/// The wish of a validator's owner for other operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Wish {
    /// The validator's number.
    pub number: u32,
    /// The key of the owner that has the wish.
    pub owner_key: PublicKey,
    /// Hash of the change that sets the operators (`rustorium_crypto::change_hash`).
    pub change: Hash,
    /// Header time from which the wish counts no more, Unix ms.
    pub until_ms: u64,
}

/// The leaf of all wishes. Without a leaf there is none.
#[derive(Clone, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Wishes(pub BoundedVec<Wish, VALIDATORS_MAX>);

/// Bytes of the largest leaf.
pub(crate) const WISHES_BYTES_MAX: usize = 4 + VALIDATORS_MAX * (4 + 32 + 32 + 8);

impl Wishes {
    /// Decodes a leaf's value.
    ///
    /// # Errors
    /// The bytes are no wishes.
    pub fn from_bytes(stored: Option<&[u8]>) -> Result<Self, DecodeError> {
        stored.map_or(Ok(Self::default()), |bytes| decode(bytes, VALUE_BYTES_MAX))
    }

    /// Reads the wishes.
    ///
    /// # Errors
    /// The state can't be read.
    pub fn read(state: &dyn StateRead) -> Result<Self, StateReadError> {
        Self::from_bytes(state.get(&wishes_key())?.as_deref()).map_err(corrupt)
    }

    /// Returns the wishes that count at a header time: those of the present owners of wanted validators.
    pub fn counted<'a>(&'a self, committee: &'a CommitteeRecord, now_ms: u64) -> impl Iterator<Item = &'a Wish> {
        let owns = |wish: &Wish| committee.validator(wish.number).is_some_and(|one| one.owner_key == wish.owner_key);
        self.0.iter().filter(move |wish| wish.until_ms > now_ms && owns(wish))
    }
}

/// Returns the key of the leaf of the owners' wishes.
pub fn wishes_key() -> StateKey {
    Name::Wishes.key(SYSTEM_ACCOUNT)
}
