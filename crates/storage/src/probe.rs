//! The decoders of data on disk, as functions of bytes, for tests that feed them damaged data. No code of a node calls
//! them.

use crate::journal::{self, JournalRecord};
use crate::keyfile::KeyFile;
use crate::store::StoreError;
use crate::{rocks, rows};
use rustorium_crypto::seal::AtRest;
use rustorium_types::Block;

/// Decodes the records of a journal segment; `None` if the bytes are no segment of this key.
pub fn journal_segment(at_rest: &AtRest, segment: &[u8]) -> Option<Vec<JournalRecord>> {
    journal::records_of(at_rest, segment)
}

/// Decodes a file of key versions and encodes it again.
pub fn key_versions(at_rest: &AtRest, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    KeyFile::reencode(at_rest, bytes)
}

/// Name of the file of key versions in a store's folder.
pub const KEY_VERSIONS_FILE: &str = crate::keyfile::FILE_NAME;

/// Decodes a file with the length of RocksDB's manifest and encodes it again; `None` if it gives no length.
pub fn manifest_length(bytes: &[u8]) -> Option<String> {
    rocks::manifest::reencode(bytes)
}

/// Name of that file in a store's folder.
pub const MANIFEST_LENGTH_FILE: &str = rocks::manifest::FILE_NAME;

/// Runs every decoder of row contents on the same bytes. Returns the block, if they are those of one.
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
