//! Changes of the committee under version 2.
//!
//! *Invariants:* a key enters the next committee only with a signature of its own for its owner on this chain (R46),
//! and only once (R45); an owner alone replaces its validator's keys at most once an epoch.

use super::actor::{Actor, store};
use super::approvals::approve;
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::slots::At;
use super::turn::governance_of;
use crate::committee::{CommitteeRecord, Replaced};
use crate::corrupt::corrupt;
use crate::keys::Name;
use crate::v1::committee::{add, asked_to_end, place_of, replace, with_target};
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::fail;
use rustorium_crypto::{sign, signed_bytes};
use rustorium_types::{
    AccountId, BoundedVec, ChainId, Epoch, FailureCode, Operation, Parameters, Possession, PossessionBody, PublicKey,
    SYSTEM_ACCOUNT, Validator, encode,
};
use std::borrow::Cow;

/// The result of an operation on the record.
pub(crate) struct Change {
    pub(crate) record: CommitteeRecord,
    /// Keys that enter the next committee.
    pub(super) new: Vec<PublicKey>,
    /// Keys that leave it.
    pub(super) gone: Vec<PublicKey>,
    /// The number of the validator that leaves it.
    pub(super) left: Option<u32>,
}

impl Change {
    /// Returns a change that no key enters or leaves by.
    pub(crate) fn of_no_key(record: CommitteeRecord) -> Self {
        Self::of_keys(record, Vec::new(), Vec::new())
    }

    /// Returns a change by which keys enter and leave.
    pub(super) fn of_keys(record: CommitteeRecord, new: Vec<PublicKey>, gone: Vec<PublicKey>) -> Self {
        Self { record, new, gone, left: None }
    }
}

/// Executes one of the operations on the committee, which an operator's or an owner's account sends.
pub(crate) fn govern<'a>(
    ledger: &mut Ledger<'a>,
    actor: Actor,
    chain: ChainId,
    parameters: &Parameters,
    operation: &'a Operation,
) -> Result<(), Stop> {
    let (at, record) = record_of(ledger)?;
    // Operators and owners are single keys.
    let Some(key) = actor.key else { return fail(FailureCode::NotAnOperator) };
    // V37: the key of an operator whose seat has another authority is nobody's.
    let seats = governance_of(ledger, parameters)?;
    let is_operator = seats.acts_alone(&key);
    let owned = owned(&record, &key, operation);
    if !is_operator && owned.is_none() {
        return fail(FailureCode::NotAnOperator);
    }
    let alone = owned.filter(|key| !was_replaced(&record, actor, key));
    if !is_operator && alone.is_none() {
        return fail(FailureCode::ReplacedAlready);
    }
    let mut change = checked(ledger, record, actor.epoch, chain, operation)?;
    if alone.is_none() && !approve(ledger, (actor, key), (parameters, &seats), operation)? {
        return Ok(());
    }
    if let (Some(_), Operation::ReplaceProven { new_validator_key, .. }) = (alone, operation) {
        note_replaced(&mut change.record, actor, *new_validator_key);
    }
    write_change(ledger, Some(actor.sender), actor.epoch, at, change)
}

/// Returns the change that the operation makes, after all checks.
pub(crate) fn checked(
    ledger: &mut Ledger<'_>,
    record: CommitteeRecord,
    epoch: Epoch,
    chain: ChainId,
    operation: &Operation,
) -> Result<Change, Stop> {
    let change = changed(record, epoch, chain, operation).map_err(Stop::Fail)?;
    not_retired(ledger, change)
}

/// Returns the change unless a key that enters was in a committee before (R45).
pub(super) fn not_retired(ledger: &mut Ledger<'_>, change: Change) -> Result<Change, Stop> {
    for key in &change.new {
        let at = ledger.find(SYSTEM_ACCOUNT, Name::Retired(*key))?;
        if ledger.footprint(at) > 0 {
            return fail(FailureCode::KeyRetired);
        }
    }
    Ok(change)
}

/// Writes a checked change. The system pays for its leaves if no account does.
pub(crate) fn write_change(
    ledger: &mut Ledger<'_>,
    payer: Option<AccountId>,
    epoch: Epoch,
    at: At,
    change: Change,
) -> Result<(), Stop> {
    for key in change.gone {
        let at = ledger.find(SYSTEM_ACCOUNT, Name::Retired(key))?;
        write_leaf(ledger, payer, at, encode(&epoch))?;
    }
    if let Some(number) = change.left {
        let at = ledger.find(SYSTEM_ACCOUNT, Name::Owner(number))?;
        if ledger.footprint(at) > 0 {
            ledger.write(at, Leaf::Absent)?;
        }
    }
    write_leaf(ledger, payer, at, change.record.to_bytes())
}

fn write_leaf(ledger: &mut Ledger<'_>, payer: Option<AccountId>, at: At, bytes: Vec<u8>) -> Result<(), Stop> {
    let leaf = Leaf::Bytes(Cow::Owned(bytes));
    match payer {
        Some(payer) => store(ledger, payer, at, leaf),
        None => ledger.write(at, leaf),
    }
}

/// Returns the committee record and its position.
pub(crate) fn record_of(ledger: &mut Ledger<'_>) -> Result<(At, CommitteeRecord), StateReadError> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Committee)?;
    let bytes = ledger.bytes(at)?.ok_or_else(|| StateReadError("there is no committee record".into()))?;
    Ok((at, CommitteeRecord::from_bytes(&bytes).map_err(corrupt)?))
}

/// Returns the validator key that the operation replaces, if the actor's key is that validator's owner key.
fn owned<'a>(record: &CommitteeRecord, key: &PublicKey, operation: &'a Operation) -> Option<&'a PublicKey> {
    let Operation::ReplaceProven { validator_key, .. } = operation else { return None };
    let is_owner = |validator: &Validator| validator.owner_key == *key;
    let named = record.target.iter().find(|validator| validator.validator_key == *validator_key);
    named.filter(|validator| is_owner(validator)).map(|_| validator_key)
}

/// Tells if an owner alone brought this key in during the present epoch.
pub(super) fn was_replaced(record: &CommitteeRecord, actor: Actor, key: &PublicKey) -> bool {
    let replaced = record.replaced.as_ref().filter(|replaced| replaced.epoch == actor.epoch);
    replaced.is_some_and(|replaced| replaced.keys.contains(key))
}

pub(super) fn note_replaced(record: &mut CommitteeRecord, actor: Actor, key: PublicKey) {
    let before = record.replaced.take().filter(|replaced| replaced.epoch == actor.epoch);
    let before = before.map_or(Vec::new(), |replaced| replaced.keys.into_vec());
    let stays = |key: &PublicKey| record.target.iter().any(|validator| validator.validator_key == *key);
    // Each key belongs to another validator of the committee, which has the same bound.
    let keys = before.into_iter().chain([key]).filter(stays).collect();
    record.replaced = Some(Replaced { epoch: actor.epoch, keys: BoundedVec::new(keys).unwrap_or_default() });
}

/// Returns the change that the operation makes, or the reason of its failure.
fn changed(record: CommitteeRecord, now: Epoch, chain: ChainId, operation: &Operation) -> Result<Change, FailureCode> {
    let mut target = record.target.to_vec();
    let (mut owners, mut left) = (record.owners.clone(), None);
    let (new, gone) = match operation {
        Operation::AddProven { validator, possession } => {
            add(&mut target, validator)?;
            check_possession(chain, &validator.owner_key, validator, possession)?;
            owners = Some(Box::new(record.numbered().with_new()));
            (vec![validator.validator_key, validator.node_key], Vec::new())
        }
        Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
            let place = place_of(&target, validator_key)?;
            let before = target[place].clone();
            replace(&mut target, place, new_validator_key, new_node_key)?;
            check_possession(chain, &before.owner_key, &target[place], possession)?;
            let same_node = *new_node_key == before.node_key;
            let mut changed = (vec![*new_validator_key], vec![before.validator_key]);
            if !same_node {
                changed.0.push(*new_node_key);
                changed.1.push(before.node_key);
            }
            changed
        }
        Operation::RemoveValidator { validator_key } => {
            let place = place_of(&target, validator_key)?;
            let gone = target.remove(place);
            let (others, number) = record.numbered().without(place);
            (owners, left) = (Some(Box::new(others)), Some(number));
            (Vec::new(), vec![gone.validator_key, gone.node_key])
        }
        Operation::EndEpoch { epoch } => {
            return asked_to_end(record, *epoch, now).map(Change::of_no_key);
        }
        // Operations of version 1, which prove no possession.
        _ => return Err(FailureCode::NotPossessed),
    };
    Ok(Change { record: CommitteeRecord { owners, ..with_target(record, target)? }, new, gone, left })
}

/// Checks that both keys of the validator signed that they belong to this owner on this chain.
fn check_possession(
    chain: ChainId,
    owner_key: &PublicKey,
    validator: &Validator,
    possession: &Possession,
) -> Result<(), FailureCode> {
    let (validator_key, node_key) = (validator.validator_key, validator.node_key);
    let body = PossessionBody { chain, owner_key: *owner_key, validator_key, node_key };
    let signed = signed_bytes(rustorium_crypto::domain::POSSESSION, &body);
    let held = sign::verify(&validator_key, &signed, &possession.validator)
        && sign::verify(&node_key, &signed, &possession.node);
    if held { Ok(()) } else { Err(FailureCode::NotPossessed) }
}
