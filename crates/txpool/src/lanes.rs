//! Lanes: the held batches, the extension that a block can make, and the batches that a block's cursors list.
//!
//! *Invariants:* beyond its final cursor a lane holds at most a window of batches and bytes, in addition to those that
//! living blocks list; a batch that doesn't join the lane's chain and isn't listed is dropped after `LOOSE_MS`, and
//! never journaled; a payload is only returned if every batch of it links to the one before.

use crate::batch::{Weight, weigh};
use crate::lane::{Held, Lane};
use rustorium_crypto::CheckedBatch;
use rustorium_types::{BatchDigest, Cursor, Parameters, Rules, Signature, TxId, ValidatorIndex};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use thiserror::Error;

/// Time for which a batch is held that no block lists and that doesn't join its lane's chain.
pub const LOOSE_MS: u64 = 10_000;

/// Result of inserting a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The batch is held.
    Held,
    /// The batch was held before.
    Duplicate,
    /// The batch is beyond the lane's window and not held. It will be fetched when a block lists it.
    BeyondWindow,
    /// The batch's author signed another batch with the same seq: evidence.
    Conflict {
        /// The batch that was held before.
        other: BatchDigest,
        /// True if the new batch is held too (only if a block lists it).
        held: bool,
    },
    /// Final blocks have passed the batch's seq.
    Stale,
    /// There is no such lane.
    NoSuchLane,
}

/// Caps of one block. A lane's are within the block's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCaps {
    /// Encoded bytes of transactions.
    pub bytes: u64,
    /// Transactions.
    pub transactions: u32,
    /// Declared work.
    pub work: u64,
    /// Encoded bytes from one lane.
    pub lane_bytes: u64,
    /// Transactions from one lane.
    pub lane_transactions: u32,
    /// Declared work from one lane.
    pub lane_work: u64,
}

impl BlockCaps {
    /// Returns the chain's caps. A lane may fill the block if the others leave room.
    pub fn for_parameters(parameters: &Parameters) -> Self {
        Self {
            bytes: u64::from(parameters.block_bytes_max),
            transactions: parameters.block_transactions_max,
            work: parameters.block_work_max,
            lane_bytes: u64::from(parameters.block_bytes_max),
            lane_transactions: parameters.block_transactions_max,
            lane_work: parameters.block_work_max,
        }
    }

    /// Tells if a block may list this much: the voter's check.
    pub fn hold(&self, total: &Weight) -> bool {
        total.bytes <= self.bytes && total.transactions <= self.transactions && total.work <= self.work
    }

    fn hold_lane(&self, lane: &Weight) -> bool {
        lane.bytes <= self.lane_bytes && lane.transactions <= self.lane_transactions && lane.work <= self.lane_work
    }
}

/// An extension of a parent's cursors by a block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extension {
    /// The block's cursors.
    pub cursors: Vec<Cursor>,
    /// Number of transactions that the block lists.
    pub transactions: u32,
    /// Declared work of the listed transactions.
    pub work: u64,
    /// Encoded bytes of the listed transactions.
    pub bytes: u64,
}

/// A listed batch that isn't held: the newest one whose digest is known. Once it is held, the one before it may be
/// missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingBatch {
    /// The lane.
    pub lane: ValidatorIndex,
    /// Seq of the batch in the lane.
    pub seq: u64,
    /// Digest of the batch.
    pub digest: BatchDigest,
}

/// A block's payload can't be returned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PayloadFault {
    /// Batches must be fetched: at most one a lane.
    #[error("{} listed batches are not held", .0.len())]
    Missing(Vec<MissingBatch>),
    /// The cursors list batches that can't exist, so the block is invalid.
    #[error("the cursor of lane {lane} is invalid: {what}")]
    Broken {
        /// The lane.
        lane: ValidatorIndex,
        /// Description of the fault.
        what: &'static str,
    },
}

/// The lanes of one shard and epoch at one node.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// For each transaction, the number of held batches with it that a block could list.
    transactions: HashMap<TxId, u32>,
    /// Batches that a block can list, and that `joined` has not returned yet.
    joined: Vec<Arc<CheckedBatch>>,
    released: Vec<u64>,
    window_batches: u64,
    window_bytes: u64,
    caps: Option<BlockCaps>,
    /// The rules by which transactions declare work.
    rules: Rules,
}

impl Lanes {
    /// Creates the lanes of `n` validators at the start of an epoch of the newest rules, with these windows.
    pub fn new(n: usize, window_batches: u32, window_bytes: u32) -> Self {
        let lanes = (0..n).map(|_| Lane::default()).collect();
        let (window_batches, window_bytes) = (u64::from(window_batches), u64::from(window_bytes));
        let (transactions, joined, released) = (HashMap::new(), Vec::new(), Vec::new());
        Self { lanes, transactions, joined, released, window_batches, window_bytes, caps: None, rules: Rules::NEWEST }
    }

    /// Creates lanes with a chain's rules, windows and caps. A payload over the caps is then found broken as soon as its held
    /// part shows that, so a leader can't make its peers fetch without end.
    pub fn for_parameters(n: usize, rules: Rules, parameters: &Parameters) -> Self {
        let lanes = Self::new(n, parameters.lane_window_batches, parameters.lane_window_bytes);
        Self { caps: Some(BlockCaps::for_parameters(parameters)), rules, ..lanes }
    }

    /// Stores a checked batch that is in the journal as `lsn`. `wanted`: a block lists it, so it is kept even beyond
    /// the window or beside another one with its seq.
    pub fn insert(&mut self, batch: Arc<CheckedBatch>, lsn: u64, wanted: bool) -> InsertOutcome {
        let weight = weigh(self.rules, &batch.batch.body.transactions);
        self.take((batch, weight), Some(lsn), wanted, 0)
    }

    /// Stores a checked batch that isn't in the journal (R42), with its weight as `check_batch` returns it. If it joins
    /// the chain, `joined` returns it, and it must be journaled then. Otherwise it stays in memory, until
    /// `drop_unlisted` finds it useless.
    pub fn hold(&mut self, now_ms: u64, batch: Arc<CheckedBatch>, weight: Weight, wanted: bool) -> InsertOutcome {
        self.take((batch, weight), None, wanted, now_ms)
    }

    fn take(
        &mut self,
        (batch, weight): (Arc<CheckedBatch>, Weight),
        lsn: Option<u64>,
        wanted: bool,
        now_ms: u64,
    ) -> InsertOutcome {
        let body = &batch.batch.body;
        let Some(lane) = self.lanes.get_mut(usize::from(body.author.0)) else { return InsertOutcome::NoSuchLane };
        if lane.get(&batch.digest).is_some() {
            return InsertOutcome::Duplicate;
        }
        if body.seq < lane.last_final.next_seq {
            return InsertOutcome::Stale;
        }
        let (seq, held) = (body.seq, Held::new(batch, weight, lsn, wanted, now_ms));
        let other = lane.at(seq).first().map(|other| other.batch.digest);
        lane.equivocates |= other.is_some();
        if other.is_none() && held.follows(&lane.chain) {
            lane.make_room(held.weight.bytes, self.window_bytes);
        }
        let in_window = seq - lane.last_final.next_seq < self.window_batches
            && lane.bytes.saturating_add(held.weight.bytes) <= self.window_bytes;
        match other {
            Some(other) if !wanted => return InsertOutcome::Conflict { other, held: false },
            None if !wanted && !in_window => return InsertOutcome::BeyondWindow,
            _ => {}
        }
        let mut joined = Vec::new();
        lane.insert(held, &mut joined);
        self.join(joined);
        other.map_or(InsertOutcome::Held, |other| InsertOutcome::Conflict { other, held: true })
    }

    /// Returns the position of a held batch's record in the journal; `None` if the batch is in memory only.
    pub fn lsn(&self, lane: ValidatorIndex, digest: &BatchDigest) -> Option<u64> {
        self.lanes.get(usize::from(lane.0))?.get(digest)?.lsn
    }

    /// Notes that a held batch was journaled.
    pub fn journaled(&mut self, lane: ValidatorIndex, digest: &BatchDigest, lsn: u64) {
        if let Some(lane) = self.lanes.get_mut(usize::from(lane.0)) {
            lane.journaled(digest, lsn);
        }
    }

    /// Tells if batches are held that may have to be dropped.
    pub fn has_loose(&self) -> bool {
        self.lanes.iter().any(|lane| lane.loose > 0)
    }

    /// Drops the batches in memory that no living block lists. They are dropped at once if they came because a block
    /// listed them, or stand beside another one with the same seq; otherwise after `LOOSE_MS`. `living`: the cursors of
    /// the blocks that may still become final. Returns the time of the next call.
    pub fn drop_unlisted(&mut self, now_ms: u64, living: &[&[Cursor]]) -> Option<u64> {
        let mut next_ms: Option<u64> = None;
        for (number, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.loose > 0) {
            let listed = lane.listed(living.iter().filter_map(|cursors| cursors.get(number)).map(|cursor| cursor.tip));
            lane.drop_loose(|held, several| {
                let due_ms = held.since_ms.saturating_add(LOOSE_MS);
                let listed = listed.contains(&held.batch.digest);
                let goes = !listed && (several || held.wanted || due_ms <= now_ms);
                if !listed && !goes {
                    next_ms = Some(next_ms.map_or(due_ms, |known| known.min(due_ms)));
                }
                goes
            });
        }
        next_ms
    }

    /// Returns the bytes of the transactions that are held of a lane.
    pub fn bytes(&self, lane: ValidatorIndex) -> u64 {
        self.lanes.get(usize::from(lane.0)).map_or(0, |lane| lane.bytes)
    }

    /// Returns the number of held batches of all lanes that are in memory only.
    pub fn in_memory(&self) -> usize {
        self.lanes.iter().map(|lane| lane.loose).sum()
    }

    /// Checks that a batch that came unasked would change nothing. That is so if its place has a batch with this
    /// signature, or any batch of an author that is known to sign several for a place.
    pub fn needs_no_other(&self, lane: ValidatorIndex, seq: u64, signature: &Signature) -> bool {
        let Some(lane) = self.lanes.get(usize::from(lane.0)) else { return false };
        let known = lane.equivocates;
        lane.at(seq).iter().any(|held| known || held.batch.batch.signature == *signature)
    }

    /// Tells if final blocks have passed the batch's seq, so that it is useless.
    pub fn is_past(&self, lane: ValidatorIndex, seq: u64) -> bool {
        self.lanes.get(usize::from(lane.0)).is_some_and(|lane| seq < lane.last_final.next_seq)
    }

    /// Returns the numbers of batches and bytes held of each lane, including equivocations.
    pub fn held_of_each(&self) -> impl Iterator<Item = (usize, u64)> {
        self.lanes.iter().map(|lane| (lane.all().count(), lane.bytes))
    }

    /// Returns a held batch.
    pub fn get(&self, lane: ValidatorIndex, digest: &BatchDigest) -> Option<Arc<CheckedBatch>> {
        self.lanes.get(usize::from(lane.0))?.get(digest).map(|held| held.batch.clone())
    }

    /// Returns for each lane the seq up to which batches are held without a gap from the final cursor.
    pub fn held_ends(&self) -> Vec<u64> {
        self.lanes.iter().map(|lane| lane.chain.next_seq).collect()
    }

    /// Returns the end of a lane's held chain, which the author's next batch must follow.
    pub fn tip(&self, lane: ValidatorIndex) -> Option<Cursor> {
        self.lanes.get(usize::from(lane.0)).map(|lane| lane.chain)
    }

    /// Returns the cursor of final blocks for each lane.
    pub fn final_cursors(&self) -> Vec<Cursor> {
        self.lanes.iter().map(|lane| lane.last_final).collect()
    }

    /// Returns the batches and bytes for which the lane's window still has room. An author cuts no batch that its peers
    /// would not keep.
    pub fn window_left(&self, lane: ValidatorIndex) -> (u64, u64) {
        let Some(lane) = self.lanes.get(usize::from(lane.0)) else { return (0, 0) };
        let batches = lane.chain.next_seq - lane.last_final.next_seq;
        (self.window_batches.saturating_sub(batches), self.window_bytes.saturating_sub(lane.bytes))
    }

    /// Extends `parent` over held batches, within the caps and each lane's limit. It is fair between lanes: the next
    /// batch is always from the lane that has given the least bytes so far.
    pub fn extend(&self, parent: &[Cursor], caps: &BlockCaps, lane_limit: impl Fn(usize) -> Option<u64>) -> Extension {
        let mut cursors = parent.to_vec();
        let mut total = Weight::default();
        let mut given = vec![Weight::default(); cursors.len()];
        // Ties go to another lane in each block, so that a cap never limits always the same one.
        let first = parent.iter().fold(0, |sum: u64, cursor| sum.wrapping_add(cursor.next_seq)) as usize;
        let mut open: Vec<usize> = (0..self.lanes.len().min(cursors.len())).collect();
        while let Some(place) = least(&open, &given, first) {
            let lane = open[place];
            let next = self.lanes[lane].after(&cursors[lane]);
            let next = next.filter(|held| lane_limit(lane).is_none_or(|limit| held.cursor().next_seq <= limit));
            let with = |weight: Weight, held: &Held| {
                let mut sum = weight;
                sum += held.weight;
                sum
            };
            let fits = |held: &&Held| caps.hold(&with(total, held)) && caps.hold_lane(&with(given[lane], held));
            match next.filter(fits) {
                Some(held) => {
                    total += held.weight;
                    given[lane] += held.weight;
                    cursors[lane] = held.cursor();
                }
                None => {
                    open.swap_remove(place);
                }
            }
        }
        Extension { cursors, transactions: total.transactions, work: total.work, bytes: total.bytes }
    }

    /// Tells if a child of a block with these cursors could list a batch.
    pub fn listable(&self, parent: &[Cursor]) -> bool {
        self.lanes.iter().zip(parent).any(|(lane, cursor)| lane.after(cursor).is_some())
    }

    /// Returns the batches that a block with these cursors lists on top of its parent: per lane, ascending by seq. Call
    /// it before `finalized` gets the block's cursors.
    pub fn payload(&self, parent: &[Cursor], cursors: &[Cursor]) -> Result<Vec<Vec<Arc<CheckedBatch>>>, PayloadFault> {
        let ranges = self.ranges(parent, cursors)?;
        Ok(ranges.into_iter().map(|range| range.into_iter().map(|held| held.batch.clone()).collect()).collect())
    }

    /// Returns the weight of the same batches, to check the header's sums.
    pub fn weight(&self, parent: &[Cursor], cursors: &[Cursor]) -> Result<Weight, PayloadFault> {
        let mut total = Weight::default();
        self.ranges(parent, cursors)?.iter().flatten().for_each(|held| total += held.weight);
        Ok(total)
    }

    fn ranges(&self, parent: &[Cursor], cursors: &[Cursor]) -> Result<Vec<Vec<&Held>>, PayloadFault> {
        if cursors.len() != self.lanes.len() || parent.len() != self.lanes.len() {
            let lane = ValidatorIndex(cursors.len().min(usize::from(u16::MAX)) as u16);
            return Err(PayloadFault::Broken { lane, what: "there must be one cursor a lane" });
        }
        let (mut ranges, mut missing, mut total) = (Vec::with_capacity(cursors.len()), Vec::new(), Weight::default());
        for (number, lane) in self.lanes.iter().enumerate() {
            let index = ValidatorIndex(number as u16);
            let (range, lacks) = walk_back(lane, index, &parent[number], &cursors[number])?;
            range.iter().for_each(|held| total += held.weight);
            // Every batch has at least one transaction, also those that aren't known yet.
            let unknown = lacks.map_or(0, |lacks: MissingBatch| lacks.seq + 1 - parent[number].next_seq);
            total.transactions = total.transactions.saturating_add(u32::try_from(unknown).unwrap_or(u32::MAX));
            if self.caps.is_some_and(|caps| !caps.hold(&total)) {
                return Err(PayloadFault::Broken { lane: index, what: "the block lists more than a block may" });
            }
            ranges.push(range);
            missing.extend(lacks);
        }
        if missing.is_empty() { Ok(ranges) } else { Err(PayloadFault::Missing(missing)) }
    }

    /// Notes that a block with these cursors is final. Drops the batches below them and those that lost against them,
    /// and returns them.
    pub fn finalized(&mut self, cursors: &[Cursor]) -> Vec<Arc<CheckedBatch>> {
        let lanes = self.lanes.iter_mut().zip(cursors);
        let mut joined = Vec::new();
        let gone: Vec<_> = lanes.flat_map(|(lane, cursor)| lane.finalize(*cursor, &mut joined)).collect();
        self.join(joined);
        for id in gone.iter().filter(|held| held.joined).flat_map(|held| &held.batch.ids) {
            if let Entry::Occupied(mut count) = self.transactions.entry(*id) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        self.released.extend(gone.iter().filter_map(|held| held.lsn));
        gone.into_iter().map(|held| held.batch).collect()
    }

    fn join(&mut self, joined: Vec<Arc<CheckedBatch>>) {
        for id in joined.iter().flat_map(|batch| &batch.ids) {
            *self.transactions.entry(*id).or_default() += 1;
        }
        self.joined.extend(joined);
    }

    /// Returns the batches that blocks can list since the last call: those held without a gap from the final cursor on.
    pub fn joined(&mut self) -> Vec<Arc<CheckedBatch>> {
        std::mem::take(&mut self.joined)
    }

    /// Tells if a held batch that a block can list has the transaction. Then it isn't cut here too
    /// (`Pool::held_elsewhere`, or, for one that is admitted after its batch came, `Pool::mark_elsewhere`). A batch
    /// that no block can list doesn't count: its author could keep a transaction from the chain with it.
    pub fn has_transaction(&self, id: &TxId) -> bool {
        self.transactions.contains_key(id)
    }

    /// Returns all held batches of a lane, ascending by seq. At an epoch's end they return to the pool.
    pub fn unlisted(&self, lane: ValidatorIndex) -> Vec<Arc<CheckedBatch>> {
        let lane = self.lanes.get(usize::from(lane.0));
        lane.map_or_else(Vec::new, |lane| lane.all().map(|held| held.batch.clone()).collect())
    }

    /// Returns the positions of the journal's records of batches that are no longer held, since the last call.
    pub fn released(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.released)
    }
}

/// Returns the index in `open` of the lane that has given the least; ties are broken by rotation from `first`.
fn least(open: &[usize], given: &[Weight], first: usize) -> Option<usize> {
    let n = given.len();
    (0..open.len()).min_by_key(|place| (given[open[*place]].bytes, (open[*place] + n - first % n) % n))
}

/// Follows `previous` digests from the cursor's tip down to the parent's, or to the first that isn't held. Returns the
/// passed batches, ascending by seq.
fn walk_back<'a>(
    lane: &'a Lane,
    index: ValidatorIndex,
    parent: &Cursor,
    cursor: &Cursor,
) -> Result<(Vec<&'a Held>, Option<MissingBatch>), PayloadFault> {
    let broken = |what| PayloadFault::Broken { lane: index, what };
    if cursor.next_seq < parent.next_seq {
        return Err(broken("it goes back"));
    }
    let (mut range, mut missing, mut at) = (Vec::new(), None, *cursor);
    while at.next_seq > parent.next_seq {
        let seq = at.next_seq - 1;
        let Some(held) = lane.get(&at.tip) else {
            missing = Some(MissingBatch { lane: index, seq, digest: at.tip });
            break;
        };
        if held.batch.batch.body.seq != seq {
            return Err(broken("its tip is a batch of another seq"));
        }
        range.push(held);
        at = Cursor { next_seq: seq, tip: held.batch.batch.body.previous };
    }
    if missing.is_none() && at.tip != parent.tip {
        return Err(broken("its batches do not follow the parent's"));
    }
    range.reverse();
    Ok((range, missing))
}
