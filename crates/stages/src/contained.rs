//! What becomes of a panic in a stage: whoever waits for it is let go (docs/adr/0040-overflow-checks.md).
//!
//! *Invariants:* a panic while a question from outside is answered ends that question alone.

use crate::queue::Queue;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Does a piece of work for somebody outside. A panic ends this piece alone, without an answer. Returns `None` then.
pub fn contained<T>(work: &'static str, run: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(run)).ok();
    if done.is_none() {
        tracing::error!(event = "panic_contained", work);
    }
    done
}

/// Closes a queue at the end of its scope, a panic included, so that its consumer ends, too.
pub struct Closes<T>(pub Arc<Queue<T>>);

impl<T> Drop for Closes<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}
