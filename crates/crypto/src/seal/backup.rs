//! Sealing the objects of backups, which are stored at places where others may read and replace them.
//!
//! *Invariants:* each object has its own salt, and so its own subkey; it opens only under its own name; without the key
//! nobody can read or make an object, or test a guess of its contents.
//!
//! | sealed bytes | |
//! |---|---|
//! | format | 1 |
//! | key mark: keyed hash of nothing | 8 |
//! | salt | 16 |
//! | ciphertext | as long as what was sealed |
//! | tag | 16 |

use super::{Cipher, FreshSalt, KeyedHash, MasterKey, Salt, SealError, TAG_BYTES, no_memory};
use crate::locked::Locked;
use thiserror::Error;

/// Bytes by which a sealed object is longer than its contents.
pub const BACKUP_OVERHEAD: usize = HEAD_BYTES + TAG_BYTES;

const FORMAT: u8 = 1;
const MARK_BYTES: usize = 8;
const SALT_AT: usize = 1 + MARK_BYTES;
const HEAD_BYTES: usize = SALT_AT + 16;

const OBJECTS: &str = "rustorium 2026 backup: objects v1";
const NAMES: &str = "rustorium 2026 backup: names v1";
const TAG_MARK: u8 = 0;
const TAG_NAME: u8 = 1;
/// Nothing else is sealed under an object's subkey.
const NONCE: [u8; 12] = [0; 12];

/// An object doesn't open.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ObjectRefused {
    /// There are fewer bytes than a seal has.
    #[error("it was cut short")]
    Short,
    /// Another version of this program sealed it.
    #[error("its format {0} is not known: it was altered, or another version wrote it")]
    Format(u8),
    /// The object was sealed under another key.
    #[error("it was sealed under another backup key, or altered")]
    OtherKey,
    /// The object was altered, or is another one than its name says.
    #[error("its seal doesn't fit: it was altered, or is another object")]
    Altered,
    /// The subkey can't be derived.
    #[error("{0}")]
    Key(#[from] SealError),
}

/// The key that a home's backups are sealed under.
#[derive(Debug)]
pub struct BackupKey {
    master: MasterKey,
    names: KeyedHash,
}

impl BackupKey {
    /// Creates a key from the secret of a `backup.key`, which has as many bytes as a master key. The caller wipes its
    /// own copy.
    pub fn from_secret(secret: &[u8]) -> Result<Self, SealError> {
        let master = MasterKey::from_secret(secret)?;
        let names = Locked::copy_of(&master.derive(NAMES, &[])).map(KeyedHash).map_err(no_memory)?;
        Ok(Self { master, names })
    }

    /// Returns the name of an object, derived from its contents: the same contents have the same name.
    pub fn name_of(&self, contents: &[u8]) -> [u8; 32] {
        self.names.whole(TAG_NAME, &[contents])
    }

    /// Seals an object under a name. `kind` keeps objects of several kinds apart.
    pub fn seal(&self, kind: u8, name: &[u8], contents: &[u8]) -> Result<Vec<u8>, SealError> {
        let fresh = FreshSalt::draw()?;
        let mut sealed = Vec::with_capacity(contents.len() + BACKUP_OVERHEAD);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.mark());
        sealed.extend_from_slice(&fresh.salt().0);
        sealed.extend_from_slice(contents);
        let cipher = self.master.cipher(OBJECTS, &fresh.salt())?;
        let data = sealed.get_mut(HEAD_BYTES..).ok_or(SealError::NoRoom)?;
        let tag = cipher.seal_under(NONCE, &place(kind, name), data)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens bytes that were sealed under this name.
    pub fn open(&self, kind: u8, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, ObjectRefused> {
        let (head, rest) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(ObjectRefused::Short)?;
        let (data, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(ObjectRefused::Short)?;
        if head[0] != FORMAT {
            return Err(ObjectRefused::Format(head[0]));
        }
        if head[1..SALT_AT] != self.mark() {
            return Err(ObjectRefused::OtherKey);
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&head[SALT_AT..]);
        let cipher: Cipher = self.master.cipher(OBJECTS, &Salt(salt))?;
        let mut out = data.to_vec();
        let good = cipher.open_under(NONCE, &place(kind, name), &mut out, tag);
        if good { Ok(out) } else { Err(ObjectRefused::Altered) }
    }

    fn mark(&self) -> [u8; MARK_BYTES] {
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&self.names.of(TAG_MARK, &[])[..MARK_BYTES]);
        mark
    }
}

/// Returns the associated data: the kind of the object, and its name as the last part.
fn place(kind: u8, name: &[u8]) -> Vec<u8> {
    [&[FORMAT, kind], name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> BackupKey {
        BackupKey::from_secret(&[byte; 32]).unwrap()
    }

    #[test]
    fn sealed_objects_stay_readable() {
        // Made once by this code and kept: it detects any change of derivation, name, associated data or layout.
        let sealed = concat!(
            "01e7a3397c8b16444b08c5727c0d52650adbe1cac3cad6c0a5a3c01f117ec2d7",
            "451677f1b1c32957ec0233d13d893cf747"
        );
        let opened = key(7).open(1, b"name", &hex::decode(sealed).unwrap());
        assert_eq!(opened.unwrap(), b"contents");
        assert_eq!(
            hex::encode(key(7).name_of(b"contents")),
            "b7c73bec189f2a0a985ff9e860e1b8b3e56d29b31b6367672a5548860a3f83e1"
        );
    }

    proptest! {
        #[test]
        fn an_object_opens_as_what_it_is_alone(contents in proptest::collection::vec(any::<u8>(), 0..200), bit: usize) {
            let sealed = key(1).seal(1, b"name", &contents).unwrap();
            prop_assert_eq!(sealed.len(), contents.len() + BACKUP_OVERHEAD);
            prop_assert_eq!(key(1).open(1, b"name", &sealed), Ok(contents.clone()));
            prop_assert_eq!(key(1).open(2, b"name", &sealed), Err(ObjectRefused::Altered));
            prop_assert_eq!(key(1).open(1, b"nama", &sealed), Err(ObjectRefused::Altered));
            prop_assert_eq!(key(2).open(1, b"name", &sealed), Err(ObjectRefused::OtherKey));
            prop_assert_ne!(key(1).seal(1, b"name", &contents).unwrap(), sealed.clone(), "each has its own salt");
            let mut bad = sealed.clone();
            let bit = bit % (bad.len() * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(key(1).open(1, b"name", &bad).is_err());
            prop_assert!(key(1).open(1, b"name", &sealed[..bit / 8]).is_err());
        }

        #[test]
        fn no_bytes_make_opening_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(key(1).open(1, b"", &bytes).is_err());
        }
    }

    #[test]
    fn names_tell_contents_apart_and_nothing_to_who_lacks_the_key() {
        assert_eq!(key(1).name_of(b"a"), key(1).name_of(b"a"));
        assert_ne!(key(1).name_of(b"a"), key(1).name_of(b"b"));
        assert_ne!(key(1).name_of(b"a"), key(2).name_of(b"a"));
        assert_eq!(BackupKey::from_secret(&[1; 31]).unwrap_err(), SealError::WrongSize(31));
    }
}
