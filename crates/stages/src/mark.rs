//! A mark that tells the watch how long a thread has been at its work.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Start of the piece of work that a thread is doing. `None` while the thread waits. A thread that panicked stays at
/// its last piece.
#[derive(Default)]
pub struct Mark(Mutex<Option<Instant>>);

impl Mark {
    /// Notes that the thread begins a piece of work.
    pub fn begin(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Notes that the thread waits for the next piece.
    pub fn end(&self) {
        *self.0.lock() = None;
    }

    /// Returns how long the thread has been at its piece of work. `None` if it waits.
    pub fn busy_for(&self) -> Option<Duration> {
        self.0.lock().map(|since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_for_how_long_a_thread_is_at_it() {
        let mark = Mark::default();
        assert_eq!(mark.busy_for(), None);
        mark.begin();
        assert!(mark.busy_for().is_some());
        mark.end();
        assert_eq!(mark.busy_for(), None);
    }
}
