//! A value that is read under a limit of its length (V54).
//!
//! *Invariants:* it depends on the value and on the limit alone.

/// The value of a leaf that exists, as far as a limit allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LimitedValue {
    /// The value.
    Whole(Vec<u8>),
    /// The value has more bytes than the limit.
    Longer,
}

impl LimitedValue {
    /// Returns the value as a read with this limit finds it.
    pub fn of(value: Vec<u8>, bytes_max: usize) -> Self {
        if value.len() > bytes_max { Self::Longer } else { Self::Whole(value) }
    }
}
