//! The leaders that the core passes over, and their proposals, by which it takes them back (R17b).
//!
//! *Invariants:* the core hears of a proposal of such a leader once, and of views that only rise: a leader can wake it as often
//! as it leads. A link proves who proposed; nothing else of the proposal is looked at for this, nor kept.

use super::{Ports, Shard};
use crate::port::Input;
use rustorium_types::{ValidatorIndex, View};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct PassedOver {
    leaders: Vec<ValidatorIndex>,
    /// The newest view of each in which it was seen to propose.
    proposed: BTreeMap<ValidatorIndex, View>,
}

impl PassedOver {
    pub(super) fn now(&mut self, leaders: Vec<ValidatorIndex>) {
        if self.leaders != leaders {
            self.proposed.retain(|leader, _| leaders.contains(leader));
            self.leaders = leaders;
        }
    }

    /// Returns true if a proposal of this view tells anything new of its leader.
    fn is_news(&mut self, leader: ValidatorIndex, view: View) -> bool {
        if !self.leaders.contains(&leader) {
            return false;
        }
        let newest = self.proposed.entry(leader).or_default();
        std::mem::replace(newest, view.max(*newest)) < view
    }
}

impl<P: Ports> Shard<P> {
    /// The leaders that the core passes over.
    pub fn passed_over(&self) -> &[ValidatorIndex] {
        &self.passed_over.leaders
    }

    /// R17b (c): the leader of a view proposed in it, as its link proves. The view may be over, and the block be of no use.
    pub(super) fn note_proposed(&mut self, leader: ValidatorIndex, view: View) {
        if view <= self.newest_timely() && self.passed_over.is_news(leader, view) {
            self.tell(Input::Proposed(view));
        }
    }
}
