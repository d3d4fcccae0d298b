//! A page of a namespace's keys as JSON.

use super::AtView;
use super::scalar::{once, text};
use rustorium_types::{AccountId, Hash};
use serde::Serialize;
use utoipa::ToSchema;

/// One key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ListedKey {
    /// The key, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key.
    pub key_hex: String,
    /// Bytes of its value.
    pub value_bytes: usize,
    /// BLAKE3 of its value, as `Require` names it.
    #[schema(value_type = String)]
    pub value_hash: Hash,
    /// The value, where it was asked for and is text without control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value as hex digits, where it was asked for and isn't text.
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

/// A page of keys, in no order that means anything. It may be short, or empty, and have a next one all the same: it ends after
/// 1 MiB of JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct KeysPage {
    /// Whose namespace.
    #[schema(value_type = String)]
    pub namespace: AccountId,
    /// The keys.
    pub keys: Vec<ListedKey>,
    /// Give as `cursor` for the next page; none on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Where all pages of the listing hold.
    pub at: AtView,
}
