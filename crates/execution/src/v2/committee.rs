//! Changes of the committee under version 2.
//!
//! *Invariants:* a key enters the next committee only with a signature of its own for its owner on this chain (R46),
//! and only once (R45); an owner alone replaces its validator's keys at most once an epoch.

use super::approvals::approve;
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::operations::{Actor, store};
use super::slots::At;
use crate::committee::{CommitteeRecord, Replaced, corrupt};
use crate::keys::Name;
use crate::v1::committee::{add, asked_to_end, place_of, replace, with_target};
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::fail;
use rustorium_crypto::{sign, signed_bytes};
use rustorium_types::{
    BoundedVec, ChainId, FailureCode, Operation, Parameters, Possession, PossessionBody, PublicKey, SYSTEM_ACCOUNT,
    Validator, encode,
};
use std::borrow::Cow;

/// The result of an operation on the record.
struct Change {
    record: CommitteeRecord,
    /// Keys that enter the next committee.
    new: Vec<PublicKey>,
    /// Keys that leave it.
    gone: Vec<PublicKey>,
}

/// Executes one of the operations on the committee.
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
    let is_operator = parameters.operators.contains(&key);
    let owned = owned(&record, &key, operation);
    if !is_operator && owned.is_none() {
        return fail(FailureCode::NotAnOperator);
    }
    let alone = owned.filter(|key| !was_replaced(&record, actor, key));
    if !is_operator && alone.is_none() {
        return fail(FailureCode::ReplacedAlready);
    }
    let Change { mut record, new, gone } = changed(record, actor, chain, operation).map_err(Stop::Fail)?;
    for key in new {
        let at = ledger.find(SYSTEM_ACCOUNT, Name::Retired(key))?;
        if ledger.footprint(at) > 0 {
            return fail(FailureCode::KeyRetired);
        }
    }
    if alone.is_none() && !approve(ledger, (actor, key), parameters, operation)? {
        return Ok(());
    }
    if let (Some(_), Operation::ReplaceProven { new_validator_key, .. }) = (alone, operation) {
        note_replaced(&mut record, actor, *new_validator_key);
    }
    for key in gone {
        let at = ledger.find(SYSTEM_ACCOUNT, Name::Retired(key))?;
        store(ledger, actor.sender, at, Leaf::Bytes(Cow::Owned(encode(&actor.epoch))))?;
    }
    store(ledger, actor.sender, at, Leaf::Bytes(Cow::Owned(record.to_bytes())))
}

/// Returns the committee record and its position.
fn record_of(ledger: &mut Ledger<'_>) -> Result<(At, CommitteeRecord), Stop> {
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
fn was_replaced(record: &CommitteeRecord, actor: Actor, key: &PublicKey) -> bool {
    let replaced = record.replaced.as_ref().filter(|replaced| replaced.epoch == actor.epoch);
    replaced.is_some_and(|replaced| replaced.keys.contains(key))
}

fn note_replaced(record: &mut CommitteeRecord, actor: Actor, key: PublicKey) {
    let before = record.replaced.take().filter(|replaced| replaced.epoch == actor.epoch);
    let before = before.map_or(Vec::new(), |replaced| replaced.keys.into_vec());
    let stays = |key: &PublicKey| record.target.iter().any(|validator| validator.validator_key == *key);
    // Each key belongs to another validator of the committee, which has the same bound.
    let keys = before.into_iter().chain([key]).filter(stays).collect();
    record.replaced = Some(Replaced { epoch: actor.epoch, keys: BoundedVec::new(keys).unwrap_or_default() });
}

/// Returns the change that the operation makes, or the reason of its failure.
fn changed(
    record: CommitteeRecord,
    actor: Actor,
    chain: ChainId,
    operation: &Operation,
) -> Result<Change, FailureCode> {
    let mut target = record.target.to_vec();
    let (new, gone) = match operation {
        Operation::AddProven { validator, possession } => {
            add(&mut target, validator)?;
            check_possession(chain, &validator.owner_key, validator, possession)?;
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
            let gone = target.remove(place_of(&target, validator_key)?);
            (Vec::new(), vec![gone.validator_key, gone.node_key])
        }
        Operation::EndEpoch { epoch } => {
            let record = asked_to_end(record, *epoch, actor.epoch)?;
            return Ok(Change { record, new: Vec::new(), gone: Vec::new() });
        }
        // Operations of version 1, which prove no possession.
        _ => return Err(FailureCode::NotPossessed),
    };
    Ok(Change { record: with_target(record, target)?, new, gone })
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
