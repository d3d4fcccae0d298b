//! The rows of a height in format 5.
//!
//! | table | key | row |
//! |---|---|---|
//! | log | height `h` | digests, what the header has beyond its neighbours, small receipts |
//! | | height `p` part | batches behind a directory, in parts |
//! | | height `r` part | receipts that are too large for the first row |
//! | index | `T` ⟨transaction⟩ height receipt, `A` ⟨account⟩ height receipt | nothing |
//! | | `B` ⟨block⟩ height, `L` ⟨batch⟩ height n | nothing |
//! | meta | `f` height | finalization, each 250 ms of header time |

use super::made::finalization;
use super::{Batch, Table, row};
use crate::Outcome;
use rustorium_storage::HeightCommit;
use rustorium_types::{self as types, Cursor, LeafWrite, Receipt, StateClaim, encode_into};

/// Bytes of receipts that still fit a height's first row.
const SMALL_BYTES: usize = 1_024;
/// Bytes of a row of transactions.
const PART_BYTES: usize = 32 << 10;
/// Heights after which a row has everything that others tell.
const WHOLE_EVERY: u64 = 64;
const FINALIZATION_EVERY_MS: u64 = 250;

pub(super) fn encode(commit: &HeightCommit, rows: &mut Batch<'_>) -> Outcome<()> {
    let header = &commit.block.header;
    let at = &header.height.0.to_be_bytes()[2..];
    let log = |part: u8, n: u16| [at, &[part], &n.to_be_bytes()].concat();
    let mut first = head(commit, rows);
    let receipts = receipts(commit);
    if receipts.len() <= SMALL_BYTES {
        first.extend_from_slice(&receipts);
    } else {
        put_parts(rows, |n| log(b'r', n), &receipts)?;
    }
    rows.put(Table::Log, &log(b'h', 0), first)?;
    put_parts(rows, |n| log(b'p', n), &payload(commit))?;
    for receipt in &commit.receipts {
        let place = &receipt.index.to_be_bytes()[1..];
        rows.key([&rows.name(b'T', &receipt.transaction.0)[..], at, place].concat());
        rows.key([&rows.name(b'A', &receipt.sender.0)[..], at, place].concat());
    }
    for (n, batch) in (0u16..).zip(&commit.batches) {
        rows.key([&rows.name(b'L', &batch.digest.0)[..], at, &n.to_be_bytes()].concat());
    }
    rows.key([&rows.name(b'B', &commit.digest.0)[..], at].concat());
    let period = |time_ms: u64| time_ms / FINALIZATION_EVERY_MS;
    let due = rows.parent.is_none_or(|parent| period(parent.time_ms) < period(header.time_ms));
    if rows.finalized && due {
        let mut row = row();
        row.extend(finalization(commit)?);
        rows.put(Table::Meta, &[b"f", at].concat(), row)?;
    }
    encode_state(commit, rows)
}

/// Begins a height's first row: what can't be found in rows near it.
fn head(commit: &HeightCommit, rows: &Batch<'_>) -> Vec<u8> {
    let (header, mut row) = (&commit.block.header, row());
    encode_into(&(commit.digest, commit.link.receipts, commit.link.diff), &mut row);
    encode_into(&(header.view, header.proposer, header.time_ms, header.transactions, header.declared_work), &mut row);
    encode_into(&(header.result.height, &header.end), &mut row);
    let whole = header.height.0.is_multiple_of(WHOLE_EVERY);
    let before = rows.parent.filter(|_| !whole);
    let cursors = header.cursors.iter().enumerate();
    let same = |place: usize, cursor: &Cursor| before.is_some_and(|parent| parent.cursors.get(place) == Some(cursor));
    let moved: Vec<(u8, &Cursor)> =
        cursors.filter(|(place, cursor)| !same(*place, cursor)).map(|(place, cursor)| (place as u8, cursor)).collect();
    row.push(moved.len() as u8);
    moved.iter().for_each(|moved| encode_into(moved, &mut row));
    if whole {
        encode_into(&(header.result.root, header.parent_view), &mut row);
    }
    let claimed = before.is_some_and(|parent| parent.state == header.state);
    encode_into(&if claimed { StateClaim::NoneYet } else { header.state }, &mut row);
    row
}

/// Returns each receipt's id, place, work and outcome. Its other fields are the transaction's and the header's.
fn receipts(commit: &HeightCommit) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Receipt { transaction, index, work, outcome, .. } in &commit.receipts {
        encode_into(&(transaction, *index as u16, *work as u32), &mut bytes);
        match outcome {
            types::Outcome::Ok => bytes.push(u8::MAX),
            types::Outcome::Failed { code, operation } => encode_into(&(*code, *operation), &mut bytes),
        }
    }
    bytes
}

/// Returns the batches without what the height tells, behind a directory.
fn payload(commit: &HeightCommit) -> Vec<u8> {
    let (mut directory, mut bytes) = (Vec::new(), Vec::new());
    for batch in &commit.batches {
        let body = &batch.batch.body;
        encode_into(&(batch.digest, body.author, bytes.len() as u32), &mut directory);
        encode_into(&(body.seq, body.previous, &body.transactions, batch.batch.signature), &mut bytes);
    }
    [directory, bytes].concat()
}

fn put_parts(rows: &mut Batch<'_>, key: impl Fn(u16) -> Vec<u8>, bytes: &[u8]) -> Outcome<()> {
    for (n, part) in (0..).zip(bytes.chunks(PART_BYTES)) {
        let mut row = row();
        row.extend_from_slice(part);
        rows.put(Table::Log, &key(n), row)?;
    }
    Ok(())
}

/// Writes the height's leaves, which are the same rows in both formats.
pub(super) fn encode_state(commit: &HeightCommit, rows: &mut Batch<'_>) -> Outcome<()> {
    for LeafWrite { key, name, value } in &commit.diff {
        let mut row = row();
        if let Some(value) = value {
            row.extend_from_slice(&(name.len() as u16).to_le_bytes());
            row.extend_from_slice(name);
            row.extend_from_slice(value);
        }
        let place = [&key.to_bytes()[..], &(!commit.block.header.height.0).to_be_bytes()].concat();
        rows.put(Table::State, &place, row)?;
    }
    Ok(())
}
