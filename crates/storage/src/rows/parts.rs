//! Payload and receipts of a height in format 5: bytes that are spread over rows of bounded size.
//!
//! *Invariants:* the payload has each listed transaction once, in canonical bytes; a receipt names the place of its
//! transaction there, and sender, nonce, height and time are the transaction's and the header's.

use super::{CONTENTS_AT, Put, Table, log_key, start_row};
use crate::store::StoreError;
use borsh::BorshDeserialize;
use rustorium_types::{FailureCode, Height, Outcome, Receipt, encode_into};

/// Bytes of the payload in one row.
pub(crate) const PART_BYTES: usize = if cfg!(test) { 700 } else { 32 << 10 };
/// Bytes of a receipt: place of the transaction, work, outcome.
pub(crate) const RECEIPT_BYTES: usize = 15;
/// The most receipts that are in a height's first row.
pub(crate) const SMALL_RECEIPTS: usize = if cfg!(test) { 4 } else { 1024 / RECEIPT_BYTES };
/// Receipts in one row of receipts.
pub(crate) const PART_RECEIPTS: usize = if cfg!(test) { 3 } else { (32 << 10) / RECEIPT_BYTES };
/// A failure code that is none.
const SUCCEEDED: u8 = u8::MAX;

/// Key of a height's first row.
pub(crate) fn head_key(height: Height) -> [u8; 11] {
    log_key(height, b'h', 0)
}

/// The height of a `head_key`.
pub(crate) fn head_height(key: &[u8]) -> Option<Height> {
    let (height, part) = key.split_first_chunk()?;
    (part == [b'h', 0, 0]).then_some(Height(u64::from_be_bytes(*height)))
}

/// Key of a part of the payload.
pub(crate) fn payload_key(height: Height, part: u16) -> [u8; 11] {
    log_key(height, b'p', part)
}

/// Key of a part of the receipts.
pub(crate) fn receipts_part_key(height: Height, part: u16) -> [u8; 11] {
    log_key(height, b'r', part)
}

/// Rows that are filled one after the other.
pub(crate) struct Parts<'a> {
    row: &'a mut Vec<u8>,
    tail: Vec<u8>,
    done: u64,
    part: u16,
    height: Height,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(height: Height, row: &'a mut Vec<u8>) -> Self {
        start_row(row);
        Self { row, tail: Vec::new(), done: 0, part: 0, height }
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.done + (self.row.len() - CONTENTS_AT) as u64
    }

    /// The row that takes the next bytes. `put_full` must follow.
    pub(crate) fn row(&mut self) -> &mut Vec<u8> {
        self.row
    }

    /// Hands all full rows to `put`.
    pub(crate) fn put_full(&mut self, put: &mut Put<'_>) -> Result<(), StoreError> {
        while self.row.len() >= CONTENTS_AT + PART_BYTES {
            self.tail.clear();
            self.tail.extend_from_slice(&self.row[CONTENTS_AT + PART_BYTES..]);
            self.row.truncate(CONTENTS_AT + PART_BYTES);
            self.put(put)?;
            start_row(self.row);
            self.row.extend_from_slice(&self.tail);
        }
        Ok(())
    }

    /// Hands the last row to `put`, if it has anything.
    pub(crate) fn end(mut self, put: &mut Put<'_>) -> Result<(), StoreError> {
        if self.row.len() > CONTENTS_AT { self.put(put) } else { Ok(()) }
    }

    fn put(&mut self, put: &mut Put<'_>) -> Result<(), StoreError> {
        self.done += (self.row.len() - CONTENTS_AT) as u64;
        let what = "its transactions have too many bytes";
        let next = self.part.checked_add(1).ok_or(StoreError::Inconsistent { height: self.height, what })?;
        put(Table::Log, &payload_key(self.height, self.part), self.row)?;
        self.part = next;
        Ok(())
    }
}

/// A receipt as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoredReceipt {
    /// Offset of the transaction in the payload.
    pub place: u32,
    pub work: u64,
    pub outcome: Outcome,
}

pub(crate) fn encode_receipt(receipt: &Receipt, place: u32, out: &mut Vec<u8>) {
    encode_into(&(place, receipt.work), out);
    match receipt.outcome {
        Outcome::Ok => out.extend_from_slice(&[SUCCEEDED, 0, 0]),
        Outcome::Failed { code, operation } => encode_into(&(code, operation), out),
    }
}

/// Decodes a receipt; `None` if the bytes are none.
pub(crate) fn decode_receipt(mut bytes: &[u8]) -> Option<StoredReceipt> {
    let (place, work) = BorshDeserialize::deserialize(&mut bytes).ok()?;
    let outcome = match bytes {
        [SUCCEEDED, 0, 0] => Outcome::Ok,
        _ => {
            let (code, operation) = <(FailureCode, u16)>::try_from_slice(bytes).ok()?;
            Outcome::Failed { code, operation }
        }
    };
    Some(StoredReceipt { place, work, outcome })
}

/// Decodes receipts that stand one behind the other; `None` if one is none, or if anything is left.
pub(crate) fn decode_small(bytes: &[u8]) -> Option<Vec<StoredReceipt>> {
    let (receipts, rest) = bytes.as_chunks::<RECEIPT_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    receipts.iter().map(|bytes| decode_receipt(bytes)).collect()
}
