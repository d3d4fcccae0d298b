//! The queue of the serving thread: it holds peers' requests, and notes of stored blocks.

use super::request_queue::Question;
use rustorium_stages::queue::Queue;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The requests that wait for the serving thread.
#[derive(Default)]
pub struct Questions {
    /// `None`: a block was stored.
    waiting: Queue<Option<Question>>,
    /// True if a peer follows. Otherwise nobody wakes the thread for a block.
    followed: AtomicBool,
}

impl Questions {
    /// Adds a request. After `close` it is dropped.
    pub fn push(&self, question: Question) {
        self.waiting.push(Some(question));
    }

    /// Notes that a block was stored.
    pub(crate) fn block_stored(&self) {
        if self.followed.load(Ordering::Relaxed) {
            self.waiting.push(None);
        }
    }

    /// Notes whether a peer follows.
    pub(crate) fn set_followed(&self, followed: bool) {
        self.followed.store(followed, Ordering::Relaxed);
    }

    /// Waits until something is there, this is closed or `timeout` is over; moves all to `out`, which must be empty.
    /// Returns false if no more will come.
    pub(crate) fn take(&self, timeout: Duration, out: &mut VecDeque<Option<Question>>) -> bool {
        self.waiting.take(Some(timeout), out)
    }

    /// Refuses further requests.
    pub fn close(&self) {
        self.waiting.close();
    }

    /// Returns how long there has been work without the thread coming for more. `None` while it waits.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        self.waiting.busy_for()
    }

    /// Returns the number of waiting requests.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
