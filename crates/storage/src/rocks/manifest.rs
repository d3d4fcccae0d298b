//! The length of RocksDB's manifest, kept in a file beside it.
//!
//! RocksDB takes a manifest that was cut for an older one. It forgets the table files that only the lost part names,
//! and continues with the newest log. The rows in between are lost without an error.
//!
//! *Invariants:* a length is kept only when the manifest is that long on disk; a manifest that has become shorter is
//! never opened.

use super::disk::failure;
use crate::files;
use crate::store::StoreError;
use parking_lot::Mutex;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) const FILE_NAME: &str = "manifest-length";
/// RocksDB's file with the name of the current manifest.
const CURRENT: &str = "CURRENT";

/// A manifest's name and its length.
#[derive(Clone, PartialEq, Eq)]
struct Length {
    name: String,
    bytes: u64,
}

impl Length {
    fn to_text(&self) -> String {
        let said = format!("{} {}", self.name, self.bytes);
        let check = blake3::hash(said.as_bytes()).to_hex();
        format!("{said} {check}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let length = Self { name: words.next()?.to_owned(), bytes: words.next()?.parse().ok()? };
        (length.to_text() == text).then_some(length)
    }

    /// Reads the length of the current manifest.
    fn now(folder: &Path) -> io::Result<(Self, File)> {
        let name = fs::read_to_string(folder.join(CURRENT))?.trim_end().to_owned();
        let file = File::open(folder.join(&name))?;
        Ok((Self { bytes: file.metadata()?.len(), name }, file))
    }
}

/// Decodes the file's contents and encodes them again; `None` if they give no length.
pub(crate) fn reencode(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().and_then(Length::parse).map(|length| length.to_text())
}

/// Refuses a folder whose manifest is shorter than it was, or whose kept length can't be read. RocksDB reports all
/// other faults of the manifest.
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    let damaged = |reason| StoreError::Damaged { path: folder.display().to_string(), reason };
    let kept = match fs::read(folder.join(FILE_NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refusal(folder, &error)),
    };
    let kept = std::str::from_utf8(&kept).ok().and_then(Length::parse);
    let kept = kept.ok_or_else(|| damaged(format!("{FILE_NAME} isn't as it was written")))?;
    match Length::now(folder) {
        Ok((now, _)) if now.name == kept.name && now.bytes < kept.bytes => {
            Err(damaged(format!("{} has {} bytes and had {}", now.name, now.bytes, kept.bytes)))
        }
        _ => Ok(()),
    }
}

fn refusal(folder: &Path, error: &io::Error) -> StoreError {
    let path = folder.display().to_string();
    if files::is_full(error) { StoreError::DiskFull { path } } else { failure(folder, &error.to_string()) }
}

/// Keeps the length of an open database's manifest.
pub(super) struct Manifest {
    folder: PathBuf,
    kept: Mutex<Option<Length>>,
}

impl Manifest {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), kept: Mutex::new(None) }
    }

    /// Keeps the present length, if it differs from the kept one.
    pub(super) fn keep(&self) -> Result<(), StoreError> {
        self.keep_now().map_err(|error| refusal(&self.folder, &error))
    }

    fn keep_now(&self) -> io::Result<()> {
        let mut kept = self.kept.lock();
        let (now, manifest) = Length::now(&self.folder)?;
        if kept.as_ref() == Some(&now) {
            return Ok(());
        }
        // RocksDB syncs what it appends, but maybe a moment later.
        manifest.sync_data()?;
        let unfinished = self.folder.join(format!("{FILE_NAME}.new"));
        let mut file = files::private_file().write(true).create(true).truncate(true).open(&unfinished)?;
        file.write_all(now.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(FILE_NAME))?;
        files::sync_folder(&self.folder)?;
        *kept = Some(now);
        Ok(())
    }
}
