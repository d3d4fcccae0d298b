//! What of the journal is still needed, and until when: by view for votes, certificates and blocks, by height for batches.
//!
//! *Invariants:* a record is forgotten only once the store holds, on disk, what it was needed for.

use super::live_records::LiveRecords;
use crate::shard::Records;
use rustorium_types::{Cursor, Height, View};
use std::collections::BTreeMap;

/// A height that was handed to execution.
pub(crate) struct HandedOver {
    /// Its block's view.
    pub(crate) view: View,
    /// How far it lists this node's own lane.
    pub(crate) own_lane: Cursor,
    /// The records of the batches that its lanes hold no more.
    pub(crate) batches: Vec<u64>,
}

/// The journal's records, by what they are needed for.
#[derive(Default)]
pub(crate) struct Retained {
    /// All that are needed.
    pub(crate) live: LiveRecords,
    views: BTreeMap<View, Vec<u64>>,
    heights: BTreeMap<Height, HandedOver>,
}

impl Retained {
    /// What was found at the start, of which nothing is known to be needed yet.
    pub(crate) fn of(live: LiveRecords) -> Self {
        Self { live, ..Self::default() }
    }

    /// The records for the next epoch's start, of which nothing is known to be needed yet.
    pub(crate) fn into_live(self) -> LiveRecords {
        self.live.unclaimed()
    }

    /// Everything that is needed of what was found has been noted.
    pub(crate) fn recovered(&mut self) {
        self.live.drop_unclaimed();
    }

    /// A record of this view is at `position`.
    pub(crate) fn note(&mut self, view: View, position: u64) {
        self.live.keep(position);
        self.views.entry(view).or_default().push(position);
    }

    /// A batch is at `position`.
    pub(crate) fn note_batch(&mut self, position: u64) {
        self.live.keep(position);
    }

    /// The floor is at `position`, in place of an earlier one. 0: there is none.
    pub(crate) fn note_floor(&mut self, before: Option<u64>, position: u64) {
        before.into_iter().for_each(|before| self.live.drop(before));
        if position > 0 {
            self.live.keep(position);
        }
    }

    /// Records of later epochs stay until their epoch has begun.
    pub(crate) fn keep_later(&mut self, later: &Records) {
        later.positions().for_each(|position| self.live.keep(position));
    }

    pub(crate) fn hand_over(&mut self, height: Height, handed: HandedOver) {
        self.heights.insert(height, handed);
    }

    /// The store holds everything up to `height`: forgets what only that needed, returns the newest forgotten view and how
    /// far its block lists the own lane.
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
