//! The end of an epoch in a store that was filled with a snapshot above the height that the boundary claims.

use crate::chain::{N, context, genesis_with};
use crate::steps::governed;
use rustorium_crypto::{block_digest, set_hash};
use rustorium_execution::{CommitteeRecord, Keys, committee_key};
use rustorium_shard::ExecutionJob;
use rustorium_shard::context::Context;
use rustorium_stages::executor::{Basis, execute_and_store};
use rustorium_stages::journal_records;
use rustorium_state::workers::Serial;
use rustorium_storage::{EpochStore, HeightCommit, MemStore, Store};
use rustorium_types::*;
use std::sync::Arc;

/// The height of the snapshot. The boundary is the block above it.
const FILLED: Height = Height(9);

fn chain(rules: Rules) -> Genesis {
    genesis_with(Parameters { min_epoch_ms: Parameters::of(rules).min_epoch_ms, ..governed() })
}

/// Returns the first `count` members of the genesis' committee.
fn members(genesis: &Genesis, count: usize) -> ValidatorSet {
    BoundedVec::new(genesis.validators[..count].to_vec()).unwrap()
}

fn record(genesis: &Genesis, wanted: &ValidatorSet) -> CommitteeRecord {
    CommitteeRecord { target: wanted.clone(), ..CommitteeRecord::first(genesis.rules(), genesis.validators.clone()) }
}

/// Returns a store that was filled with a state in which operators want this committee.
fn filled(genesis: &Genesis, wanted: &ValidatorSet) -> MemStore {
    let (store, start) = (MemStore::new(), rustorium_execution::genesis(genesis, ShardId::ROOT));
    let (header, mut diff) = (Header { height: FILLED, ..start.header }, start.diff);
    let place = diff.iter().position(|write| write.key == committee_key()).unwrap();
    diff[place].value = Some(record(genesis, wanted).to_bytes());
    let commit = HeightCommit {
        digest: block_digest(&header),
        block: Block { header, inline: BoundedVec::default() },
        inline_ids: Vec::new(),
        batches: Vec::new(),
        receipts: Vec::new(),
        diff,
        link: ResultLink::default(),
        result_root: start.result_root,
        finalization: None,
    };
    store.commit(&commit).unwrap();
    journal_records::tip_of(&store, genesis, ShardId::ROOT).unwrap();
    store
}

/// Executes a boundary that claims this height and names this committee. Returns the committee that the store has, or the
/// code of the failure.
fn ended(
    genesis: &Genesis,
    store: &MemStore,
    claimed: Height,
    next: &ValidatorSet,
) -> Result<ValidatorSet, &'static str> {
    let context: Arc<Context> = context(genesis, 0);
    let tip = store.tip().unwrap();
    let header = Header {
        height: tip.height.next(),
        view: tip.header.view.next(),
        parent: tip.digest,
        time_ms: tip.header.time_ms + 1,
        end: End::Boundary,
        next_validator_set: context.names_next(set_hash(next)),
        result: ResultClaim { height: claimed, root: Hash([7; 32]) },
        ..tip.header
    };
    let digest = block_digest(&header);
    let body = context.committee.body(VoteKind::Finalize, header.view, digest);
    let finalization = Certificate { body, signatures: BoundedVec::default() };
    let job = ExecutionJob {
        digest,
        block: Arc::new(Block { header, inline: BoundedVec::default() }),
        payload: vec![Vec::new(); N],
        finalization: None,
        end: Some(BlockProof { descendants: BoundedVec::default(), finalization }),
    };
    let (parameters, previous_root) = (&genesis.parameters, tip.result_root);
    let parent_claim = tip.header.result.root;
    let first = &genesis.validators;
    let (activating, decided) = (None, None);
    let charter = &Charter::ONE_SHARD;
    let basis = Basis { parameters, charter, previous_root, parent_claim, rooted: false, activating, first, decided };
    let stored = execute_and_store(store, &basis, (&Keys::default(), &Serial), &job).map_err(|(code, _)| code)?;
    let kept = store.epoch(Epoch(0)).unwrap();
    assert_eq!(kept, stored.change);
    Ok(kept.unwrap().validators().clone())
}

#[test]
fn the_committee_that_was_wanted_at_the_snapshot_ends_the_epoch() {
    for rules in [Rules::V1, Rules::V2] {
        let genesis = chain(rules);
        let wanted = members(&genesis, 3);
        // The operators ask for another one above the snapshot, in the boundary's own block.
        let store = filled(&genesis, &wanted);
        let later = record(&genesis, &members(&genesis, 2));
        store.put_committee_record(FILLED.next(), &later.to_bytes()).unwrap();
        assert_eq!(ended(&genesis, &store, Height(7), &wanted), Ok(wanted.clone()));
    }
}

#[test]
fn the_epochs_own_committee_goes_on_if_another_was_first_asked_for_above_the_claimed_height() {
    for rules in [Rules::V1, Rules::V2] {
        let genesis = chain(rules);
        let store = filled(&genesis, &members(&genesis, 3));
        assert_eq!(ended(&genesis, &store, Height(7), &genesis.validators), Ok(genesis.validators.clone()));
    }
}

#[test]
fn a_committee_that_only_lower_heights_knew_asks_for_a_newer_snapshot() {
    let genesis = chain(Rules::V2);
    let store = filled(&genesis, &members(&genesis, 3));
    assert_eq!(ended(&genesis, &store, Height(7), &members(&genesis, 2)), Err("snapshot-too-new"));
    assert_eq!(store.tip().unwrap().height, FILLED, "the boundary isn't stored");
}

#[test]
fn a_committee_that_the_claimed_state_does_not_want_is_a_divergence() {
    let genesis = chain(Rules::V2);
    let wanted = members(&genesis, 3);
    for other in [&genesis.validators, &members(&genesis, 2)] {
        let store = filled(&genesis, &wanted);
        assert_eq!(ended(&genesis, &store, FILLED, other), Err("diverged"));
    }
    let store = filled(&genesis, &wanted);
    assert_eq!(ended(&genesis, &store, FILLED, &wanted), Ok(wanted));
}
