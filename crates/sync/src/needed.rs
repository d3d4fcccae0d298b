//! Who needs a want: it says how much room the want may take, and whom it is asked of (R41).

use crate::want::Want;
use rustorium_types::ValidatorIndex;

/// The block that needs a want.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A certified block, an ancestor of one, or a range of final blocks: every peer is asked, this one first.
    Certified(Option<ValidatorIndex>),
    /// A leader's block that nobody has certified yet: these peers alone are asked, in this order.
    Proposal(Vec<ValidatorIndex>),
}

/// A want, and who needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needed {
    /// What is wanted.
    pub want: Want,
    /// By whom.
    pub owner: Owner,
}

/// Places of requests that are under way.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Places {
    pub(crate) all: usize,
    /// Those of proposals among them.
    pub(crate) proposals: usize,
}

impl Places {
    /// Whether another request fits: of all places three quarters are for what is certified alone.
    pub(crate) fn fits(self, proposal: bool, max: usize) -> bool {
        self.all < max && (!proposal || self.proposals < (max / 4).max(1))
    }

    pub(crate) fn take(&mut self, proposal: bool) {
        self.all += 1;
        self.proposals += usize::from(proposal);
    }

    pub(crate) fn give_back(&mut self, proposal: bool) {
        self.all -= 1;
        self.proposals -= usize::from(proposal);
    }
}
