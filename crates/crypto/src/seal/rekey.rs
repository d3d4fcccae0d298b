//! Replacement of a master key: both keys open while data under the old one is sealed again, and only the new one
//! seals.
//!
//! *Invariants:* nothing is sealed under the previous key; the key that hashes names is kept with the rows that it
//! named, sealed under the new key, since names are keys of rows and can't be made again.

use super::{AtRest, Cipher, FreshSalt, KeyedHash, MasterKey, Opener, Salt, SealError, TAG_BYTES, no_memory};
use crate::locked::Locked;
use rustorium_types::ChainId;
use std::sync::Arc;
use zeroize::Zeroize;

/// Bytes of a carried key: salt, ciphertext, tag.
pub const CARRIED_BYTES: usize = 16 + 32 + TAG_BYTES;

const CARRIED: &str = "rustorium 2026 at rest: carried names v1";
/// Nothing else is sealed under a carried key's subkey.
const NONCE: [u8; 12] = [0; 12];

impl MasterKey {
    /// Compares two keys, in constant time.
    pub fn is(&self, other: &Self) -> bool {
        let different = self.0.iter().zip(other.0.iter()).fold(0, |different, (a, b)| different | (a ^ b));
        std::hint::black_box(different) == 0
    }
}

impl AtRest {
    /// Creates the keys of a master key that replaces the previous one. The previous one still opens data that it
    /// sealed.
    pub fn rekeyed(master: Arc<MasterKey>, before: Option<Arc<MasterKey>>, chain: ChainId) -> Self {
        Self { before, ..Self::new(master, chain) }
    }

    /// Returns the keys of only the previous master key; `None` if there is none.
    pub fn before(&self) -> Option<Self> {
        self.before.clone().map(|before| Self::new(before, self.chain))
    }

    /// Returns the keys without the previous master key.
    pub fn newest(&self) -> Self {
        Self { before: None, ..self.clone() }
    }

    /// Seals the key that hashes names, for storage.
    pub fn carry(&self, names: &KeyedHash) -> Result<[u8; CARRIED_BYTES], SealError> {
        let fresh = FreshSalt::draw()?;
        let mut carried = [0; CARRIED_BYTES];
        carried[..16].copy_from_slice(&fresh.salt().0);
        let cipher = self.master.cipher(CARRIED, &fresh.salt())?;
        carried[16..48].copy_from_slice(&*names.0);
        let tag = cipher.seal_under(NONCE, &self.chain.0, &mut carried[16..48]);
        if tag.is_err() {
            carried.zeroize();
        }
        carried[48..].copy_from_slice(&tag?);
        Ok(carried)
    }

    /// Opens the key in such bytes; `None` if they were altered, or belong to another key.
    pub fn carried(&self, carried: &[u8; CARRIED_BYTES]) -> Result<Option<KeyedHash>, SealError> {
        let (mut salt, mut key, mut tag) = ([0; 16], [0; 32], [0; TAG_BYTES]);
        salt.copy_from_slice(&carried[..16]);
        key.copy_from_slice(&carried[16..48]);
        tag.copy_from_slice(&carried[48..]);
        let cipher: Cipher = self.master.cipher(CARRIED, &Salt(salt))?;
        let good = cipher.open_under(NONCE, &self.chain.0, &mut key, &tag);
        let names = if good { Some(Locked::copy_of(&key).map(KeyedHash).map_err(no_memory)) } else { None };
        key.zeroize();
        names.transpose()
    }
}

impl Opener {
    /// Adds the salt of a version that belongs to another master key than the one that the opener was made of.
    pub fn add_of(&self, at_rest: &AtRest, version: u32, salt: Salt) {
        self.put(version, at_rest.master.clone(), salt);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HEAD_BYTES, HashUse, OpenError, Place};
    use super::*;

    const CHAIN: ChainId = ChainId([5; 32]);

    fn key(byte: u8) -> Arc<MasterKey> {
        Arc::new(MasterKey::from_secret(&[byte; 32]).unwrap())
    }

    #[test]
    fn keys_are_told_apart() {
        assert!(key(1).is(&key(1)) && !key(1).is(&key(2)));
    }

    #[test]
    fn the_names_key_is_carried_to_the_new_key_alone() {
        let (old, new) = (AtRest::new(key(1), CHAIN), AtRest::rekeyed(key(2), Some(key(1)), CHAIN));
        let names = old.keyed(HashUse::Names).unwrap();
        let carried = new.carry(&names).unwrap();
        let opened = new.carried(&carried).unwrap().unwrap();
        assert_eq!(opened.of(3, &[b"x"]), names.of(3, &[b"x"]));
        assert_ne!(new.carry(&names).unwrap(), carried, "each has its own salt");
        assert!(!carried.windows(32).any(|window| window == *names.0));
        for other in [AtRest::new(key(1), CHAIN), AtRest::new(key(2), ChainId([6; 32]))] {
            assert!(other.carried(&carried).unwrap().is_none());
        }
        for bit in 0..CARRIED_BYTES * 8 {
            let mut bad = carried;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(new.carried(&bad).unwrap().is_none(), "bit {bit}");
        }
    }

    #[test]
    fn rows_of_both_keys_open_and_each_under_its_own() {
        let (old, new) = (AtRest::new(key(1), CHAIN), AtRest::rekeyed(key(2), Some(key(1)), CHAIN));
        let place = Place { table: 2, format: 1, key: b"a key" };
        let opener = old.row_opener();
        let seal = |at_rest: &AtRest, version: u32, contents: &[u8]| {
            let fresh = FreshSalt::draw().unwrap();
            let salt = fresh.salt();
            let mut row = vec![0; HEAD_BYTES];
            row.extend_from_slice(contents);
            at_rest.row_sealer(fresh, version).unwrap().seal(&place, &mut row, 0).unwrap();
            (row, salt)
        };
        let (first, salt) = seal(&old, 1, b"first");
        opener.add(1, salt);
        let (second, salt) = seal(&new, 2, b"second");
        opener.add(2, salt);
        assert_eq!(opener.open(&place, &second), Err(OpenError::Altered), "of another key");
        let opener = new.row_opener();
        opener.add(2, salt);
        assert_eq!(opener.open(&place, &second).unwrap(), b"second");
        assert_eq!(opener.open(&place, &first), Err(OpenError::UnknownVersion(1)));
        assert!(new.before().unwrap().before().is_none());
    }
}
