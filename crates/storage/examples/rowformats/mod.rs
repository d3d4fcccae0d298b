//! The commit of a height in both formats of the store: heights of version 1 and the same heights of version 2, in turns.
//!
//! The formats differ in their rows: in their number and their bytes. Values and records are the same rows in both.

mod made;

use crate::Outcome;
use crate::heights::cpu_us;
use rustix::time::{ClockId, clock_gettime};
use rustorium_crypto::seal::AtRest;
use rustorium_storage::{HeightCommit, RocksStore, Store, StoreConfig};
use rustorium_types::Rules;
use serde_json::{Value, json};
use std::path::Path;

/// Puts whose rows are written in each of the formats.
const PUTS: u64 = 60_000;
const HEIGHTS_MAX: u64 = 20_000;
/// Turns of each format. The medians are shown.
const TURNS: usize = 5;
/// Blocks that are read again, and their distance.
const READS: u64 = 500;

/// Measures heights of so many puts in both formats. `idle`: an empty height follows each. `validators`: lanes of a header.
pub fn compare(folder: &Path, (puts, idle, validators): (u64, bool, u64), keys: &AtRest) -> Outcome<Value> {
    let count = (PUTS / puts).min(HEIGHTS_MAX);
    let made = |rules| made::made((count, puts, idle), validators, rules);
    let formats = [("four", made(Rules::V1)?), ("five", made(Rules::V2)?)];
    let mut turns = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        for ((name, commits), turns) in formats.iter().zip(&mut turns) {
            let here = folder.join(name);
            turns.push(measure(&here, commits, keys)?);
            std::fs::remove_dir_all(&here)?;
        }
    }
    let [four, five] = turns.map(|turns| medians(&turns));
    Ok(json!({ "four": four, "five": five }))
}

const FIGURES: [&str; 6] = [
    "commit_cpu_ns_a_put",
    "all_cpu_ns_a_put",
    "row_bytes_a_put",
    "disk_bytes_a_put",
    "block_read_ns",
    "receipt_read_ns",
];

fn medians(turns: &[[u64; FIGURES.len()]]) -> Value {
    let median = |figure: usize| {
        let mut values: Vec<u64> = turns.iter().filter_map(|turn| turn.get(figure).copied()).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let figures = FIGURES.iter().enumerate().map(|(place, name)| ((*name).to_owned(), json!(median(place))));
    Value::Object(figures.collect())
}

/// Processor time of this thread so far.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn measure(folder: &Path, commits: &[HeightCommit], keys: &AtRest) -> Outcome<[u64; FIGURES.len()]> {
    let store = RocksStore::open(folder, &StoreConfig::default(), keys)?;
    let (all, own) = (cpu_us(), thread_cpu_ns());
    for commit in commits {
        store.commit(commit)?;
    }
    let own = thread_cpu_ns() - own;
    // A copy writes all rows to files.
    store.checkpoint(&folder.join("copy"))?;
    let all = cpu_us() - all;
    let bytes = store.stats().commit_bytes;
    drop(store);
    let tables = std::fs::read_dir(folder)?.filter_map(Result::ok);
    let tables = tables.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "sst"));
    let disk: u64 = tables.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum();
    let puts: u64 = commits.iter().map(|commit| commit.receipts.len() as u64).sum();
    let [block, receipt] = reads(folder, commits, keys)?;
    Ok([own / puts, all * 1000 / puts, bytes / puts, disk / puts, block, receipt])
}

/// Returns the processor time of the read of a block without its transactions, and of a transaction with its receipt, in a
/// store that was just opened. Heights are read in an order unrelated to theirs.
fn reads(folder: &Path, commits: &[HeightCommit], keys: &AtRest) -> Outcome<[u64; 2]> {
    let store = RocksStore::open(folder, &StoreConfig::default(), keys)?;
    let scattered = |n: u64| commits.get((n * 7919 % commits.len() as u64) as usize);
    let begun = thread_cpu_ns();
    for commit in (0..READS).filter_map(scattered) {
        let block = store.bare_block(commit.block.header.height)?;
        if block.is_none_or(|block| block.header != commit.block.header) {
            return Err("a block is not the one that was stored".into());
        }
    }
    let blocks = (thread_cpu_ns() - begun) / READS;
    let begun = thread_cpu_ns();
    for receipt in (0..READS).filter_map(scattered).filter_map(|commit| commit.receipts.first()) {
        if store.transaction(&receipt.transaction)?.is_none_or(|found| found.receipt != *receipt) {
            return Err("a receipt is not the one that was stored".into());
        }
    }
    Ok([blocks, (thread_cpu_ns() - begun) / READS])
}
