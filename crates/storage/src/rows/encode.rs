//! The encoder of a height's rows in format 4, into buffers that are reused for the next height.

use super::{
    CONTENTS_AT, INLINE, TIP_KEY, Table, account_name, batch_key, batch_name, block_key, block_name, encode_name,
    finalization_key, index_key, receipts_key, removed_key, start_row, transaction_name, version_key,
};
use crate::checks::touched;
use crate::store::{HeightCommit, StoreError, Tip};
use rustorium_crypto::seal::KeyedHash;
use rustorium_types::{AccountId, Batch, Height, LeafWrite, StateKey, Transaction, TxId, encode_into};

/// Buffers that are reused for the next height.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) row: Vec<u8>,
    receipts_at: Vec<u32>,
    pub(super) small: Vec<u8>,
    pub(super) touched: Vec<(AccountId, u32)>,
}

/// Takes a row, which it may seal in place: table, key, bytes.
pub(crate) type Put<'a> = dyn FnMut(Table, &[u8], &mut Vec<u8>) -> Result<(), StoreError> + 'a;

/// Encodes all rows of a checked height of version 1 and hands each to `put`.
pub(crate) fn encode_height_4(
    commit: &HeightCommit,
    tip: &Tip,
    names: &KeyedHash,
    scratch: &mut Scratch,
    put: &mut Put<'_>,
) -> Result<(), StoreError> {
    let height = commit.block.header.height;
    let Scratch { row, receipts_at, touched, .. } = scratch;
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
        encode_into(&n, row);
        put(Table::Index, &index_key(&batch_name(names, &batch.digest), height), row)?;
    }
    if walk.next < commit.receipts.len() {
        let what = "a receipt of a transaction that the block doesn't list at its place";
        return Err(StoreError::Inconsistent { height, what });
    }
    encode_accounts(commit, touched, names, row, put)?;
    start_row(row);
    put(Table::Index, &index_key(&block_name(names, &commit.digest), height), row)?;
    if let Some(certificate) = &commit.finalization {
        start_row(row);
        encode_into(&**certificate, row);
        put(Table::Meta, &finalization_key(height), row)?;
    }
    start_row(row);
    encode_into(&(tip.height, tip.payload_height), row);
    put(Table::Meta, TIP_KEY, row)?;
    encode_state(commit, row, put)
}

/// Encodes the rows of a height's leaves, which both formats have.
pub(super) fn encode_state(commit: &HeightCommit, row: &mut Vec<u8>, put: &mut Put<'_>) -> Result<(), StoreError> {
    let height = commit.block.header.height;
    for LeafWrite { key, name, value } in &commit.diff {
        start_row(row);
        if let Some(value) = value {
            encode_name(name, row);
            row.extend_from_slice(value);
        }
        put(Table::State, &version_key(key, height), row)?;
    }
    let removed = commit.diff.iter().filter(|write| write.value.is_none()).map(|write| write.key);
    let removed: Vec<StateKey> = removed.collect();
    if !removed.is_empty() {
        start_row(row);
        encode_into(&removed, row);
        put(Table::Log, &removed_key(height), row)?;
    }
    Ok(())
}

fn offset(row: &[u8]) -> u32 {
    // Offsets count from the contents. The formats' limits bound rows far below 4 GiB.
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
    // The block's canonical bytes follow, in pieces, to learn where each transaction begins.
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
    // The batch's canonical bytes, in pieces, to learn where each transaction begins.
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
        put(Table::Index, &index_key(&account_name(names, &entries[0].0), commit.block.header.height), row)?;
    }
    Ok(())
}

/// Walks over listed transactions in final order, beside the receipts, which are a subsequence of them.
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
        encode_into(&(self.receipts_at[self.next], batch, transaction_at), &mut self.small);
        put(Table::Index, &index_key(&transaction_name(self.names, id), self.height), &mut self.small)?;
        touched(receipt, transaction, |account| self.touched.push((account, receipt.index)));
        self.next += 1;
        Ok(())
    }
}
