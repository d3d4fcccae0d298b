//! Replacing and destroying key files, so that a cut at any step leaves the old file or the new one, whole.
//!
//! *Invariants:* a file is replaced by renaming, after the new one is on disk and was opened; the contents of a
//! replaced or destroyed file are overwritten only after no name leads to them any more.

use super::files::{create_private, names, sync_folder, write_at_start};
use super::{KeystoreError, Origin, SECRET_BYTES_MAX, io_error, open_file, read, sealed_text};
use crate::locked::scrubbed;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Called before each change of the disk. If it returns an error, the change isn't made. Tests fail or end the process
/// there.
pub(super) type Gate<'a> = &'a dyn Fn() -> io::Result<()>;

/// The gate for use outside of tests.
pub(super) fn open_gate() -> io::Result<()> {
    Ok(())
}

/// Result of `reseal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResealOutcome {
    /// The file was sealed under the old passphrase, and is now sealed under the new one.
    Now,
    /// The file was sealed under the new passphrase before the call.
    Before,
}

/// Tells if a passphrase opens a key file of any kind. Errors: those of `open` except a wrong passphrase.
pub fn opens(path: &Path, passphrase: &[u8]) -> Result<bool, KeystoreError> {
    let file = read(path)?;
    match open_file(path, &file, &file.kind, passphrase) {
        Ok(_) => Ok(true),
        Err(KeystoreError::WrongPassphrase(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Seals a key file of any kind under another passphrase. An interrupted call must be repeated: the file opens with one
/// of the two. Errors: neither opens it, or the disk; then the file is unchanged.
pub fn reseal(path: &Path, old: &[u8], new: &[u8], origin: Origin) -> Result<ResealOutcome, KeystoreError> {
    reseal_through(path, old, new, origin, &open_gate)
}

pub(super) fn reseal_through(
    path: &Path,
    old: &[u8],
    new: &[u8],
    origin: Origin,
    gate: Gate<'_>,
) -> Result<ResealOutcome, KeystoreError> {
    if new.is_empty() {
        return Err(KeystoreError::EmptyPassphrase);
    }
    if opens(path, new)? {
        return Ok(ResealOutcome::Before);
    }
    scrubbed(|| {
        let file = read(path)?;
        let secret = open_file(path, &file, &file.kind, old)?;
        debug_assert!(secret.len() <= SECRET_BYTES_MAX, "it was sealed once");
        let text = sealed_text(path, &secret, &file.kind, file.public.clone(), new, origin)?;
        let unfinished = beside(path, "new");
        put(&unfinished, &text, gate).map_err(io_error(path))?;
        // Read it back: if the key can't be opened any more, it is lost.
        let written = read(&unfinished)?;
        let again = open_file(&unfinished, &written, &file.kind, new)?;
        if *again != *secret || written.public != file.public {
            return Err(super::corrupt(&unfinished)("it isn't what was written".into()));
        }
        rename_over(&unfinished, path, gate).map_err(io_error(path))
    })?;
    Ok(ResealOutcome::Now)
}

/// Removes a key file and overwrites its contents. If there is none, overwrites the remains of an earlier call.
pub fn destroy(path: &Path) -> Result<(), KeystoreError> {
    destroy_through(path, &open_gate)
}

pub(super) fn destroy_through(path: &Path, gate: Gate<'_>) -> Result<(), KeystoreError> {
    let gone = beside(path, "gone");
    let work = || {
        // An interrupted call may have left one. Its name can be used for this one only after its contents are gone.
        overwrite_and_remove(&gone, gate)?;
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        gate()?;
        fs::rename(path, &gone)?;
        sync_folder_of(path, gate)?;
        overwrite_and_remove(&gone, gate)
    };
    work().map_err(io_error(path))
}

/// Returns the path of a step's unfinished file: hidden, beside the file.
pub(super) fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{what}"))
}

/// Writes a private file and syncs it. A file that an earlier call left is replaced.
pub(super) fn put(path: &Path, contents: &[u8], gate: Gate<'_>) -> io::Result<()> {
    gate()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    gate()?;
    let mut file = create_private(path)?;
    gate()?;
    file.write_all(contents)?;
    gate()?;
    file.sync_all()
}

/// Renames a synced file over another one, and overwrites the old contents, unless another name still leads to them.
pub(super) fn rename_over(from: &Path, to: &Path, gate: Gate<'_>) -> io::Result<()> {
    let replaced = OpenOptions::new().write(true).open(to)?;
    gate()?;
    fs::rename(from, to)?;
    sync_folder_of(to, gate)?;
    if names(&replaced.metadata()?, 0) == 0 {
        overwrite(&replaced, gate)?;
    }
    Ok(())
}

pub(super) fn sync_folder_of(path: &Path, gate: Gate<'_>) -> io::Result<()> {
    gate()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(folder)
}

fn overwrite_and_remove(path: &Path, gate: Gate<'_>) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if names(&file.metadata()?, 1) == 1 {
        overwrite(&file, gate)?;
    }
    gate()?;
    fs::remove_file(path)?;
    sync_folder_of(path, gate)
}

fn overwrite(file: &File, gate: Gate<'_>) -> io::Result<()> {
    let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(0).min(super::FILE_BYTES_MAX as usize);
    gate()?;
    write_at_start(file, &vec![0; bytes])?;
    gate()?;
    file.sync_all()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{open, public, seal_signing_key, seal_with_public};
    use super::*;
    use crate::sign::SigningKey;
    use std::cell::Cell;
    use std::os::unix::fs::MetadataExt;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// A way in which a step of the disk fails.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Cut {
        /// The process ends before the step.
        Kill,
        /// The disk is full.
        Full,
    }

    /// Runs `work` with a gate that cuts at its nth step. Returns whether it came to that step.
    pub fn cut_at(nth: usize, cut: Cut, work: impl FnOnce(Gate<'_>) -> Result<(), KeystoreError>) -> bool {
        let steps = Cell::new(0);
        let gate = || {
            steps.set(steps.get() + 1);
            match cut {
                _ if steps.get() < nth => Ok(()),
                Cut::Full => Err(io::Error::from(ErrorKind::StorageFull)),
                Cut::Kill => std::panic::resume_unwind(Box::new("killed")),
            }
        };
        let ended = catch_unwind(AssertUnwindSafe(|| work(&gate)));
        match (ended, cut) {
            (Ok(Ok(())), _) => false,
            (Ok(Err(_)), Cut::Full) | (Err(_), Cut::Kill) => true,
            (ended, _) => panic!("{nth} {cut:?}: {ended:?}"),
        }
    }

    const QUICK: Origin = Origin::Random;

    #[test]
    fn a_file_of_any_kind_changes_its_passphrase_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let key = SigningKey::from_seed(&[7; 32]);
        seal_signing_key(&path, &key, "node", b"old").unwrap();
        let before = fs::read(&path).unwrap();
        let held = File::open(&path).unwrap();
        assert_eq!(reseal(&path, b"old", b"new", Origin::Chosen).unwrap(), ResealOutcome::Now);
        assert!(matches!(open(&path, "node", b"old"), Err(KeystoreError::WrongPassphrase(_))));
        assert_eq!(&open(&path, "node", b"new").unwrap()[..], &[7; 32]);
        assert_eq!(public(&path).unwrap(), Some(key.public()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no scratch file stays");
        let replaced = io::read_to_string(held).unwrap();
        assert_eq!(replaced.as_bytes(), vec![0; before.len()], "what it replaced is overwritten");
        // Repeated once more, and with neither passphrase.
        let now = fs::read(&path).unwrap();
        assert_eq!(reseal(&path, b"old", b"new", Origin::Chosen).unwrap(), ResealOutcome::Before);
        assert!(matches!(reseal(&path, b"old", b"third", QUICK), Err(KeystoreError::WrongPassphrase(_))));
        assert!(matches!(reseal(&path, b"new", b"", QUICK), Err(KeystoreError::EmptyPassphrase)));
        assert_eq!(fs::read(&path).unwrap(), now);
    }

    #[test]
    fn a_copy_under_another_name_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("a.key"), folder.path().join("b.key"));
        seal_with_public(&path, b"secret", "account:0", None, b"old", QUICK).unwrap();
        fs::hard_link(&path, &copy).unwrap();
        reseal(&path, b"old", b"new", QUICK).unwrap();
        assert_eq!(&open(&copy, "account:0", b"old").unwrap()[..], b"secret");
        fs::hard_link(&path, folder.path().join("c.key")).unwrap();
        destroy(&path).unwrap();
        assert!(opens(&folder.path().join("c.key"), b"new").unwrap());
    }

    #[test]
    fn a_change_of_passphrase_cut_at_every_step_goes_on() {
        for cut in [Cut::Kill, Cut::Full] {
            for nth in 1.. {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("storage.key");
                seal_with_public(&path, &[9; 32], "storage", None, b"old", QUICK).unwrap();
                let was_cut = cut_at(nth, cut, |gate| reseal_through(&path, b"old", b"new", QUICK, gate).map(drop));
                // Wherever it was cut, one of the two opens it, and the next call ends with only the new one.
                let passphrase: &[u8] = if opens(&path, b"new").unwrap() { b"new" } else { b"old" };
                assert_eq!(&open(&path, "storage", passphrase).unwrap()[..], &[9; 32], "{cut:?} at {nth}");
                reseal(&path, b"old", b"new", QUICK).unwrap();
                assert_eq!(&open(&path, "storage", b"new").unwrap()[..], &[9; 32], "{cut:?} at {nth}");
                if !was_cut {
                    assert!(nth > 6, "it has steps to be cut at");
                    break;
                }
            }
        }
    }

    #[test]
    fn a_destruction_cut_at_every_step_is_ended_by_the_next_call() {
        for cut in [Cut::Kill, Cut::Full] {
            for nth in 1.. {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("storage.key.old");
                fs::write(&path, "sealed").unwrap();
                let held = File::open(&path).unwrap();
                let was_cut = cut_at(nth, cut, |gate| destroy_through(&path, gate));
                destroy(&path).unwrap();
                destroy(&path).unwrap();
                assert_eq!(io::read_to_string(held).unwrap(), "\0\0\0\0\0\0", "{cut:?} at {nth}");
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
                if !was_cut {
                    break;
                }
            }
        }
    }
}
