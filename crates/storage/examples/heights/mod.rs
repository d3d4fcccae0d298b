//! Heights that the benchmarks commit, and the processor time of a commit.

#[path = "../../../types/tests/headers/mod.rs"]
mod headers;

use headers::empty_header;
use rustix::time::{ClockId, clock_gettime};
use rustorium_crypto::{SigningKey, block_digest, own_batch, state_key, transaction_id};
use rustorium_storage::HeightCommit;
use rustorium_types::*;
use std::error::Error;
use std::sync::Arc;

const SENDERS: u64 = 1_000;

/// Processor time of this process so far, all threads.
pub fn cpu_us() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// Heights of so many puts of 256 bytes each, as a node commits them.
pub fn heights(count: u64, transactions: u64) -> Result<Vec<HeightCommit>, Box<dyn Error>> {
    let keys: Vec<SigningKey> = (0..SENDERS).map(|n| SigningKey::from_seed(hash_of(n).as_bytes())).collect();
    let mut parent = BlockDigest::ZERO;
    let mut commits = Vec::new();
    for height in 0..count {
        let commit = height_commit(height, transactions, parent, &keys)?;
        parent = commit.digest;
        commits.push(commit);
    }
    Ok(commits)
}

/// Bytes that don't compress, different for each number.
fn hash_of(n: u64) -> Hash {
    rustorium_crypto::value_hash(&n.to_le_bytes())
}

fn height_commit(
    height: u64,
    puts: u64,
    parent: BlockDigest,
    keys: &[SigningKey],
) -> Result<HeightCommit, Box<dyn Error>> {
    let numbers = height * puts..(height + 1) * puts;
    let (mut transactions, mut receipts) = (Vec::new(), Vec::new());
    let mut diff = std::collections::BTreeMap::new();
    for (index, number) in (0..).zip(numbers) {
        let key = &keys[(number % SENDERS) as usize];
        let sender = rustorium_crypto::account_id(0, &key.public());
        let value: Vec<u8> = (0..8).flat_map(|part| hash_of(number * 8 + part).0).collect();
        let mut write = |kind: u8, name: &[u8], value| {
            let key = state_key(sender, kind, name);
            diff.insert(key, LeafWrite { key, name: [&[kind], name].concat(), value: Some(value) });
        };
        write(0, b"account", vec![7; 96]);
        write(1, &number.to_le_bytes(), value.clone());
        let put = Operation::Put {
            namespace: sender,
            key: Key::new(number.to_le_bytes().to_vec())?,
            value: Value::new(value)?,
        };
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
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
    let block = Block { header: header(height, puts, parent), inline: BoundedVec::default() };
    Ok(HeightCommit {
        digest: block_digest(&block.header),
        block,
        inline_ids: Vec::new(),
        batches: vec![Arc::new(batch)],
        receipts,
        diff: diff.into_values().collect(),
        link: ResultLink::default(),
        result_root: Hash::ZERO,
        finalization: None,
    })
}

fn header(height: u64, puts: u64, parent: BlockDigest) -> Header {
    let (view, height, time_ms) = (View(height), Height(height), height);
    Header { view, height, parent, time_ms, transactions: puts as u32, ..empty_header() }
}
