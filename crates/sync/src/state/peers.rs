//! The peers of state sync: which are connected, how fast each answers, which lack the snapshot, and which lied.
//!
//! *Invariants:* a peer that lied is asked nothing more; a peer that lets questions time out is asked less, and less
//! often.

use super::check::RefusedPart;
use rustorium_types::PublicKey;
use std::collections::BTreeMap;

/// Number of questions that a new peer may have in flight.
const WINDOW_FIRST: usize = 2;
/// Time for which a peer that let a question time out rests, at first and at most.
const REST_MS: u64 = 1_000;
const REST_MS_MAX: u64 = 30_000;
/// Assumed answer time of a peer that has not answered yet.
const LATENCY_MS_FIRST: u64 = 200;

/// A peer that lied and is asked nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ban {
    /// The peer's node key.
    pub peer: PublicKey,
    /// The lie.
    pub why: RefusedPart,
}

#[derive(Debug)]
struct Standing {
    connected: bool,
    banned: bool,
    lacks: bool,
    in_flight: usize,
    window: usize,
    latency_ms: u64,
    rest_ms: u64,
    rests_until_ms: u64,
}

/// The peers of the sync.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<PublicKey, Standing>,
    bans: Vec<Ban>,
    window_max: usize,
}

impl Peers {
    pub fn new(window_max: usize) -> Self {
        Self { window_max, ..Self::default() }
    }

    pub fn connected(&mut self, peer: PublicKey) {
        let new = Standing {
            connected: true,
            banned: false,
            lacks: false,
            in_flight: 0,
            window: WINDOW_FIRST.min(self.window_max),
            latency_ms: LATENCY_MS_FIRST,
            rest_ms: REST_MS,
            rests_until_ms: 0,
        };
        let standing = self.known.entry(peer).or_insert(new);
        standing.connected = true;
        standing.lacks = false;
    }

    pub fn disconnected(&mut self, peer: &PublicKey) {
        if let Some(standing) = self.known.get_mut(peer) {
            standing.connected = false;
            standing.in_flight = 0;
        }
    }

    /// Returns the best peer with room that isn't among `tried`.
    pub fn choose(&self, now_ms: u64, tried: &[PublicKey]) -> Option<PublicKey> {
        let free = |(key, s): &(&PublicKey, &Standing)| {
            s.asked() && s.rests_until_ms <= now_ms && s.in_flight < s.window && !tried.contains(key)
        };
        // The time at which the answer would be there.
        let cost = |(_, s): &(&PublicKey, &Standing)| (s.in_flight as u64 + 1).saturating_mul(s.latency_ms.max(1));
        self.known.iter().filter(free).min_by_key(cost).map(|(key, _)| *key)
    }

    /// Tells if any connected peer that may still have the snapshot isn't among `tried`.
    pub fn untried(&self, tried: &[PublicKey]) -> bool {
        self.known.iter().any(|(key, s)| s.asked() && !tried.contains(key))
    }

    /// Tells if peers are connected, and all of them lack the snapshot.
    pub fn all_lack(&self) -> bool {
        let mut connected = self.known.values().filter(|s| s.connected && !s.banned).peekable();
        connected.peek().is_some() && connected.all(|s| s.lacks)
    }

    /// Returns the time at which the first of the resting peers may be asked again.
    pub fn next_rest_ms(&self, now_ms: u64) -> Option<u64> {
        let resting = self.known.values().filter(|s| s.asked() && s.rests_until_ms > now_ms);
        resting.map(|s| s.rests_until_ms).min()
    }

    pub fn asked(&mut self, peer: &PublicKey) {
        if let Some(standing) = self.known.get_mut(peer) {
            standing.in_flight += 1;
        }
    }

    pub fn answered(&mut self, peer: &PublicKey, took_ms: u64) {
        let window_max = self.window_max;
        if let Some(standing) = self.known.get_mut(peer) {
            standing.in_flight = standing.in_flight.saturating_sub(1);
            standing.window = (standing.window + 1).min(window_max);
            standing.latency_ms = (3 * standing.latency_ms + took_ms) / 4;
            standing.rest_ms = REST_MS;
        }
    }

    pub fn timed_out(&mut self, now_ms: u64, peer: &PublicKey) {
        if let Some(standing) = self.known.get_mut(peer) {
            standing.in_flight = standing.in_flight.saturating_sub(1);
            standing.window = (standing.window / 2).max(1);
            standing.latency_ms = standing.latency_ms.saturating_mul(2).min(REST_MS_MAX);
            standing.rests_until_ms = now_ms.saturating_add(standing.rest_ms);
            standing.rest_ms = (standing.rest_ms * 2).min(REST_MS_MAX);
        }
    }

    pub fn lacks(&mut self, peer: &PublicKey) {
        if let Some(standing) = self.known.get_mut(peer) {
            standing.lacks = true;
        }
    }

    pub fn ban(&mut self, peer: &PublicKey, why: RefusedPart) {
        if let Some(standing) = self.known.get_mut(peer)
            && !standing.banned
        {
            standing.banned = true;
            self.bans.push(Ban { peer: *peer, why });
        }
    }

    pub fn is_banned(&self, peer: &PublicKey) -> bool {
        self.known.get(peer).is_some_and(|s| s.banned)
    }

    pub fn take_bans(&mut self) -> Vec<Ban> {
        std::mem::take(&mut self.bans)
    }

    /// Forgets which peers lack the snapshot: there is another one.
    pub fn forget_lacks(&mut self) {
        self.known.values_mut().for_each(|s| s.lacks = false);
    }
}

impl Standing {
    fn asked(&self) -> bool {
        self.connected && !self.banned && !self.lacks
    }
}
