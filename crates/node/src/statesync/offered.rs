//! Peers' offers to a joiner: their newest snapshots, the chain's first block, and how epochs ended.

use super::committees::Committees;
use rustorium_sync::state::{CheckedSnapshot, certifying_epoch, check_snapshot};
use rustorium_types::{Height, PublicKey, Request, Response, Snapshot, StateAnswer, StateRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Questions about offers have numbers from here on, by `QueryKind` modulo 3; those about parts count up from 0.
pub(super) const OFFER_QUESTIONS: u64 = 1 << 63;
/// Time to wait for further offers once there is one, and for any offer at all.
const OFFERS_WAIT: Duration = Duration::from_secs(1);
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Interval at which peers without an answer are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(750);

/// Subject of a request before the first part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QueryKind {
    Snapshot,
    FirstBlock,
    EpochEnd,
}

/// The offers of all peers.
pub(super) struct PeerOffers {
    pub committees: Committees,
    /// Peers whose links are up.
    pub up: BTreeSet<PublicKey>,
    asked: BTreeMap<PublicKey, Instant>,
    /// Offer of each peer that answered; `None` if it has no valid snapshot.
    answers: BTreeMap<PublicKey, Option<Box<CheckedSnapshot>>>,
    /// True if it has the chain's first block.
    first_block: BTreeMap<PublicKey, bool>,
    first_offer: Option<Instant>,
    next: u64,
    /// Only newer ones count.
    pub above: Height,
    /// A snapshot was begun with: the store holds parts of it, and there is no way back.
    pub committed: bool,
}

/// The next step.
pub(super) enum Decision {
    /// More may come.
    Wait,
    /// The chain can be replayed.
    Replay,
    /// Fill the store from this one.
    Take(Box<CheckedSnapshot>),
}

/// The number of the next question.
fn question(next: &mut u64, about: QueryKind) -> u64 {
    *next += 1;
    OFFER_QUESTIONS / 3 * 3 + 3 * *next + about as u64
}

/// A snapshot that holds under its committee, which is known.
pub(super) fn checked(committees: &Committees, snapshot: Snapshot) -> Option<Box<CheckedSnapshot>> {
    let Some(context) = committees.at(certifying_epoch(&snapshot)) else {
        tracing::warn!(event = "snapshot_refused", reason = "its epoch's committee isn't known here");
        return None;
    };
    let checked =
        check_snapshot(&context.chain(), context.shard(), &context.committee.keys, &context.owners(), snapshot);
    checked.inspect_err(|why| tracing::warn!(event = "snapshot_refused", reason = %why)).ok().map(Box::new)
}

impl PeerOffers {
    /// Nobody was asked yet. `committed`: the store holds parts of a snapshot.
    pub fn new(committees: Committees, committed: bool) -> Self {
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
    pub fn forget(&mut self) {
        self.asked.clear();
        self.answers.clear();
        self.first_block.clear();
        self.first_offer = None;
        self.committees.forget_offers();
    }

    /// A peer's link came up or went down.
    pub fn link(&mut self, node_key: PublicKey, up: bool) {
        if up {
            self.up.insert(node_key);
            self.asked.remove(&node_key);
            self.committees.reconnected(&node_key);
        } else {
            self.up.remove(&node_key);
        }
    }

    /// Returns the requests to send now.
    pub fn questions(&mut self) -> Vec<(PublicKey, u64, Request)> {
        let now = Instant::now();
        let answered = |peer: &PublicKey| self.answers.contains_key(peer) || self.committees.holds(peer);
        let unanswered = |peer: &&PublicKey| !answered(peer) || !self.first_block.contains_key(*peer);
        let due = |peer: &&PublicKey| self.asked.get(*peer).is_none_or(|at| now.duration_since(*at) >= ASK_AGAIN);
        let peers: Vec<PublicKey> = self.up.iter().filter(unanswered).filter(due).copied().collect();
        let mut questions = Vec::new();
        for peer in peers {
            self.asked.insert(peer, now);
            let newest = Request::State(StateRequest::Newest { above: self.above });
            let first = Request::FinalBlocks { first: Height(1), count: 1 };
            for (about, request) in [(QueryKind::Snapshot, newest), (QueryKind::FirstBlock, first)] {
                questions.push((peer, question(&mut self.next, about), request));
            }
        }
        let mut id = || question(&mut self.next, QueryKind::EpochEnd);
        questions.extend(self.committees.questions(&self.up, ASK_AGAIN, &mut id));
        questions
    }

    /// Goes on by what is known of later committees.
    pub fn walk(&mut self) {
        for (peer, snapshot) in self.committees.walk(&self.up) {
            let offered = snapshot.and_then(|snapshot| checked(&self.committees, snapshot));
            self.take(peer, offered);
        }
    }

    /// A peer's answer to a question with a number of these.
    pub fn on_answer(&mut self, from: PublicKey, id: u64, response: Response) {
        if id % 3 == QueryKind::FirstBlock as u64 {
            let has = matches!(response, Response::FinalBlocks { blocks, .. } if !blocks.is_empty());
            self.first_block.insert(from, has);
            return;
        }
        if id % 3 == QueryKind::EpochEnd as u64 {
            return self.committees.on_answer(from, id, response);
        }
        let snapshot = match response {
            Response::State(answer) => match *answer {
                StateAnswer::Snapshot(snapshot) if snapshot.height > self.above => Some(snapshot),
                _ => None,
            },
            _ => None,
        };
        match snapshot {
            Some(later) if self.committees.at(certifying_epoch(&later)).is_none() => {
                self.committees.wait_for(from, later);
            }
            known => {
                let offered = known.and_then(|snapshot| checked(&self.committees, snapshot));
                self.take(from, offered);
            }
        }
    }

    /// Returns the next step of a search that `began` then. `enough`: number of answers that include an honest peer's.
    pub fn decide(&self, enough: usize, beyond_heights: u64, began: Instant) -> Decision {
        if self.committees.is_walking(SILENCE_MAX) {
            return Decision::Wait;
        }
        let answered = self.answers.len();
        // Equal heights are equal snapshots, and of different ones the newest is kept longest.
        let best = self.answers.values().flatten().max_by_key(|checked| checked.header.height);
        let silent = began.elapsed() >= SILENCE_MAX;
        let Some(best) = best else {
            // With f + 1 answers one is an honest node's.
            let replay = !self.committed && (answered >= enough || silent);
            return if replay { Decision::Replay } else { Decision::Wait };
        };
        let waited = self.first_offer.is_some_and(|first| first.elapsed() >= OFFERS_WAIT);
        if answered < enough && !waited {
            return Decision::Wait;
        }
        let replayable = self.first_block.values().any(|has| *has);
        let known = self.first_block.len() >= enough || waited;
        if self.committed || best.header.height.0 >= beyond_heights {
            return Decision::Take(best.clone());
        }
        match (replayable, known) {
            (true, _) => Decision::Replay,
            (false, true) => Decision::Take(best.clone()),
            (false, false) => Decision::Wait,
        }
    }
}
