//! The journal's live records: where each one is, how many bytes they need, and which is copied forward next (R36).
//!
//! *Invariants:* a record keeps its name, the position of its first append, wherever its newest copy is; copies write
//! at most as many bytes as were appended since.

use rustorium_storage::RECORD_OVERHEAD;
use std::collections::BTreeMap;

/// One live record.
#[derive(Debug)]
struct Record {
    name: u64,
    /// Bytes of all records before its newest copy.
    at: u64,
    bytes: u64,
    /// Time of the first append, monotonic microseconds.
    since_us: u64,
    claimed: bool,
}

/// Sizes of the journal, for metrics and findings.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct JournalSizes {
    /// Bytes of the records that are still needed.
    pub live_bytes: u64,
    /// Bytes from the oldest of them to the end.
    pub held_bytes: u64,
    /// Time at which the oldest of them was first appended, monotonic microseconds.
    pub oldest_us: Option<u64>,
}

/// The records that a restart needs.
#[derive(Debug, Default)]
pub struct LiveRecords {
    /// Records by the position of their newest copy.
    places: BTreeMap<u64, Record>,
    /// The position of the newest copy, by name.
    names: BTreeMap<u64, u64>,
    live_bytes: u64,
    /// Bytes of all records.
    end: u64,
    /// Position of the newest record and the bytes before it.
    newest: (u64, u64),
    /// Appended bytes against which no copy has been charged.
    credit: u64,
    now_us: u64,
}

impl LiveRecords {
    /// Creates the account of the records that were found when the journal was opened, oldest first. Each has its
    /// position, the length of its payload, and true if there is no newer copy of it.
    pub fn found(records: impl IntoIterator<Item = (u64, usize, bool)>) -> Self {
        let mut live = Self::default();
        for (position, payload_bytes, is_newest) in records {
            live.appended(position, payload_bytes);
            if is_newest {
                live.keep(position);
            }
        }
        live.unclaimed()
    }

    /// Returns the same records with none of them claimed as needed.
    pub(crate) fn unclaimed(mut self) -> Self {
        self.places.values_mut().for_each(|record| record.claimed = false);
        self
    }

    /// Forgets the records that nobody has claimed by `keep`.
    pub(crate) fn drop_unclaimed(&mut self) {
        let unclaimed: Vec<u64> = self.places.values().filter(|record| !record.claimed).map(|r| r.name).collect();
        unclaimed.into_iter().for_each(|name| self.drop(name));
    }

    pub(crate) fn at(&mut self, now_us: u64) {
        self.now_us = now_us;
    }

    /// Notes that a record was appended.
    pub(crate) fn appended(&mut self, position: u64, payload_bytes: usize) {
        let bytes = (RECORD_OVERHEAD + payload_bytes) as u64;
        self.newest = (position, self.end);
        self.end += bytes;
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Keeps the newest record, or one that was found, until `drop`.
    pub(crate) fn keep(&mut self, name: u64) {
        if let Some(record) = self.names.get(&name).and_then(|place| self.places.get_mut(place)) {
            record.claimed = true;
            return;
        }
        let at = if name == self.newest.0 { self.newest.1 } else { self.end };
        let record = Record { name, at, bytes: self.end - at, since_us: self.now_us, claimed: true };
        self.live_bytes += record.bytes;
        self.names.insert(name, name);
        self.places.insert(name, record);
    }

    /// Notes that a record isn't needed any more.
    pub(crate) fn drop(&mut self, name: u64) {
        let record = self.names.remove(&name).and_then(|place| self.places.remove(&place));
        self.live_bytes -= record.map_or(0, |record| record.bytes);
    }

    /// Returns the position of a record's newest copy, from which it can be read.
    pub fn place(&self, name: u64) -> Option<u64> {
        self.names.get(&name).copied()
    }

    /// Returns the position of the oldest copy that is needed.
    pub(crate) fn first(&self) -> Option<u64> {
        self.places.first_key_value().map(|(position, _)| *position)
    }

    fn held_bytes(&self) -> u64 {
        self.places.first_key_value().map_or(0, |(_, record)| self.end - record.at)
    }

    /// Returns the record to copy next and the length of its payload. It is the oldest one, if the log takes more than
    /// twice the live bytes plus `slack_bytes`. Only a record below `sealed_below` is worth a copy: the segment of any
    /// other can't be freed yet.
    pub(crate) fn next_to_copy(&self, sealed_below: u64, slack_bytes: u64) -> Option<(u64, usize)> {
        let (position, record) = self.places.first_key_value()?;
        let sparse = self.held_bytes() > self.live_bytes.saturating_mul(2).saturating_add(slack_bytes);
        let due = sparse && *position < sealed_below && record.bytes <= self.credit;
        let payload_bytes = (record.bytes as usize).checked_sub(RECORD_OVERHEAD)?;
        due.then_some((*position, payload_bytes))
    }

    /// Returns the oldest record and the length of its payload, if the record is below this position.
    pub(crate) fn next_to_rewrite(&self, below: u64) -> Option<(u64, usize)> {
        let (position, record) = self.places.first_key_value().filter(|(position, _)| **position < below)?;
        let payload_bytes = (record.bytes as usize).checked_sub(RECORD_OVERHEAD)?;
        (record.bytes <= self.credit).then_some((*position, payload_bytes))
    }

    /// Notes that the record at `from` was appended again.
    pub(crate) fn copied(&mut self, from: u64, to: u64) {
        let Some(mut record) = self.places.remove(&from) else { return };
        record.at = self.end;
        self.end += record.bytes;
        self.credit = self.credit.saturating_sub(record.bytes);
        self.names.insert(record.name, to);
        self.places.insert(to, record);
    }

    pub(crate) fn sizes(&self) -> JournalSizes {
        let oldest = self.names.values().next().and_then(|place| self.places.get(place));
        JournalSizes {
            live_bytes: self.live_bytes,
            held_bytes: self.held_bytes(),
            oldest_us: oldest.map(|record| record.since_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK_BYTES: u64 = 4_000_000;
    const PAYLOAD: usize = 1_000_000 - RECORD_OVERHEAD;

    fn append(live: &mut LiveRecords, position: u64) -> u64 {
        live.appended(position, PAYLOAD);
        position
    }

    #[test]
    fn one_old_record_is_copied_once_the_log_is_sparse_and_keeps_its_name() {
        let mut live = LiveRecords::default();
        live.at(7);
        let old = append(&mut live, 1);
        live.keep(old);
        for position in 2..=6 {
            append(&mut live, position);
        }
        assert_eq!(live.next_to_copy(u64::MAX, SLACK_BYTES), None, "6 MB for 1 MB and the slack");
        append(&mut live, 7);
        assert_eq!(live.next_to_copy(1, SLACK_BYTES), None, "its segment is written to");
        assert_eq!(live.next_to_copy(2, SLACK_BYTES), Some((1, PAYLOAD)));
        live.copied(1, 8);
        assert_eq!((live.first(), live.next_to_copy(u64::MAX, SLACK_BYTES)), (Some(8), None));
        assert_eq!((live.next_to_rewrite(8), live.next_to_rewrite(9)), (None, Some((8, PAYLOAD))), "whatever it saves");
        let sizes = JournalSizes { live_bytes: 1_000_000, held_bytes: 1_000_000, oldest_us: Some(7) };
        assert_eq!(live.sizes(), sizes);
        live.drop(old);
        assert_eq!((live.first(), live.sizes()), (None, JournalSizes::default()));
    }

    #[test]
    fn copies_write_no_more_than_was_appended() {
        let (mut live, mut names, mut position) = (LiveRecords::default(), Vec::new(), 0);
        let (mut appended, mut copied) = (0, 0);
        for turn in 0..4_000 {
            position += 1;
            names.push(append(&mut live, position));
            appended += 1;
            live.keep(position);
            // One of seven stays for long, the others for a while.
            for (age, long) in [(20, false), (700, true)] {
                if turn >= age && ((turn - age) % 7 == 0) == long {
                    live.drop(names[turn - age]);
                }
            }
            while let Some((from, _)) = live.next_to_copy(u64::MAX, SLACK_BYTES) {
                position += 1;
                live.copied(from, position);
                copied += 1;
            }
            let JournalSizes { live_bytes, held_bytes, .. } = live.sizes();
            assert!(held_bytes <= 2 * live_bytes + SLACK_BYTES, "turn {turn}: {held_bytes} for {live_bytes}");
        }
        assert!(copied <= appended, "{copied} copies of {appended} records");
    }

    #[test]
    fn what_was_found_and_nobody_claims_is_let_go() {
        let mut live = LiveRecords::found([(5, PAYLOAD, false), (9, PAYLOAD, true), (14, PAYLOAD, true)]);
        live.keep(14);
        live.drop_unclaimed();
        assert_eq!((live.first(), live.sizes().live_bytes), (Some(14), 1_000_000));
    }
}
