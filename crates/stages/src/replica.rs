//! The only construction of a shard's replica and its stages. A node gives each stage a thread; a simulation runs the
//! stages in turn.
//!
//! *Invariants:* every host starts in one order: the store's tip, the epoch that goes on above the tip, the journal's
//! records, the stages, then the shard.

use crate::activating::{Activating, decide_again};
use crate::clients::{Clients, prover};
use crate::durability::DurabilityWork;
use crate::error::NodeError;
use crate::executor::{Executor, ParametersInForce, Progress, store_code};
use crate::inbox::Inbox;
use crate::journal_records::{decode_journal, tip_of};
use crate::metrics::NodeMetrics;
use crate::proving::Scoped;
use crate::queue::Queue;
use crate::rooter::{RootMetrics, Rooter};
use crate::rooting::RootJob;
use crate::verifier::Verifier;
use crate::waiters::Waiters;
use rustorium_api::Newest;
use rustorium_crypto::SigningKey;
use rustorium_execution::Keys;
use rustorium_shard::context::Context;
use rustorium_shard::{Event, Journaled, Now, Ports, Shard, WorkConfig};
use rustorium_state::tables::Tables;
use rustorium_storage::{JournalRecord, Store, StoreError, Tip};
use rustorium_types::{Genesis, NEWEST_VERSION, PublicKey, Rules, ShardId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The state tree's stage, and the queue in front of it.
pub type Roots = (Rooter, Arc<Queue<RootJob>>);

/// Parts that a shard's replica and its stages share in one process.
pub struct Replica {
    /// Context of the epoch that goes on above the tip.
    pub context: Arc<Context>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The newest block of the store at the start.
    pub tip: Tip,
    /// Inputs for the core, and failures.
    pub inbox: Arc<Inbox>,
    /// Events for the shard.
    pub events: Arc<Queue<Event>>,
    /// Clients' waits.
    pub waiters: Arc<Waiters>,
    /// Reached heights.
    pub progress: Arc<Progress>,
    /// Metrics.
    pub metrics: Arc<NodeMetrics>,
    /// True once the host stops.
    pub stopping: Arc<AtomicBool>,
    /// The chain's parameters in the epoch of the next block that is executed.
    pub parameters: Arc<ParametersInForce>,
}

impl Replica {
    /// Opens a shard's store at its tip, or an empty one at genesis. `elsewhere` is a key with which another process signs,
    /// if there is one. A store of a release that knows version 1 alone may stand at the boundary to version 2.
    ///
    /// # Errors
    /// The store's or those of `tables`.
    pub fn open(
        genesis: &Genesis,
        shard: ShardId,
        store: Arc<dyn Store>,
        (key, elsewhere): (Option<SigningKey>, Option<PublicKey>),
        tables: impl FnOnce() -> Result<Arc<Tables>, NodeError>,
    ) -> Result<Self, NodeError> {
        let tip =
            tip_of(&*store, genesis, shard).map_err(|error| NodeError::new(store_code(&error), error.to_string()))?;
        decide_again(&store, &tip.header, genesis, tables)?;
        Self::at(genesis, (store, tip), (key, elsewhere), NEWEST_VERSION)
    }

    /// Opens a shard's store as a release does that knows no later protocol version than `newest`. For models of nets
    /// with mixed releases.
    ///
    /// # Errors
    /// The store's.
    pub fn of_release(
        genesis: &Genesis,
        shard: ShardId,
        store: Arc<dyn Store>,
        key: Option<SigningKey>,
        newest: u16,
    ) -> Result<Self, NodeError> {
        let tip =
            tip_of(&*store, genesis, shard).map_err(|error| NodeError::new(store_code(&error), error.to_string()))?;
        Self::at(genesis, (store, tip), (key, None), newest)
    }

    fn at(
        genesis: &Genesis,
        (store, tip): (Arc<dyn Store>, Tip),
        (key, elsewhere): (Option<SigningKey>, Option<PublicKey>),
        newest: u16,
    ) -> Result<Self, NodeError> {
        let failed = |error: StoreError| NodeError::new(store_code(&error), error.to_string());
        let context = Context::at(genesis, key, &*store, &tip.header).map_err(failed)?;
        let context = Arc::new(context.signed_elsewhere(elsewhere).of_release(newest));
        let metrics = Arc::new(NodeMetrics::new(tip.header.shard));
        metrics.height.set(i64::try_from(tip.height.0).unwrap_or(i64::MAX));
        let progress = Arc::<Progress>::default();
        progress.executed.store(tip.height.0, Ordering::Release);
        progress.claimed.store(tip.header.result.height.0, Ordering::Release);
        progress.newest.send_replace(Newest { height: tip.height, block: None });
        Ok(Self {
            parameters: Arc::new((&context.parameters).into()),
            context,
            store,
            tip,
            inbox: Arc::default(),
            events: Arc::default(),
            waiters: Arc::default(),
            progress,
            metrics,
            stopping: Arc::default(),
        })
    }

    /// Decodes the journal's records above the tip. `retired`: the key signs nothing more.
    ///
    /// # Errors
    /// A record that can't be read.
    pub fn journaled(&self, records: Vec<JournalRecord>, retired: bool) -> Result<Journaled, NodeError> {
        let journaled = decode_journal(&self.context, &*self.store, &self.tip, records);
        let journaled = journaled.map_err(|sentence| NodeError::new("journal-corrupt", sentence))?;
        Ok(Journaled { retired, ..journaled })
    }

    /// Returns the shard, which goes on from the tip and the journal.
    pub fn shard<P: Ports>(&self, config: WorkConfig, ports: P, now: Now, journaled: Journaled) -> Shard<P> {
        let tip = (self.tip.digest, self.tip.header.clone());
        Shard::recover(self.context.clone(), config, ports, now, tip, journaled)
    }

    /// Returns the stage that checks signatures and sends its results to `checked`.
    pub fn verifier(&self, checked: Arc<Queue<Event>>) -> Arc<Verifier> {
        Arc::new(Verifier::new(self.context.committee.clone(), self.waiters.clone(), checked))
    }

    /// Returns the answers to clients about their transactions.
    pub fn clients(&self) -> Clients {
        Clients {
            store: self.store.clone(),
            waiters: self.waiters.clone(),
            inbox: self.inbox.clone(),
            prove: prover(self.store.clone()),
            parameters: self.parameters.clone(),
        }
    }

    /// Returns the stage that roots the state. `None` if the chain makes no state roots.
    ///
    /// # Errors
    /// Those of `tables`, or the store's.
    pub fn roots(&self, tables: impl FnOnce() -> Result<Arc<Tables>, NodeError>) -> Result<Option<Roots>, NodeError> {
        if !self.context.parameters.state_roots {
            return Ok(None);
        }
        let rooter = Rooter::new(
            self.store.clone(),
            tables()?,
            &self.context,
            self.events.clone(),
            self.inbox.clone(),
            RootMetrics::new(&self.metrics),
        );
        let mut rooter = rooter.map_err(|(code, sentence)| NodeError::new(code, sentence))?;
        rooter.moved = self.progress.moved.clone();
        Ok(Some((rooter, Arc::default())))
    }

    /// Returns the stage that executes blocks. `threads` is the number of threads that verify their proofs.
    ///
    /// # Errors
    /// The store's.
    pub fn executor(&self, roots: Option<&Roots>, threads: usize) -> Result<Executor, NodeError> {
        let parameters = &self.context.parameters;
        let activating = match roots {
            Some((rooter, _)) if self.context.rules == Rules::V1 && self.context.knows(Rules::V2.version()) => {
                let made = Activating::new(&*self.store, parameters, rooter.rooting.tables().clone());
                made.map_err(|error| NodeError::new(store_code(&error), error.to_string()))?
            }
            _ => None,
        };
        Ok(Executor {
            parameters: self.parameters.clone(),
            activating,
            context: self.context.clone(),
            store: self.store.clone(),
            waiters: self.waiters.clone(),
            events: self.events.clone(),
            inbox: self.inbox.clone(),
            progress: self.progress.clone(),
            metrics: self.metrics.clone(),
            roots: roots.map(|(_, jobs)| jobs.clone()),
            keys: Keys::default(),
            provers: Scoped(threads),
            prove: prover(self.store.clone()),
            decided: None,
        })
    }

    /// Returns the stage that makes commits durable and prunes. `keep_heights` is the number of newest heights that it
    /// keeps; `None` keeps all.
    pub fn keeping(&self, keep_heights: Option<u64>) -> DurabilityWork {
        DurabilityWork {
            store: self.store.clone(),
            progress: self.progress.clone(),
            waiters: self.waiters.clone(),
            events: self.events.clone(),
            stopping: self.stopping.clone(),
            keep_heights,
        }
    }
}
