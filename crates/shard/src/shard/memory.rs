//! Answers to peers from the shard's memory: blocks, batches and certificates that aren't final yet.

use super::{Ports, Shard};
use rustorium_crypto::Verified;
use rustorium_quorum::KeptCertificate;
use rustorium_sync::Source;
use rustorium_types::{
    Batch, BatchDigest, Block, BlockDigest, Certificate, Epoch, EpochTransition, Height, ValidatorIndex, View, limits,
};

/// Source of answers from the shard's memory.
pub(super) struct Memory<'a, P: Ports> {
    pub(super) shard: &'a Shard<P>,
}

impl<P: Ports> Source for Memory<'_, P> {
    fn block(&self, digest: &BlockDigest) -> Option<Block> {
        self.shard.tree.get(digest).map(|entry| (*entry.block).clone())
    }

    fn batch(&self, lane: ValidatorIndex, digest: &BatchDigest) -> Option<Batch> {
        self.shard.batches.lanes().get(lane, digest).map(|checked| (*checked.batch).clone())
    }

    fn batches(&self, lane: ValidatorIndex, first: u64, end: u64) -> Vec<Batch> {
        let held = self.shard.batches.lanes().unlisted(lane).into_iter();
        let above = held.filter(|batch| (first..end).contains(&batch.batch.body.seq));
        let joined = above.zip(first..).take_while(|(batch, seq)| batch.batch.body.seq == *seq);
        joined.map(|(batch, _)| (*batch.batch).clone()).collect()
    }

    fn certificates(&self, first: View, last: View) -> Vec<Certificate> {
        let plain = |certificate: &Verified<Certificate>| (**certificate).clone();
        let whole = |kept| match kept {
            KeptCertificate::Whole(certificate) => Some(plain(&certificate)),
            KeptCertificate::At(_) => None,
        };
        self.shard.votes.kept_between(first, last).filter_map(whole).take(limits::SYNC_ITEMS_MAX).collect()
    }

    fn final_blocks(&self, _first: Height, _count: u32) -> (Vec<Block>, Option<Certificate>) {
        (Vec::new(), None)
    }

    fn epoch_end(&self, _epoch: Epoch) -> Option<EpochTransition> {
        None
    }
}
