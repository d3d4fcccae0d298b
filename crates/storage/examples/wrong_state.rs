//! Gives a stopped validator's store a state that its chain never had, for the test of a node that diverges.
//!
//! `wrong_state HOME PASSPHRASE_FILE CHAIN`: takes the newest height that changed state back and stores it again as the node
//! would, but with one bit of what the first account has left to store turned. All rows are sealed and well-formed, and the
//! chain's own result root stands beside them, as after a bit that turned in memory: only what follows is wrong.

use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_crypto::{CheckedBatch, id_on, keystore, value_hash, verify_batch};
use rustorium_storage::{HeightCommit, RocksStore, Store, StoreConfig, StoredBlock, TreeStore};
use rustorium_types::{ChainId, Hash, Height, LeafWrite, PublicKey};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The name of an account's own leaf: its kind.
const ACCOUNT: [u8; 1] = [0];
/// Length of an account's record of version 1. It ends with the bytes that the account may still store.
const FIRST_BYTES: usize = 64;
const FIRST_LEFT_AT: usize = FIRST_BYTES - 8;
/// Offset of these bytes in a record of version 2: after its form, the signer and the nonce (V27).
const LEFT_AT: usize = 2 + 32 + 8;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [home, passphrase, chain] => change(Path::new(home), Path::new(passphrase), chain),
        _ => Err("usage: wrong_state HOME PASSPHRASE_FILE CHAIN".into()),
    }
}

fn change(home: &Path, passphrase: &Path, chain: &str) -> Outcome<()> {
    let secret =
        keystore::open(&home.join("storage.key"), "storage", fs::read_to_string(passphrase)?.trim().as_bytes())?;
    let at_rest = AtRest::new(Arc::new(MasterKey::from_secret(&secret)?), ChainId(Hash::from_hex(chain)?.0));
    let store = RocksStore::open(&home.join("db"), &StoreConfig::default(), &at_rest)?;
    let tip = store.tip().ok_or("the store is empty")?;
    let height = tip.payload_height;
    let below = Height(height.0.checked_sub(1).ok_or("only the genesis changed anything")?);
    let stored = store.block(height)?.ok_or("the height is missing")?;
    let batches = checked(&store, &stored, &validators(home)?)?;
    let mut diff = store.changes(below, height)?.remove(&height).unwrap_or_default();
    turn(&mut diff)?;
    store.roll_back(below)?;
    let writes = diff.iter().map(|write| (write.key, write.value.as_deref().map(value_hash))).collect();
    store.put_tree_writes(height, &writes)?;
    store.commit(&HeightCommit {
        digest: stored.digest,
        inline_ids: stored.block.inline.iter().map(|t| id_on(&stored.block.header.chain, t)).collect(),
        block: stored.block,
        batches,
        receipts: stored.receipts,
        diff,
        link: stored.link,
        result_root: stored.result_root,
        finalization: None,
    })?;
    store.sync()?;
    println!("{}", height.0);
    Ok(())
}

fn turn(diff: &mut [LeafWrite]) -> Outcome<()> {
    let record = diff.iter_mut().find(|write| write.name == ACCOUNT).and_then(|write| write.value.as_mut());
    let record = record.ok_or("the height changed no account")?;
    let at = if record.len() == FIRST_BYTES { FIRST_LEFT_AT } else { LEFT_AT };
    *record.get_mut(at).ok_or("the record is too short")? ^= 1;
    Ok(())
}

fn checked(store: &RocksStore, stored: &StoredBlock, keys: &[PublicKey]) -> Outcome<Vec<Arc<CheckedBatch>>> {
    let mut batches = Vec::new();
    for (author, digest) in &stored.batches {
        let key = keys.get(usize::from(author.0)).ok_or("a batch of nobody")?;
        let batch = store.batch(digest)?.and_then(|batch| verify_batch(key, batch));
        batches.push(Arc::new(batch.ok_or("a batch is missing")?));
    }
    Ok(batches)
}

/// Keys of the genesis' validators, by place.
fn validators(home: &Path) -> Outcome<Vec<PublicKey>> {
    let genesis: serde_json::Value = serde_json::from_slice(&fs::read(home.join("genesis.json"))?)?;
    let validators = genesis["validators"].as_array().ok_or("a genesis without validators")?;
    let key = |one: &serde_json::Value| Ok(Hash::from_hex(one["validator_key"].as_str().unwrap_or_default())?.0);
    validators.iter().map(key).collect()
}
