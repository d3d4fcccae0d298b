//! The thread that roots the state, outside the consensus path: one period at a time, and ahead of the period's end on
//! an idle chain.

use crate::clock::wall_ms;
use crate::executor::{read_code, store_code};
use crate::inbox::Inbox;
use crate::metrics::NodeMetrics;
use crate::queue::Queue;
use crate::rooting::{Fold, RootJob, Rooting};
use crate::tree_rows::{TOP_KEY, Tree};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use rustorium_shard::Event;
use rustorium_shard::context::Context;
use rustorium_shard::periods::RootedPeriod;
use rustorium_state::slot::Slot;
use rustorium_state::tables::Tables;
use rustorium_state::tree::TreeError;
use rustorium_state::workers::Serial;
use rustorium_storage::{Store, StoreError, TreeRow};
use rustorium_types::{Header, Height};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Nice value of the thread, above that of other threads.
const NICE: i32 = 5;
/// Parts of the rooting thread.
pub struct Rooter {
    /// The store.
    pub store: Arc<dyn Store>,
    /// State machine that makes roots.
    pub rooting: Rooting<Tree<Arc<dyn Store>>, Serial>,
    /// Events for the shard.
    pub events: Arc<Queue<Event>>,
    /// Inbox for failures.
    pub inbox: Arc<Inbox>,
    /// Metrics of rooting.
    pub metrics: RootMetrics,
    /// Notified when the base has moved.
    pub moved: Arc<watch::Sender<()>>,
}

/// Metrics of rooting.
pub struct RootMetrics {
    height: Gauge,
    /// Seconds of each root, including the time to read rows.
    time: Histogram,
}

impl RootMetrics {
    /// Registers the metrics in the node's registry of the shard.
    pub fn new(node: &NodeMetrics) -> Self {
        let (height, time) = (Gauge::default(), Histogram::new(exponential_buckets(0.001, 2.0, 14)));
        node.with_shard(|registry| {
            registry.register(
                "rustorium_state_rooted_height",
                "Newest height for which this node has computed the state root",
                height.clone(),
            );
            registry.register("rustorium_state_root_seconds", "Time to compute a state root", time.clone());
        });
        Self { height, time }
    }

    fn rooted(&self, rooted: &RootedPeriod, took: Duration) {
        self.height.set(i64::try_from(rooted.period.end.0).unwrap_or(i64::MAX));
        self.time.observe(took.as_secs_f64());
    }
}

fn failed(store: &dyn Store, error: &TreeError) -> (&'static str, String) {
    read_code(store, "state-tree-failed", error)
}

fn store_failed(error: &StoreError) -> (&'static str, String) {
    (store_code(error), error.to_string())
}

impl Rooter {
    /// Goes on from the store's base with the heights executed above it. Errors: a code and a sentence.
    pub fn new(
        store: Arc<dyn Store>,
        tables: Arc<Tables>,
        context: &Context,
        events: Arc<Queue<Event>>,
        inbox: Arc<Inbox>,
        metrics: RootMetrics,
    ) -> Result<Self, (&'static str, String)> {
        let base = store.tree_base().map_err(|e| store_failed(&e))?;
        let mut parameters = Arc::new(context.parameters.clone());
        let rooting = Rooting::new(tables, Serial, parameters.clone(), Tree(store.clone()), base.unwrap_or_default());
        let mut rooter = Self { store, rooting, events, inbox, metrics, moved: Arc::default() };
        let tip = rooter.store.tip().map_or(Height(0), |tip| tip.height);
        let first = base.map_or(0, |base| base.0 + 1);
        let mut known = None;
        for height in (first..=tip.0).map(Height) {
            let (header, diff) = rooter.stored(height).map_err(|e| store_failed(&e))?;
            // Two epochs may lie above the base, each with parameters of its own.
            if known != Some(header.parameters) {
                let found = context.parameters_of(&*rooter.store, &header).map_err(|e| store_failed(&e))?;
                (known, parameters) = (Some(header.parameters), Arc::new(found));
            }
            rooter.take(RootJob { header, diff, parameters: parameters.clone() })?;
        }
        Ok(rooter)
    }

    fn stored(&self, height: Height) -> Result<(Header, rustorium_storage::TreeWrites), StoreError> {
        let missing =
            StoreError::Inconsistent { height, what: "its writes are not kept, and the state tree lacks them" };
        let block = self.store.bare_block(height)?.ok_or(missing.clone())?;
        Ok((block.header, self.store.tree_writes(height)?.ok_or(missing)?))
    }

    /// Roots the heights that come until the queue closes or something fails.
    pub fn run(mut self, jobs: &Queue<RootJob>) {
        // Nothing waits for a root, so on busy cores consensus comes first. On Linux each thread has its own nice
        // value.
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(event = "nice_failed", reason = %error);
        }
        if let Err((code, sentence)) = self.work(jobs) {
            tracing::error!(event = "rooting_failed", code, reason = %sentence);
            self.inbox.fail(code, &sentence);
        }
    }

    fn work(&mut self, jobs: &Queue<RootJob>) -> Result<(), (&'static str, String)> {
        let mut waiting = VecDeque::new();
        while jobs.take(self.ahead_in(wall_ms()), &mut waiting) {
            self.turn(&mut waiting)?;
        }
        Ok(())
    }

    /// Returns how long the thread waits for the next height before it roots the newest state ahead. `None` if it
    /// doesn't root ahead.
    ///
    /// If the clock is behind the chain (R48), the time is at most an idle period. Otherwise the wait would be as long
    /// as the clock is behind.
    pub fn ahead_in(&self, now_ms: u64) -> Option<Duration> {
        let wait = |at: u64| {
            Duration::from_millis(at.saturating_sub(now_ms)).min(self.rooting.idle()).max(self.rooting.quiet())
        };
        self.rooting.ahead_from_ms().map(wait)
    }

    /// Takes the waiting heights. If none waits, `ahead_in` has passed, so the newest state is rooted ahead. Errors: a
    /// code and a sentence.
    pub fn turn(&mut self, waiting: &mut VecDeque<RootJob>) -> Result<(), (&'static str, String)> {
        if waiting.is_empty() && self.rooting.ahead_from_ms().is_some() {
            let start = Instant::now();
            let rooted = self.rooting.root_ahead();
            self.tell(rooted.map_err(|e| failed(&*self.store, &e))?, start);
        }
        waiting.drain(..).try_for_each(|job| self.take(job))
    }

    fn take(&mut self, job: RootJob) -> Result<(), (&'static str, String)> {
        let (header, start) = (job.header.clone(), Instant::now());
        let rooted = self.rooting.take(job).map_err(|e| failed(&*self.store, &e))?;
        self.tell(rooted, start);
        if let Some(Fold { height, top, rows }) = self.rooting.fold(&header) {
            let mut changed: Vec<TreeRow> =
                rows.into_iter().map(|(id, slot)| (id.to_bytes(), slot.map(|slot| slot.to_row()))).collect();
            changed.push((TOP_KEY.to_vec(), Some(Slot::Child(top).to_row())));
            self.store.fold_tree(height, &changed).map_err(|e| store_failed(&e))?;
            self.rooting.folded(height);
            self.moved.send_replace(());
        }
        Ok(())
    }

    fn tell(&self, rooted: Option<RootedPeriod>, start: Instant) {
        if let Some(rooted) = rooted {
            self.metrics.rooted(&rooted, start.elapsed());
            self.events.push(Event::Rooted(rooted));
        }
    }
}
