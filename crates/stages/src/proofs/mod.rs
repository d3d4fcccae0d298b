//! Proofs of the state for clients: a bounded pool that gathers waiting questions into one multiproof, at low priority.
//!
//! *Invariants:* waiting questions never get one proof each; a proof comes from one view of the store at a root that a
//! final header claims; every question is answered once, at the latest at its turn after its deadline; a full pool
//! answers `Busy` at once, and no client can use up the others' room.
//!
//! There is no timer: questions that come while a proof is being made go into the next proof, and on an idle node none
//! waits.

mod cache;
mod claims;
mod make;
mod metrics;
mod sharing;

pub use claims::{CertifiedRoot, Claims, claim_of};
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

/// Nice value of the pool's thread, above that of other threads.
const NICE: i32 = 10;
/// Time after which a client that found the pool full asks again.
const RETRY_AFTER_MS: u64 = 200;

/// Bounds of the pool.
#[derive(Clone, Copy, Debug)]
pub struct ProofLimits {
    /// Maximum number of waiting questions.
    pub asks_max: usize,
    /// Maximum number of keys of all waiting questions.
    pub keys_max: usize,
    /// Number of keys up to which questions are gathered into one proof. A larger number is cheaper for the node and
    /// dearer for each client, which checks the proof of all keys.
    pub gathered_keys_max: usize,
    /// Bytes of the cache of proofs.
    pub cache_bytes: usize,
}

impl Default for ProofLimits {
    fn default() -> Self {
        // With 64 keys a proof takes twice as long to make as with a single key, and its check takes less than 4 ms.
        Self { asks_max: 1_024, keys_max: 16 * 1024, gathered_keys_max: 64, cache_bytes: 16 * 1024 * 1024 }
    }
}

/// Takes the answer to a question, once, on any thread.
pub type ProofSink = Box<dyn FnOnce(Result<Proven, BackendError>) + Send>;

/// Question of a client.
struct Ask {
    /// Site of the client.
    site: IpAddr,
    /// Subjects in ascending order, each with its key in the state.
    subjects: Vec<(Subject, StateKey)>,
    /// Height of the root. `None` for the newest.
    root: Option<Height>,
    deadline: Instant,
    done: ProofSink,
}

/// Pool that takes questions and answers them from its one thread.
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
    /// Creates a pool over a store. Nothing is made before a thread runs the pool.
    pub fn new(store: Arc<dyn Store>, limits: ProofLimits, metrics: ProofMetrics) -> Self {
        let cache = ProofCache::new(limits.cache_bytes, limits.gathered_keys_max);
        let (waiting, load, claims) = (Queue::default(), Mutex::default(), Claims::default());
        Self { store, limits, waiting, load, claims, cache, metrics }
    }

    /// Returns the pool's metrics.
    pub fn metrics(&self) -> &ProofMetrics {
        &self.metrics
    }

    /// Returns the final header that claims the root of a height, or (`None`) the newest claimed root, with the proof
    /// that the header is final.
    ///
    /// # Errors
    /// `ProofPruned` and `NotProvenYet`, or the store's.
    pub fn claimed(&self, root: Option<Height>) -> Result<Arc<CertifiedRoot>, BackendError> {
        self.claims.resolve(&*self.store, root)
    }

    /// Asks, for a client's site, for the values of `subjects` (ascending, each once, at least one) under a root.
    /// `None` means the newest root.
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
        // A closed pool drops the question and with it the sink, so the client sees that no answer comes.
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

    /// Makes proofs until the pool is closed. For one thread.
    pub fn run(&self) {
        // No vote waits for a proof, so on busy cores everything else comes first. On Linux each thread has its own
        // nice value.
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(event = "nice_failed", reason = %error);
        }
        let mut turns = Turns::default();
        while self.gather(&mut turns, None) {
            self.answer_next(&mut turns);
        }
    }

    /// Adds the questions that came meanwhile to those that wait. Returns false if none waits and none will come any
    /// more.
    fn gather(&self, turns: &mut Turns, patience: Option<Duration>) -> bool {
        let mut arrived = VecDeque::new();
        let patience = if turns.is_empty() { patience } else { Some(Duration::ZERO) };
        let open = self.waiting.take(patience, &mut arrived);
        arrived.into_iter().for_each(|ask| turns.push(ask, self.limits.gathered_keys_max));
        open || !turns.is_empty()
    }

    /// Returns how long the pool's thread has been at the questions that it took last.
    pub fn busy_for(&self) -> Option<Duration> {
        self.waiting.busy_for()
    }

    /// Ends the thread after the questions that still wait.
    pub fn close(&self) {
        self.waiting.close();
    }

    /// Answers all questions that wait now, for callers without a thread.
    pub fn run_once(&self) {
        let mut turns = Turns::default();
        while self.gather(&mut turns, Some(Duration::ZERO)) && !turns.is_empty() {
            self.answer_next(&mut turns);
        }
    }

    /// Answers the questions whose turn it is.
    fn answer_next(&self, turns: &mut Turns) {
        let now = Instant::now();
        let mut by_root: BTreeMap<Height, (Arc<CertifiedRoot>, Vec<Ask>)> = BTreeMap::new();
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
            // After a panic, these questions get no answer, and others go on.
            contained("proofs", || self.answer(&claimed, asks));
        }
    }

    /// Answers all these questions with one multiproof.
    fn answer(&self, claimed: &CertifiedRoot, asks: Vec<Ask>) {
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
