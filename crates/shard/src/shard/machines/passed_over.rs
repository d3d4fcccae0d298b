//! The leaders that the core passes over, and their proposals, for which it takes them back (R17b).
//!
//! *Invariants:* the core hears of such a leader's proposal once, and of rising views only, so a leader can wake it as
//! often as it leads; a link proves who proposed; nothing else of the proposal is looked at for this, or kept.

use rustorium_types::{ValidatorIndex, View};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct SkippedLeaders {
    leaders: Vec<ValidatorIndex>,
    /// Newest view in which each leader was seen to propose.
    proposed: BTreeMap<ValidatorIndex, View>,
}

impl SkippedLeaders {
    pub(crate) fn now(&mut self, leaders: Vec<ValidatorIndex>) {
        if self.leaders != leaders {
            self.proposed.retain(|leader, _| leaders.contains(leader));
            self.leaders = leaders;
        }
    }

    pub(crate) fn leaders(&self) -> &[ValidatorIndex] {
        &self.leaders
    }

    /// Returns true if a proposal of this view says something new of its leader.
    pub(crate) fn is_news(&mut self, leader: ValidatorIndex, view: View) -> bool {
        if !self.leaders.contains(&leader) {
            return false;
        }
        let newest = self.proposed.entry(leader).or_default();
        std::mem::replace(newest, view.max(*newest)) < view
    }
}
