//! Heights as a chain of some validators has them: lanes that move, claims, a finalization for each.

use crate::Outcome;
use crate::heights::heights;
use rustorium_crypto::{
    SigningKey, Verified, block_digest, certify, payload_root, result_root, value_hash, verify_vote,
};
use rustorium_storage::HeightCommit;
use rustorium_types::*;

/// Header time between heights: 100 a second.
const INTERVAL_MS: u64 = 10;
/// Heights between two claims of a state root: one a second.
const CLAIM_EVERY: u64 = 100;
/// Signatures of a finalization.
const SIGNERS: usize = 3;

/// Returns `count` heights of so many puts, each followed by an empty one if the chain is `idle`.
pub(super) fn made((count, puts, idle): (u64, u64, bool), validators: u64, rules: Rules) -> Outcome<Vec<HeightCommit>> {
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
    let keys: Vec<SigningKey> = (0..SIGNERS).map(|n| SigningKey::from_seed(&[n as u8 + 1; 32])).collect();
    let mut parent = BlockDigest::ZERO;
    let mut root = Hash::ZERO;
    let mut cursors = vec![Cursor::default(); validators as usize];
    for (height, commit) in (0u64..).zip(&mut commits) {
        let before = cursors.clone();
        if let (Some(batch), Some(cursor)) = (commit.batches.first(), cursors.first_mut()) {
            *cursor = Cursor { next_seq: cursor.next_seq + 1, tip: batch.digest };
        }
        let header = &mut commit.block.header;
        let hash = |n: u64| value_hash(&n.to_le_bytes());
        (header.version, header.height, header.parent) = (rules.version(), Height(height), parent);
        (header.view, header.parent_view) = (View(height), View(height.saturating_sub(1)));
        header.time_ms = 1_800_000_000_000 + INTERVAL_MS * height;
        header.proposer = ValidatorIndex((height % validators) as u16);
        header.payload_root = payload_root(&[], &before, &cursors);
        header.cursors = BoundedVec::new(cursors.clone())?;
        header.declared_work = 1030 * u64::from(header.transactions);
        header.result = ResultClaim { height: Height(height.saturating_sub(1)), root };
        let claimed = height / CLAIM_EVERY * CLAIM_EVERY;
        header.state = StateClaim::Rooted { height: Height(claimed), first: Height(claimed), root: hash(claimed) };
        for receipt in &mut commit.receipts {
            (receipt.height, receipt.time_ms) = (Height(height), header.time_ms);
        }
        let full = !commit.receipts.is_empty();
        let of = |n: u64| if full { hash(n) } else { Hash::ZERO };
        commit.link = ResultLink { receipts: of(2 * height), diff: of(2 * height + 1), outbox: Hash::ZERO };
        root = result_root(&root, &commit.link.receipts, &commit.link.diff, &commit.link.outbox);
        commit.result_root = root;
        commit.digest = block_digest(&commit.block.header);
        parent = commit.digest;
        commit.finalization = Some(finalization(&commit.block.header, commit.digest, &keys)?);
    }
    Ok(commits)
}

fn finalization(header: &Header, block: BlockDigest, keys: &[SigningKey]) -> Outcome<Verified<Certificate>> {
    let Header { chain, shard, epoch, view, .. } = *header;
    let body = VoteBody { chain, shard, epoch, view, kind: VoteKind::Finalize, block };
    let signed = (0..).zip(keys).map(|(n, key)| {
        verify_vote(&key.public(), key.sign_vote(ValidatorIndex(n), body)).ok_or("a vote's signature doesn't hold")
    });
    let votes: Vec<_> = signed.collect::<Result<_, _>>()?;
    certify(keys.len(), &votes).ok_or_else(|| "the votes make no certificate".into())
}
