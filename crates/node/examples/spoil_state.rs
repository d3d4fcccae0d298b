//! Makes a liar of a stopped node, for tests: `spoil_state HOME PASSPHRASE_FILE STORE` gives another value to a leaf in that
//! store of the home, such as `db`, so that what it serves of the state no longer fits the roots that it serves it under.
//!
//! It is the last leaf: what is asked for before is as it was.

use rustorium_api::genesis_file;
use rustorium_crypto::keystore;
use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_execution::account_key;
use rustorium_storage::{HistoryStore, RocksStore, Store, StoreConfig, SyncStore, Walk};
use rustorium_types::{LeafWrite, SYSTEM_ACCOUNT, StateKey};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let [home, passphrase, store] = &arguments[..] else { return Err("give HOME, PASSPHRASE_FILE and STORE".into()) };
    let genesis = genesis_file::from_json(&std::fs::read_to_string(home.join("genesis.json"))?)?;
    let passphrase = std::fs::read_to_string(passphrase)?;
    let secret = keystore::open(&home.join("storage.key"), "storage", passphrase.trim_end().as_bytes())?;
    let at_rest = AtRest::new(Arc::new(MasterKey::from_secret(&secret)?), rustorium_crypto::chain_id(&genesis));
    let store = RocksStore::open(&home.join(store), &StoreConfig::default(), &at_rest)?;
    let tip = store.tip().ok_or("the store is empty")?.height;
    let walk = Walk {
        from: StateKey { account: SYSTEM_ACCOUNT, name: [0; 32] },
        account: None,
        wanted: &|_| true,
        leaves_max: usize::MAX,
        looks_max: usize::MAX,
        bytes_max: usize::MAX,
        opened_bytes_max: usize::MAX,
    };
    let leaves = store.walk_at(tip, &walk)?.leaves;
    // What executions read stays: it has to go on.
    let read = |key: &StateKey| key.account == SYSTEM_ACCOUNT || *key == account_key(key.account);
    let (key, leaf) = leaves.into_iter().rfind(|(key, _)| !read(key)).ok_or("there is no leaf to spoil")?;
    let spoiled = LeafWrite { key, name: leaf.name, value: Some([&leaf.value[..], b"!"].concat()) };
    store.put_synced(tip, &[], &[spoiled])?;
    store.sync()?;
    Ok(())
}
