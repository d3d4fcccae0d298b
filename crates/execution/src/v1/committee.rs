//! The committee that operators want next: its record in the state, and the operations that change it.
//!
//! *Invariants:* a change takes effect once enough operators approved exactly the same change within one epoch, and is
//! checked against the record at each approval; the record always names a committee that can run an epoch.

mod v1;
mod v2;

use crate::keys::{Name, committee_key};
use crate::ledger::{At, Leaf, Ledger, Stop};
use crate::operations::{Actor, fail, store};
use crate::{StateRead, StateReadError};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{OPERATORS_MAX, VALIDATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    BoundedVec, DecodeError, Epoch, FailureCode, Genesis, Operation, Parameters, PublicKey, Rules, SYSTEM_ACCOUNT,
    Validator, ValidatorSet, decode, encode,
};
use std::borrow::Cow;

/// The system account's leaf: the decisions of the chain's operators about its committee.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitteeRecord {
    /// The committee that the operators want next; the epoch's own if they want no other.
    pub target: ValidatorSet,
    /// The newest epoch that the operators asked to end early.
    pub end_asked: Option<Epoch>,
    /// The keys that owners alone brought in, with their epoch (R45). `None` only under version 1, whose record ends
    /// before this field.
    pub replaced: Option<Replaced>,
}

/// The keys that validators' owners alone brought in, in one epoch.
#[derive(Clone, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Replaced {
    /// The epoch.
    pub epoch: Epoch,
    /// The new validator keys. Each is in the next committee.
    pub keys: BoundedVec<PublicKey, VALIDATORS_MAX>,
}

impl CommitteeRecord {
    /// Returns the record at height 0.
    pub fn of_genesis(genesis: &Genesis) -> Self {
        let replaced = (genesis.rules() >= Rules::V2).then(Replaced::default);
        Self { target: genesis.validators.clone(), end_asked: None, replaced }
    }

    /// Encodes the leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.replaced {
            None => encode(&(&self.target, &self.end_asked)),
            Some(replaced) => encode(&(&self.target, &self.end_asked, replaced)),
        }
    }

    /// Decodes a leaf's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        // No bytes are valid in both forms: version 2's continue where version 1's end.
        if let Ok((target, end_asked)) = decode(bytes, VALUE_BYTES_MAX) {
            return Ok(Self { target, end_asked, replaced: None });
        }
        let (target, end_asked, replaced) = decode(bytes, VALUE_BYTES_MAX)?;
        Ok(Self { target, end_asked, replaced: Some(replaced) })
    }

    /// Reads the record in a state. Errors: it can't be read, or is missing, which is impossible in a chain's state.
    pub fn read(state: &dyn StateRead) -> Result<Self, StateReadError> {
        let bytes =
            state.get(&committee_key())?.ok_or_else(|| StateReadError("there is no committee record".into()))?;
        Self::from_bytes(&bytes).map_err(corrupt)
    }
}

/// The operators that approved a change so far. Approvals of a past epoch no longer count, so nobody can complete an
/// old change.
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

/// Executes one of the operations on the committee.
pub(crate) fn govern<'a>(
    ledger: &mut Ledger<'a>,
    actor: Actor,
    parameters: &Parameters,
    operation: &'a Operation,
) -> Result<(), Stop> {
    match actor.rules {
        Rules::V1 => v1::govern(ledger, actor, parameters, operation),
        Rules::V2 => v2::govern(ledger, actor, parameters, operation),
    }
}

/// Returns the committee record and its position.
fn record_of(ledger: &mut Ledger<'_>) -> Result<(At, CommitteeRecord), Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Committee)?;
    let bytes = ledger.bytes(at).ok_or_else(|| StateReadError("there is no committee record".into()))?;
    Ok((at, CommitteeRecord::from_bytes(&bytes).map_err(corrupt)?))
}

/// Counts the operator's approval. Returns true if it was the last one needed; then all approvals are forgotten.
fn approve<'a>(
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
fn with_target(record: CommitteeRecord, target: Vec<Validator>) -> Result<CommitteeRecord, FailureCode> {
    if target.is_empty() {
        return invalid(FailureCode::CommitteeSize);
    }
    let target = BoundedVec::new(target).map_err(|_| FailureCode::CommitteeSize)?;
    Ok(CommitteeRecord { target, ..record })
}

/// Returns the record with a request to end this epoch, which must be the present one.
fn asked_to_end(record: CommitteeRecord, epoch: Epoch, now: Epoch) -> Result<CommitteeRecord, FailureCode> {
    if epoch != now {
        return invalid(FailureCode::WrongEpoch);
    }
    if record.end_asked == Some(epoch) {
        return invalid(FailureCode::AlreadyApproved);
    }
    Ok(CommitteeRecord { end_asked: Some(epoch), ..record })
}

/// Replaces the keys of the validator at this place of the next committee.
fn replace(
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
