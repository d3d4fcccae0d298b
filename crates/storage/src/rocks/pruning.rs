//! Pruning: a floor below which reads are refused, and the ways in which rows below it leave the disk.
//!
//! *Invariants:* reads are refused before rows are removed, also after a kill: the floor is written first, with the
//! height up to which removed leaves were swept; compaction and removal of files wait until the floor that allows them
//! is synced.
//!
//! | rows | removed |
//! |---|---|
//! | blocks, receipts, batches, changes of roots | whole files at once, since their keys grow with height; the rest by compaction |
//! | indexes, finalizations, replaced values | by compaction, which finds their height in the key ([`super::filter`]) |
//! | removed leaves | row by row when the floor rises past them: compaction can't know whether older rows lie elsewhere |

use super::RocksStore;
use super::disk::failure;
use super::filter::first_head;
use crate::history::Pruning;
use crate::rows::{self, STATE_KEY_BYTES, Table};
use crate::store::{Store, StoreError};
use crate::tree::TreeStore;
use rocksdb::WriteBatch;
use rustorium_types::{Height, StateKey, encode_into};
use std::sync::atomic::Ordering;

/// Heights by which one step raises the floor, and rows that one write removes.
const STEP_HEIGHTS: u64 = 256;
const STEP_ROWS: usize = if cfg!(test) { 8 } else { 4096 };

impl RocksStore {
    pub(super) fn prune_step(&self, below: Height) -> Result<Pruning, StoreError> {
        self.remove_files()?;
        let _writer = self.writer.lock();
        let Some(tip) = self.tip() else { return Ok(Pruning::default()) };
        // The chain's first root has no base yet, so the rows that it will be made from must stay.
        let rootless = self.disk.base().is_none() && self.tree_writes(tip.height)?.is_some();
        let old = self.disk.floor();
        let most = if rootless { old } else { below.min(tip.height) };
        let step = Height(old.0.saturating_add(STEP_HEIGHTS));
        let (floor, more) = self.disk.raise_floor(most, step);
        // Also lower than the floor if a kill came in between.
        let swept = Height(self.disk.swept.load(Ordering::Acquire));
        if floor > swept {
            self.sweep(swept, floor)?;
        }
        Ok(Pruning { oldest_height: floor, more })
    }

    /// Writes the floor, then removes the leaves that heights up to it removed, in writes of bounded size.
    fn sweep(&self, swept: Height, floor: Height) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        self.put_floor(&mut batch, floor, swept)?;
        for height in (swept.0..=floor.0).map(Height) {
            let key = rows::removed_key(height);
            let Some(row) = self.disk.get(Table::Log, &key)? else { continue };
            let removed: Vec<StateKey> = rows::decode_row(Table::Log, &key, &row)?;
            for leaf in removed {
                self.remove_leaf(&leaf, floor, &mut batch)?;
            }
        }
        self.put_floor(&mut batch, floor, floor)?;
        self.disk.write(batch)?;
        self.disk.swept.store(floor.0, Ordering::Release);
        Ok(())
    }

    pub(super) fn put_floor(&self, batch: &mut WriteBatch, floor: Height, swept: Height) -> Result<(), StoreError> {
        let mut contents = Vec::new();
        encode_into(&(floor, swept), &mut contents);
        self.disk.put_sealed(batch, Table::Meta, rows::FLOOR_KEY, &contents)?;
        contents.clear();
        encode_into(&self.disk.roots(), &mut contents);
        self.disk.put_sealed(batch, Table::Meta, rows::TREE_ROOTS_KEY, &contents)
    }

    /// Removes all rows of a leaf up to the floor, if the newest of them says that the leaf was removed. The oldest row
    /// goes first, so that no older row ever shows through.
    pub(super) fn remove_leaf(&self, leaf: &StateKey, floor: Height, batch: &mut WriteBatch) -> Result<(), StoreError> {
        let newest = rows::version_key(leaf, floor);
        let removed = match self.disk.first(Table::State, STATE_KEY_BYTES, &newest)? {
            Some((_, contents)) => contents.is_empty(),
            None => false,
        };
        if !removed {
            return Ok(());
        }
        let family = self.disk.family(Table::State)?;
        let mut rows = self.disk.all_of(Table::State)?;
        rows.seek_for_prev(rows::version_key(leaf, Height(0)));
        while let Some(key) = rows.key().filter(|key| **key >= newest[..]) {
            batch.delete_cf(family, key);
            if batch.len() >= STEP_ROWS {
                self.disk.write(std::mem::take(batch))?;
            }
            rows.prev();
        }
        rows.status().map_err(|e| self.disk.row_failure(Table::State, &newest, &e))
    }

    /// Removes files that hold only rows that are no longer needed.
    fn remove_files(&self) -> Result<(), StoreError> {
        let needed = &self.disk.needed;
        let below = |height: u64| height.to_be_bytes();
        let heights = [
            (Table::Log, below(first_head(needed.height.load(Ordering::Acquire)))),
            (Table::Undo, below(needed.root.load(Ordering::Acquire))),
        ];
        let mut done = self.files_removed.lock();
        for ((table, to), done) in heights.into_iter().zip(&mut *done) {
            if *done != to {
                let removed = self.disk.db.delete_file_in_range_cf(self.disk.family(table)?, [0; 8], to);
                removed.map_err(|e| failure(&self.disk.path, e.as_ref()))?;
                *done = to;
            }
        }
        Ok(())
    }
}
