//! The thread that regularly makes commits durable so that the journal can forget, prunes heights older than the node
//! keeps, and ends waits whose time is over.

use crate::executor::{Progress, store_code};
use crate::inbox::Inbox;
use crate::mark::Mark;
use crate::queue::Queue;
use crate::waiters::Waiters;
use rustorium_shard::Event;
use rustorium_storage::{Store, StoreError};
use rustorium_types::Height;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Interval between syncs of the store.
const STORE_SYNC: Duration = Duration::from_millis(500);

/// Makes commits durable and prunes heights that are older than the node keeps.
pub struct DurabilityWork {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Reached heights.
    pub progress: Arc<Progress>,
    /// Clients' waits.
    pub waiters: Arc<Waiters>,
    /// Events for the shard.
    pub events: Arc<Queue<Event>>,
    /// True once the node stops.
    pub stopping: Arc<AtomicBool>,
    /// Number of newest heights that are kept. `None` keeps all of them.
    pub keep_heights: Option<u64>,
}

impl DurabilityWork {
    /// Returns true if a commit isn't durable yet.
    pub fn is_due(&self) -> bool {
        self.progress.executed.load(Ordering::Acquire) > self.progress.durable.load(Ordering::Acquire)
    }

    /// Makes commits durable, and prunes. Errors: the store's.
    pub fn keep(&self) -> Result<(), StoreError> {
        let height = self.store.sync()?;
        self.progress.durable.store(height.0, Ordering::Release);
        self.events.push(Event::StoreDurable(height));
        let Some(tip) = self.store.tip() else { return Ok(()) };
        self.waiters.expire(tip.header.time_ms);
        // A height that no final header claims yet may still be requested by a node that checks it.
        let claimed = tip.header.result.height;
        let oldest = self.keep_heights.map_or(0, |keep| (tip.height.0 + 1).saturating_sub(keep));
        while self.store.prune(claimed.min(Height(oldest)))?.more && !self.stopping.load(Ordering::Acquire) {}
        Ok(())
    }
}

/// Parts of the durability thread.
pub struct DurabilityThread {
    /// Work of the thread.
    pub keeping: DurabilityWork,
    /// Inbox for failures.
    pub inbox: Arc<Inbox>,
    /// Mark of how long the thread has been at its work.
    pub mark: Arc<Mark>,
}

impl DurabilityThread {
    /// Does due work until the node stops or the store fails.
    pub fn run(&self) {
        while !self.keeping.stopping.load(Ordering::Acquire) {
            self.mark.end();
            std::thread::park_timeout(STORE_SYNC);
            self.mark.begin();
            // This also runs while no block comes and so no transaction expires by the chain's time.
            self.keeping.waiters.sweep(Instant::now());
            if self.keeping.is_due()
                && let Err(error) = self.keeping.keep()
            {
                return self.inbox.fail(store_code(&error), &error.to_string());
            }
        }
    }
}
