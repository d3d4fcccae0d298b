//! Fills an empty store from peers' snapshots, where replaying the chain is out of reach: before the shard runs.
//!
//! *Invariants:* a snapshot is begun with only when a quorum's certificate stands for it; whoever lies is banned and named;
//! what is stored of a snapshot is never mixed with another's.

use super::committees::Committees;
use super::fill::{Checkers, finish, keep, stored};
use super::offered::{Decision, OFFER_QUESTIONS, PeerOffers, checked};
use super::progress::FillProgress;
use crate::guarded;
use rustorium_api::Filling;
use rustorium_shard::context::Context;
use rustorium_stages::executor::store_code;
use rustorium_stages::queue::Queue;
use rustorium_state::tables::Tables;
use rustorium_storage::{Store, StoreError};
use rustorium_sync::state::{
    Ban, CheckedPart, CheckedSnapshot, Progress, RefusedPart, Standing, StateSync, StateSyncConfig, Target,
};
use rustorium_transport::{Credit, Transport};
use rustorium_types::{Class, Height, Message, PublicKey, Request, Response, Snapshot, decode, encode, limits};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest sleep, and how often progress is told.
const TICK: Duration = Duration::from_millis(250);
const TELL: Duration = Duration::from_secs(2);
const CHECKERS: usize = 2;

/// An event for a joiner.
pub enum JoinEvent {
    /// A link came up or went down.
    Link {
        /// The peer's node key.
        node_key: PublicKey,
        /// True if it is up.
        up: bool,
    },
    /// A peer's answer.
    Response {
        /// The sender.
        from: PublicKey,
        /// The number of the question.
        id: u64,
        /// The answer.
        response: Response,
        /// Returned when the answer is handled: until then less is read from the sender.
        credit: Credit,
    },
    /// A part was checked.
    CheckedPart(Box<CheckedPart>),
    /// A thread that checks parts panicked.
    Panicked,
    /// The node stops.
    Stop,
}

/// Result of joining.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinOutcome {
    /// The store holds the state after this height.
    Filled(Height),
    /// The chain can be replayed from its beginning.
    NotNeeded,
    /// The node was stopped.
    Stopped,
}

/// A joiner's parts.
pub struct Joiner {
    /// The empty store, or one that an earlier start began to fill.
    pub store: Arc<dyn Store>,
    /// Links to the peers.
    pub transport: Transport,
    /// The incoming events.
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
    /// Receiver of the progress.
    pub progress: Arc<FillProgress>,
}

type Failure = (&'static str, String);

fn panicked() -> Failure {
    (guarded::CODE, guarded::PANICKED.to_owned())
}

fn failed(error: &StoreError) -> Failure {
    (store_code(error), error.to_string())
}

impl Joiner {
    /// Fills the store, or finds that there is no need to. Errors: a code and a sentence.
    pub fn run(mut self) -> Result<JoinOutcome, Failure> {
        let begun = self.store.syncing().map_err(|e| failed(&e))?;
        let committees = Committees::read(self.context.clone(), &*self.store).map_err(|e| failed(&e))?;
        let mut offers = PeerOffers::new(committees, begun.is_some());
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
                Standing::Running => return Ok(JoinOutcome::Stopped),
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
        Ok(JoinOutcome::Filled(snapshot.header.height))
    }

    /// Asks until there is a snapshot to take, or no need for one.
    fn choose(&mut self, offers: &mut PeerOffers) -> Result<Result<Box<CheckedSnapshot>, JoinOutcome>, Failure> {
        let began = Instant::now();
        offers.forget();
        tracing::info!(event = "looking_for_snapshots", peers = self.peers);
        let mut waiting = VecDeque::new();
        loop {
            for (peer, id, request) in offers.questions() {
                self.ask(&peer, id, request);
            }
            if !self.events.take(Some(TICK), &mut waiting) {
                return Ok(Err(JoinOutcome::Stopped));
            }
            for event in waiting.drain(..) {
                match event {
                    JoinEvent::Stop => return Ok(Err(JoinOutcome::Stopped)),
                    JoinEvent::Link { node_key, up } => offers.link(node_key, up),
                    JoinEvent::Response { from, id, response, .. } if id >= OFFER_QUESTIONS => {
                        offers.on_answer(from, id, response);
                    }
                    JoinEvent::Panicked => return Err(panicked()),
                    JoinEvent::Response { .. } | JoinEvent::CheckedPart(_) => {}
                }
            }
            offers.walk();
            self.progress.looking(offers.up.len());
            match offers.decide(self.enough(), self.beyond_heights, began) {
                Decision::Wait => {}
                Decision::Replay => return Ok(Err(JoinOutcome::NotNeeded)),
                Decision::Take(snapshot) => {
                    self.store.begin_sync(&encode(&snapshot.snapshot)).map_err(|e| failed(&e))?;
                    offers.committees.keep(&*self.store).map_err(|e| failed(&e))?;
                    return Ok(Ok(snapshot));
                }
            }
        }
    }

    fn ask(&self, peer: &PublicKey, id: u64, request: Request) {
        let frame = Message::Request { id, request }.to_frame();
        // A question that finds no room is asked again.
        let _ = self.transport.send_to(peer, Class::Sync, frame.into());
    }

    /// Returns the number of answers that include an honest peer's; at most the number of peers.
    fn enough(&self) -> usize {
        (self.context.committee.faults() + 1).min(self.peers)
    }

    /// Fetches, checks and keeps parts until the tree is complete, gone, or (still running) it was told to stop.
    fn fill(&mut self, sync: &mut StateSync, offers: &mut PeerOffers) -> Result<Standing, Failure> {
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
            self.tell(sync, offers.up.len(), start, &mut told);
        }
        Ok(sync.standing())
    }

    fn on_event(
        &self,
        sync: &mut StateSync,
        offers: &mut PeerOffers,
        checkers: &mut Checkers,
        now_ms: u64,
        event: JoinEvent,
    ) -> Result<(), Failure> {
        match event {
            JoinEvent::Link { node_key, up } => {
                offers.link(node_key, up);
                if up { sync.connected(node_key) } else { sync.disconnected(&node_key) }
            }
            JoinEvent::Response { from, id, response, .. } if id < OFFER_QUESTIONS => {
                if let Some(job) = sync.on_answer(now_ms, from, id, response) {
                    checkers.check(job);
                }
            }
            JoinEvent::CheckedPart(checked) => {
                let write = sync.on_checked(*checked, &stored(&self.store));
                let write = write.map_err(|error| ("state-tree-failed", error.to_string()))?;
                keep(&*self.store, sync.target().height, write).map_err(|e| failed(&e))?;
            }
            JoinEvent::Panicked => return Err(panicked()),
            JoinEvent::Response { .. } | JoinEvent::Stop => {}
        }
        Ok(())
    }

    /// Makes known how far it is; now and then in the log.
    fn tell(&self, sync: &StateSync, peers: usize, start: Instant, told: &mut Instant) {
        let Progress { leaves, bytes, done_ppm } = sync.progress();
        let took_ms = millis(start).max(1);
        let left_ms = (1_000_000 - done_ppm).saturating_mul(took_ms).checked_div(done_ppm);
        let seconds_left = left_ms.map(|ms| ms.div_ceil(1000));
        let height = Some(sync.target().height);
        let parts = sync.parts();
        self.progress.moved(|now| {
            *now = Filling { height, done_ppm, leaves, bytes, parts, peers, seconds_left, ..std::mem::take(now) };
        });
        if told.elapsed() >= TELL {
            *told = Instant::now();
            let (percent, leaves_per_s) = (done_ppm / 10_000, leaves * 1000 / took_ms);
            tracing::info!(event = "state_syncing", percent, leaves, leaves_per_s, ?seconds_left);
        }
    }
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A ban in words, for logs.
pub fn ban_reason(lie: RefusedPart) -> String {
    format!("it gets no more requests for the state: {lie}")
}
