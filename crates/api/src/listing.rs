//! Listing the keys of a namespace, in pages.

use crate::answers::At;
use rustorium_types::{AccountId, Height};

/// Position where the next page of a listing starts, with the height at which all pages hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyCursor {
    /// The height.
    pub height: Height,
    /// The hash of the first name to look at.
    pub name: [u8; 32],
}

impl KeyCursor {
    /// Size of an encoded cursor.
    pub const BYTES: usize = 40;

    /// Encodes the cursor for a client.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.height.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.name);
        bytes
    }

    /// Decodes a cursor; `None` if the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (height, name) = bytes.split_first_chunk()?;
        Some(Self { height: Height(u64::from_be_bytes(*height)), name: name.try_into().ok()? })
    }
}

/// Starting point of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListFrom {
    /// The first page, of the newest state.
    Latest,
    /// The first page, of the state after a height.
    Height(Height),
    /// The page that follows another one.
    Cursor(KeyCursor),
}

/// Request for a page of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// Owner of the namespace.
    pub namespace: AccountId,
    /// Prefix of the keys.
    pub prefix: Vec<u8>,
    /// Starting point.
    pub from: ListFrom,
    /// Maximum number of keys.
    pub limit: usize,
    /// Maximum bytes of keys and values before the page ends.
    pub bytes_max: usize,
}

/// A key that a listing found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundKey {
    /// Hash of the name, as cursors contain it.
    pub name: [u8; 32],
    /// The key.
    pub key: Vec<u8>,
    /// Value of the key.
    pub value: Vec<u8>,
}

/// A page of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedKeys {
    /// Keys and values, in no meaningful order.
    pub keys: Vec<FoundKey>,
    /// Start of the next page; `None` on the last one. A short page may still have a next one.
    pub next: Option<KeyCursor>,
    /// Height and root at which all pages of the listing hold.
    pub at: At,
}
