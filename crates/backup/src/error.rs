//! Why a backup can't be made, checked or restored: one sentence each, and a stable code.

use crate::manifest::FORMAT;
use rustorium_crypto::seal::SealError;
use rustorium_dataplane::executor::store_code;
use rustorium_storage::StoreError;
use rustorium_types::Height;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why something about a backup did not come to its end.
#[derive(Debug, Error)]
pub enum BackupError {
    /// No folder and no bucket.
    #[error("{0}")]
    Destination(String),
    /// The destination doesn't do what it is asked.
    #[error(
        "{place} can't be reached or written ({reason}): mend that and run this again, which goes on with what is there"
    )]
    Place {
        /// The destination.
        place: String,
        /// What it, or the way to it, says.
        reason: String,
    },
    /// No backups there.
    #[error("{0} holds no backup: check the destination, or make one with `rustorium-node backup create`")]
    Empty(String),
    /// Nothing there opens.
    #[error("what {0} holds was sealed under another backup key: name the backup.key of that home with --key")]
    OtherKey(String),
    /// Another home's backups are there.
    #[error("{place} holds backups of the node {node} and not of this one: give each home a destination of its own")]
    OtherHome {
        /// The destination.
        place: String,
        /// Whose.
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
        /// Which there are.
        kept: String,
    },
    /// An object that isn't what was written.
    #[error("{object} in {place} is damaged ({what}): run `rustorium-node backup verify`, and restore another backup")]
    Damaged {
        /// The destination.
        place: String,
        /// The object.
        object: String,
        /// What is wrong with it.
        what: String,
    },
    /// What was restored isn't what the chain certified.
    #[error("what was restored is not what the chain certified: {0}; nothing was put in place, restore another backup")]
    Unproven(String),
    /// Nothing that certificates vouch for.
    #[error("the store has no height yet that certificates vouch for: wait for a final block, then try again")]
    NothingProven,
    /// Written by another version.
    #[error(
        "the backup {id} has format {found}, and this release reads {FORMAT}: use the release that wrote it, or a newer one"
    )]
    Format {
        /// Which.
        id: String,
        /// Its format.
        found: u32,
    },
    /// Something is where a home is to be.
    #[error("{0} is there and not empty, and is never overwritten: name another --home")]
    Exists(PathBuf),
    /// Another process restores to the same place.
    #[error("another process restores to {0}: wait for its end")]
    Busy(PathBuf),
    /// A backup that can't be read keeps others from being removed.
    #[error(
        "{object} in {place} can't be read ({what}), so that nothing tells what may be removed: look at it with `backup verify`, remove it if it is lost, then try again"
    )]
    Unclear {
        /// The destination.
        place: String,
        /// The object.
        object: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file can't be read or written.
    #[error("{path} can't be {doing} ({reason}): mend that, then run this again")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A key.
    #[error("{0}")]
    Key(#[from] SealError),
    /// It was stopped.
    #[error("it was stopped: run it again, which goes on with what is there")]
    Stopped,
}

impl BackupError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Destination(_) => "usage",
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
