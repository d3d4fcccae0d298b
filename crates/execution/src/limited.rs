//! Reads of leaves whose values a transaction may be unable to pay for (V54).
//!
//! *Invariants:* the answer depends on the state and the bound alone, never on caches.

use crate::v1::ledger::{StateRead, StateReadError};
use rustorium_types::{LimitedValue, StateKey};

/// A reader of the state before the block that knows how long a value is before it reads it.
pub trait LimitedRead: StateRead {
    /// Returns the leaf's value if it has at most `bytes_max` bytes; `None` if there is no such leaf. A reader of stored
    /// rows overrides this, and opens no row that is too long.
    ///
    /// # Errors
    /// The leaf can't be read.
    fn get_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StateReadError> {
        Ok(self.get(key)?.map(|value| LimitedValue::of(value, bytes_max)))
    }
}
