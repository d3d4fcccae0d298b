//! The part of the key file that a replaced master key leaves: the number below which versions are its own, and the key
//! that hashes names.
//!
//! *Invariants:* one replacement of the file switches to the new key, and contains the first version of the new key; a
//! master key whose predecessor still seals rows is not replaced.
//!
//! | bytes | |
//! |---|---|
//! | the first version of the new key; lower ones belong to the previous key | 4 |
//! | key check of the previous key | 16 |
//! | the key that hashes names, sealed under the new key | 64 |

use super::{CHECK_BYTES, KeyFile, u32_at};
use crate::store::StoreError;
use rustorium_crypto::seal::{AtRest, CARRIED_BYTES, FreshSalt, HashUse, KeyedHash, Opener};
use std::path::Path;

pub(super) const BYTES: usize = 4 + CHECK_BYTES + CARRIED_BYTES;

#[derive(Clone)]
pub(super) struct KeyReplacement {
    below: u32,
    before_check: [u8; CHECK_BYTES],
    carried: [u8; CARRIED_BYTES],
}

impl KeyReplacement {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.below.to_le_bytes());
        out.extend_from_slice(&self.before_check);
        out.extend_from_slice(&self.carried);
    }

    pub(super) fn decode(bytes: &[u8; BYTES]) -> Self {
        let (mut before_check, mut carried) = ([0; CHECK_BYTES], [0; CARRIED_BYTES]);
        before_check.copy_from_slice(&bytes[4..4 + CHECK_BYTES]);
        carried.copy_from_slice(&bytes[4 + CHECK_BYTES..]);
        Self { below: u32_at(bytes, 0), before_check, carried }
    }
}

impl KeyFile {
    /// Decodes a file that belongs to the newest master key or to the previous one. Errors: it belongs to neither, or
    /// the previous key is needed and missing.
    pub(super) fn of_either(folder: &Path, at_rest: &AtRest, bytes: &[u8]) -> Result<Self, StoreError> {
        let file = match (Self::empty(folder, at_rest)?.decode(bytes), at_rest.before()) {
            (Err(StoreError::OtherKey { .. }), Some(before)) => {
                let file = Self::empty(folder, &before)?.decode(bytes)?;
                Self { behind: true, ..file }
            }
            (file, _) => file?,
        };
        let Some(rekeyed) = file.rekeyed.as_ref().filter(|_| file.holds_before()) else { return Ok(file) };
        let right = match file.at_rest.before() {
            Some(before) => Self::empty(folder, &before)?.key_check() == rekeyed.before_check,
            None => false,
        };
        if right {
            return Ok(file);
        }
        Err(StoreError::KeyBefore { path: file.path().display().to_string() })
    }

    /// True if the file belongs to the previous master key and must `adopt` the newest.
    pub(crate) fn behind(&self) -> bool {
        self.behind
    }

    /// Returns the first version of the newest master key, if versions of the previous one are left.
    pub(crate) fn first_of_newest(&self) -> Option<u32> {
        self.rekeyed.as_ref().map(|rekeyed| rekeyed.below).filter(|_| self.holds_before())
    }

    fn holds_before(&self) -> bool {
        let below = self.rekeyed.as_ref().map_or(0, |rekeyed| rekeyed.below);
        self.versions.first().is_some_and(|(version, _)| *version < below)
    }

    /// Returns the keys of the master key that the file belongs to.
    pub(crate) fn at_rest(&self) -> &AtRest {
        &self.at_rest
    }

    /// Adds each version to an opener, with the master key that it belongs to.
    pub(crate) fn tell(&self, opener: &Opener) {
        let (before, below) = (self.at_rest.before(), self.rekeyed.as_ref().map_or(0, |rekeyed| rekeyed.below));
        for (version, salt) in &self.versions {
            let of = before.as_ref().filter(|_| *version < below).unwrap_or(&self.at_rest);
            opener.add_of(of, *version, *salt);
        }
    }

    /// Returns the key that hashes names.
    pub(crate) fn names(&self) -> Result<KeyedHash, StoreError> {
        match &self.rekeyed {
            None => Ok(self.at_rest.keyed(HashUse::Names)?),
            Some(rekeyed) => {
                let names = self.at_rest.carried(&rekeyed.carried)?;
                names.ok_or_else(|| self.damaged("the key of its names doesn't open"))
            }
        }
    }

    /// Switches to the newest master key and gives a salt of it the next version, on disk when this returns. All
    /// versions until then belong to the previous key. Errors: some versions belong to a key before that.
    pub(crate) fn adopt(&mut self, at_rest: &AtRest, names: &KeyedHash, fresh: &FreshSalt) -> Result<u32, StoreError> {
        if self.holds_before() {
            return Err(StoreError::KeyBefore { path: self.path().display().to_string() });
        }
        let rekeyed =
            KeyReplacement { below: self.next, before_check: self.key_check(), carried: at_rest.carry(names)? };
        let (next, versions) = (self.next, self.versions.clone());
        let mut new = Self { next, versions, rekeyed: Some(rekeyed), ..Self::empty(&self.folder, at_rest)? };
        let version = new.add(fresh)?;
        *self = new;
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FORMAT_REKEYED, NEW_NAME};
    use super::*;
    use rustorium_crypto::seal::MasterKey;
    use rustorium_types::ChainId;
    use std::fs;
    use std::sync::Arc;
    use tempfile::TempDir;

    const CHAIN: ChainId = ChainId([2; 32]);

    fn at_rest(newest: u8, before: Option<u8>) -> AtRest {
        let key = |byte| Arc::new(MasterKey::from_secret(&[byte; 32]).unwrap());
        AtRest::rekeyed(key(newest), before.map(key), CHAIN)
    }

    fn open(folder: &TempDir, newest: u8, before: Option<u8>) -> Result<KeyFile, StoreError> {
        KeyFile::open(folder.path(), &at_rest(newest, before), false)
    }

    fn fresh() -> FreshSalt {
        FreshSalt::draw().unwrap()
    }

    /// Returns a file of key 1 with two versions, which key 2 has adopted.
    fn adopted() -> (TempDir, Vec<u8>) {
        let folder = TempDir::new().unwrap();
        let mut file = KeyFile::open(folder.path(), &at_rest(1, None), true).unwrap();
        file.add(&fresh()).unwrap();
        file.add(&fresh()).unwrap();
        let before = fs::read(file.path()).unwrap();
        let mut file = open(&folder, 2, Some(1)).unwrap();
        assert!(file.behind());
        let names = file.names().unwrap();
        assert_eq!(file.adopt(&at_rest(2, Some(1)), &names, &fresh()), Ok(3));
        (folder, before)
    }

    #[test]
    fn a_file_of_the_key_before_is_adopted_by_the_newest_and_keeps_its_names() {
        let (folder, _) = adopted();
        let mut file = open(&folder, 2, Some(1)).unwrap();
        assert!(!file.behind());
        assert_eq!(file.first_of_newest(), Some(3));
        assert_eq!(file.versions().iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1, 2, 3]);
        let names = at_rest(1, None).keyed(HashUse::Names).unwrap();
        assert_eq!(file.names().unwrap().of(1, &[b"x"]), names.of(1, &[b"x"]));
        assert_eq!(fs::read(file.path()).unwrap()[8..12], FORMAT_REKEYED.to_le_bytes());
        // While rows of key 1 may be left, key 2 needs key 1, and can't be replaced itself.
        for before in [None, Some(7)] {
            let refused = open(&folder, 2, before).err().unwrap();
            assert!(matches!(refused, StoreError::KeyBefore { .. }), "{refused}");
            assert!(refused.to_string().contains("storage.key.old"));
        }
        assert!(matches!(open(&folder, 1, None).err(), Some(StoreError::OtherKey { .. })));
        assert!(matches!(file.adopt(&at_rest(3, Some(2)), &names, &fresh()), Err(StoreError::KeyBefore { .. })));
        file.drop_below(3).unwrap();
        let mut file = open(&folder, 2, None).unwrap();
        assert_eq!((file.first_of_newest(), file.versions().len()), (None, 1));
        // Key 3 replaces key 2 in the same way.
        assert_eq!(file.adopt(&at_rest(3, Some(2)), &names, &fresh()), Ok(4));
        let file = open(&folder, 3, Some(2)).unwrap();
        assert_eq!(file.names().unwrap().of(1, &[b"x"]), names.of(1, &[b"x"]));
        assert_eq!(file.first_of_newest(), Some(4));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_found() {
        let (folder, _) = adopted();
        let path = open(&folder, 2, Some(1)).unwrap().path();
        let good = fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bad).unwrap();
            assert!(open(&folder, 2, Some(1)).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(open(&folder, 2, Some(1)).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_adoption_torn_anywhere_leaves_the_file_of_the_key_before() {
        let (folder, before) = adopted();
        let path = open(&folder, 2, Some(1)).unwrap().path();
        let new = fs::read(&path).unwrap();
        fs::write(&path, before).unwrap();
        for cut in 0..=new.len() {
            fs::write(folder.path().join(NEW_NAME), &new[..cut]).unwrap();
            let file = open(&folder, 2, Some(1)).unwrap();
            assert!(file.behind() && file.versions().len() == 2);
            // Key 1 alone opens it, too: for it the replacement hasn't begun.
            assert!(!open(&folder, 1, None).unwrap().behind());
        }
    }
}
