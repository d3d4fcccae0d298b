//! Panics in a stage: a panic ends the waits of everything that depends on that stage
//! (docs/adr/0040-overflow-checks.md).
//!
//! *Invariants:* a panic in the answer to a question from outside ends only that question.

use crate::queue::Queue;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Runs a piece of work for a client or peer. Returns `None` if it panics, which ends only this piece.
pub fn contained<T>(work: &'static str, run: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(run)).ok();
    if done.is_none() {
        tracing::error!(event = "panic_contained", work);
    }
    done
}

/// Closes a queue at the end of its scope, even after a panic, so that the queue's consumer ends too.
pub struct Closes<T>(pub Arc<Queue<T>>);

impl<T> Drop for Closes<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}
