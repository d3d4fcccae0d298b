//! Bookkeeping of one connection: transactions that are due, those under way, and their outcomes.

use crate::plan::Plan;
use rustorium_api::problem::spelled;
use rustorium_types::limits::{SUBMISSION_BYTES_MAX, SUBMISSION_TRANSACTIONS_MAX};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// A transaction in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Intended time of sending, microseconds after the start.
    pub due_us: u64,
    account: u32,
    /// The transaction.
    pub transaction: u32,
}

/// Outcome of a transaction.
pub(crate) enum End<'a> {
    /// Final, all operations took effect.
    Final,
    /// Final, without effect.
    Failed,
    /// Refused, with the reason's code.
    Refused(&'a str),
    /// No outcome was seen.
    Lost,
}

/// Counts of a run.
#[derive(Default)]
pub(crate) struct Tally {
    pub latencies_us: Vec<u32>,
    pub failed: u64,
    pub refused: BTreeMap<String, u64>,
    pub lost: u64,
    pub resent: u64,
    pub held_back: u64,
    pub last_final_us: u64,
}

impl Tally {
    /// Adds another worker's counts.
    pub fn merge(&mut self, other: Self) {
        self.latencies_us.extend(other.latencies_us);
        self.failed += other.failed;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.lost += other.lost;
        self.resent += other.resent;
        self.held_back += other.held_back;
        self.last_final_us = self.last_final_us.max(other.last_final_us);
    }
}

/// Entries of one submission, and how many have no result yet.
struct Flight {
    entries: Vec<Option<Entry>>,
    left: usize,
}

/// Returns true if a refused transaction is offered again at the account's next slot. Others would be refused again.
fn offered_again(code: &str) -> bool {
    !matches!(code, "nonce-used" | "expired")
}

pub(crate) struct Book {
    plan: Plan,
    next_slot: usize,
    held: usize,
    again: VecDeque<Entry>,
    flights: HashMap<u64, Flight>,
    /// Number of transactions in `flights` that have no result.
    open: usize,
    tally: Tally,
}

impl Book {
    /// Creates a book of a plan of which nothing is sent yet.
    pub fn new(plan: Plan) -> Self {
        let (again, flights) = (VecDeque::new(), HashMap::new());
        Self { plan, next_slot: 0, held: 0, again, flights, open: 0, tally: Tally::default() }
    }

    /// Returns the node to start with.
    pub fn target(&self) -> usize {
        self.plan.target
    }

    /// Returns a transaction's canonical bytes.
    pub fn encoded(&self, entry: &Entry) -> &[u8] {
        self.plan.encoded(entry.transaction)
    }

    /// Returns true if all slots have ended.
    pub fn done(&self) -> bool {
        self.next_slot == self.plan.slots.len() && self.again.is_empty() && self.flights.is_empty()
    }

    /// Returns the number of transactions that were sent and have no result.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Takes the transactions that are due, as many as one submission and `credit` allow.
    pub fn due(&mut self, now_us: u64, credit: usize) -> Vec<Entry> {
        let limit = credit.min(SUBMISSION_TRANSACTIONS_MAX);
        let (mut due, mut bytes) = (Vec::new(), 0);
        while due.len() < limit {
            let Some(entry) = self.again.pop_front().or_else(|| self.next_due(now_us)) else { break };
            bytes += self.encoded(&entry).len();
            if bytes > SUBMISSION_BYTES_MAX && !due.is_empty() {
                self.again.push_front(entry);
                break;
            }
            due.push(entry);
        }
        due
    }

    fn next_due(&mut self, now_us: u64) -> Option<Entry> {
        loop {
            let slot = *self.plan.slots.get(self.next_slot).filter(|slot| slot.due_us <= now_us)?;
            self.next_slot += 1;
            match self.plan.available[slot.account as usize].pop() {
                Some(Reverse(transaction)) => {
                    return Some(Entry { due_us: slot.due_us, account: slot.account, transaction });
                }
                // The slot's transaction was dropped for good after a refusal.
                None => *self.tally.refused.entry("nothing-left".to_owned()).or_default() += 1,
            }
        }
    }

    /// Gives up the slots whose transaction was not sent.
    pub fn give_up(&mut self) {
        let unsent = self.plan.slots.len() - self.next_slot;
        if unsent > 0 {
            *self.tally.refused.entry("not-sent".to_owned()).or_default() += unsent as u64;
            self.next_slot = self.plan.slots.len();
        }
    }

    /// Counts slots that are due and wait for credit or for the window, each once.
    pub fn hold_back(&mut self, now_us: u64) {
        let from = self.next_slot.max(self.held);
        let due = self.plan.slots[from..].partition_point(|slot| slot.due_us <= now_us);
        self.held = from + due;
        self.tally.held_back += due as u64;
    }

    /// Notes a submission.
    pub fn sent(&mut self, number: u64, entries: Vec<Entry>) {
        let left = entries.len();
        self.open += left;
        self.flights.insert(number, Flight { entries: entries.into_iter().map(Some).collect(), left });
    }

    /// Notes a result. A result for something unknown is ignored.
    pub fn ended(&mut self, number: u64, index: u32, now_us: u64, end: &End<'_>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(entry) = flight.entries.get_mut(index as usize).and_then(Option::take) else { return };
        flight.left -= 1;
        self.open -= 1;
        if flight.left == 0 {
            self.flights.remove(&number);
        }
        self.count(entry, now_us, end);
    }

    /// Notes one result for all transactions of a submission that have none.
    pub fn end_all(&mut self, number: u64, now_us: u64, end: &End<'_>) {
        let flight = self.flights.remove(&number);
        self.open -= flight.as_ref().map_or(0, |flight| flight.left);
        for entry in flight.into_iter().flat_map(|flight| flight.entries).flatten() {
            self.count(entry, now_us, end);
        }
    }

    fn count(&mut self, entry: Entry, now_us: u64, end: &End<'_>) {
        let tally = &mut self.tally;
        match end {
            End::Final => {
                let latency = now_us.saturating_sub(entry.due_us);
                tally.latencies_us.push(u32::try_from(latency).unwrap_or(u32::MAX));
                tally.last_final_us = tally.last_final_us.max(now_us);
            }
            End::Failed => tally.failed += 1,
            End::Lost => tally.lost += 1,
            End::Refused(code) => {
                let code = spelled(code);
                let again = offered_again(&code);
                *tally.refused.entry(code).or_default() += 1;
                if again {
                    self.plan.available[entry.account as usize].push(Reverse(entry.transaction));
                }
            }
        }
    }

    /// Queues what was in progress again after the connection broke, lowest transactions first.
    pub fn broke(&mut self) {
        let mut open: Vec<Entry> = self.flights.drain().flat_map(|(_, f)| f.entries.into_iter().flatten()).collect();
        open.sort_by_key(|entry| entry.transaction);
        self.open = 0;
        self.tally.resent += open.len() as u64;
        self.again.extend(open);
    }

    /// Ends the book. Transactions without a result are lost, sent or not.
    pub fn close(mut self) -> Tally {
        let unsent = self.plan.slots.len() - self.next_slot;
        self.tally.lost += (self.open + self.again.len() + unsent) as u64;
        self.tally
    }
}
