//! Backups of a node's home: sealed objects that are uploaded once, a manifest for each backup, and restoring as far as certificates vouch.
//!
//! *Invariants:* what lies at the destination shows sizes and times and nothing else; a manifest is written when all that it
//! names is there, so that what was cut short is no backup; a destination is one home's; nothing that is there is changed,
//! and a restored home is there as a whole or not at all; the safety journal is never in a backup, and a restored
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
pub use manifest::{BackupId, FORMAT, Listed};
pub use place::{Destination, DestinationOptions};
pub use restore::{Restored, Restoring};
pub use retain::Retained;
pub use work::{Progress, Work};

use rustorium_crypto::seal::BackupKey;
use std::sync::Arc;

/// The backups at one destination.
pub struct Backups {
    place: Destination,
    /// Seals all that is written.
    key: BackupKey,
    /// The key before: it opens what is there.
    older: Option<BackupKey>,
    work: Arc<Work>,
}

impl Backups {
    /// Those at a destination, sealed under a key. How far each call has come is told to `work`.
    pub fn new(place: Destination, key: BackupKey, work: Arc<Work>) -> Self {
        Self { place, key, older: None, work }
    }

    /// Also with backups that were made under the key before.
    pub fn with_older(self, older: Option<BackupKey>) -> Self {
        Self { older, ..self }
    }
}
