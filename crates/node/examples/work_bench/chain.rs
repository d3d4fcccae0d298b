//! A chain with a store and a state tree, which executes the blocks of one case.

use crate::Outcome;
use crate::cases::Case;
use rustix::time::{ClockId, clock_gettime};
use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_crypto::sign::verify;
use rustorium_crypto::{CheckedBatch, SigningKey, account_id, block_digest, value_hash, verify_batch};
use rustorium_execution::{Input, Keys, arrange, execute_with, genesis, hashes};
use rustorium_stages::executor::{StoredState, tree_writes};
use rustorium_stages::tree_rows::{TOP_KEY, Tree};
use rustorium_state::host::open_table;
use rustorium_state::slot::Slot;
use rustorium_state::tables::Tables;
use rustorium_state::tree::update;
use rustorium_state::workers::Serial;
use rustorium_storage::{HeightCommit, RocksStore, Store, StoreConfig, TreeRow, TreeStore};
use rustorium_types::limits::BATCH_BYTES_MAX;
use rustorium_types::{
    AccountId, Authority, Batch, BatchBody, BatchDigest, Block, BoundedVec, ChainId, Charter, Epoch, Genesis, Hash,
    Header, LeafWrite, Receipt, ResultLink, Rules, ShardId, TRANSACTION_VERSION, Transaction, Transaction2,
    TransactionBody, TransactionBody2, ValidatorIndex, decode, encode,
};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const WINDOW_BITS: u32 = 10;
/// Signatures that are timed before and after each block.
const SIGNATURES: u64 = 64;
const BATCH_BYTES: usize = 512 * 1024;

/// The work, time and bytes that a block took.
pub struct Spent {
    pub work: u64,
    pub all_ns: u64,
    pub check_ns: u64,
    pub execute_ns: u64,
    pub commit_ns: u64,
    pub tree_ns: u64,
    pub written_bytes: u64,
    pub memory_bytes: u64,
    /// Time of one signature that was checked alone, just before and just after.
    pub signature_ns: u64,
}

pub struct Chain {
    pub made: Genesis,
    pub id: ChainId,
    folder: PathBuf,
    tables: Arc<Tables>,
    header: Header,
    root: Hash,
    author: SigningKey,
    sequence: u64,
    previous: BatchDigest,
}

/// Returns the key of the sender with this number.
pub fn signer(number: usize) -> SigningKey {
    SigningKey::from_seed(&value_hash(&(number as u64).to_le_bytes()).0)
}

/// Returns the account of the sender with this number.
pub fn account(number: usize) -> AccountId {
    account_id(0, &signer(number).public())
}

impl Chain {
    /// Stores a genesis with the case's senders and leaves.
    pub fn start(case: &Case, rules: Rules, rounds: usize, folder: &Path, tables: &Path) -> Outcome<Self> {
        let made = (case.genesis)(case, rules)?;
        let start = genesis(&made, ShardId::ROOT);
        let id = hashes(&made, ShardId::ROOT).chain;
        let mut diff = start.diff;
        for round in 0..rounds {
            for sender in 0..case.senders {
                diff.extend((case.leaves)(sender, round)?);
            }
        }
        diff.sort_unstable_by_key(|write| write.key);
        let header = Header { chain: id, ..start.header };
        let chain = Self {
            made,
            id,
            folder: folder.to_owned(),
            tables: Arc::new(open_table(tables, WINDOW_BITS)?),
            header: header.clone(),
            root: start.result_root,
            author: signer(usize::MAX),
            sequence: 0,
            previous: BatchDigest::ZERO,
        };
        let store = chain.open()?;
        let commit = chain.commit_of(header, (Vec::new(), Vec::new(), diff), (start.link, start.result_root));
        chain.write(&store, &commit)?;
        chain.root_tree(&store, &commit)?;
        store.sync()?;
        Ok(chain)
    }

    /// Opens the store with empty caches.
    fn open(&self) -> Outcome<Arc<dyn Store>> {
        let at_rest = AtRest::new(Arc::new(MasterKey::from_secret(&[7; 32])?), self.id);
        Ok(Arc::new(RocksStore::open(&self.folder.join("db"), &StoreConfig::default(), &at_rest)?))
    }

    /// Returns the transactions of a round, encoded in batches.
    pub fn sign(&mut self, case: &Case, round: usize) -> Outcome<Vec<Vec<u8>>> {
        let (mut batches, mut open, mut bytes) = (Vec::new(), Vec::new(), 0);
        for sender in 0..case.senders {
            let transaction = self.transaction(case, sender, round)?;
            let more = encode(&transaction).len();
            if bytes + more > BATCH_BYTES {
                batches.push(self.batch(std::mem::take(&mut open))?);
                bytes = 0;
            }
            bytes += more;
            open.push(transaction);
        }
        batches.push(self.batch(open)?);
        Ok(batches)
    }

    fn transaction(&self, case: &Case, sender: usize, round: usize) -> Outcome<Transaction> {
        let (key, work_limit) = (signer(sender), self.made.parameters.batch_work_max);
        let (nonce, expires_at_ms) = (round as u64, u64::MAX);
        let (sender_id, shard_hint, location) = ((case.sender)(sender), None, None);
        if let Some(make) = case.second {
            let body = TransactionBody2 {
                authority: Authority::of_key(key.public())?,
                sender: sender_id,
                nonce,
                expires_at_ms,
                work_limit,
                shard_hint,
                location,
                data: BoundedVec::new(make(sender, round)?)?,
            };
            let signature = key.sign_body2(&self.id, &body);
            return Ok(Transaction2::new(body, vec![(0, signature)])?.into());
        }
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            chain: self.id,
            sender: sender_id,
            public_key: key.public(),
            nonce,
            expires_at_ms,
            work_limit,
            shard_hint,
            location,
            data: BoundedVec::new((case.make)(sender, round)?)?,
        };
        Ok(key.sign_transaction(body).into_inner())
    }

    fn batch(&mut self, transactions: Vec<Transaction>) -> Outcome<Vec<u8>> {
        let body = BatchBody {
            chain: self.id,
            shard: ShardId::ROOT,
            epoch: Epoch(0),
            author: ValidatorIndex(0),
            seq: self.sequence,
            previous: self.previous,
            transactions: BoundedVec::new(transactions)?,
        };
        let (digest, batch) = self.author.sign_batch(body);
        (self.sequence, self.previous) = (self.sequence + 1, digest);
        Ok(encode(&batch))
    }

    /// Does all that a validator does for a block of these batches, on a store that was opened for it.
    pub fn block(&mut self, case: &Case, batches: Vec<Vec<u8>>) -> Outcome<Spent> {
        let before = self.signature_ns();
        let store = self.open()?;
        let (written, rss) = (written_bytes()?, forget_peak()?);
        let start = cpu_ns(ClockId::ProcessCPUTime);
        let (check_ns, lane) = timed(|| self.check(batches))?;
        let lanes = [lane];
        let parent = &self.header;
        let header = Header {
            height: parent.height.next(),
            view: parent.view.next(),
            time_ms: parent.time_ms + 1_000,
            parent: block_digest(parent),
            parent_view: parent.view,
            ..parent.clone()
        };
        let transactions = arrange((&header, &self.root), [], &lanes);
        let input = Input {
            header: &header,
            parameters: &self.made.parameters,
            charter: &Charter::ONE_SHARD,
            previous_root: self.root,
            transactions,
        };
        let keys = Keys::default();
        let (execute_ns, execution) = timed(|| Ok(execute_with(&input, &StoredState(&*store), &keys, &Serial)?))?;
        drop(input);
        let work = execution.receipts.iter().map(|receipt| receipt.work).sum();
        let wrong = execution.receipts.iter().find(|receipt| receipt.outcome != case.outcome);
        if let Some(wrong) = wrong.filter(|_| execution.receipts.len() == case.senders) {
            return Err(format!("{}: the outcome is {:?}", case.name, wrong.outcome).into());
        }
        if !execution.skipped.is_empty() {
            return Err(format!("{}: {:?}", case.name, execution.skipped[0].1).into());
        }
        let [lane] = lanes;
        let parts = (lane, execution.receipts, execution.diff);
        let commit = self.commit_of(header, parts, (execution.link, execution.result_root));
        let (commit_ns, ()) = timed(|| self.write(&store, &commit))?;
        let (tree_ns, ()) = timed(|| self.root_tree(&store, &commit))?;
        let all_ns = cpu_ns(ClockId::ProcessCPUTime) - start;
        let memory_bytes = peak_bytes("VmHWM")?.saturating_sub(rss);
        store.sync()?;
        (self.header, self.root) = (commit.block.header, commit.result_root);
        let written_bytes = written_bytes()? - written;
        let signature_ns = (before + self.signature_ns()) / 2;
        Ok(Spent { work, all_ns, check_ns, execute_ns, commit_ns, tree_ns, written_bytes, memory_bytes, signature_ns })
    }

    /// Returns the processor time of one signature that is checked alone: it tells how much others slow this machine down.
    fn signature_ns(&self) -> u64 {
        let (key, signature) = (self.author.public(), self.author.sign(b"work"));
        let start = cpu_ns(ClockId::ThreadCPUTime);
        let held = (0..SIGNATURES).all(|_| verify(black_box(&key), b"work", black_box(&signature)));
        assert!(held, "an own signature holds");
        (cpu_ns(ClockId::ThreadCPUTime) - start) / SIGNATURES
    }

    fn check(&self, batches: Vec<Vec<u8>>) -> Outcome<Vec<Arc<CheckedBatch>>> {
        let author = self.author.public();
        let check = |bytes: Vec<u8>| {
            let batch: Batch = decode(&bytes, BATCH_BYTES_MAX)?;
            Ok(Arc::new(verify_batch(&author, batch).ok_or("a signature is bad")?))
        };
        batches.into_iter().map(check).collect()
    }

    fn commit_of(
        &self,
        header: Header,
        (batches, receipts, diff): (Vec<Arc<CheckedBatch>>, Vec<Receipt>, Vec<LeafWrite>),
        (link, result_root): (ResultLink, Hash),
    ) -> HeightCommit {
        let digest = block_digest(&header);
        let block = Block { header, inline: BoundedVec::default() };
        HeightCommit {
            digest,
            block,
            inline_ids: Vec::new(),
            batches,
            receipts,
            diff,
            link,
            result_root,
            finalization: None,
        }
    }

    fn write(&self, store: &Arc<dyn Store>, commit: &HeightCommit) -> Outcome<()> {
        store.put_tree_writes(commit.block.header.height, &tree_writes(&commit.diff))?;
        Ok(store.commit(commit)?)
    }

    fn root_tree(&self, store: &Arc<dyn Store>, commit: &HeightCommit) -> Outcome<()> {
        let diff = update(&self.tables, &Tree(store.clone()), &tree_writes(&commit.diff), &Serial)?;
        let top = (TOP_KEY.to_vec(), Some(Slot::Child(diff.top).to_row()));
        let rows = diff.rows.into_iter().map(|(id, slot)| (id.to_bytes(), slot.map(|slot| slot.to_row())));
        let rows: Vec<TreeRow> = rows.chain([top]).collect();
        Ok(store.fold_tree(commit.block.header.height, &rows)?)
    }
}

/// Returns the processor time of this clock, ns.
fn cpu_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(u64, T)> {
    let start = cpu_ns(ClockId::ThreadCPUTime);
    let done = work()?;
    Ok((cpu_ns(ClockId::ThreadCPUTime) - start, done))
}

fn field(path: &str, name: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("a line of /proc is missing")?;
    Ok(line.trim_start_matches(':').split_whitespace().next().ok_or("a value of /proc is missing")?.parse()?)
}

/// Returns the bytes that this process has written so far, also those that are in the page cache.
fn written_bytes() -> Outcome<u64> {
    field("/proc/self/io", "wchar")
}

fn peak_bytes(name: &str) -> Outcome<u64> {
    Ok(field("/proc/self/status", name)? * 1024)
}

/// Lets the peak of memory begin again, and returns the memory in use.
fn forget_peak() -> Outcome<u64> {
    std::fs::write("/proc/self/clear_refs", "5")?;
    peak_bytes("VmRSS")
}
