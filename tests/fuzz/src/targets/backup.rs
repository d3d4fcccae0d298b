//! Objects of backups, which lie where others may replace them, and what opened ones hold. Who lacks the key makes none.

use super::disk::good;
use crate::corpus::of_type;
use rustorium_backup::probe;
use rustorium_crypto::seal::BackupKey;
use rustorium_types::{Certificate, Header, decode};
use std::sync::LazyLock;

const NAME: &[u8] = &[5; 16];
/// The kinds of objects, and one that there isn't.
const KINDS: [u8; 4] = [0, 1, 2, 3];
/// That of the stored object: a manifest.
const KIND: u8 = 2;

static KEY: LazyLock<BackupKey> = LazyLock::new(|| BackupKey::from_secret(&[1; 32]).unwrap());
static GOOD_OBJECTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| good("backup_object"));

pub fn made_object() -> Vec<u8> {
    KEY.seal(KIND, NAME, &manifests()[0]).unwrap()
}

/// Nothing opens but what was sealed, and as nothing else.
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

/// A manifest that is read has no other bytes, and the pieces of each file are as long as the file.
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
    [Some(certificate), None].map(|certificate| probe::made_manifest(header.clone(), certificate)).to_vec()
}

/// A head that is read has no other bytes.
pub fn head(input: &[u8]) {
    if let Some(again) = probe::head(input) {
        assert!(again == input, "a second encoding of a head");
    }
}

pub fn heads() -> Vec<Vec<u8>> {
    vec![probe::made_head(&[]), probe::made_head(&[[1; 16], [2; 16]])]
}
