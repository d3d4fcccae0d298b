//! The open database and its keys, shared by the store and its views; and which roots and heights are kept.
//!
//! *Invariants:* reads below the floor are refused before their rows are removed; a kept root that has a view, and all
//! roots above it, stay.

use super::filter::NeededFrom;
use super::manifest::Manifest;
use crate::history::{KeptRange, nearest_root};
use crate::rowkeys::RowKeys;
use crate::rows::{self, IndexPrefix, Table};
use crate::store::StoreError;
use parking_lot::RwLock;
use rocksdb::{
    ColumnFamily, DB, DBPinnableSlice, DBRawIterator, Direction, ErrorKind, IteratorMode, PrefixRange, ReadOptions,
    WriteBatch,
};
use rustorium_types::Height;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open database.
pub(super) struct Disk {
    pub(super) db: DB,
    pub(super) path: PathBuf,
    pub(super) keys: RowKeys,
    /// The oldest kept height. A reader of older rows checks it afterwards.
    floor: AtomicU64,
    /// Height up to which removed leaves are gone from the disk. Changed under the writer's lock.
    pub(super) swept: AtomicU64,
    roots: RwLock<Roots>,
    /// The limits that compaction uses.
    pub(super) needed: Arc<NeededFrom>,
    manifest: Manifest,
}

/// A row after opening: its key and contents.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// The roots at which views are possible.
#[derive(Default)]
struct Roots {
    /// Kept roots, ascending; the last is the tree's base.
    kept: Vec<Height>,
    /// The new base, set before it is written and until it is kept.
    next: Option<Height>,
    /// Number of views of each root.
    views: BTreeMap<Height, usize>,
}

impl Disk {
    pub(super) fn new(db: DB, path: &Path, keys: RowKeys, needed: Arc<NeededFrom>) -> Result<Self, StoreError> {
        let (floor, swept, roots) = (AtomicU64::new(0), AtomicU64::new(0), RwLock::default());
        let manifest = Manifest::new(path);
        let disk = Self { db, path: path.to_owned(), keys, floor, swept, roots, needed, manifest };
        disk.manifest.keep()?;
        if let Some(row) = disk.get(Table::Meta, rows::FLOOR_KEY)? {
            let (floor, swept): (u64, u64) = rows::decode_row(Table::Meta, rows::FLOOR_KEY, &row)?;
            disk.floor.store(floor, Ordering::Release);
            disk.swept.store(swept, Ordering::Release);
        }
        if let Some(row) = disk.get(Table::Meta, rows::TREE_ROOTS_KEY)? {
            disk.roots.write().kept = rows::decode_row(Table::Meta, rows::TREE_ROOTS_KEY, &row)?;
        }
        Ok(disk)
    }

    /// Resets what is kept: the store was filled as of a height, or emptied (`None`).
    pub(super) fn begin_at(&self, height: Option<Height>) {
        let mut roots = self.roots.write();
        roots.kept = height.into_iter().collect();
        roots.next = None;
        let height = height.unwrap_or_default().0;
        self.floor.store(height, Ordering::Release);
        self.swept.store(height, Ordering::Release);
        // Compaction gets its limits again from the next sync.
        self.needed.height.store(0, Ordering::Release);
        self.needed.root.store(0, Ordering::Release);
    }

    pub(super) fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(table.name()).ok_or_else(|| rows::corrupt(table, &[], "the table is missing".into()))
    }

    fn get_sealed(&self, table: Table, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        self.db.get_pinned_cf(self.family(table)?, key).map_err(|e| self.row_failure(table, key, &e))
    }

    /// Returns a row's contents.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_sealed(table, key)?.map(|row| self.keys.open_row(table, key, &row)).transpose()
    }

    /// Returns the contents of a row that must exist, since another row names it.
    pub(super) fn expect(&self, table: Table, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        let missing = || self.keys.note(rows::corrupt(table, key, "it is missing, and an index names it".into()));
        self.get(table, key)?.ok_or_else(missing)
    }

    /// Returns the contents of a row of the log that another row names; `None` if it was pruned since that one was
    /// read.
    pub(super) fn expect_kept(&self, height: Height, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.expect(Table::Log, key);
        if self.check_kept(height).is_err() { Ok(None) } else { row.map(Some) }
    }

    /// Finds the first row at or after `from` that shares the table's prefix with it. Returns its key and contents.
    pub(super) fn first(&self, table: Table, prefix: usize, from: &[u8]) -> Result<Option<Row>, StoreError> {
        let open = |key: &[u8], row: &[u8]| Ok((key.to_vec(), self.keys.open_row(table, key, row)?));
        self.first_sealed(table, prefix, from, open)
    }

    /// Finds the first row at or after `from` that shares the table's prefix with it. Returns what `look` makes of its
    /// key and its sealed row.
    pub(super) fn first_sealed<T>(
        &self,
        table: Table,
        prefix: usize,
        from: &[u8],
        look: impl FnOnce(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let mut found = self.db.raw_iterator_cf_opt(self.family(table)?, options);
        found.seek(from);
        match found.item() {
            Some((key, row)) if key.get(..prefix) == from.get(..prefix) => look(key, row).map(Some),
            Some(_) => Ok(None),
            None => found.status().map(|()| None).map_err(|e| self.row_failure(table, from, &e)),
        }
    }

    /// Finds the first key at or after `from` that shares the table's prefix with it.
    pub(super) fn first_key(&self, table: Table, prefix: usize, from: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let mut found = self.db.raw_iterator_cf_opt(self.family(table)?, options);
        found.seek(from);
        match found.key() {
            Some(key) if key.get(..prefix) == from.get(..prefix) => Ok(Some(key.to_vec())),
            Some(_) => Ok(None),
            None => found.status().map(|()| None).map_err(|e| self.row_failure(table, from, &e)),
        }
    }

    /// Finds the index row of a name. Returns its height, key and contents.
    pub(super) fn named(&self, name: &IndexPrefix) -> Result<Option<(Height, Row)>, StoreError> {
        let found = self.first(Table::Index, rows::NAMED_BYTES, &rows::index_key(name, Height(0)))?;
        let Some(row) = found else { return Ok(None) };
        let height = rows::index_height(&row.0)?;
        Ok((height >= self.floor()).then_some((height, row)))
    }

    /// Iterates over all rows of a table in order, across prefixes.
    pub(super) fn all_of(&self, table: Table) -> Result<DBRawIterator<'_>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.fill_cache(false);
        Ok(self.db.raw_iterator_cf_opt(self.family(table)?, options))
    }

    /// Returns the rows whose keys begin with `prefix` and have one byte more: keys and contents.
    pub(super) fn children(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(PrefixRange(prefix));
        let mode = IteratorMode::From(prefix, Direction::Forward);
        let mut found = Vec::new();
        for item in self.db.iterator_cf_opt(self.family(table)?, options, mode) {
            let (key, row) = item.map_err(|e| self.row_failure(table, prefix, &e))?;
            if key.len() == prefix.len() + 1 {
                let contents = self.keys.open_row(table, &key, &row)?;
                found.push((key.into_vec(), contents));
            }
        }
        Ok(found)
    }

    /// Seals contents and puts the row into a batch.
    pub(super) fn put_sealed(
        &self,
        batch: &mut WriteBatch,
        table: Table,
        key: &[u8],
        contents: &[u8],
    ) -> Result<(), StoreError> {
        let mut row = Vec::with_capacity(contents.len() + 64);
        rows::start_row(&mut row);
        row.extend_from_slice(contents);
        self.keys.sealer()?.seal(table, key, &mut row)?;
        batch.put_cf(self.family(table)?, key, &row);
        Ok(())
    }

    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.db.write(batch).map_err(|e| failure(&self.path, e.as_ref()))
    }

    pub(super) fn row_failure(&self, table: Table, key: &[u8], error: &rocksdb::Error) -> StoreError {
        self.keys.note(row_failure(&self.path, table, key, error))
    }

    /// Makes what was written survive a power cut, and lets compaction drop what is no longer needed.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let KeptRange { oldest_height, roots } = self.kept();
        // Rows that name leaves to be swept are needed until the sweep is done.
        let height = oldest_height.0.min(self.swept.load(Ordering::Acquire));
        self.db.flush_wal(true).map_err(|e| failure(&self.path, e.as_ref()))?;
        self.manifest.keep()?;
        self.needed.height.store(height, Ordering::Release);
        self.needed.root.store(roots.map_or(0, |(oldest, _)| oldest.0), Ordering::Release);
        Ok(())
    }

    /// Raises the floor: older heights are refused from now on. It rises at most to `most`, `step`, the tree's base and
    /// the oldest root with a view. Returns the new floor, and whether it could rise further.
    pub(super) fn raise_floor(&self, most: Height, step: Height) -> (Height, bool) {
        let mut roots = self.roots.write();
        let base = roots.kept.last().copied().unwrap_or(most);
        let viewed = roots.views.keys().next().copied().unwrap_or(most);
        let most = most.min(base).min(viewed).max(self.floor());
        let floor = most.min(step);
        roots.kept.retain(|root| *root >= floor);
        self.floor.store(floor.0, Ordering::Release);
        (floor, floor < most)
    }

    /// Returns the oldest kept height.
    pub(super) fn floor(&self) -> Height {
        Height(self.floor.load(Ordering::Acquire))
    }

    /// Checks that a height is still kept. Called after a read, it proves that the read was valid. Errors: `Pruned`.
    pub(super) fn check_kept(&self, height: Height) -> Result<(), StoreError> {
        let oldest = self.floor();
        if height < oldest { Err(StoreError::Pruned { height, oldest }) } else { Ok(()) }
    }

    pub(super) fn kept(&self) -> KeptRange {
        let roots = self.roots.read();
        KeptRange { oldest_height: self.floor(), roots: roots.kept.first().copied().zip(roots.kept.last().copied()) }
    }

    /// Returns the tree's base: the height whose state the tree's rows represent.
    pub(super) fn base(&self) -> Option<Height> {
        self.roots.read().kept.last().copied()
    }

    /// Returns the kept roots, ascending.
    pub(super) fn roots(&self) -> Vec<Height> {
        self.roots.read().kept.clone()
    }

    /// Keeps a root, and all roots above it, until `view_ends`.
    pub(super) fn view_begins(&self, root: Height) -> Result<(), StoreError> {
        let mut roots = self.roots.write();
        if roots.kept.binary_search(&root).is_err() {
            return Err(StoreError::ProofPruned { height: root, nearest: nearest_root(&roots.kept, root) });
        }
        *roots.views.entry(root).or_default() += 1;
        Ok(())
    }

    pub(super) fn view_ends(&self, root: Height) {
        let mut roots = self.roots.write();
        if let Some(count) = roots.views.get_mut(&root) {
            *count -= 1;
            if *count == 0 {
                roots.views.remove(&root);
            }
        }
    }

    /// Drops the roots above one, and returns those that are left. There must be no view of any root.
    pub(super) fn roots_end_at(&self, base: Height) -> Vec<Height> {
        let mut roots = self.roots.write();
        roots.kept.retain(|root| *root <= base);
        roots.kept.clone()
    }

    /// Returns the roots above one, ascending, including the one that is being written.
    pub(super) fn roots_above(&self, root: Height) -> Vec<Height> {
        let roots = self.roots.read();
        let first = roots.kept.partition_point(|kept| *kept <= root);
        roots.kept[first..].iter().copied().chain(roots.next).collect()
    }

    /// Announces that a base is about to be written, and returns the roots that are kept with it: at most `most`, or
    /// more if views hold them. No view can begin on a dropped root.
    pub(super) fn root_begins(&self, root: Height, most: usize) -> Vec<Height> {
        let mut roots = self.roots.write();
        roots.next = Some(root);
        let viewed = roots.views.keys().next().copied().unwrap_or(root);
        let surplus = (roots.kept.len() + 1).saturating_sub(most.max(1));
        let dropped = surplus.min(roots.kept.partition_point(|kept| *kept < viewed));
        roots.kept.drain(..dropped);
        roots.kept.iter().copied().chain([root]).collect()
    }

    /// Notes that the base has been written.
    pub(super) fn root_ends(&self, root: Height) {
        let mut roots = self.roots.write();
        roots.kept.push(root);
        roots.next = None;
    }
}

/// Converts a failure of the whole store to an error for its operator.
pub(super) fn failure(path: &Path, reason: &str) -> StoreError {
    let path = path.display().to_string();
    let lower = reason.to_ascii_lowercase();
    if lower.contains("no space left") || lower.contains("disk quota exceeded") {
        StoreError::DiskFull { path }
    } else if lower.contains("/lock:") || lower.contains("lock hold by current process") {
        StoreError::Locked { path }
    } else if lower.contains("corruption:") {
        StoreError::Damaged { path, reason: one_line(reason) }
    } else {
        StoreError::Io { path, reason: reason.to_owned() }
    }
}

/// Converts a failure to open the store to an error for its operator. The folder is made before it is opened, so a file that
/// RocksDB misses in it was there.
pub(super) fn opening_failure(path: &Path, reason: &str) -> StoreError {
    match failure(path, reason) {
        StoreError::Io { path, reason } if reason.to_ascii_lowercase().contains("no such file or directory") => {
            StoreError::Damaged { path, reason: one_line(&reason) }
        }
        other => other,
    }
}

fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Converts a failure to read one row to an error.
pub(super) fn row_failure(path: &Path, table: Table, key: &[u8], error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => rows::corrupt(table, key, error.to_string()),
        _ => failure(path, error.as_ref()),
    }
}
