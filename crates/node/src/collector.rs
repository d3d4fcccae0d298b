//! Figures that are read when they are scraped: of the process, the store, the journal, queues and the committee.
//!
//! *Invariants:* costs nothing between scrapes; waits for no disk and for no thread but a moment at its lock.

use crate::links::Links;
use crate::notices::Notices;
use crate::rotator::Rotator;
use crate::shard_thread::ShardGauges;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustorium_shard::{Event, ExecutionJob};
use rustorium_stages::executor::Progress;
use rustorium_stages::queue::Queue;
use rustorium_stages::verifier::Verifier;
use rustorium_stages::waiters::Waiters;
use rustorium_storage::{Journal, SYNC_BUCKETS_US, Store};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

/// Sources of a node's metrics.
pub(crate) struct Scraped {
    pub(crate) name: String,
    pub(crate) capacity: usize,
    /// The last who holds it closes it, which is none who only looks.
    pub(crate) journal: Weak<Journal>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) gauges: Arc<ShardGauges>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) links: Arc<Links>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) events: Arc<Queue<Event>>,
    pub(crate) jobs: Arc<Queue<ExecutionJob>>,
    pub(crate) rotator: Arc<Rotator>,
}

impl fmt::Debug for Scraped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraped").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The figures of the process and its disk.
#[derive(Debug)]
pub(crate) struct OfProcess {
    pub(crate) home: PathBuf,
    pub(crate) started: SystemTime,
}

/// The figures of the process that the shard knows which the gateway serves.
#[derive(Debug)]
pub(crate) struct OfRoot(pub(crate) Arc<Scraped>);

/// The figures of the shard.
#[derive(Debug)]
pub(crate) struct OfShard(pub(crate) Arc<Scraped>);

impl Collector for OfProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.file_system(&mut encoder)?;
        self.process(&mut encoder)
    }
}

impl Collector for OfRoot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.build(&mut encoder)
    }
}

impl Collector for OfShard {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        self.0.work(e)?;
        self.0.committee(e)?;
        self.0.pool(e)?;
        self.0.store(e)?;
        self.0.journal(e)?;
        let help = "Client transactions whose outcome is awaited";
        whole(e, "rustorium_gateway_waiting_transactions", help, clamped(self.0.waiters.len() as u64))
    }
}

impl OfProcess {
    fn file_system(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if let Ok(disk) = rustix::fs::statvfs(&self.home) {
            let bytes = |blocks: u64| clamped(blocks.saturating_mul(disk.f_frsize));
            let help = "Bytes free for this node on the file system of its home";
            whole(e, "rustorium_storage_free_bytes", help, bytes(disk.f_bavail))?;
            whole(
                e,
                "rustorium_storage_disk_bytes",
                "Size in bytes of the file system of the home",
                bytes(disk.f_blocks),
            )?;
        }
        Ok(())
    }

    fn process(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let seconds = ConstCounter::new(Duration::try_from(cpu).unwrap_or_default().as_secs_f64());
        let help = "CPU time used by the process";
        seconds.encode(e.encode_descriptor("rustorium_process_cpu_seconds", help, None, MetricType::Counter)?)?;
        let since = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let help = "Unix time at which the node started";
        ConstGauge::new(since).encode(e.encode_descriptor(
            "rustorium_process_start_time_seconds",
            help,
            None,
            MetricType::Gauge,
        )?)?;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        if let Some(kib) = field(&status, "VmRSS:") {
            let help = "Resident memory of the process in bytes";
            whole(e, "rustorium_process_resident_memory_bytes", help, clamped(kib.saturating_mul(1024)))?;
        }
        if let Some(threads) = field(&status, "Threads:") {
            whole(e, "rustorium_process_threads", "Threads of the process", clamped(threads))?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            let open = open.count() as u64;
            whole(e, "rustorium_process_open_fds", "Open file descriptors of the process", clamped(open))?;
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let help = "Maximum number of open file descriptors";
        whole(e, "rustorium_process_max_fds", help, limit.map_or(i64::MAX, clamped))
    }
}

impl Scraped {
    fn build(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let context = self.links.context();
        let role = if context.me().is_some() { "validator" } else { "follower" };
        let chain = context.chain().to_string();
        // What other nodes call it in the label `peer`.
        let place = context.me().map(|me| me.0.to_string()).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        let labels =
            [("name", self.name.as_str()), ("role", role), ("place", &place), ("version", version), ("chain", &chain)];
        let mut family = e.encode_descriptor(
            "rustorium_node_build",
            "Name, role, committee index, version and chain of this node, as labels",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(1i64).encode(family.encode_family(&labels)?)
    }

    fn work(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let synced = i64::from(self.gauges.synced.load(Relaxed));
        whole(e, "rustorium_node_synced", "1 if the node has executed about as many blocks as its peers", synced)?;
        let help = "Length of each thread's work queue";
        let mut family = e.encode_descriptor("rustorium_node_queue_length", help, None, MetricType::Gauge)?;
        let queues =
            [("shard", self.events.len()), ("execute", self.jobs.len()), ("verify", self.verifier.unverified())];
        for (stage, length) in queues {
            ConstGauge::new(clamped(length as u64)).encode(family.encode_family(&[("stage", stage)])?)?;
        }
        Ok(())
    }

    fn committee(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let context = self.links.context();
        whole(e, "rustorium_consensus_epoch", "Current epoch", clamped(context.epoch().0))?;
        whole(
            e,
            "rustorium_consensus_validators",
            "Number of validators in the committee",
            clamped(context.n() as u64),
        )?;
        if let Some(me) = context.me() {
            let help = "Place of this node in the committee: what others call it in the label `peer`";
            whole(e, "rustorium_consensus_place", help, i64::from(me.0))?;
        }
        let help = "Other validators with a link that is down, or not heard from for three heartbeats";
        whole(e, "rustorium_consensus_missing_validators", help, clamped(self.gauges.missing.load(Relaxed) as u64))?;
        let notes = self.notices.evidence_notes();
        let members = notes.iter().filter(|note| note.member);
        let liars: BTreeSet<_> = members.map(|note| (&note.validator_key, &note.name)).collect();
        let help = "Validators of the committee against which evidence is held";
        whole(e, "rustorium_consensus_byzantine_validators", help, clamped(liars.len() as u64))?;
        let help = "Validators that this node ignores because they sent invalid signatures";
        whole(e, "rustorium_consensus_cut_off_validators", help, clamped(self.gauges.cut_off.lock().len() as u64))?;
        let help = "1 if this validator's key is retired and signs nothing";
        whole(e, "rustorium_consensus_key_retired", help, i64::from(self.notices.retired().is_some()))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let chain = Duration::from_millis(self.gauges.certified_time_ms.load(Relaxed));
        let ahead = ConstGauge::new(chain.saturating_sub(now).as_secs_f64());
        let name = "rustorium_consensus_chain_ahead_seconds";
        let help = "Seconds by which the newest certified block's time is ahead of this node's clock";
        ahead.encode(e.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        let help = "Blocks delayed only because their time was ahead of this node's clock";
        count(e, "rustorium_consensus_blocks_ahead_of_clock", help, self.gauges.blocks_ahead.load(Relaxed))?;
        let help = "Blocks and batches that a validator pushed to this node, which only follows, and that it used";
        count(e, "rustorium_consensus_pushes_used", help, self.gauges.pushes_used.load(Relaxed))?;
        let claimed = self.progress.claimed.load(Relaxed);
        let help = "Newest height with a result certified by a quorum";
        whole(e, "rustorium_consensus_claimed_height", help, clamped(claimed))
    }

    fn pool(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        whole(e, "rustorium_txpool_bytes", "Bytes in the pool", clamped(self.gauges.pool_bytes.load(Relaxed)))?;
        let help = "Pool capacity: transactions held for clients before new ones are refused as busy";
        whole(e, "rustorium_txpool_capacity", help, clamped(self.capacity as u64))?;
        let help = "1 for each home validator that is skipped because it left out transactions forwarded to it";
        let mut family = e.encode_descriptor("rustorium_txpool_home_passed_over", help, None, MetricType::Gauge)?;
        for left_out in self.gauges.left_out.lock().iter() {
            let place = left_out.home.0.to_string();
            ConstGauge::new(1i64).encode(family.encode_family(&[("peer", place.as_str())])?)?;
        }
        Ok(())
    }

    fn store(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.store.stats();
        count(e, "rustorium_storage_cache_hits", "State reads answered from the cache", stats.cache_hits)?;
        count(e, "rustorium_storage_cache_misses", "State reads not in the cache", stats.cache_misses)?;
        whole(e, "rustorium_storage_cache_bytes", "Bytes in the state cache", clamped(stats.cache_bytes))?;
        let help = "Bytes of committed rows, before compression";
        count(e, "rustorium_storage_commit_bytes", help, stats.commit_bytes)?;
        let durable = self.progress.durable.load(Relaxed);
        whole(e, "rustorium_storage_durable_height", "Newest height that is durable on disk", clamped(durable))?;
        let help = "1 if the store has found a damaged row";
        whole(e, "rustorium_storage_damaged", help, i64::from(self.store.damaged().is_some()))?;
        let rotation = self.rotator.status();
        let help = "1 while data keys are rotated or the storage key is replaced";
        whole(e, "rustorium_storage_rotation_running", help, i64::from(rotation.running))?;
        let help = "Rows processed by the latest key rotation";
        whole(e, "rustorium_storage_rotation_rows", help, clamped(rotation.rows))?;
        let help = "Estimated total rows when the latest key rotation began";
        whole(e, "rustorium_storage_rotation_rows_about", help, clamped(rotation.rows_about))
    }

    fn journal(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(journal) = self.journal.upgrade() else { return Ok(()) };
        let stats = journal.stats();
        drop(journal);
        count(e, "rustorium_storage_journal_syncs", "Syncs of the journal", stats.syncs)?;
        count(e, "rustorium_storage_journal_bytes", "Bytes written to the journal", stats.bytes)?;
        count(e, "rustorium_storage_journal_records", "Records appended to the journal", stats.records)?;
        let help = "Journal segments that hold records";
        whole(e, "rustorium_storage_journal_segments", help, clamped(stats.segments))?;
        let help = "Bytes of journal records that are still needed";
        let live = self.gauges.journal_live_bytes.load(Relaxed);
        whole(e, "rustorium_storage_journal_live_bytes", help, clamped(live))?;
        let help = "Bytes from the oldest needed journal record to the end of the journal";
        let held = self.gauges.journal_held_bytes.load(Relaxed);
        whole(e, "rustorium_storage_journal_held_bytes", help, clamped(held))?;
        let bounds = SYNC_BUCKETS_US.iter().map(|us| seconds(*us)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(stats.sync_latency).collect();
        let help = "Duration of a journal sync (fdatasync)";
        let name = "rustorium_storage_journal_sync_seconds";
        let mut metric = e.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let all = buckets.iter().map(|(_, count)| count).sum();
        metric.encode_histogram::<NoLabelSet>(seconds(stats.sync_us), all, &buckets, None)
    }
}

/// The number behind a key of /proc/self/status.
fn field(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

fn clamped(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn whole(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    ConstGauge::new(value).encode(e.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn count(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(e.encode_descriptor(name, help, None, MetricType::Counter)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_process_are_found_and_garbage_is_not() {
        let status = "Name:\tx\nVmRSS:\t   1234 kB\nThreads:\t7\nVmSwap:\tnone\n";
        assert_eq!(field(status, "VmRSS:"), Some(1234));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmSwap:"), None);
        assert_eq!(field(status, "VmPeak:"), None);
    }
}
