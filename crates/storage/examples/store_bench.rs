//! Measures the store: state reads from the cache and from disk, and batches of 1,000 writes, sealed and plain.
//!
//! `cargo run --release -p rustorium-storage --example store_bench [FOLDER]` (default: a folder of its own in the system's
//! folder for such). *Plain* is RocksDB alone, set up alike: the same rows in the same batches, neither sealed nor cached.

mod heights;

use heights::{cpu_us, heights};
use rocksdb::{ColumnFamilyDescriptor, DB, Options, WriteBatch, WriteOptions};
use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_storage::{HeightCommit, RocksStore, Store, StoreConfig};
use rustorium_types::{ChainId, StateKey, encode_into};
use std::collections::BTreeSet;
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

const HEIGHTS: u64 = 200;
const WRITES: u64 = 1_000;
const HOT: usize = 1_000;
const FAMILIES: [&str; 3] = ["log", "index", "state"];

fn main() -> Outcome<()> {
    let own = || std::env::temp_dir().join(format!("rustorium-store-bench-{}", std::process::id()));
    let folder = std::env::args().nth(1).map_or_else(own, PathBuf::from);
    let commits = heights(HEIGHTS, WRITES)?;
    for (name, sync) in [("no sync", false), ("a sync each", true)] {
        let here = folder.join(name);
        let plain = Plain::open(&here.join("plain"))?;
        rate(&format!("plain RocksDB, {name}"), &commits, |commit| plain.commit(commit, sync))?;
        let store = open(&here.join("sealed"))?;
        rate(&format!("sealed store, {name}"), &commits, |commit| {
            store.commit(commit)?;
            if sync {
                store.sync()?;
            }
            Ok(())
        })?;
    }
    let keys: BTreeSet<StateKey> =
        commits.iter().flat_map(|commit| commit.diff.iter().map(|write| write.key)).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    println!("{} bytes on disk a write", bytes_below(&folder.join("no sync/sealed"))? / (HEIGHTS * WRITES));
    reads(&open(&folder.join("no sync/sealed"))?, &keys)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn bytes_below(folder: &Path) -> Outcome<u64> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

fn open(folder: &Path) -> Outcome<RocksStore> {
    let keys = AtRest::new(Arc::new(MasterKey::from_secret(&[7; 32])?), ChainId::ZERO);
    Ok(RocksStore::open(folder, &StoreConfig::default(), &keys)?)
}

/// Prints what batches of `WRITES` cost; the median batch tells more than the mean where a flush falls into some.
fn rate(name: &str, commits: &[HeightCommit], mut commit: impl FnMut(&HeightCommit) -> Outcome<()>) -> Outcome<()> {
    let (cpu, mut batches) = (cpu_us(), Vec::new());
    let start = Instant::now();
    for one in commits {
        let batch = Instant::now();
        commit(one)?;
        batches.push(batch.elapsed().as_micros().max(1));
    }
    let (wall, cpu) = (start.elapsed().as_micros(), cpu_us() - cpu);
    batches.sort_unstable();
    let median = batches[batches.len() / 2];
    let writes = u128::from(HEIGHTS * WRITES);
    println!(
        "{name:>28}: {:>7} writes/s in all, median batch {median:>6} us, {:>6} ns of CPU a write",
        writes * 1_000_000 / wall,
        u128::from(cpu) * 1000 / writes
    );
    Ok(())
}

fn reads(store: &RocksStore, keys: &[StateKey]) -> Outcome<()> {
    // Each key once, in an order that has nothing to do with theirs: all of them are misses.
    let step = keys.len() / 2 + 1;
    let mut missed = Vec::new();
    for n in 0..20_000 {
        let key = &keys[n * step % keys.len()];
        let start = Instant::now();
        black_box(store.state(key)?);
        missed.push(start.elapsed().as_nanos());
    }
    let misses = store.stats().cache_misses;
    let hot = &keys[..HOT];
    hot.iter().try_for_each(|key| store.state(key).map(drop))?;
    let mut hits = Vec::new();
    for key in hot.iter().cycle().take(100 * HOT) {
        let start = Instant::now();
        black_box(store.state(key)?);
        hits.push(start.elapsed().as_nanos());
    }
    for (name, times, of) in [("hit", &mut hits, 0), ("miss, warm system cache", &mut missed, misses)] {
        times.sort_unstable();
        let at = |per_mille: usize| times[times.len() * per_mille / 1000];
        println!("cache {name}: p50 {} ns, p99 {} ns ({of} misses)", at(500), at(990));
    }
    Ok(())
}

/// RocksDB alone.
struct Plain {
    db: DB,
}

impl Plain {
    fn open(folder: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let config = StoreConfig::default();
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(config.write_buffer_bytes);
        options.set_max_background_jobs(config.background_jobs);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        Ok(Self { db: DB::open_cf_descriptors(&options, folder, families)? })
    }

    fn commit(&self, commit: &HeightCommit, sync: bool) -> Outcome<()> {
        let family = |name| self.db.cf_handle(name).ok_or("a family is missing");
        let (log, index, state) = (family("log")?, family("index")?, family("state")?);
        let height = commit.block.header.height;
        let (mut batch, mut row) = (WriteBatch::default(), Vec::new());
        let mut put = |family, key: &[u8], fill: &dyn Fn(&mut Vec<u8>)| {
            row.clear();
            fill(&mut row);
            batch.put_cf(family, key, &row);
        };
        let part = |tag: u8| [&height.0.to_be_bytes()[..], &[tag]].concat();
        put(log, &part(b'r'), &|row| encode_into(&commit.receipts, row));
        put(log, &part(b'b'), &|row| encode_into(&commit.block, row));
        for listed in &commit.batches {
            put(log, &part(b't'), &|row| encode_into(&*listed.batch, row));
            put(index, &listed.digest.0, &|row| encode_into(&height, row));
        }
        for receipt in &commit.receipts {
            put(index, &receipt.transaction.0, &|row| encode_into(&(height, 0u32, 0u16, 0u32), row));
            let account = [&receipt.sender.0[..], &height.0.to_be_bytes()].concat();
            put(index, &account, &|row| encode_into(&(receipt.index, receipt.transaction), row));
        }
        put(index, &commit.digest.0, &|row| encode_into(&height, row));
        for write in &commit.diff {
            put(state, &write.key.to_bytes(), &|row| row.extend_from_slice(write.value.as_deref().unwrap_or_default()));
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        Ok(self.db.write_opt(batch, &options)?)
    }
}
