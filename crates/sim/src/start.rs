//! The start of a process, in the order in which a node starts.

use crate::calls::Calls;
use crate::chain::Chain;
use crate::checks::Checks;
use crate::costs::Meter;
use crate::disk::SimDisk;
use crate::inbound::Inbound;
use crate::node::{Failure, Keys, SimNode, Threads};
use crate::ports::SimPorts;
use rustorium_api::Visit;
use rustorium_dataplane::clients::{Clients, prover};
use rustorium_dataplane::context::Context;
use rustorium_dataplane::executor::{Executor, Progress, store_code};
use rustorium_dataplane::inbox::Inbox;
use rustorium_dataplane::keeper::Keeping;
use rustorium_dataplane::metrics::NodeMetrics;
use rustorium_dataplane::proving::Scoped;
use rustorium_dataplane::queue::Queue;
use rustorium_dataplane::recover;
use rustorium_dataplane::rooter::{RootMetrics, Rooter};
use rustorium_dataplane::rooting::RootJob;
use rustorium_dataplane::shard::{Event, Now, Shard, WorkConfig};
use rustorium_dataplane::turns::Turns;
use rustorium_dataplane::verifier::Verifier;
use rustorium_dataplane::waiters::Waiters;
use rustorium_execution::Keys as VerifyingKeys;
use rustorium_storage::{Store, StoreError};
use rustorium_txpool::PoolConfig;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn store_failed(error: &StoreError) -> Failure {
    (store_code(error).to_owned(), error.to_string())
}

/// The thread that roots the state, and its queue.
pub(crate) type Roots = (Rooter, Arc<Queue<RootJob>>);

/// State that the stages of one node share.
struct Shared {
    store: Arc<dyn Store>,
    context: Arc<Context>,
    inbox: Arc<Inbox>,
    events: Arc<Queue<Event>>,
    waiters: Arc<Waiters>,
    progress: Arc<Progress>,
    metrics: Arc<NodeMetrics>,
}

impl Shared {
    fn clients(&self) -> Clients {
        Clients {
            store: self.store.clone(),
            waiters: self.waiters.clone(),
            inbox: self.inbox.clone(),
            prove: prover(self.store.clone()),
        }
    }

    fn executor(&self, roots: Option<Arc<Queue<RootJob>>>) -> Executor {
        Executor {
            context: self.context.clone(),
            store: self.store.clone(),
            waiters: self.waiters.clone(),
            events: self.events.clone(),
            inbox: self.inbox.clone(),
            progress: self.progress.clone(),
            metrics: self.metrics.clone(),
            roots,
            keys: VerifyingKeys::default(),
            provers: Scoped(1),
            prove: prover(self.store.clone()),
        }
    }

    fn keeping(&self) -> Keeping {
        Keeping {
            store: self.store.clone(),
            progress: self.progress.clone(),
            waiters: self.waiters.clone(),
            events: self.events.clone(),
            stopping: Arc::<AtomicBool>::default(),
            keep_heights: None,
        }
    }

    fn rooter(&self, chain: &Chain) -> Result<Option<Roots>, Failure> {
        if !self.context.parameters.state_roots {
            return Ok(None);
        }
        let rooter = Rooter::new(
            self.store.clone(),
            chain.tables.clone(),
            &self.context.parameters,
            self.events.clone(),
            self.inbox.clone(),
            RootMetrics::new(&self.metrics),
        );
        let rooter = rooter.map_err(|(code, sentence)| (code.to_owned(), sentence))?;
        Ok(Some((rooter, Arc::default())))
    }
}

impl SimNode {
    /// Starts a process on a disk, in the order in which a node does. Errors: the reason why it doesn't start.
    pub fn start(
        chain: &Arc<Chain>,
        disk: &Arc<SimDisk>,
        keys: Keys,
        heartbeat_us: u64,
        threads: Threads,
        now: Now,
    ) -> Result<Self, Failure> {
        let store: Arc<dyn Store> = disk.store();
        let calls_before = disk.store().calls();
        let tip = recover::tip_of(&*store, &chain.genesis).map_err(|error| store_failed(&error))?;
        let context = Context::at(&chain.genesis, keys.validator, &*store, &tip.header);
        let context = Arc::new(context.map_err(|error| store_failed(&error))?);
        let records = disk.journal(crate::journal::SimJournal::open);
        let mut journaled = recover::decode_journal(&context, &*store, &tip, records)
            .map_err(|sentence| ("journal-corrupt".to_owned(), sentence))?;
        journaled.retired = disk.retired().is_some();
        let inbox = Inbox::new().map_err(|error| ("system".to_owned(), format!("no eventfd: {error}")))?;
        let shared = Shared {
            store: store.clone(),
            context: context.clone(),
            inbox: Arc::new(inbox),
            events: Arc::default(),
            waiters: Arc::default(),
            progress: Arc::default(),
            metrics: Arc::default(),
        };
        shared.progress.executed.store(tip.height.0, Ordering::Release);
        shared.progress.claimed.store(tip.header.result.height.0, Ordering::Release);
        let verified: Arc<Queue<Event>> = Arc::default();
        let verifier = Verifier::new(context.committee.clone(), shared.waiters.clone(), verified.clone());
        let verifier = Arc::new(verifier);
        let mut ports = SimPorts {
            chain: chain.clone(),
            number: keys.number,
            disk: disk.clone(),
            clients: shared.clients(),
            verifier: verifier.clone(),
            jobs: VecDeque::new(),
            sent: Vec::new(),
            linked: BTreeSet::new(),
            members: Vec::new(),
            evidence: Vec::new(),
            calls: Calls::default(),
        };
        ports.name_members(&context);
        let pool = PoolConfig::for_parameters(&context.parameters);
        let config = WorkConfig { pool, heartbeat_us, retires: !keys.shared, ..WorkConfig::default() };
        let rooter = shared.rooter(chain)?;
        let mut shard = Shard::recover(context, config, ports, now, (tip.digest, tip.header), journaled);
        shard.end_turn(now);
        let mut node = Self {
            shard: Some(shard),
            disk: disk.clone(),
            store,
            verifier,
            verified,
            checks: Checks::of(threads.verifiers),
            executor: shared.executor(rooter.as_ref().map(|(_, jobs)| jobs.clone())),
            rooter,
            keeping: shared.keeping(),
            inbox: shared.inbox,
            events: shared.events,
            turns: Turns::default(),
            inbound: Inbound::default(),
            meter: Meter::of(threads.costs),
            answers: Arc::default(),
            client: Visit::local(),
            running: BTreeSet::new(),
            calls_before,
            ahead_us: None,
            busy_us: 0,
        };
        node.plan_ahead(now);
        Ok(node)
    }
}
