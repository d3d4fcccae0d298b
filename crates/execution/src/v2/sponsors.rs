//! Sponsors: their leaves, and the changes of them that seats decide (V58, V63).
//!
//! *Invariants:* a sponsor without a leaf exists only as the common one; a sponsor whose shares ended for good stands for
//! nobody, and its accounts draw from one that has no end; a sponsor's number is never used twice.

use super::leaf::Leaf;
use super::ledger::Ledger;
use super::record::AccountRecord2;
use super::slots::At;
use crate::keys::Name;
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::fail;
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::GENESIS_SPONSORS_MAX;
use rustorium_types::{
    AccountId, DecodeError, FailureCode, GovernanceChange, Parameters, SYSTEM_ACCOUNT, WHOLE_PPM, decode, encode,
};
use std::borrow::Cow;

/// The sponsor of accounts that no other stands for.
pub const COMMON: u32 = 0;
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
    /// What holds from then on.
    pub then: AfterEnd,
}

/// What holds after the end of a sponsor's shares.
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
    fn at(self, now_ms: u64) -> Result<Self, u32> {
        match self.end {
            Some(end) if end.until_ms <= now_ms => match end.then {
                AfterEnd::Shares { work_ppm, history_ppm } => Ok(Self { work_ppm, history_ppm, end: None, ..self }),
                AfterEnd::Sponsor(number) => Err(number),
            },
            _ => Ok(self),
        }
    }

    /// Returns what held before shares that have an end, and holds after them.
    fn after(&self) -> AfterEnd {
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

/// The checked result of a change of sponsors.
pub(crate) struct Sponsored {
    account: AccountId,
    account_at: At,
    record: AccountRecord2,
    /// The sponsor that the change makes, or gives other shares.
    sponsor: Option<(u32, SponsorRecord)>,
}

/// Checks a change of sponsors and returns its result; `None` if it is another change. A sponsor that the change makes gets its
/// number from the proposal's.
pub(crate) fn sponsored(
    ledger: &mut Ledger<'_>,
    parameters: &Parameters,
    now_ms: u64,
    (proposal, change): (u64, &GovernanceChange),
) -> Result<Option<Sponsored>, Stop> {
    Ok(Some(match *change {
        GovernanceChange::SetSponsor { account, work_ppm, history_ppm, until_ms } => {
            let share = 1..=WHOLE_PPM;
            if !share.contains(&work_ppm) || !share.contains(&history_ppm) {
                return fail(FailureCode::BadParameters);
            }
            let ahead = |until_ms: u64| until_ms > now_ms && until_ms - now_ms <= SPONSOR_MS_MAX;
            if !until_ms.is_none_or(ahead) {
                return fail(FailureCode::BadTime);
            }
            let (account_at, record) = account_of(ledger, account)?;
            let (_, present) = ledger.stored_sponsor(record.sponsor, parameters)?;
            let (number, before, then) = if present.account == account {
                (record.sponsor, present.at(now_ms).unwrap_or(present), present.after())
            } else {
                // An account may draw only from one that has no end after an end.
                let lasting = match present.after() {
                    AfterEnd::Sponsor(number) => number,
                    AfterEnd::Shares { .. } => record.sponsor,
                };
                (number_of(proposal)?, SponsorRecord::new(account, 0, 0), AfterEnd::Sponsor(lasting))
            };
            let end = until_ms.map(|until_ms| SponsorEnd { until_ms, then });
            let sponsor = Some((number, SponsorRecord { work_ppm, history_ppm, end, ..before }));
            Sponsored { account, account_at, record: AccountRecord2 { sponsor: number, ..record }, sponsor }
        }
        GovernanceChange::AssignSponsor { account, sponsor } => {
            let (account_at, record) = account_of(ledger, account)?;
            let at = ledger.find(SYSTEM_ACCOUNT, Name::Sponsor(sponsor))?;
            let exists = sponsor == COMMON || ledger.footprint(at) > 0;
            if !exists || ledger.stored_sponsor(sponsor, parameters)?.1.at(now_ms).is_err() {
                return fail(FailureCode::NoSuchSponsor);
            }
            Sponsored { account, account_at, record: AccountRecord2 { sponsor, ..record }, sponsor: None }
        }
        _ => return Ok(None),
    }))
}

impl Sponsored {
    /// Makes the change. Returns the account whose sponsor it is.
    pub(crate) fn write(self, ledger: &mut Ledger<'_>) -> Result<AccountId, Stop> {
        if let Some((number, sponsor)) = self.sponsor {
            let at = ledger.find(SYSTEM_ACCOUNT, Name::Sponsor(number))?;
            ledger.write(at, Leaf::Bytes(Cow::Owned(sponsor.to_bytes())))?;
        }
        ledger.write(self.account_at, Leaf::Account(self.record))?;
        Ok(self.account)
    }
}

fn account_of(ledger: &mut Ledger<'_>, account: AccountId) -> Result<(At, AccountRecord2), Stop> {
    let at = ledger.find(account, Name::Account)?;
    match ledger.account(at) {
        Some(record) => Ok((at, record)),
        None => fail(FailureCode::NoSuchAccount),
    }
}

/// Returns the number of the sponsor that a proposal makes. Numbers of a genesis are below all of them.
fn number_of(proposal: u64) -> Result<u32, Stop> {
    let number = u32::try_from(proposal).ok().and_then(|number| number.checked_add(GENESIS_SPONSORS_MAX as u32));
    number.map_or_else(|| fail(FailureCode::BadParameters), Ok)
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
