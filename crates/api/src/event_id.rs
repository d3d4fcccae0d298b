//! Ids of events on the event stream, by which a reader resumes.
//!
//! *Invariants:* an id is digits and dots; an id without a shard is one of an earlier release, and of shard 0.

use crate::answers::Place;
use core::fmt;
use core::str::FromStr;
use rustorium_types::{Height, ShardId};

/// Id of an event: `shard.height.index`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventId {
    /// The shard; `None` in the form of earlier releases, `height.index`.
    pub named: Option<ShardId>,
    /// Position in the shard's chain.
    pub place: Place,
}

impl EventId {
    /// Parses an id of this release or of an earlier one. Returns `None` if the text is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, index) = text.rsplit_once('.')?;
        let (named, height) = match rest.split_once('.') {
            Some((shard, height)) => (Some(ShardId(parse_digits(shard)?)), height),
            None => (None, rest),
        };
        Some(Self { named, place: (Height(parse_digits(height)?), parse_digits(index)?) })
    }

    /// Shard of the event. Earlier releases had the root shard alone.
    pub fn shard(&self) -> ShardId {
        self.named.unwrap_or(ShardId::ROOT)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (height, index) = self.place;
        self.named.map_or(Ok(()), |shard| write!(f, "{shard}."))?;
        write!(f, "{height}.{index}")
    }
}

/// Parses a number of digits alone. The standard parser takes a sign, too.
pub fn parse_digits<T: FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(named: Option<u32>, height: u64, index: u32) -> EventId {
        EventId { named: named.map(ShardId), place: (Height(height), index) }
    }

    #[test]
    fn ids_name_their_shard_and_old_ones_are_of_shard_0() {
        for (text, read, shard) in [
            ("3.7.1", id(Some(3), 7, 1), 3),
            ("0.7.1", id(Some(0), 7, 1), 0),
            ("7.1", id(None, 7, 1), 0),
            ("4294967295.18446744073709551615.4294967295", id(Some(u32::MAX), u64::MAX, u32::MAX), u32::MAX),
        ] {
            assert_eq!(EventId::parse(text), Some(read), "{text}");
            assert_eq!((read.to_string(), read.shard()), (text.to_owned(), ShardId(shard)));
        }
    }

    #[test]
    fn nothing_else_is_an_id() {
        let (large, longer) = ("4294967296.1.1", "0.18446744073709551616.0");
        for text in
            ["", "7", ".", "..", "7.", ".7", "0..1", "1.2.3.4", "+1.2", "-1.2.3", "1.2.x", " 1.2", large, longer]
        {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }
}
