//! Filling a RocksDB store from a snapshot, straight into the tables that are read later.

use super::RocksStore;
use super::disk::failure;
use crate::checks::tip_after;
use crate::rows::{self, Table};
use crate::store::{Store, StoreError};
use crate::synced::{SyncStore, SyncedTip, not_begun};
use crate::tree::TreeRow;
use rocksdb::WriteBatch;
use rustorium_types::{Header, Height, LeafWrite, encode_into};

/// A key greater than every key of every table.
const KEY_END: [u8; 128] = [u8::MAX; 128];

impl SyncStore for RocksStore {
    fn syncing(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.get(Table::Meta, rows::SYNCING_KEY)
    }

    fn begin_sync(&self, what: &[u8]) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let mut batch = WriteBatch::default();
        // An unused store needs no deletion markers, which would slow down every later read.
        let used = self.tip().is_some() || self.syncing()?.is_some();
        if used {
            for table in [Table::Log, Table::Index, Table::State, Table::Tree, Table::Undo] {
                batch.delete_range_cf(self.disk.family(table)?, &[][..], &KEY_END[..]);
            }
            let meta = self.disk.family(Table::Meta)?;
            // These keys go by name: the format and the progress of a key rotation stay.
            let single = [rows::TIP_KEY, rows::TREE_ROOTS_KEY, rows::FLOOR_KEY, rows::SYNCED_KEY];
            for key in single.into_iter().chain([rows::NEWEST_FINALIZATION_KEY]) {
                batch.delete_cf(meta, key);
            }
            self.end_five(&mut batch)?;
            let (first, last) = (rows::finalization_key(Height(0)), rows::finalization_key(Height(u64::MAX)));
            batch.delete_range_cf(meta, first, last);
        }
        self.disk.put_sealed(&mut batch, Table::Meta, rows::SYNCING_KEY, what)?;
        self.disk.write(batch)?;
        self.forget_five();
        *self.tip.write() = None;
        *self.files_removed.lock() = Default::default();
        self.cache.clear();
        self.tree_rows.clear();
        self.disk.begin_at(None);
        Ok(())
    }

    fn put_synced(&self, height: Height, changed: &[TreeRow], leaves: &[LeafWrite]) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let (mut batch, mut contents) = (WriteBatch::default(), Vec::new());
        for (key, row) in changed {
            match row {
                Some(row) => self.disk.put_sealed(&mut batch, Table::Tree, key, row)?,
                None => batch.delete_cf(self.disk.family(Table::Tree)?, key),
            }
        }
        for LeafWrite { key, name, value } in leaves {
            contents.clear();
            if let Some(value) = value {
                rows::encode_name(name, &mut contents);
                contents.extend_from_slice(value);
            }
            self.disk.put_sealed(&mut batch, Table::State, &rows::version_key(key, height), &contents)?;
        }
        self.disk.write(batch)?;
        for (key, row) in changed {
            self.tree_rows.put(key.clone(), row.as_deref());
        }
        Ok(())
    }

    fn finish_sync(&self, synced: &SyncedTip) -> Result<(), StoreError> {
        let mut scratch = self.writer.lock();
        let commit = &synced.commit;
        let height = commit.block.header.height;
        if self.syncing()?.is_none() {
            return Err(not_begun(height));
        }
        let tip = tip_after(None, commit);
        let mut batch = WriteBatch::default();
        let plan = self.encode(commit, (None, &tip), None, &mut scratch, &mut batch)?;
        let mut contents = Vec::new();
        encode_into(&vec![height], &mut contents);
        self.disk.put_sealed(&mut batch, Table::Meta, rows::TREE_ROOTS_KEY, &contents)?;
        contents.clear();
        encode_into(&(height, height), &mut contents);
        self.disk.put_sealed(&mut batch, Table::Meta, rows::FLOOR_KEY, &contents)?;
        contents.clear();
        encode_into(&(height, &synced.headers), &mut contents);
        self.disk.put_sealed(&mut batch, Table::Meta, rows::SYNCED_KEY, &contents)?;
        batch.delete_cf(self.disk.family(Table::Meta)?, rows::SYNCING_KEY);
        self.disk.write(batch)?;
        self.disk.begin_at(Some(height));
        // Reads before this may have cached that a row is missing.
        self.cache.clear();
        self.follow(commit, &tip, plan);
        *self.tip.write() = Some(tip.into());
        self.disk.db.flush_wal(true).map_err(|e| failure(&self.disk.path, e.as_ref()))
    }

    fn synced_headers(&self) -> Result<Vec<Header>, StoreError> {
        let Some(row) = self.disk.get(Table::Meta, rows::SYNCED_KEY)? else { return Ok(Vec::new()) };
        let (_, headers): (Height, Vec<Header>) = rows::decode_row(Table::Meta, rows::SYNCED_KEY, &row)?;
        Ok(headers)
    }
}
