//! Work that this node named to peers and that peers named to it (R44), and the message forms that peers understand.
//!
//! *Invariants:* peers of an older release get the older forms; work that a quorum already holds is told to all peers
//! at most once per heartbeat.

use super::batches::Batches;
use super::liveness::Liveness;
use crate::context::Context;
use crate::shard::Now;
use rustorium_sync::named_work::{Ask, NamedWork, Peers};
use rustorium_types::{BoundedVec, Cursor, Held, ValidatorIndex, link_version};
use std::collections::BTreeSet;

/// Number of votes from one complete statement of held batches to the next.
const WHOLE_EVERY: u32 = 16;

/// Work that was named between this node and its peers.
pub(crate) struct Digests {
    told: NamedWork,
    /// Peers that understand only the forms of 0.2.0.
    older: BTreeSet<ValidatorIndex>,
    /// Last statement of the held batches, and the number of votes since the last complete one.
    held: Vec<u64>,
    since_whole: u32,
    /// Time at which work was last told to all peers, monotonic microseconds.
    told_all_us: Option<u64>,
}

/// The shard's knowledge of its peers.
pub(crate) struct PeerKnowledge<'a> {
    pub(crate) context: &'a Context,
    pub(crate) batches: &'a Batches,
    pub(crate) liveness: &'a Liveness,
    pub(crate) rtt_us: &'a dyn Fn(ValidatorIndex) -> Option<u64>,
}

struct PeerView<'a>(&'a BTreeSet<ValidatorIndex>, &'a PeerKnowledge<'a>);

impl Peers for PeerView<'_> {
    fn reachable(&self, peer: ValidatorIndex) -> bool {
        !self.0.contains(&peer) && self.1.liveness.speaks(peer)
    }

    fn rtt_ms(&self, peer: ValidatorIndex) -> Option<u64> {
        (self.1.rtt_us)(peer).map(|us| us / 1000)
    }

    fn holds(&self, peer: ValidatorIndex, lane: ValidatorIndex) -> u64 {
        self.1.batches.peers().of(peer, lane)
    }

    fn have(&self, lane: ValidatorIndex) -> u64 {
        self.1.batches.lanes().tip(lane).map_or(u64::MAX, |tip| tip.next_seq)
    }

    fn n(&self) -> u16 {
        self.1.context.n() as u16
    }
}

impl Digests {
    pub(crate) fn new(timeout_ms: u64) -> Self {
        let told = NamedWork::new(timeout_ms);
        Self { told, older: BTreeSet::new(), held: Vec::new(), since_whole: 0, told_all_us: None }
    }

    /// Returns when this machine wants a turn, monotonic microseconds.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        self.told.next_deadline_ms().map(|ms| ms.saturating_mul(1000))
    }

    /// Returns true if a peer understands the newer forms.
    pub(crate) fn speaks(&self, peer: ValidatorIndex) -> bool {
        !self.older.contains(&peer)
    }

    /// Returns true if all peers understand the newer forms.
    pub(crate) fn all_speak(&self) -> bool {
        self.older.is_empty()
    }

    /// Notes that a link came up: which forms the peer understands, and that it knows nothing of the held batches.
    pub(crate) fn note_version(&mut self, peer: ValidatorIndex, version: u8) {
        if version < link_version::DIGESTS {
            self.older.insert(peer);
        } else {
            self.older.remove(&peer);
        }
        self.since_whole = 0;
    }

    /// Returns what changed of the held batches since the last vote: all of it after a link came up, and now and then.
    pub(crate) fn held_change(&mut self, held: Vec<u64>) -> Held {
        let before = std::mem::replace(&mut self.held, held.clone());
        let whole = self.since_whole == 0 || before.len() != held.len();
        self.since_whole = (self.since_whole + 1) % WHOLE_EVERY;
        if whole {
            return Held::Whole(BoundedVec::new(held).unwrap_or_default());
        }
        let changed = held.into_iter().zip(before).enumerate().filter(|(_, (count, before))| count != before);
        let changed = changed.map(|(lane, (count, _))| (ValidatorIndex(lane as u16), count)).collect();
        Held::Changes(BoundedVec::new(changed).unwrap_or_default())
    }

    /// Returns true if work is told to all peers now, whatever they hold: at most once in `pause_us`.
    pub(crate) fn tells_all(&mut self, now: Now, pause_us: u64) -> bool {
        let all = self.told_all_us.is_none_or(|at| now.us >= at + pause_us);
        if all {
            self.told_all_us = Some(now.us);
        }
        all
    }

    /// Notes how far a lane goes according to a peer.
    pub(crate) fn tell(
        &mut self,
        now: Now,
        peer: ValidatorIndex,
        lane: ValidatorIndex,
        end: Cursor,
        known: &PeerKnowledge,
    ) {
        self.told.tell(now.ms(), peer, lane, end, &PeerView(&self.older, known));
    }

    /// Returns the questions for work that peers named.
    pub(crate) fn poll(&mut self, now: Now, known: &PeerKnowledge) -> Vec<Ask> {
        self.told.poll(now.ms(), &PeerView(&self.older, known))
    }

    /// Takes an answer with this many batches. Returns the lane that was asked for.
    pub(crate) fn on_answer(
        &mut self,
        now: Now,
        peer: ValidatorIndex,
        id: u64,
        batches: usize,
    ) -> Option<ValidatorIndex> {
        self.told.on_answer(now.ms(), peer, id, batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_held_is_said_at_first_and_now_and_then_and_after_a_link_came_up() {
        let mut digests = Digests::new(300);
        let held = [3, 5, 0];
        let whole = |held: &Held| matches!(held, Held::Whole(_));
        assert!(whole(&digests.held_change(held.to_vec())));
        let Held::Changes(changes) = digests.held_change(vec![3, 6, 0]) else { panic!("changes alone") };
        assert_eq!(changes.as_slice(), [(ValidatorIndex(1), 6)]);
        let said: Vec<bool> = (0..WHOLE_EVERY).map(|_| whole(&digests.held_change(held.to_vec()))).collect();
        assert_eq!(said.iter().filter(|whole| **whole).count(), 1);
        digests.note_version(ValidatorIndex(1), link_version::DIGESTS);
        assert!(whole(&digests.held_change(held.to_vec())) && digests.all_speak());
        digests.note_version(ValidatorIndex(2), link_version::DIGESTS - 1);
        assert!(!digests.speaks(ValidatorIndex(2)) && digests.speaks(ValidatorIndex(1)));
    }

    #[test]
    fn all_are_told_at_most_once_in_a_pause() {
        let mut digests = Digests::new(300);
        let at = |us| Now { us, wall_ms: 0 };
        assert!(digests.tells_all(at(5), 100) && !digests.tells_all(at(104), 100) && digests.tells_all(at(105), 100));
    }
}
