//! A node from its start to its death: one incarnation.

use crate::calls::Calls;
use crate::chain::Chain;
use crate::disk::SimDisk;
use crate::ports::{Sent, SimPorts};
use bytes::Bytes;
use parking_lot::Mutex;
use rustorium_crypto::SigningKey;
use rustorium_dataplane::clients::{Clients, prover};
use rustorium_dataplane::context::Context;
use rustorium_dataplane::executor::{Executor, Progress, store_code};
use rustorium_dataplane::inbox::Inbox;
use rustorium_dataplane::keeper::Keeping;
use rustorium_dataplane::metrics::NodeMetrics;
use rustorium_dataplane::port::{Effect, Input};
use rustorium_dataplane::proving::Scoped;
use rustorium_dataplane::queue::Queue;
use rustorium_dataplane::recover;
use rustorium_dataplane::rooter::{RootMetrics, Rooter};
use rustorium_dataplane::rooting::RootJob;
use rustorium_dataplane::shard::{Event, Now, Shard, WorkConfig};
use rustorium_dataplane::turns::Turns;
use rustorium_dataplane::verifier::{Submission, Verifier};
use rustorium_dataplane::waiters::Waiters;
use rustorium_execution::Keys as VerifyingKeys;
use rustorium_gateway::{Submitted, Visit, Wait};
use rustorium_quorum::Evidence;
use rustorium_storage::{Fault, Store, StoreError};
use rustorium_transport::Credit;
use rustorium_txpool::PoolConfig;
use rustorium_types::{Class, DecodeError, Height, Message, Transaction, decode, limits};
use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A stable code and a sentence: why a node doesn't start, or can't go on.
pub type Failure = (String, String);

/// What takes time in a node: of each kind one thing at a time, begun by the node and ended by the simulation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stage {
    /// The journal is synced.
    Sync = 0,
    /// Signatures are checked.
    Check = 1,
    /// A block is executed and committed.
    Execute = 2,
    /// The state is rooted.
    Root = 3,
    /// The store is synced and pruned.
    Keep = 4,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sync, Self::Check, Self::Execute, Self::Root, Self::Keep];
}

/// How a client's submission ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What the submission was called.
    pub tag: usize,
    /// How it ended.
    pub how: Submitted,
}

/// What a call brought about.
pub struct Outcome {
    /// Frames that leave, in order.
    pub sent: Vec<Sent>,
    /// Stages that begin.
    pub begun: Vec<Stage>,
    /// When `tick` is wanted, monotonic microseconds.
    pub deadline_us: u64,
    /// Whether inputs wait for the core, or the node has failed.
    pub wakes: bool,
    /// Submissions that ended.
    pub answers: Vec<Answer>,
}

/// A node's keys.
pub struct Keys {
    /// Its place among the chain's nodes.
    pub number: u16,
    /// Signs votes and batches; none: it follows.
    pub validator: Option<SigningKey>,
    /// Whether another process signs with it too, and neither minds: a traitor's twins.
    pub shared: bool,
}

/// A running node.
pub struct SimNode {
    /// None only inside `turn`.
    shard: Option<Shard<SimPorts>>,
    disk: Arc<SimDisk>,
    store: Arc<dyn Store>,
    verifier: Arc<Verifier>,
    executor: Executor,
    rooter: Option<Roots>,
    keeping: Keeping,
    inbox: Arc<Inbox>,
    events: Arc<Queue<Event>>,
    turns: Turns,
    answers: Arc<Mutex<Vec<Answer>>>,
    /// All clients are one, that never leaves.
    client: Arc<Visit>,
    running: BTreeSet<Stage>,
    /// Writes and syncs that the store had seen before the start.
    calls_before: (u64, u64),
    /// When the newest state is rooted ahead, if nothing comes; monotonic microseconds.
    ahead_us: Option<u64>,
}

fn store_failed(error: &StoreError) -> Failure {
    (store_code(error).to_owned(), error.to_string())
}

/// The state tree, and what comes to be rooted.
type Roots = (Rooter, Arc<Queue<RootJob>>);

/// What the stages of one node share.
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
    /// Starts a process on a disk, in the order in which a node does. Errors: why it doesn't start.
    pub fn start(
        chain: &Arc<Chain>,
        disk: &Arc<SimDisk>,
        keys: Keys,
        heartbeat_us: u64,
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
        let verifier = Verifier::new(context.committee.clone(), shared.waiters.clone(), shared.events.clone());
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
            executor: shared.executor(rooter.as_ref().map(|(_, jobs)| jobs.clone())),
            rooter,
            keeping: shared.keeping(),
            inbox: shared.inbox,
            events: shared.events,
            turns: Turns::default(),
            answers: Arc::default(),
            client: Visit::of(Ipv4Addr::LOCALHOST.into()),
            running: BTreeSet::new(),
            calls_before,
            ahead_us: None,
        };
        node.plan_ahead(now);
        Ok(node)
    }

    /// A frame came on a link. Errors: it can't be read, as a transport would have to say.
    pub fn frame(&mut self, now: Now, from: u16, class: Class, frame: Bytes) -> Result<(), DecodeError> {
        let message = Message::from_frame(class, &frame)?;
        let Some(shard) = &mut self.shard else { return Ok(()) };
        shard.ports.calls.frames_read += 1;
        shard.ports.calls.votes += u64::from(matches!(message, Message::Vote(_)));
        let Some(from) = shard.ports.chain.node_keys.get(usize::from(from)).copied() else { return Ok(()) };
        self.events.push(Event::Peer { from, message, frame, credit: Credit::default() });
        self.turn(now);
        Ok(())
    }

    /// A link came up or went down.
    pub fn link(&mut self, now: Now, peer: u16, up: bool) {
        let Some(shard) = &mut self.shard else { return };
        let Some(node_key) = shard.ports.chain.node_keys.get(usize::from(peer)).copied() else { return };
        if up {
            shard.ports.linked.insert(peer);
        } else {
            shard.ports.linked.remove(&peer);
        }
        self.events.push(Event::Link { node_key, up });
        self.turn(now);
    }

    /// The core's effects, in order.
    pub fn submit(&mut self, now: Now, effects: Vec<Effect>) {
        self.events.push(Event::Effects(effects));
        self.turn(now);
    }

    /// A client hands a transaction in. Errors: it can't be decoded.
    pub fn client(&mut self, transaction: &[u8], wait: Wait, tag: usize) -> Result<(), DecodeError> {
        let transaction: Transaction = decode(transaction, limits::TRANSACTION_BYTES_MAX)?;
        let answers = self.answers.clone();
        let done = Arc::new(move |tag, how| answers.lock().push(Answer { tag, how }));
        // No keeping thread sweeps here: the machine's clock isn't this world's.
        let (visit, until) = (self.client.clone(), Instant::now());
        let submission = Submission { transaction, wait, index: tag, until, visit, place: None, done };
        self.verifier.submissions(std::iter::once(submission));
        Ok(())
    }

    /// The time that the node asked for has come.
    pub fn tick(&mut self, now: Now) {
        self.turn(now);
    }

    /// A stage that had begun is done.
    pub fn end(&mut self, now: Now, stage: Stage) {
        if !self.running.remove(&stage) {
            return;
        }
        let done = match stage {
            Stage::Sync => self.end_sync(),
            Stage::Check => {
                self.count(|calls| calls.checked += 1);
                self.verifier.turn();
                Ok(())
            }
            Stage::Execute => {
                self.execute();
                Ok(())
            }
            Stage::Root => self.root(now),
            Stage::Keep => self.keeping.keep().map_err(|error| store_failed(&error)),
        };
        if let Err((code, sentence)) = done {
            self.inbox.fail(&code, &sentence);
        }
        self.turn(now);
    }

    fn end_sync(&mut self) -> Result<(), Failure> {
        if let Some(fault) = self.disk.take_journal_fault() {
            let sentence = match fault {
                Fault::DiskFull => "the disk that holds the safety journal is full: free space on it, then restart",
                Fault::Io => "the safety journal can't be synced: check the disk, then restart the node",
            };
            return Err(("journal-failed".to_owned(), sentence.to_owned()));
        }
        self.count(|calls| calls.journal_syncs += 1);
        let position = self.disk.journal(crate::journal::SimJournal::end_sync);
        self.events.push(Event::Durable(position));
        Ok(())
    }

    fn execute(&mut self) {
        let Some(job) = self.shard.as_mut().and_then(|shard| shard.ports.jobs.pop_front()) else { return };
        self.count(|calls| calls.executed += 1);
        self.executor.execute_next(&job);
    }

    fn root(&mut self, now: Now) -> Result<(), Failure> {
        let Some((rooter, jobs)) = &mut self.rooter else { return Ok(()) };
        let mut waiting = VecDeque::new();
        jobs.take(Some(Duration::ZERO), &mut waiting);
        rooter.turn(&mut waiting).map_err(|(code, sentence)| (code.to_owned(), sentence))?;
        self.plan_ahead(now);
        Ok(())
    }

    fn plan_ahead(&mut self, now: Now) {
        let ahead = self.rooter.as_ref().and_then(|(rooter, _)| rooter.ahead_in(now.wall_ms));
        self.ahead_us = ahead.map(|wait| now.us + u64::try_from(wait.as_micros()).unwrap_or(u64::MAX / 2));
    }

    fn count(&mut self, add: impl FnOnce(&mut Calls)) {
        if let Some(shard) = &mut self.shard {
            add(&mut shard.ports.calls);
        }
    }

    /// Takes the events that wait in the order of the shard's thread. Frames cost nothing here.
    fn turn(&mut self, now: Now) {
        let Some(mut shard) = self.shard.take() else { return };
        let mut waiting = VecDeque::new();
        self.events.take(Some(Duration::ZERO), &mut waiting);
        for event in waiting {
            if matches!(event, Event::Rooted(_)) {
                shard.ports.calls.rooted += 1;
            }
            self.turns.push(event);
        }
        self.turns.take(&mut shard, now, || 0, |_| ());
        if shard.epoch_is_over() {
            shard = shard.next_epoch(now);
        }
        shard.end_turn(now);
        self.shard = Some(shard);
    }

    /// What came of the calls since it was last asked.
    pub fn outcome(&mut self, now: Now) -> Outcome {
        let begun = Stage::ALL.into_iter().filter(|stage| self.begins(*stage, now)).collect();
        let Some(shard) = &mut self.shard else { return Outcome::none() };
        let deadline_us = shard.next_deadline_us(now).unwrap_or(u64::MAX);
        let ahead_us = self.ahead_us.filter(|_| !self.running.contains(&Stage::Root)).unwrap_or(u64::MAX);
        Outcome {
            sent: std::mem::take(&mut shard.ports.sent),
            begun,
            deadline_us: deadline_us.min(ahead_us),
            wakes: self.inbox.is_signalled(),
            answers: std::mem::take(&mut *self.answers.lock()),
        }
    }

    fn begins(&mut self, stage: Stage, now: Now) -> bool {
        if self.running.contains(&stage) {
            return false;
        }
        let due = match stage {
            Stage::Sync => self.disk.journal(crate::journal::SimJournal::begin_sync),
            Stage::Check => !self.verifier.is_idle(),
            Stage::Execute => self.shard.as_ref().is_some_and(|shard| !shard.ports.jobs.is_empty()),
            Stage::Root => {
                let waits = self.rooter.as_ref().is_some_and(|(_, jobs)| !jobs.is_empty());
                let ahead = self.ahead_us.is_some_and(|at| at <= now.us);
                if waits || ahead {
                    self.ahead_us = None;
                }
                waits || ahead
            }
            Stage::Keep => self.keeping.is_due(),
        };
        if due {
            self.running.insert(stage);
        }
        due
    }

    /// Takes at most `limit` inputs for the core. Errors: the data plane has failed.
    pub fn drain(&self, limit: usize) -> Result<Vec<Input>, Failure> {
        self.inbox.drain(limit)
    }

    /// Evidence against others since it was last asked.
    pub fn evidence(&mut self) -> Vec<Evidence> {
        self.shard.as_mut().map(|shard| std::mem::take(&mut shard.ports.evidence)).unwrap_or_default()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The newest executed height.
    pub fn height(&self) -> Height {
        self.store.tip().map_or(Height(0), |tip| tip.height)
    }

    /// How often the stages were called since the start.
    pub fn calls(&self) -> Calls {
        let (now, before) = (self.disk.store().calls(), self.calls_before);
        let (store_writes, store_syncs) = (now.0 - before.0, now.1 - before.1);
        let calls = self.shard.as_ref().map(|shard| shard.ports.calls).unwrap_or_default();
        Calls { store_writes, store_syncs, ..calls }
    }
}

impl Outcome {
    fn none() -> Self {
        Self { sent: Vec::new(), begun: Vec::new(), deadline_us: u64::MAX, wakes: false, answers: Vec::new() }
    }
}
