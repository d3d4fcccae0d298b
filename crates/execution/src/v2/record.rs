//! An account's record under version 2 (V27).
//!
//! *Invariants:* a record in the form of version 1 has 64 bytes, and one in the form of version 2 never has, so the length
//! tells the form; both forms are read alike, and the second one is written.

use crate::v1::record::{AccountRecord, LEAF_KEY_BYTES, RECORD_BYTES};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::{DecodeError, Signer, decode, encode};

/// The sponsor of accounts that no other stands for.
pub const COMMON: u32 = 0;
/// First byte of a record in the form of version 2.
const TAG: u8 = 2;
/// Bytes of a record in the form of version 2.
pub const RECORD2_BYTES: usize = 83;
/// Storage bytes that a new account's record is charged for with its key, whatever bytes it has. A record from version 1
/// was charged for `LEAF_KEY_BYTES + RECORD_BYTES`, and isn't charged again.
pub const NEW_RECORD_STORAGE: u64 = 192;

const _: () = assert!(RECORD2_BYTES != RECORD_BYTES && LEAF_KEY_BYTES + RECORD2_BYTES as u64 <= NEW_RECORD_STORAGE);

/// Units that an account drew and didn't use yet, and its pace of drawing them (V58).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Allowance {
    /// Units that were drawn and not used.
    pub left: u32,
    /// Header time up to which the account's own credit is taken, Unix µs.
    pub at_us: u64,
}

impl Allowance {
    /// Returns the allowance of an account that begins at `now_ms` and has nothing.
    pub(crate) fn from_now(now_ms: u64) -> Self {
        Self { left: 0, at_us: now_ms.saturating_mul(1_000) }
    }

    /// Returns what is left after `units` are used; `None` if fewer are left.
    pub(crate) fn less(self, units: u64) -> Option<Self> {
        Some(Self { left: self.left.checked_sub(u32::try_from(units).ok()?)?, ..self })
    }
}

/// Tells if an account has a custody leaf. The account's record says it, so that the leaf is read only if it counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub enum CustodyState {
    /// There is no leaf: the keys change the account's settings at once.
    #[default]
    Absent,
    /// The leaf has settings, and no change waits.
    Settled,
    /// The leaf has settings, and a change that waits.
    Pending,
}

/// An account's own leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct AccountRecord2 {
    /// The authority that acts for the account.
    pub signer: Signer,
    /// The nonce of the account's next transaction.
    pub nonce: u64,
    /// Bytes that the account may still store.
    pub storage_bytes_left: u64,
    /// Number of the sponsor that the account draws from.
    pub sponsor: u32,
    /// Work, in units.
    pub work: Allowance,
    /// History, in bytes.
    pub history: Allowance,
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
}

impl From<AccountRecord> for AccountRecord2 {
    /// Reads a record of version 1: the common sponsor stands for the account, whose own credit is full.
    fn from(first: AccountRecord) -> Self {
        let AccountRecord { public_key, nonce, storage_bytes_left, .. } = first;
        let (work, history) = (Allowance::default(), Allowance::default());
        let (custody, grants_era) = (CustodyState::Absent, 0);
        let signer = Signer::Single(public_key);
        Self { signer, nonce, storage_bytes_left, sponsor: COMMON, work, history, custody, grants_era }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::Hash;

    fn record(signer: Signer) -> AccountRecord2 {
        let (work, history) = (Allowance { left: 4, at_us: 5 }, Allowance { left: 7, at_us: 8 });
        let (custody, grants_era) = (CustodyState::Absent, 0);
        AccountRecord2 { signer, nonce: 3, storage_bytes_left: 6, sponsor: 9, work, history, custody, grants_era }
    }

    fn first(public_key: [u8; 32]) -> AccountRecord {
        AccountRecord { public_key, nonce: 3, quota_left: 4, quota_at_ms: 5, storage_bytes_left: 6 }
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
        let read = AccountRecord2::from_bytes(&first([0; 32]).to_bytes()).unwrap();
        let none = Allowance::default();
        assert_eq!(
            read,
            AccountRecord2 { sponsor: COMMON, work: none, history: none, ..record(Signer::Single([0; 32])) }
        );
    }

    /// V27: a record of version 1 may begin with any byte, also with that of version 2.
    #[test]
    fn the_length_tells_the_form() {
        let read = AccountRecord2::from_bytes(&first([TAG; 32]).to_bytes()).unwrap();
        assert_eq!(read.signer, Signer::Single([TAG; 32]));
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
        for wrong in [vec![], vec![TAG], shorter, longer, changed(0, 1), changed(0, 3), changed(1, 2), changed(78, 3)] {
            assert!(AccountRecord2::from_bytes(&wrong).is_err(), "{wrong:?}");
        }
    }
}
