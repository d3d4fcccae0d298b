//! The mark beside the safety journal that retires this validator's key: the key signs nothing more. The mark contains
//! the reason.
//!
//! *Invariants:* once `mark` has returned, every later start finds the mark; the first reason stays.

use crate::files;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// The mark's file name in the journal's folder.
pub const FILE_NAME: &str = "retired";
/// Bytes of the reason that are read back.
const REASON_BYTES_MAX: usize = 4096;

/// Writes the mark, on disk when this returns. An existing mark stays as it is.
pub fn mark(folder: &Path, reason: &str) -> io::Result<()> {
    if read(folder)?.is_some() {
        return Ok(());
    }
    files::private_folder(folder)?;
    let unfinished = folder.join("retired.new");
    let mut file = files::private_file().write(true).create(true).truncate(true).open(&unfinished)?;
    file.write_all(reason.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(FILE_NAME))?;
    files::sync_folder(folder)
}

/// Returns the reason if the key is retired. A mark that isn't valid text counts as well.
pub fn read(folder: &Path) -> io::Result<Option<String>> {
    match fs::read(folder.join(FILE_NAME)) {
        Ok(bytes) => {
            let bytes = &bytes[..bytes.len().min(REASON_BYTES_MAX)];
            Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_reason_stays() {
        let folder = tempfile::tempdir().unwrap();
        let safety = folder.path().join("safety");
        assert_eq!(read(&safety).unwrap(), None);
        mark(&safety, "first").unwrap();
        mark(&safety, "second").unwrap();
        assert_eq!(read(&safety).unwrap().as_deref(), Some("first"));
        let mode = fs::metadata(safety.join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!safety.join("retired.new").exists());
    }

    #[test]
    fn a_mark_that_a_crash_cut_short_is_none_and_a_garbled_one_is_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("retired.new"), "half").unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        fs::write(folder.path().join(FILE_NAME), [0xff; 10_000]).unwrap();
        assert!(read(folder.path()).unwrap().is_some());
    }

    #[test]
    fn a_mark_that_cannot_be_looked_at_is_no_leave_to_sign() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FILE_NAME)).unwrap();
        assert!(read(folder.path()).is_err());
    }
}
