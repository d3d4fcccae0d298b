//! How long RocksDB's manifest has been, kept in a file beside it.
//!
//! RocksDB takes a manifest that ends early for an older one: it forgets the table files that only the lost part names,
//! goes on with the newest log, and the rows between the two are gone without a word.
//!
//! *Invariants:* a length is kept only when the manifest is that long on disk; what has become shorter is never opened.

use super::disk::failure;
use crate::files;
use crate::store::StoreError;
use parking_lot::Mutex;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) const FILE_NAME: &str = "manifest-length";
/// RocksDB's file with the name of the manifest that holds.
const CURRENT: &str = "CURRENT";

/// A manifest's name and its bytes.
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

    /// That of the manifest that holds now.
    fn now(folder: &Path) -> io::Result<(Self, File)> {
        let name = fs::read_to_string(folder.join(CURRENT))?.trim_end().to_owned();
        let file = File::open(folder.join(&name))?;
        Ok((Self { bytes: file.metadata()?.len(), name }, file))
    }
}

/// The file's contents, written anew; none where they say no length.
pub(crate) fn reencode(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().and_then(Length::parse).map(|length| length.to_text())
}

/// Refuses a folder whose manifest is shorter than it was, or that can't say how long it was. What else is wrong with the
/// manifest, RocksDB says.
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

    /// Keeps how long it is now, where that is something else than what is kept.
    pub(super) fn keep(&self) -> Result<(), StoreError> {
        self.keep_now().map_err(|error| refusal(&self.folder, &error))
    }

    fn keep_now(&self) -> io::Result<()> {
        let mut kept = self.kept.lock();
        let (now, manifest) = Length::now(&self.folder)?;
        if kept.as_ref() == Some(&now) {
            return Ok(());
        }
        // RocksDB syncs what it appends, but perhaps a moment from now.
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
