//! Listing the keys of a namespace, an account's balances and a key's versions, in pages.

use crate::answers::At;
use rustorium_execution::Grant;
use rustorium_types::{AccountId, AssetId, Height, Key, TxId};

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

/// Request for a page of an account's balances.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BalanceListing {
    /// The account.
    pub account: AccountId,
    /// Starting point.
    pub from: ListFrom,
    /// Maximum number of balances.
    pub limit: usize,
}

/// A page of an account's balances.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedBalances {
    /// Assets and amounts, in no meaningful order.
    pub balances: Vec<(AssetId, u128)>,
    /// Start of the next page; `None` on the last one. A short page may still have a next one.
    pub next: Option<KeyCursor>,
    /// Height and root at which all pages of the listing hold.
    pub at: At,
}

/// Request for a page of the grants that an account gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantListing {
    /// The account that gave them.
    pub account: AccountId,
    /// Starting point.
    pub from: ListFrom,
    /// Maximum number of grants.
    pub limit: usize,
    /// Size of a page after which it ends, bytes of grants in the state.
    pub bytes_max: usize,
}

/// A page of the grants that an account gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedGrants {
    /// The accounts that may write, each with its grant, in no meaningful order.
    pub grants: Vec<(AccountId, Grant)>,
    /// The present era of the account's grants. Those of another one allow nothing.
    pub era: u32,
    /// Time of the block after which all pages of the listing hold, Unix ms.
    pub time_ms: u64,
    /// Start of the next page; `None` on the last one. A short page may still have a next one.
    pub next: Option<KeyCursor>,
    /// Height and root at which all pages of the listing hold.
    pub at: At,
}

/// Request for a page of a key's versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// Owner of the namespace.
    pub namespace: AccountId,
    /// The key.
    pub key: Key,
    /// If set, only versions below this height.
    pub before: Option<Height>,
    /// Maximum number of versions.
    pub limit: usize,
    /// Bytes of values before the page ends.
    pub bytes_max: usize,
}

/// A key's value from a height on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyVersion {
    /// The height that wrote it.
    pub height: Height,
    /// That block's time, Unix ms; `None` if the block isn't kept.
    pub time_ms: Option<u64>,
    /// The value; `None` if the key was removed.
    pub value: Option<Vec<u8>>,
    /// The transaction that wrote it; `None` if it isn't kept, or wasn't found among many.
    pub transaction: Option<TxId>,
}

/// A page of a key's versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyHistory {
    /// The versions, newest first.
    pub versions: Vec<KeyVersion>,
    /// The next page has the versions below this height; `None` on the last one.
    pub next: Option<Height>,
    /// The oldest height that the node keeps. A version of this height or below may have been written earlier.
    pub kept_from: Height,
    /// The node's newest height.
    pub at: At,
}
