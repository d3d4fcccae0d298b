//! The parts for a machine with an operating system: one table file for all its nodes, mapped read-only.
//!
//! *Invariants:* no other module of this crate touches a file; a table file is complete and synced before it has its
//! name, is never written to afterwards, and is hashed each time it is opened.

mod map;

use crate::tables::{TableError, Tables, pinned};
use map::Map;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fsync, open, rename};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The table file could not be opened or made.
#[derive(Debug, Error)]
pub enum HostError {
    /// The width is not one that files exist for.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The operating system refused.
    #[error("can't {doing} {path}: {reason}; give the folder to this user and free the disk, or name another folder")]
    Io {
        /// The operation that failed.
        doing: &'static str,
        /// The file of the operation.
        path: PathBuf,
        /// The system's error.
        reason: Errno,
    },
}

/// Opens the table with windows of `width` bits (8 to 12) in `folder`, which must exist. If the file is missing or
/// damaged, it is made first.
///
/// Opening hashes the whole file: 26 ms of CPU time for the 200 MiB of width 10 (`--example tree`). Making it takes 0.7
/// s and the same amount of private memory. One process makes it at a time; the others wait.
///
/// # Errors
/// [`HostError`].
pub fn open_table(folder: &Path, width: u32) -> Result<Tables, HostError> {
    let hash = pinned(width).ok_or(TableError::Width(width))?;
    let path = folder.join(format!("verkle-w{width}-{}.tbl", hex::encode(&hash[..8])));
    if let Some(tables) = map_table(&path, width)? {
        return Ok(tables);
    }
    let lock = folder.join("verkle.lock");
    let held = open(&lock, OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
        .map_err(|reason| failed("open", &lock, reason))?;
    flock(&held, FlockOperation::LockExclusive).map_err(|reason| failed("lock", &lock, reason))?;
    if let Some(tables) = map_table(&path, width)? {
        return Ok(tables);
    }
    write_table(folder, &path, Tables::build(width)?.as_bytes())?;
    map_table(&path, width)?.ok_or_else(|| failed("read back", &path, Errno::IO))
}

fn failed(doing: &'static str, path: &Path, reason: Errno) -> HostError {
    HostError::Io { doing, path: path.to_owned(), reason }
}

/// Maps the table in the file; `None` if there is no such file or its bytes aren't the table.
fn map_table(path: &Path, width: u32) -> Result<Option<Tables>, HostError> {
    let file = match open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(|reason| failed("open", path, reason))?,
    };
    match Map::whole(&file) {
        Err(Errno::INVAL) => Ok(None), // an empty file
        Err(reason) => Err(failed("map", path, reason)),
        Ok(map) => Ok(Tables::open(width, Box::new(map)).ok()),
    }
}

fn write_table(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), HostError> {
    let partial = path.with_extension("partial");
    // Readable for everyone, writable for no one: nodes of other users may share it.
    let options = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::unlink(&partial) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(reason) => return Err(failed("remove", &partial, reason)),
    }
    let file =
        open(&partial, options, Mode::from_raw_mode(0o444)).map_err(|reason| failed("create", &partial, reason))?;
    let written = write_all(&file, bytes).and_then(|()| fsync(&file));
    written.map_err(|reason| failed("write", &partial, reason))?;
    rename(&partial, path).map_err(|reason| failed("rename", &partial, reason))?;
    let folder_file = open(folder, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    folder_file.and_then(fsync).map_err(|reason| failed("sync", folder, reason))
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Err(Errno::INTR) => {}
            Ok(0) => return Err(Errno::IO),
            other => bytes = &bytes[other?..],
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Fr;

    fn file_in(folder: &Path) -> PathBuf {
        let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "tbl")).unwrap()
    }

    #[test]
    fn a_table_file_is_made_once_and_made_again_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let first = open_table(folder.path(), 8).unwrap();
        let path = file_in(folder.path());
        let made = std::fs::metadata(&path).unwrap().modified().unwrap();
        let second = open_table(folder.path(), 8).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), made);
        let built = Tables::build(8).unwrap();
        assert!(second.as_bytes() == built.as_bytes());
        let damages: [fn(&mut Vec<u8>); 3] =
            [|bytes| bytes[1_000_000] ^= 1, |bytes| bytes.truncate(9000), |bytes| bytes.clear()];
        for damage in damages {
            let mut bytes = built.as_bytes().to_vec();
            damage(&mut bytes);
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bytes).unwrap();
            assert!(open_table(folder.path(), 8).unwrap().as_bytes() == built.as_bytes());
        }
        // A mapping outlives the name of its file.
        assert_eq!(first.commit_delta(3, Fr::from(5)), built.commit_delta(3, Fr::from(5)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "the table and its lock");
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let error = open_table(Path::new("/nowhere/at/all"), 8).err().unwrap();
        assert!(error.to_string().starts_with("can't open /nowhere/at/all/verkle.lock"), "{error}");
        let error = open_table(Path::new("/tmp"), 5).err().unwrap();
        assert!(matches!(error, HostError::Table(TableError::Width(5))));
    }
}
