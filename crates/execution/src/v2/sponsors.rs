//! Sponsors: their leaves, and the changes of them that seats decide (V58, V63).
//!
//! *Invariants:* a sponsor without a leaf exists only as the common one; a sponsor whose shares ended for good stands for
//! nobody, and its accounts draw from one that has no end; a sponsor's number is never used twice.

use super::record::COMMON;
use crate::v1::ledger::StateReadError;
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::{AccountId, DecodeError, Parameters, SYSTEM_ACCOUNT, decode, encode};

/// The longest time for which a change gives shares, ms: 90 days.
pub const SPONSOR_MS_MAX: u64 = 90 * 86_400_000;
/// Bytes of the largest sponsor's leaf.
const SPONSOR_BYTES: usize = 74;

/// A sponsor's leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct SponsorRecord {
    /// The account that it was made for.
    pub account: AccountId,
    /// Share of the chain's work, in millionths.
    pub work_ppm: u32,
    /// Share of the chain's history, in millionths.
    pub history_ppm: u32,
    /// Header time up to which the sponsor's credit of work is taken, Unix µs.
    pub work_at_us: u64,
    /// Header time up to which its credit of history is taken, Unix µs.
    pub history_at_us: u64,
    /// The end of the shares; `None` if they have none.
    pub end: Option<SponsorEnd>,
}

/// The end of a sponsor's shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct SponsorEnd {
    /// Header time from which the shares don't hold any more, Unix ms.
    pub until_ms: u64,
    /// The shares or the sponsor from then on.
    pub then: AfterEnd,
}

/// The shares or the sponsor after the end of a sponsor's shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum AfterEnd {
    /// The sponsor has its former shares again.
    Shares {
        /// Share of the chain's work, in millionths.
        work_ppm: u32,
        /// Share of the chain's history, in millionths.
        history_ppm: u32,
    },
    /// Its accounts draw from this sponsor, which has no end.
    Sponsor(u32),
}

impl SponsorRecord {
    /// Returns a sponsor whose accounts used nothing so far.
    pub fn new(account: AccountId, work_ppm: u32, history_ppm: u32) -> Self {
        Self { account, work_ppm, history_ppm, work_at_us: 0, history_at_us: 0, end: None }
    }

    /// Encodes the leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a leaf's value. Errors: no sponsor has such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, SPONSOR_BYTES)
    }

    /// Reads the leaf of a sponsor. The common one has its share from the parameters, and no leaf before its first use.
    pub(crate) fn read(number: u32, value: Option<&[u8]>, parameters: &Parameters) -> Result<Self, StateReadError> {
        let found = value.map(Self::from_bytes).transpose();
        let found = found.map_err(|error| StateReadError(format!("sponsor {number} is corrupt: {error}")))?;
        if number == COMMON {
            let share = parameters.capacity.unwrap_or_default().common_ppm;
            let record = found.unwrap_or(Self::new(SYSTEM_ACCOUNT, share, share));
            return Ok(Self { work_ppm: share, history_ppm: share, ..record });
        }
        found.ok_or_else(|| StateReadError(format!("there is no sponsor {number}")))
    }

    /// Returns the sponsor as it is at a header time. Error: the number of the one that stands for its accounts.
    pub(super) fn at(self, now_ms: u64) -> Result<Self, u32> {
        match self.end {
            Some(end) if end.until_ms <= now_ms => match end.then {
                AfterEnd::Shares { work_ppm, history_ppm } => Ok(Self { work_ppm, history_ppm, end: None, ..self }),
                AfterEnd::Sponsor(number) => Err(number),
            },
            _ => Ok(self),
        }
    }

    /// Returns what held before shares that have an end, and holds after them.
    pub(super) fn after(&self) -> AfterEnd {
        let Self { work_ppm, history_ppm, .. } = *self;
        self.end.map_or(AfterEnd::Shares { work_ppm, history_ppm }, |end| end.then)
    }
}

/// Returns the sponsor that accounts of this number draw from at a header time, with its place. `read` reads a sponsor.
///
/// # Errors
/// The sponsor can't be read.
pub(crate) fn in_effect<K>(
    number: u32,
    now_ms: u64,
    mut read: impl FnMut(u32) -> Result<(K, SponsorRecord), StateReadError>,
) -> Result<(K, SponsorRecord), StateReadError> {
    let (place, record) = read(number)?;
    match record.at(now_ms) {
        Ok(record) => Ok((place, record)),
        // The other one has former shares at most, and no other sponsor, after an end.
        Err(other) => read(other).map(|(place, record)| (place, record.at(now_ms).unwrap_or(record))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(end: Option<SponsorEnd>) -> SponsorRecord {
        SponsorRecord { work_at_us: 5, history_at_us: 6, end, ..SponsorRecord::new(AccountId([7; 32]), 3, 4) }
    }

    #[test]
    fn a_leaf_has_one_encoding_and_a_bound() {
        let shares = AfterEnd::Shares { work_ppm: 1, history_ppm: 2 };
        let largest = record(Some(SponsorEnd { until_ms: u64::MAX, then: shares }));
        assert_eq!(largest.to_bytes().len(), SPONSOR_BYTES);
        for one in [record(None), record(Some(SponsorEnd { until_ms: 9, then: AfterEnd::Sponsor(8) })), largest] {
            assert_eq!(SponsorRecord::from_bytes(&one.to_bytes()), Ok(one));
            assert!(SponsorRecord::from_bytes(&[&one.to_bytes()[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn shares_hold_up_to_their_end_and_not_a_moment_longer() {
        let shares = AfterEnd::Shares { work_ppm: 1, history_ppm: 2 };
        let raised = record(Some(SponsorEnd { until_ms: 100, then: shares }));
        assert_eq!((raised.at(99), raised.after()), (Ok(raised), shares));
        assert_eq!(raised.at(100), Ok(SponsorRecord { work_ppm: 1, history_ppm: 2, end: None, ..raised }));
        let passing = record(Some(SponsorEnd { until_ms: 100, then: AfterEnd::Sponsor(8) }));
        assert_eq!((passing.at(99), passing.at(100)), (Ok(passing), Err(8)));
        assert_eq!(record(None).at(u64::MAX), Ok(record(None)));
    }
}
