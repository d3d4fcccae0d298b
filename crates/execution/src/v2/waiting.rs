//! The wait between the decision for other operators and the boundary that may take them (V46).
//!
//! *Invariants:* unless all seats agree, new operators begin no sooner than the wait in force from a decision of a quorum,
//! and no sooner than the wait that a decision shortened would have lasted from then on.

use super::actor::Actor;
use super::committee::{Change, record_of, write_change};
use super::ledger::Ledger;
use crate::committee::{CommitteeRecord, OperatorsWait};
use crate::v1::ledger::Stop;
use rustorium_types::Parameters;

/// A decision on parameters or operators, of seats or of owners.
#[derive(Clone, Copy)]
pub(super) struct Decision {
    /// The seats' proposal; 0 for a decision of owners (V48).
    pub(super) number: u64,
    /// Header time, Unix ms.
    pub(super) now_ms: u64,
    /// True if all seats approve.
    pub(super) all: bool,
    /// The time that operators wait after it, ms.
    pub(super) wait_ms: u64,
}

impl Decision {
    /// Returns the wait of operators after the decision for `wanted` in place of `before`.
    pub(super) fn wait(
        self,
        held: OperatorsWait,
        in_force: &Parameters,
        (before, wanted): (&Parameters, &Parameters),
    ) -> Option<OperatorsWait> {
        let whole_ms = self.now_ms.saturating_add(self.wait_ms);
        let shorter = !self.all && delay_ms(wanted) < delay_ms(before).min(delay_ms(in_force));
        let least_ms = if shorter { held.least_ms.max(whole_ms) } else { held.least_ms };
        let next = if before.governors() == wanted.governors() {
            OperatorsWait { least_ms, ..held }
        } else {
            let from_ms = whole_ms.max(least_ms);
            let waits = !self.all && from_ms > self.now_ms && wanted.governors() != in_force.governors();
            let (proposal, from_ms) = if waits { (self.number, from_ms) } else { (0, 0) };
            OperatorsWait { proposal, from_ms, least_ms }
        };
        (next != OperatorsWait::default()).then_some(next)
    }
}

/// Returns the time that operators wait after a decision of seats, ms.
pub(super) fn delay_ms(parameters: &Parameters) -> u64 {
    parameters.operators_delay_ms.unwrap_or(0)
}

/// Lets the operators that a proposal wants wait no longer, unless others are wanted by now.
pub(super) fn waive(ledger: &mut Ledger<'_>, actor: Actor, number: u64) -> Result<(), Stop> {
    let (at, record) = record_of(ledger)?;
    let Some(wait) = record.wait.filter(|wait| wait.proposal == number) else { return Ok(()) };
    let wait = Some(OperatorsWait { proposal: 0, from_ms: 0, ..wait });
    let record = CommitteeRecord { wait: wait.filter(|wait| wait.least_ms > 0), ..record };
    write_change(ledger, None, actor.epoch, at, Change::of_no_key(record))
}
