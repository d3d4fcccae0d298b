//! The encoder of a height's rows in format 5.

use super::head::{Directory, HeadPlan, Listed, Trail, encode_head};
use super::names::{bare_account_name, bare_batch_name, bare_block_name, bare_key, bare_transaction_name};
use super::numbers::put_number;
use super::parts::{PART_RECEIPTS, Parts, RECEIPT_BYTES, SMALL_RECEIPTS, encode_receipt, head_key, receipts_part_key};
use super::{Put, Scratch, Table, encode_state, finalization_key, start_row};
use crate::checks::{check_receipt, touched};
use crate::store::{HeightCommit, StoreError, Tip};
use rustorium_crypto::seal::KeyedHash;
use rustorium_types::{AccountId, Transaction, TxId, encode_into};

/// Encodes all rows of a checked height of version 2 and hands each to `put`: rows without a seal are empty, and their
/// keys are bare.
pub(crate) fn encode_height_5(
    commit: &HeightCommit,
    tip: &Tip,
    (trail, plan): (Option<&Trail>, &HeadPlan),
    names: &KeyedHash,
    scratch: &mut Scratch,
    put: &mut Put<'_>,
) -> Result<(), StoreError> {
    let height = commit.block.header.height;
    let Scratch { row, small, touched, .. } = scratch;
    touched.clear();
    small.clear();
    let receipts = Receipts { commit, next: 0, bytes: small, touched };
    let directory = encode_payload(commit, receipts, row, put)?;
    start_row(row);
    encode_head(commit, tip.payload_height, (trail, plan), &directory, row);
    put_number(commit.receipts.len() as u64, row);
    if commit.receipts.len() <= SMALL_RECEIPTS {
        row.extend_from_slice(small);
    }
    put(Table::Log, &head_key(height), row)?;
    if commit.receipts.len() > SMALL_RECEIPTS {
        for (part, receipts) in (0u16..).zip(small.chunks(PART_RECEIPTS * RECEIPT_BYTES)) {
            start_row(row);
            row.extend_from_slice(receipts);
            put(Table::Log, &receipts_part_key(height, part), row)?;
        }
    }
    row.clear();
    for receipt in &commit.receipts {
        let name = bare_transaction_name(names, &receipt.transaction);
        put(Table::Index, bare_key(&name, height, receipt.index).as_ref(), row)?;
    }
    put_accounts(commit, touched, names, row, put)?;
    for (n, batch) in (0u32..).zip(&commit.batches) {
        put(Table::Index, bare_key(&bare_batch_name(names, &batch.digest), height, n).as_ref(), row)?;
    }
    put(Table::Index, bare_key(&bare_block_name(names, &commit.digest), height, 0).as_ref(), row)?;
    if let Some(certificate) = commit.finalization.as_ref().filter(|_| plan.finalized) {
        start_row(row);
        encode_into(&**certificate, row);
        put(Table::Meta, &finalization_key(height), row)?;
    }
    encode_state(commit, row, put)
}

fn put_accounts(
    commit: &HeightCommit,
    touched: &mut Vec<(AccountId, u32)>,
    names: &KeyedHash,
    row: &mut Vec<u8>,
    put: &mut Put<'_>,
) -> Result<(), StoreError> {
    touched.sort_unstable();
    touched.dedup();
    let height = commit.block.header.height;
    for entries in touched.chunk_by(|a, b| a.0 == b.0) {
        let name = bare_account_name(names, &entries[0].0);
        for (_, index) in entries {
            put(Table::Index, bare_key(&name, height, *index).as_ref(), row)?;
        }
    }
    Ok(())
}

/// Writes the payload, and returns its directory.
fn encode_payload(
    commit: &HeightCommit,
    mut receipts: Receipts<'_>,
    row: &mut Vec<u8>,
    put: &mut Put<'_>,
) -> Result<Directory, StoreError> {
    let height = commit.block.header.height;
    let too_many = StoreError::Inconsistent { height, what: "its transactions have too many bytes" };
    let bytes = |count: u64| u32::try_from(count).map_err(|_| too_many.clone());
    let mut parts = Parts::new(height, row);
    let mut directory = Directory { inline: commit.block.inline.len() as u32, ..Directory::default() };
    for (transaction, id) in commit.block.inline.iter().zip(&commit.inline_ids) {
        receipts.visit(transaction, id, bytes(parts.bytes())?)?;
        encode_into(transaction, parts.row());
        parts.put_full(put)?;
    }
    directory.inline_bytes = bytes(parts.bytes())?;
    for batch in &commit.batches {
        let (begins, body) = (parts.bytes(), &batch.batch.body);
        encode_into(&(body.seq, body.previous, body.transactions.len() as u32), parts.row());
        for (transaction, id) in body.transactions.iter().zip(&batch.ids) {
            receipts.visit(transaction, id, bytes(parts.bytes())?)?;
            encode_into(transaction, parts.row());
            parts.put_full(put)?;
        }
        encode_into(&batch.batch.signature, parts.row());
        parts.put_full(put)?;
        let (author, digest) = (body.author, batch.digest);
        directory.batches.push(Listed { author, digest, bytes: bytes(parts.bytes() - begins)? });
    }
    parts.end(put)?;
    if receipts.next < commit.receipts.len() {
        let what = "a receipt of a transaction that the block doesn't list at its place";
        return Err(StoreError::Inconsistent { height, what });
    }
    Ok(directory)
}

/// Receipts beside the listed transactions, of which theirs are a subsequence.
struct Receipts<'a> {
    commit: &'a HeightCommit,
    next: usize,
    bytes: &'a mut Vec<u8>,
    touched: &'a mut Vec<(AccountId, u32)>,
}

impl Receipts<'_> {
    fn visit(&mut self, transaction: &Transaction, id: &TxId, place: u32) -> Result<(), StoreError> {
        let Some(receipt) = self.commit.receipts.get(self.next).filter(|receipt| receipt.transaction == *id) else {
            return Ok(());
        };
        check_receipt(&self.commit.block.header, receipt, transaction)?;
        encode_receipt(receipt, place, self.bytes);
        touched(receipt, transaction, |account| self.touched.push((account, receipt.index)));
        self.next += 1;
        Ok(())
    }
}
