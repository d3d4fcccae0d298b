//! Other operators that the owners of validators decide on in place of lost ones (V48).
//!
//! *Invariants:* what a quorum of the validators' present owners wish is decided, and nothing else; what is decided waits, so
//! that seats that aren't lost can decide otherwise; owners undo no decision of seats.

use super::actor::Actor;
use super::governing::wanting;
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::step::NewOperators;
use super::waiting::{Decision, delay_ms};
use crate::committee::CommitteeRecord;
use crate::corrupt::corrupt;
use crate::keys::Name;
use crate::v1::ledger::Stop;
use crate::v1::operations::fail;
use crate::wishes::{WISH_MS_MAX, Wish, Wishes};
use rustorium_crypto::{change_hash, is_small_order};
use rustorium_types::{BoundedVec, FailureCode, GovernanceChange, Parameters, SYSTEM_ACCOUNT, encode, quorum};
use std::borrow::Cow;

/// Notes an owner's wish in place of its former one. Returns the committee's record that the wish decides, if it is the last
/// that a quorum needs.
pub(super) fn wish(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    in_force: &Parameters,
    (number, record): (u32, CommitteeRecord),
    new: NewOperators<'_>,
) -> Result<Option<CommitteeRecord>, Stop> {
    let NewOperators { base, operators: keys, quorum: needed } = new;
    let recover_ms = in_force.owners_recover_ms.unwrap_or(0);
    if recover_ms == 0 || seats_decided(&record, in_force) {
        return fail(FailureCode::NotLost);
    }
    if keys.iter().any(is_small_order) {
        return fail(FailureCode::NotPossessed);
    }
    let wanted = (keys, needed);
    if wanted == in_force.governors() || wanted == record.wanted(in_force).governors() {
        return fail(FailureCode::BadParameters);
    }
    let change = GovernanceChange::SetOperators { base: *base, operators: keys.clone(), quorum: needed };
    let wait_ms = recover_ms.max(delay_ms(in_force));
    let decision = Decision { number: 0, now_ms: actor.time_ms, all: false, wait_ms };
    let decided = wanting(record.clone(), in_force, decision, &change).map_err(Stop::Fail)?;
    let Some(owner) = record.validator(number) else { return fail(FailureCode::WrongSender) };
    let until_ms = actor.time_ms.saturating_add(WISH_MS_MAX);
    let own = Wish { number, owner_key: owner.owner_key, change: change_hash(&change), until_ms };

    let at = ledger.find(SYSTEM_ACCOUNT, Name::Wishes)?;
    let held = Wishes::from_bytes(ledger.bytes(at)?.as_deref()).map_err(corrupt)?;
    let counted: Vec<Wish> = held.counted(&record, actor.time_ms).copied().collect();
    if counted.iter().any(|one| (one.number, one.change) == (number, own.change)) {
        return fail(FailureCode::AlreadyApproved);
    }
    let others = counted.into_iter().filter(|one| one.number != number);
    let wishes: Vec<Wish> = others.chain([own]).collect();
    if wishes.iter().filter(|one| one.change == own.change).count() >= quorum(record.target.len()) {
        ledger.write(at, Leaf::Absent)?;
        return Ok(Some(decided));
    }
    // Each is another validator's of the committee, which has the same bound.
    let wishes = Wishes(BoundedVec::new(wishes).unwrap_or_default());
    ledger.write(at, Leaf::Bytes(Cow::Owned(encode(&wishes))))?;
    Ok(None)
}

/// Tells if seats decided on operators that aren't in force yet.
fn seats_decided(record: &CommitteeRecord, in_force: &Parameters) -> bool {
    let same = record.wanted(in_force).governors() == in_force.governors();
    !same && record.recovered_from_ms(in_force).is_none()
}
