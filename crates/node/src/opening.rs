//! The files that a node reads before it starts, and may refuse: genesis, keys, journal, earlier notices, delays.

use crate::config::{NodeConfig, PeerSetting, ShaperSettings};
use crate::decision_log::DecisionLog;
use crate::notices::Notices;
use crate::shared_key::SharedKey;
use rustorium_api::genesis_file;
use rustorium_gateway::Tls;
use rustorium_shard::WorkConfig;
use rustorium_stages::NodeError;
use rustorium_storage::AuditSink;
use rustorium_transport::{PeerAddress, Shaper, ShaperOptions};
use rustorium_txpool::PoolConfig;
use rustorium_types::{Genesis, Parameters, PublicKey, Rules, ShardId};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Cores a thread of the network: more of them only contend.
const CORES_PER_NETWORK_THREAD: usize = 4;
const THREADS_MAX: usize = 8;
/// Long enough for a process that has the links to take them back, over half the globe: it dials again within 50 ms.
const RIVAL_WAIT_US: u64 = 1_000_000;

pub(crate) fn read_genesis(path: &Path) -> Result<Genesis, NodeError> {
    let text = fs::read_to_string(path).map_err(|error| {
        NodeError::new(
            "genesis-missing",
            format!("can't read the genesis file {} ({error}); copy the chain's genesis there", path.display()),
        )
    })?;
    genesis_file::from_json(&text)
        .map_err(|error| NodeError::new("genesis-invalid", format!("{}: {error}", path.display())))
}

/// Settings of a shard's own lane, pool and timers.
pub(crate) fn work_config(config: &NodeConfig, rules: Rules, parameters: &Parameters) -> WorkConfig {
    let pool = PoolConfig::of_chain(rules, parameters);
    WorkConfig {
        pool: PoolConfig { transactions_max: config.pool_transactions_max.saturating_mul(2), ..pool },
        batch_delay_us: config.batch_delay_us,
        heartbeat_us: config.heartbeat_ms * 1000,
        seeds: seed_book(config).into_keys().collect(),
        rival_wait_us: RIVAL_WAIT_US,
        backoff: config.backoff,
        probe_secret: Some(rustorium_crypto::random_secret()),
        ..WorkConfig::default()
    }
}

/// The gateway's TLS. With files that can't be used a node doesn't start: nobody else would notice.
pub(crate) fn open_tls(config: &NodeConfig) -> Result<Option<Arc<Tls>>, NodeError> {
    let tls = config.tls.clone().map(Tls::open).transpose();
    Ok(tls.map_err(|error| NodeError::new("tls-invalid", error.to_string()))?.map(Arc::new))
}

/// A journal that is missing under a store that has blocks retires the key: what it voted for is not known any more. In
/// a home without a validator key there is nothing to retire, but one that such a key comes into later must not look as
/// if its journal were whole.
pub(crate) fn refuse_missing_journal(folders: &Folders, height: u64, signs_elsewhere: bool) -> Result<(), NodeError> {
    let folder = &folders.journal;
    let is_segment = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("segment-");
    let missing = fs::read_dir(folder).map_or(true, |entries| !entries.flatten().any(is_segment));
    let has_key = signs_elsewhere || folders.home.join("validator.key").exists();
    if missing && height > 0 && !has_key {
        let sentence = format!(
            "the safety journal {} is missing while the store has blocks: remove {} too and start this follower again, \
             which its peers then fill anew",
            folder.display(),
            folders.store.display()
        );
        return Err(NodeError::new("journal-missing", sentence));
    }
    if missing && height > 0 {
        let sentence = format!(
            "the safety journal {} is missing while the store has blocks: what this validator's key signed is not known, \
             so the key is retired and signs nothing more: leave the home as it is and run `rustorium-node node \
             replace-key --home {} --owner-key FILE`, which gives it a new validator key",
            folder.display(),
            folders.home.display()
        );
        return Err(NodeError::new("journal-retired", sentence));
    }
    Ok(())
}

/// The folders of a shard in a node's home. The root shard has those of a home without shards.
pub(crate) struct Folders {
    home: PathBuf,
    /// Folder of the shard.
    pub(crate) base: PathBuf,
    /// Folder of the store.
    pub(crate) store: PathBuf,
    /// Folder of the safety journal.
    pub(crate) journal: PathBuf,
}

impl Folders {
    pub(crate) fn of(home: &Path, shard: ShardId) -> Self {
        let base = match shard {
            ShardId::ROOT => home.to_owned(),
            ShardId(number) => home.join("shards").join(number.to_string()),
        };
        Self { store: base.join("db"), journal: base.join("safety"), base, home: home.to_owned() }
    }

    /// Makes the folder of the shard, for its owner alone. Errors: the system's.
    pub(crate) fn make(&self) -> Result<(), NodeError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.base);
        made.map_err(|error| {
            let sentence = format!("can't make the folder {} ({error}); mend that", self.base.display());
            NodeError::new("store-failed", sentence)
        })
    }
}

/// The addresses of the genesis' validators in `config.toml`, by their node keys.
pub(crate) fn address_book(config: &NodeConfig, genesis: &Genesis) -> BTreeMap<PublicKey, PeerAddress> {
    let entry =
        |peer: &PeerSetting| Some((genesis.validators.get(usize::from(peer.index))?.node_key, peer.address.clone()));
    config.peers.iter().filter_map(entry).collect()
}

/// The addresses of other nodes in `config.toml`, by their node keys.
pub(crate) fn seed_book(config: &NodeConfig) -> BTreeMap<PublicKey, PeerAddress> {
    config.seeds.iter().map(|seed| (seed.node_key_hex.0, seed.address.clone())).collect()
}

/// Opens the notices. The mark of a retired key is the home's: a key that is retired in one shard is retired in all.
pub(crate) fn open_notices(
    config: &NodeConfig,
    audit: Arc<AuditSink>,
    key: Arc<SharedKey>,
) -> Result<Notices, NodeError> {
    Notices::open(audit, Folders::of(&config.home, ShardId::ROOT).journal, key).map_err(|error| {
        let home = config.home.display();
        NodeError::new("journal-failed", format!("can't read safety/retired or audit/ in {home} ({error}); mend that"))
    })
}

/// Opens the part of the audit log that has operators' decisions.
pub(crate) fn open_decisions(config: &NodeConfig, audit: Arc<AuditSink>) -> Result<DecisionLog, NodeError> {
    DecisionLog::open(audit).map_err(|error| {
        let home = config.home.display();
        NodeError::new("audit-failed", format!("can't read audit/ in {home} ({error}); mend that"))
    })
}

pub(crate) fn shaper(settings: &ShaperSettings) -> Result<Arc<Shaper>, NodeError> {
    let text = fs::read_to_string(&settings.matrix_path).map_err(|error| {
        NodeError::new(
            "config-invalid",
            format!("can't read the delay matrix {}: {error}", settings.matrix_path.display()),
        )
    })?;
    let options = ShaperOptions {
        jitter_percent: settings.jitter_percent,
        loss_ppm: settings.loss_ppm,
        rate_bytes_per_s: settings.rate_bytes_per_s,
        seed: settings.seed,
    };
    let shaper = Shaper::from_matrix(&text, &settings.regions, options);
    shaper.map(Arc::new).map_err(|error| NodeError::new("config-invalid", error.to_string()))
}

/// Threads that carry peers' links, or clients' connections: neither takes the other's time.
pub(crate) fn network_threads(name: &str, blocking_max: usize) -> Result<Runtime, NodeError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads_for(CORES_PER_NETWORK_THREAD))
        .max_blocking_threads(blocking_max)
        .enable_all()
        .thread_name(name)
        .build()
        .map_err(|error| NodeError::new("system", format!("can't start the {name} threads: {error}")))
}

/// Threads for so many cores each, at least one.
pub(crate) fn threads_for(cores_each: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / cores_each).clamp(1, THREADS_MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_journal_is_missing_where_no_segment_is_and_that_matters_once_there_are_blocks() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::of(home.path(), ShardId::ROOT);
        let safety = folders.journal.clone();
        fs::write(home.path().join("validator.key"), "{}").unwrap();
        let refused = |height| refuse_missing_journal(&folders, height, false).err().map(|error| error.code);
        assert_eq!((refused(0), refused(1)), (None, Some("journal-retired")));
        fs::create_dir(&safety).unwrap();
        fs::write(safety.join("lock"), "").unwrap();
        assert_eq!((refused(0), refused(1)), (None, Some("journal-retired")), "a lock is no journal");
        fs::write(safety.join("segment-00000001.log"), "").unwrap();
        assert_eq!(refused(1), None, "what is in it is looked at next");
    }

    #[test]
    fn the_refusal_does_not_advise_to_sign_twice() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("validator.key"), "{}").unwrap();
        let sentence = refuse_missing_journal(&Folders::of(home.path(), ShardId::ROOT), 9, false).unwrap_err().sentence;
        let parts =
            ["/safety is missing", "signs nothing more", "leave the home as it is", "--owner-key", "new validator key"];
        for part in parts {
            assert!(sentence.contains(part), "{sentence}");
        }
    }

    #[test]
    fn a_follower_without_its_journal_is_filled_anew() {
        let refused = refuse_missing_journal(&Folders::of(Path::new("/nowhere"), ShardId::ROOT), 9, false).unwrap_err();
        assert_eq!(refused.code, "journal-missing");
        assert!(refused.sentence.contains("remove /nowhere/db too"), "{}", refused.sentence);
    }

    #[test]
    fn the_root_shard_stays_in_the_home_and_others_have_folders_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let root = Folders::of(home.path(), ShardId::ROOT);
        assert_eq!((root.store, root.journal), (home.path().join("db"), home.path().join("safety")));
        let other = Folders::of(home.path(), ShardId(7));
        let base = home.path().join("shards/7");
        assert_eq!((&other.store, &other.journal), (&base.join("db"), &base.join("safety")));
        other.make().unwrap();
        assert_eq!(fs::metadata(&base).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(home.path().join("validator.key"), "{}").unwrap();
        let refused = refuse_missing_journal(&other, 9, false).unwrap_err();
        assert_eq!(refused.code, "journal-retired", "the key is the home's");
    }
}
