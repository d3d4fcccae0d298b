//! What never changes while a shard's epoch runs: committee, keys, parameters and the hashes that headers carry.

use rustorium_crypto::SigningKey;
use rustorium_execution::ChainHashes;
use rustorium_quorum::Committee;
use rustorium_types::{
    BlockDigest, ChainId, Epoch, Genesis, Hash, Header, PROTOCOL_VERSION, Parameters, PublicKey, ShardId,
    ValidatorIndex,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The fixed facts of one shard's epoch on one node.
pub struct Context {
    /// The committee.
    pub committee: Arc<Committee>,
    /// This node's place in it.
    pub me: ValidatorIndex,
    /// The members' places, by the node keys that their links prove.
    pub places: BTreeMap<PublicKey, ValidatorIndex>,
    /// Signs votes and batches.
    pub key: SigningKey,
    /// Chain parameters.
    pub parameters: Parameters,
    /// Hashes that headers carry.
    pub hashes: ChainHashes,
    /// The genesis block's header.
    pub genesis_header: Header,
    /// Its digest.
    pub genesis_digest: BlockDigest,
    /// The result root at height 0.
    pub genesis_root: Hash,
}

impl Context {
    /// The context of the genesis committee's epoch 0, shard 0.
    pub fn new(genesis: &Genesis, me: ValidatorIndex, key: SigningKey) -> Self {
        let state = rustorium_execution::genesis(genesis);
        let keys: Vec<PublicKey> = genesis.validators.iter().map(|v| v.validator_key).collect();
        let chain = rustorium_crypto::chain_id(genesis);
        let places = genesis.validators.iter().zip(0..).map(|(v, place)| (v.node_key, ValidatorIndex(place))).collect();
        let committee = Committee { chain, shard: ShardId(0), epoch: Epoch(0), me: Some(me), keys };
        Self {
            committee: Arc::new(committee),
            me,
            places,
            key,
            parameters: genesis.parameters.clone(),
            hashes: rustorium_execution::hashes(genesis),
            genesis_header: state.header,
            genesis_digest: state.digest,
            genesis_root: state.result_root,
        }
    }

    /// The chain.
    pub fn chain(&self) -> ChainId {
        self.committee.chain
    }

    /// The place of whoever has this node key; none: it is no member of this epoch's committee.
    pub fn place(&self, node_key: &PublicKey) -> Option<ValidatorIndex> {
        self.places.get(node_key).copied()
    }

    /// Validators in the committee.
    pub fn n(&self) -> usize {
        self.committee.keys.len()
    }

    /// Whether a header carries this chain, shard, epoch and their hashes.
    pub fn header_is_ours(&self, header: &Header) -> bool {
        header.version == PROTOCOL_VERSION
            && header.chain == self.committee.chain
            && header.shard == self.committee.shard
            && header.epoch == self.committee.epoch
            && header.cursors.len() == self.n()
            && header.validator_set == self.hashes.validator_set
            && header.next_validator_set == self.hashes.validator_set
            && header.parameters == self.hashes.parameters
            && header.shard_map == self.hashes.shard_map
    }
}
