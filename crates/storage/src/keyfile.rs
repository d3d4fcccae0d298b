//! The file of key versions beside the rows: the salt from which each version's subkey is derived.
//!
//! *Invariants:* a version is on disk before anything is sealed under it; the file is replaced by renaming, so it is
//! the old one or the new one, whole; numbers only grow and none is given twice; another master key is told from
//! damage; versions of a replaced master key are below those of its successor.
//!
//! | bytes | |
//! |---|---|
//! | magic `RSTKEYS\n` | 8 |
//! | format | 4, little-endian as all numbers here |
//! | next version | 4 |
//! | chain | 32 |
//! | key check: keyed hash of the chain | 16 |
//! | in format 2: the part of a replaced master key | 84 |
//! | version and salt, ascending | 20 each |
//! | check: keyed hash of all before | 16 |
//!
//! Nothing in the file is secret. A store whose master key was never replaced has format 1, as all stores had up to
//! 0.2.0. That release refuses format 2 by its number.

mod rekeyed;

use crate::files;
use crate::store::StoreError;
use rekeyed::KeyReplacement;
use rustorium_crypto::seal::{AtRest, FreshSalt, HashUse, KeyedHash, Salt};
use rustorium_types::ChainId;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The file's name in the store's folder.
pub(crate) const FILE_NAME: &str = "keys";
const NEW_NAME: &str = "keys.new";
const MAGIC: &[u8; 8] = b"RSTKEYS\n";
pub(crate) const FORMAT: u32 = 1;
/// The format of a store whose master key was replaced.
const FORMAT_REKEYED: u32 = 2;
const HEAD_BYTES: usize = 64;
const ENTRY_BYTES: usize = 20;
const CHECK_BYTES: usize = 16;
/// Versions of one file. Each process that writes anything adds one; a rotation removes all older ones.
const VERSIONS_MAX: usize = 1 << 18;
const BYTES_MAX: u64 = (HEAD_BYTES + rekeyed::BYTES + VERSIONS_MAX * ENTRY_BYTES + CHECK_BYTES) as u64;

const TAG_KEY: u8 = 1;
const TAG_FILE: u8 = 2;

/// The key file as it is on disk.
pub(crate) struct KeyFile {
    folder: PathBuf,
    /// The master key that the file belongs to: the newest one, or only the previous one (see `behind`).
    at_rest: AtRest,
    hash: KeyedHash,
    next: u32,
    versions: Vec<(u32, Salt)>,
    rekeyed: Option<KeyReplacement>,
    /// The file belongs to the previous master key.
    behind: bool,
}

impl KeyFile {
    fn empty(folder: &Path, at_rest: &AtRest) -> Result<Self, StoreError> {
        let (folder, hash, at_rest) = (folder.to_owned(), at_rest.keyed(HashUse::KeyFile)?, at_rest.clone());
        Ok(Self { folder, at_rest, hash, next: 1, versions: Vec::new(), rekeyed: None, behind: false })
    }

    /// Reads the file in the store's folder. If `new` (the store has no rows yet), the file may be missing, and an
    /// empty one is created.
    pub(crate) fn open(folder: &Path, at_rest: &AtRest, new: bool) -> Result<Self, StoreError> {
        let mut empty = Self::empty(folder, at_rest)?;
        let path = empty.path();
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)) {
            Ok(_) => Self::of_either(folder, at_rest, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound && new => {
                empty.replace(1, Vec::new())?;
                Ok(empty)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::KeysMissing { path: path.display().to_string() })
            }
            Err(error) => Err(empty.io(&error)),
        }
    }

    /// Decodes the bytes of a key file and encodes them again.
    pub(crate) fn reencode(at_rest: &AtRest, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        let file = Self::empty(Path::new(""), at_rest)?.decode(bytes)?;
        Ok(file.encode(file.next, &file.versions))
    }

    /// Returns all versions, ascending.
    #[cfg(test)]
    pub(crate) fn versions(&self) -> &[(u32, Salt)] {
        &self.versions
    }

    /// Gives the salt the next version number. It is on disk when this returns.
    pub(crate) fn add(&mut self, salt: &FreshSalt) -> Result<u32, StoreError> {
        let version = self.next;
        let next = version.checked_add(1).filter(|_| self.versions.len() < VERSIONS_MAX);
        let next = next.ok_or_else(|| self.damaged("it has no room for another version"))?;
        let mut versions = self.versions.clone();
        versions.push((version, salt.salt()));
        self.replace(next, versions)?;
        Ok(version)
    }

    /// Removes all versions below this one. No row may be sealed under them any more.
    pub(crate) fn drop_below(&mut self, version: u32) -> Result<(), StoreError> {
        let kept: Vec<_> = self.versions.iter().copied().filter(|(number, _)| *number >= version).collect();
        if kept.len() < self.versions.len() { self.replace(self.next, kept) } else { Ok(()) }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE_NAME)
    }

    fn replace(&mut self, next: u32, versions: Vec<(u32, Salt)>) -> Result<(), StoreError> {
        let bytes = self.encode(next, &versions);
        let unfinished = self.folder.join(NEW_NAME);
        let write = || {
            let mut file = files::private_file().write(true).create(true).truncate(true).open(&unfinished)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, self.path())?;
            files::sync_folder(&self.folder)
        };
        write().map_err(|error| self.io(&error))?;
        (self.next, self.versions) = (next, versions);
        Ok(())
    }

    fn encode(&self, next: u32, versions: &[(u32, Salt)]) -> Vec<u8> {
        let chain = self.at_rest.chain();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + rekeyed::BYTES + versions.len() * ENTRY_BYTES + CHECK_BYTES);
        bytes.extend_from_slice(MAGIC);
        let format = if self.rekeyed.is_some() { FORMAT_REKEYED } else { FORMAT };
        bytes.extend_from_slice(&format.to_le_bytes());
        bytes.extend_from_slice(&next.to_le_bytes());
        bytes.extend_from_slice(&chain.0);
        bytes.extend_from_slice(&self.key_check());
        if let Some(rekeyed) = &self.rekeyed {
            rekeyed.encode(&mut bytes);
        }
        for (version, salt) in versions {
            bytes.extend_from_slice(&version.to_le_bytes());
            bytes.extend_from_slice(&salt.0);
        }
        let check = self.hash.of(TAG_FILE, &[&bytes]);
        bytes.extend_from_slice(&check);
        bytes
    }

    fn key_check(&self) -> [u8; CHECK_BYTES] {
        self.hash.of(TAG_KEY, &[&self.at_rest.chain().0])
    }

    fn decode(mut self, bytes: &[u8]) -> Result<Self, StoreError> {
        let format = self.decode_format(bytes)?;
        let parts = bytes.split_first_chunk::<HEAD_BYTES>().filter(|_| bytes.len() as u64 <= BYTES_MAX);
        let (rekeyed, parts) = match parts.filter(|_| format == FORMAT_REKEYED) {
            Some((head, rest)) => {
                let more = rest.split_first_chunk();
                (more.map(|(more, _)| KeyReplacement::decode(more)), more.map(|(_, rest)| (head, rest)))
            }
            None => (None, parts),
        };
        let Some((head, (entries, _))) = parts.and_then(|(head, rest)| {
            Some((head, rest.split_last_chunk::<CHECK_BYTES>()?)).filter(|(_, (e, _))| e.len() % ENTRY_BYTES == 0)
        }) else {
            return Err(self.damaged("its length is wrong"));
        };
        if &head[..8] != MAGIC {
            return Err(self.damaged("it doesn't begin as a key file"));
        }
        let path = || self.path().display().to_string();
        let (wanted, other_key) = (self.at_rest.chain(), head[48..] != self.key_check());
        if head[16..48] == wanted.0 && other_key {
            return Err(StoreError::OtherKey { path: path() });
        }
        let mut chain = ChainId::ZERO;
        chain.0.copy_from_slice(&head[16..48]);
        if chain != wanted {
            return Err(StoreError::OtherChain { path: path(), found: chain, wanted });
        }
        let decode = |entry: &[u8; ENTRY_BYTES]| {
            let mut salt = [0; 16];
            salt.copy_from_slice(&entry[4..]);
            (u32_at(entry, 0), Salt(salt))
        };
        self.versions = entries.as_chunks().0.iter().map(decode).collect();
        self.next = u32_at(head, 12);
        self.rekeyed = rekeyed;
        // The check covers every byte, so decoding is strict: encoding gives the same bytes.
        if self.encode(self.next, &self.versions) == bytes {
            Ok(self)
        } else {
            Err(self.damaged("its check doesn't fit"))
        }
    }

    /// Refuses a store whose key file has another format, before anything else of the store is opened. All other faults
    /// of the file are reported by `open`.
    pub(crate) fn check_format(folder: &Path, at_rest: &AtRest) -> Result<(), StoreError> {
        match Self::open(folder, at_rest, false) {
            Err(refused @ StoreError::Format { .. }) => Err(refused),
            _ => Ok(()),
        }
    }

    /// Decodes the format. Errors: an unknown format, which may have another layout; or a known one whose number is
    /// damaged.
    fn decode_format(&self, bytes: &[u8]) -> Result<u32, StoreError> {
        let head: Option<&[u8; 12]> = bytes.first_chunk();
        let Some(found) = head.filter(|head| head.starts_with(MAGIC)).map(|head| u32_at(head, 8)) else {
            return Ok(FORMAT);
        };
        if [FORMAT, FORMAT_REKEYED].contains(&found) {
            return Ok(found);
        }
        for format in [FORMAT, FORMAT_REKEYED] {
            let mut named = bytes.to_vec();
            named[8..12].copy_from_slice(&format.to_le_bytes());
            let whole = named.split_last_chunk().is_some_and(|(all, check)| *check == self.hash.of(TAG_FILE, &[all]));
            if whole {
                return Err(self.damaged("its format is another number than its check is of"));
            }
        }
        Err(StoreError::Format { path: self.path().display().to_string(), found, supported: FORMAT_REKEYED })
    }

    fn damaged(&self, what: &'static str) -> StoreError {
        StoreError::KeysDamaged { path: self.path().display().to_string(), what }
    }

    fn io(&self, error: &io::Error) -> StoreError {
        let path = self.path().display().to_string();
        if files::is_full(error) {
            StoreError::DiskFull { path }
        } else {
            StoreError::Io { path, reason: error.to_string() }
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustorium_crypto::seal::MasterKey;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn at_rest(key: u8, chain: u8) -> AtRest {
        AtRest::new(Arc::new(MasterKey::from_secret(&[key; 32]).unwrap()), ChainId([chain; 32]))
    }

    fn open(folder: &Path) -> Result<KeyFile, StoreError> {
        KeyFile::open(folder, &at_rest(1, 2), false)
    }

    fn with_versions(folder: &Path, count: u32) -> KeyFile {
        let mut file = KeyFile::open(folder, &at_rest(1, 2), true).unwrap();
        for number in 1..=count {
            assert_eq!(file.add(&FreshSalt::draw().unwrap()), Ok(number));
        }
        file
    }

    #[test]
    fn versions_come_back_and_numbers_are_never_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let first = with_versions(folder.path(), 3);
        let mut second = open(folder.path()).unwrap();
        assert_eq!(second.versions(), first.versions());
        second.drop_below(3).unwrap();
        assert_eq!(open(folder.path()).unwrap().versions(), &first.versions()[2..]);
        second.drop_below(9).unwrap();
        let mut third = open(folder.path()).unwrap();
        assert_eq!(third.versions(), []);
        assert_eq!(third.add(&FreshSalt::draw().unwrap()), Ok(4));
        let mode = fs::metadata(folder.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_replacement_torn_anywhere_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = with_versions(folder.path(), 2);
        let (old, versions) = (fs::read(folder.path().join(FILE_NAME)).unwrap(), file.versions().to_vec());
        file.add(&FreshSalt::draw().unwrap()).unwrap();
        let new = fs::read(folder.path().join(FILE_NAME)).unwrap();
        fs::write(folder.path().join(FILE_NAME), old).unwrap();
        for cut in 0..=new.len() {
            fs::write(folder.path().join(NEW_NAME), &new[..cut]).unwrap();
            let mut again = open(folder.path()).unwrap();
            assert_eq!(again.versions(), versions);
            if cut == new.len() {
                assert_eq!(again.add(&FreshSalt::draw().unwrap()), Ok(3));
                assert_eq!(open(folder.path()).unwrap().versions(), again.versions());
            }
        }
    }

    #[test]
    fn a_missing_file_another_key_and_another_chain_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let missing = open(folder.path()).err().unwrap();
        assert!(matches!(missing, StoreError::KeysMissing { .. }));
        assert!(missing.to_string().contains("backup"), "{missing}");
        with_versions(folder.path(), 1);
        let with = |key, chain| KeyFile::open(folder.path(), &at_rest(key, chain), false).err().unwrap();
        assert!(matches!(with(9, 2), StoreError::OtherKey { .. }));
        assert!(matches!(with(1, 9), StoreError::OtherChain { .. }));
        assert!(with(9, 2).to_string().contains("storage.key"));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_found() {
        let folder = tempfile::tempdir().unwrap();
        with_versions(folder.path(), 2);
        let path = folder.path().join(FILE_NAME);
        let good = fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bad).unwrap();
            assert!(open(folder.path()).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(matches!(open(folder.path()), Err(StoreError::KeysDamaged { .. })), "cut at {cut}");
        }
    }

    #[test]
    fn another_format_is_named_before_anything_else_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let check = || KeyFile::check_format(folder.path(), &at_rest(1, 2));
        check().unwrap();
        let file = with_versions(folder.path(), 1);
        check().unwrap();
        let path = folder.path().join(FILE_NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes[8..12].copy_from_slice(&(FORMAT_REKEYED + 1).to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(open(folder.path()), Err(StoreError::KeysDamaged { .. })), "only its number is another");
        let end = bytes.len() - CHECK_BYTES;
        let sealed = file.hash.of(TAG_FILE, &[&bytes[..end]]);
        bytes[end..].copy_from_slice(&sealed);
        fs::write(&path, &bytes).unwrap();
        let named = path.display().to_string();
        let (found, supported) = (FORMAT_REKEYED + 1, FORMAT_REKEYED);
        let newer = StoreError::Format { path: named.clone(), found, supported };
        assert_eq!(check(), Err(newer.clone()));
        assert_eq!(open(folder.path()).err(), Some(newer.clone()));
        let said = newer.to_string();
        assert!(said.contains(&named) && said.contains("install the release that wrote it, or a newer one"), "{said}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(head: bool, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            let bytes = if head { [MAGIC.as_slice(), &bytes].concat() } else { bytes };
            fs::write(folder.path().join(FILE_NAME), bytes).unwrap();
            prop_assert!(open(folder.path()).is_err());
        }
    }
}
