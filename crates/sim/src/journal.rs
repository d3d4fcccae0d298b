//! A safety journal whose unsynced tail a power cut forgets.
//!
//! *Invariants:* a record is freed only after everything is synced that was appended before its release; positions only
//! grow.

use bytes::Bytes;
use rustorium_storage::{JournalRecord, Lsn, RecordKind};
use rustorium_types::limits::FRAME_BYTES_MAX;
use rustorium_types::{Certificate, decode};

/// Records in memory, in the role of a disk.
#[derive(Default)]
pub struct SimJournal {
    records: Vec<JournalRecord>,
    appended: u64,
    wanted: u64,
    syncing: u64,
    synced: u64,
    released: u64,
    release_after: u64,
}

impl SimJournal {
    /// Opens the journal as a starting process does: records of a dead process are synced before any of them is used.
    pub fn open(&mut self) -> Vec<JournalRecord> {
        self.synced = self.appended;
        (self.wanted, self.syncing) = (self.synced, self.synced);
        self.free();
        self.records.clone()
    }

    /// Appends a record. Returns its position.
    pub fn append(&mut self, kind: RecordKind, payload: &[u8]) -> u64 {
        self.appended += 1;
        self.records.push(JournalRecord { kind, lsn: Lsn(self.appended), payload: Bytes::copy_from_slice(payload) });
        self.appended
    }

    /// Appends the record at a position again. Returns the copy's position.
    pub fn append_again(&mut self, of: u64) -> u64 {
        let original = self.records[self.records.partition_point(|record| record.lsn.0 < of)].clone();
        assert_eq!(original.lsn.0, of, "what is copied was kept");
        self.append(original.kind, &original.payload)
    }

    /// Asks for a sync up to a position.
    pub fn sync(&mut self, position: u64) {
        self.wanted = self.wanted.max(position.min(self.appended));
    }

    /// Starts a sync of everything that was appended, if one was requested.
    pub fn begin_sync(&mut self) -> bool {
        self.free();
        let due = self.wanted > self.synced;
        if due {
            self.syncing = self.appended;
        }
        due
    }

    /// Ends the sync that was started. Returns the position up to which everything is on disk.
    pub fn end_sync(&mut self) -> u64 {
        self.synced = self.synced.max(self.syncing);
        self.synced
    }

    /// Releases the records below a position.
    pub fn release(&mut self, position: u64) {
        self.released = self.released.max(position);
        self.release_after = self.appended;
        self.free();
    }

    fn free(&mut self) {
        if self.synced >= self.release_after {
            let below = self.records.partition_point(|record| record.lsn.0 < self.released);
            self.records.drain(..below);
        }
    }

    /// Returns the records after a position that are on disk.
    pub fn synced_after(&self, position: u64) -> impl Iterator<Item = &JournalRecord> {
        let from = self.records.partition_point(|record| record.lsn.0 <= position);
        self.records[from..].iter().take_while(|record| record.lsn.0 <= self.synced)
    }

    /// Returns the records at these positions. Missing ones are left out.
    pub fn read(&self, positions: &[Lsn]) -> Vec<JournalRecord> {
        let find = |lsn: &Lsn| self.records.binary_search_by_key(lsn, |record| record.lsn).ok();
        positions.iter().filter_map(find).map(|at| self.records[at].clone()).collect()
    }

    /// Returns the numbers of records and of bytes that it keeps.
    pub fn sizes(&self) -> (usize, usize) {
        (self.records.len(), self.records.iter().map(|record| record.payload.len()).sum())
    }

    /// Forgets the certificates among the records for which `lost` returns true: damage that no power cut makes.
    /// Returns how many.
    pub fn lose_certificates(&mut self, lost: impl Fn(&Certificate) -> bool) -> usize {
        let before = self.records.len();
        let named = |record: &JournalRecord| {
            let of_its_kind = record.kind == RecordKind::Certificate;
            of_its_kind && decode(&record.payload, FRAME_BYTES_MAX).is_ok_and(|certificate| lost(&certificate))
        };
        self.records.retain(|record| !named(record));
        before - self.records.len()
    }

    /// Returns the number of records that a power cut now would lose.
    pub fn unsynced(&self) -> usize {
        self.records.len() - self.records.partition_point(|record| record.lsn.0 <= self.synced)
    }

    /// Cuts the power. Synced records stay, and so many of the unsynced ones after them. Returns how many are lost.
    pub fn lose_power(&mut self, kept: usize) -> usize {
        let synced = self.records.len() - self.unsynced();
        let stays = synced.saturating_add(kept).min(self.records.len());
        let lost = self.records.len() - stays;
        self.records.truncate(stays);
        self.appended -= lost as u64;
        (self.synced, self.wanted, self.syncing) = (self.appended, self.appended, self.appended);
        self.release_after = self.release_after.min(self.appended);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: u64) -> SimJournal {
        let mut journal = SimJournal::default();
        for number in 0..count {
            journal.append(RecordKind::Vote, &number.to_le_bytes());
        }
        journal
    }

    #[test]
    fn a_sync_covers_what_was_appended_when_it_started_and_a_power_cut_forgets_the_rest() {
        let mut journal = of(2);
        assert!(!journal.begin_sync(), "nobody asked");
        journal.sync(1);
        assert!(journal.begin_sync());
        journal.append(RecordKind::Vote, b"later");
        assert_eq!((journal.end_sync(), journal.unsynced()), (2, 1));
        assert_eq!((journal.lose_power(0), journal.open().len()), (1, 2));
        assert_eq!(journal.append(RecordKind::Vote, b"anew"), 3, "the place is used again");
    }

    #[test]
    fn a_power_cut_may_keep_more_than_was_synced() {
        let mut journal = of(3);
        assert_eq!((journal.lose_power(2), journal.open().len()), (1, 2));
    }

    #[test]
    fn what_is_let_go_of_is_freed_once_all_before_it_is_synced() {
        let mut journal = of(3);
        journal.release(3);
        assert_eq!(journal.records.len(), 3);
        journal.sync(3);
        assert!(journal.begin_sync());
        journal.end_sync();
        assert_eq!(journal.synced_after(0).count(), 3, "it is still to be seen what was synced");
        assert!(!journal.begin_sync());
        assert_eq!(journal.synced_after(0).count(), 1);
    }
}
