//! A node's condition as JSON.

use super::answers::AtView;
use super::chain::ClaimView;
use super::finding::Finding;
use crate::answers::{EvidenceNote, Filling, Status};
use rustorium_types::{ChainId, Epoch, Height, ShardId, ValidatorIndex, View};
use serde::Serialize;
use utoipa::ToSchema;

/// A node's condition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct StatusAnswer {
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The node's name.
    pub node: String,
    /// `validator`: it is in the committee of the epoch that goes on; `follower`: it is not.
    pub role: &'static str,
    /// Its position in the committee.
    #[schema(value_type = Option<u16>)]
    pub validator: Option<ValidatorIndex>,
    /// The build's version.
    pub version: String,
    /// The shard whose height, view, epoch, committee and pool these are.
    #[schema(value_type = u32)]
    pub shard: ShardId,
    /// Newest final height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Current view.
    #[schema(value_type = u64)]
    pub view: View,
    /// Current epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// The newest claim of a final header.
    pub claimed: ClaimView,
    /// Peers connected.
    pub peers_up: usize,
    /// Peers of the committee, without this node.
    pub peers: usize,
    /// Names of the peers that aren't connected.
    pub unreachable: Vec<String>,
    /// Transactions in the pool.
    pub pool_transactions: usize,
    /// Their bytes.
    pub pool_bytes: usize,
    /// `vote` or `os`.
    pub durability: &'static str,
    /// Synced and a quorum seen.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready_because: Option<String>,
    /// How far the filling of its store from a snapshot is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filling: Option<FillingView>,
    /// What the node's watch found wrong, with what to do about it.
    pub findings: Vec<Finding>,
    /// Why the validator key signs nothing more; the node still follows the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_retired_because: Option<String>,
    /// What validators were seen to sign that no honest one signs, also before the last restart.
    pub evidence: Vec<EvidenceView>,
    /// Where the node stands: newest executed height and root.
    pub at: AtView,
}

/// How far a node is that fills its empty store from a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FillingView {
    /// The snapshot's height; none while one is looked for.
    #[schema(value_type = Option<u64>)]
    pub height: Option<Height>,
    /// Estimated share of the state that is stored.
    pub percent: u64,
    /// The same in millionths.
    pub done_ppm: u64,
    /// Rows stored since the start.
    pub rows: u64,
    /// Bytes of their names and values.
    pub bytes: u64,
    /// Parts that are known and not stored yet.
    pub parts: usize,
    /// Peers connected.
    pub peers: usize,
    /// Names of peers that lied and are asked no more.
    pub banned: Vec<String>,
    /// Estimated time that is left, seconds.
    pub seconds_left: Option<u64>,
}

impl From<Filling> for FillingView {
    fn from(filling: Filling) -> Self {
        let Filling { height, done_ppm, leaves: rows, bytes, parts, peers, banned, seconds_left } = filling;
        Self { height, percent: done_ppm / 10_000, done_ppm, rows, bytes, parts, peers, banned, seconds_left }
    }
}

/// One validator's offences of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EvidenceView {
    /// The validator's position in the committee, then.
    #[schema(value_type = u16)]
    pub validator: ValidatorIndex,
    /// Its name, then.
    pub name: String,
    /// Its validator key; empty where an earlier release recorded none.
    pub validator_key: String,
    /// `two-notarizes`, `two-finalizes`, `nullify-and-finalize` or `two-batches`.
    pub kind: &'static str,
    /// Where it was seen first.
    pub first: String,
    /// When, by this node's clock, Unix ms; 0 where an earlier release recorded none.
    pub first_ms: u64,
    /// How often it was seen.
    pub count: u64,
    /// Whether it is in the committee that goes on.
    pub member: bool,
}

impl From<EvidenceNote> for EvidenceView {
    fn from(note: EvidenceNote) -> Self {
        let EvidenceNote { validator, name, validator_key, kind, first, first_ms, count, member } = note;
        Self { validator, name, validator_key, kind, first, first_ms, count, member }
    }
}

impl StatusAnswer {
    /// The answer about a node.
    pub fn new(chain: ChainId, shard: ShardId, status: Status) -> Self {
        Self {
            chain,
            node: status.node,
            role: if status.validator.is_some() { "validator" } else { "follower" },
            validator: status.validator,
            version: status.version,
            shard,
            height: status.height,
            view: status.view,
            epoch: status.epoch,
            claimed: ClaimView { height: status.claimed.height, root: status.claimed.root },
            peers_up: status.peers_up,
            peers: status.peers,
            unreachable: status.unreachable,
            pool_transactions: status.pool_transactions,
            pool_bytes: status.pool_bytes,
            durability: status.durability,
            ready: status.ready.is_ok(),
            not_ready_because: status.ready.err(),
            filling: status.filling.map(FillingView::from),
            findings: status.findings,
            key_retired_because: status.retired,
            evidence: status.evidence.into_iter().map(EvidenceView::from).collect(),
            at: AtView::new(shard, status.executed),
        }
    }
}
