//! Results executed and rooted here, members' reports of theirs, and which results a header may claim.
//!
//! *Invariants:* a claim rests on this node's own root alone; a report contains only what others can check by now
//! (R24); roots are kept for a bounded number of heights.

use super::blocks::BlockTree;
use super::validity::invalid;
use crate::periods::{Period, claimed_height};
use crate::port::PayloadStatus;
use crate::shard::Now;
use rustorium_quorum::ReportTally;
use rustorium_types::{Block, Hash, Header, Height, Parameters, Report, ResultClaim, StateClaim, ValidatorIndex};
use std::collections::{BTreeMap, HashMap};

/// Result roots kept in memory below the newest.
const ROOTS_KEPT: u64 = 1024;
/// State roots kept in memory below the newest.
const STATE_ROOTS_KEPT: usize = 1024;
/// Time for which an execution report waits for a vote to accompany.
const REPORT_DELAY_US: u64 = 3_000;
/// The same if the previous block was executed at most `BUSY_US` ago: the next vote is then on its way.
const REPORT_DELAY_BUSY_US: u64 = 15_000;
const BUSY_US: u64 = 50_000;

/// Results of this node and of its peers.
pub(crate) struct Results {
    executed: Height,
    /// Result roots by height.
    roots: BTreeMap<Height, Hash>,
    /// State roots by the height after which they stand.
    state_roots: BTreeMap<Height, Hash>,
    /// Members' reports of result roots.
    reports: ReportTally,
    /// Members' reports of state roots.
    rooted: ReportTally,
    /// Newest height that each peer says it has executed.
    peers: HashMap<ValidatorIndex, Height>,
    report_due_us: Option<u64>,
    executed_at_us: Option<u64>,
}

impl Results {
    /// Creates the machine of a committee of `n`, in which this node has the place `me`.
    pub(crate) fn new(n: usize, quorum: usize, me: Option<ValidatorIndex>) -> Self {
        Self {
            executed: Height(0),
            roots: BTreeMap::new(),
            state_roots: BTreeMap::new(),
            reports: ReportTally::new(n, quorum, me),
            rooted: ReportTally::new(n, quorum, me),
            peers: HashMap::new(),
            report_due_us: None,
            executed_at_us: None,
        }
    }

    /// Takes the roots of the heights up to the tip from the store.
    pub(crate) fn recover(&mut self, genesis_root: Hash, roots: Vec<(Height, Hash)>, tip: Height) {
        self.roots.insert(Height(0), genesis_root);
        self.roots.extend(roots);
        self.executed = tip;
        for (height, root) in &self.roots {
            self.reports.own(ResultClaim { height: *height, root: *root });
        }
    }

    /// Takes result roots and state roots, for the next epoch.
    pub(crate) fn into_roots(self) -> (BTreeMap<Height, Hash>, BTreeMap<Height, Hash>) {
        (self.roots, self.state_roots)
    }

    /// Takes over the state roots of the previous epoch.
    pub(crate) fn go_on_with(&mut self, state_roots: BTreeMap<Height, Hash>) {
        if let Some((height, root)) = state_roots.last_key_value() {
            self.rooted.own(ResultClaim { height: *height, root: *root });
        }
        self.state_roots = state_roots;
    }

    /// Returns the newest executed height.
    pub(crate) fn executed(&self) -> Height {
        self.executed
    }

    /// Notes the result root of a height that was executed.
    pub(crate) fn on_executed(&mut self, now: Now, height: Height, root: Hash) {
        self.executed = height;
        self.roots.insert(height, root);
        self.roots = self.roots.split_off(&Height(height.0.saturating_sub(ROOTS_KEPT)));
        self.reports.own(ResultClaim { height, root });
        let busy = self.executed_at_us.replace(now.us).is_some_and(|before| now.us < before + BUSY_US);
        self.report_due_us.get_or_insert(now.us + if busy { REPORT_DELAY_BUSY_US } else { REPORT_DELAY_US });
    }

    /// Notes the state root of a root period that ends at this height.
    pub(crate) fn on_rooted(&mut self, now: Now, height: Height, root: Hash) {
        self.state_roots.insert(height, root);
        while self.state_roots.len() > STATE_ROOTS_KEPT {
            self.state_roots.pop_first();
        }
        self.rooted.own(ResultClaim { height, root });
        self.report_due_us.get_or_insert(now.us + REPORT_DELAY_US);
    }

    /// Takes a peer's report.
    pub(crate) fn on_report(&mut self, peer: ValidatorIndex, report: Report) {
        self.peers.insert(peer, report.executed);
        self.reports.update(peer, report.result());
        if report.rooted > Height(0) {
            self.rooted.update(peer, report.state());
        }
    }

    /// Returns this node's report.
    pub(crate) fn report(&self) -> Report {
        let root = self.roots.get(&self.executed).copied().unwrap_or_default();
        let rooted = self.state_roots.last_key_value().map_or((Height(0), Hash::default()), |(h, root)| (*h, *root));
        Report { executed: self.executed, root, rooted: rooted.0, state_root: rooted.1 }
    }

    /// Returns this node's report, which accompanies another message and so isn't sent by itself.
    pub(crate) fn report_now(&mut self) -> Report {
        self.report_due_us = None;
        self.report()
    }

    /// Returns when the report is to be sent by itself, monotonic microseconds.
    pub(crate) fn report_due_us(&self) -> Option<u64> {
        self.report_due_us
    }

    /// Returns the newest height whose result could be claimed now; genesis if there is none.
    pub(crate) fn claimable(&self) -> Option<Height> {
        self.reports.claimable().map(|report| report.height)
    }

    /// Returns the newest height whose state root could be claimed now, if there is one.
    pub(crate) fn claimable_root(&self) -> Option<Height> {
        self.rooted.claimable().map(|claim| claim.height)
    }

    /// Returns a height at which a quorum reports another root than this node's, if there is one (R24).
    pub(crate) fn diverged(&self) -> Option<Height> {
        self.reports.diverged().or(self.rooted.diverged())
    }

    /// Returns this node's result root at a height.
    pub(crate) fn root(&self, height: Height) -> Option<&Hash> {
        self.roots.get(&height)
    }

    /// Returns true if this peer says that it has executed the height.
    pub(crate) fn has_executed(&self, peer: ValidatorIndex, height: Height) -> bool {
        self.peers.get(&peer).is_some_and(|at| *at >= height)
    }

    /// Returns the height that at least one honest peer has executed among those who reported. `None` before a quorum with
    /// this node has.
    pub(crate) fn honest_height(&self, quorum: usize, faults: usize) -> Option<Height> {
        let mut heights: Vec<Height> = self.peers.values().copied().collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        (heights.len() + 1 >= quorum).then(|| heights.get(faults).copied().unwrap_or_default())
    }

    /// Returns a claim of `height`, or the parent's claim if `height` is not executed here or not newer.
    pub(crate) fn claim_at(&self, height: Height, above: &Header) -> ResultClaim {
        let newer = height > above.result.height && height <= above.height;
        match self.roots.get(&height) {
            Some(root) if newer => ResultClaim { height, root: *root },
            _ => above.result,
        }
    }

    /// Returns a claim of the newest root period that ended at or below `height` and is rooted here. Otherwise returns
    /// the parent's claim.
    pub(crate) fn state_claim(
        &self,
        tree: &BlockTree,
        parameters: &Parameters,
        height: Height,
        header: &Header,
        above: &Header,
    ) -> StateClaim {
        let periods = tree.periods(&header.parent, parameters).map(|periods| periods.ended_by(header, parameters));
        let period = periods.and_then(|periods| periods.newest_at(height.min(header.result.height)));
        let newer = period.filter(|period| period.end > claimed_height(&above.state));
        match newer.and_then(|period| Some((period, self.state_roots.get(&period.end)?))) {
            Some((Period { first, end }, root)) => StateClaim::Rooted { height: end, first, root: *root },
            None => above.state,
        }
    }

    /// Checks a state claim. It must name a root period that is over on the block's own chain, with this node's root
    /// for it.
    pub(crate) fn check_state_claim(
        &self,
        tree: &BlockTree,
        parameters: &Parameters,
        block: &Block,
        parent: &Header,
    ) -> PayloadStatus {
        let header = &block.header;
        let StateClaim::Rooted { height, first, root } = header.state else { return PayloadStatus::Ready };
        if header.state == parent.state {
            return PayloadStatus::Ready;
        }
        let Some(periods) = tree.periods(&header.parent, parameters) else { return PayloadStatus::Pending };
        let period = periods.ended_by(header, parameters).ended_at(height);
        if period.is_none_or(|period| period.first != first) {
            return invalid(header.view, "it claims a state root of no root period");
        }
        match self.state_roots.get(&height) {
            Some(known) if *known == root => PayloadStatus::Ready,
            Some(_) => invalid(header.view, "it claims another state root"),
            None => PayloadStatus::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: [ValidatorIndex; 3] = [ValidatorIndex(1), ValidatorIndex(2), ValidatorIndex(3)];

    fn results() -> Results {
        Results::new(4, 3, Some(ValidatorIndex(0)))
    }

    fn at(us: u64) -> Now {
        Now { us, wall_ms: 0 }
    }

    fn report(executed: u64, root: u8) -> Report {
        Report { executed: Height(executed), root: Hash([root; 32]), rooted: Height(0), state_root: Hash::default() }
    }

    #[test]
    fn a_result_can_be_claimed_once_a_quorum_reports_it() {
        let mut results = results();
        results.on_executed(at(0), Height(1), Hash([1; 32]));
        results.on_report(PEERS[0], report(1, 1));
        assert_eq!(results.claimable(), None, "two of four");
        results.on_report(PEERS[1], report(1, 1));
        assert_eq!((results.claimable(), results.diverged()), (Some(Height(1)), None));
    }

    #[test]
    fn a_quorum_with_another_root_is_told() {
        let mut results = results();
        results.on_executed(at(0), Height(1), Hash([1; 32]));
        PEERS.into_iter().for_each(|peer| results.on_report(peer, report(1, 2)));
        assert_eq!(results.diverged(), Some(Height(1)));
    }

    #[test]
    fn a_report_waits_longer_where_blocks_follow_each_other_and_not_at_all_beside_a_vote() {
        let mut results = results();
        results.on_executed(at(1_000), Height(1), Hash([1; 32]));
        assert_eq!(results.report_due_us(), Some(1_000 + REPORT_DELAY_US));
        results.on_executed(at(2_000), Height(2), Hash([2; 32]));
        assert_eq!(results.report_due_us(), Some(1_000 + REPORT_DELAY_US), "the first one's time stays");
        assert_eq!(results.report_now(), report(2, 2));
        results.on_executed(at(3_000), Height(3), Hash([3; 32]));
        assert_eq!(results.report_due_us(), Some(3_000 + REPORT_DELAY_BUSY_US));
    }

    #[test]
    fn one_honest_peer_counts_among_a_quorums_reports() {
        let mut results = results();
        results.on_report(PEERS[0], report(90, 1));
        assert_eq!(results.honest_height(3, 1), None);
        results.on_report(PEERS[1], report(5, 1));
        assert_eq!(results.honest_height(3, 1), Some(Height(5)), "one may lie");
        assert!(results.has_executed(PEERS[0], Height(90)) && !results.has_executed(PEERS[2], Height(1)));
    }
}
