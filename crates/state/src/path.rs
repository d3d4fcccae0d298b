//! Places in the tree: the prefix of an inner node, and one of its 256 slots.
//!
//! *Invariants:* a prefix has at most 63 bytes, so that a byte of every key is left to choose a slot; bytes behind its
//! length are zero, so equal prefixes are equal values; prefixes are ordered as byte strings, a node before all below it.

use std::cmp::Ordering;
use std::fmt;

/// Bytes of a key.
pub const KEY_BYTES: usize = 64;

/// Bytes that the longest prefix has.
pub const PREFIX_BYTES_MAX: usize = KEY_BYTES - 1;

/// What all keys below an inner node begin with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    length: u8,
    bytes: [u8; PREFIX_BYTES_MAX],
}

impl Prefix {
    /// The top node's.
    pub const EMPTY: Self = Self { length: 0, bytes: [0; PREFIX_BYTES_MAX] };

    /// A prefix of these bytes; none when they are more than 63.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut prefix = Self { length: u8::try_from(bytes.len()).ok()?, ..Self::EMPTY };
        prefix.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(prefix)
    }

    /// The first `length` bytes of a key, at most 63.
    pub(crate) fn of_key(key: &[u8; KEY_BYTES], length: usize) -> Self {
        assert!(length <= PREFIX_BYTES_MAX, "a byte is left for the slot");
        let mut bytes = [0; PREFIX_BYTES_MAX];
        bytes[..length].copy_from_slice(&key[..length]);
        Self { length: length as u8, bytes }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// How many there are.
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }

    /// The slot into which a key or longer prefix with these bytes goes; none when they don't extend this prefix.
    pub fn slot_of(&self, path: &[u8]) -> Option<SlotId> {
        let rest = path.strip_prefix(self.as_slice())?;
        rest.first().map(|&index| SlotId { node: *self, index })
    }
}

impl Ord for Prefix {
    fn cmp(&self, other: &Self) -> Ordering {
        // Behind the length there are zeros, so a prefix comes before what extends it.
        self.bytes.cmp(&other.bytes).then(self.length.cmp(&other.length))
    }
}

impl PartialOrd for Prefix {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Prefix(")?;
        self.as_slice().iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
        out.write_str(")")
    }
}

/// A slot of an inner node: where one byte after its prefix leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotId {
    /// The node.
    pub node: Prefix,
    /// Which of its 256 slots.
    pub index: u8,
}

impl SlotId {
    /// A key for stores: the node's prefix length, its prefix, the index. So a node's slots stand side by side, and within
    /// a length all is ordered by path.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.node.length() + 2);
        bytes.push(self.node.length);
        bytes.extend_from_slice(self.node.as_slice());
        bytes.push(self.index);
        bytes
    }
}

/// How many bytes two paths have in common at their beginning.
pub(crate) fn common_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
