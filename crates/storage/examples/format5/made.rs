//! Heights as a chain of four validators has them: lanes that move in turns, claims, a finalization for each.

use crate::Outcome;
use crate::heights::heights;
use rustorium_crypto::{block_digest, value_hash};
use rustorium_storage::HeightCommit;
use rustorium_types::*;

const VALIDATORS: u64 = 4;
/// Header time between heights: 100 a second.
const INTERVAL_MS: u64 = 10;
/// Heights between two claims of a state root: one a second.
const CLAIM_EVERY: u64 = 100;

/// Returns `count` heights of so many puts, each followed by an empty one if the chain is `idle`.
pub(super) fn made(count: u64, puts: u64, idle: bool) -> Outcome<Vec<HeightCommit>> {
    let mut commits = Vec::new();
    for commit in heights(count, puts)? {
        let mut empty = commit.clone();
        (empty.batches, empty.receipts, empty.diff) = (Vec::new(), Vec::new(), Vec::new());
        empty.block.header.transactions = 0;
        commits.push(commit);
        if idle {
            commits.push(empty);
        }
    }
    let mut parent = BlockDigest::ZERO;
    let mut cursors = vec![Cursor::default(); VALIDATORS as usize];
    for (height, commit) in (0u64..).zip(&mut commits) {
        if let Some(batch) = commit.batches.first() {
            cursors[(height % VALIDATORS) as usize] = Cursor { next_seq: height, tip: batch.digest };
        }
        let header = &mut commit.block.header;
        let hash = |n: u64| value_hash(&n.to_le_bytes());
        (header.height, header.view, header.parent) = (Height(height), View(height), parent);
        header.time_ms = INTERVAL_MS * height;
        header.proposer = ValidatorIndex((height % VALIDATORS) as u16);
        header.cursors = BoundedVec::new(cursors.clone())?;
        header.result = ResultClaim { height: Height(height.saturating_sub(1)), root: hash(height) };
        let claimed = height / CLAIM_EVERY * CLAIM_EVERY;
        header.state = StateClaim::Rooted { height: Height(claimed), first: Height(claimed), root: hash(claimed) };
        commit.receipts.iter_mut().for_each(|receipt| receipt.height = Height(height));
        commit.digest = block_digest(&commit.block.header);
        parent = commit.digest;
    }
    Ok(commits)
}

/// Returns bytes of the length of a finalization by a quorum.
pub(super) fn finalization(commit: &HeightCommit) -> Outcome<Vec<u8>> {
    let header = &commit.block.header;
    let body = VoteBody {
        chain: header.chain,
        shard: header.shard,
        epoch: header.epoch,
        view: header.view,
        kind: VoteKind::Finalize,
        block: commit.digest,
    };
    let signatures = (0..3).map(|signer| (ValidatorIndex(signer), [signer as u8; 64])).collect();
    Ok(encode(&Certificate { body, signatures: BoundedVec::new(signatures)? }))
}
