//! The `EpochStore` trait: how each epoch ended, and at which heights the chain's operators changed the committee
//! record.
//!
//! *Invariants:* rows are written before the commit of the height that they belong to, so a reader that finds the
//! height finds them too; writing a row again changes nothing.

use crate::store::StoreError;
use rustorium_types::{Epoch, EpochTransition, Height};
use std::sync::Arc;

/// A node's storage of epochs.
pub trait EpochStore: Send + Sync {
    /// Returns how an epoch ended; `None` while it continues.
    fn epoch(&self, epoch: Epoch) -> Result<Option<EpochTransition>, StoreError>;

    /// Stores how the epoch of the transition's boundary ended. Must come before the boundary's commit.
    fn put_epoch(&self, change: &EpochTransition) -> Result<(), StoreError>;

    /// Returns the committee record as of `height`: the one from the newest height up to it that wrote one.
    fn committee_record(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores the committee record that `height` writes. Must come before the commit of that height.
    fn put_committee_record(&self, height: Height, record: &[u8]) -> Result<(), StoreError>;
}

impl<S: EpochStore + ?Sized> EpochStore for Arc<S> {
    fn epoch(&self, epoch: Epoch) -> Result<Option<EpochTransition>, StoreError> {
        (**self).epoch(epoch)
    }
    fn put_epoch(&self, change: &EpochTransition) -> Result<(), StoreError> {
        (**self).put_epoch(change)
    }
    fn committee_record(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).committee_record(height)
    }
    fn put_committee_record(&self, height: Height, record: &[u8]) -> Result<(), StoreError> {
        (**self).put_committee_record(height, record)
    }
}
