//! The signer's record on disk: a file of checked records, appended to and synced, and written again when it has grown.
//!
//! *Invariants:* when `append` returns, its records are on disk; the records of one call are kept or lost together; a
//! file that a crash cut short lacks only records for which `append` never returned; a file damaged before its end is
//! refused; after a failed write nothing more is written; zeros stand after the end, so that a sync has no length to
//! write; one process at a time has the file; only `create` makes a file, so that an empty one never silently replaces
//! a lost one.

pub use crate::guard::Record;
use rustix::fs::{FlockOperation, flock};
use rustorium_crypto::hash::hash;
use rustorium_types::{Hash, PublicKey, decode, encode, encode_into};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

const MAGIC: &[u8; 16] = b"rustorium-sign\x00\x01";
const HEAD_BYTES: usize = 16 + 32;
/// The check of a record in a signer's file.
const DOMAIN: &[u8] = b"rustorium/signer-record/v1\0";
/// Bytes of a frame's length and check.
const FRAME_BYTES: usize = 4 + 8;
/// Bytes of records after which a file is written again with only the records that still count.
const GROWN_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a frame, which one `append` writes: the largest end of a file that a crash may have cut.
const APPENDED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Number of zeros that are written ahead at once: room for some hundred votes.
const AHEAD_BYTES: u64 = 128 * 1024;
/// Number of records in a frame.
const APPENDED_MAX: u32 = 4096;

/// A record can't be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// The record doesn't exist.
    #[error(
        "there is no record {0} of what the key signed: for a key that never signed run `rustorium-node signer init`, for \
         one that did bring its record back, or add --adopt"
    )]
    Missing(PathBuf),
    /// The record exists already.
    #[error("there is a record {0} already: start the signer with it")]
    Exists(PathBuf),
    /// Another process has the record open.
    #[error("another signer uses the record {0}: stop it first")]
    InUse(PathBuf),
    /// The record belongs to another key.
    #[error("the record {path} is of the key {key}: name the folder that belongs to this key")]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// Key of the record.
        key: Hash,
    },
    /// The file is no record, or is damaged.
    #[error(
        "the record {path} is damaged at byte {at}: bring a whole copy back and run `rustorium-node signer adopt`, or give \
         the validator a new key"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Offset of the damage.
        at: u64,
    },
    /// The system's error.
    #[error("can't use the record {path} ({error}): correct that, and start the signer again")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
}

impl StateError {
    /// Returns a stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "signer-state-missing",
            Self::Exists(_) => "signer-state-exists",
            Self::InUse(_) => "signer-state-in-use",
            Self::OtherKey { .. } => "signer-state-other-key",
            Self::Damaged { .. } => "signer-state-damaged",
            Self::Io { .. } => "signer-state-failed",
        }
    }
}

/// An open record.
pub struct StateFile {
    path: PathBuf,
    key: PublicKey,
    file: File,
    /// The lock, held as long as this is open.
    _lock: File,
    /// Bytes that were appended.
    length: u64,
    /// Bytes of the file: zeros follow the appended bytes.
    room: u64,
    /// Length of the file when it was last written as a whole.
    whole: u64,
    failed: bool,
}

/// Returns the path of a key's record in a folder.
pub fn path_of(folder: &Path, key: &PublicKey) -> PathBuf {
    let name = Hash(*key).to_string();
    folder.join(format!("{}.signed", name.get(..16).unwrap_or_default()))
}

fn io_error(path: &Path, error: io::Error) -> StateError {
    StateError::Io { path: path.to_owned(), error }
}

impl StateFile {
    /// Creates the record of a key. `records` are its first records; empty for a key that signed nothing.
    ///
    /// # Errors
    /// The record exists, or those of the system.
    pub fn create(folder: &Path, key: &PublicKey, records: &[Record]) -> Result<(), StateError> {
        let path = path_of(folder, key);
        let failed = |error| io_error(&path, error);
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(failed)?;
            fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let _lock = locked(&path)?;
        if path.exists() {
            return Err(StateError::Exists(path));
        }
        write_whole(&path, key, records).map(drop).map_err(failed)
    }

    /// Opens a key's record, and returns its records. An end that a crash cut is removed.
    ///
    /// # Errors
    /// The record is missing, in use, damaged or another key's, or those of the system.
    pub fn open(folder: &Path, key: &PublicKey) -> Result<(Self, Vec<Record>), StateError> {
        let path = path_of(folder, key);
        let failed = |error| io_error(&path, error);
        if !path.exists() {
            return Err(StateError::Missing(path));
        }
        let lock = locked(&path)?;
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (records, whole) = parse(&path, key, &bytes)?;
        if whole < bytes.len() {
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let length = whole as u64;
        Ok((Self { path, key: *key, file, _lock: lock, length, room: length, whole: length, failed: false }, records))
    }

    /// Appends records. They are on disk when this returns.
    ///
    /// # Errors
    /// Those of the system. After one, nothing more is written: the state on disk is unknown.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        let mut out = Vec::with_capacity(256);
        frame_into(&self.key, self.length, records, &mut out);
        // Reset after the write is known to be on disk.
        self.failed = true;
        let end = self.length + out.len() as u64;
        if end > self.room {
            let room = end + AHEAD_BYTES;
            let zeros = usize::try_from(room - end).unwrap_or_default();
            self.file.write_all_at(&vec![0; zeros], end)?;
            self.room = room;
        }
        self.file.write_all_at(&out, self.length)?;
        self.file.sync_data()?;
        self.failed = false;
        self.length = end;
        Ok(())
    }

    /// Tells if the file has grown so much that `rewrite` is worthwhile.
    pub fn has_grown(&self) -> bool {
        self.length > self.whole + GROWN_BYTES
    }

    /// Writes the file again with only these records.
    ///
    /// # Errors
    /// Those of the system. Then the old file stays, and nothing more is written.
    pub fn rewrite(&mut self, records: &[Record]) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.failed = true;
        self.length = write_whole(&self.path, &self.key, records)?;
        (self.whole, self.room) = (self.length, self.length);
        self.file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        self.failed = false;
        Ok(())
    }
}

/// Takes the lock beside a record. The lock file stays when the record is replaced.
fn locked(path: &Path) -> Result<File, StateError> {
    let lock = path.with_extension("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    let file = file.map_err(|error| io_error(&lock, error))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| StateError::InUse(path.to_owned()))?;
    Ok(file)
}

/// Writes a whole file and moves it into place. Returns its length.
fn write_whole(path: &Path, key: &PublicKey, records: &[Record]) -> io::Result<u64> {
    let new = path.with_extension("new");
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(key);
    for record in records {
        frame_into(key, out.len() as u64, std::slice::from_ref(record), &mut out);
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&out)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(out.len() as u64)
}

/// Returns a check over key, place and payload. A frame that was moved, or that belongs to another key, doesn't pass.
fn check(key: &PublicKey, at: u64, payload: &[u8]) -> [u8; 8] {
    let whole = hash(DOMAIN, &[key, &at.to_le_bytes(), payload]);
    let mut check = [0; 8];
    check.copy_from_slice(&whole[..8]);
    check
}

/// Appends records as the frame at offset `at`.
fn frame_into(key: &PublicKey, at: u64, records: &[Record], out: &mut Vec<u8>) {
    let mut payload = encode(&u32::try_from(records.len()).unwrap_or(u32::MAX));
    records.iter().for_each(|record| encode_into(record, &mut payload));
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&check(key, at, &payload));
    out.extend_from_slice(&payload);
}

/// Parses the frame at `at`. Returns its records and the offset of the next frame; `None` if the bytes are no frame.
fn frame_at(key: &PublicKey, bytes: &[u8], at: usize) -> Option<(Vec<Record>, usize)> {
    let length = word(bytes, at)? as usize;
    let count = word(bytes, at + FRAME_BYTES)?;
    // These checks come before the hash: after damage, every byte is tried as the start of a frame.
    if length > APPENDED_BYTES_MAX || count == 0 || count > APPENDED_MAX {
        return None;
    }
    let start = at + FRAME_BYTES;
    let payload = bytes.get(start..start + length)?;
    if bytes.get(at + 4..start) != Some(&check(key, at as u64, payload)[..]) {
        return None;
    }
    Some((decode(payload, APPENDED_BYTES_MAX).ok()?, start + length))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// Returns the records of a file, and the length of its complete frames.
fn parse(path: &Path, key: &PublicKey, bytes: &[u8]) -> Result<(Vec<Record>, usize), StateError> {
    let damaged = |at: usize| StateError::Damaged { path: path.to_owned(), at: at as u64 };
    let head = bytes.get(..HEAD_BYTES).ok_or_else(|| damaged(0))?;
    if !head.starts_with(MAGIC) {
        return Err(damaged(0));
    }
    if head.get(MAGIC.len()..) != Some(&key[..]) {
        let mut other = [0; 32];
        other.copy_from_slice(&head[MAGIC.len()..]);
        return Err(StateError::OtherKey { path: path.to_owned(), key: Hash(other) });
    }
    let (mut records, mut at) = (Vec::new(), head.len());
    while at < bytes.len() {
        let Some((more, next)) = frame_at(key, bytes, at) else { break };
        records.extend(more);
        at = next;
    }
    // A frame is written only after those before it are on disk. So no frame follows one that a crash cut.
    let rest = bytes.len() - at;
    let cut_max = FRAME_BYTES + APPENDED_BYTES_MAX + AHEAD_BYTES as usize;
    let follows = rest > cut_max || (at + 1..bytes.len()).any(|at| frame_at(key, bytes, at).is_some());
    if follows { Err(damaged(at)) } else { Ok((records, at)) }
}

#[cfg(test)]
impl StateFile {
    /// Makes every further write fail as on a full disk.
    pub(crate) fn fill_disk(&mut self) -> io::Result<()> {
        self.file = OpenOptions::new().write(true).open("/dev/full")?;
        Ok(())
    }
}
