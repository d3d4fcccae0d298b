//! A snapshot is accepted only if a quorum signed its facts.

use crate::common::{child, finalization, genesis, keys};
use rustorium_crypto::hash::result_root;
use rustorium_sync::state::{SnapshotRefused, check_snapshot};
use rustorium_types::*;

const CHAIN: ChainId = ChainId([1; 32]);
const AT: Height = Height(5);
const STATE: Hash = Hash([0x55; 32]);

fn link(height: u64) -> ResultLink {
    ResultLink { receipts: Hash([height as u8; 32]), diff: Hash([1; 32]), outbox: Hash([0; 32]) }
}

fn root_at(height: u64) -> Hash {
    (1..=height).fold(Hash([9; 32]), |root, height| {
        let ResultLink { receipts, diff, outbox } = link(height);
        result_root(&root, &receipts, &diff, &outbox)
    })
}

/// Ten blocks: the block at 5 claims the state at 2, the block at 8 claims the state at 5 and the result at 7.
fn chain() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for height in 1..=10 {
        let parent = blocks.last().map_or_else(genesis, |block| block.header.clone());
        let mut block = child(&parent, vec![]);
        if height == 4 {
            block.header.state = StateClaim::Rooted { height: Height(2), first: Height(1), root: Hash([0x22; 32]) };
        }
        if height == 8 {
            block.header.state = StateClaim::Rooted { height: AT, first: Height(3), root: STATE };
            block.header.result = ResultClaim { height: Height(7), root: root_at(7) };
        }
        blocks.push(block);
    }
    blocks
}

fn snapshot() -> Snapshot {
    let blocks = chain();
    let headers = blocks[2..9].iter().map(|block| block.header.clone()).collect();
    Snapshot {
        height: AT,
        headers: BoundedVec::new(headers).unwrap(),
        finalization: finalization(&blocks[8]),
        result_root: root_at(5),
        links: BoundedVec::new(vec![link(6), link(7)]).unwrap(),
    }
}

fn refused(change: impl FnOnce(&mut Snapshot)) -> SnapshotRefused {
    let mut changed = snapshot();
    change(&mut changed);
    check_snapshot(&CHAIN, ShardId(0), &keys(), &[], changed).unwrap_err()
}

fn with_headers(snapshot: &mut Snapshot, change: impl FnOnce(&mut Vec<Header>)) {
    let mut headers = std::mem::take(&mut snapshot.headers).into_vec();
    change(&mut headers);
    snapshot.headers = BoundedVec::new(headers).unwrap();
}

#[test]
fn a_certified_snapshot_is_believed() {
    let checked = check_snapshot(&CHAIN, ShardId(0), &keys(), &[], snapshot()).unwrap();
    assert_eq!((checked.header.height, checked.state_root), (AT, STATE));
    assert_eq!(checked.digest, rustorium_crypto::block_digest(&chain()[4].header));
    // More headers below than needed are no fault.
    let mut more = snapshot();
    with_headers(&mut more, |headers| headers.insert(0, chain()[1].header.clone()));
    assert!(check_snapshot(&CHAIN, ShardId(0), &keys(), &[], more).is_ok());
}

#[test]
fn a_snapshot_that_the_chain_did_not_certify_is_refused() {
    use SnapshotRefused::*;
    assert_eq!(refused(|s| s.height = Height(6)), NoClaim(Height(6)));
    assert_eq!(refused(|s| s.height = Height(99)), Incomplete(Height(99)));
    assert_eq!(refused(|s| with_headers(s, |h| _ = h.remove(0))), Incomplete(AT));
    assert_eq!(refused(|s| with_headers(s, Vec::clear)), Incomplete(AT));
    assert_eq!(refused(|s| with_headers(s, |h| _ = h.remove(3))), Broken(Height(7)));
    assert_eq!(refused(|s| with_headers(s, |h| _ = h.pop())), Certificate);
    assert_eq!(refused(|s| with_headers(s, |h| h.truncate(5))), NoClaim(AT));
    assert_eq!(refused(|s| with_headers(s, |h| h[2].time_ms += 1)), Broken(Height(6)));
    assert_eq!(refused(|s| with_headers(s, |h| h[6].time_ms += 1)), Certificate);
    assert_eq!(refused(|s| s.result_root = root_at(4)), Result(AT));
    assert_eq!(refused(|s| s.links = BoundedVec::new(vec![link(7), link(6)]).unwrap()), Result(AT));
    assert_eq!(refused(|s| s.links = BoundedVec::new(vec![link(6)]).unwrap()), Result(AT));
    assert_eq!(refused(|s| s.finalization = finalization(&chain()[9])), Certificate);
    assert_eq!(refused(|s| s.finalization.body.kind = VoteKind::Notarize), Certificate);
    assert_eq!(refused(|s| s.finalization.signatures = BoundedVec::default()), Certificate);
    assert_eq!(refused(|s| s.finalization.body.chain = ChainId([2; 32])), OtherChain);
    assert_eq!(refused(|s| with_headers(s, |h| h[0].chain = ChainId([2; 32]))), OtherChain);
    assert_eq!(refused(|s| with_headers(s, |h| h[1].shard = ShardId(1))), OtherShard(ShardId(1)));
    let others: Vec<PublicKey> = (9..13).map(|seed| crate::common::key(seed).public()).collect();
    assert_eq!(check_snapshot(&CHAIN, ShardId(0), &others, &[], snapshot()).unwrap_err(), Certificate);
}

#[test]
fn a_claim_that_is_changed_breaks_the_chain() {
    let claim = |s: &mut Snapshot| {
        with_headers(s, |h| h[5].state = StateClaim::Rooted { height: AT, first: Height(3), root: Hash([0x66; 32]) });
    };
    assert_eq!(refused(claim), SnapshotRefused::Broken(Height(9)));
}
