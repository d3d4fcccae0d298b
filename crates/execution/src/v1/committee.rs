//! The operations that change the committee that operators want next.
//!
//! *Invariants:* a change takes effect once enough operators approved exactly the same change within one epoch, and is
//! checked against the record at each approval.

use super::ledger::{At, Leaf, Ledger, StateReadError, Stop};
use super::operations::{Actor, fail, store};
use crate::committee::CommitteeRecord;
use crate::corrupt::corrupt;
use crate::keys::Name;
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{OPERATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    BoundedVec, Epoch, FailureCode, Operation, Parameters, PublicKey, SYSTEM_ACCOUNT, Validator, ValidatorSet, decode,
    encode,
};
use std::borrow::Cow;

/// The operators that approved a change so far. Approvals of a past epoch no longer count, so nobody can complete an
/// old change.
#[derive(BorshSerialize, BorshDeserialize)]
struct Approvals {
    epoch: Epoch,
    operators: BoundedVec<PublicKey, OPERATORS_MAX>,
}

fn invalid<T>(code: FailureCode) -> Result<T, FailureCode> {
    Err(code)
}

/// Executes one of the operations on the committee.
pub(crate) fn govern<'a>(
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

/// Returns the committee record and its position.
pub(crate) fn record_of(ledger: &mut Ledger<'_>) -> Result<(At, CommitteeRecord), Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Committee)?;
    let bytes = ledger.bytes(at).ok_or_else(|| StateReadError("there is no committee record".into()))?;
    Ok((at, CommitteeRecord::from_bytes(&bytes).map_err(corrupt)?))
}

/// Counts the operator's approval. Returns true if it was the last one needed; then all approvals are forgotten.
pub(crate) fn approve<'a>(
    ledger: &mut Ledger<'a>,
    actor: Actor,
    parameters: &Parameters,
    operation: &'a Operation,
) -> Result<bool, Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Approval(operation))?;
    let held: Option<Approvals> =
        ledger.bytes(at).map(|bytes| decode(&bytes, VALUE_BYTES_MAX)).transpose().map_err(corrupt)?;
    let counts = |held: &Approvals| held.epoch == actor.epoch;
    let mut operators = held.filter(counts).map_or(Vec::new(), |held| held.operators.into_vec());
    if operators.contains(&actor.public_key) {
        return fail(FailureCode::AlreadyApproved);
    }
    operators.push(actor.public_key);
    let enough = operators.len() >= usize::from(parameters.operator_quorum);
    let leaf = if enough {
        Leaf::Absent
    } else {
        let operators = BoundedVec::new(operators).unwrap_or_default();
        Leaf::Bytes(Cow::Owned(encode(&Approvals { epoch: actor.epoch, operators })))
    };
    store(ledger, actor.sender, at, leaf)?;
    Ok(enough)
}

/// Returns the record with this committee as the wanted one.
pub(crate) fn with_target(record: CommitteeRecord, target: Vec<Validator>) -> Result<CommitteeRecord, FailureCode> {
    if target.is_empty() {
        return invalid(FailureCode::CommitteeSize);
    }
    let target = BoundedVec::new(target).map_err(|_| FailureCode::CommitteeSize)?;
    Ok(CommitteeRecord { target, ..record })
}

/// Returns the record with a request to end this epoch, which must be the present one.
pub(crate) fn asked_to_end(record: CommitteeRecord, epoch: Epoch, now: Epoch) -> Result<CommitteeRecord, FailureCode> {
    if epoch != now {
        return invalid(FailureCode::WrongEpoch);
    }
    if record.end_asked == Some(epoch) {
        return invalid(FailureCode::AlreadyApproved);
    }
    Ok(CommitteeRecord { end_asked: Some(epoch), ..record })
}

/// Replaces the keys of the validator at this place of the next committee.
pub(crate) fn replace(
    target: &mut [Validator],
    place: usize,
    validator_key: &PublicKey,
    node_key: &PublicKey,
) -> Result<(), FailureCode> {
    let mut others = target.iter().enumerate().filter(|(other, _)| *other != place);
    let taken = |v: &Validator| v.validator_key == *validator_key || v.node_key == *node_key;
    if target[place].validator_key == *validator_key || others.any(|(_, other)| taken(other)) {
        return invalid(FailureCode::KeyInUse);
    }
    (target[place].validator_key, target[place].node_key) = (*validator_key, *node_key);
    Ok(())
}

pub(crate) fn place_of(target: &[Validator], key: &PublicKey) -> Result<usize, FailureCode> {
    target.iter().position(|validator| validator.validator_key == *key).ok_or(FailureCode::NoSuchValidator)
}

pub(crate) fn add(target: &mut Vec<Validator>, validator: &Validator) -> Result<(), FailureCode> {
    let (name, address) = (validator.name.as_slice(), validator.address.as_slice());
    if std::str::from_utf8(name).is_err() || !address.iter().all(u8::is_ascii_graphic) {
        return invalid(FailureCode::BadValidator);
    }
    if target.iter().any(|other| other.validator_key == validator.validator_key) {
        return invalid(FailureCode::ValidatorExists);
    }
    if target.iter().any(|other| other.node_key == validator.node_key) {
        return invalid(FailureCode::KeyInUse);
    }
    target.push(validator.clone());
    Ok(())
}
