//! The `TreeStore` trait: rows of the state tree as of one height, the base, and the writes of heights above it.
//!
//! *Invariants:* the base changes as a whole, from the state after one height to that after a later one; the writes of
//! a height are kept until the base has them.

use crate::store::StoreError;
use rustorium_types::{Hash, Height, StateKey};
use std::sync::Arc;

/// Writes of a height: keys, each once, with the hash of the new value (`None`: deleted).
pub type TreeWrites = Vec<(StateKey, Option<Hash>)>;

/// Key and new contents of a row of the tree; `None` if the row is removed.
pub type TreeRow = (Vec<u8>, Option<Vec<u8>>);

/// A node's storage of the state tree. Rows are opaque here: only the tree knows their keys and encodings.
pub trait TreeStore: Send + Sync {
    /// Returns the height whose state the base is; `None` before the first `fold_tree`.
    fn tree_base(&self) -> Result<Option<Height>, StoreError>;

    /// Returns rows of the base by key, in the order of `keys`.
    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Returns the rows of the base whose keys begin with `prefix` and have one byte more, by key.
    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError>;

    /// Moves the base to the state after `height`, all or nothing, and forgets the writes of the heights up to it.
    fn fold_tree(&self, height: Height, rows: &[TreeRow]) -> Result<(), StoreError>;

    /// Stores the writes of a height. Must come before its commit.
    fn put_tree_writes(&self, height: Height, writes: &TreeWrites) -> Result<(), StoreError>;

    /// Returns the writes of a height above the base; `None` if they aren't kept.
    fn tree_writes(&self, height: Height) -> Result<Option<TreeWrites>, StoreError>;
}

impl<S: TreeStore + ?Sized> TreeStore for Arc<S> {
    fn tree_base(&self) -> Result<Option<Height>, StoreError> {
        (**self).tree_base()
    }
    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        (**self).tree_rows(keys)
    }
    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        (**self).tree_children(prefix)
    }
    fn fold_tree(&self, height: Height, rows: &[TreeRow]) -> Result<(), StoreError> {
        (**self).fold_tree(height, rows)
    }
    fn put_tree_writes(&self, height: Height, writes: &TreeWrites) -> Result<(), StoreError> {
        (**self).put_tree_writes(height, writes)
    }
    fn tree_writes(&self, height: Height) -> Result<Option<TreeWrites>, StoreError> {
        (**self).tree_writes(height)
    }
}
