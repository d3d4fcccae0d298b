//! Durations of the stages of a view on this node, for metrics.
//!
//! *Invariants:* this only measures, and decides nothing; it is bounded by the window of views.

use crate::shard::VIEW_WINDOW;
use rustorium_types::{View, VoteKind};
use std::collections::BTreeMap;

/// Stage in the life of a block, as this node sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Wait of an own batch's oldest transaction in the pool until more of them gather.
    Gather,
    /// Time from the view's start, or from the first batch or transaction to list, to its proposal.
    Propose,
    /// Time from the proposal until everything that it lists is here and checked.
    Payload,
    /// Time from the proposal to its notarization.
    Notarize,
    /// Time from the notarization, or from the proposal if no notarization was seen, to the finalization.
    Finalize,
    /// A view, from entering it to entering a later one.
    View,
}

struct Times {
    proposed_us: u64,
    notarized_us: Option<u64>,
    finalized: bool,
}

/// Times at which the current views reached each stage.
#[derive(Default)]
pub(crate) struct Timing {
    /// Time of the event at hand.
    now_us: u64,
    entered_us: Option<u64>,
    work_since_us: Option<u64>,
    views: BTreeMap<View, Times>,
}

impl Timing {
    pub(crate) fn at(&mut self, now_us: u64) {
        self.now_us = now_us;
    }

    /// Notes whether something could be listed.
    pub(crate) fn work(&mut self, listable: bool) {
        let since = self.work_since_us.unwrap_or(self.now_us);
        self.work_since_us = listable.then_some(since);
    }

    /// Returns the time of the event at hand, monotonic milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// Forgets views up to this one.
    pub(crate) fn forget_through(&mut self, view: View) {
        self.views = self.views.split_off(&view.next());
    }

    /// Returns how long the view has had work. `None` if it has none.
    pub(crate) fn worked(&self) -> Option<u64> {
        Some(self.now_us.saturating_sub(self.work_since_us?.max(self.entered_us?)))
    }

    /// Notes that the core enters a view. Returns how long the previous one took.
    pub(crate) fn enter(&mut self) -> Option<u64> {
        self.entered_us.replace(self.now_us).map(|before| self.now_us.saturating_sub(before))
    }

    /// Notes a proposal. Returns how long after there was something to propose it came, if it is of the current view.
    pub(crate) fn proposed(&mut self, view: View, current: View) -> Option<u64> {
        if self.views.contains_key(&view) || self.views.len() as u64 > 2 * VIEW_WINDOW {
            return None;
        }
        let proposed_us = self.now_us;
        self.views.insert(view, Times { proposed_us, notarized_us: None, finalized: false });
        let since = self.work_since_us?.max(self.entered_us?);
        (view == current).then(|| proposed_us.saturating_sub(since))
    }

    /// Notes a certificate. Returns the stage that it ends and that stage's duration.
    pub(crate) fn certified(&mut self, kind: VoteKind, view: View) -> Option<(Stage, u64)> {
        let times = self.views.get_mut(&view)?;
        match kind {
            VoteKind::Notarize if times.notarized_us.is_none() && !times.finalized => {
                times.notarized_us = Some(self.now_us);
                Some((Stage::Notarize, self.now_us.saturating_sub(times.proposed_us)))
            }
            VoteKind::Finalize if !std::mem::replace(&mut times.finalized, true) => {
                let since = times.notarized_us.unwrap_or(times.proposed_us);
                Some((Stage::Finalize, self.now_us.saturating_sub(since)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_of_a_view_is_measured_once_and_from_the_stage_before() {
        let mut timing = Timing::default();
        timing.at(1_000);
        assert_eq!(timing.enter(), None);
        timing.at(3_000);
        timing.work(true);
        assert_eq!(timing.worked(), Some(0));
        timing.at(4_500);
        timing.work(true);
        assert_eq!(timing.worked(), Some(1_500));
        assert_eq!(timing.proposed(View(7), View(7)), Some(1_500));
        assert_eq!(timing.proposed(View(7), View(7)), None);
        timing.at(6_000);
        assert_eq!(timing.certified(VoteKind::Notarize, View(7)), Some((Stage::Notarize, 1_500)));
        assert_eq!(timing.certified(VoteKind::Notarize, View(7)), None);
        timing.at(6_400);
        assert_eq!(timing.certified(VoteKind::Finalize, View(7)), Some((Stage::Finalize, 400)));
        assert_eq!(timing.certified(VoteKind::Finalize, View(7)), None);
        assert_eq!(timing.certified(VoteKind::Nullify, View(7)), None);
        assert_eq!(timing.enter(), Some(5_400));
    }

    #[test]
    fn what_is_idle_or_came_late_is_not_measured_and_views_are_bounded() {
        let mut timing = Timing::default();
        timing.at(10);
        timing.enter();
        assert_eq!(timing.proposed(View(1), View(1)), None, "nothing could be listed: an idle view is nobody's delay");
        timing.work(true);
        assert_eq!(timing.proposed(View(5), View(2)), None, "a view ahead of this node's");
        assert_eq!(timing.certified(VoteKind::Finalize, View(9)), None, "its block came after its certificate");
        for view in 0..10 * VIEW_WINDOW {
            timing.proposed(View(view), View(0));
        }
        assert!(timing.views.len() as u64 <= 2 * VIEW_WINDOW + 1);
    }
}
