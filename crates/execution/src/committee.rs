//! The committee that operators want next: its record in the state, and the operations that change it.
//!
//! *Invariants:* a change counts once enough operators approved the very same one within one epoch, and is checked against
//! the record at each approval; the record always names a committee that can run an epoch.

use crate::keys::{Name, committee_key};
use crate::ledger::{Leaf, Ledger, Stop};
use crate::operations::{Actor, fail, store};
use crate::{StateRead, StateReadError};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{OPERATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    BoundedVec, DecodeError, Epoch, FailureCode, Genesis, Operation, Parameters, PublicKey, SYSTEM_ACCOUNT, Validator,
    ValidatorSet, decode, encode, seeded,
};
use std::borrow::Cow;

/// The system account's leaf: what the chain's operators decided of its committee.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct CommitteeRecord {
    /// The committee that they want next; the epoch's own where they want no other.
    pub target: ValidatorSet,
    /// The newest epoch that they asked to end early.
    pub end_asked: Option<Epoch>,
}

impl CommitteeRecord {
    /// The record at height 0.
    pub fn of_genesis(genesis: &Genesis) -> Self {
        Self { target: genesis.validators.clone(), end_asked: None }
    }

    /// The leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a leaf's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, VALUE_BYTES_MAX)
    }

    /// The record in a state. Errors: it can't be read, or isn't there, which no chain's state allows.
    pub fn read(state: &dyn StateRead) -> Result<Self, StateReadError> {
        let bytes =
            state.get(&committee_key())?.ok_or_else(|| StateReadError("there is no committee record".into()))?;
        Self::from_bytes(&bytes).map_err(corrupt)
    }
}

/// Who approved a change so far. Approvals of an epoch that is over count no more: nobody finds an old one completed.
#[derive(BorshSerialize, BorshDeserialize)]
struct Approvals {
    epoch: Epoch,
    operators: BoundedVec<PublicKey, OPERATORS_MAX>,
}

fn corrupt(error: DecodeError) -> StateReadError {
    StateReadError(format!("a leaf of the system account is corrupt: {error}"))
}

fn invalid<T>(code: FailureCode) -> Result<T, FailureCode> {
    Err(code)
}

/// Does one of the operations that concern the committee.
pub(crate) fn govern<'a>(
    ledger: &mut Ledger<'a>,
    actor: Actor,
    parameters: &Parameters,
    operation: &'a Operation,
) -> Result<(), Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Committee)?;
    let bytes = ledger.bytes(at).ok_or_else(|| StateReadError("there is no committee record".into()))?;
    let record = CommitteeRecord::from_bytes(&bytes).map_err(corrupt)?;
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

/// Whether the key alone decides: a validator's owner may replace its keys.
fn owns(target: &ValidatorSet, key: &PublicKey, operation: &Operation) -> bool {
    let Operation::ReplaceKey { validator_key, .. } = operation else { return false };
    let is_owner = |validator: &Validator| validator.owner_key == *key || seeded::bug("key-replaced-by-anyone");
    target.iter().any(|validator| validator.validator_key == *validator_key && is_owner(validator))
}

/// Counts the operator's approval. True where it was the last that was needed: all of them are then forgotten.
fn approve<'a>(
    ledger: &mut Ledger<'a>,
    actor: Actor,
    parameters: &Parameters,
    operation: &'a Operation,
) -> Result<bool, Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Approval(operation))?;
    let held: Option<Approvals> =
        ledger.bytes(at).map(|bytes| decode(&bytes, VALUE_BYTES_MAX)).transpose().map_err(corrupt)?;
    let counts = |held: &Approvals| held.epoch == actor.epoch || seeded::bug("old-approvals-count");
    let mut operators = held.filter(counts).map_or(Vec::new(), |held| held.operators.into_vec());
    if operators.contains(&actor.public_key) {
        return fail(FailureCode::AlreadyApproved);
    }
    operators.push(actor.public_key);
    let enough = operators.len() >= usize::from(parameters.operator_quorum) || seeded::bug("one-operator-suffices");
    let leaf = if enough {
        Leaf::Absent
    } else {
        let operators = BoundedVec::new(operators).unwrap_or_default();
        Leaf::Bytes(Cow::Owned(encode(&Approvals { epoch: actor.epoch, operators })))
    };
    store(ledger, actor.sender, at, leaf)?;
    Ok(enough)
}

/// The record after the operation, or why it can't be.
fn changed(mut record: CommitteeRecord, now: Epoch, operation: &Operation) -> Result<CommitteeRecord, FailureCode> {
    let mut target = record.target.into_vec();
    match operation {
        Operation::AddValidator { validator } => add(&mut target, validator)?,
        Operation::RemoveValidator { validator_key } => {
            let place = place_of(&target, validator_key)?;
            target.remove(place);
        }
        Operation::ReplaceKey { validator_key, new_validator_key, new_node_key } => {
            let place = place_of(&target, validator_key)?;
            let mut others = target.iter().enumerate().filter(|(other, _)| *other != place);
            let taken = |v: &Validator| v.validator_key == *new_validator_key || v.node_key == *new_node_key;
            if new_validator_key == validator_key || others.any(|(_, other)| taken(other)) {
                return invalid(FailureCode::KeyInUse);
            }
            target[place].validator_key = *new_validator_key;
            target[place].node_key = *new_node_key;
        }
        Operation::EndEpoch { epoch } if *epoch != now => return invalid(FailureCode::WrongEpoch),
        Operation::EndEpoch { epoch } if record.end_asked == Some(*epoch) => {
            return invalid(FailureCode::AlreadyApproved);
        }
        Operation::EndEpoch { epoch } => record.end_asked = Some(*epoch),
        _ => {}
    }
    if target.is_empty() {
        return invalid(FailureCode::CommitteeSize);
    }
    record.target = BoundedVec::new(target).map_err(|_| FailureCode::CommitteeSize)?;
    Ok(record)
}

fn place_of(target: &[Validator], key: &PublicKey) -> Result<usize, FailureCode> {
    target.iter().position(|validator| validator.validator_key == *key).ok_or(FailureCode::NoSuchValidator)
}

fn add(target: &mut Vec<Validator>, validator: &Validator) -> Result<(), FailureCode> {
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
