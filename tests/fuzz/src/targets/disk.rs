//! Files on disks: key files, the safety journal, the files of key versions and of the manifest's length, the audit
//! log, rows of the store. Sealed or signed data that was changed without the keys is never accepted.

use crate::corpus::stored;
use crate::target;
use rustorium_crypto::keystore;
use rustorium_crypto::seal::{AtRest, MasterKey};
use rustorium_crypto::{SigningKey, block_digest};
use rustorium_storage::{AuditSink, Durability, Journal, RecordKind, RocksStore, StoreConfig, audit, probe};
use rustorium_types::limits::FRAME_BYTES_MAX;
use rustorium_types::{BatchDigest, Block, BlockDigest, ChainId, Header, Height, ValidatorIndex, encode};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

static AT_REST: LazyLock<AtRest> = LazyLock::new(|| {
    let master = MasterKey::from_secret(&[1; 32]).unwrap();
    AtRest::new(Arc::new(master), ChainId([2; 32]))
});

fn signer() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// Good inputs with random salts, or that RocksDB helped to make. They are made once and stored: target, bytes.
pub fn made() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("journal_segment", made_segment()),
        ("key_versions", made_in_store(probe::KEY_VERSIONS_FILE)),
        ("manifest_length", made_in_store(probe::MANIFEST_LENGTH_FILE)),
        ("audit_log", made_audit_log()),
        ("backup_object", super::backup::made_object()),
    ]
}

/// A stored input is good if its name says that it was made.
pub(super) fn good(name: &str) -> Vec<Vec<u8>> {
    let stored = stored(target(name).unwrap()).into_iter();
    let good: Vec<Vec<u8>> = stored.filter(|(file, _)| file == "made").map(|(_, bytes)| bytes).collect();
    assert!(!good.is_empty(), "corpus/{name}/made is missing: run `rustorium-fuzz make`");
    good
}

// Key files.

const SECRET: [u8; 32] = [9; 32];

thread_local! {
    static FOLDER: TempDir = TempDir::new().unwrap();
}

/// Writes a file of this thread with these bytes, in memory if the machine has such a folder.
fn file(bytes: &[u8]) -> PathBuf {
    let path = FOLDER.with(|folder| folder.path().join("file"));
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// Key derivations that cost more than this are left out: the limits for them are a test of the keystore.
const MEMORY_KIB_MAX: u64 = 256;

pub fn key_file(input: &[u8]) {
    let path = file(input);
    let public = keystore::public(&path);
    let cost = |name: &str| {
        let json: serde_json::Value = serde_json::from_slice(input).ok()?;
        json["kdf"][name].as_u64()
    };
    if cost("m_kib").is_some_and(|kib| kib > MEMORY_KIB_MAX) || cost("t").is_some_and(|passes| passes > 4) {
        return;
    }
    if let Ok(key) = keystore::open_signing_key(&path, "node", b"passphrase") {
        assert_eq!(key.to_seed()[..], SECRET, "another key than was sealed");
        assert!(public.unwrap().is_none_or(|public| public == key.public()));
    }
}

/// The stored one differs from those of `seal` in its key derivation, which costs next to nothing: 64 KiB, one pass.
pub fn key_files() -> Vec<Vec<u8>> {
    good("key_file")
}

// The journal.

const RECORDS: [(RecordKind, &[u8]); 4] = [
    (RecordKind::Vote, b"first"),
    (RecordKind::Batch, &[3; 700]),
    (RecordKind::Vote, b""),
    (RecordKind::Floor, b"last"),
];

fn made_segment() -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let journal = folder.path().join("safety");
    let (open, _) = Journal::open_with(&journal, Durability::Os, 1, &AT_REST, Box::new(|_| {})).unwrap();
    for (kind, payload) in RECORDS {
        open.append(kind, payload);
    }
    drop(open);
    let mut segment = fs::read(journal.join("segment-00000001.log")).unwrap();
    // Zeros after the last record mean the same as their absence.
    let end = segment.iter().rposition(|byte| *byte != 0).unwrap();
    segment.truncate(end + 64);
    segment
}

pub fn journal_segment(input: &[u8]) {
    let Some(records) = probe::journal_segment(&AT_REST, input) else { return };
    for (record, (kind, payload)) in records.iter().zip(RECORDS) {
        assert_eq!((record.kind, &record.payload[..]), (kind, payload), "a record that nobody wrote there");
    }
    assert!(records.len() <= RECORDS.len());
}

pub fn journal_segments() -> Vec<Vec<u8>> {
    good("journal_segment")
}

// The file of key versions.

/// A file of a store that was opened for writing twice.
fn made_in_store(file: &str) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    for _ in 0..2 {
        // Each opening for writing adds a version.
        drop(RocksStore::open(folder.path(), &StoreConfig::default(), &AT_REST).unwrap());
    }
    fs::read(folder.path().join(file)).unwrap()
}

pub fn key_versions(input: &[u8]) {
    if let Ok(again) = probe::key_versions(&AT_REST, input) {
        assert!(again == input, "a second encoding of key versions");
        assert!(good("key_versions").iter().any(|made| made == input), "key versions that nobody wrote");
    }
}

pub fn key_version_files() -> Vec<Vec<u8>> {
    good("key_versions")
}

// The length of RocksDB's manifest.

/// A file that can be read has only these bytes, also with a valid checksum, which damage doesn't have.
pub fn manifest_length(input: &[u8]) {
    let check = format!(" {}\n", blake3::hash(input).to_hex());
    for file in [input, &[input, check.as_bytes()].concat()] {
        if let Some(again) = probe::manifest_length(file) {
            assert!(again.as_bytes() == file, "a second spelling of a length");
        }
    }
}

pub fn manifest_lengths() -> Vec<Vec<u8>> {
    let mut files = good("manifest_length");
    assert!(files.iter().all(|file| probe::manifest_length(file).is_some()));
    files.push(b"MANIFEST-000005 57".to_vec());
    files
}

// The audit log.

fn made_audit_log() -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let log = AuditSink::open(folder.path(), signer()).unwrap();
    for number in 0..3 {
        log.record("event", serde_json::json!({ "number": number, "text": "äöü \"quoted\"" })).unwrap();
    }
    fs::read(folder.path().join(audit::FILE_NAME)).unwrap()
}

static GOOD_LOGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| good("audit_log"));

pub fn audit_log(input: &[u8]) {
    if audit::verify_lines(input, &signer().public(), None).is_ok() {
        assert!(GOOD_LOGS.iter().any(|log| log.starts_with(input)), "lines that nobody wrote");
    }
}

pub fn audit_logs() -> Vec<Vec<u8>> {
    good("audit_log")
}

// Rows of the store after their seal is opened.

pub fn store_row(input: &[u8]) {
    if let Some(block) = probe::row(input) {
        assert!(input.ends_with(&encode(&block)));
    }
}

pub fn store_rows() -> Vec<Vec<u8>> {
    let blocks =
        super::ledger::blocks().into_iter().filter(|bytes| super::canonical::<Block>(bytes, bytes.len()).is_some());
    let rows =
        blocks.map(|block| [encode(&BlockDigest::ZERO), vec![0; 128], 0u32.to_le_bytes().to_vec(), block].concat());
    let receipts = super::ledger::receipts().into_iter().map(|receipt| [1u32.to_le_bytes().to_vec(), receipt].concat());
    let rows: Vec<Vec<u8>> = rows.chain(receipts).chain([vec![1, 3, 0, 0, 0], vec![0; 72]]).collect();
    assert!(rows.iter().any(|row| probe::row(row).is_some()), "no row of a block");
    rows
}

// First rows of heights in format 5, and index keys.

/// Headers, each with lane and digest of the batches that its block lists.
type Listing = Vec<(Header, Vec<(ValidatorIndex, BatchDigest)>)>;

/// Makes a chain of headers: each on its parent.
fn chained(mut listing: Listing) -> Listing {
    let mut below: Option<(Height, BlockDigest)> = None;
    for (header, _) in &mut listing {
        header.height.0 = match below {
            None => header.height.0 % (1 << 32),
            Some((height, _)) => height.0 + 1,
        };
        header.parent = below.map_or(header.parent, |(_, digest)| digest);
        below = Some((header.height, block_digest(header)));
    }
    listing
}

pub fn head_row(input: &[u8]) {
    probe::row(input);
    let Some(listing) = super::canonical::<Listing>(input, FRAME_BYTES_MAX) else { return };
    let listing = chained(listing);
    let rebuilt = probe::rebuild_headers(&listing);
    let written = listing.iter().map(|(header, _)| header);
    assert!(rebuilt.is_some_and(|rebuilt| rebuilt.iter().eq(written)), "no header or another one came back");
}

pub fn head_rows() -> Vec<Vec<u8>> {
    let headers = super::ledger::headers().into_iter();
    let headers = headers.filter_map(|bytes| super::canonical::<Header>(&bytes, bytes.len()));
    let above = |header: &Header| {
        let mut above = Header { parent_view: header.view, time_ms: header.time_ms.wrapping_add(10), ..header.clone() };
        above.view.0 = above.view.0.wrapping_add(1);
        above
    };
    let listing = |header: Header| {
        let (second, batches) = (above(&header), vec![(ValidatorIndex(0), BatchDigest([3; 32]))]);
        let third = above(&second);
        encode(&vec![(header, Vec::new()), (second, Vec::new()), (third, batches)])
    };
    headers.map(listing).collect()
}

pub fn index_key(input: &[u8]) {
    if let Some(again) = probe::index_key(input) {
        assert_eq!(again, input);
    }
}

pub fn index_keys() -> Vec<Vec<u8>> {
    [(b'T', 26), (b'A', 26), (b'B', 23), (b'L', 25)]
        .map(|(tag, length)| [vec![tag], vec![5; length - 1]].concat())
        .to_vec()
}
