//! Homes of senders (R47): where a client's transaction goes from this node, how long it is left to others, and which
//! homes leave out the transactions that they are sent.
//!
//! *Invariants:* this is local policy and never decides whether a block is valid; no delay is a multiple of a rank; a
//! step is measured by the monotonic clock; the memory of transactions and homes is bounded; a home is blamed only for
//! transactions that were executed in the end and that it could have listed at once.

use super::liveness::Liveness;
use crate::context::Context;
use crate::shard::Now;
use rustorium_crypto::CheckedBatch;
use rustorium_execution::Skip;
use rustorium_txpool::lanes_by_rank;
use rustorium_types::{AccountId, Height, TxId, ValidatorIndex, View};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Number of last views with work whose durations determine a step.
const VIEWS: usize = 32;
/// Maximum share of a view's duration and of a round trip in a step, and the constant share.
const VIEW_MS_MAX: u64 = 500;
const RTT_MS_MAX: u64 = 400;
const STEP_MS_MIN: u64 = 50;
/// Number of ranks to which a transaction goes after the first step.
pub(crate) const NEXT_RANKS: usize = 2;
/// Maximum number of forwarded transactions that are watched, and for how long. Those executed by then count for or
/// against their home.
const WATCHED_MAX: usize = 256;
const WATCHED_MS: u64 = 5_000;
/// A home is passed over for `PASSED_OVER_MS` if, of the last `REMEMBERED` executed transactions that it was sent, at
/// least `LEFT_OUT_MIN` were in no batch of its lane within a step.
const REMEMBERED: usize = 16;
const LEFT_OUT_MIN: usize = 8;
const PASSED_OVER_MS: u64 = 600_000;
/// One in this many transactions still goes first to a home that is passed over.
const STILL_OFFERED: u64 = 64;

/// A home that leaves out the transactions that it is sent, and is passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SkippedHome {
    /// Place of the home.
    pub home: ValidatorIndex,
    /// Number of the last transactions that were in no batch of the home in time.
    pub missed: usize,
    /// Number of the last transactions that count.
    pub of: usize,
}

/// A transaction that was forwarded to its home.
struct WatchedTransaction {
    home: ValidatorIndex,
    sent_ms: u64,
    due_ms: u64,
    /// Time at which a batch of the home had it.
    listed_ms: Option<u64>,
    /// Height of the first final block that lists it; `listings` is the number of lanes that do.
    height: Option<Height>,
    listings: usize,
    executed: bool,
}

/// Record of a home.
#[derive(Default)]
struct Record {
    missed: VecDeque<bool>,
    passed_over_until_ms: u64,
    offered: u64,
}

/// Durations of the last views with work.
#[derive(Default)]
struct ViewTimes {
    last_ms: VecDeque<u64>,
    median_ms: Option<u64>,
    newest: View,
}

/// Homes, and the transactions that they were sent.
#[derive(Default)]
pub(crate) struct Homes {
    views: ViewTimes,
    /// Transactions that go to the next ranks: due time and sequence, id, and the validator that got it first.
    later: BTreeMap<(u64, u64), (TxId, ValidatorIndex)>,
    sequence: u64,
    watched: HashMap<TxId, WatchedTransaction>,
    /// The watched transactions in the order in which they were sent.
    order: VecDeque<TxId>,
    records: HashMap<ValidatorIndex, Record>,
}

impl Homes {
    /// Goes on in the next epoch, in which places belong to other validators.
    pub(crate) fn after(before: Self) -> Self {
        Self { views: before.views, ..Self::default() }
    }

    /// Notes the duration of a view with work. Only its first certificate counts.
    pub(crate) fn view_took(&mut self, view: View, us: u64) {
        let views = &mut self.views;
        if view <= views.newest {
            return;
        }
        views.newest = view;
        if views.last_ms.len() == VIEWS {
            views.last_ms.pop_front();
        }
        views.last_ms.push_back(us / 1000);
        let mut sorted: Vec<u64> = views.last_ms.iter().copied().collect();
        sorted.sort_unstable();
        views.median_ms = sorted.get(sorted.len() / 2).copied();
    }

    /// Returns when something goes to the next ranks, monotonic milliseconds.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.later.first_key_value().map(|((due_ms, _), _)| *due_ms)
    }

    fn is_passed_over(&self, home: ValidatorIndex, now_ms: u64) -> bool {
        self.records.get(&home).is_some_and(|record| record.passed_over_until_ms > now_ms)
    }

    /// Returns true if a home is passed over for this transaction. One in `STILL_OFFERED` is offered to it all the
    /// same.
    fn passes_over(&mut self, home: ValidatorIndex, now_ms: u64) -> bool {
        if !self.is_passed_over(home, now_ms) {
            return false;
        }
        let record = self.records.entry(home).or_default();
        record.offered += 1;
        !record.offered.is_multiple_of(STILL_OFFERED)
    }

    /// Schedules a transaction for the next ranks, unless a batch has it by then.
    fn go_on_at(&mut self, due_ms: u64, id: TxId, first: ValidatorIndex) {
        self.sequence += 1;
        self.later.insert((due_ms, self.sequence), (id, first));
    }

    fn watch(&mut self, id: TxId, home: ValidatorIndex, sent_ms: u64, step_ms: u64) {
        if self.watched.len() < WATCHED_MAX && self.order.len() < 4 * WATCHED_MAX {
            let due_ms = sent_ms + step_ms;
            let watched = WatchedTransaction {
                home,
                sent_ms,
                due_ms,
                listed_ms: None,
                height: None,
                listings: 0,
                executed: false,
            };
            if self.watched.insert(id, watched).is_none() {
                self.order.push_back(id);
            }
        }
    }

    /// Notes that a batch is held and joins its lane.
    pub(crate) fn batch_joined(&mut self, batch: &CheckedBatch, now_ms: u64) {
        if self.watched.is_empty() {
            return;
        }
        for id in &batch.ids {
            if let Some(watched) = self.watched.get_mut(id).filter(|watched| watched.home == batch.batch.body.author) {
                watched.listed_ms.get_or_insert(now_ms);
            }
        }
    }

    /// Notes that a final block lists these batches.
    pub(crate) fn handed_over(&mut self, height: Height, payload: &[Vec<Arc<CheckedBatch>>]) {
        if self.watched.is_empty() {
            return;
        }
        for id in payload.iter().flatten().flat_map(|batch| &batch.ids) {
            if let Some(watched) = self.watched.get_mut(id) {
                watched.listings += usize::from(*watched.height.get_or_insert(height) == height);
            }
        }
    }

    /// Notes that a height was executed. A transaction that was skipped wherever it was listed tells nothing of its
    /// home: the client may have made it so.
    pub(crate) fn executed(&mut self, height: Height, skipped: &[(TxId, Skip)]) {
        let mut skips: HashMap<TxId, usize> = HashMap::new();
        for (id, _) in skipped.iter().filter(|(id, _)| self.watched.contains_key(id)) {
            *skips.entry(*id).or_default() += 1;
        }
        self.watched.retain(|id, watched| {
            let here = watched.height == Some(height);
            let skipped = here && skips.get(id).is_some_and(|skips| *skips >= watched.listings);
            watched.executed |= here && !skipped;
            !skipped
        });
    }

    /// Notes that a peer's link went down, so what the peer was sent may be lost.
    pub(crate) fn link_lost(&mut self, peer: ValidatorIndex) {
        self.watched.retain(|_, watched| watched.home != peer);
    }

    /// Takes the watched transactions whose time is over.
    fn take_old(&mut self, now_ms: u64) -> Vec<WatchedTransaction> {
        let mut old = Vec::new();
        while let Some(id) = self.order.front() {
            match self.watched.get(id) {
                Some(watched) if watched.sent_ms + WATCHED_MS > now_ms => break,
                Some(_) => old.extend(self.watched.remove(id)),
                None => {}
            }
            self.order.pop_front();
        }
        old
    }

    /// Records for a home whether it missed a transaction that was executed.
    fn remember(&mut self, home: ValidatorIndex, missed: bool, now_ms: u64) {
        let record = self.records.entry(home).or_default();
        if record.missed.len() == REMEMBERED {
            record.missed.pop_front();
        }
        record.missed.push_back(missed);
        if missed && record.count() >= LEFT_OUT_MIN {
            if record.passed_over_until_ms <= now_ms {
                let (left_out, of) = (record.count(), record.missed.len());
                tracing::warn!(
                    event = "home_leaves_out",
                    home = home.0,
                    left_out,
                    of,
                    "its senders go to others first"
                );
            }
            record.passed_over_until_ms = now_ms + PASSED_OVER_MS;
        }
    }
}

impl Record {
    fn count(&self) -> usize {
        self.missed.iter().filter(|missed| **missed).count()
    }
}

impl Homes {
    /// Returns how long a transaction is left to a validator that is so far away, ms.
    pub(crate) fn step_ms(&self, rtt_ms: u64) -> u64 {
        self.views.median_ms.unwrap_or(VIEW_MS_MAX).min(VIEW_MS_MAX) + rtt_ms.min(RTT_MS_MAX) + STEP_MS_MIN
    }

    /// Returns where a client's transaction goes first: its home if that can be reached and isn't passed over,
    /// otherwise the next in rank. `None` if nobody can list it.
    pub(crate) fn first_lane(&mut self, now: Now, reach: &Reach, sender: &AccountId) -> Option<ValidatorIndex> {
        let home = reach.home(sender);
        if reach.can_list(home) && (reach.context.is_me(home) || !self.passes_over(home, now.ms())) {
            return Some(home);
        }
        self.next_lanes(now, reach, sender, home).next().or_else(|| Some(home).filter(|home| reach.can_list(*home)))
    }

    /// Returns the validators, in rank order, that can list the sender's transactions and aren't passed over, except
    /// `first`.
    pub(crate) fn next_lanes<'a>(
        &'a self,
        now: Now,
        reach: &'a Reach<'a>,
        sender: &AccountId,
        first: ValidatorIndex,
    ) -> impl Iterator<Item = ValidatorIndex> + use<'a> {
        let ranks = lanes_by_rank(sender, reach.context.epoch(), &reach.context.regions).into_iter();
        ranks.filter(move |lane| *lane != first && reach.can_list(*lane) && !self.is_passed_over(*lane, now.ms()))
    }

    /// Notes that a transaction goes to `first` and is left to it for a step. `could_list`: the home could list it at
    /// once.
    pub(crate) fn left_to(
        &mut self,
        now: Now,
        (id, home): (&TxId, ValidatorIndex),
        first: ValidatorIndex,
        step_ms: u64,
        could_list: bool,
    ) {
        self.go_on_at(now.ms() + step_ms, *id, first);
        if home == first && could_list {
            self.watch(*id, home, now.ms(), step_ms);
        }
    }

    /// Takes the next transaction whose step is over, and where it went first.
    pub(crate) fn pop_due(&mut self, now: Now) -> Option<(TxId, ValidatorIndex)> {
        let due = self.next_due_ms().is_some_and(|due_ms| due_ms <= now.ms());
        if due { self.later.pop_first().map(|(_, left)| left) } else { None }
    }

    /// Judges homes by the transactions that they were sent. `able`: returns true if a home could list one now.
    pub(crate) fn judge(&mut self, now: Now, able: impl Fn(ValidatorIndex) -> bool) {
        for watched in self.take_old(now.ms()) {
            let in_time = watched.listed_ms.is_some_and(|at_ms| at_ms <= watched.due_ms);
            if watched.executed && (in_time || able(watched.home)) {
                self.remember(watched.home, !in_time, now.ms());
            }
        }
    }

    /// Returns the homes that are passed over, by place.
    pub(crate) fn left_out(&self, now: Now) -> Vec<SkippedHome> {
        let passed_over = self.records.iter().filter(|(_, record)| record.passed_over_until_ms > now.ms());
        let left_out = |(home, record): (&ValidatorIndex, &Record)| {
            let (missed, of) = (record.count(), record.missed.len());
            SkippedHome { home: *home, missed, of }
        };
        let mut found: Vec<SkippedHome> = passed_over.map(left_out).collect();
        found.sort_unstable_by_key(|left_out| left_out.home);
        found
    }
}

/// Validators that can list a transaction now.
pub(crate) struct Reach<'a> {
    pub(crate) context: &'a Context,
    liveness: &'a Liveness,
    /// True if this node signs nothing more.
    retired: bool,
}

impl<'a> Reach<'a> {
    pub(crate) fn of(context: &'a Context, liveness: &'a Liveness, retired: bool) -> Self {
        Self { context, liveness, retired }
    }

    fn home(&self, sender: &AccountId) -> ValidatorIndex {
        rustorium_txpool::home_lane(sender, self.context.epoch(), &self.context.regions)
    }

    pub(crate) fn is_reachable(&self, lane: ValidatorIndex) -> bool {
        self.liveness.is_reachable(self.context, lane)
    }

    fn can_list(&self, lane: ValidatorIndex) -> bool {
        if self.context.is_me(lane) { !self.retired } else { self.is_reachable(lane) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::machines::testing::{at, context};

    const HOME: ValidatorIndex = ValidatorIndex(1);

    /// Sends a home `count` transactions that are executed, of which it lists none.
    fn leaves_out(homes: &mut Homes, count: usize, now_ms: u64) {
        for number in 0..count {
            let mut id = [number as u8; 32];
            id[0] = (now_ms / 1_000) as u8;
            homes.left_to(at(now_ms * 1000), (&TxId(id), HOME), HOME, 100, true);
        }
        homes.watched.values_mut().for_each(|watched| watched.executed = true);
        homes.judge(at((now_ms + WATCHED_MS) * 1000), |_| true);
    }

    #[test]
    fn a_home_that_leaves_out_what_it_is_sent_is_passed_over_for_a_while() {
        let mut homes = Homes::default();
        leaves_out(&mut homes, LEFT_OUT_MIN - 1, 0);
        assert!(homes.left_out(at(WATCHED_MS * 1000)).is_empty());
        leaves_out(&mut homes, 1, 10_000);
        let now_ms = 10_000 + WATCHED_MS;
        let left_out = SkippedHome { home: HOME, missed: LEFT_OUT_MIN, of: LEFT_OUT_MIN };
        assert_eq!(homes.left_out(at(now_ms * 1000)), [left_out]);
        let offered = (0..STILL_OFFERED).filter(|_| !homes.passes_over(HOME, now_ms)).count();
        assert_eq!(offered, 1, "a few still go to it");
        assert!(!homes.passes_over(HOME, now_ms + PASSED_OVER_MS));
    }

    #[test]
    fn what_is_left_to_a_home_is_due_after_a_step_which_is_measured_and_bounded() {
        let mut homes = Homes::default();
        assert_eq!(homes.step_ms(0), VIEW_MS_MAX + STEP_MS_MIN, "nothing is measured yet");
        homes.view_took(View(1), 80_000);
        assert_eq!(homes.step_ms(70), 80 + 70 + STEP_MS_MIN);
        assert_eq!(homes.step_ms(9_000), 80 + RTT_MS_MAX + STEP_MS_MIN);
        homes.left_to(at(0), (&TxId([1; 32]), HOME), HOME, 130, false);
        assert_eq!((homes.pop_due(at(129_999)), homes.next_due_ms()), (None, Some(130)));
        assert_eq!(homes.pop_due(at(130_000)), Some((TxId([1; 32]), HOME)));
    }

    #[test]
    fn nobody_lists_for_a_retired_key_and_an_unreachable_committee() {
        let (context, liveness, mut homes) = (context(0), Liveness::new(500_000), Homes::default());
        let sender = AccountId::default();
        let first =
            |homes: &mut Homes, retired| homes.first_lane(at(0), &Reach::of(&context, &liveness, retired), &sender);
        assert_eq!(first(&mut homes, false), Some(ValidatorIndex(0)), "this node alone can");
        assert_eq!(first(&mut homes, true), None);
    }
}
