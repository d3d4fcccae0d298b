//! The frames of one class that wait for their stream.
//!
//! *Invariants:* bounded in frames and bytes, but one frame of any allowed size always fits; first in, first out;
//! closed while there is no link, and empty then.

use crate::config::SendError;
use bytes::Bytes;
use parking_lot::Mutex;
use rustorium_types::limits::FRAME_BYTES_MAX;
use std::collections::VecDeque;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    ready: Notify,
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

enum Next {
    Taken,
    Empty,
    At(Instant),
}

impl Outbox {
    pub fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self { queue: Mutex::default(), ready: Notify::new(), frames_max, bytes_max }
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

    /// Queues a frame. `release` gives the time at which it may leave, and is called only if the frame is accepted.
    pub fn push(&self, frame: Bytes, release: impl FnOnce(usize) -> Option<Instant>) -> Result<(), SendError> {
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
        if first {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for frames that may leave, and moves those, up to about `bytes`, into `out`.
    pub async fn take(&self, bytes: usize, out: &mut Vec<Bytes>) {
        loop {
            match self.try_take(bytes, out) {
                Next::Taken => return,
                Next::Empty => self.ready.notified().await,
                Next::At(release) => sleep_until(release).await,
            }
        }
    }

    fn try_take(&self, bytes: usize, out: &mut Vec<Bytes>) -> Next {
        let mut queue = self.queue.lock();
        let mut taken = 0;
        let mut now = None;
        while let Some(head) = queue.frames.front() {
            if let Some(release) = head.release
                && release > *now.get_or_insert_with(Instant::now)
            {
                return if out.is_empty() { Next::At(release) } else { Next::Taken };
            }
            if !out.is_empty() && taken + head.bytes.len() > bytes {
                return Next::Taken;
            }
            if let Some(frame) = queue.frames.pop_front() {
                taken += frame.bytes.len();
                queue.bytes -= frame.bytes.len();
                out.push(frame.bytes);
            }
        }
        if out.is_empty() { Next::Empty } else { Next::Taken }
    }
}
