//! Who governs the chain, as the node's newest state says it.
//!
//! *Invariants:* reads at most as many proposals as there may be open ones, and a leaf for each validator.

use super::BackendError;
use rustorium_api::Governance;
use rustorium_execution::{
    CommitteeRecord, GovernanceRecord, OwnerRecord, ProposalRecord, StateRead, StateReadError, proposal_key,
};
use rustorium_shard::context::Context;
use rustorium_stages::executor::StoredState;
use rustorium_storage::Store;

/// Reads seats, proposals and pauses. Errors: the store can't be read.
pub(super) fn read(store: &dyn Store, context: &Context) -> Result<Governance, BackendError> {
    let failed = |error: StateReadError| BackendError::Storage(error.to_string());
    let (state, in_force) = (StoredState(store), context.parameters.clone());
    let record = GovernanceRecord::read(&state, &in_force).map_err(failed)?;
    let committee = CommitteeRecord::read(&state).map_err(failed)?;
    let wanted = committee.wanted(&in_force).clone();
    let owner = |number: &u32| OwnerRecord::read(&state, *number);
    let owners: Result<Vec<_>, _> = committee.numbered().numbers.iter().map(owner).collect();
    let owners = owners.map_err(failed)?;
    let mut proposals = Vec::new();
    for open in &record.open {
        // One that was made since the record was read is gone.
        let stored = state.get(&proposal_key(open.number)).map_err(failed)?;
        if let Some(proposal) = stored.and_then(|bytes| ProposalRecord::from_bytes(&bytes).ok()) {
            proposals.push((open.number, proposal));
        }
    }
    let time_ms = store.tip().map_or(0, |tip| tip.header.time_ms);
    Ok(Governance { epoch: context.epoch(), record, committee, owners, proposals, in_force, wanted, time_ms })
}
