//! The journal's bytes: a segment's header page, then sealed records.
//!
//! *Invariants:* a record is sealed under a subkey of its segment's salt and bound to its place, so that what an earlier use
//! of the file left behind never counts; any bytes parse to something or to nothing, without a panic.
//!
//! | header | bytes |   | record | bytes |
//! |---|---|---|---|---|
//! | magic `RSTJRNL\n` | 8 | | payload length | 4 |
//! | format | 4 | | position (LSN) | 8 |
//! | pages of the file | 4 | | watermark | 8 |
//! | first position | 8 | | tag | 16 |
//! | watermark | 8 | | sealed: kind | 1 |
//! | salt | 16 | | sealed: payload | length |
//! | key check: keyed hash | 16 | | | |
//! | check: BLAKE3 | 16 | | | |
//!
//! A use of a file draws its own salt, which is on disk before the first record. A record's position is its nonce. So
//! only the storage key is needed to read a segment, and no nonce is used twice. The tag distinguishes a good record
//! from a torn one. The key check distinguishes another storage key, or another chain, from a damaged segment.
//!
//! Positions are bytes of records since the journal's first, so a record's place in its file follows from its position.
//! A *watermark* is the position below which everything was synced when the bytes were written. It tells damage from a
//! power cut: pages of one unsynced write reach the disk in any order, so a good record may well follow a bad one; only
//! where a later watermark lies above a bad record had that record been durable.

use bytes::Bytes;
use rustorium_crypto::seal::{AtRest, FreshSalt, HashUse, KeyedHash, LogOpener, LogSealer, Salt, SealError, TAG_BYTES};

/// Size of the header's page and unit of every write.
pub(super) const PAGE: usize = 4096;
/// Bytes of a record without its payload.
pub const RECORD_OVERHEAD: usize = 37;
/// A mark in the queue, in the place of a kind: append the record at this position again. It is never on disk.
pub(super) const COPY: u8 = 0;
/// Bytes of the header that are used.
pub(super) const HEADER_BYTES: usize = 80;

const MAGIC: &[u8; 8] = b"RSTJRNL\n";
/// The format of segments.
pub(crate) const FORMAT: u32 = 2;
const HEADER_CHECK_AT: usize = 64;
/// Offset of the check in a header of format 1.
const HEADER_CHECK_1_AT: usize = 48;
const RECORD_HEAD_BYTES: usize = 20;
const QUEUE_OVERHEAD: usize = 5;
const HEADER_CONTEXT: &str = "rustorium 2026 journal header v1";

/// The keys that seal and open the journal.
pub(super) struct JournalKeys {
    at_rest: AtRest,
    hash: KeyedHash,
    /// Keys of the previous master key. They open records, and seal nothing.
    before: Option<(AtRest, KeyedHash)>,
}

impl JournalKeys {
    pub(super) fn new(at_rest: AtRest) -> Result<Self, SealError> {
        let hash = at_rest.keyed(HashUse::JournalHeader)?;
        let before = match at_rest.before() {
            Some(before) => Some((before.clone(), before.keyed(HashUse::JournalHeader)?)),
            None => None,
        };
        Ok(Self { at_rest, hash, before })
    }

    fn check(&self, salt: &Salt) -> [u8; 16] {
        self.hash.of(0, &[&self.at_rest.chain().0, &salt.0])
    }

    /// Tells if a key check belongs to the previous master key (true) or to the newest (false); `None` if it belongs to
    /// neither.
    fn is_before(&self, salt: &Salt, key_check: &[u8; 16]) -> Option<bool> {
        if *key_check == self.check(salt) {
            return Some(false);
        }
        let (at_rest, hash) = self.before.as_ref()?;
        (*key_check == hash.of(0, &[&at_rest.chain().0, &salt.0])).then_some(true)
    }

    /// Returns an opener for the records of the segment that has this header.
    pub(super) fn opener(&self, header: &Header) -> Result<LogOpener, SealError> {
        let before = self.before.as_ref().filter(|_| header.before);
        before.map_or(&self.at_rest, |(before, _)| before).log_opener(&header.salt)
    }

    /// Returns a sealer for the records of the segment's use that this salt was drawn for.
    pub(super) fn sealer(&self, fresh: FreshSalt) -> Result<LogSealer, SealError> {
        self.at_rest.log_sealer(fresh)
    }
}

/// A segment's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Position of the segment's first record.
    pub first: u64,
    /// Everything below this position was synced when the segment was begun.
    pub watermark: u64,
    /// Pages of the whole file. If the file is shorter now, it was cut, and records may be lost. 0 if unknown, as when
    /// nothing is synced.
    pub pages: u32,
    /// Random, drawn for each use of the file.
    pub salt: Salt,
    /// The segment is sealed under the previous master key.
    pub before: bool,
}

/// State of a segment file, from its first bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeaderState {
    /// All zero: the file was prepared or freed, and holds nothing.
    Free,
    /// A segment in use.
    Used(Header),
    /// A segment of another format.
    Version(u32),
    /// A segment of another storage key, or of another chain.
    OtherKey,
    /// None of these.
    Bad,
}

impl Header {
    pub(super) fn encode(&self, keys: &JournalKeys) -> [u8; HEADER_BYTES] {
        self.encode_with(&keys.check(&self.salt))
    }

    fn encode_with(&self, key_check: &[u8; 16]) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[12..16].copy_from_slice(&self.pages.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        out[24..32].copy_from_slice(&self.watermark.to_le_bytes());
        out[32..48].copy_from_slice(&self.salt.0);
        out[48..HEADER_CHECK_AT].copy_from_slice(key_check);
        let check = header_check(&out[..HEADER_CHECK_AT]);
        out[HEADER_CHECK_AT..].copy_from_slice(&check);
        out
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES], keys: &JournalKeys) -> HeaderState {
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderState::Free;
        }
        let format = u32_at(bytes, 8);
        if &bytes[..8] != MAGIC {
            return HeaderState::Bad;
        }
        let checks_at = |at: usize| bytes[at..at + 16] == header_check(&bytes[..at]);
        if format != FORMAT && (checks_at(HEADER_CHECK_AT) || checks_at(HEADER_CHECK_1_AT)) {
            return HeaderState::Version(format);
        }
        let (mut salt, mut key_check) = ([0; 16], [0; 16]);
        salt.copy_from_slice(&bytes[32..48]);
        key_check.copy_from_slice(&bytes[48..HEADER_CHECK_AT]);
        let (first, watermark, pages) = (u64_at(bytes, 16), u64_at(bytes, 24), u32_at(bytes, 12));
        let header = Self { first, watermark, pages, salt: Salt(salt), before: false };
        if header.encode_with(&key_check) != *bytes {
            return HeaderState::Bad;
        }
        match keys.is_before(&header.salt, &key_check) {
            Some(before) => HeaderState::Used(Self { before, ..header }),
            None => HeaderState::OtherKey,
        }
    }
}

pub(super) fn header_check(bytes: &[u8]) -> [u8; 16] {
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

/// Encodes the queue entry of a copy: the original's position, and the length of its payload.
pub(super) fn copy_of(lsn: u64, payload_bytes: usize) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&lsn.to_le_bytes());
    out[8..].copy_from_slice(&(payload_bytes as u64).to_le_bytes());
    out
}

/// Decodes the queue entry of a copy.
pub(super) fn copied(entry: &[u8; 16]) -> (u64, u64) {
    (u64_at(entry, 0), u64_at(entry, 8))
}

/// Adds a record that has no place yet to a queue: kind, length, payload.
pub(super) fn enqueue(kind: u8, payload: &[u8], queue: &mut Vec<u8>) {
    queue.push(kind);
    queue.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    queue.extend_from_slice(payload);
}

/// Takes the first record off such a queue; `None` at its end.
pub(super) fn dequeue<'a>(queue: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (head, rest) = queue.split_at_checked(QUEUE_OVERHEAD)?;
    let (payload, rest) = rest.split_at_checked(u32_at(head, 1) as usize)?;
    *queue = rest;
    Some((head[0], payload))
}

/// Appends a record's sealed bytes to `out`.
pub(super) fn frame(
    sealer: &mut LogSealer,
    kind: u8,
    lsn: u64,
    watermark: u64,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SealError> {
    let start = out.len();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(&watermark.to_le_bytes());
    out.extend_from_slice(&[0; TAG_BYTES]);
    out.push(kind);
    out.extend_from_slice(payload);
    let (head, rest) = out[start..].split_at_mut(RECORD_HEAD_BYTES);
    let (tag, sealed) = rest.split_at_mut(TAG_BYTES);
    tag.copy_from_slice(&sealer.seal_at(lsn, head, sealed)?);
    Ok(())
}

/// A record that opened.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Parsed {
    pub kind: u8,
    pub watermark: u64,
    /// Kind and payload.
    opened: Vec<u8>,
}

impl Parsed {
    pub(super) fn payload(&self) -> &[u8] {
        self.opened.get(1..).unwrap_or_default()
    }

    /// The payload without a copy.
    pub(super) fn into_payload(self) -> Bytes {
        Bytes::from(self.opened).split_off(1)
    }
}

/// Parses the record at `at` of a segment's bytes; `None` unless one that belongs at `lsn` stands there.
pub(super) fn parse(opener: &LogOpener, segment: &[u8], at: usize, lsn: u64) -> Option<Parsed> {
    let record = segment.get(at..)?;
    let (head, rest) = record.split_at_checked(RECORD_HEAD_BYTES)?;
    if u64_at(head, 4) != lsn {
        return None;
    }
    let (tag, rest) = rest.split_first_chunk::<TAG_BYTES>()?;
    let mut opened = rest.get(..(u32_at(head, 0) as usize).checked_add(1)?)?.to_vec();
    let good = opener.open_at(lsn, head, &mut opened, tag);
    let kind = *opened.first()?;
    good.then(|| Parsed { kind, watermark: u64_at(head, 12), opened })
}

/// Finds a good record after `from` that proves that the bytes at `from` had been durable, and returns its offset.
pub(super) fn durable_beyond(opener: &LogOpener, header: &Header, segment: &[u8], from: usize) -> Option<usize> {
    let position = |at: usize| header.first.wrapping_add((at - PAGE) as u64);
    let bad = position(from);
    let last = segment.len().checked_sub(RECORD_OVERHEAD)?;
    // A record's position must fit its offset. That excludes almost all offsets before anything is opened.
    (from + 1..=last).find(|at| {
        u64_at(segment, at + 4) == position(*at)
            && parse(opener, segment, *at, position(*at)).is_some_and(|record| record.watermark > bad)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustorium_crypto::seal::MasterKey;
    use rustorium_types::ChainId;
    use std::sync::Arc;

    const HEADER: Header = Header { first: 1, watermark: 1, pages: 4, salt: Salt([9; 16]), before: false };

    fn keys(key: u8, chain: u8) -> JournalKeys {
        let master = Arc::new(MasterKey::from_secret(&[key; 32]).unwrap());
        JournalKeys::new(AtRest::new(master, ChainId([chain; 32]))).unwrap()
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_not_used() {
        let keys = keys(1, 2);
        let good = HEADER.encode(&keys);
        assert_eq!(Header::decode(&good, &keys), HeaderState::Used(HEADER));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, &keys), HeaderState::Bad, "bit {bit}");
        }
        assert_eq!(Header::decode(&[0; HEADER_BYTES], &keys), HeaderState::Free);
    }

    #[test]
    fn another_key_another_chain_and_other_formats_are_told_from_damage() {
        let good = HEADER.encode(&keys(1, 2));
        assert_eq!(Header::decode(&good, &keys(2, 2)), HeaderState::OtherKey);
        assert_eq!(Header::decode(&good, &keys(1, 3)), HeaderState::OtherKey);
        for (format, check_at) in [(1u32, HEADER_CHECK_1_AT), (3, HEADER_CHECK_AT)] {
            let mut other = good;
            other[8..12].copy_from_slice(&format.to_le_bytes());
            let check = header_check(&other[..check_at]);
            other[check_at..check_at + 16].copy_from_slice(&check);
            assert_eq!(Header::decode(&other, &keys(1, 2)), HeaderState::Version(format));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..500, lsn: u64) {
            let opener = keys(1, 2).opener(&HEADER).unwrap();
            prop_assert!(parse(&opener, &bytes, at, lsn).is_none());
            let mut segment = vec![0; PAGE];
            segment.extend_from_slice(&bytes);
            prop_assert!(durable_beyond(&opener, &HEADER, &segment, PAGE).is_none());
        }

        #[test]
        fn a_record_with_any_bit_flipped_does_not_open(payload in proptest::collection::vec(any::<u8>(), 0..60), bit in 0usize..800) {
            let (keys, mut bytes) = (keys(1, 2), Vec::new());
            let fresh = FreshSalt::draw().unwrap();
            let header = Header { salt: fresh.salt(), ..HEADER };
            let opener = keys.opener(&header).unwrap();
            frame(&mut keys.sealer(fresh).unwrap(), 3, 77, 5, &payload, &mut bytes).unwrap();
            prop_assert_eq!(bytes.len(), RECORD_OVERHEAD + payload.len());
            let record = parse(&opener, &bytes, 0, 77).unwrap();
            prop_assert_eq!((record.kind, record.watermark, record.payload()), (3, 5, payload.as_slice()));
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(parse(&opener, &bytes, 0, 77).is_none());
        }
    }
}
