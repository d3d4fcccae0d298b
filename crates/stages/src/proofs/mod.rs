//! Proofs of the state for clients: a bounded pool that gathers what waits into one multiproof, off the nodes' other work.
//!
//! *Invariants:* never one proof for each of several that wait; what a proof says is read from one view at a root that a
//! final header claims; every question is answered once, at the latest when its turn comes after its deadline; full means
//! `Busy`, at once, and no client fills it for the others.
//!
//! There is no timer: what comes while a proof is being made goes into the next, and on an idle node nothing waits.

mod cache;
mod claims;
mod make;
mod metrics;
mod sharing;

pub use claims::{Claimed, Claims, claim_of};
pub use metrics::ProofMetrics;

use crate::contained::contained;
use crate::queue::Queue;
use cache::ProofCache;
use make::make;
use parking_lot::Mutex;
use rustorium_api::{BackendError, Proven};
use rustorium_execution::subject_key;
use rustorium_storage::Store;
use rustorium_types::{Height, StateKey, Subject};
use sharing::{Loads, Turns};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How far the pool's thread steps back behind the others.
const NICE: i32 = 10;
/// When a client that found it full asks again.
const RETRY_AFTER_MS: u64 = 200;

/// Bounds of the pool.
#[derive(Clone, Copy, Debug)]
pub struct ProofLimits {
    /// Questions that wait.
    pub asks_max: usize,
    /// Keys of all that wait.
    pub keys_max: usize,
    /// Keys up to which questions are gathered into one proof. More is cheaper for the node and dearer for each client,
    /// who checks the proof of all.
    pub gathered_keys_max: usize,
    /// Bytes of the cache of proofs.
    pub cache_bytes: usize,
}

impl Default for ProofLimits {
    fn default() -> Self {
        // At 64 keys a proof takes twice as long as one of a single key, and is checked in under 4 ms.
        Self { asks_max: 1_024, keys_max: 16 * 1024, gathered_keys_max: 64, cache_bytes: 16 * 1024 * 1024 }
    }
}

/// Takes the answer to a question, once, on any thread.
pub type ProofSink = Box<dyn FnOnce(Result<Proven, BackendError>) + Send>;

/// One question.
struct Ask {
    /// Site of the client that asks.
    site: IpAddr,
    /// What it is about, ascending, and where in the state that is.
    subjects: Vec<(Subject, StateKey)>,
    /// The root's height; none for the newest.
    root: Option<Height>,
    deadline: Instant,
    done: ProofSink,
}

/// The pool: questions in, answers from its one thread.
pub struct ProofPool {
    store: Arc<dyn Store>,
    limits: ProofLimits,
    waiting: Queue<Ask>,
    load: Mutex<Loads>,
    claims: Claims,
    cache: ProofCache,
    metrics: ProofMetrics,
}

impl ProofPool {
    /// A pool over a store; nothing is made before a thread runs it.
    pub fn new(store: Arc<dyn Store>, limits: ProofLimits, metrics: ProofMetrics) -> Self {
        let cache = ProofCache::new(limits.cache_bytes, limits.gathered_keys_max);
        let (waiting, load, claims) = (Queue::default(), Mutex::default(), Claims::default());
        Self { store, limits, waiting, load, claims, cache, metrics }
    }

    /// Its figures.
    pub fn metrics(&self) -> &ProofMetrics {
        &self.metrics
    }

    /// The final header that claims the root of a height, or the newest such; with what shows that it is final.
    ///
    /// # Errors
    /// `ProofPruned` and `NotProvenYet`, or the store's.
    pub fn claimed(&self, root: Option<Height>) -> Result<Arc<Claimed>, BackendError> {
        self.claims.resolve(&*self.store, root)
    }

    /// Asks for a client's site what `subjects` (ascending, each once, at least one) hold under a root, the newest where none
    /// is named.
    pub fn ask(&self, site: IpAddr, subjects: Vec<Subject>, root: Option<Height>, deadline: Instant, done: ProofSink) {
        self.metrics.asked.inc();
        let keyed = |subject: Subject| {
            let key = subject_key(&subject);
            (subject, key)
        };
        let subjects: Vec<(Subject, StateKey)> = subjects.into_iter().map(keyed).collect();
        if let Some(found) = self.cached(&subjects, root) {
            self.metrics.cache_hits.inc();
            return done(found);
        }
        let entered = {
            let mut load = self.load.lock();
            let entered = load.enter(site, subjects.len(), &self.limits);
            self.show(&load);
            entered
        };
        if !entered {
            self.metrics.busy.inc();
            return done(Err(BackendError::Busy { retry_after_ms: RETRY_AFTER_MS }));
        }
        // Closed, it drops the question, and with it the sink: the client sees that no answer comes.
        self.waiting.push(Ask { site, subjects, root, deadline, done });
    }

    fn cached(&self, subjects: &[(Subject, StateKey)], root: Option<Height>) -> Option<Result<Proven, BackendError>> {
        let newest = self.store.kept().roots?.1;
        let claimed = self.claims.known(root.unwrap_or(newest))?;
        let made = self.cache.find(claimed.height, subjects.iter().map(|(_, key)| key))?;
        Some(made.answer(&claimed, subjects))
    }

    fn release(&self, ask: &Ask) {
        let mut load = self.load.lock();
        load.leave(ask.site, ask.subjects.len());
        self.show(&load);
    }

    fn show(&self, load: &Loads) {
        self.metrics.waiting.set(i64::try_from(load.asks()).unwrap_or(i64::MAX));
    }

    /// Makes proofs until the pool is closed; for one thread.
    pub fn run(&self) {
        // A proof is nobody's vote: on busy cores everything else comes first. On Linux this is the thread's alone.
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(event = "nice_failed", reason = %error);
        }
        let mut turns = Turns::default();
        while self.gather(&mut turns, None) {
            self.answer_next(&mut turns);
        }
    }

    /// Adds what came meanwhile to those that wait; false where nothing waits and nothing will come any more.
    fn gather(&self, turns: &mut Turns, patience: Option<Duration>) -> bool {
        let mut arrived = VecDeque::new();
        let patience = if turns.is_empty() { patience } else { Some(Duration::ZERO) };
        let open = self.waiting.take(patience, &mut arrived);
        arrived.into_iter().for_each(|ask| turns.push(ask, self.limits.gathered_keys_max));
        open || !turns.is_empty()
    }

    /// For how long its thread has been at what it took last.
    pub fn busy_for(&self) -> Option<Duration> {
        self.waiting.busy_for()
    }

    /// Ends the thread, after what still waits.
    pub fn close(&self) {
        self.waiting.close();
    }

    /// Answers everything that waits now; for who has no thread.
    pub fn run_once(&self) {
        let mut turns = Turns::default();
        while self.gather(&mut turns, Some(Duration::ZERO)) && !turns.is_empty() {
            self.answer_next(&mut turns);
        }
    }

    /// Answers the questions whose turn it is.
    fn answer_next(&self, turns: &mut Turns) {
        let now = Instant::now();
        let mut by_root: BTreeMap<Height, (Arc<Claimed>, Vec<Ask>)> = BTreeMap::new();
        for ask in turns.next(self.limits.gathered_keys_max) {
            self.release(&ask);
            if ask.deadline <= now {
                self.metrics.busy.inc();
                (ask.done)(Err(BackendError::Busy { retry_after_ms: RETRY_AFTER_MS }));
                continue;
            }
            match self.claimed(ask.root) {
                Ok(claimed) => by_root.entry(claimed.height).or_insert_with(|| (claimed, Vec::new())).1.push(ask),
                Err(error) => (ask.done)(Err(error)),
            }
        }
        for (claimed, asks) in by_root.into_values() {
            // Who asked hears of nothing, and others' questions go on.
            contained("proofs", || self.answer(&claimed, asks));
        }
    }

    /// One multiproof for all of these.
    fn answer(&self, claimed: &Claimed, asks: Vec<Ask>) {
        let start = Instant::now();
        let keys = asks.iter().flat_map(|ask| ask.subjects.iter().map(|(_, key)| *key));
        match make(&*self.store, claimed, keys) {
            Ok(made) => {
                self.metrics.made(made.keys(), asks.len(), start.elapsed());
                let made = Arc::new(made);
                self.cache.put(claimed.height, &made);
                for ask in asks {
                    let answer = made.answer(claimed, &ask.subjects);
                    (ask.done)(answer);
                }
            }
            Err(error) => asks.into_iter().for_each(|ask| (ask.done)(Err(error.clone()))),
        }
    }
}
