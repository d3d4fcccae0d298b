//! A node's condition as JSON.

use super::answers::AtView;
use super::chain::ClaimView;
use super::finding::Finding;
use super::governance::GovernanceNote;
use super::schema::ToSchema;
use crate::answers::{EvidenceNote, Filling, Status};
use rustorium_types::{ChainId, Epoch, Height, ShardId, ValidatorIndex, View};
use serde::Serialize;
use std::collections::BTreeMap;

/// A node's report about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct StatusAnswer {
    /// The chain.
    #[schema(value_type = String)]
    pub chain: ChainId,
    /// The node's name.
    pub node: String,
    /// `validator` if the node is in the current epoch's committee, otherwise `follower`.
    pub role: &'static str,
    /// The node's position in the committee; absent for a follower.
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
    /// The newest claim in a final header.
    pub claimed: ClaimView,
    /// Number of connected peers of the committee.
    pub peers_up: usize,
    /// Number of the committee's members without this node.
    pub peers: usize,
    /// Names of the peers that aren't connected.
    pub unreachable: Vec<String>,
    /// Protocol version of the epoch; 0 while the node fills its store.
    pub protocol: u16,
    /// Names of the peers whose release can't run protocol version 2: install a newer one on them.
    pub older: Vec<String>,
    /// Round trips to the committee's members as this node measured them last, by name, microseconds.
    pub round_trips_us: BTreeMap<String, u64>,
    /// Number of transactions in the pool.
    pub pool_transactions: usize,
    /// Bytes of the transactions in the pool.
    pub pool_bytes: usize,
    /// `vote` or `os`.
    pub durability: &'static str,
    /// `true` if the node is synced and has seen a quorum.
    pub ready: bool,
    /// The reason why the node isn't ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready_because: Option<String>,
    /// Progress of filling the empty store from a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filling: Option<FillingView>,
    /// The problems that the node found with itself, with the next step for each.
    pub findings: Vec<Finding>,
    /// The reason why the validator key signs nothing more; the node still follows the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_retired_because: Option<String>,
    /// Evidence of validators that signed what no honest validator signs, also from before the last restart.
    pub evidence: Vec<EvidenceView>,
    /// The open proposals and the pauses; absent under version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governance: Option<GovernanceNote>,
    /// The node's newest state: executed height and root.
    pub at: AtView,
    /// The other shards that the node hosts, each with the same report about itself. Only in the report about shard 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub shards: Vec<StatusAnswer>,
}

/// Progress of a node that fills its empty store from a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FillingView {
    /// The snapshot's height; absent while the node looks for one.
    #[schema(value_type = Option<u64>)]
    pub height: Option<Height>,
    /// Estimated percentage of the state that is stored.
    pub percent: u64,
    /// The same share in millionths.
    pub done_ppm: u64,
    /// Number of rows stored since the start.
    pub rows: u64,
    /// Bytes of these rows' names and values.
    pub bytes: u64,
    /// Number of known parts that aren't stored yet.
    pub parts: usize,
    /// Number of connected peers.
    pub peers: usize,
    /// Names of peers that sent wrong data and aren't asked any more.
    pub banned: Vec<String>,
    /// Estimated remaining time, seconds.
    pub seconds_left: Option<u64>,
}

impl From<Filling> for FillingView {
    fn from(filling: Filling) -> Self {
        let Filling { height, done_ppm, leaves: rows, bytes, parts, peers, banned, seconds_left } = filling;
        Self { height, percent: done_ppm / 10_000, done_ppm, rows, bytes, parts, peers, banned, seconds_left }
    }
}

/// Offences of one kind by one validator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EvidenceView {
    /// The validator's position in the committee at that time.
    #[schema(value_type = u16)]
    pub validator: ValidatorIndex,
    /// The validator's name at that time.
    pub name: String,
    /// The validator key; empty if an earlier release recorded none.
    pub validator_key: String,
    /// `two-notarizes`, `two-finalizes`, `nullify-and-finalize` or `two-batches`.
    pub kind: &'static str,
    /// The view or batch in which it was seen first.
    pub first: String,
    /// Time when it was seen first, by this node's clock, Unix ms; 0 if an earlier release recorded none.
    pub first_ms: u64,
    /// Number of times that it was seen.
    pub count: u64,
    /// `true` if the validator is in the current committee.
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
            protocol: status.protocol,
            older: status.older,
            round_trips_us: status.round_trips_us,
            pool_transactions: status.pool_transactions,
            pool_bytes: status.pool_bytes,
            durability: status.durability,
            ready: status.ready.is_ok(),
            not_ready_because: status.ready.err(),
            filling: status.filling.map(FillingView::from),
            findings: status.findings,
            key_retired_because: status.retired,
            evidence: status.evidence.into_iter().map(EvidenceView::from).collect(),
            governance: status.governance,
            at: AtView::new(shard, status.executed),
            shards: Vec::new(),
        }
    }

    /// Adds the reports about the other shards that the node hosts.
    pub fn with_shards(self, shards: Vec<Self>) -> Self {
        Self { shards, ..self }
    }
}
