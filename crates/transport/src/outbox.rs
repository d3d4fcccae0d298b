//! The frames of one class that wait for their stream.
//!
//! *Invariants:* bounded in frames and bytes, but one frame of any allowed size always fits; first in, first out;
//! closed while there is no link, and empty then; a delayed frame leaves no earlier than it is due, and whoever delays it
//! wakes the sender then.

use crate::config::SendError;
use bytes::Bytes;
use parking_lot::Mutex;
use rustorium_types::limits::FRAME_BYTES_MAX;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    ready: Arc<Notify>,
    frames_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    open: bool,
    frames: VecDeque<QueuedFrame>,
    bytes: usize,
}

#[derive(Debug)]
struct QueuedFrame {
    release: Option<Instant>,
    bytes: Bytes,
}

impl Outbox {
    pub fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self { queue: Mutex::default(), ready: Arc::default(), frames_max, bytes_max }
    }

    pub fn open(&self) {
        *self.queue.lock() = Queue { open: true, ..Queue::default() };
    }

    pub fn close(&self) {
        *self.queue.lock() = Queue::default();
    }

    /// Returns the numbers of waiting frames and bytes.
    pub fn depth(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.frames.len(), queue.bytes)
    }

    /// Tells if at most half of the queue's frames and bytes are in use; `None` if the queue is closed.
    pub fn has_room(&self) -> Option<bool> {
        let queue = self.queue.lock();
        let room = queue.frames.len() <= self.frames_max / 2 && queue.bytes <= self.bytes_max / 2;
        queue.open.then_some(room)
    }

    /// Returns what wakes the sender.
    pub fn sender(&self) -> Arc<Notify> {
        self.ready.clone()
    }

    /// Queues a frame. `release` gives the time at which it may leave, and is called only if the frame is accepted. The
    /// caller wakes the sender at that time, which is returned.
    pub fn push(
        &self,
        frame: Bytes,
        release: impl FnOnce(usize) -> Option<Instant>,
    ) -> Result<Option<Instant>, SendError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge { bytes: frame.len() });
        }
        let mut queue = self.queue.lock();
        if !queue.open {
            return Err(SendError::Down);
        }
        let first = queue.frames.is_empty();
        if !first && (queue.frames.len() >= self.frames_max || queue.bytes + frame.len() > self.bytes_max) {
            return Err(SendError::Full);
        }
        queue.bytes += frame.len();
        let release = release(frame.len());
        queue.frames.push_back(QueuedFrame { release, bytes: frame });
        drop(queue);
        if first && release.is_none() {
            self.ready.notify_one();
        }
        Ok(release)
    }

    /// Waits for frames that may leave, and moves those, up to about `bytes`, into `out`. `late` is told when each of
    /// the delayed ones was due, and when it leaves.
    pub async fn take(&self, bytes: usize, out: &mut Vec<Bytes>, late: impl Fn(Instant, Instant)) {
        while !self.try_take(Instant::now(), bytes, out, &late) {
            self.ready.notified().await;
        }
    }

    /// Does the same at the time `now`, and returns whether there were any.
    pub fn try_take(&self, now: Instant, bytes: usize, out: &mut Vec<Bytes>, late: impl Fn(Instant, Instant)) -> bool {
        let mut queue = self.queue.lock();
        let mut taken = 0;
        while let Some(head) = queue.frames.front() {
            let may_leave = head.release.is_none_or(|release| release <= now);
            if !may_leave || (!out.is_empty() && taken + head.bytes.len() > bytes) {
                break;
            }
            if let Some(frame) = queue.frames.pop_front() {
                taken += frame.bytes.len();
                queue.bytes -= frame.bytes.len();
                if let Some(due) = frame.release {
                    late(due, now);
                }
                out.push(frame.bytes);
            }
        }
        !out.is_empty()
    }
}
