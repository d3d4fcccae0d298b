//! The chain as JSON: headers, blocks, the chain itself and a node's condition.

use super::answers::{AtView, ReceiptView};
use super::scalar::Hex;
use super::schema::ToSchema;
use crate::answers::{At, BlockView, Committee, InForce};
use rustorium_crypto::{block_digest, set_hash};
use rustorium_types::{
    BatchDigest, BlockDigest, ChainId, Epoch, EpochTransition, Genesis, Hash, Header, Height, ShardId, StateClaim,
    Validator, ValidatorIndex, View, encode,
};
use serde::Serialize;

/// The position up to which a lane's batches are listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct CursorView {
    /// Sequence number of the next batch, which is the number of batches listed so far.
    pub next_seq: u64,
    /// Digest of the last listed batch; zeros if none is listed.
    #[schema(value_type = String)]
    pub tip: BatchDigest,
}

/// A header's claim about execution or state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ClaimView {
    /// Executed height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Root at that height.
    #[schema(value_type = String)]
    pub root: Hash,
}

/// A block's header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct HeaderView {
    /// Protocol version.
    pub version: u16,
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The shard.
    #[schema(value_type = u32)]
    pub shard: ShardId,
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The view in which it was proposed.
    #[schema(value_type = u64)]
    pub view: View,
    /// The height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The parent's digest.
    #[schema(value_type = String)]
    pub parent: BlockDigest,
    /// The parent's view.
    #[schema(value_type = u64)]
    pub parent_view: View,
    /// The view's leader.
    #[schema(value_type = u16)]
    pub proposer: ValidatorIndex,
    /// The block's time, Unix ms.
    pub time_ms: u64,
    /// Root over the payload.
    #[schema(value_type = String)]
    pub payload_root: Hash,
    /// Positions of all lanes, one each.
    pub cursors: Vec<CursorView>,
    /// Number of listed transactions.
    pub transactions: u32,
    /// Declared work of the listed transactions.
    pub declared_work: u64,
    /// The newest protocol version that the proposer's release speaks, if it is above `version`; otherwise 0.
    pub speaks: u64,
    /// Hash of the committee.
    #[schema(value_type = String)]
    pub validator_set: Hash,
    /// `true` if this block is the last of its epoch.
    pub ends_epoch: bool,
    /// If this block ends the epoch, hash of the next epoch's committee, or from protocol version 2 on of its term;
    /// otherwise hash of the current committee.
    #[schema(value_type = String)]
    pub next_validator_set: Hash,
    /// Hash of the chain parameters.
    #[schema(value_type = String)]
    pub parameters: Hash,
    /// Hash of the shard map, or from protocol version 2 on of the shard's charter.
    #[schema(value_type = String)]
    pub shard_map: Hash,
    /// The claimed result of execution.
    pub result: ClaimView,
    /// The claimed state; absent while the chain makes no state roots.
    pub state: Option<ClaimView>,
}

impl From<&Header> for HeaderView {
    fn from(header: &Header) -> Self {
        Self {
            version: header.version,
            chain: header.chain,
            shard: header.shard,
            epoch: header.epoch,
            view: header.view,
            height: header.height,
            parent: header.parent,
            parent_view: header.parent_view,
            proposer: header.proposer,
            time_ms: header.time_ms,
            payload_root: header.payload_root,
            cursors: header.cursors.iter().map(|c| CursorView { next_seq: c.next_seq, tip: c.tip }).collect(),
            transactions: header.transactions,
            declared_work: header.declared_work,
            speaks: header.speaks,
            validator_set: header.validator_set,
            ends_epoch: header.ends_epoch(),
            next_validator_set: header.next_validator_set,
            parameters: header.parameters,
            shard_map: header.shard_map,
            result: ClaimView { height: header.result.height, root: header.result.root },
            state: match header.state {
                StateClaim::NoneYet => None,
                StateClaim::Rooted { height, root, .. } => Some(ClaimView { height, root }),
            },
        }
    }
}

/// A batch that a block lists.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BatchRef {
    /// The lane.
    #[schema(value_type = u16)]
    pub lane: ValidatorIndex,
    /// The batch.
    #[schema(value_type = String)]
    pub digest: BatchDigest,
}

/// A final, executed block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BlockAnswer {
    /// The header's digest.
    #[schema(value_type = String)]
    pub digest: BlockDigest,
    /// The header.
    pub header: HeaderView,
    /// Number of receipts; `/v1/blocks/{block}/receipts` lists them.
    pub receipts: usize,
    /// Number of inline transactions.
    pub inline: usize,
    /// The listed batches, in order.
    pub batches: Vec<BatchRef>,
    /// Merkle root of the block's receipts.
    #[schema(value_type = String)]
    pub receipts_root: Hash,
    /// Hash of the block's state changes.
    #[schema(value_type = String)]
    pub diff_root: Hash,
    /// With `proof=1`: canonical bytes of header and inline transactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_hex: Option<String>,
    /// With `proof=1`: canonical bytes of the proof that the block is final, if this node has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_hex: Option<String>,
    /// The block's own height and result root.
    pub at: AtView,
}

impl BlockAnswer {
    /// The answer about a block, with its proof on demand.
    pub fn new(view: &BlockView, with_proof: bool) -> Self {
        let header = &view.block.header;
        let at = At { height: header.height, root: view.result_root };
        Self {
            digest: view.digest,
            header: header.into(),
            receipts: view.receipts.len(),
            inline: view.block.inline.len(),
            batches: view.batches.iter().map(|(lane, digest)| BatchRef { lane: *lane, digest: *digest }).collect(),
            receipts_root: view.link.receipts,
            diff_root: view.link.diff,
            block_hex: with_proof.then(|| hex::encode(encode(&view.block))),
            proof_hex: view.proof.as_ref().filter(|_| with_proof).map(|proof| hex::encode(encode(proof))),
            at: AtView::new(header.shard, at),
        }
    }
}

/// A page of a block's receipts, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ReceiptsPage {
    /// The receipts.
    pub receipts: Vec<ReceiptView>,
    /// Value of `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The block's own height and result root.
    pub at: AtView,
}

/// The end of an epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EpochChangeView {
    /// The epoch that ended.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Height of its last block.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Digest of its last block.
    #[schema(value_type = String)]
    pub digest: BlockDigest,
    /// Time of its last block, Unix ms.
    pub time_ms: u64,
    /// Hash of the next committee.
    #[schema(value_type = String)]
    pub next_validator_set: Hash,
    /// Number of validators in the next committee.
    pub next_validators: usize,
    /// Canonical bytes of the change: the last block's header, proof, and next committee or term.
    pub change_hex: String,
}

impl From<&EpochTransition> for EpochChangeView {
    fn from(change: &EpochTransition) -> Self {
        let header = change.boundary();
        Self {
            epoch: header.epoch,
            height: header.height,
            digest: block_digest(header),
            time_ms: header.time_ms,
            next_validator_set: set_hash(change.validators()),
            next_validators: change.validators().len(),
            change_hex: hex::encode(encode(change)),
        }
    }
}

/// A page of changes that ended epochs, in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EpochsPage {
    /// The changes.
    pub changes: Vec<EpochChangeView>,
    /// Value of `from` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The node's newest state.
    pub at: AtView,
}

/// A member of the committee.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ValidatorView {
    /// The validator's name.
    pub name: String,
    /// The key that signs votes and batches.
    #[schema(value_type = String)]
    pub validator_key: Hex<32>,
    /// The key that proves the node's identity.
    #[schema(value_type = String)]
    pub node_key: Hex<32>,
    /// The key that may replace the validator's other keys.
    #[schema(value_type = String)]
    pub owner_key: Hex<32>,
    /// Byte of the home region.
    pub region: u8,
    /// Address that peers dial; empty if each node configures it.
    pub address: String,
}

impl From<&Validator> for ValidatorView {
    fn from(validator: &Validator) -> Self {
        Self {
            name: String::from_utf8_lossy(validator.name.as_slice()).into_owned(),
            validator_key: Hex(validator.validator_key),
            node_key: Hex(validator.node_key),
            owner_key: Hex(validator.owner_key),
            region: validator.region,
            address: String::from_utf8_lossy(validator.address.as_slice()).into_owned(),
        }
    }
}

/// The chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ChainAnswer {
    /// Hash of the genesis.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The chain's name.
    pub name: String,
    /// Protocol version of the genesis.
    pub version: u16,
    /// The genesis block's time, Unix ms.
    pub time_ms: u64,
    /// The first committee.
    pub validators: Vec<ValidatorView>,
    /// The parameters of the genesis. `in_force` has those of the current epoch.
    #[schema(value_type = Object)]
    pub parameters: rustorium_types::Parameters,
    /// The rules of the current epoch. Null on a node that has no state yet.
    pub in_force: Option<InForceView>,
    /// Number of accounts in the genesis.
    pub genesis_accounts: usize,
    /// The node's newest state.
    pub at: AtView,
}

/// The rules of the current epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct InForceView {
    /// Protocol version.
    pub version: u16,
    /// The parameters.
    #[schema(value_type = Object)]
    pub parameters: rustorium_types::Parameters,
    /// The epoch since which these parameters are in force.
    #[schema(value_type = u64)]
    pub since_epoch: Epoch,
}

impl From<InForce> for InForceView {
    fn from(found: InForce) -> Self {
        Self { version: found.version, parameters: found.parameters, since_epoch: found.since }
    }
}

impl ChainAnswer {
    /// The answer about the chain of `genesis`.
    pub fn new(chain: ChainId, name: &str, genesis: &Genesis, in_force: Option<InForce>, at: AtView) -> Self {
        let validators = genesis.validators.iter().map(ValidatorView::from);
        Self {
            chain,
            name: name.to_owned(),
            version: genesis.version,
            time_ms: genesis.time_ms,
            validators: validators.collect(),
            parameters: genesis.parameters.clone(),
            in_force: in_force.map(InForceView::from),
            genesis_accounts: genesis.accounts.len(),
            at,
        }
    }
}

/// The committee of the current epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct CommitteeAnswer {
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The epoch's validators, in the order of their indexes.
    pub validators: Vec<ValidatorView>,
    /// The validators that operators have approved for the next epoch.
    pub next: Vec<ValidatorView>,
    /// The node's newest state.
    pub at: AtView,
}

impl CommitteeAnswer {
    /// The answer about a committee.
    pub fn new(committee: &Committee, at: AtView) -> Self {
        let views = |set: &[Validator]| set.iter().map(ValidatorView::from).collect();
        Self { epoch: committee.epoch, validators: views(&committee.validators), next: views(&committee.next), at }
    }
}

/// The health of a node, with reasons.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// `ok` or `degraded`.
    pub status: &'static str,
    /// The shard that the answer is about; none if it is about the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub shard: Option<ShardId>,
    /// The problems; empty if there are none.
    pub reasons: Vec<String>,
}
