//! A home on the disk, and a destination beside it.

use rustorium_api::genesis_file::to_json;
use rustorium_backup::{BackupError, BackupId};
use rustorium_backup::{Backups, Created, Destination, DestinationOptions, Home, Restored, Work};
use rustorium_crypto::SigningKey;
use rustorium_crypto::chain_id;
use rustorium_crypto::seal::{AtRest, BackupKey, MasterKey};
use rustorium_stages::journal_records::tip_of;
use rustorium_storage::{AuditSink, RocksStore, Store, StoreConfig};
use rustorium_types::{
    AccountId, BoundedBytes, BoundedVec, Genesis, GenesisAccount, GenesisShard, Height, ShardId, Validator,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

pub fn genesis() -> Genesis {
    let key = |n: u8| SigningKey::from_seed(&[n; 32]).public();
    let validator = Validator {
        name: BoundedBytes::new(b"one".to_vec()).unwrap(),
        validator_key: key(1),
        node_key: key(2),
        owner_key: key(3),
        region: 0,
        address: BoundedBytes::default(),
    };
    let account =
        |n: u8| GenesisAccount { region: 0, public_key: key(n), storage_bytes: 1000, balances: BoundedVec::default() };
    let mut accounts: Vec<_> = (10..14).map(account).collect();
    accounts.sort_by_key(|account| (account.region, account.public_key));
    Genesis {
        version: rustorium_types::NEWEST_VERSION,
        name: BoundedBytes::new(b"backups".to_vec()).unwrap(),
        time_ms: 1_700_000_000_000,
        parameters: rustorium_types::Parameters::default(),
        validators: BoundedVec::new(vec![validator]).unwrap(),
        accounts: BoundedVec::new(accounts).unwrap(),
        pools: BoundedVec::default(),
        sponsors: BoundedVec::default(),
        shards: BoundedVec::default(),
    }
}

/// Files of a home that no backup may contain, each with a known string.
pub const NEVER: [&str; 5] = ["safety/segment-00000001.log", "passphrase", "log/node.jsonl", "run/admin", "backup.key"];

/// The same with two shards.
pub fn genesis_of_two() -> Genesis {
    let shard = |from| GenesisShard { from, members: BoundedVec::new(vec![0]).unwrap() };
    let shards = vec![shard(AccountId::default()), shard(AccountId([128; 32]))];
    Genesis { shards: BoundedVec::new(shards).unwrap(), ..genesis() }
}

pub struct World {
    pub root: TempDir,
    pub at_rest: AtRest,
    pub validator: bool,
    genesis: Genesis,
    copies: std::cell::Cell<u32>,
}

impl World {
    pub fn new() -> Self {
        Self::of(&genesis(), |_| {})
    }

    /// Makes a world whose store `fill` continues after the genesis.
    pub fn of(genesis: &Genesis, fill: impl FnOnce(&RocksStore)) -> Self {
        let root = TempDir::new().unwrap();
        let at_rest = AtRest::new(Arc::new(MasterKey::from_secret(&[7; 32]).unwrap()), chain_id(genesis));
        let world = Self { root, at_rest, validator: true, genesis: genesis.clone(), copies: Default::default() };
        let home = world.home();
        for name in NEVER.iter().chain(&["node.key", "validator.key", "storage.key", "config.toml"]) {
            fs::create_dir_all(home.join(name).parent().unwrap()).unwrap();
            fs::write(home.join(name), format!("contents of {name}")).unwrap();
        }
        fs::write(home.join("genesis.json"), to_json(genesis)).unwrap();
        let audit = AuditSink::open(&home.join("audit"), SigningKey::from_seed(&[2; 32])).unwrap();
        audit.record("started", serde_json::json!({})).unwrap();
        fill(&world.store());
        world
    }

    /// Makes the home a follower's.
    pub fn without_validator(mut self) -> Self {
        self.validator = false;
        fs::remove_file(self.home().join("validator.key")).unwrap();
        self
    }

    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub fn destination(&self) -> PathBuf {
        self.root.path().join("backups")
    }

    pub fn store(&self) -> RocksStore {
        self.store_of(ShardId::ROOT)
    }

    pub fn store_of(&self, shard: ShardId) -> RocksStore {
        let folder = if shard == ShardId::ROOT { "db".to_owned() } else { format!("shards/{shard}/db") };
        fs::create_dir_all(self.home().join(&folder).parent().unwrap()).unwrap();
        let store = RocksStore::open(&self.home().join(folder), &StoreConfig::default(), &self.at_rest).unwrap();
        if store.tip().is_none() {
            tip_of(&store, &self.genesis, shard).unwrap();
        }
        store
    }

    pub fn backups(&self) -> Backups {
        self.keyed(5, &Arc::default()).unwrap()
    }

    pub fn keyed(&self, key: u8, work: &Arc<Work>) -> Result<Backups, BackupError> {
        let options = DestinationOptions { make: true, ..DestinationOptions::default() };
        let place = Destination::open(self.destination().to_str().unwrap(), &options)?;
        Ok(Backups::new(place, BackupKey::from_secret(&[key; 32]).unwrap(), work.clone()))
    }

    /// The home from which `create` makes a backup.
    pub fn source(&self) -> Home {
        let copied = |shard: ShardId| {
            self.copies.set(self.copies.get() + 1);
            let copy = self.root.path().join(format!("copy-{}", self.copies.get()));
            self.store_of(shard).checkpoint(&copy).unwrap();
            (shard, copy)
        };
        Home {
            folder: self.home(),
            stores: self.genesis.shard_ids().map(copied).collect(),
            node: "one".to_owned(),
            node_key: SigningKey::from_seed(&[2; 32]).public(),
            validator: self.validator,
            program: "test".to_owned(),
        }
    }

    pub fn create(&self) -> Result<Created, BackupError> {
        self.backups().create(&self.source(), &self.at_rest)
    }

    pub fn restore_to(&self, home: &Path, backup: Option<BackupId>) -> Result<Restored, BackupError> {
        let restoring = self.backups().fetch(home, None::<Height>, backup)?;
        let restored = restoring.prove(&self.at_rest)?;
        restoring.settle()?;
        Ok(restored)
    }

    /// All objects at the destination, sorted by name.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.destination())
    }
}

/// Contents of all files below a folder, by path.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
