//! The decoders of data on disk, as functions of bytes, for tests that feed them damaged data. No code of a node calls
//! them.

use crate::checks::tip_after;
use crate::journal::{self, JournalRecord};
use crate::keyfile::KeyFile;
use crate::rows::{Directory, HeadPlan, Listed, Trail};
use crate::store::{HeightCommit, StoreError};
use crate::{rocks, rows};
use rustorium_crypto::seal::AtRest;
use rustorium_types::{BatchDigest, Block, BoundedVec, Hash, Header, ResultLink, ValidatorIndex};

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

/// Stores headers one above the other in first rows of format 5, beside batches of these lanes, and rebuilds them from the
/// rows. `None` if a row doesn't decode, or doesn't fit those below.
pub fn rebuild_headers(headers: &[(Header, Vec<(ValidatorIndex, BatchDigest)>)]) -> Option<Vec<Header>> {
    let (mut written, mut read) = (None::<Trail>, None::<Trail>);
    let mut rebuilt = Vec::new();
    for (header, batches) in headers {
        let listed = batches.iter().map(|(author, digest)| Listed { author: *author, digest: *digest, bytes: 0 });
        let directory = Directory { batches: listed.collect(), ..Directory::default() };
        let commit = HeightCommit {
            digest: rustorium_crypto::block_digest(header),
            block: Block { header: header.clone(), inline: BoundedVec::default() },
            inline_ids: Vec::new(),
            batches: Vec::new(),
            receipts: Vec::new(),
            diff: Vec::new(),
            link: ResultLink::default(),
            result_root: Hash::ZERO,
            finalization: None,
        };
        let tip = tip_after(None, &commit);
        let plan = HeadPlan::of(written.as_ref(), None, &commit);
        let mut row = Vec::new();
        rows::encode_head(&commit, tip.payload_height, (written.as_ref(), &plan), &directory, &mut row);
        row.push(0);
        let decoded = rows::decode_head(b"key", &row).ok()?;
        match &mut read {
            None => read = Trail::begin(&decoded),
            Some(trail) => trail.extend(&decoded)?,
        }
        let trail = read.as_ref().filter(|trail| trail.is_right())?;
        rebuilt.push(Header::clone(&trail.header));
        written = Some(Trail::commit(written, &commit, &tip, &plan));
    }
    Some(rebuilt)
}

/// Decodes an index key of format 5 and encodes it again; `None` if it is none.
pub fn index_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let (height, place) = rows::bare_position(bytes).ok()?;
    let name = bytes.first_chunk()?;
    Some(rows::bare_key(name, height, place).as_ref().to_vec())
}

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
    if let Ok(row) = rows::decode_head(key, contents)
        && let Some(mut trail) = Trail::begin(&row)
    {
        let _ = trail.extend(&row);
    }
    let _ = rows::bare_position(contents);
    let _ = rows::decode_small(contents);
    let _ = rows::decode_plain_height(contents);
    let _ = rows::decode_block(key, contents, false);
    rows::decode_block(key, contents, true).ok()?.1
}
