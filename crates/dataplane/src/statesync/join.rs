//! Fills an empty store from peers' snapshots, where replaying the chain is out of reach: before the shard runs.
//!
//! *Invariants:* a snapshot is begun with only when a quorum's certificate stands for it; whoever lies is banned and named;
//! what is stored of a snapshot is never mixed with another's.

use super::committees::Committees;
use super::fill::{Checkers, finish, keep, stored};
use crate::context::Context;
use crate::executor::store_code;
use crate::queue::Queue;
use rustorium_state::tables::Tables;
use rustorium_storage::{Store, StoreError};
use rustorium_sync::state::{
    Ban, Checked, CheckedSnapshot, Lie, Progress, Standing, StateSync, StateSyncConfig, Target, certifying_epoch,
    check_snapshot,
};
use rustorium_transport::Transport;
use rustorium_types::{
    Class, Height, Message, PublicKey, Request, Response, Snapshot, StateAnswer, StateRequest, decode, encode, limits,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Questions about offers have numbers from here on, by `Asked` modulo 3; those about parts count up from 0.
const OFFER_QUESTIONS: u64 = 1 << 63;
/// How long whoever might offer more is waited for once there is an offer, and how long anyone at all.
const OFFERS_WAIT: Duration = Duration::from_secs(1);
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How often those without an answer are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(750);
/// The longest sleep, and how often progress is told.
const TICK: Duration = Duration::from_millis(250);
const TELL: Duration = Duration::from_secs(2);
const CHECKERS: usize = 2;

/// What happens to a joiner.
pub enum JoinEvent {
    /// A link came up or went down.
    Link {
        /// The peer's node key.
        node_key: PublicKey,
        /// Whether it is up.
        up: bool,
    },
    /// A peer's answer.
    Response {
        /// Who sent it.
        from: PublicKey,
        /// The number of the question.
        id: u64,
        /// The answer.
        response: Response,
    },
    /// A part was checked.
    Checked(Box<Checked>),
    /// The node stops.
    Stop,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joined {
    /// The store holds the state after this height.
    Filled(Height),
    /// The chain can be replayed from its beginning.
    NotNeeded,
    /// It was told to stop.
    Stopped,
}

/// A joiner's parts.
pub struct Joiner {
    /// The empty store, or one that an earlier start began to fill.
    pub store: Arc<dyn Store>,
    /// To the peers.
    pub transport: Transport,
    /// What comes in.
    pub events: Arc<Queue<JoinEvent>>,
    /// The state tree's tables.
    pub tables: Arc<Tables>,
    /// The genesis' committee, which the later ones are found from.
    pub context: Arc<Context>,
    /// Peers that it dials.
    pub peers: usize,
    /// A snapshot at least so high is taken although the chain could be replayed.
    pub beyond_heights: u64,
    /// Keeps and shows what a peer did.
    pub banned: Box<dyn Fn(&Ban) + Send>,
}

/// What a question before the first part is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Snapshot,
    FirstBlock,
    EpochEnd,
}

/// What peers offer.
struct Offers {
    committees: Committees,
    up: BTreeSet<PublicKey>,
    asked: BTreeMap<PublicKey, Instant>,
    /// None: it has no snapshot that counts.
    answers: BTreeMap<PublicKey, Option<Box<CheckedSnapshot>>>,
    /// Whether it has the chain's first block.
    first_block: BTreeMap<PublicKey, bool>,
    first_offer: Option<Instant>,
    next: u64,
    /// Only newer ones count.
    above: Height,
    /// A snapshot was begun with: the store holds parts of it, and there is no way back.
    committed: bool,
}

enum Decision {
    Wait,
    Replay,
    Take(Box<CheckedSnapshot>),
}

type Failure = (&'static str, String);

fn failed(error: &StoreError) -> Failure {
    (store_code(error), error.to_string())
}

impl Joiner {
    /// Fills the store, or finds that there is no need to. Errors: a code and a sentence.
    pub fn run(mut self) -> Result<Joined, Failure> {
        let begun = self.store.syncing().map_err(|e| failed(&e))?;
        let committees = Committees::read(self.context.clone(), &*self.store).map_err(|e| failed(&e))?;
        let mut offers = Offers::new(committees, begun.is_some());
        let begun = begun.and_then(|what| decode::<Snapshot>(&what, limits::FRAME_BYTES_MAX).ok());
        let begun = begun.and_then(|snapshot| checked(&offers.committees, snapshot));
        let mut snapshot = match begun {
            Some(snapshot) => snapshot,
            None => match self.choose(&mut offers)? {
                Ok(snapshot) => snapshot,
                Err(joined) => return Ok(joined),
            },
        };
        let target = |checked: &CheckedSnapshot| Target { height: checked.header.height, root: checked.state_root };
        let mut sync = StateSync::new(StateSyncConfig::default(), target(&snapshot));
        offers.up.iter().for_each(|peer| sync.connected(*peer));
        loop {
            tracing::info!(event = "state_sync", height = snapshot.header.height.0, root = %snapshot.state_root);
            match self.fill(&mut sync, &mut offers)? {
                Standing::Done => break,
                Standing::Running => return Ok(Joined::Stopped),
                Standing::Gone => {}
            }
            // Nobody has it any more: what is there of it is of no use for another.
            offers.above = snapshot.header.height;
            offers.committed = true;
            snapshot = match self.choose(&mut offers)? {
                Ok(newer) => newer,
                Err(joined) => return Ok(joined),
            };
            sync.restart(target(&snapshot));
            offers.up.iter().for_each(|peer| sync.connected(*peer));
        }
        finish(&*self.store, &snapshot).map_err(|e| failed(&e))?;
        let Progress { leaves, bytes, .. } = sync.progress();
        tracing::info!(event = "state_synced", height = snapshot.header.height.0, leaves, bytes);
        Ok(Joined::Filled(snapshot.header.height))
    }

    /// Asks until there is a snapshot to take, or no need for one.
    fn choose(&mut self, offers: &mut Offers) -> Result<Result<Box<CheckedSnapshot>, Joined>, Failure> {
        let began = Instant::now();
        offers.forget();
        tracing::info!(event = "looking_for_snapshots", peers = self.peers);
        let mut waiting = VecDeque::new();
        loop {
            self.ask_for_offers(offers);
            if !self.events.take(Some(TICK), &mut waiting) {
                return Ok(Err(Joined::Stopped));
            }
            for event in waiting.drain(..) {
                match event {
                    JoinEvent::Stop => return Ok(Err(Joined::Stopped)),
                    JoinEvent::Link { node_key, up } => offers.link(node_key, up),
                    JoinEvent::Response { from, id, response } if id >= OFFER_QUESTIONS => {
                        self.on_offer(offers, from, id, response);
                    }
                    JoinEvent::Response { .. } | JoinEvent::Checked(_) => {}
                }
            }
            for (peer, snapshot) in offers.committees.walk(&offers.up) {
                let offered = snapshot.and_then(|snapshot| checked(&offers.committees, snapshot));
                offers.take(peer, offered);
            }
            match self.decide(offers, began) {
                Decision::Wait => {}
                Decision::Replay => return Ok(Err(Joined::NotNeeded)),
                Decision::Take(snapshot) => {
                    self.store.begin_sync(&encode(&snapshot.snapshot)).map_err(|e| failed(&e))?;
                    offers.committees.keep(&*self.store).map_err(|e| failed(&e))?;
                    return Ok(Ok(snapshot));
                }
            }
        }
    }

    fn ask_for_offers(&self, offers: &mut Offers) {
        let now = Instant::now();
        let answered = |peer: &PublicKey| offers.answers.contains_key(peer) || offers.committees.holds(peer);
        let unanswered = |peer: &&PublicKey| !answered(peer) || !offers.first_block.contains_key(*peer);
        let due = |peer: &&PublicKey| offers.asked.get(*peer).is_none_or(|at| now.duration_since(*at) >= ASK_AGAIN);
        let peers: Vec<PublicKey> = offers.up.iter().filter(unanswered).filter(due).copied().collect();
        for peer in peers {
            offers.asked.insert(peer, now);
            let newest = Request::State(StateRequest::Newest { above: offers.above });
            let first = Request::FinalBlocks { first: Height(1), count: 1 };
            for (about, request) in [(Asked::Snapshot, newest), (Asked::FirstBlock, first)] {
                self.ask(&peer, question(&mut offers.next, about), request);
            }
        }
        let mut id = || question(&mut offers.next, Asked::EpochEnd);
        for (peer, id, request) in offers.committees.questions(&offers.up, ASK_AGAIN, &mut id) {
            self.ask(&peer, id, request);
        }
    }

    fn ask(&self, peer: &PublicKey, id: u64, request: Request) {
        let frame = Message::Request { id, request }.to_frame();
        // A question that finds no room is asked again.
        let _ = self.transport.send_to(peer, Class::Sync, frame.into());
    }

    /// Of so many answers one is an honest peer's; or all peers gave one.
    fn enough(&self) -> usize {
        (self.context.committee.faults() + 1).min(self.peers)
    }

    fn on_offer(&self, offers: &mut Offers, from: PublicKey, id: u64, response: Response) {
        if id % 3 == Asked::FirstBlock as u64 {
            let has = matches!(response, Response::FinalBlocks { blocks, .. } if !blocks.is_empty());
            offers.first_block.insert(from, has);
            return;
        }
        if id % 3 == Asked::EpochEnd as u64 {
            return offers.committees.on_answer(from, id, response);
        }
        let snapshot = match response {
            Response::State(answer) => match *answer {
                StateAnswer::Snapshot(snapshot) if snapshot.height > offers.above => Some(snapshot),
                _ => None,
            },
            _ => None,
        };
        match snapshot {
            Some(later) if offers.committees.at(certifying_epoch(&later)).is_none() => {
                offers.committees.wait_for(from, later);
            }
            known => {
                let offered = known.and_then(|snapshot| checked(&offers.committees, snapshot));
                offers.take(from, offered);
            }
        }
    }

    fn decide(&self, offers: &Offers, began: Instant) -> Decision {
        if offers.committees.is_walking(SILENCE_MAX) {
            return Decision::Wait;
        }
        let enough = self.enough();
        let answered = offers.answers.len();
        // Equal heights are equal snapshots, and of different ones the newest is kept longest.
        let best = offers.answers.values().flatten().max_by_key(|checked| checked.header.height);
        let silent = began.elapsed() >= SILENCE_MAX;
        let Some(best) = best else {
            // With f + 1 answers one is an honest node's.
            let replay = !offers.committed && (answered >= enough || silent);
            return if replay { Decision::Replay } else { Decision::Wait };
        };
        let waited = offers.first_offer.is_some_and(|first| first.elapsed() >= OFFERS_WAIT);
        if answered < enough && !waited {
            return Decision::Wait;
        }
        let replayable = offers.first_block.values().any(|has| *has);
        let known = offers.first_block.len() >= enough || waited;
        if offers.committed || best.header.height.0 >= self.beyond_heights {
            return Decision::Take(best.clone());
        }
        match (replayable, known) {
            (true, _) => Decision::Replay,
            (false, true) => Decision::Take(best.clone()),
            (false, false) => Decision::Wait,
        }
    }

    /// Fetches, checks and keeps parts until the tree is complete, gone, or (still running) it was told to stop.
    fn fill(&mut self, sync: &mut StateSync, offers: &mut Offers) -> Result<Standing, Failure> {
        let threads = |error: std::io::Error| ("system", format!("can't start the checking threads: {error}"));
        let mut checkers = Checkers::start(CHECKERS, &self.tables, &self.events).map_err(threads)?;
        let start = Instant::now();
        let mut told = start;
        let (mut waiting, mut questions) = (VecDeque::new(), Vec::new());
        while sync.standing() == Standing::Running {
            let now_ms = millis(start);
            sync.poll(now_ms, &mut questions);
            for (peer, id, request) in questions.drain(..) {
                let frame = Message::Request { id, request }.to_frame();
                let _ = self.transport.send_to(&peer, Class::Sync, frame.into());
            }
            let due = sync.next_deadline_ms(now_ms).map_or(TICK, |at| Duration::from_millis(at.saturating_sub(now_ms)));
            if !self.events.take(Some(due.min(TICK)), &mut waiting) {
                return Ok(Standing::Running);
            }
            for event in waiting.drain(..) {
                if matches!(event, JoinEvent::Stop) {
                    return Ok(Standing::Running);
                }
                self.on_event(sync, offers, &mut checkers, millis(start), event)?;
            }
            sync.take_bans().iter().for_each(|ban| (self.banned)(ban));
            self.tell(sync, start, &mut told);
        }
        Ok(sync.standing())
    }

    fn on_event(
        &self,
        sync: &mut StateSync,
        offers: &mut Offers,
        checkers: &mut Checkers,
        now_ms: u64,
        event: JoinEvent,
    ) -> Result<(), Failure> {
        match event {
            JoinEvent::Link { node_key, up } => {
                offers.link(node_key, up);
                if up { sync.connected(node_key) } else { sync.disconnected(&node_key) }
            }
            JoinEvent::Response { from, id, response } if id < OFFER_QUESTIONS => {
                if let Some(job) = sync.on_answer(now_ms, from, id, response) {
                    checkers.check(job);
                }
            }
            JoinEvent::Checked(checked) => {
                let write = sync.on_checked(*checked, &stored(&self.store));
                let write = write.map_err(|error| ("state-tree-failed", error.to_string()))?;
                keep(&*self.store, sync.target().height, write).map_err(|e| failed(&e))?;
            }
            JoinEvent::Response { .. } | JoinEvent::Stop => {}
        }
        Ok(())
    }

    fn tell(&self, sync: &StateSync, start: Instant, told: &mut Instant) {
        if told.elapsed() < TELL {
            return;
        }
        *told = Instant::now();
        let Progress { leaves, done_ppm, .. } = sync.progress();
        let took_ms = millis(start).max(1);
        let left_ms = (1_000_000 - done_ppm).saturating_mul(took_ms).checked_div(done_ppm);
        let (percent, leaves_per_s) = (done_ppm / 10_000, leaves * 1000 / took_ms);
        let seconds_left = left_ms.map(|ms| ms.div_ceil(1000));
        tracing::info!(event = "state_syncing", percent, leaves, leaves_per_s, ?seconds_left);
    }
}

/// The number of the next question.
fn question(next: &mut u64, about: Asked) -> u64 {
    *next += 1;
    OFFER_QUESTIONS / 3 * 3 + 3 * *next + about as u64
}

/// A snapshot that holds under its committee, which is known.
fn checked(committees: &Committees, snapshot: Snapshot) -> Option<Box<CheckedSnapshot>> {
    let Some(context) = committees.at(certifying_epoch(&snapshot)) else {
        tracing::warn!(event = "snapshot_refused", reason = "its epoch's committee isn't known here");
        return None;
    };
    let checked = check_snapshot(&context.chain(), &context.committee.keys, snapshot);
    checked.inspect_err(|why| tracing::warn!(event = "snapshot_refused", reason = %why)).ok().map(Box::new)
}

impl Offers {
    fn new(committees: Committees, committed: bool) -> Self {
        Self {
            committees,
            up: BTreeSet::new(),
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            first_block: BTreeMap::new(),
            first_offer: None,
            next: 0,
            above: Height(0),
            committed,
        }
    }

    /// A peer's offer, as it turned out; none: it has none that counts.
    fn take(&mut self, from: PublicKey, offered: Option<Box<CheckedSnapshot>>) {
        if offered.is_some() {
            self.first_offer.get_or_insert_with(Instant::now);
        }
        self.answers.insert(from, offered);
    }

    /// Asks everybody anew.
    fn forget(&mut self) {
        self.asked.clear();
        self.answers.clear();
        self.first_block.clear();
        self.first_offer = None;
        self.committees.forget_offers();
    }

    fn link(&mut self, node_key: PublicKey, up: bool) {
        if up {
            self.up.insert(node_key);
            self.asked.remove(&node_key);
            self.committees.reconnected(&node_key);
        } else {
            self.up.remove(&node_key);
        }
    }
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A ban in words, for logs.
pub fn ban_reason(lie: Lie) -> String {
    format!("it is asked for no more of the state: {lie}")
}
