//! Claims on the state tree: what this node rooted, and whether a block's claim is what it would have claimed itself.

use super::{Now, Ports, Shard};
use crate::periods::RootedPeriod;
use crate::port::PayloadStatus;
use rustorium_types::{Block, Header, Height, ResultClaim, StateClaim};

/// State roots kept in memory below the newest.
const STATE_ROOTS_KEPT: usize = 1024;

impl<P: Ports> Shard<P> {
    pub(super) fn on_rooted(&mut self, now: Now, rooted: RootedPeriod) {
        let (height, root) = (rooted.period.end, rooted.root);
        self.state_roots.insert(height, root);
        while self.state_roots.len() > STATE_ROOTS_KEPT {
            self.state_roots.pop_first();
        }
        self.rooted.own(ResultClaim { height, root });
        self.report_soon(now);
        self.recheck = true;
    }

    /// A claim must name a root period that is over on the block's own chain, and the root that this node has for it.
    pub(super) fn check_state_claim(&self, block: &Block, parent: &Header) -> PayloadStatus {
        let header = &block.header;
        let StateClaim::Rooted { height, first, root } = header.state else { return PayloadStatus::Ready };
        if header.state == parent.state {
            return PayloadStatus::Ready;
        }
        let parameters = &self.context.parameters;
        let Some(periods) = self.tree.periods(&header.parent, parameters) else { return PayloadStatus::Pending };
        let period = periods.ended_by(header, parameters).ended_at(height);
        if period.is_none_or(|period| period.first != first) {
            return super::inbound::invalid(header.view, "it claims a state root of no root period");
        }
        match self.state_roots.get(&height) {
            Some(known) if *known == root => PayloadStatus::Ready,
            Some(_) => super::inbound::invalid(header.view, "it claims another state root"),
            None => PayloadStatus::Pending,
        }
    }

    /// The newest height whose state root could be claimed now; genesis where none can.
    pub(super) fn newest_rooted(&self) -> Height {
        self.rooted.claimable().map_or(Height(0), |claim| claim.height)
    }
}
