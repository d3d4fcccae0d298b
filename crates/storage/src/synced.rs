//! The `SyncStore` trait: a store that is filled from a snapshot of the state instead of from blocks.
//!
//! *Invariants:* a store that is being filled has no tip; the parts that it has so far survive a kill; it becomes a
//! store with a tip in one write, or stays as it was.

use crate::store::{HeightCommit, StoreError};
use crate::tree::TreeRow;
use rustorium_types::{Header, Height, LeafWrite};
use std::sync::Arc;

/// The first tip of a store that was filled from a snapshot.
#[derive(Clone, Debug)]
pub struct SyncedTip {
    /// The snapshot's height: its block's header without transactions, no receipts, no diff.
    pub commit: HeightCommit,
    /// The headers below it that determine the root periods.
    pub headers: Vec<Header>,
}

/// Filling a store from a snapshot.
pub trait SyncStore: Send + Sync {
    /// Returns the description that `begin_sync` got, until `finish_sync`; `None` at other times.
    fn syncing(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes everything of the chain from the store, and stores the description of the snapshot that will fill it.
    fn begin_sync(&self, what: &[u8]) -> Result<(), StoreError>;

    /// Stores a part of the snapshot, all or nothing: rows of the tree's base and leaves as of `height`.
    fn put_synced(&self, height: Height, rows: &[TreeRow], leaves: &[LeafWrite]) -> Result<(), StoreError>;

    /// Makes the snapshot's height the tip, the tree's base, the oldest kept height and the only kept root. It is
    /// durable when this returns. Errors: no sync was begun; then nothing has changed.
    fn finish_sync(&self, tip: &SyncedTip) -> Result<(), StoreError>;

    /// Returns the headers that came with the snapshot; none in a store that wasn't filled from one.
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
