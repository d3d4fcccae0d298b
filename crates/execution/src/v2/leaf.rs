//! A leaf's value in memory under version 2, and the storage bytes that it is charged for.
//!
//! *Invariants:* as under version 1, except for accounts' records.

use super::record::{AccountRecord2, NEW_RECORD_STORAGE};
use crate::v1::ledger::footprint;
use crate::v1::record::encode_amount;
use std::borrow::Cow;

/// A leaf's value in memory.
#[derive(Debug, Clone)]
pub(crate) enum Leaf<'a> {
    Absent,
    Amount(u128),
    Account(AccountRecord2),
    /// The value as it was read.
    Stored,
    Bytes(Cow<'a, [u8]>),
}

impl Leaf<'_> {
    /// Returns the value, unless it is the one that was read.
    pub(crate) fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Leaf::Absent | Leaf::Stored => None,
            Leaf::Amount(amount) => Some(Cow::Owned(encode_amount(*amount))),
            Leaf::Account(record) => Some(Cow::Owned(record.to_bytes())),
            Leaf::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        }
    }

    /// Returns the storage bytes of the leaf if it is written.
    pub(crate) fn footprint(&self) -> u64 {
        match self {
            Leaf::Absent | Leaf::Stored => 0,
            Leaf::Amount(_) => footprint(Some(size_of::<u128>())),
            // Accounts never end and a record's length doesn't count, so this is asked for new ones alone.
            Leaf::Account(_) => NEW_RECORD_STORAGE,
            Leaf::Bytes(bytes) => footprint(Some(bytes.len())),
        }
    }
}
