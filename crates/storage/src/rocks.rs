//! `RocksStore`: the store on RocksDB, one write batch per height.
//!
//! *Invariants:* readers see a height with all its parts or not at all; the cache changes only after the write
//! succeeded; every row except the format's is sealed; a thread that writes a row holds the writer's lock.

mod checkpoint;
mod disk;
mod epochs;
mod filter;
mod history;
pub(crate) mod manifest;
mod options;
mod pruning;
mod records;
mod rekey;
mod rollback;
mod rotation;
mod synced;
mod tree;
mod versions;

pub use rollback::Changes;
pub use rotation::Rotation;

use crate::cache::{RowCache, StateCache};
use crate::files;
use crate::keyfile::KeyFile;
use crate::rowkeys::RowKeys;
use crate::rows::{self, Scratch, Table};
use crate::store::{
    ACCOUNT_TRANSACTIONS_MAX, HeightCommit, LINKS_MAX, StateAtTip, Store, StoreError, StoreStats, StoredBlock,
    StoredLink, StoredTransaction, Tip, check_commit, tip_after,
};
use disk::{Disk, failure, opening_failure, row_failure};
use filter::NeededFrom;
use parking_lot::{Mutex, RwLock};
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, Direction, IteratorMode, ReadOptions, WriteBatch};
use rustorium_crypto::seal::AtRest;
use rustorium_types::{AccountId, Batch, BatchDigest, Block, BlockDigest, Certificate, Height, StateKey, TxId};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Memory and threads that a `RocksStore` may use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreConfig {
    /// Bytes of state leaves kept in memory.
    pub cache_bytes: usize,
    /// Bytes of the state tree's rows kept in memory: those near the top are read in every root period.
    pub tree_cache_bytes: usize,
    /// Bytes of RocksDB's blocks, indexes and filters kept in memory.
    pub block_cache_bytes: usize,
    /// Bytes of newest rows kept in memory before they are written to table files.
    pub write_buffer_bytes: usize,
    /// Threads that flush and compact.
    pub background_jobs: i32,
    /// Table files open at once.
    pub open_files_max: i32,
    /// Number of kept roots, at which the state can be proved.
    pub roots_kept: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            tree_cache_bytes: 24 << 20,
            block_cache_bytes: 32 << 20,
            write_buffer_bytes: 32 << 20,
            background_jobs: 2,
            open_files_max: 512,
            roots_kept: 100,
        }
    }
}

/// A store in a folder of its own.
pub struct RocksStore {
    disk: Arc<Disk>,
    roots_kept: usize,
    /// The keys below which files were removed, in the tables `log` and `undo`.
    files_removed: Mutex<[[u8; 8]; 2]>,
    cache: StateCache,
    /// Cached rows of the tree's base.
    tree_rows: RowCache<Vec<u8>>,
    tip: RwLock<Option<Arc<Tip>>>,
    writer: Mutex<Scratch>,
    rotation: Mutex<Option<rotation::Cursor>>,
    /// A counter that is odd while a commit is under way.
    sequence: AtomicU64,
    commits: AtomicU64,
    commit_us: AtomicU64,
    commit_bytes: AtomicU64,
}

impl RocksStore {
    /// Opens the store in the folder, created if missing. Errors: another process has it open; it has another format,
    /// another key or another chain; its key file is missing; it is damaged; the disk is full.
    pub fn open(path: &Path, config: &StoreConfig, at_rest: &AtRest) -> Result<Self, StoreError> {
        Self::open_as(path, config, at_rest, false)
    }

    /// Opens a store that no process writes to, only for reading: no row and no file of it changes. Errors: those of
    /// `open`.
    pub fn open_to_read(path: &Path, config: &StoreConfig, at_rest: &AtRest) -> Result<Self, StoreError> {
        Self::open_as(path, config, at_rest, true)
    }

    fn open_as(path: &Path, config: &StoreConfig, at_rest: &AtRest, to_read: bool) -> Result<Self, StoreError> {
        files::private_folder(path)
            .map_err(|e| StoreError::Io { path: path.display().to_string(), reason: e.to_string() })?;
        KeyFile::check_format(path, at_rest)?;
        manifest::check(path)?;
        records::check(path)?;
        let blocks = Cache::new_lru_cache(config.block_cache_bytes);
        let needed = Arc::<NeededFrom>::default();
        let options = |table| options::table_options(table, config, &blocks, &needed);
        let families = Table::ALL.map(|table| ColumnFamilyDescriptor::new(table.name(), options(table)));
        let database = options::database_options(config);
        let db = if to_read {
            DB::open_cf_descriptors_read_only(&database, path, families, false)
        } else {
            DB::open_cf_descriptors(&database, path, families)
        };
        let db = db.map_err(|e| opening_failure(path, e.as_ref()))?;
        let keys = open_keys(&db, path, at_rest)?;
        let store = Self {
            disk: Arc::new(Disk::new(db, path, keys, needed)?),
            roots_kept: config.roots_kept,
            files_removed: Mutex::default(),
            cache: StateCache::new(config.cache_bytes),
            tree_rows: RowCache::new(config.tree_cache_bytes),
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
        if !to_read {
            store.go_on_rekeying(at_rest)?;
        }
        Ok(store)
    }

    fn read_tip(&self) -> Result<Option<Tip>, StoreError> {
        let Some(row) = self.disk.get(Table::Meta, rows::TIP_KEY)? else { return Ok(None) };
        let (height, payload_height): (Height, Height) = rows::decode_row(Table::Meta, rows::TIP_KEY, &row)?;
        let key = rows::block_key(height);
        let row = self.disk.get(Table::Log, &key)?;
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

    fn stored(&self, height: Height) -> Result<Option<(rows::BlockHead, Block)>, StoreError> {
        let key = rows::block_key(height);
        let row = self.disk.get(Table::Log, &key);
        self.disk.check_kept(height)?;
        let Some(row) = row? else { return Ok(None) };
        let (head, block) = rows::decode_block(&key, &row, true)?;
        Ok(block.map(|block| (head, block)))
    }

    fn write(&self, commit: &HeightCommit, tip: &Tip, scratch: &mut Scratch) -> Result<(), StoreError> {
        let families = [
            self.disk.family(Table::Meta)?,
            self.disk.family(Table::Log)?,
            self.disk.family(Table::Index)?,
            self.disk.family(Table::State)?,
        ];
        let sealer = self.disk.keys.sealer()?;
        let mut batch = WriteBatch::with_capacity_bytes(expected_bytes(commit));
        let mut index = IndexRows::default();
        rows::encode_height(commit, tip, self.disk.keys.names(), scratch, &mut |table, key, row| {
            if table == Table::Index {
                index.push(key, row);
                return Ok(());
            }
            sealer.seal(table, key, row)?;
            batch.put_cf(families[table as usize], key, row);
            Ok(())
        })?;
        index.sorted(|key, row| {
            sealer.seal(Table::Index, key, row)?;
            batch.put_cf(families[Table::Index as usize], key, row);
            Ok(())
        })?;
        self.commit_bytes.fetch_add(batch.size_in_bytes() as u64, Ordering::Relaxed);
        self.disk.write(batch)
    }
}

/// Unordered rows that are written in the order of their keys: the next row's place in memory is then near.
#[derive(Default)]
struct IndexRows {
    /// Keys and rows, one after the other.
    bytes: Vec<u8>,
    /// For each row: start of its key, start of the row, end of the row.
    places: Vec<[usize; 3]>,
}

impl IndexRows {
    fn push(&mut self, key: &[u8], row: &[u8]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(row);
        self.places.push([at, at + key.len(), self.bytes.len()]);
    }

    fn sorted(mut self, mut put: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.places.sort_unstable_by(|a, b| self.bytes[a[0]..a[1]].cmp(&self.bytes[b[0]..b[1]]));
        let mut row = Vec::new();
        for [key, contents, end] in self.places {
            row.clear();
            row.extend_from_slice(&self.bytes[contents..end]);
            put(&self.bytes[key..contents], &mut row)?;
        }
        Ok(())
    }
}

/// Opens the store's keys. A store without a format is new.
fn open_keys(db: &DB, path: &Path, at_rest: &AtRest) -> Result<RowKeys, StoreError> {
    match db.get(rows::FORMAT_KEY).map_err(|e| row_failure(path, Table::Meta, rows::FORMAT_KEY, &e))? {
        Some(row) => match rows::decode_format(&row)? {
            found if found == rows::FORMAT => RowKeys::open(path, at_rest, false),
            found => Err(StoreError::Format { path: path.display().to_string(), found, supported: rows::FORMAT }),
        },
        None => {
            let keys = RowKeys::open(path, at_rest, true)?;
            db.put(rows::FORMAT_KEY, rows::format_row()).map_err(|e| failure(path, e.as_ref()))?;
            Ok(keys)
        }
    }
}

/// Estimates the bytes of the height's rows, so that the batch grows only once.
fn expected_bytes(commit: &HeightCommit) -> usize {
    let state: usize = commit.diff.iter().map(|w| 112 + w.name.len() + w.value.as_ref().map_or(0, Vec::len)).sum();
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
            for write in &commit.diff {
                self.cache.put(write.key, write.value.as_deref());
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
        self.disk.sync()?;
        Ok(height)
    }

    fn tip(&self) -> Option<Tip> {
        self.tip.read().as_deref().cloned()
    }

    fn state(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.cache.get_or_read(key, || Ok(self.disk.leaf(key, Height(u64::MAX))?.map(|leaf| leaf.value)))
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
        // Commits follow each other closely. Read between two of them, under the writer's lock.
        let _turn = self.writer.lock();
        read()
    }

    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        let Some((head, block)) = self.stored(height)? else { return Ok(None) };
        let key = rows::receipts_key(height);
        let row = self.disk.expect(Table::Log, &key);
        self.disk.check_kept(height)?;
        let receipts = rows::decode_receipts(&key, &row?)?;
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
            let Some(row) = self.disk.get(Table::Log, &key)? else { break };
            links.push(rows::decode_block(&key, &row, false)?.0.link);
        }
        // The height below the oldest also stays: a receipt's proof begins with its root.
        self.disk.check_kept(first.next())?;
        Ok(links)
    }

    fn height_of(&self, digest: &BlockDigest) -> Result<Option<Height>, StoreError> {
        let found = self.disk.named(&rows::block_name(self.disk.keys.names(), digest))?;
        Ok(found.map(|(height, _)| height))
    }

    fn batch(&self, digest: &BatchDigest) -> Result<Option<Batch>, StoreError> {
        let name = rows::batch_name(self.disk.keys.names(), digest);
        let Some((height, (key, contents))) = self.disk.named(&name)? else { return Ok(None) };
        let key = rows::batch_key(height, rows::decode_row(Table::Index, &key, &contents)?);
        let Some(row) = self.disk.expect_kept(height, &key)? else { return Ok(None) };
        rows::decode_row(Table::Log, &key, &row).map(Some)
    }

    fn transaction(&self, id: &TxId) -> Result<Option<StoredTransaction>, StoreError> {
        let name = rows::transaction_name(self.disk.keys.names(), id);
        let Some((height, (key, contents))) = self.disk.named(&name)? else { return Ok(None) };
        let place = rows::decode_place(&key, &contents)?;
        let (receipts, listed) = (rows::receipts_key(height), place.batch);
        let listed = listed.map_or(rows::block_key(height), |n| rows::batch_key(height, n));
        let Some(row) = self.disk.expect_kept(height, &receipts)? else { return Ok(None) };
        let receipt = rows::decode_at(Table::Log, &receipts, &row, place.receipt_at)?;
        let Some(row) = self.disk.expect_kept(height, &listed)? else { return Ok(None) };
        let transaction = rows::decode_at(Table::Log, &listed, &row, place.transaction_at)?;
        Ok(Some(StoredTransaction { transaction, receipt }))
    }

    fn account_transactions(
        &self,
        account: &AccountId,
        before: Option<(Height, u32)>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, StoreError> {
        let limit = limit.min(ACCOUNT_TRANSACTIONS_MAX);
        let names = self.disk.keys.names();
        let name = rows::account_name(names, account);
        let from = rows::index_key(&name, before.map_or(Height(u64::MAX), |(height, _)| height));
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.set_iterate_lower_bound(rows::index_key(&name, self.disk.floor()));
        let mode = IteratorMode::From(&from, Direction::Reverse);
        let mut found = Vec::new();
        for item in self.disk.db.iterator_cf_opt(self.disk.family(Table::Index)?, options, mode) {
            if found.len() >= limit {
                break;
            }
            let (key, row) = item.map_err(|e| self.disk.row_failure(Table::Index, &from, &e))?;
            let height = rows::index_height(&key)?;
            let entries = rows::account_entries(&key, &self.disk.keys.open_row(Table::Index, &key, &row)?)?;
            let older = entries.into_iter().rev().filter(|(i, _)| before.is_none_or(|before| (height, *i) < before));
            found.extend(older.take(limit - found.len()).map(|(index, id)| (height, index, id)));
        }
        Ok(found)
    }

    fn finalization_at_or_above(&self, height: Height) -> Result<Option<(Height, Certificate)>, StoreError> {
        let from = rows::finalization_key(height.max(self.disk.floor()));
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(b"g");
        let mode = IteratorMode::From(&from, Direction::Forward);
        let mut items = self.disk.db.iterator_cf_opt(self.disk.family(Table::Meta)?, options, mode);
        let Some(item) = items.next() else { return Ok(None) };
        let (key, row) = item.map_err(|e| self.disk.row_failure(Table::Meta, &from, &e))?;
        let Some(height) = rows::finalization_height(&key) else {
            return Err(rows::corrupt(Table::Meta, &key, "its key's length is wrong".into()));
        };
        let contents = self.disk.keys.open_row(Table::Meta, &key, &row)?;
        Ok(Some((height, rows::decode_row(Table::Meta, &key, &contents)?)))
    }

    fn put_finalization(&self, height: Height, certificate: &Certificate) -> Result<(), StoreError> {
        self.disk.check_kept(height)?;
        if self.height_of(&certificate.body.block)? != Some(height) {
            return Err(StoreError::Inconsistent { height, what: "the finalization is another block's" });
        }
        let _writer = self.writer.lock();
        let (key, mut row) = (rows::finalization_key(height), Vec::new());
        rows::start_row(&mut row);
        rustorium_types::encode_into(certificate, &mut row);
        self.disk.keys.sealer()?.seal(Table::Meta, &key, &mut row)?;
        let put = self.disk.db.put_cf(self.disk.family(Table::Meta)?, key, &row);
        put.map_err(|e| failure(&self.disk.path, e.as_ref()))
    }

    fn damaged(&self) -> Option<StoreError> {
        self.disk.keys.damage()
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

#[cfg(test)]
mod tests;
