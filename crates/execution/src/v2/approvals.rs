//! The approvals of changes under version 2.
//!
//! *Invariants:* approvals count within one epoch and while their keys act for a seat, and are forgotten with the one that
//! decides.

use super::actor::{Actor, store};
use super::leaf::Leaf;
use super::ledger::Ledger;
use crate::corrupt::corrupt;
use crate::governance::GovernanceRecord;
use crate::keys::Name;
use crate::v1::ledger::Stop;
use crate::v1::operations::fail;
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{OPERATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    BoundedVec, Epoch, FailureCode, Operation, Parameters, PublicKey, SYSTEM_ACCOUNT, decode, encode,
};
use std::borrow::Cow;

/// The operators that approved a change so far. Approvals of a past epoch no longer count, so nobody can complete an
/// old change.
#[derive(BorshSerialize, BorshDeserialize)]
struct Approvals {
    epoch: Epoch,
    operators: BoundedVec<PublicKey, OPERATORS_MAX>,
}

/// Counts the operator's approval. Returns true if it was the last one needed; then all approvals are forgotten.
pub(crate) fn approve<'a>(
    ledger: &mut Ledger<'a>,
    (actor, key): (Actor, PublicKey),
    (parameters, seats): (&Parameters, &GovernanceRecord),
    operation: &'a Operation,
) -> Result<bool, Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Approval(operation))?;
    let held: Option<Approvals> =
        ledger.bytes(at)?.map(|bytes| decode(&bytes, VALUE_BYTES_MAX)).transpose().map_err(corrupt)?;
    let counts = |held: &Approvals| held.epoch == actor.epoch;
    let mut operators = held.filter(counts).map_or(Vec::new(), |held| held.operators.into_vec());
    operators.retain(|key| seats.acts_alone(key));
    if operators.contains(&key) {
        return fail(FailureCode::AlreadyApproved);
    }
    operators.push(key);
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
