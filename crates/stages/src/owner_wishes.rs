//! The wishes of validators' owners for other operators in a block, for the audit log (V48, V50).
//!
//! *Invariants:* they follow from the block and the state below it; a block in which the committee's record and the wishes stay
//! costs two searches among its writes.

use crate::decisions::ExecutedBlock;
use rustorium_execution::{CommitteeRecord, committee_key, wishes_key};
use rustorium_types::{GovernanceChange, Operation2, Outcome, Parameters, StateKey, SystemSender, Transaction, TxId};

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
            if (operators, *quorum) == (&wanted.operators, wanted.operator_quorum))
    }
}

impl ExecutedBlock<'_> {
    /// Returns the wishes that took effect, in order. `parameters`: those in force.
    pub(crate) fn wishes(&self, parameters: &Parameters) -> Vec<OwnerWish> {
        if self.written(&wishes_key()).is_none() && self.written(&committee_key()).is_none() {
            return Vec::new();
        }
        let mut wishes = self.wished();
        // A wish for what is wanted already fails, so the last one of what is wanted now decided it.
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

    /// Returns what the block writes in a leaf: its bytes, or none if the leaf goes. `None`: it stays.
    fn written(&self, key: &StateKey) -> Option<Option<&[u8]>> {
        let place = self.diff.binary_search_by_key(key, |write| write.key).ok()?;
        Some(self.diff[place].value.as_deref())
    }

    fn wished(&self) -> Vec<OwnerWish> {
        let mut wishes = Vec::new();
        let mut receipts = self.receipts.iter().peekable();
        for (id, transaction) in self.transactions {
            let Some(receipt) = receipts.next_if(|receipt| receipt.transaction == *id) else { continue };
            let Transaction::V2(one) = transaction else { continue };
            let body = one.body();
            let (Some(SystemSender::Owner(validator)), Outcome::Ok) =
                (SystemSender::of(&body.sender), &receipt.outcome)
            else {
                continue;
            };
            for operation in body.data.iter() {
                if let Operation2::RecoverOperators { base, operators, quorum } = operation {
                    let (base, operators, quorum) = (*base, operators.clone(), *quorum);
                    let change = Box::new(GovernanceChange::SetOperators { base, operators, quorum });
                    wishes.push(OwnerWish { validator, transaction: *id, change, from_ms: None });
                }
            }
        }
        wishes
    }
}
