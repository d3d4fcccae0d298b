//! The order in which requests of other nodes are answered.
//!
//! *Invariants:* requesters take turns. The bytes sent to all guests, to all strangers, and to each member stay below
//! their rates, and so does the number of checked transactions of each outsider. At most one push of a requester waits.
//! A requester's memory is freed with its work.

use super::budget::Budget;
use super::routing::Standing;
use rustorium_shard::senders::Credit;
use rustorium_types::{Epoch, PublicKey, Request, Transaction};
use std::collections::{BTreeMap, VecDeque};

/// Bytes a second that are sent to all guests together, to all strangers together, and to each member.
const GUESTS_BYTES_PER_S: u64 = 64 * 1024 * 1024;
const STRANGERS_BYTES_PER_S: u64 = 4 * 1024 * 1024;
const MEMBER_BYTES_PER_S: u64 = 8 * 1024 * 1024;
/// Minimum bytes that an answer counts: the smallest one has read the store, too.
const ANSWER_BYTES_MIN: u64 = 4 * 1024;
/// Transactions a second that are checked for each guest, and for each stranger.
const GUEST_TRANSACTIONS_PER_S: u64 = 200;
const STRANGER_TRANSACTIONS_PER_S: u64 = 50;
/// Maximum waiting requests of one requester; its link's credit is the tighter bound unless frames are tiny.
const WAITING_MAX: usize = 1_024;
/// Time until the next attempt for a requester whose queue to the network is full.
const FULL_US: u64 = 10_000;
/// This many false signatures within this time are too many.
const FALSE_MAX: usize = 8;
const FALSE_WITHIN_US: u64 = 60_000_000;

/// A peer's request.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// An answer.
    Answer {
        /// The request's number.
        id: u64,
        /// The request.
        request: Request,
    },
    /// Show how this epoch ended, in which the peer still is.
    ShowEnd(Epoch),
    /// Push the next stored block, which the peer follows.
    Push,
    /// Take its transactions.
    Take(VecDeque<Transaction>),
}

/// A peer's request to this node. Its credit bounds the number of waiting ones.
#[derive(Debug)]
pub struct Question {
    /// The peer.
    pub from: PublicKey,
    /// The peer's relation to this node.
    pub standing: Standing,
    /// The request itself.
    pub work: Work,
    /// Returned when the work is done.
    pub credit: Credit,
}

/// Returns true if a requester's queue to the network has room; `None` if there is no link.
pub type Room<'a> = &'a dyn Fn(&PublicKey) -> Option<bool>;

struct Requester {
    standing: Standing,
    /// Number of its last answer, ascending over all requesters.
    served: u64,
    questions: VecDeque<(Work, Credit)>,
    transactions: VecDeque<(VecDeque<Transaction>, Credit)>,
    /// Bytes sent to it, if it is a member.
    sent: Budget,
    looked_at: Budget,
    full_until_us: u64,
    false_us: VecDeque<u64>,
}

impl Requester {
    fn new(standing: Standing) -> Self {
        let per_s = match standing {
            Standing::Stranger => STRANGER_TRANSACTIONS_PER_S,
            _ => GUEST_TRANSACTIONS_PER_S,
        };
        Self {
            standing,
            served: 0,
            questions: VecDeque::new(),
            transactions: VecDeque::new(),
            sent: Budget::new(MEMBER_BYTES_PER_S),
            looked_at: Budget::new(per_s),
            full_until_us: 0,
            false_us: VecDeque::new(),
        }
    }

    /// Returns true if a new requester would be the same.
    fn is_done(&self, now_us: u64) -> bool {
        let idle = self.questions.is_empty() && self.transactions.is_empty();
        let lies = self.false_us.back().is_some_and(|last| now_us < last + FALSE_WITHIN_US);
        idle && !lies && self.sent.is_paid(now_us) && self.looked_at.is_paid(now_us)
    }
}

/// The next work.
#[derive(Debug)]
pub enum Turn {
    /// Answer, then `charge`.
    Answer(Work, Credit),
    /// Check this transaction.
    Look(Transaction),
}

/// The waiting requests.
pub struct RequestQueue {
    requesters: BTreeMap<PublicKey, Requester>,
    served: u64,
    guests: Budget,
    strangers: Budget,
}

impl Default for RequestQueue {
    fn default() -> Self {
        Self {
            requesters: BTreeMap::new(),
            served: 0,
            guests: Budget::new(GUESTS_BYTES_PER_S),
            strangers: Budget::new(STRANGERS_BYTES_PER_S),
        }
    }
}

impl RequestQueue {
    /// Takes a request. It is dropped if too many of the same requester wait, or if it is a push and one waits.
    pub fn push(&mut self, now_us: u64, question: Question) {
        let Question { from, standing, work, credit } = question;
        if !self.requesters.contains_key(&from) {
            self.requesters.retain(|_, requester| !requester.is_done(now_us));
        }
        let requester = self.requesters.entry(from).or_insert_with(|| Requester::new(standing));
        if requester.standing != standing {
            let (questions, transactions) =
                (std::mem::take(&mut requester.questions), std::mem::take(&mut requester.transactions));
            *requester = Requester {
                questions,
                transactions,
                false_us: std::mem::take(&mut requester.false_us),
                ..Requester::new(standing)
            };
        }
        if requester.questions.len() + requester.transactions.len() >= WAITING_MAX {
            return;
        }
        match work {
            Work::Push if requester.questions.iter().any(|(waiting, _)| *waiting == Work::Push) => {}
            Work::Take(transactions) => requester.transactions.push_back((transactions, credit)),
            work => requester.questions.push_back((work, credit)),
        }
    }

    /// Returns the next work and its requester: one item of each requester in turn, and strangers after all others,
    /// since a newcomer catches up with many small requests. `None` if nothing may be done now.
    pub fn next(&mut self, now_us: u64, room: Room<'_>) -> Option<(PublicKey, Turn)> {
        let place = |(key, requester): (&PublicKey, &Requester)| {
            (requester.standing == Standing::Stranger, requester.served, *key)
        };
        let mut order: Vec<(bool, u64, PublicKey)> = self.requesters.iter().map(place).collect();
        order.sort_unstable();
        for (_, _, key) in order {
            if let Some(turn) = self.turn_of(now_us, &key, room) {
                self.served += 1;
                if let Some(requester) = self.requesters.get_mut(&key) {
                    requester.served = self.served;
                }
                return Some((key, turn));
            }
        }
        None
    }

    fn turn_of(&mut self, now_us: u64, key: &PublicKey, room: Room<'_>) -> Option<Turn> {
        let free_us = self.free_at_us(key);
        let requester = self.requesters.get_mut(key)?;
        if !requester.questions.is_empty() && free_us <= now_us {
            match room(key) {
                Some(true) => return requester.questions.pop_front().map(|(work, credit)| Turn::Answer(work, credit)),
                Some(false) => requester.full_until_us = now_us + FULL_US,
                None => requester.questions.clear(),
            }
        }
        if !requester.looked_at.is_free(now_us) {
            return None;
        }
        let (frame, _) = requester.transactions.front_mut()?;
        let transaction = frame.pop_front();
        if frame.is_empty() {
            requester.transactions.pop_front();
        }
        // A signature is what a look costs.
        requester.looked_at.charge(now_us, transaction.as_ref().map_or(1, |one| one.signatures() as u64));
        transaction.map(Turn::Look)
    }

    /// Returns the time at which a requester's requests may be answered again.
    fn free_at_us(&self, key: &PublicKey) -> u64 {
        let Some(requester) = self.requesters.get(key) else { return 0 };
        let budget = match requester.standing {
            Standing::Member(_) => &requester.sent,
            Standing::Seed | Standing::Guest => &self.guests,
            Standing::Stranger => &self.strangers,
        };
        budget.free_at_us().max(requester.full_until_us)
    }

    /// Charges the bytes that were sent to a requester.
    pub fn charge(&mut self, now_us: u64, key: &PublicKey, bytes: usize) {
        let Some(requester) = self.requesters.get_mut(key) else { return };
        let budget = match requester.standing {
            Standing::Member(_) => &mut requester.sent,
            Standing::Seed | Standing::Guest => &mut self.guests,
            Standing::Stranger => &mut self.strangers,
        };
        budget.charge(now_us, (bytes as u64).max(ANSWER_BYTES_MIN));
    }

    /// Notes that a requester's transaction has a false signature. Returns true if there were too many; then all of its
    /// waiting work is dropped.
    pub fn lied(&mut self, now_us: u64, key: &PublicKey) -> bool {
        let Some(requester) = self.requesters.get_mut(key) else { return false };
        requester.false_us.push_back(now_us);
        while requester.false_us.front().is_some_and(|first| first + FALSE_WITHIN_US <= now_us) {
            requester.false_us.pop_front();
        }
        let many = requester.false_us.len() >= FALSE_MAX;
        if many {
            self.requesters.remove(key);
        }
        many
    }

    /// Returns the time at which `next` may return something; `None` if nothing waits.
    pub fn next_due_us(&self) -> Option<u64> {
        let due = |(key, requester): (&PublicKey, &Requester)| {
            let question = (!requester.questions.is_empty()).then(|| self.free_at_us(key));
            let transaction = (!requester.transactions.is_empty()).then(|| requester.looked_at.free_at_us());
            question.into_iter().chain(transaction).min()
        };
        self.requesters.iter().filter_map(due).min()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustorium_types::{Height, ValidatorIndex};

    const SECOND: u64 = 1_000_000;
    const MIB: usize = 1024 * 1024;

    fn question(number: u8, standing: Standing, id: u64) -> Question {
        let request = Request::FinalBlocks { first: Height(1), count: 1 };
        Question { from: [number; 32], standing, work: Work::Answer { id, request }, credit: Credit::default() }
    }

    fn open(_: &PublicKey) -> Option<bool> {
        Some(true)
    }

    /// Serves answers of `bytes` each until `until_us`; returns the number of answers for each requester.
    fn serve(requests: &mut RequestQueue, until_us: u64, bytes: usize) -> BTreeMap<u8, usize> {
        let (mut now_us, mut counts) = (0, BTreeMap::new());
        while now_us <= until_us {
            match requests.next(now_us, &open) {
                Some((key, _)) => {
                    *counts.entry(key[0]).or_default() += 1;
                    requests.charge(now_us, &key, bytes);
                }
                None => now_us = requests.next_due_us().map_or(u64::MAX, |due| due.max(now_us + 1)),
            }
        }
        counts
    }

    #[test]
    fn requesters_take_turns_however_many_questions_one_has() {
        let mut requests = RequestQueue::default();
        (0..500).for_each(|id| requests.push(0, question(1, Standing::Guest, id)));
        (0..3).for_each(|id| requests.push(0, question(2, Standing::Guest, id)));
        let order: Vec<u8> = (0..6).map(|_| requests.next(0, &open).unwrap().0[0]).collect();
        assert_eq!(order, [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn strangers_share_one_rate_guests_another_and_each_member_has_its_own() {
        let mut requests = RequestQueue::default();
        for id in 0..1_000 {
            for (number, standing) in [
                (1, Standing::Stranger),
                (2, Standing::Stranger),
                (3, Standing::Guest),
                (4, Standing::Member(ValidatorIndex(0))),
                (5, Standing::Member(ValidatorIndex(1))),
            ] {
                requests.push(0, question(number, standing, id));
            }
        }
        // Two seconds, the first of which came at once.
        let counts = serve(&mut requests, SECOND, MIB);
        assert_eq!((counts[&1], counts[&2]), (5, 4));
        assert_eq!(counts[&3], 129);
        assert_eq!((counts[&4], counts[&5]), (17, 17));
    }

    #[test]
    fn transactions_of_a_stranger_are_looked_at_at_a_rate_and_hold_up_no_question() {
        let mut requests = RequestQueue::default();
        let transaction = crate::outside::intake::tests::transaction(0);
        let frame = VecDeque::from(vec![transaction; 1_000]);
        requests.push(0, Question { work: Work::Take(frame), ..question(1, Standing::Stranger, 0) });
        requests.push(0, question(1, Standing::Stranger, 7));
        assert!(matches!(requests.next(0, &open), Some((_, Turn::Answer(Work::Answer { id: 7, .. }, _)))));
        let mut looked_at = |now_us: u64| {
            let mut count = 0;
            while let Some((_, Turn::Look(_))) = requests.next(now_us, &open) {
                count += 1;
            }
            count
        };
        assert_eq!((looked_at(0), looked_at(SECOND)), (51, 50));
    }

    #[test]
    fn whoever_has_no_room_waits_and_whoever_is_gone_is_forgotten() {
        let mut requests = RequestQueue::default();
        requests.push(0, question(1, Standing::Guest, 1));
        requests.push(0, question(2, Standing::Guest, 2));
        let full = |key: &PublicKey| (key[0] == 1).then_some(false);
        assert!(requests.next(0, &full).is_none());
        assert_eq!(requests.next_due_us(), Some(FULL_US));
        assert!(requests.next(1, &open).is_none(), "one waits, the other has no link any more");
        assert!(matches!(requests.next(FULL_US, &open), Some(([1, ..], _))));
    }

    #[test]
    fn eight_false_signatures_within_a_minute_are_too_many() {
        let mut requests = RequestQueue::default();
        let key = [1; 32];
        for second in 0..30 {
            requests.push(second * 10 * SECOND, question(1, Standing::Guest, second));
            assert!(!requests.lied(second * 10 * SECOND, &key), "six a minute are borne");
        }
        let now_us = 1_000 * SECOND;
        requests.push(now_us, question(1, Standing::Guest, 0));
        let lies: Vec<bool> = (0..8).map(|_| requests.lied(now_us, &key)).collect();
        assert_eq!(lies, [false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn an_askers_memory_goes_once_its_account_is_even() {
        let mut requests = RequestQueue::default();
        for number in 0..200 {
            let now_us = u64::from(number) * 10 * SECOND;
            requests.push(now_us, question(number, Standing::Guest, 0));
            requests.next(now_us, &open).unwrap();
            requests.charge(now_us, &[number; 32], MIB);
        }
        assert_eq!(requests.requesters.len(), 1);
    }
}
