//! Threads that a node needs, and what becomes of a panic on one of them (docs/adr/0040-overflow-checks.md).
//!
//! *Invariants:* a panic on a thread of consensus or of the store stops its shard's core, with a sentence.

use rustorium_stages::NodeError;
use rustorium_stages::inbox::Inbox;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The code of a shard that a panic on one of its threads stopped.
pub(crate) const CODE: &str = "thread-panicked";

/// The code of a process that a panic in a part of all its shards stopped.
pub(crate) const PROCESS_CODE: &str = "process-panicked";

/// Tells of work for an operator that a panic ended.
pub(crate) const PANICKED: &str = "an internal check failed: report the line `panicked` of the node's log";

/// The threads of a running node.
pub(crate) struct Threads {
    inbox: Arc<Inbox>,
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    /// No threads yet; a panic on one of them is told here.
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, running: Vec::new() }
    }

    /// Starts a thread without which the node can't go on. Errors: the system has none left.
    pub(crate) fn spawn(&mut self, name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<(), NodeError> {
        let (inbox, faulty) = (self.inbox.clone(), faults::here(name));
        let guarded = move || {
            let run = AssertUnwindSafe(move || {
                assert!(!faulty, "a fault that a test asked for");
                run();
            });
            if catch_unwind(run).is_err() {
                stop(&inbox, name);
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(guarded);
        let failed = |error| NodeError::new("system", format!("can't start the {name} thread: {error}"));
        self.running.push(thread.map_err(failed)?);
        Ok(())
    }

    /// Waits for all of them.
    pub(crate) fn join(self) {
        for thread in self.running {
            if thread.join().is_err() {
                tracing::error!(event = "thread_panicked");
            }
        }
    }
}

/// Stops a shard because a part of it panicked.
pub(crate) fn stop(inbox: &Inbox, part: &str) {
    inbox.fail(CODE, &sentence(part));
}

/// Stops a shard, and with it the process, because a part that all shards share panicked.
pub(crate) fn stop_process(inbox: &Inbox, part: &str) {
    inbox.fail(PROCESS_CODE, &sentence(part));
}

/// Says which part panicked.
pub(crate) fn sentence(part: &str) -> String {
    format!(
        "the part `{part}` of the node failed a check of its own state, and a node without it must not go on: start the \
         node again, and report the line `panicked` of its log"
    )
}

/// Faults that tests ask for. Other builds have none.
#[cfg(not(test))]
mod faults {
    pub(super) const fn here(_thread: &str) -> bool {
        false
    }
}

#[cfg(test)]
pub(crate) mod faults {
    use std::cell::Cell;

    thread_local! {
        /// The thread that panics, of nodes that this thread starts, and how many of its name are started before it.
        pub(crate) static FAULTY: Cell<Option<(&'static str, usize)>> = const { Cell::new(None) };
    }

    pub(super) fn here(thread: &str) -> bool {
        let Some((name, before)) = FAULTY.get().filter(|(name, _)| *name == thread) else { return false };
        FAULTY.set(before.checked_sub(1).map(|before| (name, before)));
        before == 0
    }
}

#[cfg(test)]
mod tests;
