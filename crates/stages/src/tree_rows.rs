//! Rows of the state tree in a store, as the tree reads them.

use rustorium_state::path::{Prefix, SlotId};
use rustorium_state::slot::{Child, Slot};
use rustorium_state::tree::{KvRead, ReadError};
use rustorium_storage::{StateView, Store, StoreError, TreeRow};
use std::sync::Arc;

/// Key of the top node's row. No slot has it: a slot's first byte is the length of a prefix.
pub const TOP_KEY: &[u8] = &[u8::MAX];

/// Rows of one tree.
pub trait TreeRows: Sync {
    /// Returns rows by key, in the order of `keys`.
    ///
    /// # Errors
    /// The store's.
    fn rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Returns rows whose keys begin with `prefix` and have one byte more, by key.
    ///
    /// # Errors
    /// The store's.
    fn children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError>;
}

impl TreeRows for Arc<dyn Store> {
    fn rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.tree_rows(keys)
    }
    fn children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        self.tree_children(prefix)
    }
}

impl TreeRows for Arc<dyn StateView> {
    fn rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.tree_rows(keys)
    }
    fn children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        self.tree_children(prefix)
    }
}

/// A tree that is read from its rows: a store's base, or a view of a kept root.
pub struct Tree<R>(pub R);

fn read_error(error: impl std::fmt::Display) -> ReadError {
    ReadError(error.to_string())
}

fn slot_of(row: &[u8]) -> Result<Slot, ReadError> {
    Slot::from_row(row).map_err(read_error)
}

impl<R: TreeRows> KvRead for Tree<R> {
    fn top(&self) -> Result<Child, ReadError> {
        let rows = self.0.rows(&[TOP_KEY.to_vec()]).map_err(read_error)?;
        match rows.into_iter().next().flatten().map(|row| slot_of(&row)).transpose()? {
            Some(Slot::Child(top)) => Ok(top),
            Some(Slot::Leaf(_)) => Err(read_error("the top's row is a leaf's")),
            None => Ok(Child::EMPTY_TOP),
        }
    }

    fn slots(&self, ids: &[SlotId]) -> Result<Vec<Option<Slot>>, ReadError> {
        let keys: Vec<Vec<u8>> = ids.iter().map(SlotId::to_bytes).collect();
        let rows = self.0.rows(&keys).map_err(read_error)?;
        rows.into_iter().map(|row| row.map(|row| slot_of(&row)).transpose()).collect()
    }

    fn node(&self, prefix: &Prefix) -> Result<Vec<(u8, Slot)>, ReadError> {
        let mut key = SlotId { node: *prefix, index: 0 }.to_bytes();
        key.pop();
        let rows = self.0.children(&key).map_err(read_error)?;
        let slot = |(key, row): TreeRow| {
            let index = key.last().copied().ok_or_else(|| read_error("a row without a key"))?;
            Ok((index, slot_of(&row.unwrap_or_default())?))
        };
        rows.into_iter().map(slot).collect()
    }
}
