//! The decoders of opened objects, as functions of bytes, for tests that feed them damaged data. No code of a node
//! calls them.

use crate::manifest::{BackupId, CertifiedRange, Manifest, StoredFile, head_of, ids_of_head, listed};
use rustorium_types::{Certificate, ChainId, Header, ShardId};
use std::collections::BTreeMap;

/// A decoded manifest.
pub struct ReadManifest {
    /// The manifest, encoded again.
    pub again: Vec<u8>,
    /// The bytes of each file that has as many pieces as it needs, and the bytes of its pieces.
    pub sized: Vec<(u64, Vec<u64>)>,
}

/// Decodes a manifest and runs all checks that need no pieces; `None` if the bytes are no manifest.
pub fn manifest(contents: &[u8]) -> Option<ReadManifest> {
    let manifest = Manifest::from_bytes(contents).ok()?;
    let sizes = |file: &StoredFile| Some((file.bytes, file.sized()?.map(|(_, bytes)| bytes).collect()));
    let read = ReadManifest { again: manifest.to_bytes(), sized: manifest.files.iter().filter_map(sizes).collect() };
    let _ = listed(&BackupId([0; 16]), &Ok(manifest), &BTreeMap::new());
    Some(read)
}

/// Returns the manifest of a backup with an empty file and a file of two pieces. The certificate makes the header
/// final. Each of the other shards has the same header.
pub fn made_manifest(header: Header, certificate: Option<Certificate>, others: &[u32]) -> Vec<u8> {
    let (oldest, newest) = (header.result.height, header.result.height);
    let range = CertifiedRange { header, certificate, oldest, newest };
    let file =
        |path: &str, bytes, pieces: &[[u8; 32]]| StoredFile { path: path.to_owned(), bytes, pieces: pieces.into() };
    let manifest = Manifest {
        chain: ChainId([7; 32]),
        node_key: [8; 32],
        node: "node-0".to_owned(),
        validator: true,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_ms: 1,
        others: others.iter().map(|shard| (ShardId(*shard), range.clone())).collect(),
        root: range,
        files: vec![file("config.toml", 0, &[]), file("db/000009.sst", (4 << 20) + 1, &[[1; 32], [2; 32]])],
    };
    manifest.to_bytes()
}

/// Decodes a head and encodes it again; `None` if the bytes are no head.
pub fn head(contents: &[u8]) -> Option<Vec<u8>> {
    ids_of_head(contents).ok().map(head_of)
}

/// Returns the head of a destination with these backups.
pub fn made_head(ids: &[[u8; 16]]) -> Vec<u8> {
    head_of(ids.iter().copied().map(BackupId).collect())
}
