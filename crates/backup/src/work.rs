//! Long work: its progress, stopping it, and doing pieces of it at the same time.

use crate::error::BackupError;
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Number of objects in progress at once: enough to fill a line, few enough for any memory.
const THREADS: usize = 4;

/// Progress of some work.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Progress {
    /// The present stage.
    pub stage: &'static str,
    /// The part of `total` that is done.
    pub done: u64,
    /// Bytes, heights or leaves; 0 if unknown.
    pub total: u64,
}

/// Work whose progress can be read and that can be stopped.
#[derive(Default)]
pub struct Work {
    stage: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
    stopped: AtomicBool,
}

impl Work {
    /// Returns the progress.
    pub fn progress(&self) -> Progress {
        let stage = *self.stage.lock();
        Progress { stage, done: self.done.load(Ordering::Relaxed), total: self.total.load(Ordering::Relaxed) }
    }

    /// Stops the work at its next step.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self, stage: &'static str, total: u64) {
        *self.stage.lock() = stage;
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Counts work that is done. Errors: the work was stopped.
    pub(crate) fn advance(&self, by: u64) -> Result<(), BackupError> {
        self.done.fetch_add(by, Ordering::Relaxed);
        if self.stopped.load(Ordering::Relaxed) { Err(BackupError::Stopped) } else { Ok(()) }
    }
}

/// Does `work` for each of the items, several at a time. The first error ends it.
pub(crate) fn in_parallel<T: Send>(
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<(), BackupError> + Sync,
) -> Result<(), BackupError> {
    let (items, failed) = (Mutex::new(items), Mutex::new(None));
    let next = || if failed.lock().is_some() { None } else { items.lock().next() };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(item) = next() {
                    if let Err(error) = work(item) {
                        failed.lock().get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_and_the_first_error_ends_it() {
        let sum = AtomicU64::new(0);
        let add = |n| {
            sum.fetch_add(n, Ordering::Relaxed);
            Ok(())
        };
        in_parallel(1..=1000, add).unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 500_500);
        let seen = AtomicU64::new(0);
        let refuse = |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            Err(BackupError::Stopped)
        };
        assert!(matches!(in_parallel(1..=1000, refuse), Err(BackupError::Stopped)));
        assert!(seen.load(Ordering::Relaxed) <= THREADS as u64);
    }

    #[test]
    fn work_that_is_stopped_ends_at_its_next_step() {
        let work = Work::default();
        work.begin("reading", 10);
        work.advance(3).unwrap();
        assert_eq!(work.progress(), Progress { stage: "reading", done: 3, total: 10 });
        work.stop();
        assert!(matches!(work.advance(1), Err(BackupError::Stopped)));
    }
}
