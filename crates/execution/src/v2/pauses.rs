//! The pauses of a block (V43).
//!
//! *Invariants:* a pause stops accounts and never seats; changes of the committee by operators' and owners' accounts pass
//! each pause, so that it keeps nobody from ending an epoch (R33).

use super::call::Call;
use super::governing::pauses_of;
use super::ledger::Ledger;
use super::step::Step;
use crate::governance::{Pause, scope_of};
use crate::v1::ledger::StateReadError;
use crate::v1::verifiers::place_of;
use rustorium_crypto::pool_account;
use rustorium_types::{AccountId, Operation, Parameters, PauseScope, SystemSender};

/// The pauses that act now.
#[derive(Default)]
pub(crate) struct Pauses(Vec<Pause>);

impl Pauses {
    /// Reads the pauses at a header time.
    pub(crate) fn read(ledger: &mut Ledger<'_>, parameters: &Parameters, now_ms: u64) -> Result<Self, StateReadError> {
        pauses_of(ledger, parameters, now_ms).map(Self)
    }

    fn until(&self, scope: PauseScope) -> Option<u64> {
        self.0.iter().find(|pause| pause.scope == scope).map(|pause| pause.until_ms)
    }

    /// Returns the time until which no account's transaction is executed, if this is one that waits.
    pub(crate) fn stop(&self, call: &Call<'_>) -> Option<u64> {
        self.until(PauseScope::All).filter(|_| !passes(call))
    }

    /// Tells if the sender's own pause makes this transaction fail.
    pub(crate) fn holds(&self, call: &Call<'_>) -> bool {
        self.until(scope_of(call.sender)).is_some() && !passes(call)
    }

    /// Tells if an operation writes under the id of a paused account, verifier or pool.
    pub(crate) fn forbid(&self, step: &Step<'_>) -> bool {
        // Most blocks have none.
        !self.0.is_empty() && written(step).is_some_and(|account| self.until(scope_of(account)).is_some())
    }
}

/// Tells if no pause stops a transaction: that of a seat, or one that changes the committee and does nothing else.
fn passes(call: &Call<'_>) -> bool {
    let governs = |step: &Step<'_>| step.first().is_some_and(Operation::changes_the_committee);
    SystemSender::of(&call.sender).is_some() || !call.operations.is_empty() && call.operations.iter().all(governs)
}

/// Returns the account under whose id an operation writes for another one. What it credits isn't meant.
fn written(step: &Step<'_>) -> Option<AccountId> {
    match step.first()? {
        Operation::Put { namespace, .. } | Operation::Delete { namespace, .. } => Some(*namespace),
        Operation::VerifyProof { verifier, .. } => Some(place_of(*verifier)),
        Operation::Shield { pool, .. }
        | Operation::ShieldedTransfer { pool, .. }
        | Operation::Unshield { pool, .. } => Some(pool_account(*pool)),
        _ => None,
    }
}
