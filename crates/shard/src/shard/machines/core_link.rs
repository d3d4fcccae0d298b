//! The consensus core as the shard knows it: the core's view, and what it was told.
//!
//! *Invariants:* the core hears of a level only if that has changed: at once if it acts on the change or is woken
//! anyway, otherwise after a delay. An input that the core needs only for what it does next doesn't wake it.
//! Effects from before the core entered this epoch are void (R29).

use super::passed_over::SkippedLeaders;
use super::timing::{Stage, Timing};
use crate::port::{BlockFacts, CertificateName, Effect, Input, PayloadStatus};
use crate::shard::{COALESCE_US, Now};
use rustorium_types::{Epoch, Height, ValidatorIndex, View, VoteKind};

/// The present values of the levels that the core acts on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Levels {
    /// True if something could be listed.
    pub(crate) listable: bool,
    /// Newest height whose result could be claimed.
    pub(crate) claim: Option<Height>,
    /// Newest height whose state root could be claimed.
    pub(crate) root: Option<Height>,
    /// True if the end of the epoch is due.
    pub(crate) end_due: bool,
    /// Height at which a quorum reports another root than this node's.
    pub(crate) diverged: Option<Height>,
}

/// The values of the levels that the core was told.
#[derive(Default)]
struct ReportedLevels {
    listable: bool,
    claim: Height,
    root: Height,
    end_due: bool,
    diverged: bool,
    /// Time since which the core doesn't know a changed level.
    stale_since_us: Option<u64>,
}

/// The core's view, and what the core is told.
pub(crate) struct CoreLink {
    view: View,
    /// True if this node leads the view.
    leads: bool,
    /// K of R16 is above 0: the core measures finalizations.
    backs_off: bool,
    entered_by: Option<CertificateName>,
    /// True if the core has said that it is in this epoch.
    entered: bool,
    passed_over: SkippedLeaders,
    timing: Timing,
    /// Inputs that the core gets at the end of the turn.
    inputs: Vec<Input>,
    /// True if one of these inputs wakes the core.
    wakes: bool,
    told: ReportedLevels,
    /// Height up to which clients wait for a certified result.
    claim_wanted: Height,
}

impl CoreLink {
    /// Creates the link to a core that goes on after a block of this view.
    pub(crate) fn after(view: View) -> Self {
        Self {
            view,
            leads: false,
            backs_off: true,
            entered_by: None,
            entered: false,
            passed_over: SkippedLeaders::default(),
            timing: Timing::default(),
            inputs: Vec::new(),
            wakes: false,
            told: ReportedLevels::default(),
            claim_wanted: Height(0),
        }
    }

    /// Returns the view that the core is in.
    pub(crate) fn view(&self) -> View {
        self.view
    }

    /// Returns the certificate by which the core entered its view.
    pub(crate) fn entered_by(&self) -> Option<CertificateName> {
        self.entered_by
    }

    /// Notes that the core has entered a view, with `backoff` doublings of its timers. Returns how long it was in the one
    /// before, microseconds.
    pub(crate) fn enter(
        &mut self,
        view: View,
        because: Option<CertificateName>,
        leads: bool,
        backoff: u32,
    ) -> Option<u64> {
        self.view = view;
        self.leads = leads;
        self.backs_off = backoff > 0;
        self.entered_by = because;
        self.timing.enter()
    }

    /// Sets the time of the event at hand.
    pub(crate) fn at(&mut self, now_us: u64) {
        self.timing.at(now_us);
    }

    /// Returns when the event at hand came, monotonic milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.timing.now_ms()
    }

    /// Notes a proposal. Returns how long after there was something to propose it came, if it is of the core's view.
    pub(crate) fn proposed(&mut self, view: View) -> Option<u64> {
        self.timing.proposed(view, self.view)
    }

    /// Returns how long the core's view has had work, if a certificate of this view ends it.
    pub(crate) fn worked(&self, certified: View) -> Option<u64> {
        self.timing.worked().filter(|_| certified >= self.view)
    }

    /// Notes a certificate. Returns the stage that it ends, and how long that took.
    pub(crate) fn certified(&mut self, kind: VoteKind, view: View) -> Option<(Stage, u64)> {
        self.timing.certified(kind, view)
    }

    /// Forgets the times of views up to this one.
    pub(crate) fn settle(&mut self, view: View) {
        self.timing.forget_through(view);
    }

    /// R29: tells whether an effect is from before the core went into this epoch.
    pub(crate) fn is_of_an_older_epoch(&mut self, own: Epoch, effect: &Effect) -> bool {
        if let Effect::EnterView { epoch, .. } = effect {
            self.entered |= *epoch == own;
        }
        !self.entered
    }

    /// Sets the leaders that the core passes over.
    pub(crate) fn pass_over(&mut self, leaders: Vec<ValidatorIndex>) {
        self.passed_over.now(leaders);
    }

    /// Returns the leaders that the core passes over.
    pub(crate) fn passed_over(&self) -> &[ValidatorIndex] {
        self.passed_over.leaders()
    }

    /// R17b (c): notes that the leader of a view proposed in it, as the leader's link proves. The view may be over and
    /// the block useless. `newest_timely`: the newest view whose proposal is in time.
    pub(crate) fn note_proposed(&mut self, leader: ValidatorIndex, view: View, newest_timely: View) {
        if view <= newest_timely && self.passed_over.is_news(leader, view) {
            self.tell(Input::Proposed(view));
        }
    }

    /// Tells the core something at the end of the turn.
    pub(crate) fn tell(&mut self, input: Input) {
        self.inputs.push(input);
        self.wakes = true;
    }

    /// Tells the core the round trips to the members, which it uses from its next view on.
    pub(crate) fn tell_round_trips(&mut self, us: Vec<u64>) {
        self.inputs.push(Input::RoundTrips(us));
    }

    /// Tells the core of its own block, on which it does nothing before another input or its deadline.
    pub(crate) fn tell_own_block(&mut self, facts: BlockFacts) {
        self.inputs.push(Input::BlockSeen(facts, PayloadStatus::Ready));
    }

    /// Tells the core of a certificate. The finalization of the block by which the core entered its view doesn't wake it:
    /// the core does nothing on that before another input or its deadline, unless it is about to extend the block, or
    /// measures how long finalizations take.
    pub(crate) fn tell_certificate(&mut self, name: CertificateName) {
        let entered = self.entered_by.is_some_and(|by| by.kind == VoteKind::Notarize && by.view == name.view);
        let extends = self.leads && self.told.listable;
        self.wakes |= name.kind != VoteKind::Finalize || !entered || extends || self.backs_off;
        self.inputs.push(Input::Certificate(name));
    }

    /// Tells the core how it starts, in place of all that it would have been told so far.
    pub(crate) fn restart(&mut self, recovered: Input) {
        self.inputs.clear();
        self.tell(recovered);
    }

    /// Takes what the core is told now, and whether that wakes it.
    pub(crate) fn take_inputs(&mut self) -> (Vec<Input>, bool) {
        (std::mem::take(&mut self.inputs), std::mem::take(&mut self.wakes))
    }

    /// Notes that a client waits for a certified result of this height.
    pub(crate) fn want_claim(&mut self, height: Height) {
        self.claim_wanted = self.claim_wanted.max(height);
        self.tell(Input::ClaimWanted(height));
    }

    /// Returns the height up to which clients wait for certified results.
    pub(crate) fn claim_wanted(&self) -> Height {
        self.claim_wanted
    }

    /// Returns the latest time at which changed levels are told, monotonic microseconds.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.told.stale_since_us.map(|since| since + COALESCE_US)
    }

    /// Tells the core which levels have changed: at once if it acts on the change or is woken anyway, otherwise after a
    /// delay.
    pub(crate) fn tell_levels(&mut self, now: Now, levels: Levels) {
        let Levels { listable, end_due, .. } = levels;
        self.timing.work(listable);
        let told = &mut self.told;
        let claim = levels.claim.filter(|claim| *claim > told.claim);
        let root = levels.root.filter(|root| *root > told.root);
        let diverged = levels.diverged.filter(|_| !told.diverged);
        let end_changed = end_due != told.end_due;
        if listable == told.listable && claim.is_none() && root.is_none() && diverged.is_none() && !end_changed {
            told.stale_since_us = None;
            return;
        }
        let leads_to_work = listable && !told.listable && self.leads;
        let urgent = leads_to_work || told.claim < self.claim_wanted && claim.is_some() || diverged.is_some();
        let since = *told.stale_since_us.get_or_insert(now.us);
        if !self.wakes && !urgent && now.us < since + COALESCE_US {
            return;
        }
        self.wakes = true;
        told.stale_since_us = None;
        if listable != told.listable {
            told.listable = listable;
            // This goes before a certificate of the same turn. Otherwise the next leader would still believe in work
            // that the certified block has just listed, and propose an empty block.
            let place = usize::from(matches!(self.inputs.first(), Some(Input::Recovered { .. })));
            self.inputs.insert(place, Input::WorkSeen(listable));
        }
        if let Some(height) = claim {
            told.claim = height;
            self.inputs.push(Input::ClaimReady(height));
        }
        if let Some(height) = root {
            told.root = height;
            self.inputs.push(Input::RootReady(height));
        }
        if end_changed {
            told.end_due = end_due;
            self.inputs.push(Input::EndDue(end_due));
        }
        if let Some(height) = diverged {
            told.diverged = true;
            self.inputs.push(Input::Diverged(height));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::BlockDigest;

    fn at(us: u64) -> Now {
        Now { us, wall_ms: 0 }
    }

    fn facts() -> BlockFacts {
        BlockFacts {
            view: View(1),
            height: Height(1),
            digest: BlockDigest::ZERO,
            parent_view: View(0),
            parent: BlockDigest::ZERO,
            proposer: ValidatorIndex(0),
            time_ms: 1,
            has_payload: true,
            claimed_height: Height(0),
            rooted_height: Height(0),
            ends_epoch: false,
        }
    }

    fn listable() -> Levels {
        Levels { listable: true, ..Levels::default() }
    }

    #[test]
    fn a_level_waits_for_another_input_and_not_for_long() {
        let mut core = CoreLink::after(View(0));
        core.tell_levels(at(100), listable());
        assert_eq!((core.take_inputs().0.len(), core.due_us()), (0, Some(100 + COALESCE_US)));
        core.tell_levels(at(100 + COALESCE_US), listable());
        assert!(matches!(core.take_inputs().0[..], [Input::WorkSeen(true)]));
        core.tell_levels(at(200 + COALESCE_US), listable());
        assert_eq!((core.take_inputs().0.len(), core.due_us()), (0, None), "it is told once");
        core.tell(Input::NullifiesSeen(View(3)));
        core.tell_levels(at(300), Levels::default());
        assert!(
            matches!(core.take_inputs().0[..], [Input::WorkSeen(false), Input::NullifiesSeen(_)]),
            "it comes first"
        );
    }

    #[test]
    fn what_the_core_acts_on_is_told_at_once() {
        let mut core = CoreLink::after(View(0));
        assert_eq!(core.enter(View(1), None, true, 0), None);
        core.tell_levels(at(0), listable());
        assert!(matches!(core.take_inputs().0[..], [Input::WorkSeen(true)]), "it leads");
        core.want_claim(Height(2));
        assert!(matches!(core.take_inputs().0[..], [Input::ClaimWanted(Height(2))]));
        core.tell_levels(at(0), Levels { claim: Some(Height(1)), ..listable() });
        assert!(matches!(core.take_inputs().0[..], [Input::ClaimReady(Height(1))]));
        for _ in 0..2 {
            core.tell_levels(at(0), Levels { diverged: Some(Height(1)), claim: Some(Height(1)), ..listable() });
        }
        assert!(matches!(core.take_inputs().0[..], [Input::Diverged(Height(1))]), "once");
    }

    #[test]
    fn a_finalization_wakes_only_a_core_that_acts_on_it() {
        let by = |kind, view| CertificateName { kind, view: View(view), digest: Some(BlockDigest::ZERO) };
        let entered = |leads, listable, backoff| {
            let mut core = CoreLink::after(View(0));
            core.tell_levels(at(0), Levels { listable, ..Levels::default() });
            core.tell_levels(at(COALESCE_US), Levels { listable, ..Levels::default() });
            core.take_inputs();
            core.enter(View(3), Some(by(VoteKind::Notarize, 2)), leads, backoff);
            core
        };
        let wakes = |mut core: CoreLink, name| {
            core.tell_certificate(name);
            let (inputs, wakes) = core.take_inputs();
            assert_eq!(inputs, [Input::Certificate(name)]);
            wakes
        };
        let last = by(VoteKind::Finalize, 2);
        assert!(!wakes(entered(false, true, 0), last) && !wakes(entered(true, false, 0), last));
        assert!(wakes(entered(true, true, 0), last), "it is about to extend the block");
        assert!(wakes(entered(false, false, 1), last), "it measures the finalization");
        assert!(wakes(entered(false, false, 0), by(VoteKind::Finalize, 3)), "it goes to the next view");
        assert!(wakes(entered(false, false, 0), by(VoteKind::Notarize, 3)));
        let mut core = entered(false, false, 0);
        core.enter(View(3), Some(CertificateName { digest: None, ..by(VoteKind::Nullify, 2) }), false, 0);
        assert!(wakes(core, last), "the core left the view without the block");
    }

    #[test]
    fn what_does_not_wake_the_core_brings_no_level_with_it() {
        let mut core = CoreLink::after(View(0));
        core.enter(View(1), None, false, 0);
        core.tell_own_block(facts());
        core.tell_levels(at(100), listable());
        assert_eq!(core.take_inputs(), (vec![Input::BlockSeen(facts(), PayloadStatus::Ready)], false));
        assert_eq!(core.due_us(), Some(100 + COALESCE_US));
        core.tell_levels(at(100 + COALESCE_US), listable());
        assert_eq!(core.take_inputs(), (vec![Input::WorkSeen(true)], true));
        assert_eq!(core.take_inputs(), (Vec::new(), false));
    }

    #[test]
    fn effects_are_void_until_the_core_is_in_this_epoch() {
        let mut core = CoreLink::after(View(0));
        let beat = Effect::Heartbeat(View(1));
        assert!(core.is_of_an_older_epoch(Epoch(2), &beat));
        let enter = |epoch| Effect::EnterView {
            view: View(1),
            because: None,
            leads: false,
            backoff: 0,
            passed_over: Vec::new(),
            epoch,
        };
        assert!(core.is_of_an_older_epoch(Epoch(2), &enter(Epoch(1))));
        assert!(!core.is_of_an_older_epoch(Epoch(2), &enter(Epoch(2))));
        assert!(!core.is_of_an_older_epoch(Epoch(2), &beat));
    }
}
