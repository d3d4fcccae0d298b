//! Measures the store: batches of 1,000 puts, sealed and plain; state reads from the cache and from disk; a single durable
//! write beside a sync of the disk. One line of JSON a figure, for `just bench-state` and for people.
//!
//! `cargo run --release -p rustorium-storage --example store_bench [FOLDER [RUN…]]` (default: a folder of its own in the
//! system's folder for such, and all runs but those of rows: sealed, sealed-sync, plain, plain-sync, reads, durable; rows-1,
//! rows-1-idle, rows-5 and rows-300 compare the rows of two formats, with so many puts a height; rows-of-31 and
//! rows-of-128 those of so many validators). *Plain* is RocksDB alone,
//! set up alike: the same rows in the same batches, neither sealed nor cached. Times are the wall clock's, `cpu_ns` the
//! processor time of all threads.

mod heights;
mod rowformats;

use heights::{cpu_us, heights};
use rocksdb::{ColumnFamilyDescriptor, DB, Options, WriteBatch, WriteOptions};
use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_storage::{Durability, HeightCommit, Journal, RecordKind, RocksStore, Store, StoreConfig};
use rustorium_types::{ChainId, StateKey, encode, encode_into};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

const HEIGHTS: u64 = 200;
const PUTS: u64 = 1_000;
const HOT: usize = 1_000;
/// Single writes: so many of each kind.
const SINGLE: u64 = 300;
const FAMILIES: [&str; 3] = ["log", "index", "state"];
const ROWS: [&str; 6] = ["rows-1", "rows-1-idle", "rows-5", "rows-300", "rows-of-31", "rows-of-128"];
const RUNS: [&str; 6] = ["sealed", "sealed-sync", "plain", "plain-sync", "reads", "durable"];

fn main() -> Outcome<()> {
    let own = || std::env::temp_dir().join(format!("rustorium-store-bench-{}", std::process::id()));
    let folder = std::env::args().nth(1).map_or_else(own, PathBuf::from);
    let mut named: Vec<String> = std::env::args().skip(2).collect();
    if named.is_empty() {
        named = RUNS.map(str::to_owned).to_vec();
    }
    for name in named {
        let here = folder.join(&name);
        let figure = match name.as_str() {
            "sealed" | "sealed-sync" => sealed(&here, name == "sealed-sync")?,
            "plain" | "plain-sync" => plain(&here, name == "plain-sync")?,
            "reads" => reads(&here)?,
            "durable" => durable(&here)?,
            "rows-1" | "rows-1-idle" => rowformats::compare(&here, (1, name == "rows-1-idle", 4), &keys()?)?,
            "rows-5" => rowformats::compare(&here, (5, false, 4), &keys()?)?,
            "rows-300" => rowformats::compare(&here, (300, false, 4), &keys()?)?,
            "rows-of-31" => rowformats::compare(&here, (5, false, 31), &keys()?)?,
            "rows-of-128" => rowformats::compare(&here, (5, false, 128), &keys()?)?,
            _ => {
                return Err(format!("{name} is none of {}, {}", RUNS.join(", "), ROWS.join(", ")).into());
            }
        };
        println!("{}", json!({ "run": name, "figure": figure }));
        std::fs::remove_dir_all(&here)?;
    }
    Ok(())
}

fn keys() -> Outcome<AtRest> {
    Ok(AtRest::new(Arc::new(MasterKey::from_secret(&[7; 32])?), ChainId::ZERO))
}

fn open(folder: &Path) -> Outcome<RocksStore> {
    Ok(RocksStore::open(folder, &StoreConfig::default(), &keys()?)?)
}

/// Batches of `PUTS` in the store.
fn sealed(folder: &Path, sync: bool) -> Outcome<Value> {
    let store = open(folder)?;
    let mut figure = rate(&heights(HEIGHTS, PUTS)?, |commit| {
        store.commit(commit)?;
        if sync {
            store.sync()?;
        }
        Ok(())
    })?;
    let row_bytes = store.stats().commit_bytes;
    drop(store);
    figure["row_bytes_a_put"] = json!(row_bytes / (HEIGHTS * PUTS));
    figure["disk_bytes_a_put"] = json!(bytes_below(folder)? / (HEIGHTS * PUTS));
    Ok(figure)
}

/// Same in plain RocksDB.
fn plain(folder: &Path, sync: bool) -> Outcome<Value> {
    let plain = Plain::open(folder)?;
    rate(&heights(HEIGHTS, PUTS)?, |commit| plain.commit(commit, sync))
}

fn bytes_below(folder: &Path) -> Outcome<u64> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// Measures batches of `PUTS`. The median batch says more than the mean if a flush falls into some.
fn rate(commits: &[HeightCommit], mut commit: impl FnMut(&HeightCommit) -> Outcome<()>) -> Outcome<Value> {
    let (cpu, mut batches) = (cpu_us(), Vec::new());
    let start = Instant::now();
    for one in commits {
        let batch = Instant::now();
        commit(one)?;
        batches.push(batch.elapsed().as_micros());
    }
    let (wall, cpu) = (start.elapsed().as_micros().max(1), cpu_us() - cpu);
    let puts = u128::from(HEIGHTS * PUTS);
    Ok(json!({
        "puts_per_s": puts * 1_000_000 / wall,
        "median_batch_us": percentile(&mut batches, 500),
        "cpu_ns_a_put": u128::from(cpu) * 1000 / puts,
    }))
}

fn percentile(times: &mut [u128], per_mille: usize) -> u128 {
    times.sort_unstable();
    times.get(times.len() * per_mille / 1000).copied().unwrap_or_default()
}

/// State reads: each key once, then a few again and again.
fn reads(folder: &Path) -> Outcome<Value> {
    let commits = heights(HEIGHTS, PUTS)?;
    let store = open(folder)?;
    commits.iter().try_for_each(|commit| store.commit(commit))?;
    drop(store);
    let keys: BTreeSet<StateKey> =
        commits.iter().flat_map(|commit| commit.diff.iter().map(|write| write.key)).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    let store = open(folder)?;
    // The order is unrelated to theirs, so all reads are misses.
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
    let quantiles = |times: &mut [u128]| json!({ "p50_ns": percentile(times, 500), "p99_ns": percentile(times, 990) });
    Ok(json!({ "hit": quantiles(&mut hits), "miss": quantiles(&mut missed), "misses": misses }))
}

/// One put at a time, each on disk before the next: a height in the store, a record of the same bytes in the journal, and
/// the same bytes at the end of a file, in turns.
fn durable(folder: &Path) -> Outcome<Value> {
    let commits = heights(SINGLE, 1)?;
    let store = open(&folder.join("store"))?;
    let (tell, done) = channel();
    let tell = Box::new(move |result| tell.send(result).unwrap_or_default());
    let (journal, _) = Journal::open(&folder.join("journal"), Durability::Vote, &keys()?, tell)?;
    let mut file = File::create(folder.join("file"))?;
    let (mut stored, mut journaled, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    for commit in &commits {
        let bytes = commit.batches.first().map(|batch| encode(&*batch.batch)).unwrap_or_default();
        let start = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        synced.push(start.elapsed().as_micros());
        let start = Instant::now();
        store.commit(commit)?;
        store.sync()?;
        stored.push(start.elapsed().as_micros());
        let start = Instant::now();
        let lsn = journal.append(RecordKind::Batch, &bytes);
        journal.sync(lsn);
        while done.recv()?? < lsn {}
        journaled.push(start.elapsed().as_micros());
    }
    Ok(json!({
        "store_us": percentile(&mut stored, 500),
        "journal_us": percentile(&mut journaled, 500),
        "file_and_fdatasync_us": percentile(&mut synced, 500),
    }))
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
