//! A page of a namespace's keys as JSON.

use super::AtView;
use super::scalar::{once, text};
use rustorium_types::{AccountId, Hash};
use serde::Serialize;
use utoipa::ToSchema;

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
