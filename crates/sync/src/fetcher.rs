//! The fetcher asks until an answer fits: one peer at a time, the next after a time-out, with a pause when all were
//! asked.
//!
//! *Invariants:* data that blocks need is wanted for as long as they need it; wants of proposals never take more than a
//! quarter of the places; a peer's delays make no time-out longer than `RTT_TIMEOUT_MS_MAX`.

use crate::needed::{OwnedWant, Owner, Places};
use crate::want::{Verdict, Want};
use rustorium_types::{Request, Response, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Number of times that a time-out doubles at most, once with each round over all peers.
const DOUBLINGS_MAX: u32 = 5;
/// Requests of one want whose late answers still count.
const LATE_ANSWERS_MAX: usize = 8;
/// The longest time-out that a peer's slow answers cause.
const RTT_TIMEOUT_MS_MAX: u64 = 1_000;
/// Refusals that are remembered until they are taken.
const REFUSALS_MAX: usize = 64;
/// Wrong answers that are remembered until they are taken.
const WRONG_ANSWERS_MAX: usize = 64;

/// Bounds of a fetcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchConfig {
    /// Time that the first round waits for an answer before it asks the next peer.
    pub timeout_ms: u64,
    /// Number of requests in flight.
    pub in_flight_max: usize,
    /// Number of wants.
    pub wants_max: usize,
    /// Number of requests in flight with one peer.
    pub per_peer_in_flight_max: usize,
    /// Longest time that the author of a proposal's batch has to answer before the proposer is asked as well.
    pub besides_ms: u64,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self { timeout_ms: 300, in_flight_max: 64, wants_max: 4096, per_peer_in_flight_max: 16, besides_ms: 25 }
    }
}

/// A peer sent something else than the requested data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongAnswer {
    /// The peer.
    pub peer: ValidatorIndex,
    /// The requested data.
    pub want: Want,
}

struct OpenQuestion {
    id: u64,
    peer: ValidatorIndex,
}

struct Question {
    number: u64,
    peer: ValidatorIndex,
    at_ms: u64,
}

struct Entry {
    want: Want,
    /// True if it is wanted only for as long as `need` names it.
    derived: bool,
    /// The peers that may be asked, if not all may: only a proposal needs the data.
    few: Option<Vec<ValidatorIndex>>,
    /// Peers that were preferred, the newest last. A peer can be preferred only once, so that two in turns don't keep
    /// others out.
    preferred: Vec<ValidatorIndex>,
    /// Peers asked in this round.
    tried: Vec<ValidatorIndex>,
    round: u32,
    /// The request in flight.
    current: Option<OpenQuestion>,
    /// Time at which the request times out, or a pause ends; `None` while the entry waits for a free peer.
    due_ms: Option<u64>,
    /// Newest requests. Their answers count even when late.
    ids: VecDeque<u64>,
}

/// The wants, with the peers that were asked for them. Entries are numbered by age; the oldest are asked first.
pub struct Fetcher {
    config: FetchConfig,
    next: u64,
    entries: BTreeMap<u64, Entry>,
    by_want: BTreeMap<Want, u64>,
    asked: BTreeMap<u64, Question>,
    timers: BTreeSet<(u64, u64)>,
    ready: BTreeSet<u64>,
    /// Time at which ready entries should be examined again.
    look_ms: u64,
    in_flight: BTreeMap<ValidatorIndex, Places>,
    places: Places,
    /// Running mean of each peer's answer times.
    answers_ms: BTreeMap<ValidatorIndex, u64>,
    wrong: Vec<WrongAnswer>,
    refusals: Vec<(ValidatorIndex, Want)>,
}

impl Fetcher {
    /// Creates a fetcher that wants nothing.
    pub fn new(config: FetchConfig) -> Self {
        Self {
            config,
            next: 0,
            entries: BTreeMap::new(),
            by_want: BTreeMap::new(),
            asked: BTreeMap::new(),
            timers: BTreeSet::new(),
            ready: BTreeSet::new(),
            look_ms: 0,
            in_flight: BTreeMap::new(),
            places: Places::default(),
            answers_ms: BTreeMap::new(),
            wrong: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// Asks for `want` from the next `poll` on, and asks `prefer` first. For a known want, a peer that is preferred for
    /// the first time ends a pause. The want is dropped if there are already `wants_max`: check with `contains`, and
    /// want it again when some have been answered.
    pub fn want(&mut self, now_ms: u64, want: Want, prefer: Option<ValidatorIndex>) {
        if let Some(number) = self.by_want.get(&want).copied() {
            return self.prefer(now_ms, number, prefer);
        }
        if self.entries.len() >= self.config.wants_max {
            return;
        }
        self.add(now_ms, want, false, None, prefer);
    }

    /// Sets the wants of blocks. Of those set before, only the ones that are named again stay (R41). Wants of certified
    /// blocks come first, lowest height first, and at most `wants_max` of them.
    pub fn need(&mut self, now_ms: u64, needed: Vec<OwnedWant>) {
        let (certified, proposals): (Vec<OwnedWant>, Vec<OwnedWant>) =
            needed.into_iter().partition(|needed| matches!(needed.owner, Owner::Certified(_)));
        let mut gone: BTreeSet<Want> =
            self.entries.values().filter(|entry| entry.derived).map(|entry| entry.want).collect();
        for OwnedWant { want, owner } in certified.into_iter().take(self.config.wants_max).chain(proposals) {
            gone.remove(&want);
            let (few, prefer) = match owner {
                Owner::Certified(prefer) => (None, prefer),
                Owner::Proposal(few) => (Some(few), None),
            };
            match self.by_want.get(&want).copied() {
                Some(number) => self.change(now_ms, number, few, prefer),
                None => self.add(now_ms, want, true, few, prefer),
            }
        }
        gone.iter().for_each(|want| self.cancel(want));
    }

    fn add(
        &mut self,
        now_ms: u64,
        want: Want,
        derived: bool,
        few: Option<Vec<ValidatorIndex>>,
        prefer: Option<ValidatorIndex>,
    ) {
        let number = self.number();
        let (tried, ids, preferred) = (Vec::new(), VecDeque::new(), prefer.into_iter().collect());
        let entry = Entry { want, derived, few, preferred, tried, round: 0, current: None, due_ms: None, ids };
        self.entries.insert(number, entry);
        self.by_want.insert(want, number);
        self.make_ready(now_ms, number);
    }

    /// Changes a known want that others need too, or that a block needs that is certified by now: then all peers may be
    /// asked, at once.
    fn change(&mut self, now_ms: u64, number: u64, few: Option<Vec<ValidatorIndex>>, prefer: Option<ValidatorIndex>) {
        let Some(entry) = self.entries.get(&number) else { return };
        if entry.few.is_some() && few.is_none() {
            self.make_ready(now_ms, number);
            self.entries.get_mut(&number).into_iter().for_each(|entry| entry.few = None);
        }
        self.prefer(now_ms, number, prefer);
    }

    fn prefer(&mut self, now_ms: u64, number: u64, prefer: Option<ValidatorIndex>) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let Some(prefer) = prefer.filter(|peer| !entry.preferred.contains(peer)) else { return };
        entry.preferred.push(prefer);
        entry.tried.retain(|peer| *peer != prefer);
        if entry.current.is_none() {
            self.make_ready(now_ms, number);
        }
    }

    /// Forgets a want, for example because the data came in another way.
    pub fn cancel(&mut self, want: &Want) {
        if let Some(number) = self.by_want.remove(want) {
            self.stop(number);
            self.ready.remove(&number);
            if let Some(entry) = self.entries.remove(&number) {
                entry.ids.iter().for_each(|id| _ = self.asked.remove(id));
            }
        }
    }

    /// Tells if this is wanted.
    pub fn contains(&self, want: &Want) -> bool {
        self.by_want.contains_key(want)
    }

    /// Returns the number of wants.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells if nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the wrong answers since the last call. They were not passed on, and other peers are asked.
    pub fn take_wrong_answers(&mut self) -> Vec<WrongAnswer> {
        std::mem::take(&mut self.wrong)
    }

    /// Drains the peers that answered `NotHeld` since the last call, with the want.
    pub fn take_refusals(&mut self) -> Vec<(ValidatorIndex, Want)> {
        std::mem::take(&mut self.refusals)
    }

    /// Sends requests that are due: `(peer, request number, request)`, to connected peers only. Call it after every
    /// other call, when peers connect, and at `next_deadline_ms`.
    pub fn poll(&mut self, now_ms: u64, connected: &[ValidatorIndex], out: &mut Vec<(ValidatorIndex, u64, Request)>) {
        while let Some((_, number)) = self.timers.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms) {
            self.stop(number);
            self.ready.insert(number);
        }
        let ready: Vec<u64> = self.ready.iter().copied().collect();
        for number in ready {
            let free = connected.iter().any(|peer| self.busy(peer).fits(false, self.config.per_peer_in_flight_max));
            if !free || !self.places.fits(false, self.config.in_flight_max) {
                break;
            }
            self.assign(now_ms, number, connected, out);
        }
        self.look_ms = now_ms.saturating_add(self.config.timeout_ms);
    }

    fn assign(
        &mut self,
        now_ms: u64,
        number: u64,
        connected: &[ValidatorIndex],
        out: &mut Vec<(ValidatorIndex, u64, Request)>,
    ) {
        let Some(entry) = self.entries.get(&number) else { return };
        let proposal = entry.few.is_some();
        if !self.places.fits(proposal, self.config.in_flight_max) {
            return;
        }
        let asked = |peer: &&ValidatorIndex| entry.few.as_ref().is_none_or(|few| few.contains(peer));
        if !connected.iter().filter(asked).any(|peer| !entry.tried.contains(peer)) {
            let timeout_ms = self.config.timeout_ms.saturating_mul(1 << entry.round.min(DOUBLINGS_MAX));
            if let Some(entry) = self.entries.get_mut(&number) {
                entry.tried.clear();
                entry.round = entry.round.saturating_add(1);
            }
            return self.wait(number, now_ms.saturating_add(timeout_ms));
        }
        let Some(peer) = self.next_peer(number, entry, connected) else { return };
        let timeout_ms = self.timeout_ms(entry, peer);

        let id = self.number();
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.tried.push(peer);
        entry.ids.push_back(id);
        entry.current = Some(OpenQuestion { id, peer });
        out.push((peer, id, entry.want.request()));
        if entry.ids.len() > LATE_ANSWERS_MAX {
            entry.ids.pop_front().map(|oldest| self.asked.remove(&oldest));
        }
        self.asked.insert(id, Question { number, peer, at_ms: now_ms });
        self.in_flight.entry(peer).or_default().take(proposal);
        self.places.take(proposal);
        self.wait(number, now_ms.saturating_add(timeout_ms));
    }

    /// Returns the next peer to ask: a connected one with room for one more request.
    fn next_peer(&self, number: u64, entry: &Entry, connected: &[ValidatorIndex]) -> Option<ValidatorIndex> {
        let room =
            |peer: &ValidatorIndex| self.busy(peer).fits(entry.few.is_some(), self.config.per_peer_in_flight_max);
        let askable = |peer: &&ValidatorIndex| connected.contains(peer) && !entry.tried.contains(peer) && room(peer);
        if let Some(few) = &entry.few {
            return few.iter().find(askable).copied();
        }
        let prefer = entry.preferred.iter().rev().find(askable).copied();
        // The wants are spread over the peers: each starts its round at another one.
        let start = (number % connected.len() as u64) as usize;
        let turn = connected[start..].iter().chain(&connected[..start]);
        prefer.or_else(|| turn.filter(askable).min_by_key(|peer| self.busy(peer).all).copied())
    }

    /// Returns the time that this peer has before the next one is asked. The author of a batch that a proposal lists
    /// gets little: its leader waits for this node's vote.
    fn timeout_ms(&self, entry: &Entry, peer: ValidatorIndex) -> u64 {
        let usual_ms = self.answers_ms.get(&peer).map(|mean_ms| mean_ms.saturating_mul(3) / 2);
        if entry.few.is_some() && entry.round == 0 && entry.tried.is_empty() {
            return usual_ms.unwrap_or(u64::MAX).clamp(1, self.config.besides_ms);
        }
        let least_ms = usual_ms.unwrap_or(0).min(RTT_TIMEOUT_MS_MAX).max(self.config.timeout_ms);
        least_ms.saturating_mul(1 << entry.round.min(DOUBLINGS_MAX))
    }

    /// Returns the time at which to call `poll` next, if nothing else happens.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let timer = self.timers.first().map(|(due_ms, _)| *due_ms);
        let look = (!self.ready.is_empty()).then_some(self.look_ms);
        timer.into_iter().chain(look).min()
    }

    /// Takes a peer's answer; `None` for unknown numbers, for `NotHeld` and for a wrong answer. In the latter two cases
    /// the next peer is asked.
    pub fn on_response(
        &mut self,
        now_ms: u64,
        peer: ValidatorIndex,
        id: u64,
        response: Response,
    ) -> Option<(Want, Response)> {
        let Question { number, at_ms, .. } = *self.asked.get(&id).filter(|question| question.peer == peer)?;
        let want = self.entries.get(&number)?.want;
        let verdict = want.judge(&response);
        if verdict != Verdict::Wrong {
            let took_ms = now_ms.saturating_sub(at_ms);
            let mean_ms = self.answers_ms.entry(peer).or_insert(took_ms);
            *mean_ms = (*mean_ms * 7 + took_ms) / 8;
        }
        if verdict == Verdict::Fulfilled {
            self.answered(now_ms, number, id);
            return Some((want, response));
        }
        if verdict == Verdict::Wrong && self.wrong.len() < WRONG_ANSWERS_MAX {
            self.wrong.push(WrongAnswer { peer, want });
        }
        if verdict == Verdict::NotHeld && self.refusals.len() < REFUSALS_MAX {
            self.refusals.push((peer, want));
        }
        self.asked.remove(&id);
        let entry = self.entries.get_mut(&number)?;
        entry.ids.retain(|other| *other != id);
        if entry.current.as_ref().is_some_and(|current| current.id == id) {
            self.make_ready(now_ms, number);
        }
        None
    }

    /// Handles an answer that fits. A want of blocks stays until they no longer need it: the answer may turn out to be
    /// forged, and then the next peer is asked.
    fn answered(&mut self, now_ms: u64, number: u64, id: u64) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if !entry.derived {
            let want = entry.want;
            return self.cancel(&want);
        }
        entry.ids.retain(|other| *other != id);
        self.asked.remove(&id);
        self.stop(number);
        self.wait(number, now_ms.saturating_add(self.config.timeout_ms));
    }

    /// Returns what no peer has been asked for yet, or is to be asked for again.
    pub fn lacking(&self) -> impl Iterator<Item = Want> + '_ {
        self.ready.iter().filter_map(|number| self.entries.get(number)).map(|entry| entry.want)
    }

    /// Notes that something came without a request. It is asked for if it is still wanted after a request's time.
    pub fn came_unasked(&mut self, now_ms: u64, want: &Want) {
        if let Some(number) = self.by_want.get(want).copied() {
            self.stop(number);
            self.wait(number, now_ms.saturating_add(self.config.timeout_ms));
        }
    }

    /// Notes that a peer's link went down. Its requests go to other peers.
    pub fn disconnected(&mut self, peer: ValidatorIndex) {
        let lost: Vec<u64> =
            self.asked.values().filter(|question| question.peer == peer).map(|question| question.number).collect();
        for number in lost {
            let current = self.entries.get(&number).and_then(|entry| entry.current.as_ref());
            if current.is_some_and(|current| current.peer == peer) {
                self.make_ready(0, number);
            }
        }
    }

    fn busy(&self, peer: &ValidatorIndex) -> Places {
        self.in_flight.get(peer).copied().unwrap_or_default()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Ends an entry's request or pause.
    fn stop(&mut self, number: u64) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if let Some(due_ms) = entry.due_ms.take() {
            self.timers.remove(&(due_ms, number));
        }
        let proposal = entry.few.is_some();
        let Some(OpenQuestion { peer, .. }) = entry.current.take() else { return };
        self.places.give_back(proposal);
        if let Some(places) = self.in_flight.get_mut(&peer) {
            places.give_back(proposal);
            if places.all == 0 {
                self.in_flight.remove(&peer);
            }
        }
    }

    fn make_ready(&mut self, now_ms: u64, number: u64) {
        self.stop(number);
        self.ready.insert(number);
        self.look_ms = now_ms;
    }

    fn wait(&mut self, number: u64, due_ms: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.due_ms = Some(due_ms);
            self.timers.insert((due_ms, number));
            self.ready.remove(&number);
        }
    }
}
