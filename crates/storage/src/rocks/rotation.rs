//! Rotation of keys while the store is in use: rows under older key versions are sealed again, a few at a time.
//!
//! *Invariants:* one write, under the writer's lock, has a step and its progress, so that no row goes back to an older
//! value and a kill costs no step; a version leaves the key file only after the rows that replaced its rows are synced.

use super::RocksStore;
use super::disk::failure;
use crate::rows::{self, Table};
use crate::store::StoreError;
use rocksdb::{Direction, IteratorMode, ReadOptions, WriteBatch};
use rustorium_crypto::seal::version_of;

/// Rows of one step, and bytes of rows after which it ends. They bound the time that commits wait.
const STEP_ROWS: u64 = 256;
const STEP_BYTES: usize = 512 * 1024;

/// Progress of a rotation of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// The lowest key version that rows may have afterwards.
    pub version: u32,
    /// Rows examined so far.
    pub rows: u64,
    /// Estimated number of rows when the rotation began.
    pub rows_about: u64,
}

/// Position of the next step.
#[derive(Clone)]
pub(super) struct Cursor {
    progress: Rotation,
    /// Index of the table.
    table: u8,
    /// The first key to look at.
    from: Vec<u8>,
}

impl Cursor {
    fn table(&self) -> Option<Table> {
        Table::ALL.get(usize::from(self.table)).copied()
    }

    /// True if all rows were examined.
    #[cfg(test)]
    pub(super) fn at_end(&self) -> bool {
        self.table().is_none()
    }
}

impl RocksStore {
    /// Draws a new key version, under which everything is sealed from now on. Begins to replace all older versions;
    /// `rotate_step` does that. A rotation that is under way starts again with the new version.
    pub fn rotate(&self) -> Result<Rotation, StoreError> {
        let _writer = self.writer.lock();
        let version = self.disk.keys.renew()?;
        self.begin_rotation(version)
    }

    /// Begins to replace all key versions below `version`. The caller holds the writer's lock.
    pub(super) fn begin_rotation(&self, version: u32) -> Result<Rotation, StoreError> {
        let mut rows_about = 0;
        for table in Table::ALL {
            let estimate = self.disk.db.property_int_value_cf(self.disk.family(table)?, "rocksdb.estimate-num-keys");
            rows_about += estimate.map_err(|e| failure(&self.disk.path, e.as_ref()))?.unwrap_or(0);
        }
        let cursor = Cursor { progress: Rotation { version, rows: 0, rows_about }, table: 0, from: Vec::new() };
        let progress = cursor.progress.clone();
        self.write_step(WriteBatch::default(), cursor)?;
        Ok(progress)
    }

    /// Returns the rotation that is under way, also one from before the last start.
    pub fn rotation(&self) -> Option<Rotation> {
        self.rotation.lock().as_ref().map(|cursor| cursor.progress.clone())
    }

    /// Seals the next few rows again. Returns the progress, or `None` if nothing is left to do.
    pub fn rotate_step(&self) -> Result<Option<Rotation>, StoreError> {
        let _writer = self.writer.lock();
        let Some(mut cursor) = self.rotation.lock().clone() else { return Ok(None) };
        let Some(table) = cursor.table() else {
            return self.finish_rotation(&cursor).map(|()| None);
        };
        let batch = self.seal_anew(table, &mut cursor)?;
        let progress = cursor.progress.clone();
        self.write_step(batch, cursor)?;
        Ok(Some(progress))
    }

    fn seal_anew(&self, table: Table, cursor: &mut Cursor) -> Result<WriteBatch, StoreError> {
        let (family, sealer) = (self.disk.family(table)?, self.disk.keys.sealer()?);
        let (mut batch, mut anew, mut seen, mut bytes) = (WriteBatch::default(), Vec::new(), 0, 0);
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_total_order_seek(true);
        let from = std::mem::take(&mut cursor.from);
        let mode = IteratorMode::From(&from, Direction::Forward);
        for item in self.disk.db.iterator_cf_opt(family, options, mode) {
            let (key, row) = item.map_err(|e| self.disk.row_failure(table, &from, &e))?;
            if seen >= STEP_ROWS || bytes >= STEP_BYTES {
                cursor.from = key.into_vec();
                return Ok(batch);
            }
            seen += 1;
            bytes += row.len();
            cursor.progress.rows += 1;
            // Every step writes the row of this rotation.
            if rows::is_plain(table, &key) || (table == Table::Meta && *key == *rows::ROTATION_KEY) {
                continue;
            }
            if version_of(rows::sealed_part(table, &key, &row)?).is_some_and(|found| found >= cursor.progress.version) {
                continue;
            }
            rows::start_row(&mut anew);
            anew.extend_from_slice(&self.disk.keys.open_row(table, &key, &row)?);
            sealer.seal(table, &key, &mut anew)?;
            batch.put_cf(family, &key, &anew);
        }
        cursor.table += 1;
        Ok(batch)
    }

    /// Writes the rows that a step sealed, together with the position of the next step.
    fn write_step(&self, mut batch: WriteBatch, cursor: Cursor) -> Result<(), StoreError> {
        let mut row = Vec::new();
        rows::start_row(&mut row);
        let Rotation { version, rows: looked_at, rows_about } = cursor.progress;
        rustorium_types::encode_into(&(version, looked_at, rows_about, cursor.table), &mut row);
        rustorium_types::encode_into(&cursor.from, &mut row);
        self.disk.keys.sealer()?.seal(Table::Meta, rows::ROTATION_KEY, &mut row)?;
        batch.put_cf(self.disk.family(Table::Meta)?, rows::ROTATION_KEY, &row);
        self.disk.db.write(batch).map_err(|e| failure(&self.disk.path, e.as_ref()))?;
        *self.rotation.lock() = Some(cursor);
        Ok(())
    }

    fn finish_rotation(&self, cursor: &Cursor) -> Result<(), StoreError> {
        // A power cut must not bring back a row whose version is gone.
        self.disk.db.flush_wal(true).map_err(|e| failure(&self.disk.path, e.as_ref()))?;
        self.disk.keys.drop_below(cursor.progress.version)?;
        let deleted = self.disk.db.delete_cf(self.disk.family(Table::Meta)?, rows::ROTATION_KEY);
        deleted.map_err(|e| failure(&self.disk.path, e.as_ref()))?;
        *self.rotation.lock() = None;
        Ok(())
    }

    /// Reads the rotation that was under way when the store was closed.
    pub(super) fn read_rotation(&self) -> Result<Option<Cursor>, StoreError> {
        let Some(contents) = self.disk.get(Table::Meta, rows::ROTATION_KEY)? else { return Ok(None) };
        let decoded = rows::decode_row(Table::Meta, rows::ROTATION_KEY, &contents)?;
        let ((version, looked_at, rows_about, table), from): ((u32, u64, u64, u8), Vec<u8>) = decoded;
        let progress = Rotation { version, rows: looked_at, rows_about };
        Ok(Some(Cursor { progress, table, from }))
    }
}
