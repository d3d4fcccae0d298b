//! Listing the keys of a namespace, in pages.

use crate::answers::At;
use rustorium_types::{AccountId, Height};

/// Where the next page of a listing goes on, and the height at which all of its pages hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyCursor {
    /// The height.
    pub height: Height,
    /// The hash of the first name to look at.
    pub name: [u8; 32],
}

impl KeyCursor {
    /// Bytes of a cursor.
    pub const BYTES: usize = 40;

    /// As a client is given it.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.height.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.name);
        bytes
    }

    /// Reads it back; none for bytes of another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (height, name) = bytes.split_first_chunk()?;
        Some(Self { height: Height(u64::from_be_bytes(*height)), name: name.try_into().ok()? })
    }
}

/// Where a listing begins or goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListFrom {
    /// The first page, of the newest state.
    Latest,
    /// The first page, of the state after a height.
    Height(Height),
    /// The page behind another.
    Cursor(KeyCursor),
}

/// A page of keys that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// Whose namespace.
    pub namespace: AccountId,
    /// What the keys begin with.
    pub prefix: Vec<u8>,
    /// Where it begins.
    pub from: ListFrom,
    /// The most keys.
    pub limit: usize,
    /// Bytes of keys and values after which the page ends.
    pub bytes_max: usize,
}

/// A key that a listing found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundKey {
    /// The hash of its name, as a cursor names it.
    pub name: [u8; 32],
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A page of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedKeys {
    /// Keys and values, in no order that means anything.
    pub keys: Vec<FoundKey>,
    /// Where the next page goes on; none on the last. A page may be short and have a next one all the same.
    pub next: Option<KeyCursor>,
    /// Where all pages of the listing hold.
    pub at: At,
}
