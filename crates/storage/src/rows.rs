//! The rows that a height becomes on disk: tables, keys, and the only place where rows are encoded and decoded.
//!
//! *Invariants:* every row starts with its format version, and in all rows except `is_plain`'s the rest is sealed; a key
//! shows heights, positions within them and consensus key hashes and nothing else; large rows have keys that grow with height,
//! so that compaction moves them instead of writing them again; a damaged row is an error that names it.
//!
//! | table | key | row |
//! |---|---|---|
//! | `meta` | `store-format` | the store's format, not sealed |
//! | | `rows-of-format-5` | the first height in format 5; `version-2-from` is a copy that isn't sealed |
//! | | `tip` | height, payload height; not in format 5, where the last `h` row is the tip's |
//! | | `newest-finalization` | height and finalization of the newest height of version 2 that had one at the last sync |
//! | | `rotation` | progress of a key rotation |
//! | | `oldest` | the oldest kept height, and the height up to which removed leaves are swept |
//! | | `tree-roots` | heights of the kept roots; the newest is the tree's base |
//! | | `syncing` | description of the snapshot that is filling the store, which has no tip then |
//! | | `synced` | height of the snapshot that filled the store, and the headers that came with it |
//! | | `f` height | finalization of that height's block; in format 5 only some heights' |
//! | | `epoch-end/` epoch | the end of the epoch |
//! | | `committee/` height | the committee record from that height on |
//! | `log` | height `d` | the height's writes, until the tree's base has them |
//! | | height `x` | keys of leaves that the height removed |
//! | `state` | state key, height from the top | name and value from that height on; empty if that height removed the leaf |
//! | `tree` | prefix length, prefix, index | a filled slot of the state tree's base, or its top |
//! | `undo` | root's height, key of `tree` | that row before this root; empty if there was none |
//!
//! Heights of version 1 have these rows beside, format 4's:
//!
//! | table | key | row |
//! |---|---|---|
//! | `log` | height `b` | digest, link, result root, batches, block |
//! | | height `r` | receipts |
//! | | height `t` n | the height's n-th batch |
//! | `index` | `b` ⟨block digest⟩ height | nothing |
//! | | `l` ⟨batch digest⟩ height | n |
//! | | `t` ⟨transaction id⟩ height | offsets of its receipt and of its own bytes |
//! | | `a` ⟨account⟩ height | (receipt index, transaction id) of that height |
//!
//! Heights of version 2 have format 5's:
//!
//! | table | key | row |
//! |---|---|---|
//! | `log` | height `h` | digest, roots, the header's differences from its parent's (`head`), directory of the payload, few receipts |
//! | | height `p` part | the payload: inline transactions, then batches without what the header tells (`parts`) |
//! | | height `r` part | the receipts, if they are many |
//! | `index` | `T` `A` `B` `L` | nothing, not sealed (`names`) |
//!
//! ⟨name⟩ is a keyed hash (16 bytes) that only the holder of the node's storage key can make. *From the top* means
//! inverted, so that a key's newest row comes first. Every row that pruning removes shows its height in its key.

mod encode;
mod encode5;
mod head;
mod names;
mod numbers;
mod parts;

use encode::encode_state;
pub(crate) use encode::{Put, Scratch, encode_height_4};
pub(crate) use encode5::encode_height_5;
pub(crate) use head::{Directory, HeadPlan, HeadRow, Listed, Trail, WHOLE_EVERY, decode_head, encode_head};
pub(crate) use names::{
    HEIGHTS_END, RECEIPTS_END, bare_account_name, bare_batch_name, bare_block_name, bare_key, bare_position,
    bare_transaction_name, is_bare,
};
pub(crate) use parts::{
    PART_BYTES, PART_RECEIPTS, RECEIPT_BYTES, StoredReceipt, decode_receipt, decode_small, head_height, head_key,
    payload_key, receipts_part_key,
};

use crate::history::StoredValue;
use crate::store::{StoreError, StoredLink};
use borsh::BorshDeserialize;
use rustorium_crypto::seal::{HEAD_BYTES, KeyedHash, TAG_BYTES};
use rustorium_types::limits::LEAF_NAME_BYTES_MAX;
use rustorium_types::{
    AccountId, BatchDigest, Block, BlockDigest, Hash, Height, Receipt, ResultLink, StateKey, TxId, ValidatorIndex,
    encode_into,
};

/// The format of a store that has heights of version 2.
pub(crate) const FORMAT: u32 = 5;
/// The format of a store without heights of version 2. Stores of other formats are refused.
pub(crate) const FORMAT_4: u32 = 4;
/// The version of rows, bound into their seals.
pub(crate) const ROW_VERSION: u8 = 3;
/// Offset of the seal in a row.
pub(crate) const SEAL_AT: usize = 1;
/// Offset of the contents in a row.
const CONTENTS_AT: usize = SEAL_AT + HEAD_BYTES;
const FORMAT_ROW_VERSION: u8 = 1;
const INLINE: u16 = u16::MAX;
/// Receipt index and transaction id.
const ACCOUNT_ENTRY_BYTES: usize = 36;

/// The tables; each is one of RocksDB's column families.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Table {
    Meta = 0,
    Log = 1,
    Index = 2,
    State = 3,
    Tree = 4,
    Undo = 5,
}

impl Table {
    pub(crate) const ALL: [Self; 6] = [Self::Meta, Self::Log, Self::Index, Self::State, Self::Tree, Self::Undo];

    pub(crate) fn name(self) -> &'static str {
        match self {
            // RocksDB always has a family of this name.
            Self::Meta => "default",
            Self::Log => "log",
            Self::Index => "index",
            Self::State => "state",
            Self::Tree => "tree",
            Self::Undo => "undo",
        }
    }
}

pub(crate) const FORMAT_KEY: &[u8] = b"store-format";
/// Row with the first height in format 5.
pub(crate) const FIVE_FROM_KEY: &[u8] = b"rows-of-format-5";
/// Copy of that row without a seal, for programs that have no key. The store never reads it.
pub(crate) const FIVE_FROM_PLAIN_KEY: &[u8] = b"version-2-from";
pub(crate) const TIP_KEY: &[u8] = b"tip";
pub(crate) const NEWEST_FINALIZATION_KEY: &[u8] = b"newest-finalization";
pub(crate) const TREE_ROOTS_KEY: &[u8] = b"tree-roots";
pub(crate) const FLOOR_KEY: &[u8] = b"oldest";
pub(crate) const SYNCING_KEY: &[u8] = b"syncing";
pub(crate) const SYNCED_KEY: &[u8] = b"synced";
pub(crate) const ROTATION_KEY: &[u8] = b"rotation";

pub(crate) fn finalization_key(height: Height) -> [u8; 9] {
    let mut key = [b'f'; 9];
    key[1..].copy_from_slice(&height.0.to_be_bytes());
    key
}

/// The height of a `finalization_key`.
pub(crate) fn finalization_height(key: &[u8]) -> Option<Height> {
    let bytes = key.strip_prefix(b"f")?;
    bytes.try_into().ok().map(|bytes| Height(u64::from_be_bytes(bytes)))
}

fn log_key(height: Height, part: u8, n: u16) -> [u8; 11] {
    let mut key = [0; 11];
    key[..8].copy_from_slice(&height.0.to_be_bytes());
    key[8] = part;
    key[9..].copy_from_slice(&n.to_be_bytes());
    key
}

pub(crate) fn block_key(height: Height) -> [u8; 11] {
    log_key(height, b'b', 0)
}

pub(crate) fn receipts_key(height: Height) -> [u8; 11] {
    log_key(height, b'r', 0)
}

pub(crate) fn tree_writes_key(height: Height) -> [u8; 11] {
    log_key(height, b'd', 0)
}

pub(crate) fn removed_key(height: Height) -> [u8; 11] {
    log_key(height, b'x', 0)
}

pub(crate) fn batch_key(height: Height, n: u16) -> [u8; 11] {
    log_key(height, b't', n)
}

/// Bytes of an index key before the height.
pub(crate) const NAMED_BYTES: usize = 17;
/// Bytes of a state row's key before the height.
pub(crate) const STATE_KEY_BYTES: usize = 64;

/// The beginning of an index row's key, made from a digest or an account. The height follows it.
pub(crate) type IndexPrefix = [u8; NAMED_BYTES];

fn named(names: &KeyedHash, tag: u8, digest: &[u8; 32]) -> IndexPrefix {
    let mut key = [tag; NAMED_BYTES];
    key[1..].copy_from_slice(&names.of(tag, &[digest]));
    key
}

pub(crate) fn block_name(names: &KeyedHash, digest: &BlockDigest) -> IndexPrefix {
    named(names, b'b', &digest.0)
}

pub(crate) fn batch_name(names: &KeyedHash, digest: &BatchDigest) -> IndexPrefix {
    named(names, b'l', &digest.0)
}

pub(crate) fn transaction_name(names: &KeyedHash, id: &TxId) -> IndexPrefix {
    named(names, b't', &id.0)
}

pub(crate) fn account_name(names: &KeyedHash, account: &AccountId) -> IndexPrefix {
    named(names, b'a', &account.0)
}

/// Key of the index row of a name at a height.
pub(crate) fn index_key(name: &IndexPrefix, height: Height) -> [u8; NAMED_BYTES + 8] {
    let mut key = [0; NAMED_BYTES + 8];
    key[..NAMED_BYTES].copy_from_slice(name);
    key[NAMED_BYTES..].copy_from_slice(&height.0.to_be_bytes());
    key
}

/// The height of an `index_key`.
pub(crate) fn index_height(key: &[u8]) -> Result<Height, StoreError> {
    big_endian(key.get(NAMED_BYTES..)).map(Height).ok_or_else(|| wrong_key(Table::Index, key))
}

/// Key of the row with a state leaf's value from a height on.
pub(crate) fn version_key(key: &StateKey, height: Height) -> [u8; STATE_KEY_BYTES + 8] {
    let mut row = [0; STATE_KEY_BYTES + 8];
    row[..STATE_KEY_BYTES].copy_from_slice(&key.to_bytes());
    row[STATE_KEY_BYTES..].copy_from_slice(&(!height.0).to_be_bytes());
    row
}

/// Decodes leaf and height of a `version_key`.
pub(crate) fn version_of_leaf(key: &[u8]) -> Result<(StateKey, Height), StoreError> {
    let wrong = || wrong_key(Table::State, key);
    let (leaf, height) = key.split_at_checked(STATE_KEY_BYTES).ok_or_else(wrong)?;
    let leaf = StateKey::try_from_slice(leaf).map_err(|_| wrong())?;
    Ok((leaf, Height(!big_endian(Some(height)).ok_or_else(wrong)?)))
}

/// Key of the row that saves the tree's row of this key as it was before a root.
pub(crate) fn undo_key(root: Height, key: &[u8]) -> Vec<u8> {
    [&root.0.to_be_bytes(), key].concat()
}

/// Encodes the contents of an `undo` row.
pub(crate) fn encode_before(row: Option<&[u8]>) -> Vec<u8> {
    row.map_or_else(Vec::new, |row| [&[1], row].concat())
}

/// Decodes the row in such contents; `None` if there was no row before.
pub(crate) fn decode_before(key: &[u8], mut contents: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
    match contents.first() {
        None => Ok(None),
        Some(1) => {
            contents.remove(0);
            Ok(Some(contents))
        }
        Some(_) => {
            Err(corrupt(Table::Undo, key, "it says neither that there was a row nor that there was none".into()))
        }
    }
}

fn big_endian(bytes: Option<&[u8]>) -> Option<u64> {
    bytes?.try_into().ok().map(u64::from_be_bytes)
}

fn wrong_key(table: Table, key: &[u8]) -> StoreError {
    corrupt(table, key, "its key's length is wrong".into())
}

/// Begins a state row's contents with the leaf's name. The value follows.
pub(crate) fn encode_name(name: &[u8], out: &mut Vec<u8>) {
    // Names are bounded by the formats' limits.
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name);
}

/// Decodes a state row's contents; `None` if the leaf is removed.
pub(crate) fn decode_leaf(key: &[u8], mut contents: Vec<u8>) -> Result<Option<StoredValue>, StoreError> {
    if contents.is_empty() {
        return Ok(None);
    }
    let wrong = || corrupt(Table::State, key, "it ends within its name".into());
    let (length, _) = contents.split_first_chunk::<2>().ok_or_else(wrong)?;
    let value_at = 2 + usize::from(u16::from_le_bytes(*length));
    let name = contents.get(2..value_at).ok_or_else(wrong)?.to_vec();
    contents.drain(..value_at);
    Ok(Some(StoredValue { name, value: contents }))
}

/// Returns the bytes that the value of a leaf has at least whose sealed row has so many bytes.
pub(crate) fn value_bytes_least(row_bytes: usize) -> usize {
    row_bytes.saturating_sub(CONTENTS_AT + TAG_BYTES + 2 + LEAF_NAME_BYTES_MAX)
}

/// Tells if a row is never sealed: that of the store's format, so that any version of this program can read it, and
/// those that have nothing beside a key.
pub(crate) fn is_plain(table: Table, key: &[u8]) -> bool {
    match table {
        Table::Meta => [FORMAT_KEY, FIVE_FROM_PLAIN_KEY].contains(&key),
        Table::Index => is_bare(key),
        _ => false,
    }
}

/// Encodes the row of the store's format.
pub(crate) fn format_row(format: u32) -> Vec<u8> {
    let mut row = vec![FORMAT_ROW_VERSION];
    encode_into(&format, &mut row);
    row
}

/// Encodes the row with the first height of version 2 that has no seal.
pub(crate) fn plain_height_row(height: Height) -> Vec<u8> {
    let mut row = vec![FORMAT_ROW_VERSION];
    encode_into(&height, &mut row);
    row
}

/// Decodes the height in such a row.
pub(crate) fn decode_plain_height(row: &[u8]) -> Result<Height, StoreError> {
    match row.split_first() {
        Some((&FORMAT_ROW_VERSION, contents)) => decode_row(Table::Meta, FIVE_FROM_PLAIN_KEY, contents),
        _ => Err(corrupt(Table::Meta, FIVE_FROM_PLAIN_KEY, "it names no height".into())),
    }
}

/// Decodes the format in such a row.
pub(crate) fn decode_format(row: &[u8]) -> Result<u32, StoreError> {
    match row.split_first() {
        Some((&FORMAT_ROW_VERSION, contents)) => decode_row(Table::Meta, FORMAT_KEY, contents),
        _ => Err(corrupt(Table::Meta, FORMAT_KEY, "it is no format row".into())),
    }
}

/// Begins a row in `out`. Bytes appended to it become the row's contents.
pub(crate) fn start_row(out: &mut Vec<u8>) {
    out.clear();
    out.resize(CONTENTS_AT, 0);
    out[0] = ROW_VERSION;
}

/// Returns the sealed part of a row that was read.
pub(crate) fn sealed_part<'a>(table: Table, key: &[u8], row: &'a [u8]) -> Result<&'a [u8], StoreError> {
    match row.split_first() {
        Some((&ROW_VERSION, sealed)) => Ok(sealed),
        Some((version, _)) => Err(corrupt(table, key, format!("row version {version} is not known"))),
        None => Err(corrupt(table, key, "it is empty".into())),
    }
}

pub(crate) fn corrupt(table: Table, key: &[u8], what: String) -> StoreError {
    StoreError::Corrupt { table: table.name(), key: hex::encode(key), what }
}

/// Decodes all of an opened row's contents.
pub(crate) fn decode_row<T: BorshDeserialize>(table: Table, key: &[u8], contents: &[u8]) -> Result<T, StoreError> {
    T::try_from_slice(contents).map_err(|e| corrupt(table, key, e.to_string()))
}

/// Decodes one value that begins at `offset` of a row's contents.
pub(crate) fn decode_at<T: BorshDeserialize>(
    table: Table,
    key: &[u8],
    contents: &[u8],
    offset: u32,
) -> Result<T, StoreError> {
    let mut rest = contents
        .get(offset as usize..)
        .ok_or_else(|| corrupt(table, key, "it ends before a value that its index names".into()))?;
    T::deserialize(&mut rest).map_err(|e| corrupt(table, key, e.to_string()))
}

/// The beginning of a height's `log` row, before the block.
pub(crate) struct BlockHead {
    pub digest: BlockDigest,
    pub link: StoredLink,
    pub batches: Vec<(ValidatorIndex, BatchDigest)>,
}

/// Decodes a height's row up to the block, and the block where `full`.
pub(crate) fn decode_block(key: &[u8], contents: &[u8], full: bool) -> Result<(BlockHead, Option<Block>), StoreError> {
    let mut rest = contents;
    let fail = |e: std::io::Error| corrupt(Table::Log, key, e.to_string());
    let digest = BlockDigest::deserialize(&mut rest).map_err(fail)?;
    let link = ResultLink::deserialize(&mut rest).map_err(fail)?;
    let result_root = Hash::deserialize(&mut rest).map_err(fail)?;
    let link = StoredLink { link, result_root };
    if !full {
        return Ok((BlockHead { digest, link, batches: Vec::new() }, None));
    }
    let batches = Vec::deserialize(&mut rest).map_err(fail)?;
    let block = Block::try_from_slice(rest).map_err(fail)?;
    Ok((BlockHead { digest, link, batches }, Some(block)))
}

/// Place of a transaction's receipt and bytes.
pub(crate) struct Place {
    /// Offset in the receipts row's contents.
    pub receipt_at: u32,
    /// Number of the batch within the height; `None` for an inline transaction.
    pub batch: Option<u16>,
    /// Offset in the contents of the batch's row, or of the block's row.
    pub transaction_at: u32,
}

/// Decodes a transaction's index row.
pub(crate) fn decode_place(key: &[u8], contents: &[u8]) -> Result<Place, StoreError> {
    let (receipt_at, batch, transaction_at) = decode_row::<(u32, u16, u32)>(Table::Index, key, contents)?;
    Ok(Place { receipt_at, batch: (batch != INLINE).then_some(batch), transaction_at })
}

/// Decodes the (receipt index, id) pairs of an account's row, ascending.
pub(crate) fn account_entries(key: &[u8], contents: &[u8]) -> Result<Vec<(u32, TxId)>, StoreError> {
    let (entries, rest) = contents.as_chunks::<ACCOUNT_ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(corrupt(Table::Index, key, "its length is wrong".into()));
    }
    let decode = |entry: &[u8; ACCOUNT_ENTRY_BYTES]| {
        BorshDeserialize::try_from_slice(entry).map_err(|e| corrupt(Table::Index, key, e.to_string()))
    };
    entries.iter().map(decode).collect()
}

/// Decodes a receipts row.
pub(crate) fn decode_receipts(key: &[u8], contents: &[u8]) -> Result<Vec<Receipt>, StoreError> {
    decode_row(Table::Log, key, contents)
}
