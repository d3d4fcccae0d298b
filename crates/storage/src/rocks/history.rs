//! History in RocksDB: values at kept heights, and views of the tree at kept roots.
//!
//! *Invariants:* a row of the tree at a root is the one saved by the oldest later root that changed the row, else the
//! base's row. The base is read first: a root that is folded meanwhile is then among the later roots, which are read
//! afterwards.

use super::RocksStore;
use super::disk::Disk;
use crate::history::{
    HistoryStore, KeptRange, Pruning, StateView, StoredValue, VersionLimits, Versions, Walk, WalkOutcome,
};
use crate::rows::{self, Table};
use crate::store::{Store, StoreError};
use crate::tree::TreeRow;
use rustorium_types::{Height, StateKey};
use std::collections::BTreeMap;
use std::sync::Arc;

impl RocksStore {
    fn check_executed(&self, height: Height) -> Result<(), StoreError> {
        let tip = self.tip().map(|tip| tip.height);
        if tip.is_some_and(|tip| height <= tip) { Ok(()) } else { Err(StoreError::Ahead { height, tip }) }
    }
}

impl HistoryStore for RocksStore {
    fn kept(&self) -> KeptRange {
        self.disk.kept()
    }

    fn values_at(&self, height: Height, keys: &[StateKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.check_executed(height)?;
        let value = |key| Ok(self.disk.leaf(key, height)?.map(|leaf| leaf.value));
        let values = keys.iter().map(value).collect::<Result<_, _>>();
        self.disk.check_kept(height)?;
        values
    }

    fn walk_at(&self, height: Height, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError> {
        self.check_executed(height)?;
        let found = self.disk.walk(height, walk);
        self.disk.check_kept(height)?;
        found
    }

    fn versions(&self, key: &StateKey, from: Height, limits: VersionLimits) -> Result<Versions, StoreError> {
        let found = self.disk.versions(key, from, limits);
        self.disk.check_kept(from)?;
        found
    }

    fn view_at(&self, root: Height) -> Result<Arc<dyn StateView>, StoreError> {
        self.disk.view_begins(root)?;
        Ok(Arc::new(RocksView { disk: self.disk.clone(), root }))
    }

    fn roots(&self) -> Vec<Height> {
        let mut roots = self.disk.roots();
        roots.reverse();
        roots
    }

    fn prune(&self, below: Height) -> Result<Pruning, StoreError> {
        self.prune_step(below)
    }
}

/// The state at a kept root, which stays kept while this lives.
struct RocksView {
    disk: Arc<Disk>,
    root: Height,
}

impl Drop for RocksView {
    fn drop(&mut self) {
        self.disk.view_ends(self.root);
    }
}

impl StateView for RocksView {
    fn height(&self) -> Height {
        self.root
    }

    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut found = keys.iter().map(|key| self.disk.get(Table::Tree, key)).collect::<Result<Vec<_>, _>>()?;
        let above = self.disk.roots_above(self.root);
        for (key, row) in keys.iter().zip(&mut found) {
            for root in &above {
                let undo = rows::undo_key(*root, key);
                if let Some(contents) = self.disk.get(Table::Undo, &undo)? {
                    *row = rows::decode_before(&undo, contents)?;
                    break;
                }
            }
        }
        Ok(found)
    }

    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        let mut found: BTreeMap<Vec<u8>, Vec<u8>> = self.disk.children(Table::Tree, prefix)?.into_iter().collect();
        // Newest first, so that the oldest root wins.
        for root in self.disk.roots_above(self.root).into_iter().rev() {
            for (undo, contents) in self.disk.children(Table::Undo, &rows::undo_key(root, prefix))? {
                let key = undo[size_of::<Height>()..].to_vec();
                match rows::decode_before(&undo, contents)? {
                    Some(row) => found.insert(key, row),
                    None => found.remove(&key),
                };
            }
        }
        Ok(found.into_iter().map(|(key, row)| (key, Some(row))).collect())
    }

    fn value(&self, key: &StateKey) -> Result<Option<StoredValue>, StoreError> {
        self.disk.leaf(key, self.root)
    }

    fn walk(&self, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError> {
        self.disk.walk(self.root, walk)
    }
}
