//! Today's rows of a height (`crates/storage/src/rows/encode.rs`).

use super::made::finalization;
use super::{Batch, Table, row};
use crate::Outcome;
use rustorium_storage::HeightCommit;
use rustorium_types::encode_into;

pub(super) fn encode(commit: &HeightCommit, rows: &mut Batch<'_>) -> Outcome<()> {
    let height = commit.block.header.height;
    let at = height.0.to_be_bytes();
    let log = |part: u8, n: u16| [&at[..], &[part], &n.to_be_bytes()].concat();
    let index = |name: [u8; 17]| [&name[..], &at].concat();
    let filled = |fill: &dyn Fn(&mut Vec<u8>)| {
        let mut row = row();
        fill(&mut row);
        row
    };
    rows.put(Table::Log, &log(b'r', 0), filled(&|row| encode_into(&commit.receipts, row)))?;
    let block = filled(&|row| {
        encode_into(&(commit.digest, commit.link, commit.result_root, commit.batches.len() as u32), row);
        commit.batches.iter().for_each(|batch| encode_into(&(batch.batch.body.author, batch.digest), row));
        encode_into(&commit.block, row);
    });
    rows.put(Table::Log, &log(b'b', 0), block)?;
    let mut receipts = commit.receipts.iter();
    for (n, batch) in (0u16..).zip(&commit.batches) {
        rows.put(Table::Log, &log(b't', n), filled(&|row| encode_into(&*batch.batch, row)))?;
        let name = rows.name(b'l', &batch.digest.0);
        rows.put(Table::Index, &index(name), filled(&|row| encode_into(&n, row)))?;
        for (id, receipt) in batch.ids.iter().zip(&mut receipts) {
            let name = rows.name(b't', &id.0);
            rows.put(Table::Index, &index(name), filled(&|row| encode_into(&(0u32, n, 0u32), row)))?;
            let name = rows.name(b'a', &receipt.sender.0);
            let entry = filled(&|row| encode_into(&(receipt.index, receipt.transaction), row));
            rows.put(Table::Index, &index(name), entry)?;
        }
    }
    let name = rows.name(b'b', &commit.digest.0);
    rows.put(Table::Index, &index(name), row())?;
    if rows.finalized {
        let certificate = finalization(commit)?;
        rows.put(Table::Meta, &[&b"f"[..], &at].concat(), filled(&|row| row.extend_from_slice(&certificate)))?;
    }
    rows.put(Table::Meta, b"tip", filled(&|row| encode_into(&(height, height), row)))?;
    super::rows::encode_state(commit, rows)
}
