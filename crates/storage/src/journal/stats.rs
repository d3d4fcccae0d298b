//! The journal's counters, for metrics.

use super::Lsn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the sync-latency buckets, microseconds. One more bucket follows for all latencies above.
pub const SYNC_BUCKETS_US: [u64; 11] = [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200];

/// Counters since the journal was opened.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct JournalStats {
    /// Records appended.
    pub records: u64,
    /// Payload bytes appended.
    pub payload_bytes: u64,
    /// Writes to segment files.
    pub writes: u64,
    /// Bytes written to segment files: frames, and the padding and rewriting of last pages.
    pub bytes: u64,
    /// fdatasync calls that made records durable (none with durability "os").
    pub syncs: u64,
    /// Numbers of those calls by latency: one per bucket of `SYNC_BUCKETS_US` and one above (not cumulative).
    pub sync_latency: [u64; SYNC_BUCKETS_US.len() + 1],
    /// Sum of those latencies, microseconds.
    pub sync_us: u64,
    /// Number of switches to another segment.
    pub switches: u64,
    /// Segments that hold records.
    pub segments: u64,
    /// Segments kept for reuse.
    pub segments_free: u64,
    /// Newest durable record.
    pub durable: Lsn,
}

#[derive(Default)]
pub(super) struct Counters {
    records: AtomicU64,
    payload_bytes: AtomicU64,
    writes: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    sync_latency: [AtomicU64; SYNC_BUCKETS_US.len() + 1],
    sync_us: AtomicU64,
    switches: AtomicU64,
    segments: AtomicU64,
    segments_free: AtomicU64,
    durable: AtomicU64,
    sealed_below: AtomicU64,
    leave_below: AtomicU64,
}

impl Counters {
    pub(super) fn appended(&self, bytes: usize) {
        self.records.fetch_add(1, Relaxed);
        self.payload_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.writes.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn synced(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = SYNC_BUCKETS_US.partition_point(|bound| *bound < us);
        self.syncs.fetch_add(1, Relaxed);
        self.sync_us.fetch_add(us, Relaxed);
        self.sync_latency[bucket].fetch_add(1, Relaxed);
    }

    pub(super) fn switched(&self) {
        self.switches.fetch_add(1, Relaxed);
    }

    pub(super) fn layout(&self, segments: usize, free: usize) {
        self.segments.store(segments as u64, Relaxed);
        self.segments_free.store(free as u64, Relaxed);
    }

    pub(super) fn durable(&self, lsn: u64) {
        self.durable.store(lsn, Relaxed);
    }

    /// Notes that a segment is begun whose first record has this position.
    pub(super) fn begun(&self, first: u64) {
        self.sealed_below.store(first, Relaxed);
    }

    pub(super) fn sealed_below(&self) -> Lsn {
        Lsn(self.sealed_below.load(Relaxed))
    }

    /// Notes that a segment was begun because the keys were replaced. Records below that are still needed should be
    /// copied.
    pub(super) fn renewed(&self, first: u64) {
        self.leave_below.store(first, Relaxed);
    }

    pub(super) fn leave_below(&self) -> Lsn {
        Lsn(self.leave_below.load(Relaxed))
    }

    pub(super) fn read(&self) -> JournalStats {
        let mut sync_latency = [0; SYNC_BUCKETS_US.len() + 1];
        for (out, counter) in sync_latency.iter_mut().zip(&self.sync_latency) {
            *out = counter.load(Relaxed);
        }
        JournalStats {
            records: self.records.load(Relaxed),
            payload_bytes: self.payload_bytes.load(Relaxed),
            writes: self.writes.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            sync_latency,
            sync_us: self.sync_us.load(Relaxed),
            switches: self.switches.load(Relaxed),
            segments: self.segments.load(Relaxed),
            segments_free: self.segments_free.load(Relaxed),
            durable: Lsn(self.durable.load(Relaxed)),
        }
    }
}
