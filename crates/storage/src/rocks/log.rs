//! Heights in format 5, read from their rows.
//!
//! *Invariants:* heights from `five_from` on have format 5's rows; a header that was rebuilt and what an index key led
//! to are compared with what was asked for, and a difference is damage; a read that pruning overtook says so, and never
//! that the store is damaged.

use super::RocksStore;
use super::recent::RecentHeight;
use crate::checks::touched;
use crate::rows::{self, HeadRow, IndexPrefix, StoredReceipt, Table, Trail};
use crate::store::{StoreError, StoredBlock, StoredLink, StoredTransaction};
use borsh::BorshDeserialize;
use rocksdb::ReadOptions;
use rustorium_crypto::id_on;
use rustorium_types::{
    AccountId, Batch, BatchBody, BatchDigest, Block, BlockDigest, BoundedVec, ChainId, Header, Height, Inline, Receipt,
    Signature, Transaction, TxId,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Trails that are kept for the next readers. A reader of one height after the other reads one row for each.
const WALKS: usize = 4;

/// A height in format 5.
pub(super) enum Found {
    /// From memory.
    Recent(Arc<RecentHeight>),
    /// From its row and those below.
    Row(Box<(Trail, HeadRow)>),
}

/// The part of a payload that was read last: height, number, contents.
type LastPart = Option<(Height, u64, Vec<u8>)>;

impl RocksStore {
    /// Tells if a height's rows are those of format 5.
    pub(super) fn is_five(&self, height: Height) -> bool {
        height.0 >= self.five_from.load(Ordering::Acquire)
    }

    /// Tells if any kept height has format 4's rows.
    pub(super) fn has_four(&self) -> bool {
        self.disk.floor().0 < self.five_from.load(Ordering::Acquire)
    }

    fn damage(&self, table: Table, key: &[u8], what: &str) -> StoreError {
        self.disk.keys.note(rows::corrupt(table, key, what.to_owned()))
    }

    /// Reads a height's first row. The caller checks that the height is kept.
    pub(super) fn head_row(&self, height: Height) -> Result<Option<HeadRow>, StoreError> {
        let key = rows::head_key(height);
        let row = self.disk.get(Table::Log, &key)?.map(|row| rows::decode_head(&key, &row));
        row.transpose().map_err(|error| self.disk.keys.note(error))
    }

    /// Reads a height's first row, to which an index key led. Errors: `Pruned`, or damage if it is missing.
    fn expect_head(&self, height: Height) -> Result<HeadRow, StoreError> {
        let row = self.head_row(height);
        self.disk.check_kept(height)?;
        let missing = || self.damage(Table::Log, &rows::head_key(height), "it is missing, and an index names it");
        row?.ok_or_else(missing)
    }

    /// Rebuilds what the rows up to a height tell. `kept` is the height that must be kept.
    pub(super) fn trail_at(&self, height: Height, row: &HeadRow, kept: Height) -> Result<Trail, StoreError> {
        let key = rows::head_key(height);
        let unfit = || self.damage(Table::Log, &key, "the rows below don't tell what it leaves out");
        let whole = Height(height.0.checked_sub(row.back.into()).ok_or_else(unfit)?);
        let mut trail = {
            let mut walks = self.walks.lock();
            let near = walks.iter().position(|walk| walk.is_within(whole, height));
            near.and_then(|place| walks.remove(place))
        };
        let first = trail.as_ref().map_or(whole, |trail| trail.header.height.next());
        for below in (first.0..height.0).map(Height) {
            let found = self.head_row(below);
            self.disk.check_kept(kept)?;
            let found = found?.ok_or_else(unfit)?;
            match &mut trail {
                None => trail = Some(Trail::begin(&found).ok_or_else(unfit)?),
                Some(trail) => trail.extend(&found).ok_or_else(unfit)?,
            }
        }
        let trail = match trail {
            None => Trail::begin(row),
            Some(mut trail) => trail.extend(row).map(|()| trail),
        };
        let trail = trail.filter(|trail| trail.header.height == height).ok_or_else(unfit)?;
        if !trail.is_right() {
            return Err(self.damage(Table::Log, &key, "its header is not the one that its digest names"));
        }
        let mut walks = self.walks.lock();
        walks.push_front(trail.clone());
        walks.truncate(WALKS);
        Ok(trail)
    }

    /// Finds a height; `None` if it isn't stored.
    fn found(&self, height: Height) -> Result<Option<Found>, StoreError> {
        let recent = self.recent.read().height(height);
        if let Some(recent) = recent {
            self.disk.check_kept(height)?;
            return Ok(Some(Found::Recent(recent)));
        }
        let row = self.head_row(height);
        self.disk.check_kept(height)?;
        let Some(row) = row? else { return Ok(None) };
        let trail = self.trail_at(height, &row, height)?;
        Ok(Some(Found::Row(Box::new((trail, row)))))
    }

    /// Returns a block in format 5.
    pub(super) fn bare_block_5(&self, height: Height) -> Result<Option<Block>, StoreError> {
        Ok(match self.found(height)? {
            None => None,
            Some(Found::Recent(recent)) => Some(self.recent_block(&recent)?),
            Some(Found::Row(found)) => {
                let (trail, row) = *found;
                Some(Block { inline: self.inline(height, &row)?, header: owned(trail.header) })
            }
        })
    }

    fn recent_block(&self, recent: &RecentHeight) -> Result<Block, StoreError> {
        let header = Header::clone(&recent.header);
        let inline = match recent.inline {
            0 => BoundedVec::default(),
            _ => self.inline(header.height, &self.expect_head(header.height)?)?,
        };
        Ok(Block { header, inline })
    }

    /// Returns a block in format 5 with its receipts.
    pub(super) fn block_5(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        Ok(match self.found(height)? {
            None => None,
            Some(Found::Recent(recent)) => {
                let block = self.recent_block(&recent)?;
                let StoredLink { link, result_root } = recent.link;
                let (batches, receipts) = (recent.batches.clone(), recent.receipts.clone());
                Some(StoredBlock { block, digest: recent.digest, link, result_root, batches, receipts })
            }
            Some(Found::Row(found)) => {
                let (trail, row) = *found;
                let StoredLink { link, result_root } = trail.stored_link();
                let batches = row.directory.batches.iter().map(|listed| (listed.author, listed.digest)).collect();
                let receipts = self.receipts(height, &row)?;
                let block = Block { inline: self.inline(height, &row)?, header: owned(trail.header) };
                Some(StoredBlock { block, digest: trail.digest, link, result_root, batches, receipts })
            }
        })
    }

    /// Returns the link of a height, from memory or after the links below. `trail` is that of the height below, if it
    /// was read, and becomes that of this one. `kept` is the height that must be kept.
    pub(super) fn link_5(
        &self,
        height: Height,
        trail: &mut Option<Trail>,
        kept: Height,
    ) -> Result<Option<StoredLink>, StoreError> {
        if let Some(recent) = self.recent.read().height(height) {
            return Ok(Some(recent.link));
        }
        let row = self.head_row(height);
        self.disk.check_kept(kept)?;
        let Some(row) = row? else { return Ok(None) };
        let next = match trail.take().filter(|trail| trail.header.height.next() == height) {
            Some(mut below) => below.extend(&row).map(|()| below),
            None => Some(self.trail_at(height, &row, kept)?),
        };
        let unfit = || self.damage(Table::Log, &rows::head_key(height), "the rows below don't tell what it leaves out");
        let link = next.as_ref().map(Trail::stored_link).ok_or_else(unfit)?;
        *trail = next;
        Ok(Some(link))
    }

    /// Returns the position of the lowest kept index key of a name, with the key.
    fn position(&self, name: &IndexPrefix) -> Result<Option<(Height, u32, Vec<u8>)>, StoreError> {
        let from = rows::bare_key(name, self.disk.floor(), 0);
        let Some(key) = self.disk.first_key(Table::Index, rows::NAMED_BYTES, from.as_ref())? else { return Ok(None) };
        let (height, place) = rows::bare_position(&key).map_err(|error| self.disk.keys.note(error))?;
        Ok(Some((height, place, key)))
    }

    fn led_astray(&self, key: &[u8]) -> StoreError {
        self.damage(Table::Index, key, "it doesn't lead to what it names")
    }

    /// Returns the height of a block in format 5.
    pub(super) fn height_of_5(&self, digest: &BlockDigest) -> Result<Option<Height>, StoreError> {
        let name = rows::bare_block_name(self.disk.keys.names(), digest);
        let Some((height, _, key)) = self.position(&name)? else { return Ok(None) };
        let recent = self.recent.read().height(height).map(|recent| recent.digest);
        let found = match recent {
            Some(digest) => digest,
            None => match self.expect_head(height) {
                Err(StoreError::Pruned { .. }) => return Ok(None),
                row => row?.digest,
            },
        };
        if found == *digest { Ok(Some(height)) } else { Err(self.led_astray(&key)) }
    }

    /// Returns a listed batch in format 5.
    pub(super) fn batch_5(&self, digest: &BatchDigest) -> Result<Option<Batch>, StoreError> {
        let name = rows::bare_batch_name(self.disk.keys.names(), digest);
        let Some((height, n, key)) = self.position(&name)? else { return Ok(None) };
        unless_pruned(self.listed(height, n, digest, &key))
    }

    fn listed(&self, height: Height, n: u32, digest: &BatchDigest, key: &[u8]) -> Result<Batch, StoreError> {
        let row = self.expect_head(height)?;
        let found = row.directory.batch(n as usize).filter(|(_, listed)| listed.digest == *digest);
        let (begins, listed) = found.ok_or_else(|| self.led_astray(key))?;
        let author = listed.author;
        let bytes = self.payload(height, &row, begins..begins + u64::from(listed.bytes))?;
        let whole = self.whole_below(height, &row)?;
        let header = whole.whole().ok_or_else(|| self.led_astray(key))?;
        let unfit = |_| self.damage(Table::Log, &rows::payload_key(height, 0), "it has no batch where one is named");
        let parts = <(u64, BatchDigest, _, Signature)>::try_from_slice(&bytes).map_err(unfit)?;
        let (seq, previous, transactions, signature) = parts;
        let (chain, shard, epoch) = (header.chain, header.shard, header.epoch);
        Ok(Batch { body: BatchBody { chain, shard, epoch, author, seq, previous, transactions }, signature })
    }

    /// Returns the row at or below a height that has a whole header: it tells chain, shard and epoch.
    fn whole_below(&self, height: Height, row: &HeadRow) -> Result<HeadRow, StoreError> {
        let whole = Height(height.0.saturating_sub(row.back.into()));
        let found = self.head_row(whole);
        self.disk.check_kept(height)?;
        found?.ok_or_else(|| self.damage(Table::Log, &rows::head_key(whole), "it is missing, and a later one needs it"))
    }

    /// Returns a transaction in format 5 that has a receipt.
    pub(super) fn transaction_5(&self, id: &TxId) -> Result<Option<StoredTransaction>, StoreError> {
        let name = rows::bare_transaction_name(self.disk.keys.names(), id);
        let Some((height, index, key)) = self.position(&name)? else { return Ok(None) };
        let found = self.executed(height, index, None, &mut None);
        let Some(found) = unless_pruned(found)? else { return Ok(None) };
        if found.receipt.transaction == *id { Ok(Some(found)) } else { Err(self.led_astray(&key)) }
    }

    /// Appends an account's transactions in format 5 to `found`, newest first, until there are `limit`.
    pub(super) fn account_transactions_5(
        &self,
        account: &AccountId,
        before: Option<(Height, u32)>,
        limit: usize,
        found: &mut Vec<(Height, u32, TxId)>,
    ) -> Result<(), StoreError> {
        let name = rows::bare_account_name(self.disk.keys.names(), account);
        let (newest, last) = before.unwrap_or((Height(rows::HEIGHTS_END - 1), u32::MAX));
        if newest.0 >= rows::HEIGHTS_END {
            return Ok(());
        }
        let from = rows::bare_key(&name, newest, last);
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.set_iterate_lower_bound(rows::bare_key(&name, self.disk.floor(), 0).as_ref());
        let mut keys = self.disk.db.raw_iterator_cf_opt(self.disk.family(Table::Index)?, options);
        keys.seek_for_prev(from.as_ref());
        let (mut part, mut head) = (None, None::<(Height, HeadRow)>);
        while found.len() < limit
            && let Some(key) = keys.key().filter(|key| key.starts_with(&name))
        {
            let (height, index) = rows::bare_position(key).map_err(|error| self.disk.keys.note(error))?;
            if before.is_none_or(|before| (height, index) < before) {
                let row = match head.take().filter(|(at, _)| *at == height) {
                    Some((_, row)) => Ok(row),
                    None => self.expect_head(height),
                };
                let stored = row.and_then(|row| {
                    let stored = self.executed(height, index, Some(&row), &mut part)?;
                    head = Some((height, row));
                    Ok(stored)
                });
                // Keys come newest first: whatever follows is pruned, too.
                let Some(StoredTransaction { transaction, receipt }) = unless_pruned(stored)? else { break };
                let mut names_it = false;
                touched(&receipt, &transaction, |touched| names_it |= touched == *account);
                if !names_it {
                    return Err(self.led_astray(key));
                }
                found.push((height, index, receipt.transaction));
            }
            keys.prev();
        }
        keys.status().map_err(|e| self.disk.row_failure(Table::Index, from.as_ref(), &e))
    }

    /// Reads a receipt and its transaction. `row` is the height's first row, if it was read.
    fn executed(
        &self,
        height: Height,
        index: u32,
        row: Option<&HeadRow>,
        last: &mut LastPart,
    ) -> Result<StoredTransaction, StoreError> {
        let read;
        let row = match row {
            Some(row) => row,
            None => {
                read = self.expect_head(height)?;
                &read
            }
        };
        let stored = self.stored_receipt(height, row, index)?;
        let transaction = self.transaction_at(height, row, stored.place, last)?;
        let id = id_on(&self.chain()?, &transaction);
        let receipt = receipt_of(&stored, (id, &transaction), (height, index, row.time_ms));
        Ok(StoredTransaction { transaction, receipt })
    }

    fn stored_receipt(&self, height: Height, row: &HeadRow, index: u32) -> Result<StoredReceipt, StoreError> {
        let index = index as usize;
        let head = rows::head_key(height);
        let none = |key: &[u8]| self.damage(Table::Log, key, "it has no receipt where one is named");
        if index >= row.receipts as usize {
            return Err(none(&head));
        }
        let entry = |bytes: &[u8], n: usize| {
            let bytes = bytes.get(n * rows::RECEIPT_BYTES..(n + 1) * rows::RECEIPT_BYTES)?;
            rows::decode_receipt(bytes)
        };
        if !row.receipt_bytes.is_empty() {
            return entry(&row.receipt_bytes, index).ok_or_else(|| none(&head));
        }
        let key = rows::receipts_part_key(height, (index / rows::PART_RECEIPTS) as u16);
        let contents = self.disk.expect(Table::Log, &key);
        self.disk.check_kept(height)?;
        entry(&contents?, index % rows::PART_RECEIPTS).ok_or_else(|| none(&key))
    }

    /// Returns all receipts of a height.
    fn receipts(&self, height: Height, row: &HeadRow) -> Result<Vec<Receipt>, StoreError> {
        let mut bytes = row.receipt_bytes.clone();
        let count = row.receipts as usize;
        if bytes.is_empty() && count > 0 {
            for part in 0..count.div_ceil(rows::PART_RECEIPTS) {
                let contents = self.disk.expect(Table::Log, &rows::receipts_part_key(height, part as u16));
                self.disk.check_kept(height)?;
                bytes.extend(contents?);
            }
        }
        let unfit = || self.damage(Table::Log, &rows::head_key(height), "its receipts are not those of its payload");
        let stored = rows::decode_small(&bytes).filter(|stored| stored.len() == count).ok_or_else(unfit)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let (chain, payload) = (self.chain()?, self.payload(height, row, 0..row.directory.bytes())?);
        let receipt = |(index, stored): (u32, &StoredReceipt)| {
            let mut rest = payload.get(stored.place as usize..).ok_or_else(unfit)?;
            let transaction = Transaction::deserialize(&mut rest).map_err(|_| unfit())?;
            Ok(receipt_of(stored, (id_on(&chain, &transaction), &transaction), (height, index, row.time_ms)))
        };
        (0..).zip(&stored).map(receipt).collect()
    }

    /// Returns the chain, which the store's transactions don't name.
    fn chain(&self) -> Result<ChainId, StoreError> {
        let chain = self.tip.read().as_ref().map(|tip| tip.header.chain);
        chain.ok_or_else(|| self.damage(Table::Meta, &[], "it has transactions, and no newest block"))
    }

    fn inline(&self, height: Height, row: &HeadRow) -> Result<Inline, StoreError> {
        if row.directory.inline == 0 {
            return Ok(BoundedVec::default());
        }
        let unfit = || self.damage(Table::Log, &rows::payload_key(height, 0), "it has no inline transactions");
        let bytes = self.payload(height, row, 0..row.directory.inline_bytes.into())?;
        let mut rest = &bytes[..];
        let mut transactions = Vec::new();
        while !rest.is_empty() {
            transactions.push(Transaction::deserialize(&mut rest).map_err(|_| unfit())?);
        }
        let right = transactions.len() == row.directory.inline as usize;
        BoundedVec::new(transactions).ok().filter(|_| right).ok_or_else(unfit)
    }

    /// Reads the transaction that begins at an offset of the payload.
    fn transaction_at(
        &self,
        height: Height,
        row: &HeadRow,
        place: u32,
        last: &mut LastPart,
    ) -> Result<Transaction, StoreError> {
        let (bytes, at) = (row.directory.bytes(), u64::from(place));
        let mut part = at / rows::PART_BYTES as u64;
        let mut contents = self.payload_part(height, part, last)?;
        let skip = (at % rows::PART_BYTES as u64) as usize;
        loop {
            let found = contents.get(skip..).and_then(|mut rest| Transaction::deserialize(&mut rest).ok());
            part += 1;
            match found {
                Some(transaction) => return Ok(transaction),
                None if part * (rows::PART_BYTES as u64) < bytes => {
                    contents.extend(self.payload_part(height, part, last)?);
                }
                None => {
                    let key = rows::payload_key(height, 0);
                    return Err(self.damage(Table::Log, &key, "it has no transaction where one is named"));
                }
            }
        }
    }

    fn payload_part(&self, height: Height, part: u64, last: &mut LastPart) -> Result<Vec<u8>, StoreError> {
        if let Some((_, _, contents)) = last.as_ref().filter(|(at, number, _)| (*at, *number) == (height, part)) {
            return Ok(contents.clone());
        }
        let contents = self.read_part(height, part)?;
        *last = Some((height, part, contents.clone()));
        Ok(contents)
    }

    fn read_part(&self, height: Height, part: u64) -> Result<Vec<u8>, StoreError> {
        let contents = self.disk.expect(Table::Log, &rows::payload_key(height, part as u16));
        self.disk.check_kept(height)?;
        contents
    }

    /// Reads a range of the payload.
    fn payload(&self, height: Height, row: &HeadRow, range: std::ops::Range<u64>) -> Result<Vec<u8>, StoreError> {
        let part_bytes = rows::PART_BYTES as u64;
        let unfit = || self.damage(Table::Log, &rows::payload_key(height, 0), "it is shorter than its directory says");
        if range.end > row.directory.bytes() {
            return Err(unfit());
        }
        let first = range.start / part_bytes;
        let mut bytes = Vec::new();
        for part in first..range.end.div_ceil(part_bytes).max(first) {
            bytes.extend(self.read_part(height, part)?);
        }
        let skip = (range.start - first * part_bytes) as usize;
        let end = skip + (range.end - range.start) as usize;
        if bytes.len() < end {
            return Err(unfit());
        }
        bytes.truncate(end);
        bytes.drain(..skip);
        Ok(bytes)
    }
}

fn owned(header: Arc<Header>) -> Header {
    Arc::unwrap_or_clone(header)
}

/// A height that was pruned since its index key was read has nothing to show.
fn unless_pruned<T>(found: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Err(StoreError::Pruned { .. }) => Ok(None),
        found => found.map(Some),
    }
}

fn receipt_of(
    stored: &StoredReceipt,
    (id, transaction): (TxId, &Transaction),
    (height, index, time_ms): (Height, u32, u64),
) -> Receipt {
    let StoredReceipt { work, outcome, .. } = *stored;
    let (sender, nonce) = (*transaction.sender(), transaction.nonce());
    Receipt { transaction: id, sender, nonce, height, index, time_ms, work, outcome }
}
