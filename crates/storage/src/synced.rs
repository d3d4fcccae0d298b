//! The `SyncStore` trait: a store that is filled from a snapshot of the state instead of from blocks.
//!
//! *Invariants:* a store in the middle of it has no tip; what it holds so far survives a kill; it becomes a store with a tip
//! in one write, or stays as it was.

use crate::store::{HeightCommit, StoreError};
use crate::tree::TreeRow;
use rustorium_types::{Header, Height, LeafWrite};
use std::sync::Arc;

/// What a store begins with that was filled from a snapshot.
#[derive(Clone, Debug)]
pub struct SyncedTip {
    /// The snapshot's height: its block's header without transactions, no receipts, no diff.
    pub commit: HeightCommit,
    /// The headers below it by which root periods are told.
    pub headers: Vec<Header>,
}

/// Filling a store from a snapshot.
pub trait SyncStore: Send + Sync {
    /// What `begin_sync` was told, until `finish_sync`.
    fn syncing(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Empties the store of all that is of the chain, and notes what it is to be filled with.
    fn begin_sync(&self, what: &[u8]) -> Result<(), StoreError>;

    /// Keeps a part of the snapshot, all or nothing: rows of the tree's base and leaves as of `height`.
    fn put_synced(&self, height: Height, rows: &[TreeRow], leaves: &[LeafWrite]) -> Result<(), StoreError>;

    /// Makes the snapshot's height the tip and the tree's base, the oldest kept height and the only kept root; durable
    /// when it returns. Errors: nothing was begun; then nothing has changed.
    fn finish_sync(&self, tip: &SyncedTip) -> Result<(), StoreError>;

    /// The headers that came with the snapshot; none in a store that wasn't filled from one.
    fn synced_headers(&self) -> Result<Vec<Header>, StoreError>;
}

impl<S: SyncStore + ?Sized> SyncStore for Arc<S> {
    fn syncing(&self) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).syncing()
    }
    fn begin_sync(&self, what: &[u8]) -> Result<(), StoreError> {
        (**self).begin_sync(what)
    }
    fn put_synced(&self, height: Height, rows: &[TreeRow], leaves: &[LeafWrite]) -> Result<(), StoreError> {
        (**self).put_synced(height, rows, leaves)
    }
    fn finish_sync(&self, tip: &SyncedTip) -> Result<(), StoreError> {
        (**self).finish_sync(tip)
    }
    fn synced_headers(&self) -> Result<Vec<Header>, StoreError> {
        (**self).synced_headers()
    }
}

pub(crate) fn not_begun(height: Height) -> StoreError {
    StoreError::Inconsistent { height, what: "no sync of the state was begun" }
}
