//! Measurements of a running node's parts: the time that each has spent on its current work, and the faults found.

use crate::links::{Links, PeerName};
use crate::remote_signer::{RemoteSigner, SignerNote};
use crate::shard_thread::ShardGauges;
use parking_lot::Mutex;
use rustorium_gateway::Tls;
use rustorium_gateway::tls::TlsState;
use rustorium_shard::{BlockAhead, Event, ExecutionJob, SkippedHome};
use rustorium_stages::executor::Progress;
use rustorium_stages::lane_junk::JunkLane;
use rustorium_stages::queue::Queue;
use rustorium_storage::{Journal, Store};
use rustorium_transport::LinkStatus;
use rustorium_types::{Hash, PublicKey, ValidatorIndex};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Arrivals of a peer that wait to be read.
const ARRIVALS_MAX: usize = 64;

/// Times at which peers were heard, by node key, in microseconds since the node started; each reading takes them.
#[derive(Default)]
pub struct Arrivals(Mutex<BTreeMap<PublicKey, VecDeque<u64>>>);

impl Arrivals {
    /// Peers were heard.
    pub fn note(&self, keys: impl Fn(ValidatorIndex) -> Option<PublicKey>, heard: Vec<(ValidatorIndex, u64)>) {
        let mut all = self.0.lock();
        for (peer, at_us) in heard {
            if let Some(key) = keys(peer) {
                let queue = all.entry(key).or_default();
                if queue.len() == ARRIVALS_MAX {
                    queue.pop_front();
                }
                queue.push_back(at_us);
            }
        }
    }

    fn take(&self) -> BTreeMap<PublicKey, VecDeque<u64>> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// A thread, and how long it has been busy with its present work.
#[derive(Serialize)]
pub struct StageNote {
    /// The thread's name.
    pub name: &'static str,
    /// Time since the thread took its present work; 0 while it waits for work.
    pub busy_ms: u64,
}

/// A peer of the committee.
#[derive(Serialize)]
pub struct PeerNote {
    /// The peer's name.
    pub name: String,
    /// True if its link is up.
    pub up: bool,
    /// Times at which its core was heard since the last reading, at most one per heartbeat.
    pub heard_us: Vec<u64>,
    /// True if its views are given up at once because it lost its last turns.
    pub passed_over: bool,
    /// Address at which it is dialed, while its link is down; absent if it dials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Reason why its link went down or didn't come up, while it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_because: Option<String>,
}

/// A block that waited for this node's clock and for nothing else.
#[derive(Serialize)]
pub struct AheadNote {
    /// Name of the block's proposer.
    pub proposer: String,
    /// Time by which the block was ahead of the clock, ms.
    pub ahead_ms: u64,
    /// Time of the finding, by the clock of `heard_us`.
    pub at_us: u64,
}

/// A home that doesn't list the transactions that this node sends it.
#[derive(Serialize)]
pub struct LeftOutNote {
    /// The home's name.
    pub home: String,
    /// Number of recent transactions that it didn't list in time.
    pub missed: usize,
    /// The last so many.
    pub of: usize,
}

/// A lane of which execution skipped more than a hundredth.
#[derive(Serialize)]
pub struct JunkNote {
    /// The name of the lane's validator.
    pub validator: String,
    /// Bytes that were skipped.
    pub skipped_bytes: u64,
    /// Bytes that were listed.
    pub listed_bytes: u64,
}

/// A reading.
#[derive(Serialize)]
pub struct VitalsNote {
    /// The clock of `heard_us`.
    pub now_us: u64,
    /// All threads that take work.
    pub stages: Vec<StageNote>,
    /// Syncs of the journal since the start.
    pub syncs: u64,
    /// The time that they took.
    pub sync_us: u64,
    /// Bytes of the journal from the oldest record that is needed to its end.
    pub journal_bytes: u64,
    /// Time at which the oldest needed record was appended, by the clock of `heard_us`; 0 if there is none.
    pub journal_oldest_us: u64,
    /// The store's first damage.
    pub damaged: Option<String>,
    /// The height from which on a quorum has other results than this node.
    pub diverged: Option<u64>,
    /// The next height, where no peer holds it any more.
    pub unserved: Option<u64>,
    /// Members that aren't listened to, and why.
    pub cut_off: Vec<String>,
    /// True if more than f members sent false signatures recently.
    pub many_liars: bool,
    /// True if the node has executed about as much as its peers.
    pub synced: bool,
    /// Transactions in the pool that lack neither a nonce before them nor quota.
    pub pool_able: usize,
    /// The time of the newest certified block, Unix ms; 0 before the first turn.
    pub chain_ms: u64,
    /// Maximum by which a block's time may be ahead of a voter's clock.
    pub clock_ahead_ms_max: u64,
    /// The newest block that was further ahead than that, and lacked nothing else.
    pub block_ahead: Option<AheadNote>,
    /// Homes that leave out what this node sends them.
    pub left_out: Vec<LeftOutNote>,
    /// Lanes of which execution skipped more than a hundredth.
    pub lane_junk: Vec<JunkNote>,
    /// The gateway's TLS.
    pub tls: Option<TlsState>,
    /// The process that signs for this node; none: it has its key itself.
    pub signer: Option<SignerNote>,
    /// All peers of the committee.
    pub peers: Vec<PeerNote>,
}

type Busy = Box<dyn Fn() -> Option<Duration> + Send + Sync>;

/// Everything that is read.
pub(crate) struct Vitals {
    pub(crate) start: Instant,
    pub(crate) stages: Vec<(&'static str, Busy)>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) gauges: Arc<ShardGauges>,
    pub(crate) links: Arc<Links>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) signer: Option<Arc<RemoteSigner>>,
}

impl Vitals {
    /// Returns vitals that watch the parts of every node.
    pub(crate) fn new(
        start: Instant,
        (events, jobs): (Arc<Queue<Event>>, Arc<Queue<ExecutionJob>>),
        journal: Arc<Journal>,
        store: Arc<dyn Store>,
        gauges: Arc<ShardGauges>,
        links: Arc<Links>,
        progress: Arc<Progress>,
    ) -> Self {
        let writer = journal.clone();
        let stages: Vec<(&'static str, Busy)> = vec![
            ("shard", Box::new(move || events.busy_for())),
            ("execute", Box::new(move || jobs.busy_for())),
            ("journal", Box::new(move || writer.busy_for())),
        ];
        Self { start, stages, journal, store, gauges, links, progress, tls: None, signer: None }
    }

    /// Sets the gateway's TLS.
    pub(crate) fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Adds a part.
    pub(crate) fn watch(&mut self, name: &'static str, busy: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        self.stages.push((name, Box::new(busy)));
    }

    /// The way to the signer.
    pub(crate) fn watch_signer(&mut self, signer: &Arc<RemoteSigner>) {
        let asks = signer.clone();
        self.watch("signer", move || asks.busy_for());
        self.signer = Some(signer.clone());
    }

    fn cut_off(&self) -> Vec<String> {
        let named = self.links.named();
        let name = |key: &PublicKey| named.iter().find(|(_, other, _)| other == key).map(|(name, ..)| name.clone());
        let cuts = self.gauges.cut_off.lock();
        let cuts = cuts.iter();
        cuts.map(|(key, why)| format!("{} ({}) {why}", name(key).unwrap_or_default(), Hash(*key))).collect()
    }

    /// Reads all, and takes the arrivals. `links`: the links to the committee.
    pub(crate) fn read(&self, links: &[LinkStatus]) -> VitalsNote {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let stage = |(name, busy): &(&'static str, Busy)| StageNote { name, busy_ms: busy().map_or(0, ms) };
        let journal = self.journal.stats();
        let some = |height: u64| (height > 0).then_some(height);
        let mut arrivals = self.gauges.arrivals.take();
        let passed_over = self.gauges.passed_over.lock().clone();
        let away: BTreeMap<PublicKey, PeerName> =
            self.links.unreachable().into_iter().map(|peer| (peer.node_key, peer)).collect();
        let reason = |key: &PublicKey| links.iter().find(|link| link.node_key == *key)?.last_error.clone();
        let peer = |(name, key, up): (String, PublicKey, bool)| PeerNote {
            name,
            up,
            passed_over: self.links.place(&key).is_some_and(|place| passed_over.contains(&place)),
            heard_us: arrivals.remove(&key).unwrap_or_default().into(),
            address: away.get(&key).and_then(|peer| peer.address.as_ref()).map(ToString::to_string),
            down_because: away.get(&key).and_then(|peer| reason(&peer.node_key)),
        };
        VitalsNote {
            now_us: u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX),
            stages: self.stages.iter().map(stage).collect(),
            syncs: journal.syncs,
            sync_us: journal.sync_us,
            journal_bytes: self.gauges.journal_held_bytes.load(Ordering::Relaxed),
            journal_oldest_us: self.gauges.journal_oldest_us.load(Ordering::Relaxed),
            damaged: self.store.damaged().map(|error| error.to_string()),
            diverged: some(self.gauges.diverged.load(Ordering::Relaxed)),
            unserved: some(self.gauges.unserved.load(Ordering::Relaxed)),
            cut_off: self.cut_off(),
            many_liars: self.gauges.many_liars.load(Ordering::Relaxed),
            synced: self.gauges.synced.load(Ordering::Relaxed),
            pool_able: self.gauges.pool_able.load(Ordering::Relaxed),
            chain_ms: self.gauges.certified_time_ms.load(Ordering::Relaxed),
            clock_ahead_ms_max: self.links.context().parameters.clock_ahead_ms_max,
            left_out: self.left_out(),
            lane_junk: self.lane_junk(),
            signer: self.signer.as_ref().map(|signer| signer.note()),
            block_ahead: self.gauges.block_ahead.lock().map(|block| self.ahead(&block)),
            tls: self.tls.as_ref().map(|tls| tls.state()),
            peers: self.links.named().into_iter().map(peer).collect(),
        }
    }
}

impl Vitals {
    fn name_of(&self, member: ValidatorIndex) -> String {
        let context = self.links.context();
        let member = context.validators.get(usize::from(member.0));
        member.map(|member| String::from_utf8_lossy(member.name.as_slice()).into_owned()).unwrap_or_default()
    }

    fn ahead(&self, block: &BlockAhead) -> AheadNote {
        AheadNote { proposer: self.name_of(block.proposer), ahead_ms: block.ahead_ms, at_us: block.at_us }
    }

    fn left_out(&self) -> Vec<LeftOutNote> {
        let left_out = self.gauges.left_out.lock().clone();
        let note = |one: &SkippedHome| LeftOutNote { home: self.name_of(one.home), missed: one.missed, of: one.of };
        left_out.iter().map(note).collect()
    }

    fn lane_junk(&self) -> Vec<JunkNote> {
        let note = |lane: JunkLane| {
            let JunkLane { author, skipped, listed } = lane;
            JunkNote { validator: self.name_of(author), skipped_bytes: skipped, listed_bytes: listed }
        };
        self.progress.lane_junk.named().into_iter().map(note).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_bounded_and_taken_once() {
        let arrivals = Arrivals::default();
        let key = |peer: ValidatorIndex| (peer.0 < 2).then_some([peer.0 as u8; 32]);
        for at in 0..1_000 {
            arrivals.note(key, vec![(ValidatorIndex(1), at), (ValidatorIndex(7), at)]);
        }
        let taken = arrivals.take();
        assert_eq!(taken.keys().collect::<Vec<_>>(), [&[1; 32]]);
        let heard = &taken[&[1; 32]];
        assert!(heard.len() <= ARRIVALS_MAX && heard.back() == Some(&999), "{heard:?}");
        assert!(arrivals.take().is_empty());
    }
}
