//! Amounts as decimal strings, bytes as hex digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;

/// An amount of an asset in its smallest units: a decimal string in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Amount(pub u128);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let amount = text.parse().ok().filter(|_| canonical);
        amount
            .map(Self)
            .ok_or_else(|| de::Error::custom("an amount is a decimal string below 2^128 without leading zeros"))
    }
}

/// `N` bytes: hex digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(text.as_ref(), &mut bytes)
            .map_err(|_| de::Error::custom(format!("expected {N} bytes as hex digits")))?;
        Ok(Self(bytes))
    }
}

/// Returns the text of UTF-8 bytes; `None` for other bytes.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A value as text or as hex digits; one of the two is there.
pub(super) type TextOrHex = (Option<String>, Option<String>);

/// Shows a value once: as text if it is UTF-8 without control characters (except tab and line ends), otherwise as hex
/// digits. In JSON that takes at most two characters a byte.
pub(super) fn once(value: &[u8]) -> TextOrHex {
    let readable = |text: &String| text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'));
    match text(value).filter(|text| readable(text)) {
        Some(text) => (Some(text), None),
        None => (None, Some(hex::encode(value))),
    }
}
