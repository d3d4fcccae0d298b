//! Grants under version 2: which keys of an account's namespace another account may set or remove, and until when (V34).
//!
//! *Invariants:* one encoding per grant: one of both rights without an end, of era 0, is that of version 1, and any other
//! begins with a byte with which none of version 1 begins; a grant that allows nothing has no leaf.

use crate::v1::record::{Prefixes, decode_grant};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{GRANT_PREFIXES_MAX, KEY_BYTES_MAX};
use rustorium_types::{DecodeError, Rights, decode, encode};

/// First byte of a grant of version 2. Those of version 1 begin with the number of prefixes.
const TAG: u8 = 0xF2;
const _: () = assert!(GRANT_PREFIXES_MAX < TAG as usize);
/// Bytes of the largest grant: tag, rights, end, prefixes, era.
pub(crate) const GRANT_BYTES_MAX: usize = 1 + 1 + 9 + 4 + GRANT_PREFIXES_MAX * (4 + KEY_BYTES_MAX) + 4;

/// A kind of write in another account's namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Right {
    /// Setting a key.
    Put,
    /// Removing a key.
    Delete,
}

/// The right of an account to write in another one's namespace.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Grant {
    /// The kinds of writes.
    pub rights: Rights,
    /// Header time from which it has no effect, Unix ms.
    pub until_ms: Option<u64>,
    /// Prefixes of the keys.
    pub prefixes: Prefixes,
    /// Era of the owner's grants in which it was made (V33).
    pub era: u32,
}

impl Grant {
    /// Returns a grant of both rights without an end, of era 0.
    pub(crate) fn of_all(prefixes: Prefixes) -> Self {
        Self { rights: Rights::ALL, until_ms: None, prefixes, era: 0 }
    }

    /// Tells if version 1 can say it.
    fn is_of_all(&self) -> bool {
        self.rights == Rights::ALL && self.until_ms.is_none() && self.era == 0
    }

    /// Returns the leaf's value if it is written at `now_ms`; `None` if it allows nothing from then on.
    pub(crate) fn to_bytes(&self, now_ms: u64) -> Option<Vec<u8>> {
        if self.rights == Rights::default() || self.prefixes.is_empty() || self.has_ended(now_ms) {
            return None;
        }
        Some(if self.is_of_all() { encode(&self.prefixes) } else { encode(&(TAG, self)) })
    }

    /// Decodes a leaf's value.
    ///
    /// # Errors
    /// The bytes are no grant.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.first() != Some(&TAG) {
            return decode_grant(bytes).map(Self::of_all);
        }
        let (_, grant): (u8, Self) = decode(bytes, GRANT_BYTES_MAX)?;
        Ok(grant)
    }

    fn has_ended(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }

    /// Tells if it allows something at `now_ms`, in this era of the owner's grants.
    pub fn is_valid(&self, now_ms: u64, era: u32) -> bool {
        self.era == era && !self.has_ended(now_ms)
    }

    /// Tells if it allows this kind of write of a key at `now_ms`, in this era of the owner's grants.
    pub(crate) fn allows(&self, right: Right, key: &[u8], now_ms: u64, era: u32) -> bool {
        let given = match right {
            Right::Put => self.rights.put,
            Right::Delete => self.rights.delete,
        };
        let holds = given && self.era == era && !self.has_ended(now_ms);
        holds && self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{BoundedBytes, BoundedVec};

    fn grant(put: bool, delete: bool, until_ms: Option<u64>, prefixes: &[&[u8]]) -> Grant {
        let prefixes = prefixes.iter().map(|prefix| BoundedBytes::new(prefix.to_vec()).expect("short")).collect();
        Grant { rights: Rights { put, delete }, until_ms, prefixes: BoundedVec::new(prefixes).expect("few"), era: 0 }
    }

    #[test]
    fn a_grant_of_version_1_is_one_of_both_rights_without_an_end() {
        let all = grant(true, true, None, &[b"a", b""]);
        let bytes = all.to_bytes(u64::MAX).expect("it allows something");
        assert_eq!(bytes, encode(&all.prefixes));
        assert_eq!(Grant::from_bytes(&bytes), Ok(all));
    }

    #[test]
    fn every_other_grant_is_read_as_it_was_written() {
        let long = vec![7; KEY_BYTES_MAX];
        let largest = [long.as_slice(); GRANT_PREFIXES_MAX];
        for made in [
            grant(true, false, None, &[b"a"]),
            grant(false, true, None, &[b"a"]),
            grant(true, true, Some(5), &[b""]),
            grant(true, false, Some(u64::MAX), &largest),
            Grant { era: 1, ..grant(true, true, None, &[b"a"]) },
        ] {
            let bytes = made.to_bytes(4).expect("it allows something");
            assert!(bytes.len() <= GRANT_BYTES_MAX);
            assert_eq!(bytes.first(), Some(&TAG));
            assert_eq!(Grant::from_bytes(&bytes), Ok(made));
            assert!(Grant::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        }
        assert_eq!(grant(true, false, Some(1), &largest).to_bytes(0).map(|bytes| bytes.len()), Some(GRANT_BYTES_MAX));
    }

    #[test]
    fn a_grant_that_allows_nothing_has_no_leaf() {
        assert_eq!(grant(false, false, None, &[b"a"]).to_bytes(0), None);
        assert_eq!(grant(true, true, None, &[]).to_bytes(0), None);
        assert_eq!(grant(true, true, Some(5), &[b"a"]).to_bytes(5), None);
        assert!(grant(true, true, Some(5), &[b"a"]).to_bytes(4).is_some());
    }

    #[test]
    fn each_right_its_keys_and_its_time() {
        let put = grant(true, false, Some(5), &[b"a/", b"b"]);
        assert!(put.allows(Right::Put, b"a/1", 4, 0) && put.allows(Right::Put, b"b", 0, 0));
        assert!(!put.allows(Right::Put, b"a", 4, 0) && !put.allows(Right::Put, b"a/1", 5, 0));
        assert!(!put.allows(Right::Delete, b"a/1", 4, 0));
        let delete = grant(false, true, None, &[b""]);
        assert!(delete.allows(Right::Delete, b"any", u64::MAX, 0) && !delete.allows(Right::Put, b"any", 0, 0));
        let later = Grant { era: 2, ..delete };
        assert_eq!([1, 2, 3].map(|era| later.allows(Right::Delete, b"any", 0, era)), [false, true, false]);
    }
}
