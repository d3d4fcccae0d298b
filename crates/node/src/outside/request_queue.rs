//! Whose question is answered next.
//!
//! *Invariants:* askers take turns; what was sent to guests together, to strangers together, and to each member stays below
//! its rate; so does the number of transactions that are looked at for each outsider; an asker's memory goes with its work.

use super::budget::Budget;
use super::routing::Standing;
use rustorium_shard::senders::Credit;
use rustorium_types::{Epoch, PublicKey, Request, Transaction};
use std::collections::{BTreeMap, VecDeque};

/// Bytes a second that are sent to all guests together, to all strangers together, and to each member.
const GUESTS_BYTES_PER_S: u64 = 64 * 1024 * 1024;
const STRANGERS_BYTES_PER_S: u64 = 4 * 1024 * 1024;
const MEMBER_BYTES_PER_S: u64 = 8 * 1024 * 1024;
/// What an answer counts at least: the smallest one has read the store, too.
const ANSWER_BYTES_MIN: u64 = 4 * 1024;
/// Transactions a second that are looked at for each guest, and for each stranger.
const GUEST_TRANSACTIONS_PER_S: u64 = 200;
const STRANGER_TRANSACTIONS_PER_S: u64 = 50;
/// Questions of one asker that wait; its link's credit is the tighter bound unless frames are tiny.
const WAITING_MAX: usize = 1_024;
/// How long an asker whose queue to the network is full waits for another look.
const FULL_US: u64 = 10_000;
/// So many false signatures within so long are too many.
const FALSE_MAX: usize = 8;
const FALSE_WITHIN_US: u64 = 60_000_000;

/// What a peer wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// An answer.
    Answer {
        /// The asker's number.
        id: u64,
        /// The question.
        request: Request,
    },
    /// To be shown how this epoch, in which it still is, ended.
    ShowEnd(Epoch),
    /// That its transactions are taken.
    Take(VecDeque<Transaction>),
}

/// A peer's work for this node. Its credit bounds how much waits.
#[derive(Debug)]
pub struct Question {
    /// Who asks.
    pub from: PublicKey,
    /// What it is to this node.
    pub standing: Standing,
    /// What it wants.
    pub work: Work,
    /// Given back when the work is done.
    pub credit: Credit,
}

/// Whether an asker's queue to the network has room. None: there is no link.
pub type Room<'a> = &'a dyn Fn(&PublicKey) -> Option<bool>;

struct Asker {
    standing: Standing,
    /// When it was served last, as a number that counts up.
    served: u64,
    questions: VecDeque<(Work, Credit)>,
    transactions: VecDeque<(VecDeque<Transaction>, Credit)>,
    /// What was sent to it, where it is a member.
    sent: Budget,
    looked_at: Budget,
    full_until_us: u64,
    false_us: VecDeque<u64>,
}

impl Asker {
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

    /// Whether a new one would be the same.
    fn is_done(&self, now_us: u64) -> bool {
        let idle = self.questions.is_empty() && self.transactions.is_empty();
        let lies = self.false_us.back().is_some_and(|last| now_us < last + FALSE_WITHIN_US);
        idle && !lies && self.sent.is_paid(now_us) && self.looked_at.is_paid(now_us)
    }
}

/// Something to do now.
#[derive(Debug)]
pub enum Turn {
    /// Answer, then `charge`.
    Answer(Work, Credit),
    /// Look at this transaction.
    Look(Transaction),
}

/// The questions that wait.
pub struct Desk {
    askers: BTreeMap<PublicKey, Asker>,
    served: u64,
    guests: Budget,
    strangers: Budget,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            askers: BTreeMap::new(),
            served: 0,
            guests: Budget::new(GUESTS_BYTES_PER_S),
            strangers: Budget::new(STRANGERS_BYTES_PER_S),
        }
    }
}

impl Desk {
    /// Takes a question; dropped where too many of the same asker wait.
    pub fn push(&mut self, now_us: u64, question: Question) {
        let Question { from, standing, work, credit } = question;
        if !self.askers.contains_key(&from) {
            self.askers.retain(|_, asker| !asker.is_done(now_us));
        }
        let asker = self.askers.entry(from).or_insert_with(|| Asker::new(standing));
        if asker.standing != standing {
            let (questions, transactions) =
                (std::mem::take(&mut asker.questions), std::mem::take(&mut asker.transactions));
            *asker = Asker {
                questions,
                transactions,
                false_us: std::mem::take(&mut asker.false_us),
                ..Asker::new(standing)
            };
        }
        if asker.questions.len() + asker.transactions.len() >= WAITING_MAX {
            return;
        }
        match work {
            Work::Take(transactions) => asker.transactions.push_back((transactions, credit)),
            work => asker.questions.push_back((work, credit)),
        }
    }

    /// What comes next, and whose it is: one thing of each asker in turn, strangers after all others, since a newcomer
    /// catches up by many small questions. None: nothing may be done now.
    pub fn next(&mut self, now_us: u64, room: Room<'_>) -> Option<(PublicKey, Turn)> {
        let place = |(key, asker): (&PublicKey, &Asker)| (asker.standing == Standing::Stranger, asker.served, *key);
        let mut order: Vec<(bool, u64, PublicKey)> = self.askers.iter().map(place).collect();
        order.sort_unstable();
        for (_, _, key) in order {
            if let Some(turn) = self.turn_of(now_us, &key, room) {
                self.served += 1;
                if let Some(asker) = self.askers.get_mut(&key) {
                    asker.served = self.served;
                }
                return Some((key, turn));
            }
        }
        None
    }

    fn turn_of(&mut self, now_us: u64, key: &PublicKey, room: Room<'_>) -> Option<Turn> {
        let free_us = self.free_at_us(key);
        let asker = self.askers.get_mut(key)?;
        if !asker.questions.is_empty() && free_us <= now_us {
            match room(key) {
                Some(true) => return asker.questions.pop_front().map(|(work, credit)| Turn::Answer(work, credit)),
                Some(false) => asker.full_until_us = now_us + FULL_US,
                None => asker.questions.clear(),
            }
        }
        if !asker.looked_at.is_free(now_us) {
            return None;
        }
        let (frame, _) = asker.transactions.front_mut()?;
        let transaction = frame.pop_front();
        if frame.is_empty() {
            asker.transactions.pop_front();
        }
        asker.looked_at.charge(now_us, 1);
        transaction.map(Turn::Look)
    }

    /// When an asker's questions may be answered again.
    fn free_at_us(&self, key: &PublicKey) -> u64 {
        let Some(asker) = self.askers.get(key) else { return 0 };
        let budget = match asker.standing {
            Standing::Member(_) => &asker.sent,
            Standing::Seed | Standing::Guest => &self.guests,
            Standing::Stranger => &self.strangers,
        };
        budget.free_at_us().max(asker.full_until_us)
    }

    /// So many bytes were sent to an asker.
    pub fn charge(&mut self, now_us: u64, key: &PublicKey, bytes: usize) {
        let Some(asker) = self.askers.get_mut(key) else { return };
        let budget = match asker.standing {
            Standing::Member(_) => &mut asker.sent,
            Standing::Seed | Standing::Guest => &mut self.guests,
            Standing::Stranger => &mut self.strangers,
        };
        budget.charge(now_us, (bytes as u64).max(ANSWER_BYTES_MIN));
    }

    /// An asker's transaction has a false signature. True: it is too many, and all that waits of it is dropped.
    pub fn lied(&mut self, now_us: u64, key: &PublicKey) -> bool {
        let Some(asker) = self.askers.get_mut(key) else { return false };
        asker.false_us.push_back(now_us);
        while asker.false_us.front().is_some_and(|first| first + FALSE_WITHIN_US <= now_us) {
            asker.false_us.pop_front();
        }
        let many = asker.false_us.len() >= FALSE_MAX;
        if many {
            self.askers.remove(key);
        }
        many
    }

    /// When `next` may have something; none while nothing waits.
    pub fn next_due_us(&self) -> Option<u64> {
        let due = |(key, asker): (&PublicKey, &Asker)| {
            let question = (!asker.questions.is_empty()).then(|| self.free_at_us(key));
            let transaction = (!asker.transactions.is_empty()).then(|| asker.looked_at.free_at_us());
            question.into_iter().chain(transaction).min()
        };
        self.askers.iter().filter_map(due).min()
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

    /// Answers of `bytes` each until `until_us`: how many each asker got.
    fn serve(desk: &mut Desk, until_us: u64, bytes: usize) -> BTreeMap<u8, usize> {
        let (mut now_us, mut counts) = (0, BTreeMap::new());
        while now_us <= until_us {
            match desk.next(now_us, &open) {
                Some((key, _)) => {
                    *counts.entry(key[0]).or_default() += 1;
                    desk.charge(now_us, &key, bytes);
                }
                None => now_us = desk.next_due_us().map_or(u64::MAX, |due| due.max(now_us + 1)),
            }
        }
        counts
    }

    #[test]
    fn askers_take_turns_however_many_questions_one_has() {
        let mut desk = Desk::default();
        (0..500).for_each(|id| desk.push(0, question(1, Standing::Guest, id)));
        (0..3).for_each(|id| desk.push(0, question(2, Standing::Guest, id)));
        let order: Vec<u8> = (0..6).map(|_| desk.next(0, &open).unwrap().0[0]).collect();
        assert_eq!(order, [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn strangers_share_one_rate_guests_another_and_each_member_has_its_own() {
        let mut desk = Desk::default();
        for id in 0..1_000 {
            for (number, standing) in [
                (1, Standing::Stranger),
                (2, Standing::Stranger),
                (3, Standing::Guest),
                (4, Standing::Member(ValidatorIndex(0))),
                (5, Standing::Member(ValidatorIndex(1))),
            ] {
                desk.push(0, question(number, standing, id));
            }
        }
        // Two seconds, the first of which came at once.
        let counts = serve(&mut desk, SECOND, MIB);
        assert_eq!((counts[&1], counts[&2]), (5, 4));
        assert_eq!(counts[&3], 129);
        assert_eq!((counts[&4], counts[&5]), (17, 17));
    }

    #[test]
    fn transactions_of_a_stranger_are_looked_at_at_a_rate_and_hold_up_no_question() {
        let mut desk = Desk::default();
        let transaction = crate::outside::intake::tests::transaction(0);
        let frame = VecDeque::from(vec![transaction; 1_000]);
        desk.push(0, Question { work: Work::Take(frame), ..question(1, Standing::Stranger, 0) });
        desk.push(0, question(1, Standing::Stranger, 7));
        assert!(matches!(desk.next(0, &open), Some((_, Turn::Answer(Work::Answer { id: 7, .. }, _)))));
        let mut looked_at = |now_us: u64| {
            let mut count = 0;
            while let Some((_, Turn::Look(_))) = desk.next(now_us, &open) {
                count += 1;
            }
            count
        };
        assert_eq!((looked_at(0), looked_at(SECOND)), (51, 50));
    }

    #[test]
    fn whoever_has_no_room_waits_and_whoever_is_gone_is_forgotten() {
        let mut desk = Desk::default();
        desk.push(0, question(1, Standing::Guest, 1));
        desk.push(0, question(2, Standing::Guest, 2));
        let full = |key: &PublicKey| (key[0] == 1).then_some(false);
        assert!(desk.next(0, &full).is_none());
        assert_eq!(desk.next_due_us(), Some(FULL_US));
        assert!(desk.next(1, &open).is_none(), "one waits, the other has no link any more");
        assert!(matches!(desk.next(FULL_US, &open), Some(([1, ..], _))));
    }

    #[test]
    fn eight_false_signatures_within_a_minute_are_too_many() {
        let mut desk = Desk::default();
        let key = [1; 32];
        for second in 0..30 {
            desk.push(second * 10 * SECOND, question(1, Standing::Guest, second));
            assert!(!desk.lied(second * 10 * SECOND, &key), "six a minute are borne");
        }
        let now_us = 1_000 * SECOND;
        desk.push(now_us, question(1, Standing::Guest, 0));
        let lies: Vec<bool> = (0..8).map(|_| desk.lied(now_us, &key)).collect();
        assert_eq!(lies, [false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn an_askers_memory_goes_once_its_account_is_even() {
        let mut desk = Desk::default();
        for number in 0..200 {
            let now_us = u64::from(number) * 10 * SECOND;
            desk.push(now_us, question(number, Standing::Guest, 0));
            desk.next(now_us, &open).unwrap();
            desk.charge(now_us, &[number; 32], MIB);
        }
        assert_eq!(desk.askers.len(), 1);
    }
}
