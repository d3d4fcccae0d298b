//! The `EpochStore` trait: how each epoch ended, and what the chain's operators wanted of its committee at which height.
//!
//! *Invariants:* rows are written before the commit of the height that they belong to, so that whoever finds that height
//! finds them too; writing one again changes nothing.

use crate::store::StoreError;
use rustorium_types::{Epoch, EpochChange, Height};
use std::sync::Arc;

/// What a node keeps of epochs.
pub trait EpochStore: Send + Sync {
    /// How an epoch ended; none while it goes on.
    fn epoch(&self, epoch: Epoch) -> Result<Option<EpochChange>, StoreError>;

    /// Keeps how the epoch of `change.boundary` ended; comes before the boundary's commit.
    fn put_epoch(&self, change: &EpochChange) -> Result<(), StoreError>;

    /// The committee record as of `height`: of the newest height up to it that wrote one.
    fn committee_record(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps the committee record that `height` writes; comes before its commit.
    fn put_committee_record(&self, height: Height, record: &[u8]) -> Result<(), StoreError>;
}

impl<S: EpochStore + ?Sized> EpochStore for Arc<S> {
    fn epoch(&self, epoch: Epoch) -> Result<Option<EpochChange>, StoreError> {
        (**self).epoch(epoch)
    }
    fn put_epoch(&self, change: &EpochChange) -> Result<(), StoreError> {
        (**self).put_epoch(change)
    }
    fn committee_record(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).committee_record(height)
    }
    fn put_committee_record(&self, height: Height, record: &[u8]) -> Result<(), StoreError> {
        (**self).put_committee_record(height, record)
    }
}
