//! This validator's own lane: the transactions that wait for it, and the chain of its batches.
//!
//! *Invariants:* a place of the lane is used once; batches from `sent` on wait for the disk and must not leave, because
//! after a power loss their places would be used again (R21); a node that lists nothing hands on waiting transactions,
//! one batch's worth at a time.

use super::homes::Reach;
use crate::shard::Now;
use rustorium_crypto::{CheckedBatch, Verified};
use rustorium_execution::Skip;
use rustorium_txpool::{
    AccountView, Admission, Clock, CutLimits, DroppedTransactions, Pool, PoolConfig, Refused, lanes_by_rank,
};
use rustorium_types::{AccountId, BatchBody, BatchDigest, Cursor, Parameters, Transaction, TxId, ValidatorIndex};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Time for which a node that lists nothing leaves a transaction to the first in rank and the two after them, before it
/// hands the transaction on to one rank after the other. `HAND_ON_PAUSE_US` is the pause between two such frames.
pub(crate) const HAND_ON_AFTER_MS: u64 = 900;
const HAND_ON_PAUSE_US: u64 = 300_000;

/// Transactions by the validator that gets them.
pub(crate) type ForwardGroups = BTreeMap<ValidatorIndex, Vec<Transaction>>;

/// The pool, and the chain of own batches.
pub(crate) struct OwnLane {
    pool: Pool,
    next_seq: u64,
    /// Batches from this seq on wait for the disk.
    sent: u64,
    previous: BatchDigest,
    cut_due_us: Option<u64>,
    ready_since_us: Option<u64>,
    /// Number of times that this node has handed on transactions while it lists nothing, and when it may do so again.
    handed_on: u64,
    hand_on_at_us: u64,
}

impl OwnLane {
    /// Creates an empty lane and pool. `time_ms`: the newest executed header's time.
    pub(crate) fn new(pool: PoolConfig, time_ms: u64) -> Self {
        Self {
            pool: Pool::new(pool, time_ms),
            next_seq: 0,
            sent: 0,
            previous: BatchDigest::default(),
            cut_due_us: None,
            ready_since_us: None,
            handed_on: 0,
            hand_on_at_us: 0,
        }
    }

    /// Returns the pool, to read.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Takes a transaction into the pool. It isn't cut before `not_before_ms`.
    pub(crate) fn admit(
        &mut self,
        now: Now,
        (id, transaction): (TxId, Arc<Verified<Transaction>>),
        not_before_ms: u64,
        account: impl Fn() -> Option<AccountView>,
    ) -> Result<Admission, Refused> {
        let clock = Clock { ms: now.ms(), wall_ms: now.wall_ms };
        self.pool.admit_later(clock, id, transaction, not_before_ms, account)
    }

    /// Marks a transaction that is in a held batch: it isn't cut here while that batch is held.
    pub(crate) fn mark_listed(&mut self, id: &TxId) {
        self.pool.mark_elsewhere(id, true);
    }

    /// Allows a transaction that was left to others to be cut at once.
    pub(crate) fn open(&mut self, id: &TxId) {
        self.pool.open(id);
    }

    /// Allows transactions to be cut that were left to others for long enough.
    pub(crate) fn open_delayed(&mut self, now: Now) {
        self.pool.open_delayed(now.ms());
    }

    /// Notes another lane's held batch. Its transactions aren't cut here.
    pub(crate) fn held_elsewhere(&mut self, batch: &CheckedBatch) {
        self.pool.held_elsewhere(batch);
    }

    /// Notes that another lane's batch was dropped without being listed.
    pub(crate) fn dropped_elsewhere(&mut self, batch: &CheckedBatch) {
        self.pool.dropped_elsewhere(batch);
    }

    /// Allows transactions to be cut again that are in no batch after all.
    pub(crate) fn uncut(&mut self, ids: &[TxId]) {
        self.pool.uncut(ids);
    }

    /// Notes what an executed height did to accounts and transactions.
    pub(crate) fn executed(&mut self, touched: Vec<(AccountId, AccountView)>, skipped: &[(TxId, Skip)], time_ms: u64) {
        for (account, view) in touched {
            self.pool.executed(account, view.nonce, time_ms);
            self.pool.follow_authority(account, view);
        }
        // The pool learns the time first: waits for quota count from it.
        self.pool.expire(time_ms);
        for (id, why) in skipped {
            self.pool.skipped(id, why);
        }
    }

    /// Takes the ids of the transactions that the pool dropped.
    pub(crate) fn take_dropped(&mut self) -> DroppedTransactions {
        self.pool.take_dropped()
    }

    /// Takes the transactions of the pool whose nonces were used.
    pub(crate) fn take_used(&mut self) -> Vec<(TxId, Refused)> {
        self.pool.take_used()
    }

    /// Takes all transactions that wait, for the next epoch.
    pub(crate) fn into_transactions(self) -> Vec<(TxId, Arc<Verified<Transaction>>)> {
        self.pool.into_transactions()
    }

    /// Starts where the store and the journal end.
    pub(crate) fn start_at(&mut self, cursor: Cursor) {
        self.next_seq = cursor.next_seq;
        self.previous = cursor.tip;
    }

    /// Continues after an own batch from the journal.
    pub(crate) fn recover(&mut self, batch: &CheckedBatch, account: impl Fn(&AccountId) -> Option<AccountView>) {
        let body = &batch.batch.body;
        if body.seq >= self.next_seq {
            self.next_seq = body.seq + 1;
            self.previous = batch.digest;
            self.pool.restore(batch, account);
        }
    }

    /// Notes that everything recovered is on disk.
    pub(crate) fn recovered(&mut self) {
        self.sent = self.next_seq;
    }

    /// Returns the lane's next place and the batch before it.
    pub(crate) fn end(&self) -> (u64, BatchDigest) {
        (self.next_seq, self.previous)
    }

    /// Returns the lane's next place.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns the place from which on batches wait for the disk.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns true if no batch waits for the disk.
    pub(crate) fn all_sent(&self) -> bool {
        self.sent >= self.next_seq
    }

    /// Returns true if a batch continues the lane at its end.
    pub(crate) fn is_next(&self, body: &BatchBody) -> bool {
        body.seq == self.next_seq && body.previous == self.previous
    }

    /// Notes that the next batch was signed.
    pub(crate) fn extend(&mut self, digest: BatchDigest) {
        self.next_seq += 1;
        self.previous = digest;
    }

    /// Notes that the oldest waiting batch is on disk.
    pub(crate) fn one_left(&mut self) {
        self.sent = (self.sent + 1).min(self.next_seq);
    }

    /// Continues after what a final block lists of the lane, if that is further.
    pub(crate) fn follow(&mut self, listed: Cursor) {
        if listed.next_seq > self.next_seq {
            self.start_at(listed);
            self.sent = listed.next_seq;
        }
    }

    /// Returns when something is to be cut or handed on, monotonic microseconds.
    pub(crate) fn cut_due_us(&self) -> Option<u64> {
        self.cut_due_us
    }

    /// Starts a new decision on whether something is to be cut.
    pub(crate) fn begin_cut(&mut self) {
        self.cut_due_us = None;
    }

    /// Notes that transactions wait, unless that is noted already.
    pub(crate) fn gather(&mut self, now: Now) {
        self.ready_since_us.get_or_insert(now.us);
    }

    /// Returns true if it is time to cut a batch: `at_once`, or enough bytes or time have gathered.
    pub(crate) fn is_cut_due(&mut self, now: Now, at_once: bool, delay_us: u64, bytes_max: u32) -> bool {
        let due = self.ready_since_us.unwrap_or(now.us) + delay_us;
        let full = self.pool.ready_bytes() >= u64::from(bytes_max);
        let cut = at_once || full || now.us >= due;
        if !cut {
            self.cut_due_us = Some(due);
        }
        cut
    }

    /// Takes the transactions of the next batch.
    pub(crate) fn cut(&mut self, now: Now, parameters: &Parameters) -> Vec<(TxId, Arc<Verified<Transaction>>)> {
        self.pool.cut(now.ms(), &limits(parameters))
    }

    /// Takes the time since which the oldest transaction that can be cut has waited.
    pub(crate) fn take_ready_since(&mut self) -> Option<u64> {
        self.ready_since_us.take()
    }

    /// Takes transactions that this node can't list and hands on until they are executed. Each time they go to the next
    /// in rank, at most one batch's worth at once: the previous frame may have been lost with a link or kept back by
    /// its receiver.
    pub(crate) fn hand_on(&mut self, now: Now, reach: &Reach) -> ForwardGroups {
        let mut away = ForwardGroups::new();
        if self.pool.ready_count() == 0 {
            return away;
        }
        if now.us < self.hand_on_at_us {
            self.cut_due_us = Some(self.hand_on_at_us);
            return away;
        }
        self.hand_on_at_us = now.us + HAND_ON_PAUSE_US;
        self.handed_on += 1;
        let turn = self.handed_on as usize;
        let context = reach.context;
        for (id, transaction) in self.pool.cut(now.ms(), &limits(&context.parameters)) {
            self.pool.wait_until(&id, now.ms() + HAND_ON_AFTER_MS);
            let ranks = lanes_by_rank(transaction.sender(), context.epoch(), &context.regions).into_iter();
            let reachable: Vec<_> = ranks.filter(|lane| reach.is_reachable(*lane)).collect();
            if let Some(next) = turn.checked_rem(reachable.len()).map(|place| reachable[place]) {
                away.entry(next).or_default().push((**transaction).clone());
            }
        }
        self.cut_due_us = (self.pool.ready_count() > 0).then_some(self.hand_on_at_us);
        away
    }
}

fn limits(parameters: &Parameters) -> CutLimits {
    CutLimits {
        bytes: u64::from(parameters.batch_bytes_max),
        signatures: parameters.batch_transactions_max as usize,
        work: parameters.batch_work_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> OwnLane {
        OwnLane::new(PoolConfig::default(), 0)
    }

    fn at(us: u64) -> Now {
        Now { us, wall_ms: 0 }
    }

    #[test]
    fn the_end_that_left_never_passes_the_end_that_was_signed() {
        let mut lane = lane();
        lane.start_at(Cursor { next_seq: 4, tip: BatchDigest([4; 32]) });
        lane.recovered();
        lane.extend(BatchDigest([5; 32]));
        assert_eq!((lane.end(), lane.sent(), lane.all_sent()), ((5, BatchDigest([5; 32])), 4, false));
        lane.one_left();
        lane.one_left();
        assert_eq!((lane.sent(), lane.all_sent()), (5, true));
        lane.follow(Cursor { next_seq: 3, tip: BatchDigest([3; 32]) });
        assert_eq!(lane.next_seq(), 5, "a final block lists less");
        lane.follow(Cursor { next_seq: 9, tip: BatchDigest([9; 32]) });
        assert_eq!((lane.end(), lane.sent()), ((9, BatchDigest([9; 32])), 9));
    }

    #[test]
    fn a_batch_is_cut_at_once_or_when_its_time_has_come() {
        let mut lane = lane();
        lane.gather(at(100));
        lane.gather(at(200));
        assert!(!lane.is_cut_due(at(200), false, 1_000, 1 << 20));
        assert_eq!(lane.cut_due_us(), Some(1_100), "from the first that waits");
        lane.begin_cut();
        assert!(lane.is_cut_due(at(200), true, 1_000, 1 << 20) && lane.is_cut_due(at(1_100), false, 1_000, 1 << 20));
        assert_eq!((lane.cut_due_us(), lane.take_ready_since(), lane.take_ready_since()), (None, Some(100), None));
    }
}
