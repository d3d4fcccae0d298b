//! `RocksStore`: the store on RocksDB, one write batch per height.
//!
//! *Invariants:* readers see a height with all its parts or not at all; the cache changes only after the write
//! succeeded; every row except the format's is sealed; a thread that writes a row holds the writer's lock.

mod checkpoint;
mod commit;
mod disk;
mod epochs;
mod filter;
mod history;
mod log;
pub(crate) mod manifest;
mod options;
mod pruning;
mod recent;
mod records;
mod rekey;
mod rollback;
mod rotation;
mod synced;
mod tree;
mod versions;

pub use commit::first_of_version_2;
pub use rollback::Changes;
pub use rotation::Rotation;

use crate::cache::{RowCache, StateCache};
use crate::checks::{check_commit, tip_after};
use crate::files;
use crate::keyfile::KeyFile;
use crate::rowkeys::RowKeys;
use crate::rows::{self, Scratch, Table, Trail};
use crate::store::{
    ACCOUNT_TRANSACTIONS_MAX, HeightCommit, LINKS_MAX, StateAtTip, Store, StoreError, StoreStats, StoredBlock,
    StoredLink, StoredTransaction, Tip,
};
use disk::{Disk, failure, opening_failure, row_failure};
use filter::NeededFrom;
use parking_lot::{Mutex, RwLock};
use recent::Recent;
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, Direction, IteratorMode, ReadOptions};
use rustorium_crypto::seal::AtRest;
use rustorium_types::{
    AccountId, Batch, BatchDigest, Block, BlockDigest, Certificate, Height, LimitedValue, StateKey, TxId,
};
use std::collections::VecDeque;
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
    /// The first height in format 5; the largest number if there is none.
    five_from: AtomicU64,
    /// The newest heights in format 5.
    recent: RwLock<Recent>,
    /// The trails that earlier readers of rows in format 5 have rebuilt.
    walks: Mutex<VecDeque<Trail>>,
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
            five_from: AtomicU64::new(u64::MAX),
            recent: RwLock::default(),
            walks: Mutex::default(),
            writer: Mutex::new(Scratch::default()),
            rotation: Mutex::new(None),
            sequence: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            commit_us: AtomicU64::new(0),
            commit_bytes: AtomicU64::new(0),
        };
        store.read_five()?;
        *store.tip.write() = store.read_tip()?.map(Arc::new);
        *store.rotation.lock() = store.read_rotation()?;
        if !to_read {
            store.go_on_rekeying(at_rest)?;
        }
        Ok(store)
    }

    fn read_tip(&self) -> Result<Option<Tip>, StoreError> {
        if self.five_from.load(Ordering::Acquire) != u64::MAX {
            return self.read_tip_5().map(Some);
        }
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

    /// Returns the stored finalization of the lowest height from `height` on.
    fn stored_finalization(&self, height: Height) -> Result<Option<(Height, Certificate)>, StoreError> {
        let from = rows::finalization_key(height);
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
}

/// Opens the store's keys. A store without a format is new.
fn open_keys(db: &DB, path: &Path, at_rest: &AtRest) -> Result<RowKeys, StoreError> {
    match db.get(rows::FORMAT_KEY).map_err(|e| row_failure(path, Table::Meta, rows::FORMAT_KEY, &e))? {
        Some(row) => match rows::decode_format(&row)? {
            rows::FORMAT | rows::FORMAT_4 => RowKeys::open(path, at_rest, false),
            found => Err(StoreError::Format { path: path.display().to_string(), found, supported: rows::FORMAT }),
        },
        None => {
            let keys = RowKeys::open(path, at_rest, true)?;
            db.put(rows::FORMAT_KEY, rows::format_row(rows::FORMAT_4)).map_err(|e| failure(path, e.as_ref()))?;
            Ok(keys)
        }
    }
}

impl Store for RocksStore {
    fn commit(&self, commit: &HeightCommit) -> Result<(), StoreError> {
        let start = Instant::now();
        let mut scratch = self.writer.lock();
        let previous = self.tip.read().clone();
        check_commit(previous.as_deref(), commit)?;
        let tip = tip_after(previous.as_deref(), commit);
        self.sequence.fetch_add(1, Ordering::AcqRel);
        let written = self.write(commit, (previous.as_deref(), &tip), &mut scratch);
        if let Ok(plan) = written {
            self.follow(commit, &tip, plan);
        }
        if written.is_ok() {
            for write in &commit.diff {
                self.cache.put(write.key, write.value.as_deref());
            }
            *self.tip.write() = Some(Arc::new(tip));
        }
        self.sequence.fetch_add(1, Ordering::AcqRel);
        self.commits.fetch_add(u64::from(written.is_ok()), Ordering::Relaxed);
        self.commit_us.fetch_add(start.elapsed().as_micros() as u64, Ordering::Relaxed);
        written.map(drop)
    }

    fn sync(&self) -> Result<Height, StoreError> {
        let height = self.tip.read().as_ref().map_or(Height(0), |tip| tip.height);
        self.put_newest_finalization()?;
        self.disk.sync()?;
        Ok(height)
    }

    fn tip(&self) -> Option<Tip> {
        self.tip.read().as_deref().cloned()
    }

    fn state(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.cache.get_or_read(key, || Ok(self.disk.leaf(key, Height(u64::MAX))?.map(|leaf| leaf.value)))
    }

    fn state_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StoreError> {
        self.cache.get_or_read_within(key, bytes_max, || self.disk.leaf_within(key, bytes_max))
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
        if self.is_five(height) {
            return self.block_5(height);
        }
        let Some((head, block)) = self.stored(height)? else { return Ok(None) };
        let key = rows::receipts_key(height);
        let row = self.disk.expect(Table::Log, &key);
        self.disk.check_kept(height)?;
        let receipts = rows::decode_receipts(&key, &row?)?;
        let rows::BlockHead { digest, link: StoredLink { link, result_root }, batches } = head;
        Ok(Some(StoredBlock { block, digest, link, result_root, batches, receipts }))
    }

    fn bare_block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        if self.is_five(height) {
            return self.bare_block_5(height);
        }
        Ok(self.stored(height)?.map(|(_, block)| block))
    }

    fn links(&self, first: Height, last: Height) -> Result<Vec<StoredLink>, StoreError> {
        let (mut links, mut trail) = (Vec::new(), None);
        for height in (first.0..=last.0).take(LINKS_MAX) {
            if self.is_five(Height(height)) {
                let Some(link) = self.link_5(Height(height), &mut trail, first.next())? else { break };
                links.push(link);
                continue;
            }
            let key = rows::block_key(Height(height));
            let Some(row) = self.disk.get(Table::Log, &key)? else { break };
            links.push(rows::decode_block(&key, &row, false)?.0.link);
        }
        // The height below the oldest also stays: a receipt's proof begins with its root.
        self.disk.check_kept(first.next())?;
        Ok(links)
    }

    fn height_of(&self, digest: &BlockDigest) -> Result<Option<Height>, StoreError> {
        if let Some(height) = self.height_of_5(digest)? {
            return Ok(Some(height));
        }
        if !self.has_four() {
            return Ok(None);
        }
        let found = self.disk.named(&rows::block_name(self.disk.keys.names(), digest))?;
        Ok(found.map(|(height, _)| height))
    }

    fn batch(&self, digest: &BatchDigest) -> Result<Option<Batch>, StoreError> {
        if let Some(found) = self.batch_5(digest)? {
            return Ok(Some(found));
        }
        if !self.has_four() {
            return Ok(None);
        }
        let name = rows::batch_name(self.disk.keys.names(), digest);
        let Some((height, (key, contents))) = self.disk.named(&name)? else { return Ok(None) };
        let key = rows::batch_key(height, rows::decode_row(Table::Index, &key, &contents)?);
        let Some(row) = self.disk.expect_kept(height, &key)? else { return Ok(None) };
        rows::decode_row(Table::Log, &key, &row).map(Some)
    }

    fn transaction(&self, id: &TxId) -> Result<Option<StoredTransaction>, StoreError> {
        if let Some(found) = self.transaction_5(id)? {
            return Ok(Some(found));
        }
        if !self.has_four() {
            return Ok(None);
        }
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
        let mut found = Vec::new();
        self.account_transactions_5(account, before, limit, &mut found)?;
        if !self.has_four() {
            return Ok(found);
        }
        let names = self.disk.keys.names();
        let name = rows::account_name(names, account);
        let from = rows::index_key(&name, before.map_or(Height(u64::MAX), |(height, _)| height));
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.set_iterate_lower_bound(rows::index_key(&name, self.disk.floor()));
        let mode = IteratorMode::From(&from, Direction::Reverse);
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
        let from = height.max(self.disk.floor());
        let recent = self.recent.read().finalization(from);
        if let Some((found, certificate)) = recent.as_ref().filter(|(found, _)| *found == from) {
            return Ok(Some((*found, Certificate::clone(certificate))));
        }
        let stored = self.stored_finalization(from)?;
        let recent = recent.map(|(found, certificate)| (found, Certificate::clone(&certificate)));
        Ok([stored, recent].into_iter().flatten().min_by_key(|(found, _)| *found))
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
