//! Links and signs of life: which links are up, when each peer's consensus core was heard, and which peers are silent
//! (R17).
//!
//! *Invariants:* time in which this node itself did not run doesn't count as a peer's silence; notes for other readers
//! are bounded, whether or not they are taken.

use crate::context::Context;
use crate::shard::Now;
use rustorium_types::{PublicKey, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

/// Delay of a turn behind its requested time from which on this node counts as kept from running.
const LATE_US: u64 = 100_000;
/// Number of heartbeats without a sign of life that count as silence.
const SILENT_HEARTBEATS: u64 = 3;
/// Maximum number of arrivals kept until they are read.
const ARRIVALS_MAX: usize = 256;

/// Peers' links and signs of life.
pub(crate) struct Liveness {
    heartbeat_us: u64,
    /// Node keys whose links are up, members' or not.
    linked: BTreeSet<PublicKey>,
    /// Members whose links are up.
    connected: BTreeSet<ValidatorIndex>,
    heard_us: BTreeMap<ValidatorIndex, u64>,
    silent: BTreeSet<ValidatorIndex>,
    /// Time for which the next turn was requested.
    promised_us: Option<u64>,
    /// The last noted arrival of each peer.
    noted_us: BTreeMap<ValidatorIndex, u64>,
    arrivals: Vec<(ValidatorIndex, u64)>,
}

impl Liveness {
    /// Creates the machine for cores with this interval of heartbeats.
    pub(crate) fn new(heartbeat_us: u64) -> Self {
        Self {
            heartbeat_us,
            linked: BTreeSet::new(),
            connected: BTreeSet::new(),
            heard_us: BTreeMap::new(),
            silent: BTreeSet::new(),
            promised_us: None,
            noted_us: BTreeMap::new(),
            arrivals: Vec::new(),
        }
    }

    /// Notes that a link came up or went down.
    pub(crate) fn link(&mut self, node_key: PublicKey, up: bool) {
        if up {
            self.linked.insert(node_key);
        } else {
            self.linked.remove(&node_key);
        }
    }

    /// Returns the node keys whose links are up.
    pub(crate) fn linked(&self) -> &BTreeSet<PublicKey> {
        &self.linked
    }

    /// Returns the next node key after this one whose link is up, in a circle.
    pub(crate) fn linked_after(&self, node_key: PublicKey) -> Option<PublicKey> {
        let after = self.linked.range((Excluded(node_key), Unbounded));
        after.chain(&self.linked).next().copied()
    }

    /// Takes over the links of the previous epoch.
    pub(crate) fn go_on_with(&mut self, linked: BTreeSet<PublicKey>) {
        self.linked = linked;
    }

    /// Returns the node keys whose links are up, for the next epoch.
    pub(crate) fn into_linked(self) -> BTreeSet<PublicKey> {
        self.linked
    }

    /// Notes that a member's link came up or went down.
    pub(crate) fn member_link(&mut self, now: Now, peer: ValidatorIndex, up: bool) {
        if up {
            self.connected.insert(peer);
            self.expect(now, peer);
        } else {
            self.connected.remove(&peer);
        }
    }

    /// Returns the members whose links are up, by place.
    pub(crate) fn connected(&self) -> &BTreeSet<ValidatorIndex> {
        &self.connected
    }

    /// Returns true if a member's link is up and its core is not silent.
    pub(crate) fn speaks(&self, peer: ValidatorIndex) -> bool {
        self.connected.contains(&peer) && !self.silent.contains(&peer)
    }

    /// Returns true if a member can be reached. A non-member receives no votes, so silence is no evidence that a peer is down.
    pub(crate) fn is_reachable(&self, context: &Context, peer: ValidatorIndex) -> bool {
        self.connected.contains(&peer) && (context.me().is_none() || !self.silent.contains(&peer))
    }

    /// Returns the number of other members whose links are down or whose cores have been silent of late.
    pub(crate) fn missing(&self, context: &Context) -> usize {
        others(context).filter(|peer| !self.speaks(*peer)).count()
    }

    /// Expects signs of life of a peer from now on.
    pub(crate) fn expect(&mut self, now: Now, peer: ValidatorIndex) {
        self.heard_us.entry(peer).or_insert(now.us);
    }

    /// Notes a sign of life. Returns true if the peer was silent.
    pub(crate) fn heard(&mut self, now: Now, peer: ValidatorIndex) -> bool {
        self.heard_us.insert(peer, now.us);
        self.note(now, peer);
        self.silent.remove(&peer)
    }

    /// Notes at most one arrival per heartbeat and peer. Under load there are many, which say no more.
    fn note(&mut self, now: Now, peer: ValidatorIndex) {
        let before = self.noted_us.get(&peer).copied();
        if before.is_none_or(|before| now.us >= before + self.heartbeat_us / 10 * 9) {
            self.noted_us.insert(peer, now.us);
            if self.arrivals.len() < ARRIVALS_MAX {
                self.arrivals.push((peer, now.us));
            }
        }
    }

    /// Takes the times at which peers were heard since the last call, at most one per heartbeat and peer.
    pub(crate) fn take_arrivals(&mut self) -> Vec<(ValidatorIndex, u64)> {
        std::mem::take(&mut self.arrivals)
    }

    /// Returns the members that have fallen silent: they were not heard for three heartbeats. A node that was kept from
    /// running could not hear anyone. Frames that arrived meanwhile may still be on their way through its own threads,
    /// so it waits for one more heartbeat.
    pub(crate) fn newly_silent(&mut self, now: Now, context: &Context) -> Vec<ValidatorIndex> {
        let limit = SILENT_HEARTBEATS * self.heartbeat_us;
        let late = self.promised_us.take().map_or(0, |due| now.us.saturating_sub(due));
        if late > LATE_US {
            let least = now.us.saturating_sub(limit - self.heartbeat_us);
            self.heard_us.values_mut().for_each(|heard| *heard = (*heard + late).clamp(least, now.us));
        }
        let mut fallen = Vec::new();
        for peer in others(context) {
            let heard = *self.heard_us.entry(peer).or_insert(now.us);
            if now.us >= heard + limit && self.silent.insert(peer) {
                fallen.push(peer);
            }
        }
        fallen
    }

    /// Notes when the shard wants its next turn.
    pub(crate) fn promise(&mut self, due_us: Option<u64>) {
        self.promised_us = due_us;
    }

    /// Returns when the next peer falls silent, monotonic microseconds.
    pub(crate) fn next_silence_us(&self) -> Option<u64> {
        let speaking = self.heard_us.iter().filter(|(peer, _)| !self.silent.contains(peer));
        speaking.map(|(_, heard)| heard + SILENT_HEARTBEATS * self.heartbeat_us).min()
    }
}

/// Returns the other members' places.
fn others(context: &Context) -> impl Iterator<Item = ValidatorIndex> {
    (0..context.n() as u16).map(ValidatorIndex).filter(|peer| !context.is_me(*peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT_US: u64 = 500_000;
    const PEER: ValidatorIndex = ValidatorIndex(1);

    fn at(us: u64) -> Now {
        Now { us, wall_ms: 0 }
    }

    #[test]
    fn links_are_gone_round_and_a_members_counts_while_it_is_up() {
        let mut liveness = Liveness::new(BEAT_US);
        let keys = [1, 2, 3].map(|byte| [byte; 32]);
        keys.iter().for_each(|key| liveness.link(*key, true));
        assert_eq!(liveness.linked_after(keys[0]), Some(keys[1]));
        assert_eq!(liveness.linked_after(keys[2]), Some(keys[0]));
        keys.iter().for_each(|key| liveness.link(*key, false));
        assert_eq!(liveness.linked_after(keys[0]), None);
        liveness.member_link(at(0), PEER, true);
        assert!(liveness.speaks(PEER) && !liveness.speaks(ValidatorIndex(2)));
        liveness.member_link(at(0), PEER, false);
        assert!(!liveness.speaks(PEER));
    }

    #[test]
    fn one_arrival_a_heartbeat_is_noted_and_few_are_kept() {
        let mut liveness = Liveness::new(BEAT_US);
        for turn in 0..100_000 {
            assert!(!liveness.heard(at(turn * 1_000), PEER));
        }
        let arrivals = liveness.take_arrivals();
        assert!((200..=ARRIVALS_MAX).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(arrivals.windows(2).all(|pair| pair[1].1 - pair[0].1 >= BEAT_US / 10 * 9));
        assert_eq!(liveness.next_silence_us(), Some(99_999_000 + 3 * BEAT_US));
    }
}
