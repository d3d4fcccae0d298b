//! Batches that peers named: which peers to ask for them, and when to stop believing a teller.
//!
//! *Invariants:* one want a lane, for the furthest named end; one question of a lane is in flight at a time; a teller
//! that named a batch that no peer has is believed on that lane only with another end, and three times at most.

use rustorium_types::{Cursor, ValidatorIndex};
use std::collections::BTreeMap;

/// Number of rounds over all peers that may have the batch.
const ROUNDS_MAX: u32 = 2;
/// Number of times that a teller may name batches of a lane that no peer has.
const FAILURES_MAX: u32 = 3;
/// Number of answers with batches, for one want.
const ANSWERS_MAX: u32 = 64;
/// The shortest time for an answer.
const PATIENCE_MS_MIN: u64 = 100;
/// First number of these questions. No other question has such a number.
const FIRST_ID: u64 = 1 << 61;

/// The asker's knowledge of its peers.
pub trait Peers {
    /// Tells if a peer can be asked and knows the request of batches by their seqs.
    fn reachable(&self, peer: ValidatorIndex) -> bool;
    /// Returns the round trip to a peer.
    fn rtt_ms(&self, peer: ValidatorIndex) -> Option<u64>;
    /// Returns the number of batches of a lane that a peer has reported to hold.
    fn holds(&self, peer: ValidatorIndex, lane: ValidatorIndex) -> u64;
    /// Returns the number of batches of a lane that this node holds.
    fn have(&self, lane: ValidatorIndex) -> u64;
    /// Returns the number of members of the committee.
    fn n(&self) -> u16;
}

/// A question for batches of a lane, from `first` and below `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The peer to ask.
    pub peer: ValidatorIndex,
    /// The question's number.
    pub id: u64,
    /// The lane.
    pub lane: ValidatorIndex,
    /// The first seq.
    pub first: u64,
    /// The seq after the last one.
    pub end: u64,
}

#[derive(Debug)]
struct NamedWant {
    end: Cursor,
    tellers: Vec<ValidatorIndex>,
    tried: Vec<ValidatorIndex>,
    round: u32,
    answers: u32,
    /// True if any peer was asked.
    was_asked: bool,
    asked: Option<(ValidatorIndex, u64)>,
    due_ms: u64,
}

#[derive(Debug, Default)]
struct Doubt {
    failures: u32,
    end: Cursor,
}

/// The ends of lanes that peers named and that this node lacks.
#[derive(Debug, Default)]
pub struct NamedWork {
    wants: BTreeMap<ValidatorIndex, NamedWant>,
    doubts: BTreeMap<(ValidatorIndex, ValidatorIndex), Doubt>,
    next: u64,
    timeout_ms: u64,
}

impl NamedWork {
    /// Creates it with nothing named. `timeout_ms`: time for answers of peers whose round trip isn't known.
    pub fn new(timeout_ms: u64) -> Self {
        Self { timeout_ms, ..Self::default() }
    }

    /// Notes that a peer named the end of a lane.
    pub fn tell(&mut self, now_ms: u64, teller: ValidatorIndex, lane: ValidatorIndex, end: Cursor, peers: &dyn Peers) {
        if end.next_seq <= peers.have(lane) || lane.0 >= peers.n() {
            return;
        }
        let doubt = self.doubts.get(&(teller, lane));
        let doubted = doubt.is_some_and(|doubt| doubt.failures >= FAILURES_MAX || doubt.end == end);
        if doubted {
            return;
        }
        // The author has sent it to all peers, so it may be on its way.
        let on_its_way_ms = peers.rtt_ms(lane).unwrap_or(PATIENCE_MS_MIN).max(PATIENCE_MS_MIN / 5);
        let want = self.wants.entry(lane).or_insert_with(|| NamedWant {
            end,
            tellers: Vec::new(),
            tried: Vec::new(),
            round: 0,
            answers: 0,
            was_asked: false,
            asked: None,
            due_ms: if peers.reachable(lane) { now_ms.saturating_add(on_its_way_ms) } else { now_ms },
        });
        if end.next_seq > want.end.next_seq {
            (want.end, want.tellers) = (end, Vec::new());
        }
        if end == want.end && !want.tellers.contains(&teller) {
            want.tellers.push(teller);
        }
    }

    /// Returns the questions that are due. Call it after every other call, and at `next_deadline_ms`.
    pub fn poll(&mut self, now_ms: u64, peers: &dyn Peers) -> Vec<Ask> {
        self.wants.retain(|lane, want| peers.have(*lane) < want.end.next_seq);
        let due: Vec<ValidatorIndex> =
            self.wants.iter().filter(|(_, want)| want.due_ms <= now_ms).map(|(lane, _)| *lane).collect();
        due.into_iter().filter_map(|lane| self.ask(now_ms, lane, peers)).collect()
    }

    fn ask(&mut self, now_ms: u64, lane: ValidatorIndex, peers: &dyn Peers) -> Option<Ask> {
        let want = self.wants.get_mut(&lane)?;
        let everybody = (0..peers.n()).map(ValidatorIndex);
        let holders = everybody.filter(|peer| peers.holds(*peer, lane) >= want.end.next_seq);
        // Ask the author first, which has sent the batch to all peers anyway.
        let order = std::iter::once(lane).chain(want.tellers.iter().copied()).chain(holders);
        let mut untried = order.filter(|peer| peers.reachable(*peer) && !want.tried.contains(peer));
        let Some(peer) = untried.next() else {
            drop(untried);
            want.tried.clear();
            want.asked = None;
            want.round += 1;
            want.due_ms = now_ms.saturating_add(self.timeout_ms);
            if want.round >= ROUNDS_MAX {
                self.give_up(lane);
            }
            return None;
        };
        let patience_ms = peers.rtt_ms(peer).map_or(self.timeout_ms, |rtt| (rtt * 3 / 2).max(PATIENCE_MS_MIN));
        let id = FIRST_ID + self.next;
        self.next += 1;
        want.tried.push(peer);
        (want.asked, want.was_asked) = (Some((peer, id)), true);
        want.due_ms = now_ms.saturating_add(patience_ms);
        Some(Ask { peer, id, lane, first: peers.have(lane), end: want.end.next_seq })
    }

    fn give_up(&mut self, lane: ValidatorIndex) {
        let Some(want) = self.wants.remove(&lane).filter(|want| want.was_asked) else { return };
        for teller in want.tellers {
            let doubt = self.doubts.entry((teller, lane)).or_default();
            doubt.failures += 1;
            doubt.end = want.end;
        }
    }

    /// Notes that a peer answered with this many batches. Returns the requested lane; `None` if there was no such
    /// question.
    pub fn on_answer(&mut self, now_ms: u64, peer: ValidatorIndex, id: u64, batches: usize) -> Option<ValidatorIndex> {
        let (lane, want) = self.wants.iter_mut().find(|(_, want)| want.asked == Some((peer, id)))?;
        want.asked = None;
        if batches == 0 {
            want.due_ms = now_ms;
        } else {
            want.answers += 1;
            if want.answers < ANSWERS_MAX {
                // There may be more than one answer's worth. The batches that came are checked meanwhile.
                want.tried.retain(|tried| *tried != peer);
                want.due_ms = now_ms.saturating_add(PATIENCE_MS_MIN);
            }
        }
        Some(*lane)
    }

    /// Tells if a question with this number may be one of these.
    pub fn is_number(id: u64) -> bool {
        (FIRST_ID..FIRST_ID << 1).contains(&id)
    }

    /// Returns the time at which to call `poll` next, if nothing else happens.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.wants.values().map(|want| want.due_ms).min()
    }

    /// Returns the number of wanted lanes.
    pub fn len(&self) -> usize {
        self.wants.len()
    }

    /// Tells if nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustorium_types::BatchDigest;
    use std::collections::BTreeSet;

    const LANE: ValidatorIndex = ValidatorIndex(1);
    const TELLER: ValidatorIndex = ValidatorIndex(2);
    const HOLDER: ValidatorIndex = ValidatorIndex(3);

    struct Known {
        reachable: BTreeSet<u16>,
        have: u64,
        rtt_ms: Option<u64>,
        holder: u64,
    }

    fn known() -> Known {
        Known { reachable: [1, 2, 3].into(), have: 5, rtt_ms: Some(80), holder: 8 }
    }

    impl Peers for Known {
        fn reachable(&self, peer: ValidatorIndex) -> bool {
            self.reachable.contains(&peer.0)
        }

        fn rtt_ms(&self, _: ValidatorIndex) -> Option<u64> {
            self.rtt_ms
        }

        fn holds(&self, peer: ValidatorIndex, _: ValidatorIndex) -> u64 {
            if peer == HOLDER { self.holder } else { 0 }
        }

        fn have(&self, _: ValidatorIndex) -> u64 {
            self.have
        }

        fn n(&self) -> u16 {
            4
        }
    }

    fn end(next_seq: u64) -> Cursor {
        Cursor { next_seq, tip: BatchDigest([next_seq as u8; 32]) }
    }

    fn told(known: &Known) -> NamedWork {
        let mut told = NamedWork::new(300);
        told.tell(0, TELLER, LANE, end(8), known);
        told
    }

    fn asked(told: &mut NamedWork, now_ms: u64, known: &Known) -> Option<(u16, u64, u64)> {
        told.poll(now_ms, known).first().map(|ask| (ask.peer.0, ask.first, ask.end))
    }

    #[test]
    fn the_author_is_asked_then_the_teller_then_holders() {
        let known = known();
        let mut told = told(&known);
        assert_eq!(told.next_deadline_ms(), Some(80), "its own frame may be on its way");
        assert_eq!(asked(&mut told, 79, &known), None);
        assert_eq!(asked(&mut told, 80, &known), Some((1, 5, 8)));
        assert_eq!(told.next_deadline_ms(), Some(200));
        assert_eq!(asked(&mut told, 200, &known), Some((2, 5, 8)));
        assert_eq!(asked(&mut told, 320, &known), Some((3, 5, 8)));
    }

    #[test]
    fn the_teller_is_asked_at_once_where_the_author_is_gone() {
        let known = Known { reachable: [2, 3].into(), ..known() };
        let mut told = told(&known);
        assert_eq!(asked(&mut told, 0, &known), Some((2, 5, 8)));
    }

    #[test]
    fn what_came_by_another_way_is_asked_of_nobody() {
        let mut known = known();
        let mut told = told(&known);
        known.have = 8;
        assert_eq!(asked(&mut told, 1_000, &known), None);
        assert!(told.is_empty());
        told.tell(1_000, TELLER, LANE, end(8), &known);
        assert!(told.is_empty());
    }

    #[test]
    fn an_answer_without_it_goes_to_the_next_and_a_part_of_it_is_asked_on() {
        let mut known = known();
        let mut told = told(&known);
        let ask = told.poll(80, &known)[0];
        assert_eq!(told.on_answer(90, TELLER, ask.id, 0), None, "another's answer");
        assert_eq!(told.on_answer(90, LANE, ask.id, 0), Some(LANE));
        assert_eq!(asked(&mut told, 90, &known), Some((2, 5, 8)));
        let ask = Ask { peer: TELLER, ..ask };
        let id = told.wants[&LANE].asked.unwrap().1;
        assert_eq!(told.on_answer(100, ask.peer, id, 2), Some(LANE));
        known.have = 7;
        assert_eq!(asked(&mut told, 200, &known), Some((2, 7, 8)));
    }

    #[test]
    fn after_two_rounds_the_want_goes_and_its_teller_is_believed_three_times_at_most() {
        let known = known();
        let mut told = NamedWork::new(300);
        for next_seq in 8..11 {
            told.tell(0, TELLER, LANE, end(next_seq), &known);
            let mut now_ms = 0;
            let mut questions = 0;
            while let Some(due) = told.next_deadline_ms() {
                now_ms = due.max(now_ms);
                questions += told.poll(now_ms, &known).len();
            }
            assert_eq!(questions, 2 * if next_seq == 8 { 3 } else { 2 }, "two rounds over all who may have it");
            told.tell(now_ms, TELLER, LANE, end(next_seq), &known);
            assert!(told.is_empty(), "not the same once more");
        }
        told.tell(0, TELLER, LANE, end(11), &known);
        assert!(told.is_empty(), "and nothing any more after three");
        told.tell(0, HOLDER, LANE, end(11), &known);
        assert_eq!(told.len(), 1, "others are believed");
    }

    #[test]
    fn a_further_end_takes_the_place_of_the_first() {
        let known = known();
        let mut told = told(&known);
        told.tell(10, HOLDER, LANE, end(9), &known);
        told.tell(20, TELLER, LANE, end(8), &known);
        assert_eq!(asked(&mut told, 80, &known), Some((1, 5, 9)));
        assert_eq!(told.wants[&LANE].tellers, [HOLDER]);
    }
}
