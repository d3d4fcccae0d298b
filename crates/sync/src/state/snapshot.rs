//! The check of an offered snapshot: the state root that a quorum certified, and that everything else belongs to the
//! same chain.

use rustorium_crypto::hash::result_root;
use rustorium_crypto::{block_digest, verify_finalization};
use rustorium_types::{
    BlockDigest, ChainId, Epoch, Hash, Header, Height, PublicKey, ShardId, Snapshot, StateClaim, VoteKind,
};
use thiserror::Error;

/// A snapshot was refused. The peer that offered it is wrong, or on another fork.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SnapshotRefused {
    /// The snapshot is of another chain.
    #[error("it is of another chain")]
    OtherChain,
    /// The snapshot is of another shard, whose committee may have the same keys.
    #[error("it is of shard {0}")]
    OtherShard(ShardId),
    /// The headers form no chain.
    #[error("the header at height {0} does not follow the one before it")]
    Broken(Height),
    /// There are too few headers.
    #[error("it lacks headers that are needed to judge the state at height {0}")]
    Incomplete(Height),
    /// No header claims the root.
    #[error("none of its headers claims the state at height {0}")]
    NoClaim(Height),
    /// The result root and its links don't lead to a header's claim.
    #[error("its result root at height {0} is not what the chain certified")]
    Result(Height),
    /// The finalization is of another block, or its signatures don't hold.
    #[error("its finalization does not hold under the committee's keys")]
    Certificate,
}

/// A snapshot that a quorum certified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedSnapshot {
    /// The header at the snapshot's height.
    pub header: Header,
    /// Digest of the header.
    pub digest: BlockDigest,
    /// The certified state root after it.
    pub state_root: Hash,
    /// The whole snapshot.
    pub snapshot: Snapshot,
}

/// Returns the epoch whose committee made the finalization of this snapshot.
pub fn certifying_epoch(snapshot: &Snapshot) -> Epoch {
    snapshot.finalization.body.epoch
}

/// Checks a shard's snapshot with the keys of the committee of `certifying_epoch` and of its owners.
pub fn check_snapshot(
    chain: &ChainId,
    shard: ShardId,
    keys: &[PublicKey],
    owners: &[PublicKey],
    snapshot: Snapshot,
) -> Result<CheckedSnapshot, SnapshotRefused> {
    let at = snapshot.height;
    let headers = snapshot.headers.as_slice();
    if headers.iter().any(|header| header.chain != *chain) || snapshot.finalization.body.chain != *chain {
        return Err(SnapshotRefused::OtherChain);
    }
    if let Some(other) = headers.iter().find(|header| header.shard != shard) {
        return Err(SnapshotRefused::OtherShard(other.shard));
    }
    let digests: Vec<BlockDigest> = headers.iter().map(block_digest).collect();
    for (pair, digest) in headers.windows(2).zip(&digests) {
        let (parent, header) = (&pair[0], &pair[1]);
        let follows = header.parent == *digest
            && header.height == parent.height.next()
            && (header.epoch, header.view) > (parent.epoch, parent.view);
        if !follows {
            return Err(SnapshotRefused::Broken(header.height));
        }
    }
    let place = headers.iter().position(|header| header.height == at).ok_or(SnapshotRefused::Incomplete(at))?;
    let header = &headers[place];
    // The root period that is open at the snapshot's height is judged from the newest claim on.
    let first = claimed_height(&header.state).next().min(at);
    if headers.first().is_none_or(|header| header.height > first) {
        return Err(SnapshotRefused::Incomplete(at));
    }
    let above = &headers[place + 1..];
    let claim = above.iter().find_map(|header| match header.state {
        StateClaim::Rooted { height, root, .. } if height == at => Some(root),
        _ => None,
    });
    let state_root = claim.ok_or(SnapshotRefused::NoClaim(at))?;
    check_result(&snapshot, above)?;
    let (last, digest) = (headers.last(), digests.last());
    let body = &snapshot.finalization.body;
    let finalizes = last.zip(digest).is_some_and(|(last, digest)| {
        body.kind == VoteKind::Finalize
            && (body.shard, body.epoch, body.view) == (last.shard, last.epoch, last.view)
            && body.block == *digest
    });
    let signed = last.and_then(|last| verify_finalization(keys, owners, last, &snapshot.finalization));
    if !finalizes || signed.is_none() {
        return Err(SnapshotRefused::Certificate);
    }
    Ok(CheckedSnapshot { header: header.clone(), digest: digests[place], state_root, snapshot })
}

/// Checks that the result root at the height, with the links above it, leads to one that a header claims. These are
/// hashes, so there is only one such root.
fn check_result(snapshot: &Snapshot, above: &[Header]) -> Result<(), SnapshotRefused> {
    let mut root = snapshot.result_root;
    for link in &snapshot.links {
        root = result_root(&root, &link.receipts, &link.diff, &link.outbox);
    }
    let claimed = Height(snapshot.height.0.saturating_add(snapshot.links.len() as u64));
    let claims = |header: &Header| header.result.height == claimed && header.result.root == root;
    if above.iter().any(claims) { Ok(()) } else { Err(SnapshotRefused::Result(snapshot.height)) }
}

fn claimed_height(claim: &StateClaim) -> Height {
    match claim {
        StateClaim::NoneYet => Height(0),
        StateClaim::Rooted { height, .. } => *height,
    }
}
