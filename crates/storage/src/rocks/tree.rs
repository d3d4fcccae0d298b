//! The state tree's rows in RocksDB: the base in one table, the changes of each root in another, and the writes of
//! heights in the log.

use super::RocksStore;
use crate::rows::{self, Table};
use crate::store::StoreError;
use crate::tree::{TreeRow, TreeStore, TreeWrites};
use rocksdb::WriteBatch;
use rustorium_types::{Height, encode_into};

impl RocksStore {
    /// Returns a row of the base.
    fn tree_row(&self, key: &Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        self.tree_rows.get_or_read(key, || self.disk.get(Table::Tree, key))
    }
}

impl TreeStore for RocksStore {
    fn tree_base(&self) -> Result<Option<Height>, StoreError> {
        Ok(self.disk.base())
    }

    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.tree_row(key)).collect()
    }

    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        let children = self.disk.children(Table::Tree, prefix)?;
        Ok(children.into_iter().map(|(key, contents)| (key, Some(contents))).collect())
    }

    fn fold_tree(&self, height: Height, changed: &[TreeRow]) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let (disk, base) = (&*self.disk, self.disk.base());
        if base.is_some_and(|base| base >= height) {
            return Err(StoreError::Inconsistent { height, what: "the state tree's base is no older" });
        }
        disk.check_kept(height)?;
        let mut batch = WriteBatch::default();
        for (key, row) in changed {
            if base.is_some() {
                let before = rows::encode_before(self.tree_row(key)?.as_deref());
                disk.put_sealed(&mut batch, Table::Undo, &rows::undo_key(height, key), &before)?;
            }
            match row {
                Some(row) => disk.put_sealed(&mut batch, Table::Tree, key, row)?,
                None => batch.delete_cf(disk.family(Table::Tree)?, key),
            }
        }
        let first = base.map_or(Height(0), Height::next);
        for height in (first.0..=height.0).map(Height) {
            batch.delete_cf(disk.family(Table::Log)?, rows::tree_writes_key(height));
        }
        let mut kept = Vec::new();
        encode_into(&disk.root_begins(height, self.roots_kept), &mut kept);
        disk.put_sealed(&mut batch, Table::Meta, rows::TREE_ROOTS_KEY, &kept)?;
        disk.write(batch)?;
        for (key, row) in changed {
            self.tree_rows.put(key.clone(), row.as_deref());
        }
        disk.root_ends(height);
        Ok(())
    }

    fn put_tree_writes(&self, height: Height, writes: &TreeWrites) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let (mut batch, mut contents) = (WriteBatch::default(), Vec::new());
        encode_into(writes, &mut contents);
        self.disk.put_sealed(&mut batch, Table::Log, &rows::tree_writes_key(height), &contents)?;
        self.disk.write(batch)
    }

    fn tree_writes(&self, height: Height) -> Result<Option<TreeWrites>, StoreError> {
        let key = rows::tree_writes_key(height);
        self.disk.get(Table::Log, &key)?.map(|row| rows::decode_row(Table::Log, &key, &row)).transpose()
    }
}
