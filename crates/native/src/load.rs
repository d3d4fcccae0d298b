//! The load generator's settings, as Python passes them.

use crate::errors::{detached, native_error};
use crate::ledger::enough_work;
use pyo3::prelude::*;
use rustorium_crypto::{SigningKey, hash};
use rustorium_load::{LoadAccount, LoadConfig, LoadTarget, Protocol, run};
use rustorium_types::limits::VALUE_BYTES_MAX;
use rustorium_types::{
    AccountId, BoundedVec, ChainId, DecodeError, Epoch, Hash, Key, Operation, PublicKey, ShardId, TRANSACTION_VERSION,
    TransactionBody, Value,
};
use serde::Deserialize;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// Bytes of the keys that the load generator writes.
const KEY_BYTES: usize = 16;
/// Longest wait for the last results.
const DRAIN: Duration = Duration::from_secs(15);
/// Expiry of the transactions.
const EXPIRES_IN: Duration = Duration::from_secs(3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeSettings {
    http: SocketAddr,
    client: SocketAddr,
    node_key: Hash,
    region: u8,
    /// The token that the node asks for, if it does.
    #[serde(default)]
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SenderSettings {
    seed_hex: Hash,
    region: u8,
    nonce: u64,
    shard: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    chain: ChainId,
    face: String,
    rate_per_s: u32,
    seconds: u32,
    value_bytes: usize,
    seed: u64,
    value_seed: u64,
    connections: usize,
    window: Option<usize>,
    /// Nodes in the order of the genesis' validators.
    nodes: Vec<NodeSettings>,
    /// The committee of each shard, as places in `nodes`.
    committees: Vec<Vec<usize>>,
    senders: Vec<SenderSettings>,
}

impl Settings {
    fn config(self) -> Result<LoadConfig, &'static str> {
        let face = match self.face.as_str() {
            "quic" => Protocol::Quic,
            "http" => Protocol::Http,
            _ => return Err("the client API must be quic or http"),
        };
        let target = |shard: u32, node: &NodeSettings| LoadTarget {
            address: if face == Protocol::Quic { node.client } else { node.http },
            node_key: node.node_key.0,
            token: node.token.clone(),
            shard: ShardId(shard),
        };
        let mut targets = Vec::new();
        for (committee, shard) in self.committees.iter().zip(0..) {
            let members = committee.iter().map(|place| self.nodes.get(*place).map(|node| target(shard, node)));
            targets
                .extend(members.collect::<Option<Vec<_>>>().ok_or("a committee names a node that isn't in the list")?);
        }
        let first_target = |shard: usize| self.committees.iter().take(shard).map(Vec::len).sum::<usize>();
        let regions_of = |committee: &Vec<usize>| committee.iter().map(|place| self.nodes[*place].region).collect();
        let regions: Vec<Vec<u8>> = self.committees.iter().map(regions_of).collect();
        let account = |sender: SenderSettings| {
            let seed = sender.seed_hex.0;
            let id = hash::account_id(sender.region, &SigningKey::from_seed(&seed).public());
            let home = usize::from(
                rustorium_txpool::home_lane(&id, Epoch(0), regions.get(sender.shard).map_or(&[], Vec::as_slice)).0,
            );
            let target = first_target(sender.shard) + home;
            LoadAccount { seed, region: sender.region, nonce: sender.nonce, target }
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(LoadConfig {
            chain: self.chain,
            face,
            targets,
            accounts: self.senders.into_iter().map(account).collect(),
            rate_per_s: self.rate_per_s,
            seconds: self.seconds,
            value_bytes: self.value_bytes,
            work_limit: put_work(self.value_bytes)?,
            connections: self.connections,
            window: self.window,
            drain: DRAIN,
            salt: self.seed,
            value_salt: self.value_seed,
            expires_in: EXPIRES_IN,
            now_ms: now.as_millis() as u64,
        })
    }
}

/// Returns the work that one put of the load declares, on a chain of any version. It may replace a value that an earlier
/// run wrote. Values that are too large are refused later.
fn put_work(value_bytes: usize) -> Result<u64, &'static str> {
    let too_large = |_: DecodeError| "a value is too large";
    let (key, value) = (Key::new(vec![0; KEY_BYTES]), Value::new(vec![0; value_bytes.min(VALUE_BYTES_MAX)]));
    let put = Operation::Put {
        namespace: AccountId::default(),
        key: key.map_err(too_large)?,
        value: value.map_err(too_large)?,
    };
    let body = TransactionBody {
        version: TRANSACTION_VERSION,
        chain: ChainId::default(),
        sender: AccountId::default(),
        public_key: PublicKey::default(),
        nonce: 0,
        expires_at_ms: 0,
        work_limit: 0,
        shard_hint: None,
        location: None,
        data: BoundedVec::new(vec![put]).map_err(too_large)?,
    };
    Ok(enough_work(&body, value_bytes as u64, None))
}

/// Runs the load generator without the interpreter's lock. Returns its report as JSON.
#[pyfunction]
pub fn load_run(py: Python<'_>, config_json: &str) -> PyResult<String> {
    let unusable = |error: String| native_error("load-config", format!("the load's settings are not usable: {error}"));
    let settings: Settings = serde_json::from_str(config_json).map_err(|error| unusable(error.to_string()))?;
    let config = settings.config().map_err(|error| unusable(error.into()))?;
    let report = detached(py, || run(&config))?.map_err(|error| native_error("load-failed", error.to_string()))?;
    serde_json::to_string(&report).map_err(|error| native_error("internal", error.to_string()))
}
