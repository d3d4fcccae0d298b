//! Needed records of the journal, by view for votes, certificates and blocks, and by height for batches.
//!
//! *Invariants:* a record is forgotten only once the store holds, on disk, what it was needed for.

use super::live_records::LiveRecords;
use crate::shard::Records;
use rustorium_types::{Cursor, Height, View};
use std::collections::BTreeMap;

/// A height that was handed to execution.
pub(crate) struct ExecutingHeight {
    /// View of the height's block.
    pub(crate) view: View,
    /// Position up to which the block lists this node's own lane.
    pub(crate) own_lane: Cursor,
    /// Records of the batches that the lanes no longer hold.
    pub(crate) batches: Vec<u64>,
}

/// The journal's records, by what they are needed for.
#[derive(Default)]
pub(crate) struct Retained {
    /// All needed records.
    pub(crate) live: LiveRecords,
    views: BTreeMap<View, Vec<u64>>,
    heights: BTreeMap<Height, ExecutingHeight>,
}

impl Retained {
    /// Creates the account of what was found at the start. Nothing of it is known to be needed yet.
    pub(crate) fn of(live: LiveRecords) -> Self {
        Self { live, ..Self::default() }
    }

    /// Returns the records for the next epoch's start. None of them is known to be needed yet.
    pub(crate) fn into_live(self) -> LiveRecords {
        self.live.unclaimed()
    }

    /// Frees what was found and not noted: everything that is needed has been noted.
    pub(crate) fn recovered(&mut self) {
        self.live.drop_unclaimed();
    }

    /// Keeps the record at `position` for this view.
    pub(crate) fn note(&mut self, view: View, position: u64) {
        self.live.keep(position);
        self.views.entry(view).or_default().push(position);
    }

    /// Keeps the batch at `position`.
    pub(crate) fn note_batch(&mut self, position: u64) {
        self.live.keep(position);
    }

    /// Keeps the floor at `position` in place of an earlier one. `position` is 0 if there is no floor.
    pub(crate) fn note_floor(&mut self, before: Option<u64>, position: u64) {
        before.into_iter().for_each(|before| self.live.drop(before));
        if position > 0 {
            self.live.keep(position);
        }
    }

    /// Keeps records of later epochs until their epoch has begun.
    pub(crate) fn keep_later(&mut self, later: &Records) {
        later.positions().for_each(|position| self.live.keep(position));
    }

    pub(crate) fn hand_over(&mut self, height: Height, handed: ExecutingHeight) {
        self.heights.insert(height, handed);
    }

    /// Forgets what only heights up to `height` needed, because the store holds it. Returns the newest forgotten view
    /// and how far its block lists the own lane.
    pub(crate) fn forget(&mut self, height: Height) -> (View, Cursor) {
        let above = self.heights.split_off(&height.next());
        let done = std::mem::replace(&mut self.heights, above);
        let (forgotten, own_lane) = done.last_key_value().map_or_else(Default::default, |(_, h)| (h.view, h.own_lane));
        let kept = self.views.split_off(&forgotten.next());
        let views = std::mem::replace(&mut self.views, kept);
        let batches = done.into_values().flat_map(|handed| handed.batches);
        views.into_values().flatten().chain(batches).for_each(|name| self.live.drop(name));
        (forgotten, own_lane)
    }
}
