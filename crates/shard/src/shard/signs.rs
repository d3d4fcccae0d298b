//! Signs of life: when each peer's consensus core was heard, and who is silent.
//!
//! *Invariants:* time in which this node itself did not run is nobody's silence; what is noted for others to read is
//! bounded, whether or not it is taken.

use super::{Now, Ports, Shard};
use crate::port::Input;
use rustorium_types::{Height, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet};

/// A turn that comes later than it was asked for by more than this was kept from running.
const LATE_US: u64 = 100_000;
/// Heartbeats without a sign of life that are silence.
const SILENT_HEARTBEATS: u64 = 3;
/// Arrivals that are kept for who reads them.
const ARRIVALS_MAX: usize = 256;

/// What is known of the peers' lives.
#[derive(Default)]
pub(super) struct Signs {
    heard_us: BTreeMap<ValidatorIndex, u64>,
    silent: BTreeSet<ValidatorIndex>,
    /// When the next turn was asked for.
    promised_us: Option<u64>,
    /// The last noted arrival of each peer.
    noted_us: BTreeMap<ValidatorIndex, u64>,
    arrivals: Vec<(ValidatorIndex, u64)>,
}

impl Signs {
    /// From now on this peer should be heard.
    pub(super) fn expect(&mut self, now: Now, peer: ValidatorIndex) {
        self.heard_us.entry(peer).or_insert(now.us);
    }

    pub(super) fn is_silent(&self, peer: ValidatorIndex) -> bool {
        self.silent.contains(&peer)
    }

    /// When the shard wants its next turn.
    pub(super) fn promise(&mut self, due_us: Option<u64>) {
        self.promised_us = due_us;
    }

    /// When the next peer falls silent.
    pub(super) fn next_silence_us(&self, heartbeat_us: u64) -> Option<u64> {
        let speaking = self.heard_us.iter().filter(|(peer, _)| !self.silent.contains(peer));
        speaking.map(|(_, heard)| heard + SILENT_HEARTBEATS * heartbeat_us).min()
    }

    /// One arrival a heartbeat and peer is noted: under load there are many, which say no more.
    fn note(&mut self, now: Now, peer: ValidatorIndex, heartbeat_us: u64) {
        let before = self.noted_us.get(&peer).copied();
        if before.is_none_or(|before| now.us >= before + heartbeat_us / 10 * 9) {
            self.noted_us.insert(peer, now.us);
            if self.arrivals.len() < ARRIVALS_MAX {
                self.arrivals.push((peer, now.us));
            }
        }
    }
}

impl<P: Ports> Shard<P> {
    pub(super) fn heard(&mut self, now: Now, peer: ValidatorIndex) {
        self.signs.heard_us.insert(peer, now.us);
        self.signs.note(now, peer, self.config.heartbeat_us);
        if self.signs.silent.remove(&peer) {
            self.core.tell(Input::PeerSilence(peer, false));
        }
    }

    /// R17: who was not heard for three heartbeats is silent. A node that was kept from running could not hear anyone: what
    /// its peers sent meanwhile may still be on its way through its own threads, for which there is one more heartbeat.
    pub(super) fn update_silence(&mut self, now: Now) {
        let limit = SILENT_HEARTBEATS * self.config.heartbeat_us;
        let late = self.signs.promised_us.take().map_or(0, |due| now.us.saturating_sub(due));
        if late > LATE_US {
            let least = now.us.saturating_sub(limit - self.config.heartbeat_us);
            self.signs.heard_us.values_mut().for_each(|heard| *heard = (*heard + late).clamp(least, now.us));
        }
        let context = self.context.clone();
        for peer in (0..context.n() as u16).map(ValidatorIndex).filter(|peer| !context.is_me(*peer)) {
            let heard = *self.signs.heard_us.entry(peer).or_insert(now.us);
            if now.us >= heard + limit && self.signs.silent.insert(peer) {
                self.core.tell(Input::PeerSilence(peer, true));
            }
        }
    }

    /// When peers were heard since the last call, at most once a heartbeat each.
    pub fn take_arrivals(&mut self) -> Vec<(ValidatorIndex, u64)> {
        std::mem::take(&mut self.signs.arrivals)
    }

    /// The next height, where all connected peers that have executed it say that they no longer hold its block: at least
    /// one honest one among them.
    pub fn unserved(&self) -> Option<Height> {
        let height = self.tree.root().1.height.next();
        let refused = self.fetching.unserved_by(height)?;
        let executed = |peer: &&ValidatorIndex| self.results.has_executed(**peer, height);
        let holders: Vec<_> = self.connected.iter().filter(executed).collect();
        let all = holders.len() > self.context.committee.faults() && holders.iter().all(|peer| refused.contains(peer));
        all.then_some(height)
    }
}
