//! The decoders of what opened objects hold, as functions of bytes: for whoever feeds them damage. Nothing of a node calls them.

use crate::manifest::{BackupId, Manifest, StoredFile, head_of, ids_of_head, listed};
use rustorium_types::{Certificate, ChainId, Header};
use std::collections::BTreeMap;

/// What a manifest was read as.
pub struct ReadManifest {
    /// It, encoded anew.
    pub again: Vec<u8>,
    /// Of each file with as many pieces as it needs: its bytes, and those of each piece.
    pub sized: Vec<(u64, Vec<u64>)>,
}

/// A manifest, after all that is asked of one without its pieces; none where the bytes are no manifest.
pub fn manifest(contents: &[u8]) -> Option<ReadManifest> {
    let manifest = Manifest::from_bytes(contents).ok()?;
    let sizes = |file: &StoredFile| Some((file.bytes, file.sized()?.map(|(_, bytes)| bytes).collect()));
    let read = ReadManifest { again: manifest.to_bytes(), sized: manifest.files.iter().filter_map(sizes).collect() };
    let _ = listed(&BackupId([0; 16]), &Ok(manifest), &BTreeMap::new());
    Some(read)
}

/// The manifest of a backup with an empty file and one of two pieces, of which a certificate makes the header final.
pub fn made_manifest(header: Header, certificate: Option<Certificate>) -> Vec<u8> {
    let file =
        |path: &str, bytes, pieces: &[[u8; 32]]| StoredFile { path: path.to_owned(), bytes, pieces: pieces.into() };
    let manifest = Manifest {
        chain: ChainId([7; 32]),
        node_key: [8; 32],
        node: "node-0".to_owned(),
        validator: true,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_ms: 1,
        oldest: header.result.height,
        newest: header.result.height,
        header,
        certificate,
        files: vec![file("config.toml", 0, &[]), file("db/000009.sst", (4 << 20) + 1, &[[1; 32], [2; 32]])],
    };
    manifest.to_bytes()
}

/// A head, encoded anew; none where the bytes are no head.
pub fn head(contents: &[u8]) -> Option<Vec<u8>> {
    ids_of_head(contents).ok().map(head_of)
}

/// The head of a destination with these backups.
pub fn made_head(ids: &[[u8; 16]]) -> Vec<u8> {
    head_of(ids.iter().copied().map(BackupId).collect())
}
