//! A simulated node from its start to its death: one incarnation.

use crate::calls::Calls;
use crate::checks::Checks;
use crate::costs::{Costs, Meter};
use crate::disk::SimDisk;
use crate::inbound::Inbound;
use crate::ports::{Sent, SimPorts};
use crate::release::Release;
use crate::start::store_failed;
use bytes::Bytes;
use parking_lot::Mutex;
use rustorium_api::{ClientSession, Submitted, Wait};
use rustorium_crypto::{Addressed, SigningKey, work_done};
use rustorium_quorum::Evidence;
use rustorium_shard::port::{Effect, Input};
use rustorium_shard::senders::Credit;
use rustorium_shard::turns::Turns;
use rustorium_shard::{Event, Now, Shard};
use rustorium_stages::durability::DurabilityWork;
use rustorium_stages::executor::Executor;
use rustorium_stages::inbox::Inbox;
use rustorium_stages::queue::Queue;
use rustorium_stages::replica::Roots;
use rustorium_stages::verifier::{Submission, Verifier};
use rustorium_storage::{Fault, Store};
use rustorium_types::{Class, DecodeError, Height, Message, PublicKey, Transaction, decode, limits};
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A stable code and a sentence: the reason why a node doesn't start, or can't continue.
pub type Failure = (String, String);

/// A kind of work that takes time in a node. One piece of each kind runs at a time; the node begins it and the
/// simulation ends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stage {
    /// Syncing the journal.
    Sync = 0,
    /// Checking signatures.
    Check = 1,
    /// Executing and committing a block.
    Execute = 2,
    /// Rooting the state.
    Root = 3,
    /// Syncing and pruning the store.
    Keep = 4,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 5] = [Self::Sync, Self::Check, Self::Execute, Self::Root, Self::Keep];
}

/// A stage that begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageStart {
    /// The stage.
    pub stage: Stage,
    /// Number of the checking thread; 0 for other stages.
    pub thread: usize,
    /// Time for which the thread is busy with it, microseconds; `None` if the simulation decides.
    pub busy_us: Option<u64>,
}

/// Result of a client's submission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The submission's tag.
    pub tag: usize,
    /// The result.
    pub how: Submitted,
}

/// Results of a call.
pub struct Outcome {
    /// Microseconds for which the shard's thread was busy with the call. The results happen after that.
    pub busy_us: u64,
    /// Frames that leave, in order.
    pub sent: Vec<Sent>,
    /// Stages that begin.
    pub begun: Vec<StageStart>,
    /// Time at which `tick` should be called, monotonic microseconds.
    pub deadline_us: u64,
    /// True if inputs wait for the core, or the node has failed.
    pub wakes: bool,
    /// Submissions that ended.
    pub answers: Vec<Answer>,
}

/// A node's keys.
pub struct Keys {
    /// Number of the node among the chain's nodes.
    pub number: u16,
    /// The key that signs votes and batches; `None` if the node follows.
    pub validator: Option<SigningKey>,
    /// True if another process also signs with it, and neither minds: a traitor runs two processes.
    pub shared: bool,
    /// The newest protocol version that the node's release knows.
    pub newest: u16,
    /// True if the node measures its round trips to peers.
    pub probes: bool,
}

/// A node's threads, and the costs of their work.
#[derive(Clone, Debug)]
pub struct Threads {
    /// Number of threads that check signatures.
    pub verifiers: usize,
    /// Prices; `None` if only stages take time, as the simulation decides.
    pub costs: Option<Costs>,
}

/// A running node.
pub struct SimNode {
    /// The shard; `None` only inside `turn`.
    pub(crate) shard: Option<Shard<SimPorts>>,
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) verifier: Arc<Verifier>,
    /// Results of the verifier that its threads haven't reported yet.
    pub(crate) verified: Arc<Queue<Event>>,
    pub(crate) release: Release,
    pub(crate) checks: Checks,
    pub(crate) executor: Executor,
    pub(crate) roots: Option<Roots>,
    pub(crate) keeping: DurabilityWork,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) events: Arc<Queue<Event>>,
    pub(crate) turns: Turns,
    pub(crate) inbound: Inbound,
    pub(crate) meter: Meter,
    pub(crate) answers: Arc<Mutex<Vec<Answer>>>,
    /// The client of all submissions, which never leaves.
    pub(crate) client: Arc<ClientSession>,
    pub(crate) running: BTreeSet<Stage>,
    /// Writes and syncs of the store before the start.
    pub(crate) calls_before: (u64, u64),
    /// Time at which the newest state is rooted ahead if nothing comes, monotonic microseconds.
    pub(crate) ahead_us: Option<u64>,
    /// Time for which the last turn kept the shard's thread busy.
    pub(crate) busy_us: u64,
}

impl SimNode {
    /// Receives a frame on a link. Errors: the frame can't be read, as a transport would have to report.
    pub fn frame(&mut self, now: Now, from: u16, class: Class, frame: Bytes) -> Result<(), DecodeError> {
        let Some(shard) = &self.shard else { return Ok(()) };
        let Some(from) = shard.ports.chain.node_keys.get(usize::from(from)).copied() else { return Ok(()) };
        if self.meter.costs.is_none() || self.inbound.comes(from, class, &frame) {
            self.read(from, class, frame)?;
        }
        self.turn(now);
        Ok(())
    }

    fn read(&mut self, from: PublicKey, class: Class, frame: Bytes) -> Result<(), DecodeError> {
        let read =
            Message::from_frame(class, &frame).inspect_err(|_| self.inbound.dealt_with(from, class, frame.len()));
        let message = read?;
        if !self.release.reads(&message) {
            self.inbound.dealt_with(from, class, frame.len());
            return Err(DecodeError::Malformed("a message that this release doesn't know".to_owned()));
        }
        self.count(|calls| {
            calls.frames_read += 1;
            calls.votes += u64::from(matches!(message, Message::Vote(_)));
        });
        self.events.push(Event::Peer { from, message, frame, credit: Credit::default() });
        Ok(())
    }

    /// Notes that a link came up, on which both ends speak this version of the peer protocol, or went down.
    pub fn link(&mut self, now: Now, peer: u16, up: bool, version: u8) {
        let Some(shard) = &mut self.shard else { return };
        let Some(node_key) = shard.ports.chain.node_keys.get(usize::from(peer)).copied() else { return };
        if up {
            shard.ports.linked.insert(peer, version);
        } else {
            shard.ports.linked.remove(&peer);
        }
        self.events.push(Event::Link { node_key, up });
        self.turn(now);
    }

    /// Carries out the core's effects, in order.
    pub fn submit(&mut self, now: Now, effects: Vec<Effect>) {
        self.events.push(Event::Effects(effects));
        self.turn(now);
    }

    /// Submits a client's transaction. Errors: it can't be decoded.
    pub fn client(&mut self, transaction: &[u8], wait: Wait, tag: usize) -> Result<(), DecodeError> {
        let transaction: Transaction = decode(transaction, limits::TRANSACTION_BYTES_MAX)?;
        let answers = self.answers.clone();
        let done = Arc::new(move |tag, how| answers.lock().push(Answer { tag, how }));
        match Addressed::check(&self.verifier.chain(), transaction) {
            Err(foreign) => done(tag, Submitted::Refused(foreign.into())),
            Ok(ours) => {
                let submission = Submission::unswept(ours, wait, tag, self.client.clone(), done);
                self.verifier.submissions(std::iter::once(submission));
            }
        }
        Ok(())
    }

    /// Notes that the requested time has come.
    pub fn tick(&mut self, now: Now) {
        self.turn(now);
    }

    /// Ends a stage that had begun, on this of its threads.
    pub fn end(&mut self, now: Now, stage: Stage, thread: usize) {
        if stage != Stage::Check && !self.running.remove(&stage) {
            return;
        }
        let done = match stage {
            Stage::Sync => self.end_sync(),
            Stage::Check => {
                self.checks.end(thread).into_iter().for_each(|event| self.events.push(event));
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
        let Some((rooter, jobs)) = &mut self.roots else { return Ok(()) };
        let mut waiting = VecDeque::new();
        jobs.take(Some(Duration::ZERO), &mut waiting);
        rooter.turn(&mut waiting).map_err(|(code, sentence)| (code.to_owned(), sentence))?;
        self.plan_ahead(now);
        Ok(())
    }

    pub(crate) fn plan_ahead(&mut self, now: Now) {
        let ahead = self.roots.as_ref().and_then(|(rooter, _)| rooter.ahead_in(now.wall_ms));
        self.ahead_us = ahead.map(|wait| now.us + u64::try_from(wait.as_micros()).unwrap_or(u64::MAX / 2));
    }

    fn count(&mut self, add: impl FnOnce(&mut Calls)) {
        if let Some(shard) = &mut self.shard {
            add(&mut shard.ports.calls);
        }
    }

    /// Takes the waiting events in the order of the shard's thread. While that thread is busy, they continue to wait.
    fn turn(&mut self, now: Now) {
        self.busy_us = 0;
        if self.meter.busy_until_us(now).is_some() {
            return;
        }
        let Some(mut shard) = self.shard.take() else { return };
        let mut waiting = VecDeque::new();
        self.events.take(Some(Duration::ZERO), &mut waiting);
        for event in waiting {
            if matches!(event, Event::Rooted(_)) {
                shard.ports.calls.rooted += 1;
            }
            self.turns.push(event);
        }
        let (before, costs, inbound) = (work_done(), self.meter.costs.as_ref(), &mut self.inbound);
        let events_ns = Cell::new(costs.map_or(0, Costs::turn));
        let price_ns = || events_ns.get() + costs.map_or(0, |costs| costs.signatures(work_done().since(before)));
        let begin = |event: &Event| {
            events_ns.set(events_ns.get() + costs.map_or(0, |costs| costs.event(event)));
            if let Event::Peer { from, message, frame, .. } = event {
                inbound.dealt_with(*from, message.class(), frame.len());
            }
        };
        self.turns.take(&mut shard, now, begin, price_ns, |_| ());
        if shard.epoch_is_over() {
            shard = shard.next_epoch(now);
        }
        shard.end_turn(now);
        let price_ns = price_ns();
        self.shard = Some(shard);
        if self.meter.costs.is_some() {
            self.busy_us = self.meter.take_shard(now, price_ns);
            for (from, class, frame) in self.inbound.read_on() {
                // A malformed frame is dropped. Its link gets the error if the frame is read at once.
                let _ = self.read(from, class, frame);
            }
        }
    }

    /// Returns the results of the calls since the last call of `outcome`.
    pub fn outcome(&mut self, now: Now) -> Outcome {
        let mut begun = self.begin_checks();
        begun.extend(Stage::ALL.into_iter().filter_map(|stage| self.begins(stage, now)));
        let Some(shard) = &mut self.shard else { return Outcome::none() };
        let waits = !self.events.is_empty() || !self.turns.is_idle();
        let due_us = if waits { now.us } else { shard.next_deadline_us(now).unwrap_or(u64::MAX) };
        let deadline_us = due_us.max(self.meter.busy_until_us(now).unwrap_or(0));
        let ahead_us = self.ahead_us.filter(|_| !self.running.contains(&Stage::Root)).unwrap_or(u64::MAX);
        Outcome {
            busy_us: std::mem::take(&mut self.busy_us),
            sent: std::mem::take(&mut shard.ports.sent),
            begun,
            deadline_us: deadline_us.min(ahead_us),
            wakes: self.inbox.is_signalled(),
            answers: std::mem::take(&mut *self.answers.lock()),
        }
    }

    /// Starts waiting checks on idle threads. Their results are reported when they are done.
    fn begin_checks(&mut self) -> Vec<StageStart> {
        let mut begun = Vec::new();
        while let Some(thread) = self.checks.free().filter(|_| !self.verifier.is_idle()) {
            self.count(|calls| calls.checked += 1);
            let before = work_done();
            self.verifier.turn();
            let mut found = VecDeque::new();
            self.verified.take(Some(Duration::ZERO), &mut found);
            let price_ns = self.meter.costs.as_ref().map(|costs| costs.signatures(work_done().since(before)));
            self.meter.verify_ns += price_ns.unwrap_or(0);
            self.checks.begin(thread, found);
            begun.push(StageStart { stage: Stage::Check, thread, busy_us: price_ns.map(|ns| ns.div_ceil(1000)) });
        }
        begun
    }

    fn begins(&mut self, stage: Stage, now: Now) -> Option<StageStart> {
        if self.running.contains(&stage) {
            return None;
        }
        let mut busy_us = None;
        let due = match stage {
            Stage::Sync => self.disk.journal(crate::journal::SimJournal::begin_sync),
            Stage::Check => false,
            Stage::Execute => {
                let job = self.shard.as_ref().and_then(|shard| shard.ports.jobs.front());
                let price_ns = job.zip(self.meter.costs.as_ref()).map(|(job, costs)| costs.execution(job));
                self.meter.execute_ns += price_ns.unwrap_or(0);
                busy_us = price_ns.map(|ns| ns.div_ceil(1000));
                job.is_some()
            }
            Stage::Root => {
                let waits = self.roots.as_ref().is_some_and(|(_, jobs)| !jobs.is_empty());
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
        due.then_some(StageStart { stage, thread: 0, busy_us })
    }

    /// Returns the nanoseconds for which threads were busy since the start, by their kind; and the number of frames
    /// without room.
    pub fn busy(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("shard", self.meter.shard_ns),
            ("verify", self.meter.verify_ns),
            ("execute", self.meter.execute_ns),
            ("unread", self.inbound.unread() as u64),
            ("dropped", self.inbound.dropped()),
        ]
    }

    /// Takes at most `limit` inputs for the core. Errors: the data plane has failed.
    pub fn drain(&self, limit: usize) -> Result<Vec<Input>, Failure> {
        self.inbox.drain(limit)
    }

    /// Returns the evidence against others since the last call.
    pub fn evidence(&mut self) -> Vec<Evidence> {
        self.shard.as_mut().map(|shard| std::mem::take(&mut shard.ports.evidence)).unwrap_or_default()
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Returns the newest executed height.
    pub fn height(&self) -> Height {
        self.store.tip().map_or(Height(0), |tip| tip.height)
    }

    /// Returns counts of what the process and its journal keep, by name.
    pub fn held(&self) -> Vec<(&'static str, u64)> {
        let (records, bytes) = self.disk.journal(|journal| journal.sizes());
        let holdings = self.shard.as_ref().map(Shard::holdings).unwrap_or_default();
        let waiters = self.shard.as_ref().map_or(0, |shard| shard.ports.clients.waiters.len());
        vec![
            ("journal_records", records as u64),
            ("journal_bytes", bytes as u64),
            ("certificates", holdings.certificates as u64),
            ("votes", holdings.votes as u64),
            ("blocks", holdings.blocks as u64),
            ("lane_batches_max", holdings.lane_batches_max as u64),
            ("lane_bytes_max", holdings.lane_bytes_max),
            ("wants", holdings.wants as u64),
            ("pool", holdings.pool as u64),
            ("outbox", holdings.outbox as u64),
            ("own_views", holdings.own_views as u64),
            ("waiters", waiters as u64),
        ]
    }

    /// Returns the numbers of calls of the stages since the start.
    pub fn calls(&self) -> Calls {
        let (now, before) = (self.disk.store().calls(), self.calls_before);
        let (store_writes, store_syncs) = (now.0 - before.0, now.1 - before.1);
        let calls = self.shard.as_ref().map(|shard| shard.ports.calls).unwrap_or_default();
        Calls { store_writes, store_syncs, ..calls }
    }
}

impl Outcome {
    fn none() -> Self {
        let (sent, begun, answers) = (Vec::new(), Vec::new(), Vec::new());
        Self { busy_us: 0, sent, begun, deadline_us: u64::MAX, wakes: false, answers }
    }
}
