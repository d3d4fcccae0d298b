//! Pages of a namespace's keys, of an account's balances and of a key's versions as JSON.

use super::scalar::{Amount, once, text};
use super::schema::ToSchema;
use super::{AtView, RightView};
use crate::listing::KeyVersion;
use rustorium_execution::Grant;
use rustorium_types::{AccountId, AssetId, Hash, Height, TxId};
use serde::Serialize;

/// A key of a namespace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ListedKey {
    /// The key, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key as hex digits.
    pub key_hex: String,
    /// Number of bytes of the value.
    pub value_bytes: usize,
    /// BLAKE3 hash of the value, as a `require` operation names it.
    #[schema(value_type = String)]
    pub value_hash: Hash,
    /// The value, if `values` was set and it is text without control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value as hex digits, if `values` was set and it isn't such text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_hex: Option<String>,
}

impl ListedKey {
    /// One key, with its value where `values`.
    pub fn new(key: &[u8], value: &[u8], values: bool) -> Self {
        let (value_text, value_hex) = if values { once(value) } else { (None, None) };
        Self {
            key: text(key),
            key_hex: hex::encode(key),
            value_bytes: value.len(),
            value_hash: rustorium_crypto::value_hash(value),
            value: value_text,
            value_hex,
        }
    }
}

/// A page of keys, in no meaningful order. A page ends after 1 MiB of JSON, so a short or empty page may still have a
/// next one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct KeysPage {
    /// The account whose namespace it is.
    #[schema(value_type = String)]
    pub namespace: AccountId,
    /// The keys.
    pub keys: Vec<ListedKey>,
    /// Value of `cursor` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The state that all pages of the listing describe.
    pub at: AtView,
}

/// An account's balance of one asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BalanceView {
    /// The asset.
    #[schema(value_type = String)]
    pub asset: AssetId,
    /// Smallest units.
    #[schema(value_type = String)]
    pub balance: Amount,
}

/// A page of an account's balances, in no meaningful order. A short or empty page may still have a next one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BalancesPage {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The balances.
    pub balances: Vec<BalanceView>,
    /// Give as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The state that all pages of the listing describe.
    pub at: AtView,
}

/// The rights of an account to write in another one's namespace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct GrantView {
    /// The kinds of writes.
    pub rights: Vec<RightView>,
    /// Key prefixes; an empty one is the whole namespace.
    pub prefixes_hex: Vec<String>,
    /// Header time from which it allows nothing, Unix ms; absent if it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Era of the owner's grants in which it was made. It allows nothing once the account's `grants_era` is another.
    pub era: u32,
}

impl From<&Grant> for GrantView {
    fn from(grant: &Grant) -> Self {
        Self {
            rights: RightView::of(grant.rights),
            prefixes_hex: grant.prefixes.iter().map(|prefix| hex::encode(prefix.as_slice())).collect(),
            until_ms: grant.until_ms,
            era: grant.era,
        }
    }
}

/// A grant that an account gave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ListedGrant {
    /// The account that may write.
    #[schema(value_type = String)]
    pub to: AccountId,
    /// Its rights.
    #[serde(flatten)]
    pub grant: GrantView,
    /// `true` if it allows something after the block that the listing describes.
    pub valid: bool,
}

/// A page of the grants that an account gave, in no meaningful order. A short or empty page may still have a next one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct GrantsPage {
    /// The account that gave them.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The present era of the account's grants.
    pub grants_era: u32,
    /// The grants.
    pub grants: Vec<ListedGrant>,
    /// Give as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The state that all pages of the listing describe.
    pub at: AtView,
}

/// A key's value from a height on, until the next version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct VersionView {
    /// The height that wrote it.
    #[schema(value_type = u64)]
    pub height: Height,
    /// That block's time, Unix ms; absent if the node no longer keeps the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// The transaction that wrote it; absent if the node no longer keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub transaction: Option<TxId>,
    /// True if the key was removed.
    pub removed: bool,
    /// The value, if it is text without control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value as hex digits, if it isn't text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_hex: Option<String>,
}

impl VersionView {
    /// Describes a version.
    pub fn new(version: &KeyVersion) -> Self {
        let (value, value_hex) = version.value.as_deref().map_or((None, None), once);
        Self {
            height: version.height,
            time_ms: version.time_ms,
            transaction: version.transaction,
            removed: version.value.is_none(),
            value,
            value_hex,
        }
    }
}

/// A page of a key's versions, newest first: one for each block that changed the key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct HistoryPage {
    /// Owner of the namespace.
    #[schema(value_type = String)]
    pub namespace: AccountId,
    /// The key, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key.
    pub key_hex: String,
    /// The versions.
    pub versions: Vec<VersionView>,
    /// Give as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub next: Option<Height>,
    /// The oldest height that the node keeps. A version of this height or below may have been written earlier.
    #[schema(value_type = u64)]
    pub kept_from: Height,
    /// The node's newest height.
    pub at: AtView,
}

impl HistoryPage {
    /// Starts a page of a key without versions.
    pub fn new(namespace: AccountId, key: &[u8], kept_from: Height, at: AtView) -> Self {
        Self { namespace, key: text(key), key_hex: hex::encode(key), versions: Vec::new(), next: None, kept_from, at }
    }
}
