//! The wishes of validators' owners for other operators in a block, for the audit log (V48, V50).
//!
//! *Invariants:* they follow from the block and the state below it; a block in which the committee's record and the wishes stay
//! costs two searches among its writes.

use crate::decisions::ExecutedBlock;
use rustorium_execution::{CommitteeRecord, committee_key, wishes_key};
use rustorium_types::{GovernanceChange, Operation2, Parameters, SystemSender, TxId};

/// The wish of a validator's owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerWish {
    /// The validator's number.
    pub validator: u32,
    /// The owner's transaction.
    pub transaction: TxId,
    /// The change that sets the operators.
    pub change: Box<GovernanceChange>,
    /// Header time from which an epoch's end may take them, Unix ms, if this wish decided it.
    pub from_ms: Option<u64>,
}

impl OwnerWish {
    fn is_for(&self, wanted: &Parameters) -> bool {
        matches!(&*self.change, GovernanceChange::SetOperators { operators, quorum, .. }
            if (operators, *quorum) == wanted.governors())
    }
}

impl ExecutedBlock<'_> {
    /// Returns the wishes that took effect, in order. `parameters`: those in force.
    pub(crate) fn wishes(&self, parameters: &Parameters) -> Vec<OwnerWish> {
        if self.written(&wishes_key()).is_none() && self.written(&committee_key()).is_none() {
            return Vec::new();
        }
        let mut wishes = self.wished();
        // A wish for operators that are wanted already fails. So the last wish for those wanted now decided it.
        if let Some((wanted, from_ms)) = self.recovered(parameters)
            && let Some(last) = wishes.iter_mut().rev().find(|wish| wish.is_for(&wanted))
        {
            last.from_ms = Some(from_ms);
        }
        wishes
    }

    /// Returns the parameters that owners want as of the block, and when a boundary may take their operators, if the block
    /// writes the committee's record.
    fn recovered(&self, in_force: &Parameters) -> Option<(Parameters, u64)> {
        let record = CommitteeRecord::from_bytes(self.written(&committee_key())??).ok()?;
        let from_ms = record.recovered_from_ms(in_force)?;
        Some((record.wanted(in_force).clone(), from_ms))
    }

    fn wished(&self) -> Vec<OwnerWish> {
        let one = |(transaction, sender, operation): (TxId, SystemSender, &Operation2)| match (sender, operation) {
            (SystemSender::Owner(validator), Operation2::RecoverOperators { base, operators, quorum }) => {
                let (base, operators, quorum) = (*base, operators.clone(), *quorum);
                let change = Box::new(GovernanceChange::SetOperators { base, operators, quorum });
                Some(OwnerWish { validator, transaction, change, from_ms: None })
            }
            _ => None,
        };
        self.of_the_system().filter_map(one).collect()
    }
}
