//! The node's metrics registries and the figures of the data plane.
//!
//! *Invariants:* a series is either of the process or of one shard, which its label `shard` names; the areas `consensus`,
//! `txpool`, `execution`, `state`, `python` and `proofs` are of a shard, and so is `storage` except for the file system; of
//! the area `node`, `synced`, `queue_length` and `peer_suspicion` are, and of `gateway` what happens to clients' transactions.
//! The area `governance` is of the root shard, and so of the process.

use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use rustorium_shard::Stage;
use rustorium_shard::port::Input;
use rustorium_storage::HeightCommit;
use rustorium_types::{ShardId, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet};
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

/// A peer's name, or its place in the committee.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub struct PeerLabel {
    peer: String,
}

/// The stages of a view, by `Stage`.
const STAGES: [(&str, &str); 6] = [
    ("rustorium_txpool_gather_seconds", "Time the oldest transaction of an own batch waited until the batch was cut"),
    (
        "rustorium_consensus_propose_seconds",
        "Time from the start of a view, or from the first pending work, to its proposal",
    ),
    ("rustorium_consensus_payload_seconds", "Time from a proposal until every batch it lists is present and verified"),
    ("rustorium_consensus_notarize_seconds", "Time from a proposal to its notarization"),
    ("rustorium_consensus_finalize_seconds", "Time from a notarization to its finalization"),
    ("rustorium_consensus_view_seconds", "Duration of a view, until the node enters a later one"),
];

/// The figures of governance, each with its help.
const GOVERNANCE: [(&str, &str); 4] = [
    ("rustorium_governance_seats", "Operators' seats; 0 under version 1"),
    ("rustorium_governance_quorum", "Number of seats that must approve a change; 0 under version 1"),
    ("rustorium_governance_open_proposals", "Proposals that wait for approvals of seats"),
    ("rustorium_governance_pauses", "Pauses of accounts that last"),
];

/// Counters, gauges and histograms. All are cheap to update.
pub struct NodeMetrics {
    registry: Mutex<Registry>,
    /// Adds the label `shard` to each series.
    of_shard: Mutex<Registry>,
    /// Newest executed height.
    pub height: Gauge,
    /// Current view.
    pub view: Gauge,
    /// Peers whose link is up.
    pub peers: Gauge,
    /// Transactions in the pool.
    pub pool: Gauge,
    /// Transactions in the pool that lack neither a nonce before them nor quota.
    pub pool_able: Gauge,
    /// 1 if the node is ready.
    pub ready: Gauge,
    transactions: Counter,
    skipped: Counter,
    lane_skipped: Family<PeerLabel, Counter>,
    blocks: Counter,
    empty_blocks: Counter,
    execution: Histogram,
    commit: Histogram,
    stages: [Histogram; STAGES.len()],
    leader_seconds: Family<PeerLabel, Counter<f64, AtomicU64>>,
    leader_proposals: Family<PeerLabel, Counter>,
    passed_over: Family<PeerLabel, Gauge>,
    round_trips: Family<PeerLabel, Gauge<f64, AtomicU64>>,
    /// Number of doublings of all views' timers.
    pub backoff: Gauge,
    block_views: Histogram,
    block_interval: Histogram,
    block_transactions: Histogram,
    notify: Histogram,
    steps: Family<StepLabel, Counter>,
    /// Counters of `steps`, by `Input::kind`.
    inputs: [Counter; Input::KINDS.len()],
    ticks: Counter,
    step_cpu: Histogram,
    step_wall: Histogram,
    /// Transactions that clients were refused with `busy`.
    pub busy: Counter,
    /// Views entered because of a nullification.
    pub nullified: Counter,
    /// Number of times that a peer fell silent.
    pub silences: Counter,
    findings: Family<FindingLabel, Gauge>,
    findings_total: Gauge,
    governance: [Gauge; GOVERNANCE.len()],
    suspicion: Family<PeerLabel, Gauge<f64, AtomicU64>>,
    seen_codes: Mutex<BTreeSet<String>>,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_02, 2.0, 18))
}

/// Returns a histogram for durations of up to a minute.
fn long_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 18))
}

impl NodeMetrics {
    /// Creates registries with the figures of the node and of a shard in them.
    pub fn new(shard: ShardId) -> Self {
        let steps = Family::<StepLabel, Counter>::default();
        let metrics = Self {
            registry: Mutex::new(Registry::default()),
            of_shard: Mutex::new(Registry::with_labels(std::iter::once(("shard".into(), shard.to_string().into())))),
            height: Gauge::default(),
            view: Gauge::default(),
            peers: Gauge::default(),
            pool: Gauge::default(),
            pool_able: Gauge::default(),
            ready: Gauge::default(),
            transactions: Counter::default(),
            skipped: Counter::default(),
            lane_skipped: Family::default(),
            blocks: Counter::default(),
            empty_blocks: Counter::default(),
            execution: seconds(),
            commit: seconds(),
            stages: std::array::from_fn(|_| long_seconds()),
            leader_seconds: Family::default(),
            leader_proposals: Family::default(),
            passed_over: Family::default(),
            round_trips: Family::default(),
            backoff: Gauge::default(),
            block_views: Histogram::new(exponential_buckets(1.0, 2.0, 8)),
            block_interval: Histogram::new(exponential_buckets(0.001, 2.0, 18)),
            block_transactions: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            notify: seconds(),
            steps: steps.clone(),
            inputs: Input::KINDS.map(|kind| steps.get_or_create(&StepLabel { kind: kind.to_owned() }).clone()),
            ticks: steps.get_or_create(&StepLabel { kind: "Tick".to_owned() }).clone(),
            step_cpu: seconds(),
            step_wall: seconds(),
            busy: Counter::default(),
            nullified: Counter::default(),
            silences: Counter::default(),
            findings: Family::default(),
            findings_total: Gauge::default(),
            governance: std::array::from_fn(|_| Gauge::default()),
            suspicion: Family::default(),
            seen_codes: Mutex::default(),
        };
        metrics.register_consensus();
        metrics.register_rest();
        metrics
    }

    fn add(&self, name: &str, help: &str, metric: &(impl Metric + Clone)) {
        self.registry.lock().register(name, help, metric.clone());
    }

    fn add_of_shard(&self, name: &str, help: &str, metric: &(impl Metric + Clone)) {
        self.of_shard.lock().register(name, help, metric.clone());
    }

    fn register_consensus(&self) {
        self.add_of_shard("rustorium_consensus_height", "Height of the newest executed block", &self.height);
        self.add_of_shard("rustorium_consensus_view", "Current view", &self.view);
        self.add_of_shard(
            "rustorium_consensus_nullified_views",
            "Views that ended by a nullification",
            &self.nullified,
        );
        let help = "Times that a peer sent no consensus frame for three heartbeats";
        self.add_of_shard("rustorium_consensus_silences", help, &self.silences);
        for ((name, help), stage) in STAGES.iter().zip(&self.stages) {
            self.add_of_shard(name, help, stage);
        }
        let help = "Total of propose_seconds for each leader";
        self.add_of_shard("rustorium_consensus_leader_propose_seconds", help, &self.leader_seconds);
        let help = "Proposals received during their own view while work was pending, for each leader";
        self.add_of_shard("rustorium_consensus_leader_proposals", help, &self.leader_proposals);
        let help = "1 for each leader whose views this node skips at once because the leader lost its last turns";
        self.add_of_shard("rustorium_consensus_leader_passed_over", help, &self.passed_over);
        let help =
            "Least of the last round trips to each member over the stream of votes, by which this node sets its pace";
        self.add_of_shard("rustorium_consensus_round_trip_seconds", help, &self.round_trips);
        let help = "Number of doublings of all view timeouts; above 1, views fail to finish in time";
        self.add_of_shard("rustorium_consensus_backoff", help, &self.backoff);
        let help = "Views from a final block's parent to the block; 1 if no view between them failed";
        self.add_of_shard("rustorium_consensus_block_views", help, &self.block_views);
        let help = "Time from a final block's parent to the block, from their headers";
        self.add_of_shard("rustorium_consensus_block_interval_seconds", help, &self.block_interval);
    }

    fn register_rest(&self) {
        self.add(
            "rustorium_node_ready",
            "1 if the node is synced, is connected to a quorum and has no serious finding",
            &self.ready,
        );
        self.add("rustorium_node_findings", "Number of open findings", &self.findings_total);
        self.add("rustorium_node_finding", "1 for each open finding, by code", &self.findings);
        let help =
            "Phi of each peer's failure detector: -log10 of the probability that a live peer is silent this long";
        self.add_of_shard("rustorium_node_peer_suspicion", help, &self.suspicion);
        for ((name, help), gauge) in GOVERNANCE.iter().zip(&self.governance) {
            self.add(name, help, gauge);
        }
        self.add("rustorium_transport_peers", "Number of peers with a link that is up", &self.peers);
        self.add_of_shard("rustorium_txpool_transactions", "Transactions in the pool", &self.pool);
        let help = "Transactions in the pool that lack neither a nonce before them nor quota";
        self.add_of_shard("rustorium_txpool_able", help, &self.pool_able);
        self.add_of_shard("rustorium_gateway_busy", "Transactions refused because the pool was full", &self.busy);
        self.add_of_shard(
            "rustorium_gateway_notify_seconds",
            "Time to notify all clients that wait for the outcome of a block",
            &self.notify,
        );
        self.add_of_shard(
            "rustorium_execution_transactions",
            "Executed transactions, each with a receipt",
            &self.transactions,
        );
        self.add_of_shard(
            "rustorium_execution_skipped_transactions",
            "Transactions in blocks that were skipped without a receipt",
            &self.skipped,
        );
        let help = "Bytes of each validator's lane that were skipped without a receipt, and that no account paid for";
        self.add_of_shard("rustorium_execution_lane_skipped_bytes", help, &self.lane_skipped);
        self.add_of_shard("rustorium_execution_blocks", "Executed blocks", &self.blocks);
        self.add_of_shard(
            "rustorium_execution_empty_blocks",
            "Executed blocks without transactions",
            &self.empty_blocks,
        );
        let help = "Number of transactions in an executed block";
        self.add_of_shard("rustorium_execution_block_transactions", help, &self.block_transactions);
        self.add_of_shard("rustorium_execution_block_seconds", "Time to execute a block", &self.execution);
        self.add_of_shard("rustorium_storage_commit_seconds", "Time to commit a block", &self.commit);
        self.add_of_shard("rustorium_python_steps", "Calls of replica.on_input, by kind of input", &self.steps);
        self.add_of_shard(
            "rustorium_python_step_cpu_seconds",
            "CPU time of a consensus step; sampled in one turn of 16",
            &self.step_cpu,
        );
        self.add_of_shard(
            "rustorium_python_step_wall_seconds",
            "Wall time of a consensus step; sampled in one turn of 16",
            &self.step_wall,
        );
    }

    /// Lets another crate register its own figures of the process.
    pub fn with_registry<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock())
    }

    /// Lets another crate register its own figures of the shard.
    pub fn with_shard<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.of_shard.lock())
    }

    /// Observes the duration of a view's stage.
    pub fn stage(&self, stage: Stage, us: u64) {
        self.stages[stage as usize].observe(Duration::from_micros(us).as_secs_f64());
    }

    /// Observes one validator's proposal. Two series per validator: a histogram of every member would be too many.
    pub fn proposed(&self, proposer: ValidatorIndex, us: u64) {
        let label = PeerLabel { peer: proposer.0.to_string() };
        self.leader_seconds.get_or_create(&label).inc_by(Duration::from_micros(us).as_secs_f64());
        self.leader_proposals.get_or_create(&label).inc();
    }

    /// Shows the leaders that are passed over now. A leader that was passed over before shows 0.
    pub fn pass_over(&self, before: &[ValidatorIndex], now: &[ValidatorIndex]) {
        let show = |leaders: &[ValidatorIndex], shown| {
            for leader in leaders {
                self.passed_over.get_or_create(&PeerLabel { peer: leader.0.to_string() }).set(shown);
            }
        };
        show(before, 0);
        show(now, 1);
    }

    /// Shows the round trips to the members, by place, microseconds; 0 for those that aren't known.
    pub fn round_trips(&self, us: &[u64]) {
        self.round_trips.clear();
        for (place, us) in us.iter().enumerate().filter(|(_, us)| **us > 0) {
            let label = PeerLabel { peer: place.to_string() };
            self.round_trips.get_or_create(&label).set(Duration::from_micros(*us).as_secs_f64());
        }
    }

    /// Counts an executed block. `above_ms` is its parent's time; `times` are those of execution and commit.
    pub fn executed(&self, commit: &HeightCommit, above_ms: u64, skipped: usize, times: [Duration; 2]) {
        let header = &commit.block.header;
        self.height.set(i64::try_from(header.height.0).unwrap_or(i64::MAX));
        self.blocks.inc();
        if header.transactions == 0 {
            self.empty_blocks.inc();
        }
        self.block_views.observe(header.view.0.saturating_sub(header.parent_view.0) as f64);
        if above_ms > 0 {
            let interval = Duration::from_millis(header.time_ms.saturating_sub(above_ms));
            self.block_interval.observe(interval.as_secs_f64());
        }
        self.block_transactions.observe(commit.receipts.len() as f64);
        self.transactions.inc_by(commit.receipts.len() as u64);
        self.skipped.inc_by(skipped as u64);
        self.execution.observe(times[0].as_secs_f64());
        self.commit.observe(times[1].as_secs_f64());
    }

    /// Counts the bytes of lanes that execution skipped in a block.
    pub fn lanes_skipped(&self, bytes: &BTreeMap<ValidatorIndex, u64>) {
        for (author, bytes) in bytes {
            self.lane_skipped.get_or_create(&PeerLabel { peer: author.0.to_string() }).inc_by(*bytes);
        }
    }

    /// Observes how long it took to answer all clients that waited for a block.
    pub fn notified(&self, took: Duration) {
        self.notify.observe(took.as_secs_f64());
    }

    /// Shows the watch's findings: the codes of problems, and each peer's phi. A code that was shown once stays, with
    /// the value 0.
    pub fn health<'a>(&self, codes: impl Iterator<Item = &'a str>, suspicion: &BTreeMap<String, f64>) {
        let codes: BTreeSet<String> = codes.map(str::to_owned).collect();
        self.findings_total.set(codes.len() as i64);
        let mut seen = self.seen_codes.lock();
        seen.extend(codes.iter().cloned());
        for code in seen.iter() {
            let shown = i64::from(codes.contains(code));
            self.findings.get_or_create(&FindingLabel { code: code.clone() }).set(shown);
        }
        self.suspicion.clear();
        for (peer, phi) in suspicion {
            self.suspicion.get_or_create(&PeerLabel { peer: peer.clone() }).set(*phi);
        }
    }

    /// Shows governance: the numbers of seats, of seats that must approve, of open proposals and of pauses.
    pub fn governed(&self, counts: [usize; GOVERNANCE.len()]) {
        for (gauge, count) in self.governance.iter().zip(counts) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts calls of `replica.on_input`: one for each of these inputs, and one for a tick.
    pub fn stepped(&self, inputs: &[Input], ticked: bool) {
        for input in inputs {
            self.inputs[input.kind()].inc();
        }
        if ticked {
            self.ticks.inc();
        }
    }

    /// Observes the duration of one call. Not all calls are timed.
    pub fn step(&self, cpu: Duration, wall: Duration) {
        self.step_cpu.observe(cpu.as_secs_f64());
        self.step_wall.observe(wall.as_secs_f64());
    }

    /// Returns the OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut written = self.encode_process() + &self.encode_shard();
        // Writing to a String does not fail.
        let _ = text::encode_eof(&mut written);
        written
    }

    /// Returns the figures of the process as OpenMetrics text without its end.
    pub fn encode_process(&self) -> String {
        encoded(&self.registry.lock())
    }

    /// Returns the figures of the shard as OpenMetrics text without its end.
    pub fn encode_shard(&self) -> String {
        encoded(&self.of_shard.lock())
    }
}

fn encoded(registry: &Registry) -> String {
    let mut written = String::new();
    // Writing to a String does not fail.
    let _ = text::encode_registry(&mut written, registry);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_of_a_shard_names_it_and_none_of_the_process_does() {
        let metrics = NodeMetrics::new(ShardId(3));
        metrics.stage(Stage::Notarize, 5);
        metrics.proposed(ValidatorIndex(1), 5);
        metrics.stepped(&[], true);
        metrics
            .with_registry(|registry| registry.register("rustorium_process_files", "Files", Counter::<u64>::default()));
        metrics.with_shard(|registry| registry.register("rustorium_state_roots", "Roots", Counter::<u64>::default()));
        let text = metrics.encode();
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
        let mut seen = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let area = line.split('_').nth(1).unwrap();
            // All figures of the gateway in this registry are about outcomes of clients' transactions.
            let of_shard =
                ["consensus", "txpool", "execution", "storage", "state", "python", "gateway"].contains(&area);
            assert_eq!(line.contains("shard=\"3\""), of_shard, "{line}");
            seen.insert(area);
        }
        let areas =
            ["consensus", "execution", "gateway", "governance", "node", "process", "python", "state", "storage"];
        assert_eq!(seen, areas.into_iter().chain(["transport", "txpool"]).collect());
        for series in [
            "rustorium_consensus_height{shard=\"3\"} 0",
            "rustorium_consensus_leader_proposals_total{shard=\"3\",peer=\"1\"} 1",
            "rustorium_consensus_notarize_seconds_bucket{shard=\"3\",le=\"0.00025\"} 1",
            "rustorium_python_steps_total{shard=\"3\",kind=\"Tick\"} 1",
            "rustorium_state_roots_total{shard=\"3\"} 0",
            "rustorium_process_files_total 0",
            "rustorium_node_ready 0",
        ] {
            assert!(text.lines().any(|line| line == series), "{series} is missing in {text}");
        }
    }
}
