//! Snapshots that a node offers to nodes whose store is empty.

use crate::chain::genesis;
use rustorium_node::statesync::fits_a_frame;
use rustorium_types::limits::{FRAME_BYTES_MAX, SNAPSHOT_HEADERS_MAX};
use rustorium_types::*;

/// L4: with a hundred validators a header has 4.4 KiB, so a frame holds some 900 of the 2,048 that a snapshot may have.
#[test]
fn a_snapshot_that_no_frame_holds_is_not_offered() {
    let mut header = rustorium_execution::genesis(&genesis(), ShardId::ROOT).header;
    header.cursors = BoundedVec::new(vec![Cursor::default(); 100]).unwrap();
    let body = VoteBody {
        chain: ChainId::ZERO,
        shard: ShardId(0),
        epoch: Epoch(0),
        view: View(0),
        kind: VoteKind::Finalize,
        block: BlockDigest::ZERO,
    };
    let snapshot = |headers: usize| Snapshot {
        height: Height(1),
        headers: BoundedVec::new(vec![header.clone(); headers]).unwrap(),
        finalization: Certificate {
            body,
            signatures: BoundedVec::new(vec![(ValidatorIndex(0), [0; 64]); 67]).unwrap(),
        },
        result_root: Hash::ZERO,
        links: BoundedVec::new(vec![ResultLink::default(); 8]).unwrap(),
    };
    let largest = (1..=SNAPSHOT_HEADERS_MAX).rev().find(|count| fits_a_frame(&snapshot(*count))).unwrap();
    assert!((800..1_000).contains(&largest), "{largest}");
    let response = Response::State(Box::new(StateAnswer::Snapshot(snapshot(largest))));
    assert!(Message::Response { id: u64::MAX, response }.to_frame().len() <= FRAME_BYTES_MAX);
}
