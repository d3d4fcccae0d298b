//! Values that a block has read and may ask for again: grants, verifiers, heads of pools, the committee (V55).
//!
//! *Invariants:* at most `BYTES_MAX` bytes, and whoever asks can read what is missing again.

use super::slots::At;
use std::collections::HashMap;

/// Bytes of values that are held at most.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that a value takes besides its own.
const ENTRY_BYTES: usize = 128;

/// The values in memory.
#[derive(Default)]
pub(crate) struct Values {
    held: HashMap<At, Vec<u8>>,
    bytes: usize,
}

impl Values {
    /// Holds a value. If there is no room, all others make room.
    pub(crate) fn insert(&mut self, at: At, value: Vec<u8>) {
        let more = value.len() + ENTRY_BYTES;
        if self.bytes + more > BYTES_MAX {
            self.held.clear();
            self.bytes = 0;
        }
        self.bytes += more;
        self.held.insert(at, value);
    }

    pub(crate) fn holds(&self, at: At) -> bool {
        self.held.contains_key(&at)
    }

    pub(crate) fn get(&self, at: At) -> Option<&[u8]> {
        self.held.get(&at).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_take_more_than_their_room() {
        let mut values = Values::default();
        let places: Vec<At> = (0..2_000).map(At).collect();
        for at in &places {
            values.insert(*at, vec![7; 64 * 1024]);
            assert!(values.bytes <= BYTES_MAX && values.holds(*at));
            assert_eq!(values.bytes, values.held.len() * (64 * 1024 + ENTRY_BYTES));
        }
        assert!(!values.holds(places[0]), "the first ones made room");
    }
}
