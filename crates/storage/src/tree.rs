//! The `TreeStore` trait: rows of the state tree as of one height, the base, and what heights above it wrote.
//!
//! *Invariants:* the base changes as a whole, from the state after one height to that after a later one; what a height wrote
//! is kept until the base has it.

use crate::store::StoreError;
use rustorium_types::{Hash, Height, StateKey};
use std::sync::Arc;

/// What a height wrote: keys, each once, with the hash of the new value (none: deleted).
pub type TreeWrites = Vec<(StateKey, Option<Hash>)>;

/// A row of the tree and what it becomes; none where it is removed.
pub type TreeRow = (Vec<u8>, Option<Vec<u8>>);

/// What a node keeps of the state tree. Rows are opaque here: the tree's keys and encodings are its own.
pub trait TreeStore: Send + Sync {
    /// The height whose state the base is; none before the first `fold_tree`.
    fn tree_base(&self) -> Result<Option<Height>, StoreError>;

    /// Rows of the base by key, in the order of `keys`.
    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Rows of the base whose keys begin with `prefix` and have one byte more, by key.
    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError>;

    /// Moves the base to the state after `height`, all or nothing, and forgets what the heights up to it wrote.
    fn fold_tree(&self, height: Height, rows: &[TreeRow]) -> Result<(), StoreError>;

    /// Keeps what a height writes; comes before its commit.
    fn put_tree_writes(&self, height: Height, writes: &TreeWrites) -> Result<(), StoreError>;

    /// What a height above the base wrote; none where that isn't kept.
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
