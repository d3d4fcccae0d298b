//! Owners of wants: they determine the room that a want may take, and the peers that may be asked (R41).

use crate::want::Want;
use rustorium_types::ValidatorIndex;

/// The block that needs a want.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A certified block, an ancestor of one, or a range of final blocks. Every peer may be asked, this one first.
    Certified(Option<ValidatorIndex>),
    /// A leader's block that is not certified yet. Only these peers are asked, in this order.
    Proposal(Vec<ValidatorIndex>),
}

/// A want with its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedWant {
    /// The want.
    pub want: Want,
    /// The block that needs it.
    pub owner: Owner,
}

/// Numbers of requests in flight.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Places {
    pub(crate) all: usize,
    /// Number of those for proposals.
    pub(crate) proposals: usize,
}

impl Places {
    /// Tells if another request fits. Three quarters of all places are reserved for certified blocks.
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
