//! Folders and files as everything in a node's home has them: folders are 0700, files are 0600, and one owner holds an
//! exclusive lock.

use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Creates the folder if it is missing, and closes it to everyone else. When this returns, the folder's name survives a
/// power cut. That also holds if an earlier start created it and was killed before it could sync the name.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if std::fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    path.canonicalize()?.parent().map_or(Ok(()), sync_folder)
}

/// Returns options for a file that only its owner can open.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Locks the file until it is closed; `false` if another open file holds the lock.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes created, renamed and removed names in the folder survive a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Tells if an error means that the disk, or this user's quota on it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Returns advice for a file that has another format than this release's.
pub(crate) fn other_format(found: u32, supported: u32) -> &'static str {
    if found > supported {
        "install the release that wrote it, or a newer one; nothing was changed"
    } else {
        "it is older than any that can be upgraded, so start the release that wrote it; nothing was changed"
    }
}
