//! A node's process: the parts that its shards share.
//!
//! *Invariants:* belongs to no shard; the tables of the state tree are mapped once, however many shards use them.

use crate::config::{NodeConfig, NodeKeys};
use crate::opening::{Folders, open_tls, read_genesis};
use crate::rotator::Master;
use crate::shared_key::SharedKey;
use parking_lot::Mutex;
use rustorium_crypto::SigningKey;
use rustorium_crypto::keystore::StorageKeys;
use rustorium_crypto::seal::AtRest;
use rustorium_gateway::Tls;
use rustorium_signer::protocol::{Session, new_session};
use rustorium_stages::NodeError;
use rustorium_stages::executor::store_code;
use rustorium_stages::tables::open_tables;
use rustorium_state::tables::Tables;
use rustorium_storage::{AuditSink, RocksStore, StoreConfig};
use rustorium_types::{Genesis, PublicKey, ShardId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Maximum number of shards that a process hosts.
const HOSTS_MAX: usize = 16;

/// The parts of a process that its shards share.
pub(crate) struct Process {
    pub(crate) config: NodeConfig,
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) node_key: SigningKey,
    pub(crate) validator_key: Option<SigningKey>,
    /// The storage key, which its replacement changes while the node runs.
    pub(crate) master: Arc<Master>,
    pub(crate) audit: Arc<AuditSink>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) start: Instant,
    /// The process' name for its signer, if several shards ask it.
    pub(crate) session: Option<Session>,
    pub(crate) shared_key: Arc<SharedKey>,
    tables: Mutex<Option<Arc<Tables>>>,
}

impl Process {
    /// Opens what the shards share, and the root shard's store. Errors: a code and a sentence.
    pub(crate) fn open(
        config: NodeConfig,
        keys: NodeKeys,
    ) -> Result<(Self, Result<Arc<RocksStore>, NodeError>), NodeError> {
        let genesis = Arc::new(read_genesis(&config.genesis_path)?);
        let tls = open_tls(&config)?;
        let NodeKeys { storage: StorageKeys { newest, before }, node: node_key, validator: validator_key } = keys;
        let elsewhere = config.signer.as_ref().map(|signer| signer.key_hex.0);
        let own = validator_key.as_ref().map(SigningKey::public).or(elsewhere);
        let config = NodeConfig { shards: hosted(&config, &genesis, own)?, ..config };
        let at_rest = AtRest::rekeyed(newest, before, rustorium_crypto::chain_id(&genesis));
        // Before the audit log: it says what is wrong with a home that another process uses.
        let root_store = open_store(&config, &at_rest, ShardId::ROOT);
        let alone = config.shards.len() == 1;
        let root_store = if alone { Ok(root_store?) } else { root_store };
        let audit = AuditSink::open(&config.home.join("audit"), node_key.clone())
            .map_err(|error| NodeError::new("audit-failed", error.to_string()))?;
        let (audit, start, tables) = (Arc::new(audit), Instant::now(), Mutex::default());
        let shared_key = Arc::default();
        let session = (!alone && config.signer.is_some()).then(new_session).transpose();
        let session = session.map_err(|error| NodeError::new("system", error.to_string()))?;
        let hosted = config.shards.iter().copied().map(ShardId).collect();
        let master = Arc::new(Master::new(&config.home, at_rest, hosted));
        let found =
            Self { config, genesis, node_key, validator_key, master, audit, tls, start, session, shared_key, tables };
        Ok((found, root_store))
    }

    /// Tells if the root shard is the only hosted one.
    pub(crate) fn hosts_one(&self) -> bool {
        self.config.shards.len() == 1
    }

    /// Returns the hosted shards, in order.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.config.shards.iter().copied().map(ShardId)
    }

    /// Opens a shard's store. Errors: a code and a sentence.
    pub(crate) fn open_store(&self, shard: ShardId) -> Result<Arc<RocksStore>, NodeError> {
        open_store(&self.config, &self.master.at_rest(), shard)
    }

    /// Returns the tables of the state tree. Errors: they can't be made or mapped.
    pub(crate) fn tables(&self) -> Result<Arc<Tables>, NodeError> {
        let mut tables = self.tables.lock();
        if let Some(tables) = &*tables {
            return Ok(tables.clone());
        }
        let opened = Arc::new(open_tables(&self.config.home)?);
        *tables = Some(opened.clone());
        Ok(opened)
    }
}

/// Returns the shards that a node with this validator key hosts. Errors: they aren't possible ones.
fn hosted(config: &NodeConfig, genesis: &Genesis, own: Option<PublicKey>) -> Result<BTreeSet<u32>, NodeError> {
    let refuse = |sentence: String| Err(NodeError::new("config-invalid", sentence));
    let is_member = |shard: ShardId| genesis.committee(shard).iter().any(|member| Some(member.validator_key) == own);
    let placed = genesis.shard_ids().any(is_member);
    let wanted = |shard: &ShardId| *shard == ShardId::ROOT || !placed || is_member(*shard);
    let shards = match config.shards.is_empty() {
        true => genesis.shard_ids().filter(wanted).map(|shard| shard.0).collect(),
        false => config.shards.clone(),
    };
    if !shards.contains(&ShardId::ROOT.0) || shards.len() > HOSTS_MAX {
        return refuse(format!("a node hosts shard 0 and up to {} others; name shard 0 and those", HOSTS_MAX - 1));
    }
    Ok(shards)
}

/// Opens a shard's store. The stores share the configured size of the state cache.
fn open_store(config: &NodeConfig, at_rest: &AtRest, shard: ShardId) -> Result<Arc<RocksStore>, NodeError> {
    let cache_bytes = config.cache_bytes / config.shards.len().max(1);
    let store_config = StoreConfig { cache_bytes, roots_kept: config.proofs_kept, ..StoreConfig::default() };
    let folders = Folders::of(&config.home, shard);
    folders.make()?;
    let store = RocksStore::open(&folders.store, &store_config, at_rest);
    Ok(Arc::new(store.map_err(|error| NodeError::new(store_code(&error), error.to_string()))?))
}
