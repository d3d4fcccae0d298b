//! Peers' reports beside their votes: heights that they executed and rooted, and batches that they hold.
//!
//! *Invariants:* result roots form a chain and state roots certify the whole state, so a peer that has our root at a
//! height agrees on all lower heights; only a peer's newest report counts, and reports about heights that we have not
//! executed yet wait in a short queue.

use rustorium_types::{Hash, Height, ResultClaim, ValidatorIndex};
use std::collections::{BTreeMap, VecDeque};

/// Number of this node's executed heights whose roots are remembered.
const OWN_HEIGHTS_MAX: usize = 4096;
/// Maximum number of reports of one peer that wait for our own execution.
const WAITING_MAX: usize = 64;

#[derive(Clone, Default)]
struct Peer {
    /// Newest report that equals our own root at its height.
    agreed: Option<ResultClaim>,
    /// Oldest height, above `agreed`, at which the peer reported another root than ours.
    disputed: Option<Height>,
    /// Reports ahead of our own execution, ascending by height.
    waiting: VecDeque<ResultClaim>,
}

/// A tally of reported heights and roots: there is one for execution, and one for the state tree.
pub struct ReportTally {
    quorum: usize,
    me: Option<ValidatorIndex>,
    own: BTreeMap<Height, Hash>,
    peers: Vec<Peer>,
}

impl ReportTally {
    /// Creates a tally without reports, for a committee of `n`. `me` is this node's index in it.
    pub fn new(n: usize, quorum: usize, me: Option<ValidatorIndex>) -> Self {
        Self { quorum, me, own: BTreeMap::new(), peers: vec![Peer::default(); n] }
    }

    /// Notes this node's own newest height and root.
    pub fn own(&mut self, report: ResultClaim) {
        self.own.insert(report.height, report.root);
        while self.own.len() > OWN_HEIGHTS_MAX {
            self.own.pop_first();
        }
        for peer in &mut self.peers {
            while let Some(front) = peer.waiting.front().filter(|front| front.height <= report.height) {
                judge(&self.own, *front, peer);
                peer.waiting.pop_front();
            }
        }
    }

    /// Takes a peer's report of its newest height and root.
    pub fn update(&mut self, who: ValidatorIndex, report: ResultClaim) {
        let Some(peer) = self.peers.get_mut(usize::from(who.0)).filter(|_| Some(who) != self.me) else { return };
        let tip = self.own.last_key_value().map(|(height, _)| *height);
        if tip >= Some(report.height) {
            judge(&self.own, report, peer);
        } else if peer.waiting.back().is_none_or(|back| back.height < report.height) {
            // The oldest reports stay, since our execution reaches them first. The newest one is replaced by a newer
            // one.
            if peer.waiting.len() == WAITING_MAX {
                peer.waiting.pop_back();
            }
            peer.waiting.push_back(report);
        }
    }

    /// Returns the newest height and root that a quorum, including this node, agrees on. `None` for a node that only
    /// follows, or before a quorum has reported.
    pub fn claimable(&self) -> Option<ResultClaim> {
        let me = self.me?;
        let (height, root) = self.own.last_key_value()?;
        let others = self.peers.iter().enumerate().filter(|(index, _)| *index != usize::from(me.0));
        let mut agreed: Vec<ResultClaim> = others.filter_map(|(_, peer)| peer.agreed).collect();
        agreed.push(ResultClaim { height: *height, root: *root });
        agreed.sort_unstable_by_key(|report| std::cmp::Reverse(report.height));
        agreed.get(self.quorum.checked_sub(1)?).copied()
    }

    /// Returns a height at or below which a quorum of others has another root than this node. Then this node computed
    /// wrongly and must stop voting.
    pub fn diverged(&self) -> Option<Height> {
        let mut disputed: Vec<Height> = self.peers.iter().filter_map(|peer| peer.disputed).collect();
        disputed.sort_unstable();
        disputed.get(self.quorum.checked_sub(1)?).copied()
    }
}

/// Compares a report with our own root at its height, which we have executed.
fn judge(own: &BTreeMap<Height, Hash>, report: ResultClaim, peer: &mut Peer) {
    let Some(root) = own.get(&report.height) else { return };
    if *root == report.root {
        if peer.agreed.is_none_or(|agreed| agreed.height < report.height) {
            peer.agreed = Some(report);
        }
        peer.disputed = peer.disputed.filter(|height| *height > report.height);
    } else {
        peer.disputed = Some(peer.disputed.map_or(report.height, |height| height.min(report.height)));
    }
}

/// Numbers of batches of each lane that members hold without a gap.
pub struct HeldTally {
    quorum: usize,
    held: Vec<Vec<u64>>,
}

impl HeldTally {
    /// Creates a tally in which no member holds anything, for a committee of `n` with as many lanes.
    pub fn new(n: usize, quorum: usize) -> Self {
        Self { quorum, held: vec![vec![0; n]; n] }
    }

    /// Takes a member's newest numbers, or this node's own. Lanes that are left out are at 0.
    pub fn update(&mut self, who: ValidatorIndex, held: &[u64]) {
        if let Some(row) = self.held.get_mut(usize::from(who.0)) {
            for (lane, count) in row.iter_mut().enumerate() {
                *count = held.get(lane).copied().unwrap_or(0);
            }
        }
    }

    /// Takes a member's numbers for some lanes. Those for the others stay.
    pub fn change(&mut self, who: ValidatorIndex, counts: &[(ValidatorIndex, u64)]) {
        let Some(row) = self.held.get_mut(usize::from(who.0)) else { return };
        for (lane, count) in counts {
            if let Some(known) = row.get_mut(usize::from(lane.0)) {
                *known = *count;
            }
        }
    }

    /// Returns the number of batches of `lane` that a member holds, by its newest report.
    pub fn of(&self, who: ValidatorIndex, lane: ValidatorIndex) -> u64 {
        let row = self.held.get(usize::from(who.0));
        row.and_then(|row| row.get(usize::from(lane.0))).copied().unwrap_or(0)
    }

    /// Returns the members that report to hold the batch of `lane` at `seq`.
    pub fn holders(&self, lane: usize, seq: u64) -> impl Iterator<Item = ValidatorIndex> {
        let holds = move |row: &Vec<u64>| row.get(lane).is_some_and(|count| *count > seq);
        self.held.iter().zip(0..).filter(move |(row, _)| holds(row)).map(|(_, member)| ValidatorIndex(member))
    }

    /// Returns the number of batches of `lane` that a quorum holds.
    pub fn quorum_held(&self, lane: usize) -> u64 {
        let mut counts: Vec<u64> = self.held.iter().filter_map(|row| row.get(lane)).copied().collect();
        counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
        self.quorum.checked_sub(1).and_then(|at| counts.get(at)).copied().unwrap_or(0)
    }
}
