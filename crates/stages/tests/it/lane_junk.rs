//! V62: lanes of which execution skips too much are named.

use crate::chain::genesis_with;
use rustorium_crypto::{CheckedBatch, SigningKey, account_id, verify_batch};
use rustorium_execution::genesis;
use rustorium_stages::lane_junk::LaneJunk;
use rustorium_storage::HeightCommit;
use rustorium_types::*;
use std::sync::Arc;

const KIB: u64 = 1024;
const MINUTE_MS: u64 = 60_000;

fn signer() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// A batch of puts of 32 KiB each.
fn batch(author: u16, nonce: u64, count: u64) -> Arc<CheckedBatch> {
    let (key, chain) = (signer(), ChainId::ZERO);
    let put = |nonce| {
        let namespace = account_id(0, &key.public());
        let value = Value::new(vec![7; 32 * KIB as usize]).unwrap();
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            chain,
            sender: namespace,
            public_key: key.public(),
            nonce,
            expires_at_ms: u64::MAX,
            work_limit: 0,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(vec![Operation::Put { namespace, key: Key::default(), value }]).unwrap(),
        };
        key.sign_transaction(body).into_inner()
    };
    let body = BatchBody {
        chain,
        shard: ShardId::ROOT,
        epoch: Epoch(0),
        author: ValidatorIndex(author),
        seq: 0,
        previous: BatchDigest::ZERO,
        transactions: BoundedVec::new((nonce..nonce + count).map(put).collect()).unwrap(),
    };
    Arc::new(verify_batch(&key.public(), key.sign_batch(body).1).unwrap())
}

/// An executed block in which these ids have receipts.
fn block(time_ms: u64, epoch: u64, batches: Vec<Arc<CheckedBatch>>, executed: &[TxId]) -> HeightCommit {
    let start = genesis(&genesis_with(Parameters::default()), ShardId::ROOT);
    let header = Header { time_ms, epoch: Epoch(epoch), ..start.header };
    let receipt = |id: &TxId| Receipt {
        transaction: *id,
        sender: AccountId::default(),
        nonce: 0,
        height: header.height,
        index: 0,
        time_ms,
        work: 0,
        outcome: Outcome::Ok,
    };
    let receipts = executed.iter().map(receipt).collect();
    HeightCommit {
        digest: rustorium_crypto::block_digest(&header),
        block: Block { header, inline: BoundedVec::default() },
        inline_ids: Vec::new(),
        batches,
        receipts,
        diff: Vec::new(),
        link: ResultLink::default(),
        result_root: start.result_root,
        finalization: None,
    }
}

fn named(lanes: &LaneJunk) -> Vec<u16> {
    lanes.named().iter().map(|lane| lane.author.0).collect()
}

#[test]
fn a_lane_is_named_while_more_than_a_hundredth_of_it_is_skipped() {
    let lanes = LaneJunk::default();
    let (first, second) = (batch(0, 0, 4), batch(1, 100, 4));
    let of = |time_ms, batches: &[&Arc<CheckedBatch>]| {
        block(time_ms, 0, batches.iter().map(|one| Arc::clone(one)).collect(), &[])
    };
    assert!(lanes.note(&of(0, &[&first, &second]), &[]).is_empty());
    let two = lanes.note(&of(1, &[&first, &second]), &second.ids[..1]);
    assert!(two.len() == 1 && named(&lanes).is_empty(), "a transaction is no junk");
    let skipped = lanes.note(&of(2, &[&first, &second]), &second.ids[1..3]);
    assert!((64 * KIB..65 * KIB).contains(&skipped[&ValidatorIndex(1)]), "{skipped:?}");
    assert_eq!(named(&lanes), [1]);
    let [lane] = lanes.named()[..] else { panic!("{:?}", lanes.named()) };
    assert!((96 * KIB..98 * KIB).contains(&lane.skipped) && (256 * KIB..260 * KIB).contains(&lane.listed), "{lane:?}");
    // What is executed later outweighs it.
    let honest = batch(1, 200, 24);
    for time_ms in 3..16 {
        assert!(lanes.note(&of(time_ms, &[&honest]), &[]).is_empty());
    }
    assert!(named(&lanes).is_empty());
}

#[test]
fn what_two_lanes_listed_and_was_executed_is_no_junk() {
    let lanes = LaneJunk::default();
    let (one, other) = (batch(0, 0, 8), batch(1, 0, 8));
    let twice = block(0, 0, vec![one.clone(), other.clone()], &one.ids);
    assert!(lanes.note(&twice, &other.ids).is_empty() && named(&lanes).is_empty());
    // Listed again in a later block, it is.
    assert_eq!(lanes.note(&block(1, 0, vec![other.clone()], &[]), &other.ids).len(), 1);
    assert_eq!(named(&lanes), [1]);
}

#[test]
fn junk_is_forgotten_after_twenty_minutes_and_with_the_epoch() {
    let junk = batch(1, 0, 8);
    let start_ms = 5;
    let at = |time_ms, epoch| block(time_ms, epoch, vec![batch(0, 9, 1)], &[]);
    let lanes = LaneJunk::default();
    lanes.note(&block(start_ms, 0, vec![junk.clone()], &[]), &junk.ids);
    lanes.note(&at(start_ms + 20 * MINUTE_MS - 1, 0), &[]);
    assert_eq!(named(&lanes), [1]);
    lanes.note(&at(start_ms + 20 * MINUTE_MS, 0), &[]);
    assert!(named(&lanes).is_empty());
    lanes.note(&block(start_ms, 0, vec![junk.clone()], &[]), &junk.ids);
    lanes.note(&at(start_ms + 1, 1), &[]);
    assert!(named(&lanes).is_empty());
}
