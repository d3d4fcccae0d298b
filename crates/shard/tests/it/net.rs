//! Four shards, their cores, a network of queues and one virtual clock. Nothing happens but in `run` and `advance`.

use crate::chain::{self, N, context};
use crate::core::Core;
use crate::ports::TestPorts;
use crate::signer::Signer;
use crate::witness::Witness;
use bytes::Bytes;
use rustorium_crypto::{SigningKey, Verified};
use rustorium_shard::context::Context;
use rustorium_shard::port::{Effect, Input};
use rustorium_shard::senders::Credit;
use rustorium_shard::turns::Turns;
use rustorium_shard::{Event, Now, Shard, WorkConfig};
use rustorium_stages::journal_records;
use rustorium_storage::{MemStore, Store};
use rustorium_txpool::PoolConfig;
use rustorium_types::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

/// A number of turns that only an endless loop takes.
const TURNS_MAX: usize = 100_000;

pub struct Node {
    pub shard: Living,
    pub turns: Turns,
    pub core: Core,
    /// True if the node runs and its links are up.
    pub up: bool,
    /// While true, the disk answers no sync.
    pub disk_held: bool,
    /// While true, nothing is executed.
    pub execution_held: bool,
    /// While true, the core gets no inputs.
    pub core_held: bool,
}

/// A shard, except in the moment in which it becomes that of the next epoch.
pub struct Living(Option<Shard<TestPorts>>);

impl Deref for Living {
    type Target = Shard<TestPorts>;
    fn deref(&self) -> &Shard<TestPorts> {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for Living {
    fn deref_mut(&mut self) -> &mut Shard<TestPorts> {
        self.0.as_mut().unwrap()
    }
}

type Filter = Box<dyn Fn(usize, usize, &Message) -> bool>;

pub struct Net {
    pub genesis: Genesis,
    pub nodes: Vec<Node>,
    pub now: Now,
    pub wire: VecDeque<(usize, usize, Class, Bytes)>,
    /// Frames that were delivered, or lost on the way.
    pub log: Vec<(usize, usize, Message)>,
    /// Filter that decides which frames pass.
    pub passes: Filter,
    witness: Rc<RefCell<Witness>>,
    pub config: WorkConfig,
    pub nonces: Vec<u64>,
    /// Milliseconds by which each node's wall clock is ahead of the true time.
    pub clocks_ms: Vec<i64>,
}

/// Returns the key that proves node `index` on its links, also for nodes outside the genesis.
pub fn node_key(index: usize) -> PublicKey {
    SigningKey::from_seed(&[110 + index as u8; 32]).public()
}

impl Net {
    pub fn new() -> Self {
        Self::with(Parameters::default())
    }

    pub fn with(parameters: Parameters) -> Self {
        Self::of(N, parameters)
    }

    /// Creates so many nodes, of which the first four are the genesis' validators.
    pub fn of(count: usize, parameters: Parameters) -> Self {
        Self::on(chain::genesis_with(parameters), count)
    }

    /// Creates so many nodes of this chain.
    pub fn on(genesis: Genesis, count: usize) -> Self {
        let pool = PoolConfig::of_chain(genesis.rules(), &genesis.parameters);
        Self::configured(genesis, count, WorkConfig { pool, ..WorkConfig::default() })
    }

    /// Four nodes that copy what they still need of the journal forward as soon as half of it is dead.
    pub fn tight() -> Self {
        let config = WorkConfig { journal_slack_bytes: 0, ..WorkConfig::default() };
        Self::configured(chain::genesis_with(Parameters::default()), N, config)
    }

    pub fn configured(genesis: Genesis, count: usize, config: WorkConfig) -> Self {
        let now = Now { us: 1_000_000, wall_ms: chain::START_MS + 1000 };
        let witness = Rc::<RefCell<Witness>>::default();
        let node = |index| {
            let store = Arc::new(MemStore::new());
            let ports = TestPorts::new(context(&genesis, index), store, witness.clone());
            Node::start(&genesis, index, ports, now, &config)
        };
        let nodes = (0..count).map(node).collect();
        let (wire, log, passes) = (VecDeque::new(), Vec::new(), Box::new(|_, _, _: &Message| true) as Filter);
        let (nonces, clocks_ms) = (vec![0; chain::ACCOUNTS], vec![0; count]);
        let genesis = genesis.clone();
        let mut net = Self { genesis, nodes, now, wire, log, passes, witness, config, nonces, clocks_ms };
        for index in 0..count {
            net.link_all(index, true);
        }
        net.run();
        net
    }

    /// The clocks as a node reads them.
    pub fn now_at(&self, index: usize) -> Now {
        let wall_ms = self.now.wall_ms.saturating_add_signed(self.clocks_ms[index]);
        Now { us: self.now.us, wall_ms }
    }

    pub fn link_all(&mut self, index: usize, up: bool) {
        for other in (0..self.nodes.len()).filter(|other| *other != index) {
            for (a, b) in [(index, other), (other, index)] {
                if self.nodes[a].up {
                    let event = Event::Link { node_key: node_key(b), up };
                    self.nodes[a].shard.ports.events.push_back(event);
                }
            }
        }
    }

    /// Runs until nothing is left to do at this time.
    pub fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            let mut busy = false;
            for index in 0..self.nodes.len() {
                busy |= self.turn(index);
            }
            busy |= self.deliver();
            if !busy {
                return;
            }
        }
        let deadlines: Vec<_> = self.nodes.iter().map(|node| node.shard.next_deadline_us(self.now)).collect();
        panic!("the net does not come to rest: {:?}, {deadlines:?}", self.now);
    }

    fn turn(&mut self, index: usize) -> bool {
        let (now, count) = (self.now_at(index), self.nodes.len());
        let node = &mut self.nodes[index];
        if !node.up {
            return false;
        }
        let mut busy = node.shard.next_deadline_us(now).is_some_and(|due| due <= now.us);
        for event in std::mem::take(&mut node.shard.ports.events) {
            node.turns.push(event);
        }
        busy |= !node.turns.is_idle();
        assert!(node.turns.take(&mut node.shard, now, |_| (), || 0, |_| ()));
        if node.shard.epoch_is_over() {
            node.next_epoch(now);
        }
        if busy {
            node.shard.end_turn(now);
        }
        let inputs = if node.core_held { Vec::new() } else { std::mem::take(&mut node.shard.ports.inputs) };
        if !inputs.is_empty() {
            busy = true;
            let effects = node.core.take(inputs);
            node.shard.ports.events.push_back(Event::Effects(effects));
        }
        let (place, context) = (index, node.shard.ports.context.clone());
        let ports = &mut node.shard.ports;
        if !node.disk_held && ports.synced < ports.wanted {
            busy = true;
            ports.synced = ports.wanted;
            ports.free();
            ports.events.push_back(Event::Durable(ports.synced));
        }
        busy |= !node.execution_held && (ports.execute_one() || ports.root(now.wall_ms));
        for (to, class, frame) in std::mem::take(&mut ports.sent) {
            let member = |peer: &usize| context.place(&node_key(*peer));
            let peers = (0..count).filter(|peer| *peer != place);
            let peers = peers.filter(|peer| member(peer).is_some_and(|at| to.is_none_or(|to| to == at)));
            self.wire.extend(peers.map(|peer| (index, peer, class, frame.clone())));
        }
        for (to, message, context) in ports.outside.drain(..) {
            let frame = Bytes::from(message.to_frame());
            let peers = (0..count).filter(|peer| *peer != place && context.place(&node_key(*peer)).is_none());
            let peers = peers.filter(|peer| to.is_none_or(|to| to == node_key(*peer)));
            self.wire.extend(peers.map(|peer| (index, peer, message.class(), frame.clone())));
        }
        node.up &= ports.end.is_none();
        busy
    }

    fn deliver(&mut self) -> bool {
        let mut any = false;
        while let Some((from, to, class, frame)) = self.wire.pop_front() {
            any = true;
            let message = Message::from_frame(class, &frame).unwrap();
            if self.nodes[from].up && self.nodes[to].up && (self.passes)(from, to, &message) {
                self.peer_event(from, to, message.clone(), frame);
            }
            self.log.push((from, to, message));
        }
        any
    }

    fn peer_event(&mut self, from: usize, to: usize, message: Message, frame: Bytes) {
        let from = node_key(from);
        let event = Event::Peer { from, message, frame, credit: Credit::default() };
        self.nodes[to].shard.ports.events.push_back(event);
    }

    /// Sends a message of a traitor.
    pub fn inject(&mut self, from: usize, to: usize, message: Message) {
        assert_ne!(from, to, "nobody has a link to itself");
        let frame = Bytes::from(message.to_frame());
        self.peer_event(from, to, message, frame);
    }

    /// Notes that the test uses this node's key beside the node: the node may find that out.
    pub fn traitor(&mut self, index: usize) {
        self.ports(index).may_retire = true;
    }

    /// Moves the clock on, stopping at every deadline.
    pub fn advance(&mut self, us: u64) {
        let end = self.now.us + us;
        self.run();
        for _ in 0..TURNS_MAX {
            let now = self.now;
            let up = self.nodes.iter().enumerate().filter(|(_, node)| node.up);
            let due = up.filter_map(|(index, node)| node.shard.next_deadline_us(self.now_at(index))).min();
            let due = due.unwrap_or(end).clamp(now.us, end);
            // Some parts have deadlines in whole ms; the clock must never stand still.
            let due = due.max((now.us + 1).min(end));
            self.now.us = due;
            self.now.wall_ms = chain::START_MS + due / 1000;
            self.run();
            if due == end {
                return;
            }
        }
        panic!("deadlines without end");
    }

    pub fn effects(&mut self, index: usize, effects: Vec<Effect>) {
        self.nodes[index].shard.ports.events.push_back(Event::Effects(effects));
    }

    pub fn heartbeats(&mut self) {
        for index in (0..self.nodes.len()).filter(|index| self.nodes[*index].up).collect::<Vec<_>>() {
            let view = self.nodes[index].core.view;
            self.effects(index, vec![Effect::Heartbeat(view)]);
        }
        self.run();
    }

    /// Makes all running nodes give their view up.
    pub fn nullify(&mut self) {
        let awake = |node: &Node| node.up && !node.core_held;
        for index in (0..self.nodes.len()).filter(|index| awake(&self.nodes[*index])).collect::<Vec<_>>() {
            let effects = self.nodes[index].core.nullify();
            self.effects(index, effects);
        }
        self.run();
    }

    /// Stops all cores from proposing.
    pub fn nobody_proposes(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.core.proposes = false);
    }

    /// Returns the next transaction of an account.
    pub fn next_put(&mut self, account: usize) -> Verified<Transaction> {
        let nonce = self.nonces[account];
        self.nonces[account] += 1;
        chain::put(&self.genesis, account, nonce)
    }

    /// Returns the next transaction of an account, with these operations.
    pub fn next_of(&mut self, account: usize, operations: Vec<Operation>) -> Verified<Transaction> {
        let nonce = self.nonces[account];
        self.nonces[account] += 1;
        chain::sign(&self.genesis, account, nonce, operations)
    }

    /// Runs this many turns of all nodes, and no more.
    pub fn turns(&mut self, count: usize) {
        for _ in 0..count {
            for index in 0..self.nodes.len() {
                self.turn(index);
            }
            self.deliver();
        }
    }

    /// Submits the next transaction of an account whose home is this node.
    pub fn submit(&mut self, index: usize) -> TxId {
        self.submit_of(index, chain::account_of_lane(index))
    }

    pub fn submit_of(&mut self, index: usize, account: usize) -> TxId {
        self.submit_until(index, account, chain::EXPIRES_AT_MS)
    }

    /// Same as `submit`, with an expiry.
    pub fn submit_until(&mut self, index: usize, account: usize, expires_at_ms: u64) -> TxId {
        let transaction = chain::put_until(&self.genesis, account, self.nonces[account], expires_at_ms);
        self.nonces[account] += 1;
        let transactions = vec![chain::admitted(&transaction)];
        let event = Event::Transactions { transactions, from_client: true };
        self.nodes[index].shard.ports.events.push_back(event);
        chain::id_of(&transaction)
    }

    /// Syncs the store's commits so far.
    pub fn sync_store(&mut self, index: usize) {
        let ports = &mut self.nodes[index].shard.ports;
        let tip = ports.store.tip().unwrap();
        ports.durable = tip.header;
        ports.events.push_back(Event::StoreDurable(tip.height));
    }

    pub fn stop(&mut self, index: usize) {
        self.link_all(index, false);
        self.nodes[index].up = false;
        self.run();
    }

    /// Discards the unsynced data of journal and store, and starts again. The journal may have kept more than it had
    /// to.
    pub fn power_loss(&mut self, index: usize, kept_beyond: u64) {
        if self.nodes[index].up {
            self.stop(index);
        }
        let old = &mut self.nodes[index].shard.ports;
        let store = Arc::new(MemStore::new());
        let mut ports = TestPorts::new(old.context.clone(), store.clone(), self.witness.clone());
        journal_records::tip_of(&*store, &self.genesis, ShardId::ROOT).unwrap();
        let durable = old.durable.height;
        for job in std::mem::take(&mut old.executed) {
            if job.block.header.height <= durable {
                ports.jobs.push_back(job);
                ports.execute_one();
            }
        }
        ports.events.clear();
        let kept = (old.synced + kept_beyond).min(old.next - 1);
        ports.journal = old.journal.iter().filter(|record| record.lsn.0 <= kept).cloned().collect();
        (ports.next, ports.wanted, ports.synced) = (kept + 1, kept, kept);
        ports.durable = old.durable.clone();
        (ports.retired, ports.may_retire, ports.lost) = (old.retired.take(), old.may_retire, old.lost);
        ports.signer = old.signer.take();
        self.nodes[index] = Node::start(&self.genesis, index, ports, self.now_at(index), &self.config);
        self.link_all(index, true);
    }

    /// Moves a node's signing to another process, and starts the node again.
    pub fn sign_elsewhere(&mut self, index: usize) {
        self.ports(index).signer = Some(Signer::new(index, &self.genesis));
        self.power_loss(index, 0);
    }

    /// Brings that process up or down.
    pub fn signer_up(&mut self, index: usize, up: bool) {
        let ports = self.ports(index);
        let event = ports.signer.as_mut().unwrap().set_up(up);
        ports.events.push_back(event);
        self.run();
    }

    /// Makes nodes listen for this long at their start for another process with their keys.
    pub fn listen_for_rivals(&mut self, us: u64) {
        self.config.rival_wait_us = us;
    }

    /// Makes these peers accept another process' links with the node's key.
    pub fn rival_at(&mut self, index: usize, peers: &[usize]) {
        for peer in peers {
            self.ports(index).events.push_back(Event::Replaced { node_key: node_key(*peer) });
        }
        self.run();
    }

    /// Removes only the node's store, and starts it again.
    pub fn lose_store(&mut self, index: usize) {
        self.stop(index);
        let ports = self.ports(index);
        ports.executed.clear();
        ports.lost = ports.store.tip().unwrap().header.view.max(ports.lost);
        ports.durable = ports.context.genesis_header.clone();
        self.power_loss(index, 0);
    }

    /// Removes the node's store and journal, keeps its keys, and starts it again.
    pub fn wipe(&mut self, index: usize) {
        if self.nodes[index].up {
            self.stop(index);
        }
        let context = self.nodes[index].shard.ports.context.clone();
        let ports = TestPorts::new(context, Arc::new(MemStore::new()), self.witness.clone());
        self.nodes[index] = Node::start(&self.genesis, index, ports, self.now_at(index), &self.config);
        self.traitor(index);
        self.link_all(index, true);
    }

    /// Starts a stopped node with a changed store and its journal.
    pub fn reopen(&mut self, index: usize) {
        let old = &mut self.nodes[index].shard.ports;
        let mut ports = TestPorts::new(old.context.clone(), old.store.clone(), self.witness.clone());
        ports.durable = ports.store.tip().unwrap().header;
        ports.journal = std::mem::take(&mut old.journal);
        (ports.next, ports.wanted, ports.synced) = (old.next, old.wanted, old.synced);
        (ports.retired, ports.may_retire, ports.lost) = (old.retired.take(), old.may_retire, old.lost);
        (ports.signer, ports.newest) = (old.signer.take(), old.newest);
        self.nodes[index] = Node::start(&self.genesis, index, ports, self.now_at(index), &self.config);
        self.link_all(index, true);
    }

    /// Starts a wiped node with this store, which was filled from a snapshot.
    // Tests of state sync need it, in crates/node.
    #[allow(dead_code)]
    pub fn filled(&mut self, index: usize, store: Arc<MemStore>) {
        let context = self.nodes[index].shard.ports.context.clone();
        let mut ports = TestPorts::new(context, store, self.witness.clone());
        ports.durable = ports.store.tip().unwrap().header;
        self.nodes[index] = Node::start(&self.genesis, index, ports, self.now_at(index), &self.config);
        self.traitor(index);
        self.link_all(index, true);
    }

    pub fn height(&self, index: usize) -> u64 {
        self.store(index).tip().unwrap().height.0
    }

    pub fn store(&self, index: usize) -> &Arc<MemStore> {
        &self.nodes[index].shard.ports.store
    }

    pub fn is_final(&self, index: usize, id: &TxId) -> bool {
        self.store(index).transaction(id).unwrap().is_some()
    }

    pub fn ports(&mut self, index: usize) -> &mut TestPorts {
        &mut self.nodes[index].shard.ports
    }

    pub fn saw(&self, index: usize, fits: impl Fn(&Input) -> bool) -> usize {
        let core = &self.nodes[index].core;
        core.inputs.iter().filter(|input| fits(input)).count()
    }

    /// Returns the messages from one node to another, oldest first.
    pub fn between(&self, from: usize, to: usize) -> impl Iterator<Item = &Message> {
        self.log.iter().filter(move |(a, b, _)| (*a, *b) == (from, to)).map(|(_, _, message)| message)
    }
}

impl Node {
    fn start(genesis: &Genesis, index: usize, mut ports: TestPorts, now: Now, config: &WorkConfig) -> Self {
        let tip = journal_records::tip_of(&*ports.store, genesis, ShardId::ROOT).unwrap();
        let key = chain::validator_key(index);
        let context = Context::at(genesis, key, &*ports.store, &tip.header).unwrap();
        // The nodes that weren't stopped draw their leaders from an activation on.
        let context = if context.rules == genesis.rules() { context.led_by_place() } else { context };
        let context =
            Arc::new(context.of_release(ports.newest).signed_elsewhere(ports.signer.as_ref().map(Signer::public)));
        ports.events.extend(ports.signer.as_mut().and_then(Signer::connect));
        ports.context = context.clone();
        ports.reload_roots();
        let mut journaled =
            journal_records::decode_journal(&context, &*ports.store, &tip, ports.journal.clone()).unwrap();
        journaled.retired = ports.retired.is_some();
        let mut shard = Shard::recover(context, config.clone(), ports, now, (tip.digest, tip.header), journaled);
        shard.end_turn(now);
        let core = Core::new();
        let (shard, turns) = (Living(Some(shard)), Turns::default());
        Self { shard, turns, core, up: true, disk_held: false, execution_held: false, core_held: false }
    }

    fn next_epoch(&mut self, now: Now) {
        let shard = self.shard.0.take().unwrap();
        self.shard.0 = Some(shard.next_epoch(now));
    }
}
