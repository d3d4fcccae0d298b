//! From bytes on disk to what a shard starts with.

use crate::chain::{context, genesis, put, v, validator_key};
use crate::forge;
use rustorium_dataplane::recover::{decode_journal, tip_of};
use rustorium_dataplane::shard::{Floor, Journaled};
use rustorium_storage::{JournalRecord, Lsn, MemStore, RecordKind, Store};
use rustorium_types::*;

fn record(lsn: u64, kind: RecordKind, payload: Vec<u8>) -> JournalRecord {
    JournalRecord { kind, lsn: Lsn(lsn), payload: payload.into() }
}

fn decode(records: Vec<JournalRecord>) -> Result<Journaled, String> {
    let (genesis, store) = (genesis(), MemStore::new());
    let tip = tip_of(&store, &genesis).unwrap();
    decode_journal(&context(&genesis, 0), &store, &tip, records)
}

#[test]
fn an_empty_store_starts_at_genesis_and_a_full_one_keeps_its_tip() {
    let (genesis, store) = (genesis(), MemStore::new());
    let tip = tip_of(&store, &genesis).unwrap();
    let expected = rustorium_execution::genesis(&genesis);
    assert_eq!((tip.height, tip.digest, tip.result_root), (Height(0), expected.digest, expected.result_root));
    assert_eq!(tip.header, expected.header);
    let write = &expected.diff[0];
    assert_eq!(store.state(&write.key).unwrap(), write.value);
    assert_eq!(store.tip(), Some(tip.clone()));
    assert_eq!(tip_of(&store, &genesis).unwrap(), tip);
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
        record(3, RecordKind::Floor, encode(&(View(7), Cursor { next_seq: 5, tip: BatchDigest([5; 32]) }))),
        record(4, RecordKind::Batch, encode(&batch)),
        record(5, RecordKind::Proposal, encode(&block)),
        record(6, RecordKind::Vote, encode(&vote)),
        record(7, RecordKind::Certificate, encode(&certificate)),
    ])
    .unwrap();
    let own_lane = Cursor { next_seq: 5, tip: BatchDigest([5; 32]) };
    assert_eq!(journaled.floor, Floor { view: View(7), own_lane, position: 3 });
    assert_eq!(journaled.votes, [(6, vote)]);
    assert_eq!(journaled.blocks, [(5, block)]);
    assert_eq!(journaled.certificates, [(7, certificate)]);
    assert_eq!(journaled.batches.len(), 1);
    assert_eq!((journaled.batches[0].0, &*journaled.batches[0].1.batch), (4, &batch));
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
fn batches_with_bad_signatures_or_of_no_lane_are_left_out() {
    let genesis = genesis();
    let transaction = put(&genesis, 0, 0).into_inner();
    let mut bad = forge::batch(&genesis, 1, 0, BatchDigest::ZERO, std::slice::from_ref(&transaction));
    bad.signature[0] ^= 1;
    let mut stray = forge::batch(&genesis, 1, 0, BatchDigest::ZERO, &[transaction]);
    stray.body.author = v(99);
    let records = vec![record(1, RecordKind::Batch, encode(&bad)), record(2, RecordKind::Batch, encode(&stray))];
    assert!(decode(records).unwrap().batches.is_empty());
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
