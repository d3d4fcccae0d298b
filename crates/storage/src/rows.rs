//! What a height becomes on disk: tables, keys, and the only place where rows are encoded and decoded.
//!
//! *Invariants:* every row starts with its format version, and all but the store's format are sealed after it; a key shows
//! heights and consensus key hashes and nothing else; large rows have keys that grow with height, so that compaction moves
//! them instead of writing them again; a damaged row is an error that names it.
//!
//! | table | key | row |
//! |---|---|---|
//! | `meta` | `store-format` | the store's format, not sealed |
//! | | `tip` | height, payload height |
//! | | `rotation` | how far a rotation of keys has come |
//! | | `tree-base` | the height whose state the tree's base is |
//! | | `f` height | finalization of that height's block |
//! | `log` | height `b` | digest, link, result root, batches, block |
//! | | height `r` | receipts |
//! | | height `t` n | the height's n-th batch |
//! | `index` | `b` ⟨block digest⟩ | height |
//! | | `l` ⟨batch digest⟩ | height, n |
//! | | `t` ⟨transaction id⟩ | height, where its receipt and its own bytes begin |
//! | | `a` ⟨account⟩ height | (receipt index, transaction id) of that height |
//! | | height `d` | what the height wrote, until the tree's base has it |
//! | `state` | state key | value |
//! | `tree` | prefix length, prefix, index | a filled slot of the state tree's base, or its top |
//!
//! ⟨name⟩ is a keyed hash (16 bytes) that only the holder of the node's storage key can make.

use crate::store::{HeightCommit, StoreError, StoredLink, Tip, touched};
use borsh::BorshDeserialize;
use rustorium_crypto::seal::{HEAD_BYTES, KeyedHash};
use rustorium_types::{
    AccountId, Batch, BatchDigest, Block, BlockDigest, Hash, Height, Receipt, ResultLink, Transaction, TxId,
    ValidatorIndex, encode_into,
};

/// The store's format; a store of another is refused.
pub(crate) const FORMAT: u32 = 2;
/// The version of rows, bound into their seals.
pub(crate) const ROW_VERSION: u8 = 2;
/// Where the seal begins in a row.
pub(crate) const SEAL_AT: usize = 1;
/// Where the contents begin in a row.
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
}

impl Table {
    pub(crate) const ALL: [Self; 5] = [Self::Meta, Self::Log, Self::Index, Self::State, Self::Tree];

    pub(crate) fn name(self) -> &'static str {
        match self {
            // RocksDB always has a family of this name.
            Self::Meta => "default",
            Self::Log => "log",
            Self::Index => "index",
            Self::State => "state",
            Self::Tree => "tree",
        }
    }
}

pub(crate) const FORMAT_KEY: &[u8] = b"store-format";
pub(crate) const TIP_KEY: &[u8] = b"tip";
pub(crate) const TREE_BASE_KEY: &[u8] = b"tree-base";
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

pub(crate) fn batch_key(height: Height, n: u16) -> [u8; 11] {
    log_key(height, b't', n)
}

fn digest_key(names: &KeyedHash, tag: u8, digest: &[u8; 32]) -> [u8; 17] {
    let mut key = [tag; 17];
    key[1..].copy_from_slice(&names.of(tag, &[digest]));
    key
}

pub(crate) fn block_digest_key(names: &KeyedHash, digest: &BlockDigest) -> [u8; 17] {
    digest_key(names, b'b', &digest.0)
}

pub(crate) fn batch_digest_key(names: &KeyedHash, digest: &BatchDigest) -> [u8; 17] {
    digest_key(names, b'l', &digest.0)
}

pub(crate) fn transaction_key(names: &KeyedHash, id: &TxId) -> [u8; 17] {
    digest_key(names, b't', &id.0)
}

pub(crate) fn account_key(names: &KeyedHash, account: &AccountId, height: Height) -> [u8; 25] {
    let mut key = [0; 25];
    key[..17].copy_from_slice(&digest_key(names, b'a', &account.0));
    key[17..].copy_from_slice(&height.0.to_be_bytes());
    key
}

/// The height of an `account_key`.
pub(crate) fn account_key_height(key: &[u8]) -> Option<Height> {
    let bytes = key.get(17..)?;
    bytes.try_into().ok().map(|bytes| Height(u64::from_be_bytes(bytes)))
}

/// The store's format as a row: the one that isn't sealed, so that any version of this program can read it.
pub(crate) fn format_row() -> Vec<u8> {
    let mut row = vec![FORMAT_ROW_VERSION];
    encode_into(&FORMAT, &mut row);
    row
}

/// The format in such a row.
pub(crate) fn decode_format(row: &[u8]) -> Result<u32, StoreError> {
    match row.split_first() {
        Some((&FORMAT_ROW_VERSION, contents)) => decode_row(Table::Meta, FORMAT_KEY, contents),
        _ => Err(corrupt(Table::Meta, FORMAT_KEY, "it is no format row".into())),
    }
}

/// Begins a row in `out`; what is appended to it becomes the row's contents.
pub(crate) fn start_row(out: &mut Vec<u8>) {
    out.clear();
    out.resize(CONTENTS_AT, 0);
    out[0] = ROW_VERSION;
}

/// The sealed part of a row as read.
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

/// Where a transaction's receipt and bytes are.
pub(crate) struct Place {
    pub height: Height,
    /// Offset in the receipts row's contents.
    pub receipt_at: u32,
    /// The height's n-th batch; none for an inline transaction.
    pub batch: Option<u16>,
    /// Offset in the contents of the batch's row, or of the block's.
    pub transaction_at: u32,
}

/// Decodes a transaction's index row.
pub(crate) fn decode_place(key: &[u8], contents: &[u8]) -> Result<Place, StoreError> {
    let (height, receipt_at, batch, transaction_at) = decode_row::<(u64, u32, u16, u32)>(Table::Index, key, contents)?;
    Ok(Place { height: Height(height), receipt_at, batch: (batch != INLINE).then_some(batch), transaction_at })
}

/// The (receipt index, id) pairs of an account's row, ascending.
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

/// Buffers kept from one height to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    row: Vec<u8>,
    receipts_at: Vec<u32>,
    touched: Vec<(AccountId, u32)>,
}

/// Takes a row, which it may seal where it stands: table, key, bytes.
pub(crate) type Put<'a> = dyn FnMut(Table, &[u8], &mut Vec<u8>) -> Result<(), StoreError> + 'a;

/// Encodes all rows of a checked height and hands each to `put`.
pub(crate) fn encode_height(
    commit: &HeightCommit,
    tip: &Tip,
    names: &KeyedHash,
    scratch: &mut Scratch,
    put: &mut Put<'_>,
) -> Result<(), StoreError> {
    let height = commit.block.header.height;
    let Scratch { row, receipts_at, touched } = scratch;
    touched.clear();
    encode_receipts(commit, row, receipts_at);
    put(Table::Log, &receipts_key(height), row)?;
    let mut walk = Walk { commit, height, receipts_at, next: 0, touched, names, small: Vec::with_capacity(32) };
    encode_block(commit, row, &mut walk, put)?;
    put(Table::Log, &block_key(height), row)?;
    for (n, batch) in (0u16..).zip(&commit.batches) {
        encode_batch(&batch.batch, n, &batch.ids, row, &mut walk, put)?;
        put(Table::Log, &batch_key(height, n), row)?;
        start_row(row);
        encode_into(&(height, n), row);
        put(Table::Index, &batch_digest_key(names, &batch.digest), row)?;
    }
    if walk.next < commit.receipts.len() {
        let what = "a receipt of a transaction that the block doesn't list at its place";
        return Err(StoreError::Inconsistent { height, what });
    }
    encode_accounts(commit, touched, names, row, put)?;
    start_row(row);
    encode_into(&height, row);
    put(Table::Index, &block_digest_key(names, &commit.digest), row)?;
    if let Some(certificate) = &commit.finalization {
        start_row(row);
        encode_into(&**certificate, row);
        put(Table::Meta, &finalization_key(height), row)?;
    }
    start_row(row);
    encode_into(&(tip.height, tip.payload_height), row);
    put(Table::Meta, TIP_KEY, row)?;
    for (key, value) in &commit.diff {
        if let Some(value) = value {
            start_row(row);
            row.extend_from_slice(value);
            put(Table::State, &key.to_bytes(), row)?;
        }
    }
    Ok(())
}

fn offset(row: &[u8]) -> u32 {
    // Offsets count from the contents. Rows are bounded by the formats' limits, far below 4 GiB.
    (row.len() - CONTENTS_AT) as u32
}

fn encode_receipts(commit: &HeightCommit, row: &mut Vec<u8>, receipts_at: &mut Vec<u32>) {
    start_row(row);
    receipts_at.clear();
    encode_into(&(commit.receipts.len() as u32), row);
    for receipt in &commit.receipts {
        receipts_at.push(offset(row));
        encode_into(receipt, row);
    }
}

fn encode_block(
    commit: &HeightCommit,
    row: &mut Vec<u8>,
    walk: &mut Walk<'_>,
    put: &mut Put<'_>,
) -> Result<(), StoreError> {
    start_row(row);
    encode_into(&(commit.digest, commit.link, commit.result_root), row);
    encode_into(&(commit.batches.len() as u32), row);
    for batch in &commit.batches {
        encode_into(&(batch.batch.body.author, batch.digest), row);
    }
    // From here on the canonical bytes of the block, in pieces, to learn where each transaction begins.
    encode_into(&commit.block.header, row);
    encode_into(&(commit.block.inline.len() as u32), row);
    for (transaction, id) in commit.block.inline.iter().zip(&commit.inline_ids) {
        walk.visit(transaction, id, INLINE, offset(row), put)?;
        encode_into(transaction, row);
    }
    Ok(())
}

fn encode_batch(
    batch: &Batch,
    n: u16,
    ids: &[TxId],
    row: &mut Vec<u8>,
    walk: &mut Walk<'_>,
    put: &mut Put<'_>,
) -> Result<(), StoreError> {
    let body = &batch.body;
    start_row(row);
    // The canonical bytes of the batch, in pieces, to learn where each transaction begins.
    encode_into(&(body.chain, body.shard, body.epoch, body.author, body.seq, body.previous), row);
    encode_into(&(body.transactions.len() as u32), row);
    for (transaction, id) in body.transactions.iter().zip(ids) {
        walk.visit(transaction, id, n, offset(row), put)?;
        encode_into(transaction, row);
    }
    encode_into(&batch.signature, row);
    Ok(())
}

fn encode_accounts(
    commit: &HeightCommit,
    touched: &mut Vec<(AccountId, u32)>,
    names: &KeyedHash,
    row: &mut Vec<u8>,
    put: &mut Put<'_>,
) -> Result<(), StoreError> {
    touched.sort_unstable();
    touched.dedup();
    for entries in touched.chunk_by(|a, b| a.0 == b.0) {
        start_row(row);
        for (_, index) in entries {
            encode_into(&(*index, commit.receipts[*index as usize].transaction), row);
        }
        put(Table::Index, &account_key(names, &entries[0].0, commit.block.header.height), row)?;
    }
    Ok(())
}

/// Walks listed transactions in final order, beside the receipts, which are a subsequence of them.
struct Walk<'a> {
    commit: &'a HeightCommit,
    height: Height,
    receipts_at: &'a [u32],
    next: usize,
    touched: &'a mut Vec<(AccountId, u32)>,
    names: &'a KeyedHash,
    small: Vec<u8>,
}

impl Walk<'_> {
    fn visit(
        &mut self,
        transaction: &Transaction,
        id: &TxId,
        batch: u16,
        transaction_at: u32,
        put: &mut Put<'_>,
    ) -> Result<(), StoreError> {
        let Some(receipt) = self.commit.receipts.get(self.next).filter(|receipt| receipt.transaction == *id) else {
            return Ok(());
        };
        start_row(&mut self.small);
        encode_into(&(self.height, self.receipts_at[self.next], batch, transaction_at), &mut self.small);
        put(Table::Index, &transaction_key(self.names, id), &mut self.small)?;
        touched(receipt, transaction, |account| self.touched.push((account, receipt.index)));
        self.next += 1;
        Ok(())
    }
}

/// Decodes a receipts row.
pub(crate) fn decode_receipts(key: &[u8], contents: &[u8]) -> Result<Vec<Receipt>, StoreError> {
    decode_row(Table::Log, key, contents)
}
