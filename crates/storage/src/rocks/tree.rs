//! The state tree's rows in RocksDB: the base in a table of its own, what heights wrote in the log.

use super::{RocksStore, failure, row_failure};
use crate::rows::{self, Table};
use crate::store::StoreError;
use crate::tree::{TreeRow, TreeStore, TreeWrites};
use rocksdb::{Direction, IteratorMode, ReadOptions, WriteBatch};
use rustorium_types::{Height, encode_into};

impl RocksStore {
    fn base(&self) -> Result<Option<Height>, StoreError> {
        let row = self.get(Table::Meta, rows::TREE_BASE_KEY)?;
        row.map(|row| rows::decode_row(Table::Meta, rows::TREE_BASE_KEY, &row)).transpose()
    }

    /// Puts contents as a sealed row into a batch.
    fn put_sealed(&self, batch: &mut WriteBatch, table: Table, key: &[u8], contents: &[u8]) -> Result<(), StoreError> {
        let mut row = Vec::with_capacity(contents.len() + 64);
        rows::start_row(&mut row);
        row.extend_from_slice(contents);
        self.keys.sealer()?.seal(table, key, &mut row)?;
        batch.put_cf(self.family(table)?, key, &row);
        Ok(())
    }
}

impl TreeStore for RocksStore {
    fn tree_base(&self) -> Result<Option<Height>, StoreError> {
        self.base()
    }

    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(Table::Tree, key)).collect()
    }

    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange(prefix));
        let mode = IteratorMode::From(prefix, Direction::Forward);
        let mut found = Vec::new();
        for item in self.db.iterator_cf_opt(self.family(Table::Tree)?, options, mode) {
            let (key, row) = item.map_err(|e| row_failure(&self.path, Table::Tree, prefix, &e))?;
            if key.len() == prefix.len() + 1 {
                let contents = self.keys.open_row(Table::Tree, &key, &row)?;
                found.push((key.into_vec(), Some(contents)));
            }
        }
        Ok(found)
    }

    fn fold_tree(&self, height: Height, changed: &[TreeRow]) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let first = self.base()?.map_or(Height(0), Height::next);
        let mut batch = WriteBatch::default();
        for (key, row) in changed {
            match row {
                Some(row) => self.put_sealed(&mut batch, Table::Tree, key, row)?,
                None => batch.delete_cf(self.family(Table::Tree)?, key),
            }
        }
        for height in (first.0..=height.0).map(Height) {
            batch.delete_cf(self.family(Table::Log)?, rows::tree_writes_key(height));
        }
        let mut base = Vec::new();
        encode_into(&height, &mut base);
        self.put_sealed(&mut batch, Table::Meta, rows::TREE_BASE_KEY, &base)?;
        self.db.write(batch).map_err(|e| failure(&self.path, e.as_ref()))
    }

    fn put_tree_writes(&self, height: Height, writes: &TreeWrites) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let (mut batch, mut contents) = (WriteBatch::default(), Vec::new());
        encode_into(writes, &mut contents);
        self.put_sealed(&mut batch, Table::Log, &rows::tree_writes_key(height), &contents)?;
        self.db.write(batch).map_err(|e| failure(&self.path, e.as_ref()))
    }

    fn tree_writes(&self, height: Height) -> Result<Option<TreeWrites>, StoreError> {
        let key = rows::tree_writes_key(height);
        self.get(Table::Log, &key)?.map(|row| rows::decode_row(Table::Log, &key, &row)).transpose()
    }
}
