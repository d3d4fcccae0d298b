//! A node's settings at its start: one JSON object, made by the Python side from file, environment and flags.

use rustorium_crypto::SigningKey;
use rustorium_crypto::keystore::StorageKeys;
use rustorium_gateway::gate::Rules;
use rustorium_gateway::tls::TlsFiles;
use rustorium_transport::PeerAddress;
use rustorium_types::Hash;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A committee member's address.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSetting {
    /// The member's index.
    pub index: u16,
    /// The address of its peer port.
    pub address: PeerAddress,
}

/// A node that is dialed although the genesis doesn't name it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedSetting {
    /// The key that it must prove, hex.
    pub node_key_hex: Hash,
    /// The address of its peer port.
    pub address: PeerAddress,
}

/// Delays between regions, for tests and `devnet --regions`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShaperSettings {
    /// A matrix file of round-trip times.
    pub matrix_path: PathBuf,
    /// The region of each validator, by index.
    pub regions: Vec<String>,
    /// Seed of jitter and loss.
    #[serde(default)]
    pub seed: u64,
    /// Largest jitter, percent of a delay.
    #[serde(default)]
    pub jitter_percent: u32,
    /// Lost frames per million.
    #[serde(default)]
    pub loss_ppm: u32,
    /// Bytes a second and direction of a pair; none for no limit.
    #[serde(default)]
    pub rate_bytes_per_s: Option<u64>,
}

/// The moment from which a vote may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilitySetting {
    /// The vote and the data behind it are on disk.
    #[default]
    Vote,
    /// The operating system has them in memory: for tests and benchmarks.
    Os,
}

impl DurabilitySetting {
    /// The value's name in `config.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Os => "os",
        }
    }
}

/// A process that has the validator key instead of this node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerSetting {
    /// The process's socket.
    pub socket: PathBuf,
    /// The public key, hex.
    pub key_hex: Hash,
}

/// A node's opened keys.
pub struct NodeKeys {
    /// Opens what the node keeps on disk.
    pub storage: StorageKeys,
    /// Proves the node to its peers.
    pub node: SigningKey,
    /// Signs votes; none: the node only follows.
    pub validator: Option<SigningKey>,
}

/// A node's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The home folder.
    pub home: PathBuf,
    /// The node's name.
    pub name: String,
    /// The genesis file (JSON).
    pub genesis_path: PathBuf,
    /// Requests to the gateway that need a token.
    #[serde(default)]
    pub gateway: Rules,
    /// The gateway's TLS; none for plain HTTP.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Address on which the node listens for peers.
    pub p2p_listen: SocketAddr,
    /// Address on which the gateway listens for HTTP clients.
    pub http_listen: SocketAddr,
    /// Address on which `/metrics` is served.
    pub metrics_listen: SocketAddr,
    /// Address on which the gateway listens for QUIC clients.
    pub client_listen: SocketAddr,
    /// The process that signs for this node; none: the node has its key itself, or follows.
    #[serde(default)]
    pub signer: Option<SignerSetting>,
    /// The hosted shards, with the root. If none is named: the root, and those in whose first committees the validator key
    /// is; on a node without such a key, all that the genesis lists.
    #[serde(default)]
    pub shards: BTreeSet<u32>,
    /// The genesis' other validators.
    pub peers: Vec<PeerSetting>,
    /// Nodes that this one asks for later epochs while it is in no committee, such as today's validators.
    #[serde(default)]
    pub seeds: Vec<SeedSetting>,
    /// Keys of nodes outside the committee that may follow this one, hex.
    #[serde(default)]
    pub followers: Vec<Hash>,
    /// Nodes that may follow although nobody named them.
    #[serde(default)]
    pub strangers_max: usize,
    /// The moment from which a vote may be sent.
    #[serde(default)]
    pub durability: DurabilitySetting,
    /// Bytes of the state cache.
    #[serde(default = "default_cache_bytes")]
    pub cache_bytes: usize,
    /// Number of the newest heights that stay readable; none: all of them.
    #[serde(default)]
    pub keep_heights: Option<u64>,
    /// Newest state roots at which values can be proved.
    #[serde(default = "default_proofs_kept")]
    pub proofs_kept: usize,
    /// Snapshots are offered at the first root in each such span of header time.
    #[serde(default = "default_snapshot_interval_ms")]
    pub snapshot_interval_ms: u64,
    /// An empty store is filled from a snapshot at least so high; from a lower one only where no peer has the chain's
    /// beginning any more.
    #[serde(default = "default_state_sync_beyond")]
    pub state_sync_beyond_heights: u64,
    /// Link delays.
    #[serde(default)]
    pub shaper: Option<ShaperSettings>,
    /// Longest wait of a transaction for others of its batch, microseconds.
    #[serde(default = "default_batch_delay_us")]
    pub batch_delay_us: u64,
    /// Transactions that this node holds for clients and in its pool.
    #[serde(default = "default_pool_transactions")]
    pub pool_transactions_max: usize,
    /// The core's heartbeat, ms.
    #[serde(default = "default_heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// Number of times that the timers of all views were doubled within the last hour.
    #[serde(default)]
    pub backoff: Option<u32>,
}

fn default_snapshot_interval_ms() -> u64 {
    600_000
}

fn default_state_sync_beyond() -> u64 {
    5_000
}

fn default_cache_bytes() -> usize {
    16 * 1024 * 1024
}

fn default_proofs_kept() -> usize {
    100
}

fn default_batch_delay_us() -> u64 {
    25_000
}

fn default_pool_transactions() -> usize {
    4_096
}

fn default_heartbeat_ms() -> u64 {
    500
}
