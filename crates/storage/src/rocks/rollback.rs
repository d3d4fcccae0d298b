//! Rollback of a store to an older height: it removes everything above that height, so that the height is the tip
//! again.
//!
//! *Invariants:* the tree's base becomes a kept root; the writes of the heights above that root are read from their
//! values and stored for the next fold. Only for a store that is not in use: a rollback is no single write, and a kill
//! leaves a store that must be thrown away.

use super::RocksStore;
use super::epochs::{EPOCH_PREFIX, RECORD_PREFIX, row_key};
use crate::history::{HistoryStore, nearest_root};
use crate::rows::{self, Table};
use crate::store::{Store, StoreError};
use crate::tree::TreeWrites;
use rocksdb::{Direction, IteratorMode, WriteBatch};
use rustorium_crypto::value_hash;
use rustorium_types::{EpochTransition, Hash, Height, LeafWrite, encode_into};
use std::collections::BTreeMap;

/// Rows that one write removes.
const STEP_ROWS: usize = if cfg!(test) { 4 } else { 4096 };
/// A key greater than every key of every table.
const KEY_END: [u8; 128] = [u8::MAX; 128];

/// Writes by height, each key once and ascending.
pub type Changes = BTreeMap<Height, Vec<LeafWrite>>;

impl RocksStore {
    /// Makes a kept height the tip, and the newest kept root up to it the tree's base. Errors: `Ahead`, `Pruned`, and
    /// `ProofPruned` if no root up to it is kept; then nothing has changed.
    pub fn roll_back(&self, to: Height) -> Result<(), StoreError> {
        let tip = self.tip().ok_or(StoreError::Ahead { height: to, tip: None })?;
        if to > tip.height {
            return Err(StoreError::Ahead { height: to, tip: Some(tip.height) });
        }
        self.disk.check_kept(to)?;
        let mut roots = self.roots();
        roots.reverse();
        let base = roots.iter().rfind(|root| **root <= to).copied();
        if base.is_none() && !roots.is_empty() {
            return Err(StoreError::ProofPruned { height: to, nearest: nearest_root(&roots, to) });
        }
        if to == tip.height {
            return Ok(());
        }
        self.bare_block(to)?.ok_or_else(|| self.gone(to))?;
        let _writer = self.writer.lock();
        if let Some(base) = base {
            self.undo_tree(&roots, base)?;
            let mut changes = self.changes(base, to)?;
            // Heights that wrote nothing have a row, too: a later fold asks for each height after the base.
            for height in (base.0 + 1..=to.0).map(Height) {
                self.note_writes(height, &changes.remove(&height).unwrap_or_default())?;
            }
        }
        self.forget_above(to)?;
        let mut batch = WriteBatch::default();
        batch.delete_cf(self.disk.family(Table::Meta)?, rows::NEWEST_FINALIZATION_KEY);
        if !self.is_five(to) {
            let mut contents = Vec::new();
            encode_into(&(to, self.payload_height(to)?), &mut contents);
            self.disk.put_sealed(&mut batch, Table::Meta, rows::TIP_KEY, &contents)?;
            self.end_five(&mut batch)?;
        }
        self.disk.write(batch)?;
        self.forget_five();
        self.read_five()?;
        *self.tip.write() = self.read_tip()?.map(Into::into);
        self.cache.clear();
        self.tree_rows.clear();
        self.disk.sync()
    }

    /// Returns the writes of the heights above `above`, up to `to`. They must be above every height at which anything
    /// was pruned.
    pub fn changes(&self, above: Height, to: Height) -> Result<Changes, StoreError> {
        let mut changes = Changes::new();
        let mut state = self.disk.all_of(Table::State)?;
        state.seek_to_first();
        while let Some((key, row)) = state.item() {
            let (leaf, height) = rows::version_of_leaf(key)?;
            if height > above && height <= to {
                let contents = self.disk.keys.open_row(Table::State, key, row)?;
                let stored = rows::decode_leaf(key, contents)?;
                let (name, value) = stored.map_or((Vec::new(), None), |leaf| (leaf.name, Some(leaf.value)));
                changes.entry(height).or_default().push(LeafWrite { key: leaf, name, value });
            }
            state.next();
        }
        state.status().map_err(|e| self.disk.row_failure(Table::State, &[], &e))?;
        Ok(changes)
    }

    pub(super) fn gone(&self, height: Height) -> StoreError {
        let key = if self.is_five(height) { rows::head_key(height) } else { rows::block_key(height) };
        rows::corrupt(Table::Log, &key, "it is missing".into())
    }

    /// Restores the base's rows as of a root. The changes of the newest root are undone first.
    fn undo_tree(&self, roots: &[Height], base: Height) -> Result<(), StoreError> {
        let tree = self.disk.family(Table::Tree)?;
        for root in roots.iter().rev().take_while(|root| **root > base) {
            let mut batch = WriteBatch::default();
            let mut undo = self.disk.all_of(Table::Undo)?;
            undo.seek(rows::undo_key(*root, &[]));
            while let Some((key, row)) = undo.item().filter(|(key, _)| key.starts_with(&root.0.to_be_bytes())) {
                let contents = self.disk.keys.open_row(Table::Undo, key, row)?;
                let slot = &key[size_of::<Height>()..];
                match rows::decode_before(key, contents)? {
                    Some(before) => self.disk.put_sealed(&mut batch, Table::Tree, slot, &before)?,
                    None => batch.delete_cf(tree, slot),
                }
                self.write_full(&mut batch)?;
                undo.next();
            }
            undo.status().map_err(|e| self.disk.row_failure(Table::Undo, &[], &e))?;
            self.disk.write(batch)?;
        }
        let kept = self.disk.roots_end_at(base);
        let (mut batch, mut contents) = (WriteBatch::default(), Vec::new());
        batch.delete_range_cf(self.disk.family(Table::Undo)?, &rows::undo_key(base.next(), &[])[..], &KEY_END[..]);
        encode_into(&kept, &mut contents);
        self.disk.put_sealed(&mut batch, Table::Meta, rows::TREE_ROOTS_KEY, &contents)?;
        self.disk.write(batch)
    }

    /// Stores the row of a height's writes as `put_tree_writes` did before the base had them.
    fn note_writes(&self, height: Height, changes: &[LeafWrite]) -> Result<(), StoreError> {
        let hashed = |write: &LeafWrite| (write.key, write.value.as_deref().map(value_hash));
        let writes: TreeWrites = changes.iter().map(hashed).collect();
        let (mut batch, mut contents) = (WriteBatch::default(), Vec::new());
        encode_into(&writes, &mut contents);
        self.disk.put_sealed(&mut batch, Table::Log, &rows::tree_writes_key(height), &contents)?;
        self.disk.write(batch)
    }

    /// Removes all rows of heights above one, except those of the tree.
    fn forget_above(&self, to: Height) -> Result<(), StoreError> {
        self.remove(Table::State, |key| rows::version_of_leaf(key).map(|(_, height)| height > to))?;
        self.remove(Table::Index, |key| {
            let bare = rows::is_plain(Table::Index, key);
            let height = if bare { rows::bare_position(key)?.0 } else { rows::index_height(key)? };
            Ok(height > to)
        })?;
        let mut batch = WriteBatch::default();
        let meta = self.disk.family(Table::Meta)?;
        batch.delete_range_cf(self.disk.family(Table::Log)?, &to.next().0.to_be_bytes()[..], &KEY_END[..]);
        batch.delete_range_cf(meta, rows::finalization_key(to.next()), rows::finalization_key(Height(u64::MAX)));
        batch.delete_range_cf(meta, row_key(RECORD_PREFIX, to.0.saturating_add(1)), row_key(RECORD_PREFIX, u64::MAX));
        let mode = IteratorMode::From(EPOCH_PREFIX, Direction::Forward);
        for item in self.disk.db.iterator_cf(meta, mode) {
            let (key, row) = item.map_err(|e| self.disk.row_failure(Table::Meta, EPOCH_PREFIX, &e))?;
            if !key.starts_with(EPOCH_PREFIX) {
                break;
            }
            let contents = self.disk.keys.open_row(Table::Meta, &key, &row)?;
            let change: EpochTransition = rows::decode_row(Table::Meta, &key, &contents)?;
            if change.boundary().height > to {
                batch.delete_cf(meta, &key);
            }
        }
        self.disk.write(batch)
    }

    /// Removes the rows of a table for whose keys `goes` returns true.
    fn remove(&self, table: Table, goes: impl Fn(&[u8]) -> Result<bool, StoreError>) -> Result<(), StoreError> {
        let family = self.disk.family(table)?;
        let mut batch = WriteBatch::default();
        let mut rows = self.disk.all_of(table)?;
        rows.seek_to_first();
        while let Some(key) = rows.key() {
            if goes(key)? {
                batch.delete_cf(family, key);
                self.write_full(&mut batch)?;
            }
            rows.next();
        }
        rows.status().map_err(|e| self.disk.row_failure(table, &[], &e))?;
        self.disk.write(batch)
    }

    fn write_full(&self, batch: &mut WriteBatch) -> Result<(), StoreError> {
        if batch.len() < STEP_ROWS { Ok(()) } else { self.disk.write(std::mem::take(batch)) }
    }

    /// Returns the newest height up to `to`, one of version 1, that listed a transaction or changed state. The search ends at
    /// the floor.
    fn payload_height(&self, to: Height) -> Result<Height, StoreError> {
        let floor = self.disk.floor();
        for height in (floor.0 + 1..=to.0).rev().map(Height) {
            let (head, block) = self.stored(height)?.ok_or_else(|| self.gone(height))?;
            if block.header.transactions > 0 || head.link.link.diff != Hash::ZERO {
                return Ok(height);
            }
        }
        Ok(floor)
    }
}
