//! Batches of all lanes: which are held here and by peers, which of them nobody needs, and which peers they cost what.
//!
//! *Invariants:* the lanes' windows bound what is held; batches that no living block lists are dropped after a while
//! (R41); a leader reports a lane as costly only if it had to serve more than f peers (R20).

use crate::context::Context;
use crate::shard::Now;
use rustorium_crypto::CheckedBatch;
use rustorium_quorum::{Evidence, HeldTally};
use rustorium_txpool::{InsertOutcome, Lanes, Weight};
use rustorium_types::{BatchDigest, Cursor, Held, ValidatorIndex, View};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Longest time for which useless batches are held, so that not every new batch causes a search for them.
const SWEEP_US: u64 = 100_000;

/// The batches above the final cursors.
pub(crate) struct Batches {
    lanes: Lanes,
    /// Batches that the members say they hold.
    peers: HeldTally,
    /// True if batches may be held that no living block lists. `sweep_at_us` says when to look next, monotonic
    /// microseconds.
    sweep: bool,
    sweep_at_us: Option<u64>,
    /// The view of the newest own proposal that has left.
    proposed: Option<View>,
    /// Peers that were served batches of a lane in a view in which this node had proposed.
    served: HashMap<(ValidatorIndex, View), HashSet<ValidatorIndex>>,
}

impl Batches {
    /// Creates the machine of a committee.
    pub(crate) fn new(context: &Context) -> Self {
        let n = context.n();
        Self {
            lanes: Lanes::for_parameters(n, context.rules, &context.parameters),
            peers: HeldTally::new(n, rustorium_types::quorum(n)),
            sweep: false,
            sweep_at_us: None,
            proposed: None,
            served: HashMap::new(),
        }
    }

    /// Returns the lanes, to read.
    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Returns the tally of what the members say they hold, to read.
    pub(crate) fn peers(&self) -> &HeldTally {
        &self.peers
    }

    /// Returns true if the lane's window has room for a batch of any size.
    pub(crate) fn has_room(&self, context: &Context, lane: ValidatorIndex) -> bool {
        let (batches, bytes) = self.lanes.window_left(lane);
        batches > 0 && bytes >= u64::from(context.parameters.batch_bytes_max)
    }

    /// Advances all lanes to these cursors, at the start.
    pub(crate) fn start_at(&mut self, cursors: &[Cursor]) {
        self.lanes.finalized(cursors);
    }

    /// Takes a batch that the journal holds at `position`. Returns false if it is held already.
    pub(crate) fn insert(&mut self, batch: CheckedBatch, position: u64) -> bool {
        self.lanes.insert(Arc::new(batch), position, true) != InsertOutcome::Duplicate
    }

    /// Takes a peer's batch; `wanted` if it was requested. Returns evidence if its author signed another batch for the
    /// same place.
    pub(crate) fn hold(
        &mut self,
        now: Now,
        checked: &Arc<CheckedBatch>,
        weight: Weight,
        wanted: bool,
    ) -> Option<Evidence> {
        self.sweep = true;
        match self.lanes.hold(now.ms(), checked.clone(), weight, wanted) {
            InsertOutcome::Conflict { other, .. } => {
                let other = self.lanes.get(checked.batch.body.author, &other)?;
                Evidence::two_batches(&other, checked)
            }
            InsertOutcome::Held
            | InsertOutcome::Duplicate
            | InsertOutcome::BeyondWindow
            | InsertOutcome::Stale
            | InsertOutcome::NoSuchLane => None,
        }
    }

    /// Takes the batches that have joined their lane since the last call: blocks can list them from now on.
    pub(crate) fn joined(&mut self) -> Vec<Arc<CheckedBatch>> {
        self.lanes.joined()
    }

    /// Notes where the journal holds a batch.
    pub(crate) fn journaled(&mut self, lane: ValidatorIndex, digest: &BatchDigest, position: u64) {
        self.lanes.journaled(lane, digest, position);
    }

    /// Drops batches that final blocks have passed. Returns those batches, and the journal positions of those that were
    /// journaled.
    pub(crate) fn finalized(&mut self, cursors: &[Cursor]) -> (Vec<Arc<CheckedBatch>>, Vec<u64>) {
        self.sweep = true;
        let gone = self.lanes.finalized(cursors);
        (gone, self.lanes.released())
    }

    /// Takes a member's statement of what it holds.
    pub(crate) fn on_held(&mut self, peer: ValidatorIndex, held: &Held) {
        match held {
            Held::Whole(counts) => self.peers.update(peer, counts),
            Held::Changes(changes) => self.peers.change(peer, changes),
        }
    }

    /// Takes a member's complete statement of what it holds.
    pub(crate) fn on_counts(&mut self, peer: ValidatorIndex, counts: &[u64]) {
        self.peers.update(peer, counts);
    }

    /// Counts what this node holds.
    pub(crate) fn count_own(&mut self, me: ValidatorIndex) {
        self.peers.update(me, &self.lanes.held_ends());
    }

    /// Schedules a search for batches that nobody needs any more.
    pub(crate) fn sweep_soon(&mut self) {
        self.sweep = true;
    }

    /// Returns true if that search is due.
    pub(crate) fn sweep_is_due(&mut self, now: Now) -> bool {
        if std::mem::take(&mut self.sweep) && self.lanes.has_loose() {
            let soon = now.us + SWEEP_US;
            self.sweep_at_us = Some(self.sweep_at_us.map_or(soon, |at| at.min(soon)));
        }
        self.sweep_at_us.take_if(|at| *at <= now.us).is_some()
    }

    /// Drops batches that no living block lists. `living`: the cursors of those blocks.
    pub(crate) fn sweep(&mut self, now: Now, living: &[&[Cursor]]) {
        let next_ms = self.lanes.drop_unlisted(now.ms(), living);
        self.sweep_at_us = next_ms.map(|ms| ms * 1000);
    }

    /// Returns when to search next, monotonic microseconds.
    pub(crate) fn sweep_at_us(&self) -> Option<u64> {
        self.sweep_at_us
    }

    /// Notes that an own proposal of this view has left.
    pub(crate) fn note_proposal(&mut self, view: View) {
        self.proposed = Some(view);
    }

    /// Notes that the core has entered a view.
    pub(crate) fn entered(&mut self, view: View) {
        self.served.retain(|(_, served_in), _| *served_in >= view);
    }

    /// Forgets what views up to this one made necessary.
    pub(crate) fn settle(&mut self, view: View) {
        if self.proposed.is_some_and(|proposed| proposed <= view) {
            self.proposed = None;
        }
    }

    /// Notes that a peer asked for a batch of another validator's lane. Returns true once per lane and view if the lane
    /// was costly: this node has proposed in the view and had to serve more than f peers, so the lane's tip is no
    /// longer trusted.
    pub(crate) fn note_served(
        &mut self,
        context: &Context,
        view: View,
        peer: ValidatorIndex,
        lane: ValidatorIndex,
    ) -> bool {
        if self.proposed != Some(view) || context.is_me(lane) {
            return false;
        }
        let peers = self.served.entry((lane, view)).or_default();
        peers.insert(peer) && peers.len() == context.committee.faults() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::machines::testing::{at, context};

    #[test]
    fn a_lane_is_costly_once_a_view_and_only_to_its_leader() {
        let context = context(0);
        let mut batches = Batches::new(&context);
        let (lane, view) = (ValidatorIndex(1), View(5));
        let costly =
            |batches: &mut Batches, peer, lane| batches.note_served(&context, view, ValidatorIndex(peer), lane);
        assert!(!costly(&mut batches, 2, lane) && !costly(&mut batches, 3, lane), "it has not proposed");
        batches.note_proposal(view);
        assert!(!costly(&mut batches, 2, lane) && !costly(&mut batches, 2, lane), "one peer may lie");
        assert!(costly(&mut batches, 3, lane) && !costly(&mut batches, 3, lane));
        assert!(!costly(&mut batches, 2, ValidatorIndex(0)) && !costly(&mut batches, 3, ValidatorIndex(0)), "its own");
    }

    #[test]
    fn nothing_is_swept_where_nothing_is_loose() {
        let mut batches = Batches::new(&context(0));
        batches.sweep_soon();
        assert!(!batches.sweep_is_due(at(u64::MAX / 2)));
        assert_eq!(batches.sweep_at_us(), None);
        assert!(batches.has_room(&context(0), ValidatorIndex(3)) && !batches.has_room(&context(0), ValidatorIndex(9)));
    }
}
