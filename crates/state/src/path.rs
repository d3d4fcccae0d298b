//! Places in the tree: the prefix of an inner node, and one of its 256 slots.
//!
//! *Invariants:* a prefix has at most 63 bytes, so that a byte of every key remains to choose a slot; bytes after its
//! length are zero, so equal prefixes are equal values; prefixes are ordered as byte strings, a node before everything
//! below it.

use rustorium_types::{AccountId, StateKey};
use std::cmp::Ordering;
use std::fmt;

/// Bytes of a key.
pub const KEY_BYTES: usize = 64;

/// Bytes of the longest prefix.
pub const PREFIX_BYTES_MAX: usize = KEY_BYTES - 1;

/// The common prefix of all keys below an inner node.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    length: u8,
    bytes: [u8; PREFIX_BYTES_MAX],
}

impl Prefix {
    /// The prefix of the top node.
    pub const EMPTY: Self = Self { length: 0, bytes: [0; PREFIX_BYTES_MAX] };

    /// Returns a prefix of these bytes; `None` if they are more than 63.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut prefix = Self { length: u8::try_from(bytes.len()).ok()?, ..Self::EMPTY };
        prefix.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(prefix)
    }

    /// Returns the first `length` bytes of a key, at most 63.
    pub(crate) fn of_key(key: &[u8; KEY_BYTES], length: usize) -> Self {
        assert!(length <= PREFIX_BYTES_MAX, "a byte is left for the slot");
        let mut bytes = [0; PREFIX_BYTES_MAX];
        bytes[..length].copy_from_slice(&key[..length]);
        Self { length: length as u8, bytes }
    }

    /// Returns the bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Returns the number of bytes.
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }

    /// Returns the first key that can begin with this prefix.
    pub fn first_key(&self) -> StateKey {
        let mut bytes = [0; KEY_BYTES];
        bytes[..self.length()].copy_from_slice(self.as_slice());
        let (mut account, mut name) = ([0; 32], [0; 32]);
        account.copy_from_slice(&bytes[..32]);
        name.copy_from_slice(&bytes[32..]);
        StateKey { account: AccountId(account), name }
    }

    /// Returns the slot for a key or longer prefix with these bytes; `None` if they don't extend this prefix.
    pub fn slot_of(&self, path: &[u8]) -> Option<SlotId> {
        let rest = path.strip_prefix(self.as_slice())?;
        rest.first().map(|&index| SlotId { node: *self, index })
    }
}

impl Ord for Prefix {
    fn cmp(&self, other: &Self) -> Ordering {
        // The bytes after the length are zero, so a prefix comes before its extensions.
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

/// A slot of an inner node, chosen by the byte after the node's prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotId {
    /// The node.
    pub node: Prefix,
    /// Index of the slot, one of 256.
    pub index: u8,
}

impl SlotId {
    /// Returns a key for stores: the node's prefix length, its prefix, the index. So a node's slots stand side by side,
    /// and prefixes of one length are ordered by path.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.node.length() + 2);
        bytes.push(self.node.length);
        bytes.extend_from_slice(self.node.as_slice());
        bytes.push(self.index);
        bytes
    }
}

/// Returns the number of bytes at the beginning that two paths have in common.
pub(crate) fn common_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
