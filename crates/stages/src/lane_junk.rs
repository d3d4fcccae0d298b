//! The bytes of each lane that execution skipped. They show which validators list transactions that can't be executed
//! (V62).
//!
//! *Invariants:* a lane costs nothing to watch before it has a skipped transaction; lanes are those of one epoch; a
//! copy of a transaction that another lane listed in the same block, where it was executed, counts for no lane.

use parking_lot::Mutex;
use rustorium_crypto::CheckedBatch;
use rustorium_storage::HeightCommit;
use rustorium_types::{Epoch, TxId, ValidatorIndex};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Least header time for which a lane's bytes count. At most the bytes of twice this time are counted together.
const SPAN_MS: u64 = 600_000;
/// Most skipped bytes for which no lane is named, since a slow client may cause a few skipped transactions.
const BYTES_MIN: u64 = 64 * 1024;
/// A lane is named if more than one byte in this many was skipped.
const ONE_IN: u64 = 100;

/// A lane's bytes.
#[derive(Clone, Copy, Default)]
struct Counted {
    listed: u64,
    skipped: u64,
}

/// A lane that is watched.
#[derive(Default)]
struct Watched {
    began_ms: u64,
    now: Counted,
    before: Counted,
}

impl Watched {
    fn seen(&self) -> Counted {
        let (now, before) = (self.now, self.before);
        Counted { listed: now.listed + before.listed, skipped: now.skipped + before.skipped }
    }

    /// Begins another span once the present one is over.
    fn go_on(&mut self, time_ms: u64) {
        let spans = time_ms.saturating_sub(self.began_ms) / SPAN_MS;
        if spans > 0 {
            let before = if spans == 1 { self.now } else { Counted::default() };
            *self = Self { began_ms: self.began_ms + spans * SPAN_MS, now: Counted::default(), before };
        }
    }
}

/// A lane of which more than a hundredth was skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JunkLane {
    /// The lane's author.
    pub author: ValidatorIndex,
    /// Bytes that were skipped.
    pub skipped: u64,
    /// Bytes that were listed since the first skipped ones.
    pub listed: u64,
}

#[derive(Default)]
struct State {
    epoch: Epoch,
    lanes: BTreeMap<ValidatorIndex, Watched>,
}

/// The lanes that are watched.
#[derive(Default)]
pub struct LaneJunk(Mutex<State>);

impl LaneJunk {
    /// Notes an executed block. Returns the bytes of each lane that were skipped.
    pub fn note(&self, commit: &HeightCommit, skipped: &[TxId]) -> BTreeMap<ValidatorIndex, u64> {
        let header = &commit.block.header;
        let mut state = self.0.lock();
        if state.epoch != header.epoch {
            *state = State { epoch: header.epoch, ..State::default() };
        }
        if skipped.is_empty() && state.lanes.is_empty() {
            return BTreeMap::new();
        }
        let mut junk: HashSet<&TxId> = skipped.iter().collect();
        if !junk.is_empty() {
            for receipt in &commit.receipts {
                junk.remove(&receipt.transaction);
            }
        }
        let mut found: BTreeMap<ValidatorIndex, u64> = BTreeMap::new();
        for batch in &commit.batches {
            let bytes = bytes_of(batch, &junk);
            if bytes > 0 {
                *found.entry(batch.batch.body.author).or_default() += bytes;
                let began_ms = header.time_ms;
                let new = || Watched { began_ms, ..Watched::default() };
                state.lanes.entry(batch.batch.body.author).or_insert_with(new);
            }
        }
        state.lanes.values_mut().for_each(|lane| lane.go_on(header.time_ms));
        for batch in &commit.batches {
            if let Some(lane) = state.lanes.get_mut(&batch.batch.body.author) {
                lane.now.listed += borsh::object_length(&*batch.batch).map_or(0, |bytes| bytes as u64);
            }
        }
        for (author, bytes) in &found {
            if let Some(lane) = state.lanes.get_mut(author) {
                lane.now.skipped += bytes;
            }
        }
        state.lanes.retain(|_, lane| lane.seen().skipped > 0);
        found
    }

    /// Returns the lanes of which more than a hundredth was skipped.
    pub fn named(&self) -> Vec<JunkLane> {
        let state = self.0.lock();
        let lanes = state.lanes.iter().map(|(author, lane)| {
            let Counted { listed, skipped } = lane.seen();
            JunkLane { author: *author, skipped, listed }
        });
        lanes.filter(|lane| lane.skipped > BYTES_MIN && lane.skipped.saturating_mul(ONE_IN) > lane.listed).collect()
    }
}

/// Returns the bytes of a batch's transactions that are among these.
fn bytes_of(batch: &Arc<CheckedBatch>, junk: &HashSet<&TxId>) -> u64 {
    if junk.is_empty() {
        return 0;
    }
    let listed = batch.ids.iter().zip(batch.batch.body.transactions.as_slice());
    let skipped = listed.filter(|(id, _)| junk.contains(id));
    skipped.map(|(_, one)| borsh::object_length(one).map_or(0, |bytes| bytes as u64)).sum()
}
