//! Values of state leaves: an account's record with its work quota, amounts, grants.
//!
//! *Invariants:* one encoding per value; a leaf that doesn't decode is a fault of the store, never of a transaction.

use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{GRANT_PREFIXES_MAX, KEY_BYTES_MAX, NAMED_INPUTS_MAX, VERIFYING_KEY_BYTES_MAX};
use rustorium_types::{
    AccountId, BoundedBytes, BoundedVec, DecodeError, Hash, Key, NamedInput, Parameters, PublicInput, PublicKey, TxId,
    decode, encode,
};
use rustorium_zk::SCALAR_BYTES;
use rustorium_zk::shielded::tree::LEVELS;

/// Bytes that every leaf is charged for its key, in addition to those of its value.
pub const LEAF_KEY_BYTES: u64 = 64;
/// Bytes of an account's record.
pub const RECORD_BYTES: usize = 64;
const GRANT_BYTES_MAX: usize = 4 + GRANT_PREFIXES_MAX * (4 + KEY_BYTES_MAX);

/// Key prefixes that one account may write in another's namespace.
pub type Prefixes = rustorium_types::BoundedVec<Key, GRANT_PREFIXES_MAX>;

/// An account's own leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct AccountRecord {
    /// The key that signs the account's transactions.
    pub public_key: PublicKey,
    /// The nonce of the account's next transaction.
    pub nonce: u64,
    /// Work quota left at `quota_at_ms`.
    pub quota_left: u64,
    /// Header time up to which growth of the quota is counted, Unix ms.
    pub quota_at_ms: u64,
    /// Bytes that the account may still store.
    pub storage_bytes_left: u64,
}

impl AccountRecord {
    /// Encodes the leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a leaf's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, RECORD_BYTES)
    }

    /// Returns the work quota at header time `now_ms`: the quota left then and its growth since, up to the cap.
    pub fn quota(&self, parameters: &Parameters, now_ms: u64) -> u64 {
        self.grown(parameters, now_ms).0
    }

    /// Returns the quota at `now_ms`, and the time up to which growth is counted. That time is earlier than `now_ms` by
    /// the part that didn't make a whole unit, so that frequent use of an account doesn't starve it.
    fn grown(&self, parameters: &Parameters, now_ms: u64) -> (u64, u64) {
        let rate = u128::from(parameters.quota_work_per_s);
        let grown = rate * u128::from(now_ms.saturating_sub(self.quota_at_ms));
        let quota = u128::from(self.quota_left) + grown / 1000;
        match u64::try_from(quota) {
            Ok(quota) if quota < parameters.quota_work_max => {
                let rest_ms = (grown % 1000).checked_div(rate).unwrap_or(0) as u64;
                (quota, now_ms.max(self.quota_at_ms) - rest_ms)
            }
            _ => (parameters.quota_work_max, now_ms.max(self.quota_at_ms)),
        }
    }

    /// Takes `work` from the quota at `now_ms`; `None` if there is less.
    #[must_use]
    pub(crate) fn spend(mut self, parameters: &Parameters, now_ms: u64, work: u64) -> Option<Self> {
        let (quota, at_ms) = self.grown(parameters, now_ms);
        self.quota_left = quota.checked_sub(work)?;
        self.quota_at_ms = at_ms;
        Some(self)
    }
}

/// A verifier's leaf.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct VerifierRecord {
    /// The account that registered the verifier.
    pub owner: AccountId,
    /// The inputs by which its statements can be found, ascending.
    pub named: BoundedVec<NamedInput, NAMED_INPUTS_MAX>,
    /// The key's canonical bytes.
    pub key: BoundedBytes<VERIFYING_KEY_BYTES_MAX>,
}

impl VerifierRecord {
    /// Decodes a leaf's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, 32 + 4 + 2 * NAMED_INPUTS_MAX + 4 + VERIFYING_KEY_BYTES_MAX)
    }
}

/// The leaf of a proved statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct StatementRecord {
    /// The transaction that proved it first.
    pub transaction: TxId,
    /// Time of its block, Unix ms.
    pub time_ms: u64,
}

/// Bytes of a tree's frontier: the number of its leaves, and at most three nodes a level.
pub const FRONTIER_BYTES_MAX: usize = 8 + 3 * LEVELS * SCALAR_BYTES;

/// The head of a pool of shielded value.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct PoolHead {
    /// The number of the newest root. That of an empty tree is 0, and each block that appends adds one.
    pub roots: u64,
    /// The newest root.
    pub root: PublicInput,
    /// The digest of all records, in order; zero if there are none.
    pub digest: Hash,
    /// The tree's frontier.
    pub frontier: BoundedBytes<FRONTIER_BYTES_MAX>,
}

impl PoolHead {
    /// Decodes a leaf's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, 8 + 32 + 32 + 4 + FRONTIER_BYTES_MAX)
    }

    /// Returns the number of transfers: each appended two leaves.
    pub fn transfers(&self) -> u64 {
        self.frontier.as_slice().first_chunk().map_or(0, |count| u64::from_le_bytes(*count) / 2)
    }
}

/// Encodes a balance leaf's value.
pub fn encode_amount(amount: u128) -> Vec<u8> {
    amount.to_le_bytes().to_vec()
}

/// Decodes a balance leaf's value.
pub fn decode_amount(bytes: &[u8]) -> Result<u128, DecodeError> {
    decode(bytes, size_of::<u128>())
}

/// Decodes a grant leaf's value.
pub fn decode_grant(bytes: &[u8]) -> Result<Prefixes, DecodeError> {
    decode(bytes, GRANT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(left: u64, at: u64) -> AccountRecord {
        AccountRecord { public_key: [1; 32], nonce: 3, quota_left: left, quota_at_ms: at, storage_bytes_left: 9 }
    }

    fn parameters(max: u64, rate: u64) -> Parameters {
        Parameters { quota_work_max: max, quota_work_per_s: rate, ..Parameters::default() }
    }

    #[test]
    fn a_record_takes_the_bytes_that_it_is_charged_for() {
        assert_eq!(record(1, 2).to_bytes().len(), RECORD_BYTES);
        assert_eq!(AccountRecord::from_bytes(&record(1, 2).to_bytes()), Ok(record(1, 2)));
        assert!(AccountRecord::from_bytes(&[0; 63]).is_err() && AccountRecord::from_bytes(&[0; 65]).is_err());
    }

    #[test]
    fn a_slow_quota_grows_however_often_it_is_touched() {
        let parameters = parameters(1_000, 3);
        let mut record = record(0, 0);
        for now_ms in 1..=10_000 {
            record = record.spend(&parameters, now_ms, 0).expect("nothing is asked");
        }
        // The quota is 3 a second for 10 s, less one millisecond's rounding for each unit.
        assert!((29..=30).contains(&record.quota_left), "{}", record.quota_left);
    }

    proptest! {
        #[test]
        fn quota_is_capped_monotone_in_time_and_never_overflows(left: u64, at: u64, now: u64, later: u64, max: u64, rate: u64) {
            let parameters = parameters(max, rate);
            let (now, later) = (now.min(later), now.max(later));
            let record = record(left, at);
            prop_assert!(record.quota(&parameters, now) <= max);
            prop_assert!(record.quota(&parameters, now) <= record.quota(&parameters, later));
            if let Some(spent) = record.spend(&parameters, now, max / 2) {
                prop_assert!(spent.quota_left <= max - max / 2);
                prop_assert!(spent.quota(&parameters, later) <= record.quota(&parameters, later));
            }
        }
    }
}
