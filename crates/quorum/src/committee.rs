//! The validators of one shard and epoch, as those who count votes see them.

use rustorium_types::{
    BlockDigest, ChainId, Epoch, PublicKey, ShardId, ValidatorIndex, VoteBody, VoteKind, faults_tolerated, quorum,
};

/// Whose votes count, and for what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committee {
    /// The chain.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch.
    pub epoch: Epoch,
    /// This node's place; none for a node that only follows.
    pub me: Option<ValidatorIndex>,
    /// Validator keys by index.
    pub keys: Vec<PublicKey>,
}

impl Committee {
    /// Members.
    pub fn n(&self) -> usize {
        self.keys.len()
    }

    /// Votes that make a certificate: n − f.
    pub fn quorum(&self) -> usize {
        quorum(self.n())
    }

    /// Liars that the committee withstands: f.
    pub fn faults(&self) -> usize {
        faults_tolerated(self.n())
    }

    /// A member's key.
    pub fn key(&self, who: ValidatorIndex) -> Option<&PublicKey> {
        self.keys.get(usize::from(who.0))
    }

    /// The body of this committee's vote of `kind`; a nullify names no block.
    pub fn body(&self, kind: VoteKind, view: rustorium_types::View, block: BlockDigest) -> VoteBody {
        VoteBody { chain: self.chain, shard: self.shard, epoch: self.epoch, view, kind, block }
    }

    /// Whether `body` is of this chain, shard and epoch.
    pub fn owns(&self, body: &VoteBody) -> bool {
        body.chain == self.chain && body.shard == self.shard && body.epoch == self.epoch
    }
}

/// Whether a vote names a block exactly where its kind wants one.
pub(crate) fn well_formed(body: &VoteBody) -> bool {
    (body.kind == VoteKind::Nullify) == (body.block == BlockDigest::ZERO)
}
