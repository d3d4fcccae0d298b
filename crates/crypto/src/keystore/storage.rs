//! The files of a storage key: `storage.key`, and `storage.key.old` while data under the previous key is sealed again.
//! Files of a backup key are replaced in the same way.
//!
//! *Invariants:* if both exist, `storage.key` is the newer one and both open; a key that may have sealed something is
//! never lost: a new one takes its place only after a second name keeps the old one, on disk.

use super::replace::{Gate, beside, destroy, open_gate, put, sync_folder_of};
use super::{KeystoreError, Origin, io_error, open, sealed_text};
use crate::locked::scrubbed;
use crate::seal::MasterKey;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The kinds of the files.
const STORAGE: &str = "storage";
const BACKUP: &str = "backup";

/// A passphrase in memory, wiped when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Copies a passphrase.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl Deref for Passphrase {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The storage keys of a home, in locked memory.
#[derive(Clone, Debug)]
pub struct StorageKeys {
    /// The key that seals everything from now on.
    pub newest: Arc<MasterKey>,
    /// The previous key, while data is still sealed under it.
    pub before: Option<Arc<MasterKey>>,
}

/// Returns the path of the previous key's file.
pub fn before_file(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".old");
    path.with_file_name(name)
}

/// Opens a storage key, and the previous one if it exists. Errors: those of `open`.
pub fn open_storage(path: &Path, passphrase: &[u8]) -> Result<StorageKeys, KeystoreError> {
    open_both(path, STORAGE, passphrase)
}

fn open_both(path: &Path, kind: &str, passphrase: &[u8]) -> Result<StorageKeys, KeystoreError> {
    let newest = master(path, kind, passphrase)?;
    let before = before_file(path);
    let before = if before.symlink_metadata().is_ok() { Some(master(&before, kind, passphrase)?) } else { None };
    // A cut before the new key took its place leaves the same key under both names.
    let before = before.filter(|before| !before.is(&newest));
    Ok(StorageKeys { newest, before })
}

fn master(path: &Path, kind: &str, passphrase: &[u8]) -> Result<Arc<MasterKey>, KeystoreError> {
    scrubbed(|| {
        let secret = open(path, kind, passphrase)?;
        MasterKey::from_secret(&secret).map(Arc::new).map_err(|error| super::corrupt(path)(error.to_string()))
    })
}

/// Draws a new storage key that replaces the one in `path`. The old key stays in `before_file`. An interrupted call
/// must be repeated. Errors: a replacement is already in progress, a wrong passphrase, the disk; then the key is
/// unchanged.
pub fn replace_storage(path: &Path, passphrase: &[u8]) -> Result<StorageKeys, KeystoreError> {
    replace(path, STORAGE, passphrase, &open_gate)
}

/// Does the same for the key of backups. The previous key stays until it is discarded.
pub fn replace_backup(path: &Path, passphrase: &[u8]) -> Result<(), KeystoreError> {
    replace(path, BACKUP, passphrase, &open_gate).map(drop)
}

fn replace(path: &Path, kind: &str, passphrase: &[u8], gate: Gate<'_>) -> Result<StorageKeys, KeystoreError> {
    let old = before_file(path);
    let opened = open_both(path, kind, passphrase)?;
    // The passphrase stays the same, and so does its origin.
    let origin = if super::read(path)?.kdf.m_kib > super::MEMORY_KIB_RANDOM { Origin::Chosen } else { Origin::Random };
    if opened.before.is_some() {
        let next = if kind == STORAGE {
            "let the node finish that replacement first (`rustorium-node keys rotation` shows how far it is)"
        } else {
            "discard it by `rustorium-node keys rotate backup --discard-old` once no backup under it is needed"
        };
        return Err(KeystoreError::Replacing { path: old, next });
    }
    let unfinished = beside(path, "new");
    let text = scrubbed(|| {
        let secret = MasterKey::draw().map_err(|error| super::corrupt(path)(error.to_string()))?;
        sealed_text(path, &*secret, kind, None, passphrase, origin)
    })?;
    put(&unfinished, &text, gate).map_err(io_error(path))?;
    let newest = master(&unfinished, kind, passphrase)?;
    let swap = || {
        if old.symlink_metadata().is_ok() {
            // This is another name of the same key, left by an interrupted call.
            gate()?;
            fs::remove_file(&old)?;
        }
        gate()?;
        fs::hard_link(path, &old)?;
        sync_folder_of(path, gate)?;
        gate()?;
        fs::rename(&unfinished, path)?;
        sync_folder_of(path, gate)
    };
    swap().map_err(io_error(path))?;
    Ok(StorageKeys { newest, before: Some(opened.newest) })
}

/// Destroys the previous key, under which nothing is sealed any more, and the remains that an earlier call left.
pub fn discard_before(path: &Path) -> Result<(), KeystoreError> {
    destroy(&before_file(path))
}

#[cfg(test)]
mod tests {
    use super::super::replace::tests::{Cut, cut_at};
    use super::super::seal_with_public;
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const QUICK: Origin = Origin::Random;

    fn made(folder: &Path) -> PathBuf {
        let path = folder.join("storage.key");
        seal_with_public(&path, &[9; 32], STORAGE, None, b"p", QUICK).unwrap();
        path
    }

    fn key(byte: u8) -> MasterKey {
        MasterKey::from_secret(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_new_key_takes_the_place_of_the_old_one_which_stays_until_it_is_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(folder.path());
        let keys = replace_storage(&path, b"p").unwrap();
        assert!(!keys.newest.is(&key(9)) && keys.before.as_ref().unwrap().is(&key(9)));
        let again = open_storage(&path, b"p").unwrap();
        assert!(again.newest.is(&keys.newest) && again.before.unwrap().is(&key(9)));
        for file in [path.clone(), before_file(&path)] {
            assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
        }
        let refused = replace_storage(&path, b"p").unwrap_err();
        assert!(matches!(refused, KeystoreError::Replacing { .. }), "{refused}");
        assert!(matches!(open_storage(&path, b"q"), Err(KeystoreError::WrongPassphrase(_))));
        discard_before(&path).unwrap();
        discard_before(&path).unwrap();
        let last = open_storage(&path, b"p").unwrap();
        assert!(last.newest.is(&keys.newest) && last.before.is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        replace_storage(&path, b"p").unwrap();
        assert!(matches!(replace_backup(&path, b"p"), Err(KeystoreError::OtherKind { .. })));
    }

    #[test]
    fn a_replacement_cut_at_every_step_is_as_before_or_goes_on() {
        for cut in [Cut::Kill, Cut::Full] {
            for nth in 1.. {
                let folder = tempfile::tempdir().unwrap();
                let path = made(folder.path());
                let was_cut = cut_at(nth, cut, |gate| replace(&path, STORAGE, b"p", gate).map(drop));
                let found = open_storage(&path, b"p").unwrap();
                match &found.before {
                    Some(before) => assert!(before.is(&key(9)) && !found.newest.is(&key(9)), "{cut:?} at {nth}"),
                    None => {
                        assert!(found.newest.is(&key(9)), "{cut:?} at {nth}: the key is as it was");
                        let keys = replace_storage(&path, b"p").unwrap();
                        let again = open_storage(&path, b"p").unwrap();
                        assert!(again.newest.is(&keys.newest) && again.before.unwrap().is(&key(9)));
                    }
                }
                discard_before(&path).unwrap();
                assert!(open_storage(&path, b"p").unwrap().before.is_none());
                if !was_cut {
                    assert!(nth > 8, "it has steps to be cut at");
                    break;
                }
            }
        }
    }
}
