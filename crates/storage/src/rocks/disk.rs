//! The database and what opens its rows, shared by the store and the views of it; and which roots and heights are kept.
//!
//! *Invariants:* what is asked for below the floor is refused before it is removed; a kept root that a view stands on, and
//! all above it, stay.

use super::filter::Needed;
use super::manifest::Manifest;
use crate::history::{Kept, nearest_root};
use crate::rowkeys::RowKeys;
use crate::rows::{self, Named, Table};
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
    /// The oldest kept height: whoever read something older looks here afterwards.
    floor: AtomicU64,
    /// Up to which height leaves that were removed are gone from the disk; changed under the writer's lock.
    pub(super) swept: AtomicU64,
    roots: RwLock<Roots>,
    /// What compaction goes by.
    pub(super) needed: Arc<Needed>,
    manifest: Manifest,
}

/// A row as it was opened: its key and contents.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// The roots that views can stand on.
#[derive(Default)]
struct Roots {
    /// Ascending; the last is the tree's base.
    kept: Vec<Height>,
    /// The base that is being written, from before that until it is kept.
    next: Option<Height>,
    /// Views on each root.
    views: BTreeMap<Height, usize>,
}

impl Disk {
    pub(super) fn new(db: DB, path: &Path, keys: RowKeys, needed: Arc<Needed>) -> Result<Self, StoreError> {
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

    /// The store was filled as of a height, or emptied.
    pub(super) fn begin_at(&self, height: Option<Height>) {
        let mut roots = self.roots.write();
        roots.kept = height.into_iter().collect();
        roots.next = None;
        let height = height.unwrap_or_default().0;
        self.floor.store(height, Ordering::Release);
        self.swept.store(height, Ordering::Release);
        // Compaction judges by them from the next sync on.
        self.needed.height.store(0, Ordering::Release);
        self.needed.root.store(0, Ordering::Release);
    }

    pub(super) fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(table.name()).ok_or_else(|| rows::corrupt(table, &[], "the table is missing".into()))
    }

    fn get_sealed(&self, table: Table, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        self.db.get_pinned_cf(self.family(table)?, key).map_err(|e| self.row_failure(table, key, &e))
    }

    /// A row's contents.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_sealed(table, key)?.map(|row| self.keys.open_row(table, key, &row)).transpose()
    }

    /// A row that another row says exists.
    pub(super) fn expect(&self, table: Table, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        let missing = || self.keys.note(rows::corrupt(table, key, "it is missing, and an index names it".into()));
        self.get(table, key)?.ok_or_else(missing)
    }

    /// A row of the log that another row names; none where it was pruned since that one was read.
    pub(super) fn expect_kept(&self, height: Height, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.expect(Table::Log, key);
        if self.check_kept(height).is_err() { Ok(None) } else { row.map(Some) }
    }

    /// The first row at or behind `from` that shares the table's prefix with it: its key and contents.
    pub(super) fn first(&self, table: Table, prefix: usize, from: &[u8]) -> Result<Option<Row>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let mut found = self.db.raw_iterator_cf_opt(self.family(table)?, options);
        found.seek(from);
        match found.item() {
            Some((key, row)) if key.get(..prefix) == from.get(..prefix) => {
                Ok(Some((key.to_vec(), self.keys.open_row(table, key, row)?)))
            }
            Some(_) => Ok(None),
            None => found.status().map(|()| None).map_err(|e| self.row_failure(table, from, &e)),
        }
    }

    /// The height and contents of the index row of a name.
    pub(super) fn named(&self, name: &Named) -> Result<Option<(Height, Row)>, StoreError> {
        let found = self.first(Table::Index, rows::NAMED_BYTES, &rows::index_key(name, Height(0)))?;
        let Some(row) = found else { return Ok(None) };
        let height = rows::index_height(&row.0)?;
        Ok((height >= self.floor()).then_some((height, row)))
    }

    /// All rows of a table in order, whatever its prefixes.
    pub(super) fn all_of(&self, table: Table) -> Result<DBRawIterator<'_>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.fill_cache(false);
        Ok(self.db.raw_iterator_cf_opt(self.family(table)?, options))
    }

    /// Rows whose keys begin with `prefix` and have one byte more: keys and contents.
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

    /// Puts contents as a sealed row into a batch.
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

    /// Makes what was written survive a power cut, and lets go of what that made needless.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let Kept { oldest_height, roots } = self.kept();
        // Which leaves are yet to be swept up is in rows that are needed until then.
        let height = oldest_height.0.min(self.swept.load(Ordering::Acquire));
        self.db.flush_wal(true).map_err(|e| failure(&self.path, e.as_ref()))?;
        self.manifest.keep()?;
        self.needed.height.store(height, Ordering::Release);
        self.needed.root.store(roots.map_or(0, |(oldest, _)| oldest.0), Ordering::Release);
        Ok(())
    }

    /// Refuses what is older from now on, up to `most` and `step`, the tree's base and the views; where that led, and
    /// whether it may go on.
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

    /// The oldest kept height.
    pub(super) fn floor(&self) -> Height {
        Height(self.floor.load(Ordering::Acquire))
    }

    /// An error where a height is older than what is kept. What was read before holds where this comes after it.
    pub(super) fn check_kept(&self, height: Height) -> Result<(), StoreError> {
        let oldest = self.floor();
        if height < oldest { Err(StoreError::Pruned { height, oldest }) } else { Ok(()) }
    }

    pub(super) fn kept(&self) -> Kept {
        let roots = self.roots.read();
        Kept { oldest_height: self.floor(), roots: roots.kept.first().copied().zip(roots.kept.last().copied()) }
    }

    /// The height whose state the tree's rows are.
    pub(super) fn base(&self) -> Option<Height> {
        self.roots.read().kept.last().copied()
    }

    /// Kept roots, ascending.
    pub(super) fn roots(&self) -> Vec<Height> {
        self.roots.read().kept.clone()
    }

    /// Has a root, and what is above it, stay until `view_ends`.
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

    /// Forgets the roots above one; those that are left. No view stands on any.
    pub(super) fn roots_end_at(&self, base: Height) -> Vec<Height> {
        let mut roots = self.roots.write();
        roots.kept.retain(|root| *root <= base);
        roots.kept.clone()
    }

    /// Roots above one, ascending, also the one that is being written.
    pub(super) fn roots_above(&self, root: Height) -> Vec<Height> {
        let roots = self.roots.read();
        let first = roots.kept.partition_point(|kept| *kept <= root);
        roots.kept[first..].iter().copied().chain(roots.next).collect()
    }

    /// Says which base is about to be written, and what is kept with it: at most `most` roots, more where views stand on
    /// them. No view begins on what is dropped.
    pub(super) fn root_begins(&self, root: Height, most: usize) -> Vec<Height> {
        let mut roots = self.roots.write();
        roots.next = Some(root);
        let viewed = roots.views.keys().next().copied().unwrap_or(root);
        let surplus = (roots.kept.len() + 1).saturating_sub(most.max(1));
        let dropped = surplus.min(roots.kept.partition_point(|kept| *kept < viewed));
        roots.kept.drain(..dropped);
        roots.kept.iter().copied().chain([root]).collect()
    }

    /// The base has been written.
    pub(super) fn root_ends(&self, root: Height) {
        let mut roots = self.roots.write();
        roots.kept.push(root);
        roots.next = None;
    }
}

/// What a failure of the whole store means to its operator.
pub(super) fn failure(path: &Path, reason: &str) -> StoreError {
    let path = path.display().to_string();
    let lower = reason.to_ascii_lowercase();
    if lower.contains("no space left") || lower.contains("disk quota exceeded") {
        StoreError::DiskFull { path }
    } else if lower.contains("/lock:") || lower.contains("lock hold by current process") {
        StoreError::Locked { path }
    } else if lower.contains("corruption:") {
        StoreError::Damaged { path, reason: reason.split_whitespace().collect::<Vec<_>>().join(" ") }
    } else {
        StoreError::Io { path, reason: reason.to_owned() }
    }
}

/// What a failure to read one row means.
pub(super) fn row_failure(path: &Path, table: Table, key: &[u8], error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => rows::corrupt(table, key, error.to_string()),
        _ => failure(path, error.as_ref()),
    }
}
