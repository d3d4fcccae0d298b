//! Objects of backups, which an attacker at the destination may replace, and the contents of opened ones. Only an owner
//! of the key can make an object.

use super::disk::good;
use crate::corpus::of_type;
use rustorium_backup::probe;
use rustorium_crypto::seal::BackupKey;
use rustorium_types::{Certificate, Header, decode};
use std::sync::LazyLock;

const NAME: &[u8] = &[5; 16];
/// The kinds of objects, and one that doesn't exist.
const KINDS: [u8; 4] = [0, 1, 2, 3];
/// Kind of the stored object: a manifest.
const KIND: u8 = 2;

static KEY: LazyLock<BackupKey> = LazyLock::new(|| BackupKey::from_secret(&[1; 32]).unwrap());
static GOOD_OBJECTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| good("backup_object"));

pub fn made_object() -> Vec<u8> {
    KEY.seal(KIND, NAME, &manifests()[0]).unwrap()
}

/// Only a sealed object opens, and only as its own kind.
pub fn object(input: &[u8]) {
    for kind in KINDS {
        if let Ok(contents) = KEY.open(kind, NAME, input) {
            assert!(kind == KIND && GOOD_OBJECTS.iter().any(|made| made == input), "an object that nobody sealed");
            assert!(probe::manifest(&contents).is_some());
        }
    }
}

pub fn objects() -> Vec<Vec<u8>> {
    good("backup_object")
}

/// A manifest that can be read has only these bytes, and the pieces of each file have the file's length.
pub fn manifest(input: &[u8]) {
    let Some(read) = probe::manifest(input) else { return };
    assert!(read.again == input, "a second encoding of a manifest");
    for (bytes, pieces) in read.sized {
        let sum = pieces.iter().try_fold(0u64, |sum, piece| sum.checked_add(*piece));
        assert_eq!(sum, Some(bytes), "pieces of another length than their file");
    }
}

pub fn manifests() -> Vec<Vec<u8>> {
    let read = |bytes: &Vec<u8>| decode::<Header>(bytes, bytes.len()).ok();
    let header = of_type("header").iter().find_map(read).unwrap();
    let read = |bytes: &Vec<u8>| decode::<Certificate>(bytes, bytes.len()).ok();
    let certificate = of_type("certificate").iter().find_map(read).unwrap();
    let made = |certificate, others: &[u32]| probe::made_manifest(header.clone(), certificate, others);
    vec![made(Some(certificate), &[]), made(None, &[]), made(None, &[1, 7])]
}

/// A head that can be read has only these bytes.
pub fn head(input: &[u8]) {
    if let Some(again) = probe::head(input) {
        assert!(again == input, "a second encoding of a head");
    }
}

pub fn heads() -> Vec<Vec<u8>> {
    vec![probe::made_head(&[]), probe::made_head(&[[1; 16], [2; 16]])]
}
