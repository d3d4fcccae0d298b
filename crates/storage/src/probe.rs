//! The decoders of what lies on the disk, as functions of bytes: for whoever feeds them damage. Nothing of a node calls them.

use crate::journal::{self, JournalRecord};
use crate::keyfile::KeyFile;
use crate::store::StoreError;
use crate::{rocks, rows};
use rustorium_crypto::seal::AtRest;
use rustorium_types::Block;

/// The records of a journal segment; none where the bytes are no segment of this key.
pub fn journal_segment(at_rest: &AtRest, segment: &[u8]) -> Option<Vec<JournalRecord>> {
    journal::records_of(at_rest, segment)
}

/// A file of key versions, encoded anew.
pub fn key_versions(at_rest: &AtRest, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    KeyFile::reencode(at_rest, bytes)
}

/// The file of key versions is called so in a store's folder.
pub const KEY_VERSIONS_FILE: &str = crate::keyfile::FILE_NAME;

/// A file with the length of RocksDB's manifest, written anew; none where it says no length.
pub fn manifest_length(bytes: &[u8]) -> Option<String> {
    rocks::manifest::reencode(bytes)
}

/// That file is called so in a store's folder.
pub const MANIFEST_LENGTH_FILE: &str = rocks::manifest::FILE_NAME;

/// The contents of opened rows: every kind of decoder, on the same bytes. The block, where they are that of one.
pub fn row(contents: &[u8]) -> Option<Block> {
    let key = b"key";
    let _ = rows::decode_format(contents);
    let _ = rows::decode_place(key, contents);
    let _ = rows::account_entries(key, contents);
    let _ = rows::decode_receipts(key, contents);
    let _ = rows::decode_leaf(key, contents.to_vec());
    let _ = rows::decode_before(key, contents.to_vec());
    let _ = rows::sealed_part(rows::Table::Log, key, contents);
    let _ = rows::version_of_leaf(contents);
    let _ = rows::index_height(contents);
    let _ = rows::finalization_height(contents);
    let _ = rows::decode_block(key, contents, false);
    rows::decode_block(key, contents, true).ok()?.1
}
