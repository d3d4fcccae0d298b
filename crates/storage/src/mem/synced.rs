//! A store in memory that is filled from a snapshot.

use super::{Inner, MemStore, Tree};
use crate::history::StoredValue;
use crate::store::{Store, StoreError};
use crate::synced::{SyncStore, SyncedTip, not_begun};
use crate::tree::TreeRow;
use rustorium_types::{Header, Height, LeafWrite};
use std::sync::Arc;

impl SyncStore for MemStore {
    fn syncing(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.inner.read().syncing.as_ref().map(|(what, _)| what.clone()))
    }

    fn begin_sync(&self, what: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        let roots_kept = inner.roots_kept;
        *inner = Inner { roots_kept, syncing: Some((what.to_vec(), Arc::default())), ..Inner::default() };
        Ok(())
    }

    fn put_synced(&self, height: Height, rows: &[TreeRow], leaves: &[LeafWrite]) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        let Some((_, tree)) = &mut inner.syncing else { return Err(not_begun(height)) };
        let tree: &mut Tree = Arc::make_mut(tree);
        for (key, row) in rows {
            match row {
                Some(row) => tree.insert(key.clone(), row.clone()),
                None => tree.remove(key),
            };
        }
        for LeafWrite { key, name, value } in leaves {
            let leaf = value.clone().map(|value| StoredValue { name: name.clone(), value });
            inner.state.entry(*key).or_default().insert(height, leaf);
        }
        Ok(())
    }

    fn finish_sync(&self, synced: &SyncedTip) -> Result<(), StoreError> {
        let height = synced.commit.block.header.height;
        let Some((_, tree)) = self.inner.write().syncing.take() else { return Err(not_begun(height)) };
        self.commit(&synced.commit)?;
        let mut inner = self.inner.write();
        inner.trees.insert(height, tree);
        inner.floor = height;
        inner.synced_headers = synced.headers.clone();
        Ok(())
    }

    fn synced_headers(&self) -> Result<Vec<Header>, StoreError> {
        Ok(self.inner.read().synced_headers.clone())
    }
}
