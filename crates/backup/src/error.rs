//! Errors of backups, of their checks and of restoring: one sentence each, and a stable code.

use crate::manifest::{BackupId, FORMAT_MAX};
use rustorium_crypto::seal::SealError;
use rustorium_stages::executor::store_code;
use rustorium_storage::StoreError;
use rustorium_types::Height;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// An operation on backups failed.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The name is neither a folder nor a bucket.
    #[error("{0}")]
    Destination(String),
    /// The destination can't do what was requested.
    #[error(
        "{place} can't be reached or written ({reason}): fix the cause and run the command again; it continues where it stopped"
    )]
    Place {
        /// The destination.
        place: String,
        /// Error reported by the destination or the network.
        reason: String,
    },
    /// There are no backups.
    #[error("{0} holds no backup: check the destination, or make one with `rustorium-node backup create`")]
    Empty(String),
    /// No object opens.
    #[error(
        "the backups in {0} were sealed under another backup key: if another home's are there, take another place for this one's, otherwise name the key with --key"
    )]
    OtherKey(String),
    /// The destination has another home's backups.
    #[error("{place} holds backups of the node {node} and not of this one: give each home a destination of its own")]
    OtherHome {
        /// The destination.
        place: String,
        /// The other node.
        node: String,
    },
    /// No backup has that height.
    #[error(
        "no backup in {place} reaches height {height} (kept: {kept}): name a kept height with --height, or another place with --from"
    )]
    NoSuchHeight {
        /// The destination.
        place: String,
        /// The height asked for.
        height: Height,
        /// The heights that exist.
        kept: String,
    },
    /// A height was asked for of several shards.
    #[error(
        "the backup {0} has several shards, and a height is one shard's: leave --height out, and each shard is restored as far as its certificates reach; name an older backup with --backup"
    )]
    HeightOfShards(BackupId),
    /// An object is damaged.
    #[error("{object} in {place} is damaged ({what}): run `rustorium-node backup verify`, and restore another backup")]
    Damaged {
        /// The destination.
        place: String,
        /// The object.
        object: String,
        /// Description of the damage.
        what: String,
    },
    /// The restored data isn't what the chain certified.
    #[error(
        "the restored state is not the one that the chain certified: {0}; nothing was put in place, restore another backup"
    )]
    Unproven(String),
    /// Certificates prove no height yet.
    #[error("the store has no certified height yet: wait for a final block, then try again")]
    NothingProven,
    /// Another version wrote the backup.
    #[error(
        "the backup {id} has format {found}, and this release reads {FORMAT_MAX} at most: use the release that wrote it, or a newer one"
    )]
    Format {
        /// The backup.
        id: String,
        /// Format of the backup.
        found: u32,
    },
    /// There is something at the place of the new home.
    #[error("{0} exists and is not empty, and is never overwritten: name another --home")]
    Exists(PathBuf),
    /// Another process restores to the same place.
    #[error("another process restores to {0}: wait until it has ended")]
    Busy(PathBuf),
    /// A backup can't be read, so the others can't be removed.
    #[error(
        "{object} in {place} can't be read ({what}), so it isn't known what may be removed: check it with `backup verify`, remove it if it is lost, then try again"
    )]
    Unclear {
        /// The destination.
        place: String,
        /// The object.
        object: String,
        /// Description of the fault.
        what: String,
    },
    /// A file can't be read or written.
    #[error("{path} can't be {doing} ({reason}): fix the cause, then run the command again")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A key failed.
    #[error("{0}")]
    Key(#[from] SealError),
    /// The work was stopped.
    #[error("it was stopped: run the command again; it continues where it stopped")]
    Stopped,
}

impl BackupError {
    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Destination(_) | Self::HeightOfShards(_) => "usage",
            Self::Place { .. } => "backup-place-failed",
            Self::Empty(_) | Self::NoSuchHeight { .. } => "not-found",
            Self::OtherKey(_) => "wrong-backup-key",
            Self::OtherHome { .. } => "other-home",
            Self::Damaged { .. } | Self::Unclear { .. } => "backup-damaged",
            Self::Unproven(_) => "backup-refused",
            Self::NothingProven => "not-ready",
            Self::Format { .. } => "backup-format",
            Self::Exists(_) => "home-exists",
            Self::Busy(_) => "home-locked",
            Self::Io { .. } => "backup-failed",
            Self::Store(error) => store_code(error),
            Self::Key(_) => "key-invalid",
            Self::Stopped => "interrupted",
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { path: path.to_owned(), doing, reason: error.to_string() }
    }
}
