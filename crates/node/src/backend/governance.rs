//! Who governs the chain, as the node's newest state says it.
//!
//! *Invariants:* reads at most as many proposals as there may be open ones, and a leaf for each validator.

use super::BackendError;
use rustorium_api::json::GovernanceNote;
use rustorium_api::{Governance, Members};
use rustorium_execution::{
    CommitteeRecord, GovernanceRecord, OwnerRecord, ProposalRecord, StateRead, StateReadError, Wishes, proposal_key,
};
use rustorium_shard::context::Context;
use rustorium_stages::clock::wall_ms;
use rustorium_stages::executor::StoredState;
use rustorium_storage::Store;
use rustorium_types::Parameters;

/// Reads seats, proposals and pauses. Errors: the store can't be read.
pub(super) fn read(store: &dyn Store, context: &Context) -> Result<Governance, BackendError> {
    let failed = |error: StateReadError| BackendError::Storage(error.to_string());
    let (state, in_force) = (StoredState(store), context.parameters.clone());
    let (record, proposals) = seats(&state, &in_force).map_err(failed)?;
    let committee = CommitteeRecord::read(&state).map_err(failed)?;
    let wanted = committee.wanted(&in_force).clone();
    let owner = |number: &u32| OwnerRecord::read(&state, *number);
    let owners: Result<Vec<_>, _> = committee.numbered().numbers.iter().map(owner).collect();
    let owners = owners.map_err(failed)?;
    let wishes = Wishes::read(&state).map_err(failed)?;
    let (members, time_ms) = (members(context), chain_ms(store));
    Ok(Governance { members, record, committee, owners, wishes, proposals, in_force, wanted, time_ms })
}

/// Reads what waits for seats, and what they paused. `None` under version 1, or if the store can't be read. A time that has
/// passed by this machine's clock is over, although an idle chain's time stands still.
pub(super) fn note(store: &dyn Store, context: &Context) -> Option<GovernanceNote> {
    if !context.rules.has_terms() {
        return None;
    }
    let state = StoredState(store);
    let (record, proposals) = seats(&state, &context.parameters).ok()?;
    let committee = CommitteeRecord::read(&state).ok()?;
    let now_ms = wall_ms().max(chain_ms(store));
    let in_force = &context.parameters;
    Some(GovernanceNote::new(&record, &proposals, (&committee, in_force), &members(context), now_ms))
}

fn members(context: &Context) -> Members {
    let (epoch, protocol) = (context.epoch(), context.rules.version());
    Members { epoch, protocol, validators: context.validators.clone() }
}

fn seats(
    state: &StoredState<'_>,
    in_force: &Parameters,
) -> Result<(GovernanceRecord, Vec<(u64, ProposalRecord)>), StateReadError> {
    let record = GovernanceRecord::read(state, in_force)?;
    let mut proposals = Vec::new();
    for open in &record.open {
        // One that was made since the record was read is gone.
        let stored = state.get(&proposal_key(open.number))?;
        if let Some(proposal) = stored.and_then(|bytes| ProposalRecord::from_bytes(&bytes).ok()) {
            proposals.push((open.number, proposal));
        }
    }
    Ok((record, proposals))
}

fn chain_ms(store: &dyn Store) -> u64 {
    store.tip().map_or(0, |tip| tip.header.time_ms)
}
