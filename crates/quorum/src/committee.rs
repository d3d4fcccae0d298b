//! The committee of one shard and epoch: the facts that counting votes needs.

use rustorium_types::{
    BlockDigest, ChainId, Epoch, PublicKey, ShardId, ValidatorIndex, VoteBody, VoteKind, faults_tolerated, quorum,
};

/// A committee: the members whose votes count, and the chain, shard and epoch that they count for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committee {
    /// The chain.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch.
    pub epoch: Epoch,
    /// This node's index; `None` for a node that only follows.
    pub me: Option<ValidatorIndex>,
    /// Validator keys by index.
    pub keys: Vec<PublicKey>,
}

impl Committee {
    /// Returns the number of members.
    pub fn n(&self) -> usize {
        self.keys.len()
    }

    /// Returns the number of votes that make a certificate: n − f.
    pub fn quorum(&self) -> usize {
        quorum(self.n())
    }

    /// Returns the number of faulty members that the committee tolerates: f.
    pub fn faults(&self) -> usize {
        faults_tolerated(self.n())
    }

    /// Returns a member's key.
    pub fn key(&self, who: ValidatorIndex) -> Option<&PublicKey> {
        self.keys.get(usize::from(who.0))
    }

    /// Returns the body of this committee's vote of `kind`. A nullify names no block.
    pub fn body(&self, kind: VoteKind, view: rustorium_types::View, block: BlockDigest) -> VoteBody {
        VoteBody { chain: self.chain, shard: self.shard, epoch: self.epoch, view, kind, block }
    }

    /// Tells if `body` is of this chain, shard and epoch.
    pub fn owns(&self, body: &VoteBody) -> bool {
        body.chain == self.chain && body.shard == self.shard && body.epoch == self.epoch
    }
}

/// Tells if a vote names a block exactly when its kind needs one.
pub(crate) fn well_formed(body: &VoteBody) -> bool {
    (body.kind == VoteKind::Nullify) == (body.block == BlockDigest::ZERO)
}
