//! How a node handles claims, committees, votes and snapshots whose history it lacks.

use crate::chain::{genesis, genesis_with};
use crate::net::Net;
use crate::steps::governed;
use rustorium_execution::CommitteeRecord;
use rustorium_shard::port::{Effect, PayloadStatus};
use rustorium_shard::rules::check_claim;
use rustorium_stages::journal_records;
use rustorium_storage::{EpochStore, HeightCommit, MemStore, Store};
use rustorium_types::*;

/// Before the fix, a forgotten root matched any root.
#[test]
fn a_claim_whose_root_is_not_known_any_more_waits_unless_the_parent_claims_the_same() {
    let root = |byte: u8| Hash([byte; 32]);
    let claiming = |height: u64, byte: u8| {
        let header = rustorium_execution::genesis(&genesis(), ShardId::ROOT).header;
        Header { result: ResultClaim { height: Height(height), root: root(byte) }, ..header }
    };
    let (parent, executed) = (claiming(5, 5), Height(9_000));
    let judge = |known: Option<u8>, header: &Header| check_claim(known.map(root).as_ref(), &parent, header, executed);
    assert_eq!(judge(Some(7), &claiming(7, 7)), PayloadStatus::Ready);
    assert_eq!(judge(Some(7), &claiming(7, 8)), PayloadStatus::Invalid);
    assert_eq!(judge(None, &claiming(7, 8)), PayloadStatus::Pending, "forgotten, and new");
    assert_eq!(judge(None, &claiming(9_001, 8)), PayloadStatus::Pending, "not executed yet");
    assert_eq!(judge(None, &claiming(5, 5)), PayloadStatus::Ready, "a quorum vouched for it with the parent");
}

/// L2 of the review: a store that was filled with a snapshot took the record as of its tip for that of the height that the
/// tip claims, and its node found honest boundaries invalid.
#[test]
fn the_committee_record_of_a_filled_store_is_valid_from_its_tip_on() {
    let made = genesis_with(Parameters { min_epoch_ms: None, ..governed() });
    let start = rustorium_execution::genesis(&made, ShardId::ROOT);
    let mut record = CommitteeRecord::from_bytes(start.value(&rustorium_execution::committee_key()).unwrap()).unwrap();
    let mut target = record.target.to_vec();
    target.pop();
    record.target = BoundedVec::new(target).unwrap();
    // The state as of height 9, whose header claims height 7: between the two operators asked for another committee.
    let store = MemStore::new();
    let mut diff = start.diff.clone();
    let place = diff.iter().position(|write| write.key == rustorium_execution::committee_key()).unwrap();
    diff[place].value = Some(record.to_bytes());
    let result = ResultClaim { height: Height(7), root: Hash([7; 32]) };
    let header = Header { height: Height(9), result, ..start.header.clone() };
    store
        .commit(&HeightCommit {
            digest: rustorium_crypto::block_digest(&header),
            block: Block { header, inline: BoundedVec::default() },
            inline_ids: Vec::new(),
            batches: Vec::new(),
            receipts: Vec::new(),
            diff,
            link: ResultLink::default(),
            result_root: start.result_root,
            finalization: None,
        })
        .unwrap();
    let tip = journal_records::tip_of(&store, &made, ShardId::ROOT).unwrap();
    assert_eq!(tip.height, Height(9));
    assert_eq!(store.committee_record(Height(9)).unwrap(), Some(record.to_bytes()));
    assert_eq!(store.committee_record(Height(8)).unwrap(), None, "it isn't known, and nothing is made up");
    let context = crate::chain::context(&made, 0);
    let journaled = journal_records::decode_journal(&context, &store, &tip, Vec::new()).unwrap();
    assert_eq!(journaled.committees, [(Height(9), record)]);
}

/// L4 of the review: the core's votes wait while a node catches up. Before the fix, votes for views that others made
/// final waited forever.
#[test]
fn votes_that_wait_during_catch_up_are_dropped_with_their_views() {
    let mut net = Net::new();
    net.submit(1);
    net.advance(100_000);
    // Node 0 is back, and nobody answers its first questions.
    net.passes = Box::new(|_, to, message| {
        to != 0
            || !matches!(message, Message::Response { response, .. }
        if matches!(response, Response::OwnSignatures { .. }))
    });
    net.power_loss(0, 0);
    net.run();
    let view = net.nodes[0].core.view;
    let vote = |view| Effect::Vote { kind: VoteKind::Nullify, view, digest: None, carry: None };
    net.effects(0, (0..50).map(|more| vote(View(view.0 + more))).collect());
    net.run();
    let held = net.nodes[0].shard.held_back();
    assert!(held >= 50, "{held}");
    for index in 1..4 {
        net.submit(index);
        net.advance(1_000_000);
    }
    let settled = net.store(1).tip().unwrap().header.view;
    assert!(settled > view);
    net.heartbeats();
    net.advance(1_000_000);
    let root = net.store(0).tip().unwrap().header.view;
    assert!(root > view, "it follows all the same");
    assert!(net.nodes[0].shard.held_back() < held, "votes of {} views were settled", root.0 - view.0);
}
