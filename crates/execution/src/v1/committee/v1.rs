//! Changes of the committee under version 1, as 0.2.0 executes them.
//!
//! *Invariants:* this code never changes: existing chains depend on each of its bytes.

use super::{CommitteeRecord, add, approve, asked_to_end, place_of, record_of, replace, with_target};
use crate::ledger::{Leaf, Ledger, Stop};
use crate::operations::{Actor, fail, store};
use rustorium_types::{Epoch, FailureCode, Operation, Parameters, PublicKey, Validator, ValidatorSet};
use std::borrow::Cow;

pub(super) fn govern<'a>(
    ledger: &mut Ledger<'a>,
    actor: Actor,
    parameters: &Parameters,
    operation: &'a Operation,
) -> Result<(), Stop> {
    let (at, record) = record_of(ledger)?;
    let is_operator = parameters.operators.contains(&actor.public_key);
    let is_owner = owns(&record.target, &actor.public_key, operation);
    if !is_operator && !is_owner {
        return fail(FailureCode::NotAnOperator);
    }
    let changed = changed(record, actor.epoch, operation).map_err(Stop::Fail)?;
    if is_owner || approve(ledger, actor, parameters, operation)? {
        store(ledger, actor.sender, at, Leaf::Bytes(Cow::Owned(changed.to_bytes())))?;
    }
    Ok(())
}

/// Tells if the key decides alone: a validator's owner may replace the validator's keys.
fn owns(target: &ValidatorSet, key: &PublicKey, operation: &Operation) -> bool {
    let Operation::ReplaceKey { validator_key, .. } = operation else { return false };
    let is_owner = |validator: &Validator| validator.owner_key == *key;
    target.iter().any(|validator| validator.validator_key == *validator_key && is_owner(validator))
}

/// Returns the record after the operation, or the reason of its failure.
fn changed(record: CommitteeRecord, now: Epoch, operation: &Operation) -> Result<CommitteeRecord, FailureCode> {
    let mut target = record.target.to_vec();
    match operation {
        Operation::AddValidator { validator } => add(&mut target, validator)?,
        Operation::RemoveValidator { validator_key } => {
            let place = place_of(&target, validator_key)?;
            target.remove(place);
        }
        Operation::ReplaceKey { validator_key, new_validator_key, new_node_key } => {
            let place = place_of(&target, validator_key)?;
            replace(&mut target, place, new_validator_key, new_node_key)?;
        }
        Operation::EndEpoch { epoch } => return asked_to_end(record, *epoch, now),
        // No block of version 1 lists any other operation.
        _ => return Err(FailureCode::NotPossessed),
    }
    with_target(record, target)
}
