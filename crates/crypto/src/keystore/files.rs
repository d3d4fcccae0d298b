//! The operating system calls of key files.
//!
//! *Invariants:* on Unix a file is created for its owner alone (mode 0600). Windows has no such modes: there a file has the
//! access rights of its folder, and folders need no sync.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Creates a private file, which must not exist.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Puts a folder's list of files on the disk.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The file's permission bits.
#[cfg(unix)]
pub(super) fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
}

/// The permission bits of a private file.
#[cfg(not(unix))]
pub(super) fn mode(_: &Metadata) -> u32 {
    0o600
}

/// The number of names that the file has.
#[cfg(unix)]
pub(super) fn names(metadata: &Metadata, _: u64) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

/// `expected`: the system doesn't say how many names a file has.
#[cfg(not(unix))]
pub(super) fn names(_: &Metadata, expected: u64) -> u64 {
    expected
}

/// Overwrites the file's beginning.
pub(super) fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    use std::io::{Seek, Write};
    let mut file = file;
    file.rewind()?;
    file.write_all(bytes)
}
