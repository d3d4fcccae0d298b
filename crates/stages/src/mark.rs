//! For how long a thread has been at its work, for whoever watches it.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Since when a thread has been at a piece of work; none while it waits for one. One that panics stays at its last piece.
#[derive(Default)]
pub struct Mark(Mutex<Option<Instant>>);

impl Mark {
    /// It takes up a piece of work.
    pub fn begin(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// It waits for the next.
    pub fn end(&self) {
        *self.0.lock() = None;
    }

    /// How long it has been at it.
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
