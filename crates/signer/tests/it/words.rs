//! Short names for what the tests sign.

use rustorium_crypto::SigningKey;
use rustorium_signer::{JournalSummary, RequestSubject};
use rustorium_types::*;
use std::collections::BTreeSet;

pub const CHAIN: ChainId = ChainId([7; 32]);
pub const SHARD: ShardId = ShardId(0);

pub fn key() -> SigningKey {
    SigningKey::from_seed(&[5; 32])
}

pub fn chains() -> BTreeSet<ChainId> {
    BTreeSet::from([CHAIN])
}

pub fn vote(kind: VoteKind, epoch: u64, view: u64, block: u8) -> VoteBody {
    let block = if kind == VoteKind::Nullify { BlockDigest::ZERO } else { BlockDigest([block + 1; 32]) };
    VoteBody { chain: CHAIN, shard: SHARD, epoch: Epoch(epoch), view: View(view), kind, block }
}

/// Returns a batch; its field `previous` depends on the content.
pub fn batch(epoch: u64, seq: u64, content: u8) -> BatchBody {
    BatchBody {
        chain: CHAIN,
        shard: SHARD,
        epoch: Epoch(epoch),
        author: ValidatorIndex(0),
        seq,
        previous: BatchDigest([content; 32]),
        transactions: BoundedVec::default(),
    }
}

pub fn shown(epoch: u64, settled: u64, next_seq: u64, votes: Vec<SignedVote>) -> JournalSummary {
    let (chain, shard, votes) = (CHAIN, SHARD, BoundedVec::new(votes).unwrap());
    JournalSummary { chain, shard, epoch: Epoch(epoch), settled: View(settled), next_seq, votes }
}

pub fn show(epoch: u64) -> RequestSubject {
    RequestSubject::Show(Box::new(shown(epoch, 0, 0, Vec::new())))
}

pub fn ask(body: VoteBody) -> RequestSubject {
    RequestSubject::Vote { body, settled: View(0) }
}
