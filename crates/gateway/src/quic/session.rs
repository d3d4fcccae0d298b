//! Credit of one connection, and its results on their way out.
//!
//! *Invariants:* a session holds at most as many results as the client has credit for; a thread that fills an empty
//! outbox wakes the writer, and the writer sleeps only after it found the outbox empty.

use super::violation::Violation;
use bytes::Bytes;
use parking_lot::Mutex;
use rustorium_api::Submitted;
use rustorium_api::frames::{
    LENGTH_BYTES, RESULTS_MAX, RESULTS_TAG, ResultItem, ServerFrame, WireOutcome, write_frame, write_length,
};
use rustorium_types::encode_into;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// A `Results` frame in progress.
struct Segment {
    bytes: Vec<u8>,
    items: usize,
}

/// Bytes after which the next frame begins.
const SEGMENT_BYTES: usize = 256 * 1024;
/// Bytes of length, tag and count.
const SEGMENT_HEAD_BYTES: usize = LENGTH_BYTES + 1 + 4;

impl Segment {
    fn new() -> Self {
        let mut bytes = Vec::with_capacity(2 * 1024);
        bytes.extend_from_slice(&[0; SEGMENT_HEAD_BYTES]);
        bytes[LENGTH_BYTES] = RESULTS_TAG;
        Self { bytes, items: 0 }
    }

    fn has_room(&self) -> bool {
        self.bytes.len() < SEGMENT_BYTES && self.items < RESULTS_MAX
    }

    fn finish(mut self) -> Bytes {
        write_length(&mut self.bytes, 0);
        let items = u32::try_from(self.items).unwrap_or(u32::MAX);
        self.bytes[LENGTH_BYTES + 1..SEGMENT_HEAD_BYTES].copy_from_slice(&items.to_le_bytes());
        self.bytes.into()
    }
}

/// A run of busy results.
#[derive(Clone, Copy)]
struct BusyRun {
    number: u64,
    first: u32,
    count: u32,
    retry_after_ms: u32,
}

/// Results that wait to be written.
struct Outbox {
    credit: u32,
    used: u32,
    waiting_bytes: usize,
    segments: VecDeque<Segment>,
    busy: VecDeque<BusyRun>,
    closed: bool,
}

/// Credit and results of one connection. Any thread may add results.
pub(super) struct Session {
    outbox: Mutex<Outbox>,
    /// Notified when results wait.
    pub(super) ready: Notify,
    proof_bytes_waiting_max: usize,
}

impl Session {
    pub(super) fn new(credit: u32, proof_bytes_waiting_max: usize) -> Self {
        let outbox = Outbox {
            credit,
            used: 0,
            waiting_bytes: 0,
            segments: VecDeque::new(),
            busy: VecDeque::new(),
            closed: false,
        };
        Self { outbox: Mutex::new(outbox), ready: Notify::new(), proof_bytes_waiting_max }
    }

    pub(super) fn take_credit(&self, count: u32) -> Result<(), Violation> {
        let mut outbox = self.outbox.lock();
        outbox.credit = outbox.credit.checked_sub(count).ok_or(Violation::OverCredit)?;
        Ok(())
    }

    pub(super) fn give_credit(&self, count: u32) {
        self.outbox.lock().credit += count;
    }

    pub(super) fn close(&self) {
        let mut outbox = self.outbox.lock();
        outbox.closed = true;
        outbox.segments.clear();
        outbox.busy.clear();
    }

    pub(super) fn push(&self, number: u64, place: usize, submitted: Submitted) {
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        if let Submitted::Refused(refused) = &submitted
            && refused.busy
        {
            return self.push_busy(number, index, 1, refused.retry_after_ms.unwrap_or(0));
        }
        let mut outbox = self.outbox.lock();
        if outbox.closed {
            return;
        }
        let was_empty = outbox.used == 0;
        let lean = outbox.waiting_bytes > self.proof_bytes_waiting_max;
        let item = ResultItem { number, index, outcome: WireOutcome::new(submitted, lean) };
        if !outbox.segments.back().is_some_and(Segment::has_room) {
            outbox.segments.push_back(Segment::new());
        }
        if let Some(segment) = outbox.segments.back_mut() {
            let before = segment.bytes.len();
            encode_into(&item, &mut segment.bytes);
            segment.items += 1;
            let added = segment.bytes.len() - before;
            outbox.waiting_bytes += added;
        }
        outbox.used += 1;
        drop(outbox);
        // A thread that fills an empty outbox wakes the writer. The writer sleeps only when the outbox is empty.
        if was_empty {
            self.ready.notify_one();
        }
    }

    pub(super) fn push_busy(&self, number: u64, first: u32, count: u32, retry_after_ms: u64) {
        let retry_after_ms = u32::try_from(retry_after_ms).unwrap_or(u32::MAX);
        let mut outbox = self.outbox.lock();
        if outbox.closed {
            return;
        }
        let was_empty = outbox.used == 0;
        match outbox.busy.back_mut() {
            Some(run) if run.number == number && run.first + run.count == first => run.count += count,
            _ => outbox.busy.push_back(BusyRun { number, first, count, retry_after_ms }),
        }
        outbox.used += count;
        drop(outbox);
        if was_empty {
            self.ready.notify_one();
        }
    }

    /// Returns all waiting results as frames, with the credit that they give back. `None` if none waits.
    pub(super) fn take(&self) -> Option<(Vec<Bytes>, u32)> {
        let mut outbox = self.outbox.lock();
        let used = std::mem::take(&mut outbox.used);
        if used == 0 {
            return None;
        }
        let segments = std::mem::take(&mut outbox.segments);
        let busy = std::mem::take(&mut outbox.busy);
        outbox.waiting_bytes = 0;
        drop(outbox);
        let mut chunks: Vec<Bytes> = segments.into_iter().map(Segment::finish).collect();
        let mut tail = Vec::with_capacity(64);
        for BusyRun { number, first, count, retry_after_ms } in busy {
            write_frame(&ServerFrame::Busy { number, first, count, retry_after_ms }, &mut tail);
        }
        write_frame(&ServerFrame::Credit(used), &mut tail);
        chunks.push(tail.into());
        Some((chunks, used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_what_was_given_and_no_more_is_taken() {
        let session = Session::new(3, 0);
        assert_eq!(session.take_credit(2), Ok(()));
        assert_eq!(session.take_credit(2), Err(Violation::OverCredit));
        session.give_credit(2);
        assert_eq!(session.take_credit(3), Ok(()));
        assert_eq!(session.take_credit(1), Err(Violation::OverCredit));
    }
}
