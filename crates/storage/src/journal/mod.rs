//! The safety journal: a preallocated append-only log, outside RocksDB, for everything that must be on disk before a
//! vote leaves.
//!
//! *Invariants:* `done(lsn)` is called only after an fdatasync that covers every record up to `lsn`; records come back
//! in the order of their appends, without a gap, or opening is refused; a record that was never synced may come back or
//! not, but never beside one that contradicts its place; one process at a time; memory and disk are bounded; kinds and
//! payloads are sealed on disk.

mod folder;
mod format;
mod reader;
mod rekey;
mod stats;
mod writer;

pub(crate) use format::FORMAT;
pub use format::RECORD_OVERHEAD;

use crate::files;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rustorium_crypto::seal::{AtRest, SealError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

pub use reader::JournalReader;
pub use stats::{JournalStats, SYNC_BUCKETS_US};

/// Bytes of a segment file.
pub const SEGMENT_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that are buffered before the journal's thread writes them without a request to sync.
const WRITE_BYTES: usize = 64 * 1024;

/// Bytes that may wait for the journal's thread before `append` waits for it.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The meaning of "durable" to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Synced to disk before a vote leaves.
    Vote,
    /// Handed to the operating system: survives the end of the process, not a power cut. For tests and benchmarks.
    Os,
}

/// A record's position in the log; it grows with every append. 0 is before the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Lsn(pub u64);

/// Kind of a record. Its writer chooses the payload's encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// A vote of this node.
    Vote = 1,
    /// A proposal, of this node or received.
    Proposal = 2,
    /// A batch.
    Batch = 3,
    /// A certificate.
    Certificate = 4,
    /// The journal's floor: records below it were released.
    Floor = 5,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Vote, Self::Proposal, Self::Batch, Self::Certificate, Self::Floor].into_iter().find(|k| *k as u8 == byte)
    }
}

/// A record found when the journal was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalRecord {
    /// Kind of the record.
    pub kind: RecordKind,
    /// Position of the record.
    pub lsn: Lsn,
    /// The bytes that were appended.
    pub payload: Bytes,
}

/// The journal can't be used. After one of these errors nothing more becomes durable until the journal is opened again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// Another process has the journal open.
    #[error("another process uses the safety journal {folder}: stop it before starting this one")]
    Locked {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// A record that had been durable is damaged or gone.
    #[error(
        "the safety journal is damaged in {file} at byte {offset} ({what}): retire this validator's key, an old or repaired journal could sign twice"
    )]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Offset in the file.
        offset: u64,
        /// Description of the damage.
        what: &'static str,
    },
    /// Sealed under another master key, or for another chain.
    #[error(
        "the journal file {file} was sealed with another storage.key or for another chain: put the storage.key and the genesis that belong to this home back"
    )]
    OtherKey {
        /// The file.
        file: PathBuf,
    },
    /// Records can't be sealed or opened.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// The file has the format of another version of this program.
    #[error("{file} has format {found}, and this release reads {supported}: {}", crate::files::other_format(*found, *supported))]
    Version {
        /// The file.
        file: PathBuf,
        /// Format of the file.
        found: u32,
        /// Format of this build.
        supported: u32,
    },
    /// The disk has no room left.
    #[error("the disk that holds {path} is full: free space on it, then restart the node; no vote was lost")]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// The payload is too large for any segment.
    #[error(
        "a record of {bytes} bytes is over the journal's limit of {limit}: lower the chain's batch and block limits"
    )]
    TooLarge {
        /// Bytes of the record.
        bytes: usize,
        /// The most that fits.
        limit: usize,
    },
    /// Any other error of the disk.
    #[error("can't {doing} {path}: {reason}; check the disk, then restart the node")]
    Io {
        /// The operation that failed.
        doing: &'static str,
        /// The file of the operation.
        path: PathBuf,
        /// The reason given.
        reason: String,
    },
}

impl JournalError {
    fn io(doing: &'static str, path: &Path, error: &std::io::Error) -> Self {
        if files::is_full(error) {
            Self::DiskFull { path: path.to_owned() }
        } else {
            Self::Io { doing, path: path.to_owned(), reason: error.to_string() }
        }
    }
}

/// Parses the records of a segment's bytes; `None` if they are no segment sealed under this key.
pub(crate) fn records_of(at_rest: &AtRest, segment: &[u8]) -> Option<Vec<JournalRecord>> {
    folder::records_of(&format::JournalKeys::new(at_rest.clone()).ok()?, segment)
}

/// Callback of the journal's thread: records up to an LSN are durable, or none will be any more. It must not block.
pub type Done = Box<dyn Fn(Result<Lsn, JournalError>) + Send>;

/// State shared by appenders and the journal's thread.
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    room: Condvar,
    stats: stats::Counters,
    record_bytes_max: usize,
}

/// Appends and requests that the journal's thread has not taken yet.
#[derive(Default)]
struct Queue {
    /// Position of the next append.
    next: u64,
    /// Records one after the other, in the layout of `format::enqueue`.
    bytes: Vec<u8>,
    sync: bool,
    release_below: u64,
    /// A new segment must be begun, because the keys were replaced.
    renew: bool,
    closing: bool,
    failed: Option<JournalError>,
    /// Time since which the journal's thread has been busy with the work that it took last.
    busy_since: Option<Instant>,
}

impl Queue {
    fn has_work(&self) -> bool {
        self.sync || self.release_below > 0 || self.renew || self.closing || self.bytes.len() >= WRITE_BYTES
    }
}

/// An open journal. Dropping it writes and syncs what was appended.
pub struct Journal {
    shared: Arc<Shared>,
    reader: JournalReader,
    thread: Option<JoinHandle<()>>,
    // Held for as long as the thread may write. It is closed after the thread has ended.
    _lock: std::fs::File,
}

impl Journal {
    /// Opens the journal in `folder` (created if missing) and reads its records in order. Errors: another process holds
    /// the lock; another key sealed the journal; durable records are damaged; the disk is full or fails.
    pub fn open(
        folder: &Path,
        durability: Durability,
        at_rest: &AtRest,
        done: Done,
    ) -> Result<(Self, Vec<JournalRecord>), JournalError> {
        Self::open_with(folder, durability, SEGMENT_BYTES, at_rest, done)
    }

    /// Does what `open` does, with another size of new segments (rounded up to pages of 4 KiB).
    pub fn open_with(
        folder: &Path,
        durability: Durability,
        segment_bytes: usize,
        at_rest: &AtRest,
        done: Done,
    ) -> Result<(Self, Vec<JournalRecord>), JournalError> {
        let segment_bytes = segment_bytes.max(4 * format::PAGE).next_multiple_of(format::PAGE);
        let keys = format::JournalKeys::new(at_rest.clone())?;
        let (folder, lock) = folder::Folder::lock(folder, durability, segment_bytes, keys)?;
        let recovered = folder.recover()?;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { next: recovered.next, ..Queue::default() }),
            work: Condvar::new(),
            room: Condvar::new(),
            stats: stats::Counters::default(),
            record_bytes_max: segment_bytes - format::PAGE - format::RECORD_OVERHEAD,
        });
        let records = recovered.records;
        let reader = JournalReader { folder: folder.clone() };
        let writer = writer::Writer::start(folder, recovered.layout, recovered.next, shared.clone(), done)?;
        let thread =
            std::thread::Builder::new().name("journal".into()).spawn(move || writer.run()).map_err(|error| {
                JournalError::Io { doing: "start a thread for", path: "journal".into(), reason: error.to_string() }
            })?;
        Ok((Self { shared, reader, thread: Some(thread), _lock: lock }, records))
    }

    /// Appends a record and returns its position. The record is durable once `done` was called with this position or a
    /// later one, which needs a `sync`. Waits only while 64 MiB are queued ahead of it. After a failure nothing is
    /// stored any more.
    pub fn append(&self, kind: RecordKind, payload: &[u8]) -> Lsn {
        self.enqueue(kind as u8, payload, payload.len())
    }

    /// Appends the record at `of` again and returns the copy's position, so that the segment of the original can be
    /// released. `payload_bytes` is the length of its payload. The journal's thread reads the record; nothing waits for
    /// the disk here. A record that can't be read, or that has another length, fails the journal.
    pub fn append_again(&self, of: Lsn, payload_bytes: usize) -> Lsn {
        self.enqueue(format::COPY, &format::copy_of(of.0, payload_bytes), payload_bytes)
    }

    /// Returns the position of the next record after its place in the queue is taken.
    fn enqueue(&self, kind: u8, queued: &[u8], payload_bytes: usize) -> Lsn {
        let mut queue = self.shared.queue.lock();
        while queue.bytes.len() > QUEUE_BYTES_MAX && queue.failed.is_none() {
            self.shared.work.notify_one();
            self.shared.room.wait(&mut queue);
        }
        let lsn = Lsn(queue.next);
        queue.next += (format::RECORD_OVERHEAD + payload_bytes) as u64;
        if payload_bytes > self.shared.record_bytes_max {
            let error = JournalError::TooLarge { bytes: payload_bytes, limit: self.shared.record_bytes_max };
            queue.failed.get_or_insert(error);
        }
        if queue.failed.is_none() {
            format::enqueue(kind, queued, &mut queue.bytes);
            self.shared.stats.appended(payload_bytes);
            if queue.bytes.len() >= WRITE_BYTES {
                self.shared.work.notify_one();
            }
        }
        lsn
    }

    /// Returns the position below which all segments are complete. Only such a segment can be released.
    pub fn sealed_below(&self) -> Lsn {
        self.shared.stats.sealed_below()
    }

    /// Asks for everything up to `up_to` to be made durable. `done` is called once for all requests that gathered
    /// meanwhile. It is also called if everything is durable already, and with the error if nothing can be made
    /// durable.
    pub fn sync(&self, up_to: Lsn) {
        let mut queue = self.shared.queue.lock();
        assert!(up_to.0 < queue.next, "only what was appended can be synced");
        queue.sync = true;
        self.shared.work.notify_one();
    }

    /// Returns a reader of records, for use beside the thread that writes.
    pub fn reader(&self) -> &JournalReader {
        &self.reader
    }

    /// Releases every record below `below`. Only whole segments are freed, so some of the records may still come back.
    pub fn release(&self, below: Lsn) {
        let mut queue = self.shared.queue.lock();
        queue.release_below = queue.release_below.max(below.0);
        self.shared.work.notify_one();
    }

    /// Returns how long the journal's thread has been writing and syncing its present work; `None` while it waits for
    /// work.
    pub fn busy_for(&self) -> Option<Duration> {
        self.shared.queue.lock().busy_since.map(|since| since.elapsed())
    }

    /// Returns counters since the journal was opened.
    pub fn stats(&self) -> JournalStats {
        self.shared.stats.read()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.queue.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // The panic hook has printed a panic of that thread. There is nothing left to save here.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
