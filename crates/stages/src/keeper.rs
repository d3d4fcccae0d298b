//! The thread that makes commits durable now and then, so that the journal can forget, prunes what is older than the node
//! keeps, and sweeps waits that can't end well.

use crate::executor::{Progress, store_code};
use crate::inbox::Inbox;
use crate::mark::Mark;
use crate::queue::Queue;
use crate::waiters::Waiters;
use rustorium_shard::shard::Event;
use rustorium_storage::{Store, StoreError};
use rustorium_types::Height;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often commits are made durable.
const STORE_SYNC: Duration = Duration::from_millis(500);

/// Makes commits durable and lets go of what is older than the node keeps.
pub struct Keeping {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Heights reached.
    pub progress: Arc<Progress>,
    /// Who waits.
    pub waiters: Arc<Waiters>,
    /// To the shard.
    pub events: Arc<Queue<Event>>,
    /// Whether the node stops.
    pub stopping: Arc<AtomicBool>,
    /// How many of the newest heights are kept; none: all of them.
    pub keep_heights: Option<u64>,
}

impl Keeping {
    /// Whether something was committed that isn't durable.
    pub fn is_due(&self) -> bool {
        self.progress.executed.load(Ordering::Acquire) > self.progress.durable.load(Ordering::Acquire)
    }

    /// Makes what was committed durable, and prunes. Errors: the store's.
    pub fn keep(&self) -> Result<(), StoreError> {
        let height = self.store.sync()?;
        self.progress.durable.store(height.0, Ordering::Release);
        self.events.push(Event::StoreDurable(height));
        let Some(tip) = self.store.tip() else { return Ok(()) };
        self.waiters.expire(tip.header.time_ms);
        // What a final header doesn't claim yet may still be asked for by who checks it.
        let claimed = tip.header.result.height;
        let oldest = self.keep_heights.map_or(0, |keep| (tip.height.0 + 1).saturating_sub(keep));
        while self.store.prune(claimed.min(Height(oldest)))?.more && !self.stopping.load(Ordering::Acquire) {}
        Ok(())
    }
}

/// The keeping thread's parts.
pub struct Keeper {
    /// What it does.
    pub keeping: Keeping,
    /// For failures.
    pub inbox: Arc<Inbox>,
    /// How long it has been at its work.
    pub mark: Arc<Mark>,
}

impl Keeper {
    /// Keeps what is due, until the node stops or the store fails.
    pub fn run(&self) {
        while !self.keeping.stopping.load(Ordering::Acquire) {
            self.mark.end();
            std::thread::park_timeout(STORE_SYNC);
            self.mark.begin();
            // Also while no block comes, when no transaction expires by the chain's time.
            self.keeping.waiters.sweep(Instant::now());
            if self.keeping.is_due()
                && let Err(error) = self.keeping.keep()
            {
                return self.inbox.fail(store_code(&error), &error.to_string());
            }
        }
    }
}
