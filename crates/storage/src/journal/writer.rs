//! The journal's thread: it takes appended records, writes them in whole pages, and syncs once for all requests that
//! wait.
//!
//! *Invariants:* a segment is synced before the next one is begun; after a failed write or sync nothing is called
//! durable any more, since the kernel may have dropped the pages that it could not write.

use super::folder::{Folder, Layout, SealedSegment, SegmentFile};
use super::format::{COPY, PAGE, RECORD_OVERHEAD, copied, dequeue, frame};
use super::{Done, Durability, JournalError, Lsn, Shared};
use rustorium_crypto::seal::LogSealer;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// Number of freed segments kept for reuse.
const FREE_MAX: usize = 2;
/// Framed bytes after which the thread writes.
const PENDING_BYTES: usize = 1024 * 1024;

pub(super) struct Writer {
    folder: Folder,
    shared: Arc<Shared>,
    done: Done,
    current: CurrentSegment,
    sealed: VecDeque<SealedSegment>,
    free: Vec<SegmentFile>,
    next_number: u32,
    preparer: Preparer,
    /// Position of the next record.
    position: u64,
    /// Position of the last framed record; 0 before the first.
    last: u64,
    /// Position of the last durable record.
    durable: u64,
    /// Everything below is synced.
    watermark: u64,
    inbox: Vec<u8>,
}

/// The segment that is being written to.
struct CurrentSegment {
    segment: SegmentFile,
    sealer: LogSealer,
    /// Offset in the file of `pending`'s first byte: a page's start.
    page_at: u64,
    /// Bytes of the last page that are written already, then bytes that aren't.
    pending: Vec<u8>,
    /// Number of bytes of `pending` that are written.
    written: usize,
    /// The segment was written to since the last sync.
    dirty: bool,
}

struct Work {
    sync: bool,
    release_below: u64,
    renew: bool,
    closing: bool,
    failed: Option<JournalError>,
}

impl Writer {
    pub(super) fn start(
        folder: Folder,
        layout: Layout,
        next: u64,
        shared: Arc<Shared>,
        done: Done,
    ) -> Result<Self, JournalError> {
        let Layout { sealed, free: found, mut next_number } = layout;
        let mut free = Vec::new();
        for segment in found {
            keep_or_remove(&folder, segment, &mut free)?;
        }
        let segment = match free.pop() {
            Some(segment) => segment,
            None => {
                next_number += 1;
                folder.create(next_number - 1)?
            }
        };
        let current = CurrentSegment::begin(&folder, segment, next)?;
        let watermark = if folder.durability == Durability::Vote { next } else { 0 };
        let preparer = Preparer::start(folder.clone())?;
        let mut writer = Self {
            folder,
            shared,
            done,
            current,
            sealed,
            free,
            next_number,
            preparer,
            position: next,
            last: next - 1,
            durable: next - 1,
            watermark,
            inbox: Vec::new(),
        };
        writer.shared.stats.begun(next);
        writer.prepare_ahead();
        Ok(writer)
    }

    /// Writes until the journal is closed. A panic fails the journal: nothing is called durable after it.
    pub(super) fn run(mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.write_all())).is_err() {
            let reason = "an internal check failed: report the line `panicked` of the node's log".to_owned();
            self.fail(JournalError::Io { doing: "go on with", path: "journal".into(), reason }, true);
        }
    }

    fn write_all(&mut self) {
        loop {
            let work = self.take();
            let result = work.failed.clone().map_or_else(|| self.process(&work), Err);
            if let Err(error) = result {
                self.fail(error, work.sync);
            }
            if work.closing {
                return;
            }
        }
    }

    fn take(&mut self) -> Work {
        self.inbox.clear();
        if self.inbox.capacity() > 4 * PENDING_BYTES {
            self.inbox = Vec::new();
        }
        let mut queue = self.shared.queue.lock();
        queue.busy_since = None;
        while !queue.has_work() {
            self.shared.work.wait(&mut queue);
        }
        queue.busy_since = Some(Instant::now());
        std::mem::swap(&mut queue.bytes, &mut self.inbox);
        let work = Work {
            sync: std::mem::take(&mut queue.sync),
            release_below: std::mem::take(&mut queue.release_below),
            renew: std::mem::take(&mut queue.renew),
            closing: queue.closing,
            failed: queue.failed.clone(),
        };
        drop(queue);
        self.shared.room.notify_all();
        work
    }

    fn process(&mut self, work: &Work) -> Result<(), JournalError> {
        if work.renew {
            self.switch()?;
            self.shared.stats.renewed(self.position);
        }
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = inbox.as_slice();
        while let Some((kind, payload)) = dequeue(&mut rest) {
            match (kind, payload.first_chunk()) {
                (COPY, Some(entry)) => self.place_again(copied(entry))?,
                _ => self.place(kind, payload)?,
            }
        }
        self.inbox = inbox;
        self.write()?;
        if work.sync || work.closing {
            self.sync()?;
        }
        if work.sync {
            (self.done)(Ok(Lsn(self.durable)));
        }
        self.release(work.release_below)
    }

    fn fail(&mut self, error: JournalError, asked: bool) {
        let mut queue = self.shared.queue.lock();
        queue.bytes = Vec::new();
        let error = queue.failed.get_or_insert(error).clone();
        drop(queue);
        self.shared.room.notify_all();
        if asked {
            (self.done)(Err(error));
        }
    }

    fn place(&mut self, kind: u8, payload: &[u8]) -> Result<(), JournalError> {
        let size = RECORD_OVERHEAD + payload.len();
        if self.current.used() + size as u64 > self.current.segment.bytes {
            self.switch()?;
        }
        let current = &mut self.current;
        frame(&mut current.sealer, kind, self.position, self.watermark, payload, &mut current.pending)?;
        self.last = self.position;
        self.position += size as u64;
        if current.pending.len() >= PENDING_BYTES { self.write() } else { Ok(()) }
    }

    /// Places a copy of the record at `of`, whose payload has this length. The copy's position was given away by that
    /// length.
    fn place_again(&mut self, (of, payload_bytes): (u64, u64)) -> Result<(), JournalError> {
        let mut sealed = self.sealed.iter();
        let record = match sealed.find(|sealed| of < sealed.end) {
            Some(sealed) => self.folder.read_record(&sealed.segment, of, payload_bytes),
            None => {
                self.write()?;
                self.folder.read_record(&self.current.segment, of, payload_bytes)
            }
        }?;
        self.place(record.kind as u8, &record.payload)
    }

    fn write(&mut self) -> Result<(), JournalError> {
        let current = &mut self.current;
        let used = current.pending.len();
        if used == current.written {
            return Ok(());
        }
        // Whole pages, so that the kernel never has to read one back before it can change a part of it.
        current.pending.resize(used.next_multiple_of(PAGE), 0);
        let written =
            std::os::unix::fs::FileExt::write_all_at(&current.segment.file, &current.pending, current.page_at);
        written.map_err(|e| JournalError::io("write", &current.segment.path, &e))?;
        self.shared.stats.wrote(current.pending.len());
        let whole = used - used % PAGE;
        current.pending.truncate(used);
        current.pending.drain(..whole);
        current.page_at += whole as u64;
        current.written = current.pending.len();
        current.dirty = true;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        if self.current.dirty && self.folder.durability == Durability::Vote {
            let start = Instant::now();
            self.folder.sync(&self.current.segment)?;
            self.shared.stats.synced(start.elapsed());
            self.watermark = self.position;
        }
        self.current.dirty = false;
        self.durable = self.last;
        self.shared.stats.durable(self.durable);
        Ok(())
    }

    fn switch(&mut self) -> Result<(), JournalError> {
        self.write()?;
        self.sync()?;
        let segment = self.next_segment()?;
        let current = CurrentSegment::begin(&self.folder, segment, self.position)?;
        let old = std::mem::replace(&mut self.current, current);
        self.sealed.push_back(SealedSegment { segment: old.segment, end: self.position });
        self.shared.stats.switched();
        self.shared.stats.begun(self.position);
        self.prepare_ahead();
        Ok(())
    }

    fn next_segment(&mut self) -> Result<SegmentFile, JournalError> {
        if let Some(segment) = self.free.pop() {
            return Ok(segment);
        }
        match self.preparer.take() {
            Some(Ok(segment)) => Ok(segment),
            // It may have failed a while ago. There may be room on the disk by now.
            Some(Err(_)) | None => {
                self.next_number += 1;
                self.folder.create(self.next_number - 1)
            }
        }
    }

    /// Has a segment made in the background if none is left for the next switch.
    fn prepare_ahead(&mut self) {
        if self.free.is_empty() && self.preparer.ask(self.next_number) {
            self.next_number += 1;
        }
        self.shared.stats.layout(self.sealed.len() + 1, self.free.len());
    }

    fn release(&mut self, below: u64) -> Result<(), JournalError> {
        while self.sealed.front().is_some_and(|oldest| oldest.end <= below) {
            let Some(SealedSegment { segment, .. }) = self.sealed.pop_front() else { break };
            self.folder.free(&segment)?;
            keep_or_remove(&self.folder, segment, &mut self.free)?;
        }
        self.shared.stats.layout(self.sealed.len() + 1, self.free.len());
        Ok(())
    }
}

fn keep_or_remove(folder: &Folder, segment: SegmentFile, free: &mut Vec<SegmentFile>) -> Result<(), JournalError> {
    if free.len() < FREE_MAX && segment.bytes == folder.segment_bytes {
        free.push(segment);
        Ok(())
    } else {
        folder.remove(segment)
    }
}

impl CurrentSegment {
    fn begin(folder: &Folder, segment: SegmentFile, first: u64) -> Result<Self, JournalError> {
        let sealer = folder.begin(&segment, first)?;
        let page_at = PAGE as u64;
        Ok(Self { segment, sealer, page_at, pending: Vec::new(), written: 0, dirty: false })
    }

    /// Offset in the file of the next record.
    fn used(&self) -> u64 {
        self.page_at + self.pending.len() as u64
    }
}

/// Makes segment files outside the journal's thread: writing 16 MiB of zeros takes longer than a vote may wait.
struct Preparer {
    ask: Option<SyncSender<u32>>,
    ready: Receiver<Result<SegmentFile, JournalError>>,
    asked: bool,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    fn start(folder: Folder) -> Result<Self, JournalError> {
        let (ask, asks) = sync_channel::<u32>(1);
        let (give, ready) = sync_channel(1);
        let work = move || {
            while let Ok(number) = asks.recv() {
                if give.send(folder.create(number)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("journal-ahead".into()).spawn(work).map_err(|e| {
            JournalError::Io { doing: "start a thread for", path: "journal".into(), reason: e.to_string() }
        })?;
        Ok(Self { ask: Some(ask), ready, asked: false, thread: Some(thread) })
    }

    /// Asks for a file with this number, unless one was asked for and not taken. Returns whether it asked.
    fn ask(&mut self, number: u32) -> bool {
        if self.asked {
            return false;
        }
        self.asked = self.ask.as_ref().is_some_and(|ask| ask.try_send(number).is_ok());
        self.asked
    }

    /// Waits for the requested file and returns it; `None` if none was requested.
    fn take(&mut self) -> Option<Result<SegmentFile, JournalError>> {
        if !std::mem::take(&mut self.asked) {
            return None;
        }
        self.ready.recv().ok()
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // A file in the making is complete then, and the next start finds it.
            let _ended = thread.join();
        }
    }
}
