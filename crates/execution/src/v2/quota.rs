//! The charge that a transaction takes from its account and the account's sponsor when it is admitted (V57 to V59).
//!
//! An account draws work and bytes of history in small amounts, from its own pace and from its sponsor's. So an account that
//! waits holds next to nothing of what its sponsor may use, and the sponsor's leaf isn't written by each transaction.
//!
//! *Invariants:* what an account spends was drawn from both paces before; a skipped transaction takes nothing; an account
//! holds at most `DRAW` of what it drew.

use super::pace::Pace;
use super::record::{AccountRecord2, Allowance};
use super::sponsors::SponsorRecord;
use crate::execute::Skip;
use crate::v1::ledger::StateReadError;
use rustorium_types::{Capacity, Parameters, WHOLE_PPM};

/// Work units, or bytes of history, that an account holds at most.
pub const DRAW: u64 = 8_192;
/// Bytes of history that one transaction may cause.
pub const TRANSACTION_HISTORY_MAX: u64 = 1024 * 1024;

/// Work and bytes of history that a transaction takes, whatever becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Charge {
    pub(crate) work: u64,
    pub(crate) history: u64,
}

/// A transaction's admission: the records after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spent<K> {
    pub(crate) record: AccountRecord2,
    /// The sponsor's place and record, if the account drew from it.
    pub(crate) sponsor: Option<(K, SponsorRecord)>,
}

/// Takes a transaction's charge from the account, which draws what it lacks. `sponsor` reads the sponsor; `None` if the
/// account has to ask none.
///
/// # Errors
/// The sponsor can't be read. The inner error is the reason why the transaction is skipped.
pub(crate) fn spend<K>(
    record: AccountRecord2,
    charge: Charge,
    parameters: &Parameters,
    now_ms: u64,
    sponsor: impl FnOnce(u32) -> Result<Option<(K, SponsorRecord)>, StateReadError>,
) -> Result<Result<Spent<K>, Skip>, StateReadError> {
    if charge.history > TRANSACTION_HISTORY_MAX {
        let left = u64::from(record.history.left);
        return Ok(Err(Skip::HistoryTooSmall { left, ready_at_ms: u64::MAX }));
    }
    if let (Some(work), Some(history)) = (record.work.less(charge.work), record.history.less(charge.history)) {
        return Ok(Ok(Spent { record: AccountRecord2 { work, history, ..record }, sponsor: None }));
    }
    let (sponsor, capacity) = (sponsor(record.sponsor)?, capacity(parameters));
    let shares = sponsor.as_ref().map(|(_, sponsor)| shares(sponsor, parameters, &capacity));
    let own = Pace::new(parameters.quota_work_per_s, parameters.quota_work_max);
    let of = |which: fn(&Shares) -> (Pace, u64)| shares.as_ref().map(which);
    let now_us = now_ms.saturating_mul(1_000);
    let work = draw(charge.work, (own, record.work), of(|shares| shares.work), now_us);
    let own = Pace::new(capacity.quota_history_per_s, capacity.quota_history_max);
    let history = draw(charge.history, (own, record.history), of(|shares| shares.history), now_us);
    Ok(match (work, history) {
        (Ok(work), Ok(history)) => Ok(Spent {
            record: AccountRecord2 { work: work.0, history: history.0, ..record },
            sponsor: sponsor.map(|(place, sponsor)| {
                (place, SponsorRecord { work_at_us: work.1, history_at_us: history.1, ..sponsor })
            }),
        }),
        (Err(work), history) => {
            let ready_us = work.ready_us.max(history.err().map_or(0, |short| short.ready_us));
            Err(Skip::WorkTooSmall { left: work.left, ready_at_ms: in_ms(ready_us) })
        }
        (Ok(_), Err(Short { left, ready_us })) => Err(Skip::HistoryTooSmall { left, ready_at_ms: in_ms(ready_us) }),
    })
}

/// The paces of a sponsor, each with the time up to which its credit is taken.
#[derive(Clone, Copy)]
struct Shares {
    work: (Pace, u64),
    history: (Pace, u64),
}

fn shares(sponsor: &SponsorRecord, parameters: &Parameters, capacity: &Capacity) -> Shares {
    let work = share(capacity.work_per_s, sponsor.work_ppm, capacity.work_burst_ms, parameters.batch_work_max);
    let history =
        share(capacity.history_per_s, sponsor.history_ppm, capacity.history_burst_ms, TRANSACTION_HISTORY_MAX);
    Shares { work: (work, sponsor.work_at_us), history: (history, sponsor.history_at_us) }
}

/// Returns the pace of a share. Its burst has room for the largest transaction: otherwise the transaction would wait for
/// ever.
fn share(per_s: u64, ppm: u32, burst_ms: u64, largest: u64) -> Pace {
    let per_s = u128::from(per_s) * u128::from(ppm) / u128::from(WHOLE_PPM);
    let burst = per_s * u128::from(burst_ms) / 1_000;
    let fit = |units: u128| u64::try_from(units).unwrap_or(u64::MAX);
    Pace::new(fit(per_s), fit(burst).max(largest))
}

/// A lack of units: those that there are, and the time at which there are enough.
struct Short {
    left: u64,
    ready_us: u64,
}

/// Draws from both paces what `need` lacks, and as much more as there is room for in the account and in both. Returns what
/// the account has left then, and the sponsor's time.
fn draw(
    need: u64,
    (own, held): (Pace, Allowance),
    sponsor: Option<(Pace, u64)>,
    now_us: u64,
) -> Result<(Allowance, u64), Short> {
    let (left, own_at_us) = (u64::from(held.left), held.at_us);
    let room = own.room(own_at_us, now_us).min(sponsor.map_or(u64::MAX, |(pace, at_us)| pace.room(at_us, now_us)));
    let units = DRAW.saturating_sub(left).min(room).max(need.saturating_sub(left));
    let own_us = own.taken(own_at_us, now_us, units).unwrap_or(u64::MAX);
    let sponsor_us = sponsor.map_or(0, |(pace, at_us)| pace.taken(at_us, now_us, units).unwrap_or(u64::MAX));
    let ready_us = own_us.max(sponsor_us);
    if ready_us > now_us {
        return Err(Short { left: left.saturating_add(room), ready_us });
    }
    let left = left.saturating_add(units) - need;
    Ok((Allowance { left: u32::try_from(left).unwrap_or(u32::MAX), at_us: own_us }, sponsor_us))
}

fn in_ms(us: u64) -> u64 {
    if us == u64::MAX { us } else { us.div_ceil(1_000) }
}

fn capacity(parameters: &Parameters) -> Capacity {
    parameters.capacity.unwrap_or_default()
}
