//! Backups of a node's home: sealed objects that are uploaded once, a manifest for each backup, and restoring up to the certified height.
//!
//! *Invariants:* the objects at the destination show only sizes and times; a manifest is written after all pieces that
//! it names, so that an interrupted backup is none; a destination belongs to one home; nothing that already exists is
//! changed; a restored home exists as a whole or not at all; the safety journal is never in a backup, and a restored
//! validator's key signs nothing.

mod chain;
mod check;
mod create;
mod error;
mod manifest;
mod place;
#[doc(hidden)]
pub mod probe;
mod restore;
mod retain;
mod state;
mod work;

pub use check::{Damage, Verified};
pub use create::{Created, Home};
pub use error::BackupError;
pub use manifest::{BackupId, FORMAT_MAX, ListedBackup, ShardHeights};
pub use place::{Destination, DestinationOptions};
pub use restore::{Restored, RestoredShard, Restoring};
pub use retain::RetentionResult;
pub use work::{Progress, Work};

use rustorium_crypto::seal::BackupKey;
use std::sync::Arc;

/// The backups at one destination.
pub struct Backups {
    place: Destination,
    /// The key that seals everything that is written.
    key: BackupKey,
    /// The previous key. It opens existing objects.
    older: Option<BackupKey>,
    work: Arc<Work>,
}

impl Backups {
    /// Creates access to a destination whose objects are sealed under a key. Each call reports its progress to `work`.
    pub fn new(place: Destination, key: BackupKey, work: Arc<Work>) -> Self {
        Self { place, key, older: None, work }
    }

    /// Adds the previous key, for backups that were made under it.
    pub fn with_older(self, older: Option<BackupKey>) -> Self {
        Self { older, ..self }
    }
}
