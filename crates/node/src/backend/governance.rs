//! Who governs the chain, as the node's newest state says it.
//!
//! *Invariants:* reads at most as many proposals as there may be open ones.

use super::BackendError;
use rustorium_api::Governance;
use rustorium_execution::{CommitteeRecord, GovernanceRecord, ProposalRecord, StateRead, StateReadError, proposal_key};
use rustorium_shard::context::Context;
use rustorium_stages::executor::StoredState;
use rustorium_storage::Store;

/// Reads seats, proposals and pauses. Errors: the store can't be read.
pub(super) fn read(store: &dyn Store, context: &Context) -> Result<Governance, BackendError> {
    let failed = |error: StateReadError| BackendError::Storage(error.to_string());
    let (state, in_force) = (StoredState(store), context.parameters.clone());
    let record = GovernanceRecord::read(&state, &in_force).map_err(failed)?;
    let wanted = CommitteeRecord::read(&state).map_err(failed)?.wanted(&in_force).clone();
    let mut proposals = Vec::new();
    for open in &record.open {
        // One that was made since the record was read is gone.
        let stored = state.get(&proposal_key(open.number)).map_err(failed)?;
        if let Some(proposal) = stored.and_then(|bytes| ProposalRecord::from_bytes(&bytes).ok()) {
            proposals.push((open.number, proposal));
        }
    }
    let time_ms = store.tip().map_or(0, |tip| tip.header.time_ms);
    Ok(Governance { epoch: context.epoch(), record, proposals, in_force, wanted, time_ms })
}
