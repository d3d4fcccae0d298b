//! One validator's lane: its held batches from the final cursor on.
//!
//! *Invariants:* nothing below the final cursor is held; `chain` is the end of an unbroken chain from there; only loose
//! batches (in memory only, and no part of the chain) are dropped before final blocks pass them.

use crate::batch::Weight;
use rustorium_crypto::CheckedBatch;
use rustorium_types::{BatchDigest, Cursor};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) batch: Arc<CheckedBatch>,
    /// Position of its record in the journal; `None` while it is in memory only.
    pub(crate) lsn: Option<u64>,
    pub(crate) weight: Weight,
    /// True if it was part of `chain` once.
    pub(crate) joined: bool,
    /// True if a block listed it when it came.
    pub(crate) wanted: bool,
    /// Time at which it came, monotonic milliseconds.
    pub(crate) since_ms: u64,
}

impl Held {
    pub(crate) fn new(batch: Arc<CheckedBatch>, weight: Weight, lsn: Option<u64>, wanted: bool, since_ms: u64) -> Self {
        Self { batch, lsn, weight, joined: false, wanted, since_ms }
    }

    /// True if it is in memory only, and no part of the chain.
    pub(crate) fn is_loose(&self) -> bool {
        self.lsn.is_none() && !self.joined
    }

    pub(crate) fn follows(&self, cursor: &Cursor) -> bool {
        let body = &self.batch.batch.body;
        body.seq == cursor.next_seq && body.previous == cursor.tip
    }

    /// Returns the cursor after this batch.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { next_seq: self.batch.batch.body.seq.saturating_add(1), tip: self.batch.digest }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The cursor of final blocks.
    pub(crate) last_final: Cursor,
    /// End of the held batches that follow `last_final` without a gap.
    pub(crate) chain: Cursor,
    /// Batches by seq. There is more than one for a seq only if blocks listed them.
    held: BTreeMap<u64, Vec<Held>>,
    seqs: HashMap<BatchDigest, u64>,
    pub(crate) bytes: u64,
    /// Number of loose batches.
    pub(crate) loose: usize,
    /// True if the author signed two batches for one seq.
    pub(crate) equivocates: bool,
}

impl Lane {
    pub(crate) fn get(&self, digest: &BatchDigest) -> Option<&Held> {
        let seq = self.seqs.get(digest)?;
        self.held.get(seq)?.iter().find(|held| held.batch.digest == *digest)
    }

    pub(crate) fn at(&self, seq: u64) -> &[Held] {
        self.held.get(&seq).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Held> {
        self.held.values().flatten()
    }

    /// Returns the held batch that follows `cursor`; if there are several, the one that came first.
    pub(crate) fn after(&self, cursor: &Cursor) -> Option<&Held> {
        self.at(cursor.next_seq).iter().find(|held| held.follows(cursor))
    }

    /// Stores a batch. Adds the batches that `chain` has reached with it to `joined`.
    pub(crate) fn insert(&mut self, held: Held, joined: &mut Vec<Arc<CheckedBatch>>) {
        let seq = held.batch.batch.body.seq;
        self.seqs.insert(held.batch.digest, seq);
        self.bytes += held.weight.bytes;
        self.loose += usize::from(held.is_loose());
        self.held.entry(seq).or_default().push(held);
        self.grow_chain(joined);
    }

    /// Notes that the batch is in the journal from now on.
    pub(crate) fn journaled(&mut self, digest: &BatchDigest, lsn: u64) {
        let batches = self.seqs.get(digest).and_then(|seq| self.held.get_mut(seq));
        if let Some(held) = batches.and_then(|batches| batches.iter_mut().find(|held| held.batch.digest == *digest)) {
            self.loose -= usize::from(held.is_loose());
            held.lsn = Some(lsn);
        }
    }

    /// Removes the loose batches for which `goes` returns true.
    pub(crate) fn drop_loose(&mut self, mut goes: impl FnMut(&Held, bool) -> bool) {
        if self.loose == 0 {
            return;
        }
        let (mut gone, mut bytes) = (Vec::new(), 0);
        for batches in self.held.values_mut() {
            let several = batches.len() > 1;
            batches.retain(|held| {
                let goes = held.is_loose() && goes(held, several);
                if goes {
                    gone.push(held.batch.digest);
                    bytes += held.weight.bytes;
                }
                !goes
            });
        }
        self.held.retain(|_, batches| !batches.is_empty());
        self.loose -= gone.len();
        self.bytes -= bytes;
        gone.iter().for_each(|digest| _ = self.seqs.remove(digest));
    }

    /// Makes room for a batch that joins the chain. Of the batches that came unasked and don't join, the oldest are
    /// removed first.
    pub(crate) fn make_room(&mut self, bytes: u64, window_bytes: u64) {
        let mut loose: Vec<(u64, BatchDigest, u64)> = self
            .all()
            .filter(|held| held.is_loose() && !held.wanted)
            .map(|held| (held.since_ms, held.batch.digest, held.weight.bytes))
            .collect();
        loose.sort_unstable();
        let (mut over, mut goes) = ((self.bytes + bytes).saturating_sub(window_bytes), HashSet::new());
        for (_, digest, freed) in loose {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(freed);
            goes.insert(digest);
        }
        if over == 0 {
            self.drop_loose(|held, _| goes.contains(&held.batch.digest));
        }
    }

    /// Returns the digests of the held batches that blocks with these tips list.
    pub(crate) fn listed(&self, tips: impl Iterator<Item = BatchDigest>) -> HashSet<BatchDigest> {
        let mut listed = HashSet::new();
        for mut at in tips {
            while let Some(held) = self.get(&at).filter(|_| !listed.contains(&at)) {
                listed.insert(at);
                at = held.batch.batch.body.previous;
            }
        }
        listed
    }

    fn grow_chain(&mut self, joined: &mut Vec<Arc<CheckedBatch>>) {
        let chain = &mut self.chain;
        while let Some(batches) = self.held.get_mut(&chain.next_seq) {
            let Some(next) = batches.iter_mut().find(|held| held.follows(chain)) else { return };
            self.loose -= usize::from(next.is_loose());
            if !std::mem::replace(&mut next.joined, true) {
                joined.push(next.batch.clone());
            }
            *chain = next.cursor();
        }
    }

    /// Moves the final cursor. Removes and returns the batches below it, and those that can never follow it.
    pub(crate) fn finalize(&mut self, cursor: Cursor, joined: &mut Vec<Arc<CheckedBatch>>) -> Vec<Held> {
        if cursor.next_seq <= self.last_final.next_seq {
            return Vec::new();
        }
        self.last_final = cursor;
        let above = self.held.split_off(&cursor.next_seq);
        let below = std::mem::replace(&mut self.held, above);
        let mut gone: Vec<Held> = below.into_values().flatten().collect();
        let mut dead: HashSet<BatchDigest> = HashSet::new();
        for (seq, batches) in &mut self.held {
            let is_dead = |held: &Held| {
                let previous = held.batch.batch.body.previous;
                if *seq == cursor.next_seq { previous != cursor.tip } else { dead.contains(&previous) }
            };
            let (losing, kept): (Vec<_>, Vec<_>) = std::mem::take(batches).into_iter().partition(is_dead);
            *batches = kept;
            dead.extend(losing.iter().map(|held| held.batch.digest));
            gone.extend(losing);
        }
        self.held.retain(|_, batches| !batches.is_empty());
        for held in &gone {
            self.seqs.remove(&held.batch.digest);
            self.bytes -= held.weight.bytes;
            self.loose -= usize::from(held.is_loose());
        }
        self.chain = cursor;
        self.grow_chain(joined);
        gone
    }
}
