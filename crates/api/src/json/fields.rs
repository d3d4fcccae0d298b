//! Fields of operations: bytes as text and as hex digits, lists within their bounds.
//!
//! *Invariants:* bytes that are given both ways must be the same.

use super::scalar::{Amount, text};
use super::view_error::ViewError;
use rustorium_types::limits::GRANT_PREFIXES_MAX;
use rustorium_types::{BoundedBytes, BoundedVec, Key};

type Pair = (Option<String>, Option<String>);

pub(super) fn pair(bytes: &[u8]) -> Pair {
    (text(bytes), Some(hex::encode(bytes)))
}

pub(super) fn bytes<const MAX: usize>(
    name: &'static str,
    text: Option<String>,
    digits: Option<String>,
) -> Result<BoundedBytes<MAX>, ViewError> {
    let digits = digits.map(|d| hex::decode(d).map_err(|_| ViewError::Hex(name))).transpose()?;
    let bytes = match (text.map(String::into_bytes), digits) {
        (Some(text), Some(digits)) if text != digits => return Err(ViewError::Differ(name)),
        (Some(bytes), _) | (None, Some(bytes)) => bytes,
        (None, None) => return Err(ViewError::Missing(name)),
    };
    BoundedBytes::new(bytes).map_err(|error| ViewError::Bound(name, error))
}

pub(super) fn amount_64(amount: Amount) -> Result<u64, ViewError> {
    u64::try_from(amount.0).map_err(|_| ViewError::Large("amount"))
}

pub(super) fn digits_of<'a>(prefixes: impl Iterator<Item = &'a Key>) -> Vec<String> {
    prefixes.map(|prefix| hex::encode(prefix.as_slice())).collect()
}

pub(super) fn prefixes_of(digits: Vec<String>) -> Result<BoundedVec<Key, GRANT_PREFIXES_MAX>, ViewError> {
    let prefixes = digits.into_iter().map(|digits| bytes("prefixes", None, Some(digits)));
    list("prefixes", prefixes.collect::<Result<Vec<_>, _>>()?.into_iter())
}

pub(super) fn list<T, const MAX: usize>(
    name: &'static str,
    values: impl Iterator<Item = T>,
) -> Result<BoundedVec<T, MAX>, ViewError> {
    BoundedVec::new(values.collect()).map_err(|error| ViewError::Bound(name, error))
}
