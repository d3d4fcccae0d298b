//! The machine of state sync: it decides what to ask which peer, and what follows from a checked part. It has no clock,
//! no network, no disk and no arithmetic.

use super::check::{CheckedPart, Job, PartContent, RefusedPart, StoredLeaf};
use super::peers::{Ban, Peers};
use rustorium_state::chunk::ChunkSlot;
use rustorium_state::path::{Prefix, SlotId};
use rustorium_state::slot::{Child, Commitment, Leaf, Slot};
use rustorium_state::tree::{KvRead, ReadError, Row};
use rustorium_types::{BoundedBytes, Hash, Height, PublicKey, Request, Response, StateRequest};
use std::collections::{BTreeMap, BTreeSet};

/// Number of times that a time-out doubles at most, once with each round over all peers.
const DOUBLINGS_MAX: u32 = 5;
/// Number of questions that timed out and whose answers still count.
const LATE_MAX: usize = 256;
/// The whole, of which progress counts parts.
const WHOLE: u64 = 1 << 40;

/// Bounds of state sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateSyncConfig {
    /// Time that the first round waits for an answer before another peer is asked.
    pub timeout_ms: u64,
    /// Number of parts that are requested or being checked at once.
    pub parts_max: usize,
    /// Number of questions in flight with one peer.
    pub per_peer_max: usize,
}

impl Default for StateSyncConfig {
    fn default() -> Self {
        Self { timeout_ms: 2_000, parts_max: 32, per_peer_max: 8 }
    }
}

/// The state that is synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The snapshot's height.
    pub height: Height,
    /// The state root there, from a certified header.
    pub root: Hash,
}

/// Data to be stored, all or nothing and in the order in which the machine returns it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Write {
    /// Rows of the tree.
    pub rows: Vec<Row>,
    /// Leaves with names and values.
    pub leaves: Vec<StoredLeaf>,
    /// The top node, if the tree is complete.
    pub top: Option<Child>,
}

impl Write {
    /// Tells if there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.leaves.is_empty() && self.top.is_none()
    }
}

/// Progress of the sync.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Leaves stored by this machine.
    pub leaves: u64,
    /// Bytes of their names and values.
    pub bytes: u64,
    /// Estimated share of the tree that is stored, in millionths.
    pub done_ppm: u64,
}

/// State of the sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Parts are missing.
    Running,
    /// Everything is stored.
    Done,
    /// No connected peer has this snapshot any more. Begin with a newer one.
    Gone,
}

/// A part of the tree that is requested.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// The content below a node whose commitment is known.
    Node { prefix: Prefix, commitment: [u8; 32] },
    /// The values of known leaves of a node, ascending by slot.
    Values { node: Prefix, leaves: Vec<(SlotId, Leaf)> },
}

impl Part {
    fn key(&self) -> PartKey {
        match self {
            Self::Node { prefix, .. } => (*prefix, false),
            Self::Values { node, .. } => (*node, true),
        }
    }

    fn request(&self, root: Height) -> Request {
        // A prefix never has more bytes than the type allows.
        let bytes = |prefix: &Prefix| BoundedBytes::new(prefix.as_slice().to_vec()).unwrap_or_default();
        Request::State(match self {
            Self::Node { prefix, .. } => StateRequest::Node { root, prefix: bytes(prefix) },
            Self::Values { node, leaves } => {
                let from = leaves.first().map_or(0, |(slot, _)| slot.index);
                StateRequest::Values { root, prefix: bytes(node), from }
            }
        })
    }
}

/// Ascending keys put a node before everything below it. In this order the tree is walked depth first, so that few
/// parts wait.
type PartKey = (Prefix, bool);

struct Task {
    part: Part,
    share: u64,
    tried: Vec<PublicKey>,
    round: u32,
    /// The question in flight, unless its answer is being checked.
    asked: Option<u64>,
    checking: bool,
}

struct Question {
    key: PartKey,
    peer: PublicKey,
    since_ms: u64,
    due_ms: u64,
    late: bool,
}

/// A node whose slots are known, but not all stored.
struct Open {
    child: Child,
    left: usize,
}

/// The sync of one tree.
pub struct StateSync {
    config: StateSyncConfig,
    target: Target,
    peers: Peers,
    tasks: BTreeMap<PartKey, Task>,
    waiting: BTreeSet<PartKey>,
    questions: BTreeMap<u64, Question>,
    open: BTreeMap<Prefix, Open>,
    /// For the prefix of each requested node, the prefix of its parent.
    parents: BTreeMap<Prefix, Prefix>,
    next: u64,
    jobs: BTreeMap<u64, PartKey>,
    done: bool,
    done_share: u64,
    progress: Progress,
}

impl StateSync {
    /// Begins with the top node, or continues after the stored rows.
    pub fn new(config: StateSyncConfig, target: Target) -> Self {
        let mut sync = Self {
            config,
            target,
            peers: Peers::new(config.per_peer_max),
            tasks: BTreeMap::new(),
            waiting: BTreeSet::new(),
            questions: BTreeMap::new(),
            open: BTreeMap::new(),
            parents: BTreeMap::new(),
            next: 0,
            jobs: BTreeMap::new(),
            done: false,
            done_share: 0,
            progress: Progress::default(),
        };
        sync.begin();
        sync
    }

    /// Starts again with another snapshot. The stored data of the old one must be gone. Peers that lied stay banned.
    pub fn restart(&mut self, target: Target) {
        let Self { config, .. } = *self;
        let mut peers = std::mem::take(&mut self.peers);
        peers.forget_lacks();
        for question in self.questions.values().filter(|question| !question.late) {
            peers.answered(&question.peer, question.due_ms.saturating_sub(question.since_ms));
        }
        // Numbers continue, so that late answers to old questions match nothing.
        let next = self.next;
        *self = Self { peers, next, ..Self::new(config, target) };
    }

    fn begin(&mut self) {
        let part = Part::Node { prefix: Prefix::EMPTY, commitment: self.target.root.0 };
        self.add(part, WHOLE);
    }

    /// Returns the state that is synced.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Notes that a peer is connected.
    pub fn connected(&mut self, peer: PublicKey) {
        self.peers.connected(peer);
    }

    /// Notes that a peer is gone. Its questions go to others.
    pub fn disconnected(&mut self, peer: &PublicKey) {
        self.peers.disconnected(peer);
        self.drop_questions(peer);
    }

    /// Returns the state of the sync.
    pub fn standing(&self) -> Standing {
        match self.done {
            true => Standing::Done,
            false if self.peers.all_lack() => Standing::Gone,
            false => Standing::Running,
        }
    }

    /// Returns the progress of the sync.
    pub fn progress(&self) -> Progress {
        Progress { done_ppm: self.done_share.min(WHOLE) * 1_000_000 / WHOLE, ..self.progress }
    }

    /// Returns the number of parts that are known and not stored: requested, being checked, or waiting.
    pub fn parts(&self) -> usize {
        self.tasks.len()
    }

    /// Returns the peers that lied since the last call.
    pub fn take_bans(&mut self) -> Vec<Ban> {
        self.peers.take_bans()
    }

    /// Bans a peer for a fault that was found outside this machine, such as a false snapshot.
    pub fn ban(&mut self, peer: &PublicKey, why: RefusedPart) {
        self.peers.ban(peer, why);
        self.drop_questions(peer);
    }

    /// Sends questions that are due: (peer, number, question). Call it after every other call and at
    /// `next_deadline_ms`.
    pub fn poll(&mut self, now_ms: u64, out: &mut Vec<(PublicKey, u64, Request)>) {
        self.expire(now_ms);
        let candidates: Vec<PartKey> = self.waiting.iter().take(2 * self.config.parts_max).copied().collect();
        for key in candidates {
            if self.under_way() >= self.config.parts_max {
                break;
            }
            self.ask(now_ms, key, out);
        }
    }

    fn ask(&mut self, now_ms: u64, key: PartKey, out: &mut Vec<(PublicKey, u64, Request)>) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if !task.tried.is_empty() && !self.peers.untried(&task.tried) {
            task.tried.clear();
            task.round = task.round.saturating_add(1);
        }
        let Some(peer) = self.peers.choose(now_ms, &task.tried) else { return };
        let number = self.next;
        self.next += 1;
        let timeout_ms = self.config.timeout_ms.saturating_mul(1 << task.round.min(DOUBLINGS_MAX));
        task.tried.push(peer);
        task.asked = Some(number);
        out.push((peer, number, task.part.request(self.target.height)));
        let due_ms = now_ms.saturating_add(timeout_ms);
        self.questions.insert(number, Question { key, peer, since_ms: now_ms, due_ms, late: false });
        self.peers.asked(&peer);
        self.waiting.remove(&key);
    }

    fn under_way(&self) -> usize {
        self.tasks.len() - self.waiting.len()
    }

    fn expire(&mut self, now_ms: u64) {
        let due = |question: &Question| !question.late && question.due_ms <= now_ms;
        let expired: Vec<u64> = self.questions.iter().filter(|(_, q)| due(q)).map(|(number, _)| *number).collect();
        for number in expired {
            let Some(question) = self.questions.get_mut(&number) else { continue };
            question.late = true;
            let (key, peer) = (question.key, question.peer);
            self.peers.timed_out(now_ms, &peer);
            self.give_up(number, key);
        }
        let late: Vec<u64> = self.questions.iter().filter(|(_, q)| q.late).map(|(number, _)| *number).collect();
        late.iter().take(late.len().saturating_sub(LATE_MAX)).for_each(|number| _ = self.questions.remove(number));
    }

    /// Gives up a question. The part is requested from another peer, if this question was its newest.
    fn give_up(&mut self, number: u64, key: PartKey) {
        if let Some(task) = self.tasks.get_mut(&key)
            && task.asked == Some(number)
        {
            task.asked = None;
            self.waiting.insert(key);
        }
    }

    fn drop_questions(&mut self, peer: &PublicKey) {
        let theirs: Vec<u64> =
            self.questions.iter().filter(|(_, q)| q.peer == *peer).map(|(number, _)| *number).collect();
        for number in theirs {
            if let Some(question) = self.questions.remove(&number) {
                self.give_up(number, question.key);
            }
        }
    }

    /// Returns the time at which to call `poll` next, if nothing else happens.
    pub fn next_deadline_ms(&self, now_ms: u64) -> Option<u64> {
        let due = self.questions.values().filter(|q| !q.late).map(|q| q.due_ms).min();
        let rest = if self.waiting.is_empty() { None } else { self.peers.next_rest_ms(now_ms) };
        due.into_iter().chain(rest).min()
    }

    /// Takes an answer. Returns a job to be checked; call `on_checked` with its result.
    pub fn on_answer(&mut self, now_ms: u64, peer: PublicKey, number: u64, response: Response) -> Option<Job> {
        if self.questions.get(&number).is_none_or(|question| question.peer != peer) || self.peers.is_banned(&peer) {
            return None;
        }
        let question = self.questions.remove(&number)?;
        if !question.late {
            self.peers.answered(&peer, now_ms.saturating_sub(question.since_ms));
        }
        let answer = match response {
            Response::State(answer) => *answer,
            Response::NotHeld => {
                self.peers.lacks(&peer);
                self.give_up(number, question.key);
                return None;
            }
            _ => {
                self.give_up(number, question.key);
                self.ban(&peer, RefusedPart::OtherQuestion);
                return None;
            }
        };
        let task = self.tasks.get_mut(&question.key).filter(|task| !task.checking)?;
        task.checking = true;
        task.asked = None;
        self.waiting.remove(&question.key);
        let job = Job { number, peer, part: task.part.clone(), answer };
        self.jobs.insert(number, question.key);
        Some(job)
    }

    /// Takes the result of a check. Returns the data to store. `stored` are the rows that are already stored: those
    /// from before a kill aren't requested again.
    ///
    /// # Errors
    /// [`ReadError`] of the store.
    pub fn on_checked(&mut self, checked: CheckedPart, stored: &impl KvRead) -> Result<Write, ReadError> {
        let mut write = Write::default();
        let Some(key) = self.jobs.remove(&checked.number) else { return Ok(write) };
        let found = match checked.found {
            Ok(found) => found,
            Err(lie) => {
                if let Some(task) = self.tasks.get_mut(&key) {
                    task.checking = false;
                    self.waiting.insert(key);
                }
                self.ban(&checked.peer, lie);
                return Ok(write);
            }
        };
        let Some(task) = self.tasks.remove(&key) else { return Ok(write) };
        match (task.part, found) {
            (Part::Node { prefix, .. }, PartContent::Subtree { node, rows, leaves }) => {
                write.rows = rows;
                self.count(&leaves, task.share);
                write.leaves = leaves;
                self.complete(prefix, node, &mut write);
            }
            (Part::Node { prefix, .. }, PartContent::Slots { commitment, slots }) => {
                self.open(prefix, commitment, slots, task.share, stored, &mut write)?;
            }
            (Part::Values { node, leaves }, PartContent::Values(values)) => {
                self.values(node, leaves, values, task.share, &mut write);
            }
            _ => {}
        }
        Ok(write)
    }

    fn open(
        &mut self,
        prefix: Prefix,
        commitment: Commitment,
        slots: Vec<(u8, ChunkSlot)>,
        share: u64,
        stored: &impl KvRead,
        write: &mut Write,
    ) -> Result<(), ReadError> {
        let there: BTreeMap<u8, Slot> = stored.node(&prefix)?.into_iter().collect();
        let child = Child { prefix, filled: slots.len() as u16, commitment }; // at most 256
        let slot_share = share / (slots.len().max(1) as u64);
        let missing: Vec<(u8, ChunkSlot)> = slots
            .iter()
            .filter(|(index, slot)| !there.get(index).is_some_and(|row| same(row, slot)))
            .copied()
            .collect();
        self.done_share += share - slot_share * missing.len() as u64;
        if missing.is_empty() {
            self.complete(prefix, child, write);
            return Ok(());
        }
        self.open.insert(prefix, Open { child, left: missing.len() });
        let mut leaves = Vec::new();
        for (index, slot) in missing {
            match slot {
                ChunkSlot::Leaf(leaf) => leaves.push((SlotId { node: prefix, index }, leaf)),
                ChunkSlot::Inner { prefix: below, commitment } => {
                    self.parents.insert(below, prefix);
                    self.add(Part::Node { prefix: below, commitment }, slot_share);
                }
            }
        }
        if !leaves.is_empty() {
            let share = slot_share * leaves.len() as u64;
            self.add(Part::Values { node: prefix, leaves }, share);
        }
        Ok(())
    }

    fn values(
        &mut self,
        node: Prefix,
        mut leaves: Vec<(SlotId, Leaf)>,
        values: Vec<StoredLeaf>,
        share: u64,
        write: &mut Write,
    ) {
        let rest = leaves.split_off(values.len());
        let left_share = share / (leaves.len() + rest.len()).max(1) as u64 * rest.len() as u64;
        self.count(&values, share - left_share);
        write.rows.extend(leaves.iter().map(|(slot, leaf)| (*slot, Some(Slot::Leaf(*leaf)))));
        write.leaves = values;
        if !rest.is_empty() {
            self.add(Part::Values { node, leaves: rest }, left_share);
        }
        self.fill(node, leaves.len(), write);
    }

    fn count(&mut self, leaves: &[StoredLeaf], share: u64) {
        self.done_share += share;
        self.progress.leaves += leaves.len() as u64;
        self.progress.bytes += leaves.iter().map(|leaf| (leaf.name.len() + leaf.value.len()) as u64).sum::<u64>();
    }

    /// Completes a node when everything below it is stored: its own row is written now. If that was the last missing
    /// slot of its parent, the parent is completed too.
    fn complete(&mut self, prefix: Prefix, node: Child, write: &mut Write) {
        let Some(parent) = self.parents.remove(&prefix) else {
            self.done = true;
            write.top = Some(node);
            return;
        };
        if let Some(slot) = parent.slot_of(prefix.as_slice()) {
            write.rows.push((slot, Some(Slot::Child(node))));
        }
        self.fill(parent, 1, write);
    }

    /// Notes that this many more slots of an open node are stored.
    fn fill(&mut self, node: Prefix, slots: usize, write: &mut Write) {
        let Some(open) = self.open.get_mut(&node) else { return };
        open.left -= slots;
        if open.left == 0
            && let Some(Open { child, .. }) = self.open.remove(&node)
        {
            self.complete(node, child, write);
        }
    }

    fn add(&mut self, part: Part, share: u64) {
        let key = part.key();
        let task = Task { part, share, tried: Vec::new(), round: 0, asked: None, checking: false };
        self.tasks.insert(key, task);
        self.waiting.insert(key);
    }
}

fn same(row: &Slot, shown: &ChunkSlot) -> bool {
    match (row, shown) {
        (Slot::Leaf(leaf), ChunkSlot::Leaf(other)) => leaf == other,
        (Slot::Child(child), ChunkSlot::Inner { prefix, commitment }) => {
            child.prefix == *prefix && child.commitment.encode() == *commitment
        }
        _ => false,
    }
}
