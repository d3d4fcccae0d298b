//! An account's record under version 2 (V27).
//!
//! *Invariants:* a record in the form of version 1 has 64 bytes, and one in the form of version 2 never has, so the length
//! tells the form; both forms are read alike, and the second one is written.

use super::custody::CustodyState;
use crate::v1::record::{AccountRecord, LEAF_KEY_BYTES, RECORD_BYTES};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::{DecodeError, Parameters, Signer, decode, encode};

/// First byte of a record in the form of version 2.
const TAG: u8 = 2;
/// Bytes of a record in the form of version 2.
pub const RECORD2_BYTES: usize = 71;
/// Storage bytes that a new account's record is charged for with its key, whatever bytes it has. A record from version 1
/// was charged for `LEAF_KEY_BYTES + RECORD_BYTES`, and isn't charged again.
pub const NEW_RECORD_STORAGE: u64 = 192;

// The constant leaves room for the fields that come with prices.
const _: () = assert!(RECORD2_BYTES != RECORD_BYTES && LEAF_KEY_BYTES + RECORD2_BYTES as u64 <= NEW_RECORD_STORAGE);

/// An account's own leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct AccountRecord2 {
    /// The authority that acts for the account.
    pub signer: Signer,
    /// The nonce of the account's next transaction.
    pub nonce: u64,
    /// Work quota left at `quota_at_ms`.
    pub quota_left: u64,
    /// Header time up to which growth of the quota is counted, Unix ms.
    pub quota_at_ms: u64,
    /// Bytes that the account may still store.
    pub storage_bytes_left: u64,
    /// Tells if the account has a custody leaf.
    pub custody: CustodyState,
    /// Number of times that the account's grants became void. A grant of another era allows nothing (V33).
    pub grants_era: u32,
}

impl AccountRecord2 {
    /// Encodes the leaf's value in the form of version 2.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(&(TAG, *self))
    }

    /// Decodes a leaf's value in the form of either version. Errors: no record has such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() == RECORD_BYTES {
            return AccountRecord::from_bytes(bytes).map(Self::from);
        }
        match decode(bytes, RECORD2_BYTES)? {
            (TAG, record) => Ok(record),
            (tag, _) => Err(DecodeError::Malformed(format!("there is no account record of version {tag}"))),
        }
    }

    /// Returns the work quota at header time `now_ms`: the quota left then and its growth since, up to the cap.
    pub fn quota(&self, parameters: &Parameters, now_ms: u64) -> u64 {
        self.in_first_form().quota(parameters, now_ms)
    }

    /// Takes `work` from the quota at `now_ms`; `None` if there is less.
    #[must_use]
    pub(crate) fn spend(self, parameters: &Parameters, now_ms: u64, work: u64) -> Option<Self> {
        let AccountRecord { quota_left, quota_at_ms, .. } = self.in_first_form().spend(parameters, now_ms, work)?;
        Some(Self { quota_left, quota_at_ms, ..self })
    }

    /// Returns the record with its numbers alone, as both versions count a quota alike.
    fn in_first_form(&self) -> AccountRecord {
        let Self { nonce, quota_left, quota_at_ms, storage_bytes_left, .. } = *self;
        AccountRecord { public_key: [0; 32], nonce, quota_left, quota_at_ms, storage_bytes_left }
    }
}

impl From<AccountRecord> for AccountRecord2 {
    fn from(first: AccountRecord) -> Self {
        let AccountRecord { public_key, nonce, quota_left, quota_at_ms, storage_bytes_left } = first;
        let (custody, grants_era) = (CustodyState::Absent, 0);
        let signer = Signer::Single(public_key);
        Self { signer, nonce, quota_left, quota_at_ms, storage_bytes_left, custody, grants_era }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::Hash;

    fn record(signer: Signer) -> AccountRecord2 {
        let (custody, grants_era) = (CustodyState::Absent, 0);
        AccountRecord2 { signer, nonce: 3, quota_left: 4, quota_at_ms: 5, storage_bytes_left: 6, custody, grants_era }
    }

    #[test]
    fn a_record_is_read_in_either_form_and_written_in_the_second() {
        for signer in [Signer::Single([7; 32]), Signer::Many(Hash([7; 32]))] {
            for custody in [CustodyState::Absent, CustodyState::Settled, CustodyState::Pending] {
                let record = AccountRecord2 { custody, grants_era: 7, ..record(signer) };
                let bytes = record.to_bytes();
                assert_eq!((bytes.len(), bytes[0]), (RECORD2_BYTES, TAG));
                assert_eq!(AccountRecord2::from_bytes(&bytes), Ok(record));
            }
        }
        let first = record(Signer::Single([0; 32])).in_first_form();
        assert_eq!(AccountRecord2::from_bytes(&first.to_bytes()), Ok(record(Signer::Single([0; 32]))));
    }

    /// V27: a record of version 1 may begin with any byte, also with that of version 2.
    #[test]
    fn the_length_tells_the_form() {
        let first = AccountRecord { public_key: [TAG; 32], ..record(Signer::Single([0; 32])).in_first_form() };
        assert_eq!(AccountRecord2::from_bytes(&first.to_bytes()), Ok(record(Signer::Single([TAG; 32]))));
    }

    #[test]
    fn other_bytes_are_no_record() {
        let bytes = record(Signer::Single([7; 32])).to_bytes();
        let changed = |place: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[place] = byte;
            bytes
        };
        let shorter = bytes[..RECORD2_BYTES - 1].to_vec();
        let longer = [&bytes[..], &[0]].concat();
        for wrong in [vec![], vec![TAG], shorter, longer, changed(0, 1), changed(0, 3), changed(1, 2), changed(66, 3)] {
            assert!(AccountRecord2::from_bytes(&wrong).is_err(), "{wrong:?}");
        }
    }
}
