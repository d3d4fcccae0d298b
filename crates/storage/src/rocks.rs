//! `RocksStore`: the store on RocksDB, one write batch per height.
//!
//! *Invariants:* readers see a height with all its parts or not at all; the cache changes only after the write succeeded;
//! every row but the format's is sealed, and whoever writes one holds the writer's lock.

mod options;
mod rotation;

pub use rotation::Rotation;
mod tree;

use crate::cache::StateCache;
use crate::files;
use crate::rowkeys::RowKeys;
use crate::rows::{self, Scratch, Table};
use crate::store::{
    ACCOUNT_TRANSACTIONS_MAX, HeightCommit, LINKS_MAX, StateAtTip, Store, StoreError, StoreStats, StoredBlock,
    StoredLink, StoredTransaction, Tip, check_commit, tip_after,
};
use parking_lot::{Mutex, RwLock};
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBPinnableSlice, Direction, ErrorKind, IteratorMode, ReadOptions,
    WriteBatch,
};
use rustorium_crypto::seal::AtRest;
use rustorium_types::{AccountId, Batch, BatchDigest, Block, BlockDigest, Certificate, Height, StateKey, TxId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Memory and threads that a `RocksStore` may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreConfig {
    /// Bytes of state leaves kept in memory.
    pub cache_bytes: usize,
    /// Bytes of RocksDB's blocks, indexes and filters kept in memory.
    pub block_cache_bytes: usize,
    /// Bytes of newest rows kept in memory before they are written to table files.
    pub write_buffer_bytes: usize,
    /// Threads that flush and compact.
    pub background_jobs: i32,
    /// Table files open at once.
    pub open_files_max: i32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            block_cache_bytes: 32 << 20,
            write_buffer_bytes: 32 << 20,
            background_jobs: 2,
            open_files_max: 512,
        }
    }
}

/// A store in a folder of its own.
pub struct RocksStore {
    db: DB,
    path: PathBuf,
    keys: RowKeys,
    cache: StateCache,
    tip: RwLock<Option<Arc<Tip>>>,
    writer: Mutex<Scratch>,
    rotation: Mutex<Option<rotation::Cursor>>,
    /// Odd while a commit is under way.
    sequence: AtomicU64,
    commits: AtomicU64,
    commit_us: AtomicU64,
    commit_bytes: AtomicU64,
}

impl RocksStore {
    /// Opens the store in the folder, made where missing. Errors: open elsewhere, another format, sealed under another key
    /// or for another chain, without its key file, damaged, a full disk.
    pub fn open(path: &Path, config: &StoreConfig, at_rest: &AtRest) -> Result<Self, StoreError> {
        files::private_folder(path)
            .map_err(|e| StoreError::Io { path: path.display().to_string(), reason: e.to_string() })?;
        let blocks = Cache::new_lru_cache(config.block_cache_bytes);
        let families =
            Table::ALL.map(|t| ColumnFamilyDescriptor::new(t.name(), options::table_options(t, config, &blocks)));
        let db = DB::open_cf_descriptors(&options::database_options(config), path, families)
            .map_err(|e| failure(path, e.as_ref()))?;
        let store = Self {
            keys: open_keys(&db, path, at_rest)?,
            db,
            path: path.to_owned(),
            cache: StateCache::new(config.cache_bytes),
            tip: RwLock::new(None),
            writer: Mutex::new(Scratch::default()),
            rotation: Mutex::new(None),
            sequence: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            commit_us: AtomicU64::new(0),
            commit_bytes: AtomicU64::new(0),
        };
        *store.tip.write() = store.read_tip()?.map(Arc::new);
        *store.rotation.lock() = store.read_rotation()?;
        Ok(store)
    }

    fn read_tip(&self) -> Result<Option<Tip>, StoreError> {
        let Some(row) = self.get(Table::Meta, rows::TIP_KEY)? else { return Ok(None) };
        let (height, payload_height): (Height, Height) = rows::decode_row(Table::Meta, rows::TIP_KEY, &row)?;
        let key = rows::block_key(height);
        let row = self.get(Table::Log, &key)?;
        let row = row.ok_or_else(|| rows::corrupt(Table::Log, &key, "it is missing, and it is the tip".into()))?;
        let (head, block) = rows::decode_block(&key, &row, true)?;
        Ok(block.map(|block| Tip {
            height,
            digest: head.digest,
            header: block.header,
            result_root: head.link.result_root,
            payload_height,
        }))
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(table.name()).ok_or_else(|| rows::corrupt(table, &[], "the table is missing".into()))
    }

    fn get_sealed(&self, table: Table, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        self.db.get_pinned_cf(self.family(table)?, key).map_err(|e| row_failure(&self.path, table, key, &e))
    }

    /// A row's contents.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_sealed(table, key)?.map(|row| self.keys.open_row(table, key, &row)).transpose()
    }

    /// A row that another row says exists.
    fn expect(&self, table: Table, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.get(table, key)?.ok_or_else(|| rows::corrupt(table, key, "it is missing, and an index names it".into()))
    }

    fn stored(&self, height: Height) -> Result<Option<(rows::BlockHead, Block)>, StoreError> {
        let key = rows::block_key(height);
        let Some(row) = self.get(Table::Log, &key)? else { return Ok(None) };
        let (head, block) = rows::decode_block(&key, &row, true)?;
        Ok(block.map(|block| (head, block)))
    }

    fn write(&self, commit: &HeightCommit, tip: &Tip, scratch: &mut Scratch) -> Result<(), StoreError> {
        let families = [
            self.family(Table::Meta)?,
            self.family(Table::Log)?,
            self.family(Table::Index)?,
            self.family(Table::State)?,
        ];
        let sealer = self.keys.sealer()?;
        let mut batch = WriteBatch::with_capacity_bytes(expected_bytes(commit));
        rows::encode_height(commit, tip, self.keys.names(), scratch, &mut |table, key, row| {
            sealer.seal(table, key, row)?;
            batch.put_cf(families[table as usize], key, row);
            Ok(())
        })?;
        for (key, _) in commit.diff.iter().filter(|(_, value)| value.is_none()) {
            batch.delete_cf(families[Table::State as usize], key.to_bytes());
        }
        self.commit_bytes.fetch_add(batch.size_in_bytes() as u64, Ordering::Relaxed);
        self.db.write(batch).map_err(|e| failure(&self.path, e.as_ref()))
    }
}

/// The store's keys; a store without a format is new.
fn open_keys(db: &DB, path: &Path, at_rest: &AtRest) -> Result<RowKeys, StoreError> {
    match db.get(rows::FORMAT_KEY).map_err(|e| row_failure(path, Table::Meta, rows::FORMAT_KEY, &e))? {
        Some(row) => match rows::decode_format(&row)? {
            rows::FORMAT => RowKeys::open(path, at_rest, false),
            found => Err(StoreError::Format { found, supported: rows::FORMAT }),
        },
        None => {
            let keys = RowKeys::open(path, at_rest, true)?;
            db.put(rows::FORMAT_KEY, rows::format_row()).map_err(|e| failure(path, e.as_ref()))?;
            Ok(keys)
        }
    }
}

/// About as many bytes as the height's rows have, so that the batch grows once.
fn expected_bytes(commit: &HeightCommit) -> usize {
    let state: usize = commit.diff.iter().map(|(_, value)| 80 + value.as_ref().map_or(0, Vec::len)).sum();
    let listed: usize = commit.batches.iter().map(|batch| batch.ids.len()).sum();
    2048 + state + 640 * (listed + commit.inline_ids.len())
}

impl Store for RocksStore {
    fn commit(&self, commit: &HeightCommit) -> Result<(), StoreError> {
        let start = Instant::now();
        let mut scratch = self.writer.lock();
        let previous = self.tip.read().clone();
        check_commit(previous.as_deref(), commit)?;
        let tip = tip_after(previous.as_deref(), commit);
        self.sequence.fetch_add(1, Ordering::AcqRel);
        let written = self.write(commit, &tip, &mut scratch);
        if written.is_ok() {
            for (key, value) in &commit.diff {
                self.cache.put(*key, value.as_deref());
            }
            *self.tip.write() = Some(Arc::new(tip));
        }
        self.sequence.fetch_add(1, Ordering::AcqRel);
        self.commits.fetch_add(u64::from(written.is_ok()), Ordering::Relaxed);
        self.commit_us.fetch_add(start.elapsed().as_micros() as u64, Ordering::Relaxed);
        written
    }

    fn sync(&self) -> Result<Height, StoreError> {
        let height = self.tip.read().as_ref().map_or(Height(0), |tip| tip.height);
        self.db.flush_wal(true).map_err(|e| failure(&self.path, e.as_ref()))?;
        Ok(height)
    }

    fn tip(&self) -> Option<Tip> {
        self.tip.read().as_deref().cloned()
    }

    fn state(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.cache.get_or_read(key, || self.get(Table::State, &key.to_bytes()))
    }

    fn state_at_tip(&self, keys: &[StateKey]) -> Result<StateAtTip, StoreError> {
        let read = || {
            let values = keys.iter().map(|key| self.state(key)).collect::<Result<_, _>>()?;
            Ok(StateAtTip { values, tip: self.tip() })
        };
        for _ in 0..4 {
            let before = self.sequence.load(Ordering::Acquire);
            let answer = read()?;
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Acquire) == before {
                return Ok(answer);
            }
        }
        // Commits follow each other closely: take a turn between two of them.
        let _turn = self.writer.lock();
        read()
    }

    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        let Some((head, block)) = self.stored(height)? else { return Ok(None) };
        let key = rows::receipts_key(height);
        let receipts = rows::decode_receipts(&key, &self.expect(Table::Log, &key)?)?;
        let rows::BlockHead { digest, link: StoredLink { link, result_root }, batches } = head;
        Ok(Some(StoredBlock { block, digest, link, result_root, batches, receipts }))
    }

    fn bare_block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        Ok(self.stored(height)?.map(|(_, block)| block))
    }

    fn links(&self, first: Height, last: Height) -> Result<Vec<StoredLink>, StoreError> {
        let mut links = Vec::new();
        for height in (first.0..=last.0).take(LINKS_MAX) {
            let key = rows::block_key(Height(height));
            let Some(row) = self.get(Table::Log, &key)? else { break };
            links.push(rows::decode_block(&key, &row, false)?.0.link);
        }
        Ok(links)
    }

    fn height_of(&self, digest: &BlockDigest) -> Result<Option<Height>, StoreError> {
        let key = rows::block_digest_key(self.keys.names(), digest);
        self.get(Table::Index, &key)?.map(|row| rows::decode_row(Table::Index, &key, &row)).transpose()
    }

    fn batch(&self, digest: &BatchDigest) -> Result<Option<Batch>, StoreError> {
        let key = rows::batch_digest_key(self.keys.names(), digest);
        let Some(row) = self.get(Table::Index, &key)? else { return Ok(None) };
        let (height, n): (Height, u16) = rows::decode_row(Table::Index, &key, &row)?;
        let key = rows::batch_key(height, n);
        rows::decode_row(Table::Log, &key, &self.expect(Table::Log, &key)?).map(Some)
    }

    fn transaction(&self, id: &TxId) -> Result<Option<StoredTransaction>, StoreError> {
        let key = rows::transaction_key(self.keys.names(), id);
        let Some(row) = self.get(Table::Index, &key)? else { return Ok(None) };
        let place = rows::decode_place(&key, &row)?;
        let key = rows::receipts_key(place.height);
        let receipt = rows::decode_at(Table::Log, &key, &self.expect(Table::Log, &key)?, place.receipt_at)?;
        let key = place.batch.map_or(rows::block_key(place.height), |n| rows::batch_key(place.height, n));
        let transaction = rows::decode_at(Table::Log, &key, &self.expect(Table::Log, &key)?, place.transaction_at)?;
        Ok(Some(StoredTransaction { transaction, receipt }))
    }

    fn account_transactions(
        &self,
        account: &AccountId,
        before: Option<(Height, u32)>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, StoreError> {
        let limit = limit.min(ACCOUNT_TRANSACTIONS_MAX);
        let names = self.keys.names();
        let from = rows::account_key(names, account, before.map_or(Height(u64::MAX), |(height, _)| height));
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(rows::account_key(names, account, Height(0)));
        let mode = IteratorMode::From(&from, Direction::Reverse);
        let mut found = Vec::new();
        for item in self.db.iterator_cf_opt(self.family(Table::Index)?, options, mode) {
            if found.len() >= limit {
                break;
            }
            let (key, row) = item.map_err(|e| row_failure(&self.path, Table::Index, &from, &e))?;
            let Some(height) = rows::account_key_height(&key) else {
                return Err(rows::corrupt(Table::Index, &key, "its key's length is wrong".into()));
            };
            let entries = rows::account_entries(&key, &self.keys.open_row(Table::Index, &key, &row)?)?;
            let older = entries.into_iter().rev().filter(|(i, _)| before.is_none_or(|before| (height, *i) < before));
            found.extend(older.take(limit - found.len()).map(|(index, id)| (height, index, id)));
        }
        Ok(found)
    }

    fn finalization_at_or_above(&self, height: Height) -> Result<Option<(Height, Certificate)>, StoreError> {
        let from = rows::finalization_key(height);
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(b"g");
        let mode = IteratorMode::From(&from, Direction::Forward);
        let mut items = self.db.iterator_cf_opt(self.family(Table::Meta)?, options, mode);
        let Some(item) = items.next() else { return Ok(None) };
        let (key, row) = item.map_err(|e| row_failure(&self.path, Table::Meta, &from, &e))?;
        let Some(height) = rows::finalization_height(&key) else {
            return Err(rows::corrupt(Table::Meta, &key, "its key's length is wrong".into()));
        };
        let contents = self.keys.open_row(Table::Meta, &key, &row)?;
        Ok(Some((height, rows::decode_row(Table::Meta, &key, &contents)?)))
    }

    fn put_finalization(&self, height: Height, certificate: &Certificate) -> Result<(), StoreError> {
        if self.height_of(&certificate.body.block)? != Some(height) {
            return Err(StoreError::Inconsistent { height, what: "the finalization is another block's" });
        }
        let _writer = self.writer.lock();
        let (key, mut row) = (rows::finalization_key(height), Vec::new());
        rows::start_row(&mut row);
        rustorium_types::encode_into(certificate, &mut row);
        self.keys.sealer()?.seal(Table::Meta, &key, &mut row)?;
        let put = self.db.put_cf(self.family(Table::Meta)?, key, &row);
        put.map_err(|e| failure(&self.path, e.as_ref()))
    }

    fn stats(&self) -> StoreStats {
        StoreStats {
            cache_hits: self.cache.hits(),
            cache_misses: self.cache.misses(),
            cache_bytes: self.cache.bytes(),
            commits: self.commits.load(Ordering::Relaxed),
            commit_us: self.commit_us.load(Ordering::Relaxed),
            commit_bytes: self.commit_bytes.load(Ordering::Relaxed),
        }
    }
}

/// What a failure of the whole store means to its operator.
fn failure(path: &Path, reason: &str) -> StoreError {
    let path = path.display().to_string();
    let lower = reason.to_ascii_lowercase();
    if lower.contains("no space left") || lower.contains("disk quota exceeded") {
        StoreError::DiskFull { path }
    } else if lower.contains("/lock:") || lower.contains("lock hold by current process") {
        StoreError::Locked { path }
    } else {
        StoreError::Io { path, reason: reason.to_owned() }
    }
}

/// What a failure to read one row means.
fn row_failure(path: &Path, table: Table, key: &[u8], error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => rows::corrupt(table, key, error.to_string()),
        _ => failure(path, error.as_ref()),
    }
}

#[cfg(test)]
mod tests;
