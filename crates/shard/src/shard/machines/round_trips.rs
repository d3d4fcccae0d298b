//! Round trips to the other members (R53): probes, their echoes, and what the core is told of them.
//!
//! *Invariants:* an echo counts only with the number of the newest probe to that peer, which nobody else can know, so no
//! peer can seem nearer than it is; a round trip is the least of the last measurements; one probe to a peer is open at a
//! time; a peer's probes are answered at a bounded rate. Round trips belong to node keys, so they outlive an epoch.

use crate::shard::Now;
use rustorium_crypto::probe_number;
use rustorium_types::PublicKey;
use std::collections::{BTreeMap, VecDeque};

/// Number of measurements whose least counts.
const KEPT: usize = 8;
/// Measurements one right after the other: when a link comes up, and when a view of the peer was lost.
const IN_A_ROW: usize = 3;
/// Time from one probe of a peer to the next, for small committees, and for each member of large ones.
const PAUSE_US: u64 = 5_000_000;
const PAUSE_US_EACH: u64 = 250_000;
/// Time from the first of the measurements in a row to the first of the next ones.
const DOUBT_US: u64 = 1_000_000;
/// Number of a peer's probes that are answered in a second.
const ANSWERED_MAX: u32 = 4;
const SECOND_US: u64 = 1_000_000;
/// Shortest time from one report to the core to the next.
const TELL_US: u64 = 1_000_000;
/// A part of what the core was told: it is told again if a round trip differs by more.
const TELL_PART: u64 = 10;

/// Round trips to peers, by their node keys.
pub(crate) struct RoundTrips {
    /// A secret from which the numbers of probes are drawn; `None` if this shard doesn't probe.
    secret: Option<[u8; 32]>,
    probes: u64,
    peers: BTreeMap<PublicKey, Peer>,
    /// The round trips, by place, of which the core was told last.
    told: Vec<u64>,
    tell_at_us: u64,
    /// True if a round trip may have changed since the core was told.
    stale: bool,
}

#[derive(Default)]
struct Peer {
    /// The link is up, and its other end answers probes.
    answers: bool,
    measured_us: VecDeque<u64>,
    /// The newest probe: its number, and when it left.
    open: Option<(u64, u64)>,
    /// Measurements in a row, and how many are still to come.
    row: Vec<u64>,
    to_come: usize,
    next_us: u64,
    doubted_us: Option<u64>,
    /// The second in which probes of the peer came last, and how many were answered in it.
    answered: (u64, u32),
}

impl Peer {
    fn least_us(&self) -> Option<u64> {
        self.measured_us.iter().min().copied()
    }

    /// Takes a measurement. After several in a row that are all much longer than the least so far, only these count: the
    /// way has changed.
    fn measured(&mut self, us: u64) {
        let us = us.max(1);
        if self.to_come > 0 {
            self.to_come -= 1;
            self.row.push(us);
        }
        let before = self.least_us();
        if self.row.len() == IN_A_ROW && self.to_come == 0 {
            let row = std::mem::take(&mut self.row);
            if before.is_some_and(|least| row.iter().all(|us| *us > least + least / 2)) {
                self.measured_us = row.into();
                return;
            }
        }
        if self.measured_us.len() == KEPT {
            self.measured_us.pop_front();
        }
        self.measured_us.push_back(us);
    }
}

impl RoundTrips {
    /// Creates the machine. `secret`: known to nobody else; `None` if this shard doesn't probe.
    pub(crate) fn new(secret: Option<[u8; 32]>) -> Self {
        Self { secret, probes: 0, peers: BTreeMap::new(), told: Vec::new(), tell_at_us: 0, stale: false }
    }

    /// Takes the round trips along into the next epoch, whose core knows none of them.
    pub(crate) fn after(self) -> Self {
        Self { told: Vec::new(), tell_at_us: 0, stale: true, ..self }
    }

    /// Notes that a member's link came up. `answers`: true if the peer knows probes.
    pub(crate) fn link_up(&mut self, now: Now, node_key: PublicKey, answers: bool) {
        let peer = self.peers.entry(node_key).or_default();
        (peer.answers, peer.open, peer.next_us) = (answers, None, now.us);
        peer.row.clear();
        peer.to_come = IN_A_ROW;
    }

    /// Notes that a member's link went down: the next one may take another way.
    pub(crate) fn link_down(&mut self, node_key: &PublicKey) {
        self.peers.remove(node_key);
        self.stale = true;
    }

    /// Forgets all peers except these.
    pub(crate) fn retain(&mut self, is_member: impl Fn(&PublicKey) -> bool) {
        self.peers.retain(|node_key, _| is_member(node_key));
    }

    /// Measures a peer several times in a row, because a view of it was lost: the way to it may have become longer.
    pub(crate) fn doubt(&mut self, now: Now, node_key: &PublicKey) {
        let Some(peer) = self.peers.get_mut(node_key) else { return };
        if peer.to_come == 0 && peer.doubted_us.is_none_or(|at| now.us >= at + DOUBT_US) {
            peer.doubted_us = Some(now.us);
            peer.row.clear();
            peer.to_come = IN_A_ROW;
            peer.next_us = now.us;
        }
    }

    /// Returns the probes that are due, with the keys of the peers. `n`: members of the committee.
    pub(crate) fn due(&mut self, now: Now, n: usize) -> Vec<(PublicKey, u64)> {
        let Some(secret) = self.secret else { return Vec::new() };
        let pause_us = PAUSE_US.max(PAUSE_US_EACH * n as u64);
        let mut due = Vec::new();
        for (node_key, peer) in &mut self.peers {
            if peer.answers && peer.next_us <= now.us {
                let number = probe_number(&secret, self.probes);
                self.probes += 1;
                (peer.open, peer.next_us) = (Some((number, now.us)), now.us + pause_us);
                due.push((*node_key, number));
            }
        }
        due
    }

    /// Returns when the next probe is due, monotonic microseconds.
    pub(crate) fn next_due_us(&self) -> Option<u64> {
        self.secret?;
        self.peers.values().filter(|peer| peer.answers).map(|peer| peer.next_us).min()
    }

    /// Returns true if a peer's probe is answered: not if the peer sends more of them than it has use for.
    pub(crate) fn may_answer(&mut self, now: Now, node_key: &PublicKey) -> bool {
        let peer = self.peers.entry(*node_key).or_default();
        let second = now.us / SECOND_US;
        if peer.answered.0 != second {
            peer.answered = (second, 0);
        }
        peer.answered.1 += 1;
        peer.answered.1 <= ANSWERED_MAX
    }

    /// Takes a peer's echo.
    pub(crate) fn echoed(&mut self, now: Now, node_key: &PublicKey, number: u64) {
        let Some(peer) = self.peers.get_mut(node_key) else { return };
        let Some((_, sent_us)) = peer.open.take_if(|(open, _)| *open == number) else { return };
        peer.measured(now.us.saturating_sub(sent_us));
        self.stale = true;
        if peer.to_come > 0 {
            peer.next_us = now.us;
        }
    }

    /// Returns the round trip to a peer, microseconds. `None` if it isn't known.
    pub(crate) fn us(&self, node_key: &PublicKey) -> Option<u64> {
        self.peers.get(node_key)?.least_us()
    }

    /// Returns the round trips to the members, by place, if the core is to be told; 0 for unknown ones.
    pub(crate) fn news<'a>(&mut self, now: Now, members: impl Iterator<Item = &'a PublicKey>) -> Option<Vec<u64>> {
        if !self.stale || self.secret.is_none() || now.us < self.tell_at_us {
            return None;
        }
        self.stale = false;
        let found: Vec<u64> = members.map(|node_key| self.us(node_key).unwrap_or_default()).collect();
        let differs = |(us, told): (&u64, &u64)| us.abs_diff(*told) > told / TELL_PART;
        let known = found.iter().any(|us| *us > 0) || !self.told.is_empty();
        let changed = found.len() != self.told.len() || found.iter().zip(&self.told).any(differs);
        if !known || !changed {
            return None;
        }
        self.tell_at_us = now.us + TELL_US;
        self.told.clone_from(&found);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PublicKey = [7; 32];
    const OTHER: PublicKey = [8; 32];

    fn at(ms: u64) -> Now {
        Now { us: ms * 1000, wall_ms: 0 }
    }

    fn linked() -> RoundTrips {
        let mut trips = RoundTrips::new(Some([1; 32]));
        trips.link_up(at(0), PEER, true);
        trips
    }

    /// Answers each probe to `PEER` after `rtt_ms`, until `until_ms`. Returns how many there were.
    fn run(trips: &mut RoundTrips, from_ms: u64, until_ms: u64, rtt_ms: u64) -> usize {
        let (mut now_ms, mut sent) = (from_ms, 0);
        while let Some(due_us) = trips.next_due_us() {
            now_ms = now_ms.max(due_us / 1000);
            if now_ms > until_ms {
                break;
            }
            for (node_key, number) in trips.due(at(now_ms), 4) {
                sent += 1;
                now_ms += rtt_ms;
                trips.echoed(at(now_ms), &node_key, number);
            }
        }
        sent
    }

    #[test]
    fn a_link_is_measured_three_times_at_once_and_then_now_and_then() {
        let mut trips = linked();
        assert_eq!(run(&mut trips, 0, 4_999, 40), 3);
        assert_eq!(trips.us(&PEER), Some(40_000));
        assert_eq!(run(&mut trips, 5_000, 15_500, 30), 3, "each five seconds");
        assert_eq!(trips.us(&PEER), Some(30_000), "the least");
        trips.link_down(&PEER);
        assert_eq!((trips.us(&PEER), trips.next_due_us()), (None, None));
    }

    #[test]
    fn large_committees_probe_less_often() {
        let mut trips = linked();
        trips.due(at(0), 100);
        assert_eq!(trips.next_due_us(), Some(25_000_000));
    }

    #[test]
    fn an_echo_counts_once_and_only_with_the_number_of_the_newest_probe() {
        let mut trips = linked();
        let [(_, first)] = trips.due(at(0), 4)[..] else { panic!("one probe") };
        for wrong in [first + 1, 0] {
            trips.echoed(at(10), &PEER, wrong);
        }
        trips.echoed(at(10), &OTHER, first);
        assert_eq!(trips.us(&PEER), None);
        assert_eq!(trips.due(at(4_999), 4), [], "one is open");
        let [(_, second)] = trips.due(at(5_000), 4)[..] else { panic!("a later one takes its place") };
        trips.echoed(at(5_010), &PEER, first);
        assert_eq!(trips.us(&PEER), None, "the older one is void");
        trips.echoed(at(5_020), &PEER, second);
        trips.echoed(at(5_400), &PEER, second);
        assert_eq!((trips.us(&PEER), trips.peers[&PEER].measured_us.len()), (Some(20_000), 1));
    }

    #[test]
    fn a_longer_way_counts_once_a_lost_view_made_this_node_look() {
        let mut trips = linked();
        run(&mut trips, 0, 4_999, 80);
        run(&mut trips, 5_000, 15_500, 250);
        assert_eq!(trips.us(&PEER), Some(80_000), "the least of eight");
        trips.doubt(at(16_000), &PEER);
        run(&mut trips, 16_000, 17_000, 250);
        assert_eq!(trips.us(&PEER), Some(250_000));
        trips.doubt(at(18_000), &PEER);
        run(&mut trips, 18_000, 18_900, 260);
        assert_eq!(trips.us(&PEER), Some(250_000), "not much longer: it is one of eight");
    }

    #[test]
    fn lost_views_without_end_measure_once_a_second() {
        let mut trips = linked();
        run(&mut trips, 0, 100, 10);
        let mut sent = 0;
        for ms in 1_000..11_000 {
            trips.doubt(at(ms), &PEER);
            sent += run(&mut trips, ms, ms, 0);
        }
        assert_eq!(sent, 30);
        trips.doubt(at(12_000), &OTHER);
        assert_eq!(trips.us(&OTHER), None);
    }

    #[test]
    fn a_peer_that_probes_without_end_gets_four_answers_a_second() {
        let mut trips = RoundTrips::new(None);
        let answered = (0..10_000).filter(|ms| trips.may_answer(at(*ms), &PEER)).count();
        assert_eq!(answered, 40);
        assert_eq!(trips.us(&PEER), None);
    }

    #[test]
    fn peers_of_an_older_release_are_not_probed() {
        let mut trips = RoundTrips::new(Some([1; 32]));
        trips.link_up(at(0), PEER, false);
        assert_eq!((trips.due(at(0), 4), trips.next_due_us()), (Vec::new(), None));
    }

    #[test]
    fn the_core_hears_of_changes_of_a_tenth_and_once_a_second() {
        let mut trips = linked();
        let members = [OTHER, PEER];
        assert_eq!(trips.news(at(0), members.iter()), None, "nothing is known");
        run(&mut trips, 0, 1_000, 100);
        assert_eq!(trips.news(at(1_000), members.iter()), Some(vec![0, 100_000]));
        run(&mut trips, 5_000, 5_500, 92);
        assert_eq!(trips.news(at(6_000), members.iter()), None, "within a tenth");
        run(&mut trips, 10_000, 10_500, 50);
        assert_eq!(trips.news(at(10_600), members.iter()), Some(vec![0, 50_000]));
        trips.link_down(&PEER);
        assert_eq!(trips.news(at(11_500), members.iter()), None, "within a second");
        assert_eq!(trips.news(at(11_600), members.iter()), Some(vec![0, 0]));
    }

    #[test]
    fn the_next_epochs_core_hears_what_the_one_before_was_told() {
        let mut trips = linked();
        run(&mut trips, 0, 1_000, 100);
        assert_eq!(trips.news(at(1_000), [PEER].iter()), Some(vec![100_000]));
        assert_eq!(trips.news(at(3_000), [PEER].iter()), None);
        assert_eq!(trips.after().news(at(3_000), [PEER].iter()), Some(vec![100_000]));
    }
}
