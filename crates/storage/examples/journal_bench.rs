//! Measures what a vote and a height cost on this disk: journal append and sync, store commit and reads.
//!
//! `cargo run --release -p rustorium-storage --example journal_bench [FOLDER]` (default: a folder beside the build).

use rustix::time::{ClockId, clock_gettime};
use rustorium_crypto::{SigningKey, block_digest, own_batch, state_key, transaction_id};
use rustorium_storage::{Durability, HeightCommit, Journal, RecordKind, RocksStore, Store, StoreConfig};
use rustorium_types::*;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

const HEIGHTS: u64 = 200;
const TRANSACTIONS: u64 = 500;
const SENDERS: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let beside = || std::env::temp_dir().join(format!("rustorium-journal-bench-{}", std::process::id()));
    let folder = std::env::args().nth(1).map_or_else(beside, PathBuf::from);
    idle(&folder.join("idle"))?;
    for (payload, name) in [(200, "a vote"), (4 << 10, "4 KiB"), (256 << 10, "a 256 KiB batch")] {
        journal(&folder.join(format!("journal-{payload}")), payload, name)?;
    }
    store(&folder.join("db"))?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn idle(folder: &Path) -> Result<(), Box<dyn Error>> {
    let before = resident()?;
    let _journal = Journal::open(&folder.join("safety"), Durability::Vote, Box::new(|_| {}))?;
    let _store = RocksStore::open(&folder.join("db"), &StoreConfig::default())?;
    println!("idle journal and store: from {before} to {}", resident()?);
    Ok(())
}

fn resident() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}

fn journal(folder: &Path, payload: usize, name: &str) -> Result<(), Box<dyn Error>> {
    let (tell, done) = channel();
    let tell = Box::new(move |result| tell.send(result).unwrap_or_default());
    let (journal, _) = Journal::open(folder, Durability::Vote, tell)?;
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

fn store(folder: &Path) -> Result<(), Box<dyn Error>> {
    let commits = heights()?;
    let store = RocksStore::open(folder, &StoreConfig::default())?;
    let (start, cpu) = (Instant::now(), cpu_us());
    let (mut commit_us, mut read_us) = (0, 0);
    for commit in &commits {
        let reading = Instant::now();
        for (key, _) in &commit.diff {
            store.state(key)?;
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

fn cpu_us() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

fn heights() -> Result<Vec<HeightCommit>, Box<dyn Error>> {
    let keys: Vec<SigningKey> = (0..SENDERS).map(|n| SigningKey::from_seed(hash_of(n).as_bytes())).collect();
    let mut parent = BlockDigest::ZERO;
    let mut commits = Vec::new();
    for height in 0..HEIGHTS {
        let commit = height_commit(height, parent, &keys)?;
        parent = commit.digest;
        commits.push(commit);
    }
    Ok(commits)
}

/// Bytes that don't compress, different for each number.
fn hash_of(n: u64) -> Hash {
    rustorium_crypto::value_hash(&n.to_le_bytes())
}

fn height_commit(height: u64, parent: BlockDigest, keys: &[SigningKey]) -> Result<HeightCommit, Box<dyn Error>> {
    let numbers = height * TRANSACTIONS..(height + 1) * TRANSACTIONS;
    let (mut transactions, mut receipts) = (Vec::new(), Vec::new());
    let mut diff = std::collections::BTreeMap::new();
    for (index, number) in (0..).zip(numbers) {
        let key = &keys[(number % SENDERS) as usize];
        let sender = rustorium_crypto::account_id(0, &key.public());
        let value: Vec<u8> = (0..8).flat_map(|part| hash_of(number * 8 + part).0).collect();
        diff.insert(state_key(sender, 0, b"account"), Some(vec![7; 96]));
        diff.insert(state_key(sender, 1, &number.to_le_bytes()), Some(value.clone()));
        let put = Operation::Put {
            namespace: sender,
            key: Key::new(number.to_le_bytes().to_vec())?,
            value: Value::new(value)?,
        };
        let body = TransactionBody {
            version: PROTOCOL_VERSION,
            chain: ChainId::ZERO,
            sender,
            public_key: key.public(),
            nonce: number / SENDERS,
            expires_at_ms: 1,
            work_limit: 1000,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(vec![put])?,
        };
        let transaction = transaction_id(&body);
        receipts.push(Receipt {
            transaction,
            sender,
            nonce: body.nonce,
            height: Height(height),
            index,
            time_ms: height,
            work: 900,
            outcome: Outcome::Ok,
        });
        transactions.push((transaction, Arc::new(key.sign_transaction(body))));
    }
    let batch_body = |transactions| BatchBody {
        chain: ChainId::ZERO,
        shard: ShardId(0),
        epoch: Epoch(0),
        author: ValidatorIndex(0),
        seq: height,
        previous: BatchDigest::ZERO,
        transactions: BoundedVec::new(transactions).unwrap_or_default(),
    };
    let batch = own_batch(transactions, batch_body, &keys[0]);
    let block = Block { header: header(height, parent), inline: BoundedVec::default() };
    Ok(HeightCommit {
        digest: block_digest(&block.header),
        block,
        inline_ids: Vec::new(),
        batches: vec![Arc::new(batch)],
        receipts,
        diff: diff.into_iter().collect(),
        link: ResultLink::default(),
        result_root: Hash::ZERO,
        finalization: None,
    })
}

fn header(height: u64, parent: BlockDigest) -> Header {
    Header {
        version: PROTOCOL_VERSION,
        chain: ChainId::ZERO,
        shard: ShardId(0),
        epoch: Epoch(0),
        view: View(height),
        height: Height(height),
        parent,
        parent_view: View(0),
        proposer: ValidatorIndex(0),
        time_ms: height,
        payload_root: Hash::ZERO,
        cursors: BoundedVec::default(),
        transactions: TRANSACTIONS as u32,
        declared_work: 0,
        load_history: 0,
        validator_set: Hash::ZERO,
        next_validator_set: Hash::ZERO,
        parameters: Hash::ZERO,
        shard_map: Hash::ZERO,
        result: ResultClaim::default(),
        state: StateClaim::NoneYet,
    }
}
