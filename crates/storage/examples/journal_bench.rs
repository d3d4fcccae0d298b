//! Measures what a vote and a height cost on this disk: journal append and sync, store commit and reads.
//!
//! `cargo run --release -p rustorium-storage --example journal_bench [FOLDER]` (default: a folder beside the build).

mod heights;

use heights::{cpu_us, heights};
use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_storage::{Durability, Journal, RecordKind, RocksStore, Store, StoreConfig};
use rustorium_types::ChainId;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

const HEIGHTS: u64 = 200;
const TRANSACTIONS: u64 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let beside = || std::env::temp_dir().join(format!("rustorium-journal-bench-{}", std::process::id()));
    let folder = std::env::args().nth(1).map_or_else(beside, PathBuf::from);
    let keys = AtRest::new(Arc::new(MasterKey::from_secret(&[7; 32])?), ChainId::ZERO);
    idle(&folder.join("idle"), &keys)?;
    for (payload, name) in [(200, "a vote"), (4 << 10, "4 KiB"), (256 << 10, "a 256 KiB batch")] {
        journal(&folder.join(format!("journal-{payload}")), &keys, payload, name)?;
    }
    store(&folder.join("db"), &keys)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn idle(folder: &Path, keys: &AtRest) -> Result<(), Box<dyn Error>> {
    let before = resident()?;
    let _journal = Journal::open(&folder.join("safety"), Durability::Vote, keys, Box::new(|_| {}))?;
    let _store = RocksStore::open(&folder.join("db"), &StoreConfig::default(), keys)?;
    println!("idle journal and store: from {before} to {}", resident()?);
    Ok(())
}

fn resident() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}

fn journal(folder: &Path, keys: &AtRest, payload: usize, name: &str) -> Result<(), Box<dyn Error>> {
    let (tell, done) = channel();
    let tell = Box::new(move |result| tell.send(result).unwrap_or_default());
    let (journal, _) = Journal::open(folder, Durability::Vote, keys, tell)?;
    let payload = vec![0x5a; payload];
    let mut latencies = Vec::new();
    for _ in 0..400 {
        let start = Instant::now();
        let lsn = journal.append(RecordKind::Vote, &payload);
        journal.sync(lsn);
        while done.recv()?? < lsn {}
        latencies.push(start.elapsed().as_micros());
        // Keeps recycling in the picture.
        journal.release(lsn);
    }
    latencies.sort_unstable();
    let (p50, p99) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    let stats = journal.stats();
    let (syncs, switches) = (stats.syncs, stats.switches);
    println!("journal, {name}: append to done p50 {p50} us, p99 {p99} us ({syncs} syncs, {switches} segment switches)");
    println!("  of which fdatasync: mean {} us", stats.sync_us / stats.syncs.max(1));
    Ok(())
}

fn store(folder: &Path, keys: &AtRest) -> Result<(), Box<dyn Error>> {
    let commits = heights(HEIGHTS, TRANSACTIONS)?;
    let store = RocksStore::open(folder, &StoreConfig::default(), keys)?;
    let (start, cpu) = (Instant::now(), cpu_us());
    let (mut commit_us, mut read_us) = (0, 0);
    for commit in &commits {
        let reading = Instant::now();
        for write in &commit.diff {
            store.state(&write.key)?;
        }
        read_us += reading.elapsed().as_micros();
        let committing = Instant::now();
        store.commit(commit)?;
        commit_us += committing.elapsed().as_micros();
        if commit.block.header.height.0 % 20 == 19 {
            store.sync()?;
        }
    }
    let transactions = u128::from(HEIGHTS * TRANSACTIONS);
    let wall = start.elapsed().as_micros();
    let cpu = u128::from(cpu_us() - cpu);
    let stats = store.stats();
    println!("store, {HEIGHTS} heights of {TRANSACTIONS} puts of 256 bytes, synced every 20:");
    println!("  {} tx/s in all", transactions * 1_000_000 / wall);
    println!("  commit {} ns/tx, {} us a height", commit_us * 1000 / transactions, commit_us / u128::from(HEIGHTS));
    println!("  state reads before it {} ns/tx", read_us * 1000 / transactions);
    println!("  process CPU, background threads included: {} ns/tx", cpu * 1000 / transactions);
    println!(
        "  {} bytes of rows/tx, cache {} hits, {} misses",
        u128::from(stats.commit_bytes) / transactions,
        stats.cache_hits,
        stats.cache_misses
    );
    Ok(())
}
