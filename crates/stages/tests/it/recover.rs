//! From the bytes on disk to a shard's start.

use crate::chain::{START_MS, context, genesis, put, v, validator_key};
use crate::forge;
use crate::ports::TestPorts;
use rustorium_crypto::verify_certificate;
use rustorium_shard::context::Context;
use rustorium_shard::port::Input;
use rustorium_shard::{Floor, Journaled, Now, Records, Shard, WorkConfig};
use rustorium_stages::journal_records::{decode_journal, tip_of};
use rustorium_storage::{JournalRecord, Lsn, MemStore, RecordKind, Store};
use rustorium_types::*;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

fn record(lsn: u64, kind: RecordKind, payload: Vec<u8>) -> JournalRecord {
    JournalRecord { kind, lsn: Lsn(lsn), payload: payload.into() }
}

fn decode(records: Vec<JournalRecord>) -> Result<Journaled, String> {
    let (genesis, store) = (genesis(), MemStore::new());
    let tip = tip_of(&store, &genesis, ShardId::ROOT).unwrap();
    decode_journal(&context(&genesis, 0), &store, &tip, records)
}

#[test]
fn an_empty_store_starts_at_genesis_and_a_full_one_keeps_its_tip() {
    let (genesis, store) = (genesis(), MemStore::new());
    let tip = tip_of(&store, &genesis, ShardId::ROOT).unwrap();
    let expected = rustorium_execution::genesis(&genesis, ShardId::ROOT);
    assert_eq!((tip.height, tip.digest, tip.result_root), (Height(0), expected.digest, expected.result_root));
    assert_eq!(tip.header, expected.header);
    let write = &expected.diff[0];
    assert_eq!(store.state(&write.key).unwrap(), write.value);
    assert_eq!(store.tip(), Some(tip.clone()));
    assert_eq!(tip_of(&store, &genesis, ShardId::ROOT).unwrap(), tip);
}

#[test]
fn a_store_opens_for_the_shard_of_its_blocks_alone() {
    let (genesis, store) = (genesis(), MemStore::new());
    assert_eq!(tip_of(&store, &genesis, ShardId(3)).unwrap().header.shard, ShardId(3));
    let refused = tip_of(&store, &genesis, ShardId::ROOT).unwrap_err();
    assert!(refused.to_string().contains("blocks of shard 3"), "{refused}");
}

#[test]
fn records_come_back_with_their_positions() {
    let genesis = genesis();
    let context = context(&genesis, 0);
    let block = forge::child(&context, &context.genesis_header, 1);
    let body = forge::body(&context, VoteKind::Nullify, 1, BlockDigest::ZERO);
    let vote = validator_key(0).sign_vote(v(0), body);
    let certificate = forge::certificate(body, &[0, 1, 2]);
    let batch = forge::batch(&genesis, 1, 0, BatchDigest::ZERO, &[put(&genesis, 0, 0).into_inner()]);
    let journaled = decode(vec![
        record(3, RecordKind::Floor, encode(&(Epoch(0), View(7), Cursor { next_seq: 5, tip: BatchDigest([5; 32]) }))),
        record(4, RecordKind::Batch, encode(&batch)),
        record(5, RecordKind::Proposal, encode(&block)),
        record(6, RecordKind::Vote, encode(&vote)),
        record(7, RecordKind::Certificate, encode(&certificate)),
    ])
    .unwrap();
    let own_lane = Cursor { next_seq: 5, tip: BatchDigest([5; 32]) };
    assert_eq!(journaled.floor, Floor { epoch: Epoch(0), view: View(7), own_lane, position: 3 });
    assert_eq!(journaled.records.votes, [(6, vote)]);
    assert_eq!(journaled.records.blocks, [(5, block)]);
    assert_eq!(journaled.records.certificates, [(7, certificate)]);
    assert_eq!(journaled.records.batches, [(4, batch)]);
    assert_eq!(journaled.roots, [(Height(0), context.genesis_root)]);
    assert_eq!(journaled.finalization, None);
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    for kind in [RecordKind::Vote, RecordKind::Proposal, RecordKind::Certificate, RecordKind::Batch] {
        let why = decode(vec![record(42, kind, vec![7; 9])]).err().unwrap();
        assert!(why.contains("42"), "{why}");
    }
}

#[test]
fn records_of_other_epochs_are_void_or_kept_for_later() {
    let genesis = genesis();
    let context = context(&genesis, 0);
    let of = |epoch: u64, position: u64| {
        let body = VoteBody { epoch: Epoch(epoch), ..forge::body(&context, VoteKind::Nullify, 9, BlockDigest::ZERO) };
        let mut block = forge::child(&context, &context.genesis_header, 1);
        block.header.epoch = Epoch(epoch);
        let mut batch = forge::batch(&genesis, 1, 0, BatchDigest::ZERO, &[]);
        batch.body.epoch = Epoch(epoch);
        vec![
            record(position, RecordKind::Vote, encode(&validator_key(0).sign_vote(v(0), body))),
            record(position + 1, RecordKind::Proposal, encode(&block)),
            record(position + 2, RecordKind::Batch, encode(&batch)),
            record(position + 3, RecordKind::Certificate, encode(&forge::certificate(body, &[0, 1, 2]))),
        ]
    };
    let counts = |records: &Records| {
        let Records { votes, blocks, batches, certificates } = records;
        (votes.len(), blocks.len(), batches.len(), certificates.len())
    };
    let all = || [of(0, 10), of(1, 20), of(2, 30)].concat();
    let journaled = decode(all()).unwrap();
    assert_eq!((counts(&journaled.records), counts(&journaled.later)), ((1, 1, 1, 1), (2, 2, 2, 2)));
    assert_eq!(journaled.later.positions().min(), Some(20));
    let (now, later) = journaled.later.split(Epoch(2));
    assert_eq!((counts(&now), counts(&later)), ((1, 1, 1, 1), (0, 0, 0, 0)));
    assert_eq!((now.positions().min(), later.positions().min()), (Some(30), None));
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let vote = encode(
        &validator_key(0)
            .sign_vote(v(0), forge::body(&context(&genesis(), 0), VoteKind::Nullify, 1, BlockDigest::ZERO)),
    );
    for kind in [RecordKind::Vote, RecordKind::Proposal, RecordKind::Certificate, RecordKind::Batch] {
        for cut in 0..vote.len() {
            let _ = decode(vec![record(1, kind, vote[..cut].to_vec())]);
            let _ = decode(vec![record(1, kind, vec![0xff; cut])]);
        }
    }
}

/// Returns lost views, each with this node's vote and the certificate of three members in its journal.
fn lost_views(context: &Context, count: u64) -> Vec<JournalRecord> {
    let of_view = |view: u64| {
        let body = forge::body(context, VoteKind::Nullify, view, BlockDigest::ZERO);
        let vote = validator_key(0).sign_vote(v(0), body);
        let certificate = forge::certificate(body, &[0, 1, 2]);
        [(RecordKind::Vote, encode(&vote)), (RecordKind::Certificate, encode(&certificate))]
    };
    let records = (1..=count).flat_map(of_view);
    (1..).zip(records).map(|(lsn, (kind, payload))| record(lsn, kind, payload)).collect()
}

/// `RESTART_VIEWS` is the number of lost views; the test prints the time of a start.
#[test]
fn a_journal_of_lost_views_is_restored_completely() {
    let views = std::env::var("RESTART_VIEWS").map_or(300, |views| views.parse().unwrap());
    let (genesis, store) = (genesis(), Arc::new(MemStore::new()));
    let context = context(&genesis, 0);
    let tip = tip_of(&*store, &genesis, ShardId::ROOT).unwrap();
    let records = lost_views(&context, views);
    let mut ports = TestPorts::new(context.clone(), store.clone(), Rc::default());
    ports.journal.clone_from(&records);
    let began = Instant::now();
    let journaled = decode_journal(&context, &*store, &tip, records).unwrap();
    let decoded = began.elapsed();
    let keys = context.committee.keys.clone();
    let certificates: Vec<_> =
        journaled.records.certificates.iter().map(|(_, certificate)| certificate.clone()).collect();
    let began = Instant::now();
    assert!(certificates.into_iter().all(|certificate| verify_certificate(&keys, certificate).is_some()));
    let checked = began.elapsed();
    let began = Instant::now();
    let now = Now { us: 1, wall_ms: START_MS };
    let tip = (tip.digest, tip.header);
    let mut shard = Shard::recover(context, WorkConfig::default(), ports, now, tip, journaled);
    shard.end_turn(now);
    let started = began.elapsed();
    println!("{views} lost views: decoded in {decoded:?}, started in {started:?}; a check would take {checked:?}");
    let Input::Recovered { certificates, votes, .. } = &shard.ports.inputs[0] else { panic!("it comes first") };
    assert_eq!((certificates.len() as u64, votes.len() as u64), (views, views));
    assert_eq!(shard.ports.inputs.len(), 1, "nothing is lacking: {:?}", &shard.ports.inputs[1..]);
}
