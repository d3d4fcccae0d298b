//! The fetcher of a gap: the certificates that a node lacks between the last final view and the newest certified one
//! (R34).
//!
//! *Invariants:* there is one want for the whole gap, however long; it is cut into chunks of at most 256 views, newest
//! first, with four in progress; a chunk ends when none of its views is wanted any more, never with an answer; each
//! peer is asked once a round, so that none can hold a chunk, and a chunk that pauses doesn't delay another one;
//! request numbers are never those of the `Fetcher`.

use crate::runs::Runs;
use rustorium_types::limits::SYNC_ITEMS_MAX;
use rustorium_types::{Certificate, Request, Response, ValidatorIndex, View, VoteKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Views of one chunk.
const CHUNK_VIEWS: u64 = SYNC_ITEMS_MAX as u64;
/// Number of chunks in progress.
const CHUNKS_MAX: usize = 4;
/// Number of times that a time-out doubles at most, once with each round over all peers.
const DOUBLINGS_MAX: u32 = 5;
/// Requests of one chunk whose late answers still count.
const LATE_ANSWERS_MAX: usize = 8;
/// Number of rounds over all peers after which no peer is believed to hold a view.
const FRUITLESS_ROUNDS: u32 = 2;
/// The first request number. The `Fetcher` counts from 0.
const FIRST_ID: u64 = 1 << 62;

/// Times and sizes of a gap's fetching.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GapConfig {
    /// Time that the first round waits for an answer before it asks the next peer.
    pub timeout_ms: u64,
    /// Time for which a gap may last before it is requested without a wish of the core: a certificate may be on its
    /// way.
    pub grace_ms: u64,
    /// Number of other members that are a quorum together with this node.
    pub others: usize,
}

/// A wish of the core: nullifications of these views, and a notarization of the first one if it is nullified.
#[derive(Clone, Copy)]
struct CoreRequest {
    first: u64,
    last: u64,
    parent: Option<u64>,
}

struct Chunk {
    first: u64,
    last: u64,
    /// Start of its round over the peers.
    turn: usize,
    /// The view after the last answer of each peer. An answer has limited room, and the next one continues from there.
    cursors: BTreeMap<ValidatorIndex, u64>,
    /// Peers asked in this round.
    tried: Vec<ValidatorIndex>,
    round: u32,
    /// Number of rounds that brought nothing, each over as many peers as make a quorum.
    fruitless: u32,
    /// True if this round brought anything.
    fruitful: bool,
    /// Peers that have answered since the last success, and brought nothing.
    without: BTreeSet<ValidatorIndex>,
    /// The request in flight, or the one whose answer is being checked.
    current: Option<u64>,
    /// Time at which the request times out, or a pause ends; `None` if the next peer is asked at once.
    due_ms: Option<u64>,
    /// Newest requests. Their answers count even when late.
    ids: VecDeque<(u64, ValidatorIndex)>,
    /// Number of wanted views when the answer came that is being checked.
    wanted: u64,
}

impl Chunk {
    fn new(first: u64, last: u64, turn: usize) -> Self {
        Self {
            first,
            last,
            turn,
            cursors: BTreeMap::new(),
            tried: Vec::new(),
            round: 0,
            fruitless: 0,
            fruitful: false,
            without: BTreeSet::new(),
            current: None,
            due_ms: None,
            ids: VecDeque::new(),
            wanted: 0,
        }
    }

    /// Tells if the next peer may be asked.
    fn is_due(&self, now_ms: u64) -> bool {
        self.due_ms.is_none_or(|due_ms| due_ms <= now_ms)
    }
}

/// The gap, with the peers that were asked for its parts.
pub struct GapFetcher {
    config: GapConfig,
    last_final: u64,
    /// The newest view of which anything is known.
    top: u64,
    /// Views above the last final one without any certificate.
    uncertified: Runs,
    /// Views above the last final one without a nullification.
    unnullified: Runs,
    wish: Option<CoreRequest>,
    prefer: Option<ValidatorIndex>,
    /// Time since which there has been a gap.
    since_ms: Option<u64>,
    /// True if the core waits for a part of the gap.
    urgent: bool,
    /// Chunks by their last views.
    chunks: BTreeMap<u64, Chunk>,
    next_id: u64,
    turns: usize,
}

impl GapFetcher {
    /// Tells if an answer with this number belongs to a question of a gap fetcher.
    pub fn owns(id: u64) -> bool {
        (FIRST_ID..FIRST_ID << 1).contains(&id)
    }

    /// Creates a fetcher without a gap.
    pub fn new(config: GapConfig, last_final: View) -> Self {
        Self {
            config,
            last_final: last_final.0,
            top: last_final.0,
            uncertified: Runs::default(),
            unnullified: Runs::default(),
            wish: None,
            prefer: None,
            since_ms: None,
            urgent: false,
            chunks: BTreeMap::new(),
            next_id: FIRST_ID,
            turns: 0,
        }
    }

    /// Notes that this node holds a certificate.
    pub fn certified(&mut self, kind: VoteKind, view: View) {
        self.extend_to(view.0);
        self.uncertified.remove(view.0);
        if kind == VoteKind::Nullify {
            self.unnullified.remove(view.0);
        } else if let Some(wish) = self.wish.as_mut().filter(|wish| wish.parent == Some(view.0)) {
            wish.parent = None;
        }
        if kind == VoteKind::Finalize {
            self.finalized(view);
        }
    }

    /// Notes that this node has entered a view. Certificates of the views below may be needed, and the core's wish for
    /// the view before is void.
    pub fn entered(&mut self, view: View) {
        self.extend_to(view.0.saturating_sub(1));
        self.wish = None;
    }

    /// Notes that a view is final. Nothing at or below it is wanted any more.
    pub fn finalized(&mut self, view: View) {
        self.extend_to(view.0);
        self.last_final = self.last_final.max(view.0);
        self.uncertified.remove_through(self.last_final);
        self.unnullified.remove_through(self.last_final);
    }

    fn extend_to(&mut self, view: u64) {
        if view > self.top {
            self.uncertified.append(self.top + 1, view);
            self.unnullified.append(self.top + 1, view);
            self.top = view;
        }
    }

    /// Notes that the core lacks certificates of these views, inclusive, to judge or to lead. They are requested at
    /// once, from `prefer` first, even if other certificates of the same views are held.
    pub fn wish(&mut self, first: View, last: View, prefer: ValidatorIndex) {
        let parent = (!self.unnullified.contains(first.0)).then_some(first.0);
        self.wish = Some(CoreRequest { first: first.0, last: last.0, parent });
        self.prefer = Some(prefer);
        self.urgent = true;
        self.connected();
    }

    /// Sends requests that are due: `(peer, request number, request)`, to connected peers only. Call it after every
    /// other call, when peers connect, and at `next_deadline_ms`.
    pub fn poll(&mut self, now_ms: u64, connected: &[ValidatorIndex], out: &mut Vec<(ValidatorIndex, u64, Request)>) {
        self.drop_done();
        if self.newest_wanted(u64::MAX).is_none() {
            (self.since_ms, self.urgent) = (None, false);
            return;
        }
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        if now_ms < since_ms.saturating_add(self.config.grace_ms) && !self.urgent {
            return;
        }
        for chunk in self.chunks.values_mut().filter(|chunk| chunk.is_due(now_ms)) {
            chunk.current = None;
        }
        while self.under_way() < CHUNKS_MAX {
            // The chunk that has waited longest comes first, so that views that no peer holds delay nothing.
            let due = self.chunks.iter().filter(|(_, chunk)| chunk.is_due(now_ms));
            let due = due.min_by_key(|(_, chunk)| chunk.due_ms).map(|(last, _)| *last);
            let Some(last) = due.or_else(|| self.cut_chunk()) else { return };
            self.ask_next(now_ms, last, connected, out);
        }
    }

    fn under_way(&self) -> usize {
        self.chunks.values().filter(|chunk| chunk.current.is_some()).count()
    }

    /// Returns the time at which to call `poll` next, if nothing else happens.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.newest_wanted(u64::MAX)?;
        if self.chunks.is_empty() {
            let since_ms = self.since_ms.filter(|_| !self.urgent);
            return Some(since_ms.map_or(0, |since_ms| since_ms.saturating_add(self.config.grace_ms)));
        }
        let all = self.under_way() < CHUNKS_MAX;
        let due = self.chunks.values().filter(|chunk| all || chunk.current.is_some());
        due.map(|chunk| chunk.due_ms.unwrap_or(0)).min()
    }

    /// Takes a peer's answer. Returns the certificates of the requested chunk. Call `settled` when they are checked.
    /// `None` if the number is not one of this fetcher's, or the answer is useless.
    pub fn on_response(
        &mut self,
        now_ms: u64,
        peer: ValidatorIndex,
        id: u64,
        response: Response,
    ) -> Option<Vec<Certificate>> {
        let chunk = self.chunks.values_mut().find(|chunk| chunk.ids.contains(&(id, peer)))?;
        let (first, last) = (chunk.first, chunk.last);
        let mut found = Vec::new();
        if let Response::Certificates(certificates) = response {
            found = certificates.into_vec();
            found.retain(|certificate| (first..=last).contains(&certificate.body.view.0));
        }
        chunk.ids.retain(|(known, _)| *known != id);
        let expected = chunk.current == Some(id);
        if found.is_empty() {
            chunk.without.insert(peer);
            if expected {
                (chunk.current, chunk.due_ms) = (None, None);
            }
            return None;
        }
        let wanted = self.wanted(first, last);
        let chunk = self.chunks.get_mut(&last)?;
        let behind = found.iter().map(|certificate| certificate.body.view.0 + 1).max();
        chunk.cursors.extend(behind.map(|behind| (peer, behind)));
        chunk.wanted = wanted;
        // The next peer waits until these are checked, since most of them are wanted.
        (chunk.current, chunk.due_ms) = (Some(id), Some(now_ms.saturating_add(self.config.timeout_ms)));
        chunk.ids.push_back((id, peer));
        Some(found)
    }

    /// Notes that the certificates of an answer are checked, and that `certified` was called for those that hold.
    pub fn settled(&mut self, id: u64) {
        let asked = |chunk: &&Chunk| chunk.ids.iter().any(|(known, _)| *known == id);
        let Some((first, last)) = self.chunks.values().find(asked).map(|chunk| (chunk.first, chunk.last)) else {
            return;
        };
        let left = self.wanted(first, last);
        let Some(chunk) = self.chunks.get_mut(&last) else { return };
        let peer = chunk.ids.iter().find(|(known, _)| *known == id).map(|(_, peer)| *peer);
        chunk.ids.retain(|(known, _)| *known != id);
        if left < chunk.wanted {
            chunk.fruitful = true;
            chunk.without.clear();
        } else {
            chunk.without.extend(peer);
        }
        if chunk.current == Some(id) {
            (chunk.current, chunk.due_ms) = (None, None);
        }
    }

    /// Notes that a peer's link came up. The peer may hold certificates that others don't, so all pauses end.
    pub fn connected(&mut self) {
        self.chunks.values_mut().filter(|chunk| chunk.current.is_none()).for_each(|chunk| chunk.due_ms = None);
    }

    /// Notes that a peer's link went down. Its requests go to other peers.
    pub fn disconnected(&mut self, peer: ValidatorIndex) {
        for chunk in self.chunks.values_mut() {
            let asked = chunk.current.filter(|id| chunk.ids.contains(&(*id, peer)));
            if asked.is_some() {
                (chunk.current, chunk.due_ms) = (None, None);
            }
        }
    }

    /// Returns runs of views for which this node holds no certificate, nor do its peers as far as they were asked. At
    /// most `count_max` views, the newest.
    pub fn held_by_nobody(&self, count_max: u64) -> Vec<(View, View)> {
        let asked = |chunk: &&Chunk| chunk.without.len() >= self.config.others || chunk.fruitless >= FRUITLESS_ROUNDS;
        let chunks = self.chunks.values().rev().filter(asked);
        let newest_first = chunks.flat_map(|chunk| self.uncertified.between(chunk.first, chunk.last).into_iter().rev());
        let mut left = count_max;
        let mut runs = Vec::new();
        for (first, last) in newest_first {
            let first = first.max((last + 1).saturating_sub(left));
            if first > last {
                break;
            }
            left -= last + 1 - first;
            runs.push((View(first), View(last)));
        }
        runs.reverse();
        runs
    }

    /// Returns the number of views above the last final one without a certificate.
    pub fn lacking(&self) -> u64 {
        self.uncertified.count(0, u64::MAX)
    }

    fn drop_done(&mut self) {
        let done = self.chunks.values().filter(|chunk| self.wanted(chunk.first, chunk.last) == 0);
        let done: Vec<u64> = done.map(|chunk| chunk.last).collect();
        done.iter().for_each(|last| _ = self.chunks.remove(last));
    }

    /// Makes a chunk for the newest wanted views without one. Returns the chunk's last view.
    fn cut_chunk(&mut self) -> Option<u64> {
        let mut below = u64::MAX;
        loop {
            let last = self.newest_wanted(below)?;
            match self.chunks.range(last..).next().filter(|(_, chunk)| chunk.first <= last) {
                Some((_, chunk)) => below = chunk.first.checked_sub(1)?,
                None => {
                    let under = self.chunks.range(..last).next_back().map_or(0, |(end, _)| end + 1);
                    let first = last.saturating_sub(CHUNK_VIEWS - 1).max(under);
                    self.turns += 1;
                    self.chunks.insert(last, Chunk::new(first, last, self.turns));
                    return Some(last);
                }
            }
        }
    }

    fn ask_next(
        &mut self,
        now_ms: u64,
        last: u64,
        connected: &[ValidatorIndex],
        out: &mut Vec<(ValidatorIndex, u64, Request)>,
    ) {
        let (prefer, id) = (self.prefer, self.next_id);
        let first = self.chunks.get(&last).map(|chunk| chunk.first);
        let wanted = first.and_then(|first| self.oldest_wanted(first)).zip(self.newest_wanted(last));
        let Some((chunk, (oldest, newest))) = self.chunks.get_mut(&last).zip(wanted) else {
            self.chunks.remove(&last);
            return;
        };
        let timeout_ms = self.config.timeout_ms.max(1).saturating_mul(1 << chunk.round.min(DOUBLINGS_MAX));
        let untried = |peer: &ValidatorIndex| !chunk.tried.contains(peer);
        let start = chunk.turn % connected.len().max(1);
        let mut turn = connected[start..].iter().chain(&connected[..start]).copied();
        let preferred = prefer.filter(|peer| connected.contains(peer) && untried(peer));
        let Some(peer) = preferred.or_else(|| turn.find(untried)) else {
            // All peers were asked. If that brought something, they may have more; otherwise it is too early to ask
            // again.
            let enough = std::mem::take(&mut chunk.tried).len() >= self.config.others;
            if std::mem::take(&mut chunk.fruitful) {
                (chunk.round, chunk.fruitless) = (0, 0);
                chunk.due_ms = Some(now_ms.saturating_add(1));
            } else {
                chunk.round = chunk.round.saturating_add(1);
                chunk.fruitless = chunk.fruitless.saturating_add(u32::from(enough));
                chunk.due_ms = Some(now_ms.saturating_add(timeout_ms));
            }
            return;
        };
        self.next_id += 1;
        chunk.tried.push(peer);
        chunk.ids.push_back((id, peer));
        if chunk.ids.len() > LATE_ANSWERS_MAX {
            chunk.ids.pop_front();
        }
        (chunk.current, chunk.due_ms) = (Some(id), Some(now_ms.saturating_add(timeout_ms)));
        let cursor = chunk.cursors.get(&peer).copied().unwrap_or(chunk.first);
        let oldest = self.oldest_wanted(cursor).filter(|view| *view <= newest).unwrap_or(oldest);
        out.push((peer, id, Request::Certificates { first: View(oldest), last: View(newest) }));
    }

    fn newest_wanted(&self, through: u64) -> Option<u64> {
        let gap = self.uncertified.newest_through(through);
        let wish = self.wish.filter(|wish| wish.first <= through);
        let nullified = wish.and_then(|wish| {
            self.unnullified.newest_through(wish.last.min(through)).filter(|view| *view >= wish.first)
        });
        let parent = wish.and_then(|wish| wish.parent).filter(|view| *view > self.last_final);
        gap.into_iter().chain(nullified).chain(parent).max()
    }

    fn oldest_wanted(&self, from: u64) -> Option<u64> {
        let gap = self.uncertified.oldest_from(from);
        let wish = self.wish.filter(|wish| wish.last >= from);
        let nullified =
            wish.and_then(|wish| self.unnullified.oldest_from(wish.first.max(from)).filter(|view| *view <= wish.last));
        let parent = wish.and_then(|wish| wish.parent).filter(|view| *view >= from.max(self.last_final + 1));
        gap.into_iter().chain(nullified).chain(parent).min()
    }

    /// Returns the number of wanted certificates of a chunk.
    fn wanted(&self, first: u64, last: u64) -> u64 {
        let gap = self.uncertified.count(first, last);
        let Some(wish) = self.wish else { return gap };
        let (from, to) = (wish.first.max(first), wish.last.min(last));
        let nullified = if from <= to { self.unnullified.count(from, to) } else { 0 };
        let parent = wish.parent.filter(|view| (first..=last).contains(view) && *view > self.last_final);
        gap + nullified + u64::from(parent.is_some())
    }
}
