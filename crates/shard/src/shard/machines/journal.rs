//! The shard's account of the journal: what waits until it is durable, which records are needed, and its floor.
//!
//! *Invariants:* this machine appends and syncs nothing itself, and is told of each record; a frame that promises
//! something leaves only once the journal is durable up to it (R21); a record is freed only once the store holds, on
//! disk, what it was needed for.

use super::live_records::{JournalSizes, LiveRecords};
use super::retained::{ExecutingHeight, Retained};
use crate::port::CertificateName;
use crate::shard::{Floor, Records};
use bytes::Bytes;
use rustorium_crypto::Verified;
use rustorium_types::{Cursor, Epoch, Height, SignedVote, View};
use std::collections::VecDeque;

/// A frame or batch that leaves once the journal is on disk.
pub(crate) enum Outgoing {
    Vote(Verified<SignedVote>, Option<CertificateName>),
    Proposal(Bytes, Verified<SignedVote>),
    /// `None` if the frame has left already.
    Batch(Option<Bytes>),
}

/// The account of the journal.
#[derive(Default)]
pub(crate) struct Journal {
    retained: Retained,
    /// Frames that wait for the disk, each with the journal position that must be on it.
    outbox: VecDeque<(u64, Outgoing)>,
    /// Position up to which all records are on disk.
    durable: u64,
    /// The newest record's position.
    appended: u64,
    floor: Floor,
    /// Records of later epochs. A node that lost its store goes through the earlier epochs again.
    later: Records,
}

impl Journal {
    /// Creates the account of a journal that was found. At first only the records of later epochs are known to be
    /// needed.
    pub(crate) fn found(live: LiveRecords, later: Records) -> Self {
        let mut retained = Retained::of(live);
        retained.keep_later(&later);
        Self { retained, later, ..Self::default() }
    }

    /// Sets the floor that was found.
    pub(crate) fn found_floor(&mut self, floor: Floor) {
        self.floor = floor;
        self.retained.note_floor(None, floor.position);
    }

    /// Frees the found records that nobody has noted since.
    pub(crate) fn recovered(&mut self) {
        self.retained.recovered();
    }

    /// Goes on in the next epoch from the journal's present end.
    pub(crate) fn goes_on_at(&mut self, appended: u64) {
        self.appended = appended;
    }

    /// Takes the records of this epoch and of later ones from those of later epochs.
    pub(crate) fn take_later(&mut self, epoch: Epoch) -> (Records, Records) {
        std::mem::take(&mut self.later).split(epoch)
    }

    /// Returns the live records for the next epoch's start.
    pub(crate) fn into_live(self) -> LiveRecords {
        self.retained.into_live()
    }

    /// Sets the time that the records appended from now on get.
    pub(crate) fn at(&mut self, now_us: u64) {
        self.retained.live.at(now_us);
    }

    /// Notes that a record was appended.
    pub(crate) fn appended(&mut self, position: u64, payload_bytes: usize) {
        self.appended = position;
        self.retained.live.appended(position, payload_bytes);
    }

    /// Returns the newest record's position.
    pub(crate) fn end(&self) -> u64 {
        self.appended
    }

    /// Keeps the record at `position` until its view is settled.
    pub(crate) fn note(&mut self, view: View, position: u64) {
        self.retained.note(view, position);
    }

    /// Keeps the batch at `position` until final blocks have gone past it.
    pub(crate) fn note_batch(&mut self, position: u64) {
        self.retained.note_batch(position);
    }

    /// Queues something to leave once the journal is on disk up to its newest record, at `position`.
    pub(crate) fn push(&mut self, position: u64, outgoing: Outgoing) {
        self.outbox.push_back((position, outgoing));
    }

    /// Queues something to leave once the journal is on disk up to `position`, which may be the case already. Returns
    /// how far it is on disk.
    pub(crate) fn insert(&mut self, position: u64, outgoing: Outgoing) -> u64 {
        let place = self.outbox.partition_point(|(at, _)| *at <= position);
        self.outbox.insert(place, (position, outgoing));
        self.durable
    }

    /// Notes that the journal is on disk up to `position`.
    pub(crate) fn durable_to(&mut self, position: u64) {
        self.durable = self.durable.max(position);
    }

    /// Takes the next thing that may leave now that the journal is on disk up to `position`.
    pub(crate) fn take_due(&mut self, position: u64) -> Option<Outgoing> {
        let due = self.outbox.front().is_some_and(|(at, _)| *at <= position);
        let first = if due { self.outbox.pop_front() } else { None };
        first.map(|(_, outgoing)| outgoing)
    }

    /// Drops everything that waits to leave.
    pub(crate) fn drop_outbox(&mut self) {
        self.outbox.clear();
    }

    /// Returns the number of things that wait for the disk.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Returns the limit up to which the journal has forgotten what was signed.
    pub(crate) fn floor(&self) -> Floor {
        self.floor
    }

    /// Notes a height that was handed to execution.
    pub(crate) fn hand_over(&mut self, height: Height, handed: ExecutingHeight) {
        self.retained.hand_over(height, handed);
    }

    /// Forgets what only heights up to this one needed, which the store holds. Returns the newest forgotten view and
    /// how far its block lists the own lane, if a new floor is to be appended.
    pub(crate) fn forget(&mut self, height: Height) -> Option<(View, Cursor)> {
        let (forgotten, own_lane) = self.retained.forget(height);
        (forgotten > self.floor.view).then_some((forgotten, own_lane))
    }

    /// Replaces the floor by a newer one that was appended.
    pub(crate) fn raise_floor(&mut self, floor: Floor) {
        let before = std::mem::replace(&mut self.floor, floor);
        self.retained.note_floor(Some(before.position), floor.position);
    }

    /// Returns the next record to append again and the length of its payload (R36). `None` if there is none.
    pub(crate) fn next_to_copy(&self, leave_below: u64, sealed_below: u64, slack_bytes: u64) -> Option<(u64, usize)> {
        let live = &self.retained.live;
        live.next_to_rewrite(leave_below).or_else(|| live.next_to_copy(sealed_below, slack_bytes))
    }

    /// Notes that the record at `from` was appended again.
    pub(crate) fn copied(&mut self, from: u64, to: u64) {
        self.retained.live.copied(from, to);
        self.appended = to;
    }

    /// Returns the position below which no record is needed. If none is needed at all, as on an idle chain, it is the
    /// newest record's.
    pub(crate) fn needed_from(&self) -> u64 {
        self.retained.live.first().unwrap_or(self.appended)
    }

    /// Returns the position of a record's newest copy.
    pub(crate) fn place(&self, name: u64) -> Option<u64> {
        self.retained.live.place(name)
    }

    /// Returns what the journal holds, for metrics and findings.
    pub(crate) fn sizes(&self) -> JournalSizes {
        self.retained.live.sizes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(journal: &mut Journal, position: u64) {
        journal.appended(position, 100);
        journal.note_batch(position);
        journal.push(position, Outgoing::Batch(None));
    }

    #[test]
    fn what_waits_leaves_in_order_and_not_before_its_record_is_on_disk() {
        let mut journal = Journal::default();
        (1..=3).for_each(|position| batch(&mut journal, position));
        assert!(journal.take_due(0).is_none());
        journal.durable_to(2);
        assert!(journal.take_due(2).is_some() && journal.take_due(2).is_some() && journal.take_due(2).is_none());
        assert_eq!((journal.waiting(), journal.end()), (1, 3));
        // A signature that came later, for a record that is on disk by now.
        assert_eq!(journal.insert(1, Outgoing::Batch(Some(Bytes::new()))), 2);
        assert!(matches!(journal.take_due(2), Some(Outgoing::Batch(Some(_)))), "it goes before what came first");
        journal.drop_outbox();
        assert_eq!(journal.waiting(), 0);
    }

    #[test]
    fn the_floor_rises_with_the_store_and_its_record_is_kept() {
        let mut journal = Journal::default();
        for view in 1..=2 {
            journal.appended(view, 100);
            journal.note(View(view), view);
            let handed = ExecutingHeight { view: View(view), own_lane: Cursor::default(), batches: Vec::new() };
            journal.hand_over(Height(view), handed);
        }
        assert_eq!(journal.needed_from(), 1);
        assert_eq!(journal.forget(Height(1)), Some((View(1), Cursor::default())));
        journal.appended(3, 20);
        journal.raise_floor(Floor { view: View(1), position: 3, ..Floor::default() });
        assert_eq!((journal.needed_from(), journal.forget(Height(1))), (2, None));
        assert!(journal.forget(Height(2)).is_some());
        assert_eq!(journal.needed_from(), 3, "the floor's own record");
    }
}
