//! The node's one metrics registry and the figures that the data plane itself keeps.

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use rustorium_storage::{HeightCommit, StoreStats};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The kind of a Python step's input.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct StepLabel {
    kind: String,
}

/// A finding's code.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct FindingLabel {
    code: String,
}

/// A peer's name.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct PeerLabel {
    peer: String,
}

/// Counters, gauges and histograms; all cheap to touch.
pub struct NodeMetrics {
    registry: Mutex<Registry>,
    /// Newest executed height.
    pub height: Gauge,
    /// Current view.
    pub view: Gauge,
    /// Peers whose link is up.
    pub peers: Gauge,
    /// Transactions in the pool.
    pub pool: Gauge,
    transactions: Counter,
    skipped: Counter,
    blocks: Counter,
    empty_blocks: Counter,
    execution: Histogram,
    commit: Histogram,
    steps: Family<StepLabel, Counter>,
    step_cpu: Histogram,
    step_wall: Histogram,
    /// Transactions that clients were refused with `busy`.
    pub busy: Counter,
    /// Times that the journal was synced.
    pub journal_syncs: Gauge,
    /// Bytes appended to the journal.
    pub journal_bytes: Gauge,
    cache_hits: Counter,
    cache_misses: Counter,
    cache_bytes: Gauge,
    /// Views entered because of a nullification.
    pub nullified: Counter,
    /// Times that a peer fell silent.
    pub silences: Counter,
    findings: Family<FindingLabel, Gauge>,
    suspicion: Family<PeerLabel, Gauge<f64, AtomicU64>>,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_02, 2.0, 18))
}

impl Default for NodeMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl NodeMetrics {
    /// A new registry with the node's figures in it.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::default()),
            height: Gauge::default(),
            view: Gauge::default(),
            peers: Gauge::default(),
            pool: Gauge::default(),
            transactions: Counter::default(),
            skipped: Counter::default(),
            blocks: Counter::default(),
            empty_blocks: Counter::default(),
            execution: seconds(),
            commit: seconds(),
            steps: Family::default(),
            step_cpu: seconds(),
            step_wall: seconds(),
            busy: Counter::default(),
            journal_syncs: Gauge::default(),
            journal_bytes: Gauge::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            cache_bytes: Gauge::default(),
            nullified: Counter::default(),
            silences: Counter::default(),
            findings: Family::default(),
            suspicion: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock();
        registry.register("rustorium_consensus_height", "Newest executed height", self.height.clone());
        registry.register("rustorium_consensus_view", "Current view", self.view.clone());
        registry.register(
            "rustorium_consensus_nullified_views",
            "Views left by a nullification",
            self.nullified.clone(),
        );
        registry.register(
            "rustorium_consensus_silences",
            "Times that a peer made no consensus frame for three heartbeats",
            self.silences.clone(),
        );
        registry.register("rustorium_node_finding", "What is found wrong, by code", self.findings.clone());
        registry.register(
            "rustorium_node_peer_suspicion",
            "Phi of each peer: the negative logarithm of how likely its silence is while it lives",
            self.suspicion.clone(),
        );
        registry.register("rustorium_transport_peers", "Peers whose link is up", self.peers.clone());
        registry.register("rustorium_txpool_transactions", "Transactions in the pool", self.pool.clone());
        registry.register("rustorium_gateway_busy", "Transactions refused because the pool is full", self.busy.clone());
        registry.register("rustorium_execution_transactions", "Transactions with a receipt", self.transactions.clone());
        registry.register(
            "rustorium_execution_skipped_transactions",
            "Transactions without a receipt",
            self.skipped.clone(),
        );
        registry.register("rustorium_execution_blocks", "Executed blocks", self.blocks.clone());
        registry.register(
            "rustorium_execution_empty_blocks",
            "Executed blocks without payload",
            self.empty_blocks.clone(),
        );
        registry.register("rustorium_execution_block_seconds", "Time to execute a block", self.execution.clone());
        registry.register("rustorium_storage_commit_seconds", "Time to commit a block", self.commit.clone());
        registry.register("rustorium_storage_journal_syncs", "Syncs of the journal", self.journal_syncs.clone());
        registry.register(
            "rustorium_storage_journal_bytes",
            "Bytes appended to the journal",
            self.journal_bytes.clone(),
        );
        let cache = [("hits", "answered", &self.cache_hits), ("misses", "did not answer", &self.cache_misses)];
        for (what, did, counter) in cache {
            let name = format!("rustorium_storage_cache_{what}");
            registry.register(name, format!("State reads that the cache {did}"), counter.clone());
        }
        registry.register("rustorium_storage_cache_bytes", "Bytes in the state cache", self.cache_bytes.clone());
        registry.register("rustorium_python_steps", "Calls of replica.on_input by input", self.steps.clone());
        registry.register("rustorium_python_step_cpu_seconds", "CPU time of a step", self.step_cpu.clone());
        registry.register("rustorium_python_step_wall_seconds", "Wall time of a step", self.step_wall.clone());
    }

    /// Lets another room register its own figures.
    pub fn with_registry<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock())
    }

    pub(crate) fn store(&self, stats: &StoreStats) {
        for (counter, now) in [(&self.cache_hits, stats.cache_hits), (&self.cache_misses, stats.cache_misses)] {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        self.cache_bytes.set(i64::try_from(stats.cache_bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn executed(&self, commit: &HeightCommit, skipped: usize, executed_in: Duration, total: Duration) {
        self.height.set(i64::try_from(commit.block.header.height.0).unwrap_or(i64::MAX));
        self.blocks.inc();
        if commit.block.header.transactions == 0 {
            self.empty_blocks.inc();
        }
        self.transactions.inc_by(commit.receipts.len() as u64);
        self.skipped.inc_by(skipped as u64);
        self.execution.observe(executed_in.as_secs_f64());
        self.commit.observe((total - executed_in).as_secs_f64());
    }

    /// What the watch found: the codes of what is wrong, and each peer's phi.
    pub fn health<'a>(&self, codes: impl Iterator<Item = &'a str>, suspicion: &BTreeMap<String, f64>) {
        self.findings.clear();
        codes.for_each(|code| _ = self.findings.get_or_create(&FindingLabel { code: code.to_owned() }).set(1));
        self.suspicion.clear();
        for (peer, phi) in suspicion {
            self.suspicion.get_or_create(&PeerLabel { peer: peer.clone() }).set(*phi);
        }
    }

    /// One call of `replica.on_input`.
    pub fn step(&self, kind: &str, cpu: Duration, wall: Duration) {
        self.steps.get_or_create(&StepLabel { kind: kind.to_owned() }).inc();
        self.step_cpu.observe(cpu.as_secs_f64());
        self.step_wall.observe(wall.as_secs_f64());
    }

    /// The OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry.lock());
        text
    }
}
