//! The changes of sponsors that seats decide (V58, V63).
//!
//! *Invariants:* a change is checked whole before anything of it is written; a sponsor's number is never used twice.

use super::leaf::Leaf;
use super::ledger::Ledger;
use super::record::{AccountRecord2, COMMON};
use super::slots::At;
use super::sponsors::{AfterEnd, SPONSOR_MS_MAX, SponsorEnd, SponsorRecord};
use crate::keys::Name;
use crate::v1::ledger::Stop;
use crate::v1::operations::fail;
use rustorium_types::limits::GENESIS_SPONSORS_MAX;
use rustorium_types::{AccountId, FailureCode, GovernanceChange, Parameters, SYSTEM_ACCOUNT, WHOLE_PPM};
use std::borrow::Cow;

/// The checked result of a change of sponsors.
pub(crate) struct Sponsored {
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
            Sponsored { account_at, record: AccountRecord2 { sponsor: number, ..record }, sponsor }
        }
        GovernanceChange::AssignSponsor { account, sponsor } => {
            let (account_at, record) = account_of(ledger, account)?;
            let at = ledger.find(SYSTEM_ACCOUNT, Name::Sponsor(sponsor))?;
            let exists = sponsor == COMMON || ledger.footprint(at) > 0;
            if !exists || ledger.stored_sponsor(sponsor, parameters)?.1.at(now_ms).is_err() {
                return fail(FailureCode::NoSuchSponsor);
            }
            Sponsored { account_at, record: AccountRecord2 { sponsor, ..record }, sponsor: None }
        }
        _ => return Ok(None),
    }))
}

impl Sponsored {
    /// Makes the change.
    pub(crate) fn write(self, ledger: &mut Ledger<'_>) -> Result<(), Stop> {
        if let Some((number, sponsor)) = self.sponsor {
            let at = ledger.find(SYSTEM_ACCOUNT, Name::Sponsor(number))?;
            ledger.write(at, Leaf::Bytes(Cow::Owned(sponsor.to_bytes())))?;
        }
        ledger.write(self.account_at, Leaf::Account(self.record))
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
