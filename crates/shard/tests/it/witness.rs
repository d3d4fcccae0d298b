//! All messages that nodes have sent, over all their restarts. None may contradict another.

use rustorium_types::*;
use std::collections::BTreeMap;

/// The messages that all incarnations of all nodes have sent.
#[derive(Default)]
pub struct Witness {
    votes: BTreeMap<(Epoch, ValidatorIndex, View, VoteKind), BlockDigest>,
    batches: BTreeMap<(Epoch, ValidatorIndex, u64), BatchDigest>,
    pub headers: BTreeMap<BlockDigest, Header>,
    roots: BTreeMap<Height, (BlockDigest, Hash)>,
    state_roots: BTreeMap<Height, Hash>,
}

impl Witness {
    pub fn vote(&mut self, signer: ValidatorIndex, body: &VoteBody) {
        let epoch = body.epoch;
        let known = *self.votes.entry((epoch, signer, body.view, body.kind)).or_insert(body.block);
        assert_eq!(known, body.block, "{signer:?} voted twice in {:?}", body.view);
        let both = [VoteKind::Nullify, VoteKind::Finalize]
            .map(|kind| self.votes.contains_key(&(epoch, signer, body.view, kind)));
        assert_ne!(both, [true, true], "{signer:?} nullified and finalized {:?}", body.view);
    }

    /// Notes a batch. Returns true if it was shown before.
    pub fn batch(&mut self, body: &BatchBody, digest: BatchDigest) -> bool {
        let (author, seq) = (body.author, body.seq);
        let known = self.batches.insert((body.epoch, author, seq), digest);
        assert!(known.is_none_or(|known| known == digest), "{author:?} sent two batches at {seq}");
        known.is_some()
    }

    pub fn rooted(&mut self, height: Height, root: Hash) {
        assert_eq!(*self.state_roots.entry(height).or_insert(root), root, "two state roots at {height:?}");
    }

    pub fn executed(&mut self, height: Height, digest: BlockDigest, root: Hash) {
        let known = *self.roots.entry(height).or_insert((digest, root));
        assert_eq!(known, (digest, root), "two results at {height:?}");
    }
}
