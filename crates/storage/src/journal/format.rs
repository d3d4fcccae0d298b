//! The journal's bytes: a segment's header page, then records.
//!
//! *Invariants:* a record is bound to its segment's salt and to its place, so that what an earlier use of the file left
//! behind never counts; any bytes parse to something or to nothing, without a panic.
//!
//! | header | bytes |   | record | bytes |
//! |---|---|---|---|---|
//! | magic `RSTJRNL\n` | 8 | | payload length | 4 |
//! | format | 4 | | kind | 1 |
//! | reserved, zero | 4 | | position (LSN) | 8 |
//! | first position | 8 | | watermark | 8 |
//! | watermark | 8 | | check: keyed BLAKE3 | 16 |
//! | salt | 16 | | payload | length |
//! | check: BLAKE3 | 16 | | | |
//!
//! Positions are bytes of records since the journal's first, so a record's place in its file follows from its position.
//! A *watermark* is the position below which everything was synced when the bytes were written. It tells damage from a
//! power cut: pages of one unsynced write reach the disk in any order, so a good record may well follow a bad one; only
//! where a later watermark lies above a bad record had that record been durable.

use super::RecordKind;

/// Size of the header's page and unit of every write.
pub(super) const PAGE: usize = 4096;
/// Bytes of a record besides its payload.
pub(super) const RECORD_OVERHEAD: usize = 37;
/// Bytes of the header that mean something.
pub(super) const HEADER_BYTES: usize = 64;

const MAGIC: &[u8; 8] = b"RSTJRNL\n";
const FORMAT: u32 = 1;
const CHECK_AT: usize = 21;
const QUEUE_OVERHEAD: usize = 5;
const RECORD_CONTEXT: &str = "rustorium 2026 journal record v1";
const HEADER_CONTEXT: &str = "rustorium 2026 journal header v1";

/// A segment's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Position of the segment's first record.
    pub first: u64,
    /// Everything below was synced when the segment was begun.
    pub watermark: u64,
    /// Random, new at every use of the file.
    pub salt: [u8; 16],
}

/// What a file's first bytes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeaderState {
    /// All zero: prepared or freed, holds nothing.
    Free,
    /// A segment in use.
    Used(Header),
    /// Another format.
    Version(u32),
    /// Neither.
    Bad,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        out[24..32].copy_from_slice(&self.watermark.to_le_bytes());
        out[32..48].copy_from_slice(&self.salt);
        let check = header_check(&out[..48]);
        out[48..].copy_from_slice(&check);
        out
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> HeaderState {
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderState::Free;
        }
        let format = u32_at(bytes, 8);
        if &bytes[..8] != MAGIC {
            return HeaderState::Bad;
        }
        if format != FORMAT && bytes[48..] == header_check(&bytes[..48]) {
            return HeaderState::Version(format);
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&bytes[32..48]);
        let header = Self { first: u64_at(bytes, 16), watermark: u64_at(bytes, 24), salt };
        if header.encode() == *bytes { HeaderState::Used(header) } else { HeaderState::Bad }
    }

    /// The key of the checks of this segment's records.
    pub(super) fn key(&self) -> [u8; 32] {
        blake3::derive_key(RECORD_CONTEXT, &self.salt)
    }
}

fn header_check(bytes: &[u8]) -> [u8; 16] {
    first_half(&blake3::derive_key(HEADER_CONTEXT, bytes))
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

fn record_check(key: &[u8; 32], head: &[u8], payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(head);
    hasher.update(payload);
    first_half(hasher.finalize().as_bytes())
}

/// Adds a record to a queue of records without place yet: kind, length, payload.
pub(super) fn enqueue(kind: RecordKind, payload: &[u8], queue: &mut Vec<u8>) {
    queue.push(kind as u8);
    queue.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    queue.extend_from_slice(payload);
}

/// Takes the first record off such a queue; none at its end.
pub(super) fn dequeue<'a>(queue: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (head, rest) = queue.split_at_checked(QUEUE_OVERHEAD)?;
    let (payload, rest) = rest.split_at_checked(u32_at(head, 1) as usize)?;
    *queue = rest;
    Some((head[0], payload))
}

/// Appends a record's bytes to `out`.
pub(super) fn frame(key: &[u8; 32], kind: u8, lsn: u64, watermark: u64, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(&watermark.to_le_bytes());
    let check = record_check(key, &out[start..], payload);
    out.extend_from_slice(&check);
    out.extend_from_slice(payload);
}

/// A record that checks.
pub(super) struct Parsed<'a> {
    pub kind: u8,
    pub watermark: u64,
    pub payload: &'a [u8],
}

/// The record at `at` of a segment's bytes, if one that belongs at `lsn` is there.
pub(super) fn parse<'a>(key: &[u8; 32], segment: &'a [u8], at: usize, lsn: u64) -> Option<Parsed<'a>> {
    let head = segment.get(at..at + RECORD_OVERHEAD)?;
    if u64_at(head, 5) != lsn {
        return None;
    }
    let start = at + RECORD_OVERHEAD;
    let payload = segment.get(start..start.checked_add(u32_at(head, 0) as usize)?)?;
    let good = record_check(key, &head[..CHECK_AT], payload) == head[CHECK_AT..];
    good.then(|| Parsed { kind: head[4], watermark: u64_at(head, 13), payload })
}

/// Where a good record after `from` proves that what lies at `from` had been durable.
pub(super) fn durable_beyond(header: &Header, segment: &[u8], from: usize) -> Option<usize> {
    let key = header.key();
    let position = |at: usize| header.first.wrapping_add((at - PAGE) as u64);
    let bad = position(from);
    let last = segment.len().checked_sub(RECORD_OVERHEAD)?;
    // The position that a record would have to carry at each place refuses almost all of them before a hash is made.
    (from + 1..=last).find(|at| {
        u64_at(segment, at + 5) == position(*at)
            && parse(&key, segment, *at, position(*at)).is_some_and(|record| record.watermark > bad)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header { first: 1, watermark: 1, salt: [9; 16] };

    #[test]
    fn a_header_with_any_bit_flipped_is_not_used() {
        let good = HEADER.encode();
        assert_eq!(Header::decode(&good), HeaderState::Used(HEADER));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad), HeaderState::Bad, "bit {bit}");
        }
        assert_eq!(Header::decode(&[0; HEADER_BYTES]), HeaderState::Free);
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..500, lsn: u64) {
            prop_assert!(parse(&HEADER.key(), &bytes, at, lsn).is_none());
            let mut segment = vec![0; PAGE];
            segment.extend_from_slice(&bytes);
            prop_assert!(durable_beyond(&HEADER, &segment, PAGE).is_none());
        }

        #[test]
        fn a_record_with_any_bit_flipped_does_not_check(payload in proptest::collection::vec(any::<u8>(), 0..60), bit in 0usize..800) {
            let mut bytes = Vec::new();
            frame(&HEADER.key(), 3, 77, 5, &payload, &mut bytes);
            prop_assert_eq!(parse(&HEADER.key(), &bytes, 0, 77).map(|r| (r.kind, r.watermark, r.payload)), Some((3, 5, payload.as_slice())));
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(parse(&HEADER.key(), &bytes, 0, 77).is_none());
        }
    }
}
