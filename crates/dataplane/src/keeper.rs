//! The thread that makes commits durable now and then, so that the journal can forget, and sweeps waits that can't end well.

use crate::executor::{Progress, store_code};
use crate::inbox::Inbox;
use crate::metrics::NodeMetrics;
use crate::queue::Queue;
use crate::shard::Event;
use crate::waiters::Waiters;
use rustorium_storage::{Journal, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often commits are made durable.
const STORE_SYNC: Duration = Duration::from_millis(500);

/// Makes commits durable now and then, so that the journal can forget, and sweeps waits that can't end well.
pub(crate) struct Keeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) events: Arc<Queue<Event>>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) stopping: Arc<AtomicBool>,
}

impl Keeper {
    pub(crate) fn run(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            std::thread::park_timeout(STORE_SYNC);
            let stats = self.journal.stats();
            self.metrics.journal_syncs.set(stats.syncs as i64);
            self.metrics.journal_bytes.set(stats.bytes as i64);
            self.metrics.store(&self.store.stats());
            if self.progress.executed.load(Ordering::Acquire) > self.progress.durable.load(Ordering::Acquire) {
                match self.store.sync() {
                    Ok(height) => {
                        self.progress.durable.store(height.0, Ordering::Release);
                        self.events.push(Event::StoreDurable(height));
                    }
                    Err(error) => return self.inbox.fail(store_code(&error), &error.to_string()),
                }
                if let Some(tip) = self.store.tip() {
                    self.waiters.expire(tip.header.time_ms);
                }
            }
        }
    }
}
