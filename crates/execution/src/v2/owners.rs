//! The owners of validators as senders: other keys of a validator, and another owner (V36, V37, V41).
//!
//! *Invariants:* an owner acts for its own validator alone, and once an epoch for each kind of change; a key becomes an
//! owner's only with a signature of its own for this validator on this chain (R46), and only once (R45).

use super::actor::Actor;
use super::call::Call;
use super::committee::{Change, checked, not_retired, note_replaced, record_of, was_replaced, write_change};
use super::governing::Rules;
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::recovering::wish;
use super::step::{NewOwner, OwnerStep};
use super::turn::{Turn, take_turn};
use crate::committee::CommitteeRecord;
use crate::corrupt::corrupt;
use crate::execute::Skip;
use crate::keys::Name;
use crate::owners::OwnerRecord;
use crate::v1::committee::{place_of, with_target};
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::fail;
use rustorium_crypto::{domain, is_small_order, sign, signed_bytes};
use rustorium_types::{
    ChainId, FailureCode, Header, Operation, OwnerPossessionBody, PublicKey, SYSTEM_ACCOUNT, Signer, SystemSender,
    Validator,
};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Senders of the system's own that the pool should look at again, each with its next nonce.
pub(crate) type Touched = BTreeMap<rustorium_types::AccountId, u64>;

/// Takes nonce and room of an owner's transaction, or returns why it is skipped. This write can't be undone. Returns the
/// owner's next nonce.
pub(crate) fn admit_owner(
    ledger: &mut Ledger<'_>,
    header: &Header,
    number: u32,
    call: &Call<'_>,
) -> Result<Result<u64, Skip>, StateReadError> {
    let (_, record) = record_of(ledger)?;
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Owner(number))?;
    let owner = OwnerRecord::from_bytes(ledger.bytes(at)?.as_deref()).map_err(corrupt)?;
    let signer = record.validator(number).map(|validator| Signer::Single(validator.owner_key));
    let turn = signer.map(|signer| Turn { signer, nonce: owner.nonce, room: owner.room(header.time_ms) });
    let operations = match take_turn(header, turn, call) {
        Ok(operations) => operations,
        Err(skip) => return Ok(Err(skip)),
    };
    let spent = owner.spend(header.time_ms, operations).unwrap_or(owner);
    ledger.write_unpaid(at, Leaf::Bytes(Cow::Owned(spent.to_bytes())));
    Ok(Ok(spent.nonce))
}

/// Executes one operation of an owner.
pub(crate) fn act_as_owner(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    rules: Rules<'_>,
    step: &OwnerStep<'_>,
) -> Result<(), Stop> {
    let Some(SystemSender::Owner(number)) = SystemSender::of(&actor.sender) else {
        return fail(FailureCode::WrongSender);
    };
    let (at, record) = record_of(ledger)?;
    let Some(validator) = record.validator(number) else { return fail(FailureCode::WrongSender) };
    let (own, chain) = (validator.validator_key, rules.chain);
    let change = match step {
        OwnerStep::ReplaceKey(operation) => {
            let Operation::ReplaceProven { validator_key, new_validator_key, .. } = &**operation else {
                return fail(FailureCode::WrongSender);
            };
            if *validator_key != own {
                return fail(FailureCode::NotAnOperator);
            }
            if operation.new_keys().into_iter().any(is_small_order) {
                return fail(FailureCode::NotPossessed);
            }
            if was_replaced(&record, actor, &own) {
                return fail(FailureCode::ReplacedAlready);
            }
            let mut change = checked(ledger, record, actor.epoch, chain, operation)?;
            note_replaced(&mut change.record, actor, *new_validator_key);
            change
        }
        OwnerStep::SetOwner(new) => {
            if *new.validator_key != own {
                return fail(FailureCode::NotAnOperator);
            }
            if record.numbered().was_changed(actor.epoch, number) {
                return fail(FailureCode::TooSoon);
            }
            let change = with_owner(ledger, record, chain, *new)?;
            let owners = change.record.numbered().with_changed(actor.epoch, number);
            let record = CommitteeRecord { owners: Some(Box::new(owners)), ..change.record };
            Change { record, ..change }
        }
        OwnerStep::RecoverOperators(new) => match wish(ledger, actor, rules.parameters, (number, record), *new)? {
            Some(decided) => Change::of_no_key(decided),
            None => return Ok(()),
        },
    };
    write_change(ledger, None, actor.epoch, at, change)
}

/// Returns the change by which a validator gets another owner, after all checks.
pub(crate) fn with_owner(
    ledger: &mut Ledger<'_>,
    record: CommitteeRecord,
    chain: ChainId,
    new: NewOwner<'_>,
) -> Result<Change, Stop> {
    not_retired(ledger, owned_by(record, chain, new).map_err(Stop::Fail)?)
}

fn owned_by(record: CommitteeRecord, chain: ChainId, new: NewOwner<'_>) -> Result<Change, FailureCode> {
    let NewOwner { validator_key, new_owner_key, possession } = new;
    let mut target = record.target.to_vec();
    let place = place_of(&target, validator_key)?;
    let owner_key = target[place].owner_key;
    // Members' votes and owners' signatures (R33) are of the same bytes.
    let is_members = |one: &Validator| one.validator_key == *new_owner_key || one.node_key == *new_owner_key;
    if *new_owner_key == owner_key || target.iter().any(is_members) {
        return Err(FailureCode::KeyInUse);
    }
    let body = OwnerPossessionBody { chain, validator_key: *validator_key, owner_key, new_owner_key: *new_owner_key };
    let held = sign::verify(new_owner_key, &signed_bytes(domain::OWNER_POSSESSION, &body), possession);
    if is_small_order(new_owner_key) || !held {
        return Err(FailureCode::NotPossessed);
    }
    target[place].owner_key = *new_owner_key;
    // An owner of several validators keeps the others.
    let stays = target.iter().any(|one| one.owner_key == owner_key);
    let gone = if stays { Vec::new() } else { vec![owner_key] };
    Ok(Change::of_keys(with_target(record, target)?, vec![*new_owner_key], gone))
}

/// Notes that seats gave a validator another owner, whose sender acts by another key from now on.
pub(crate) fn note_owner(
    ledger: &mut Ledger<'_>,
    touched: &mut Touched,
    validator_key: &PublicKey,
) -> Result<(), Stop> {
    let (_, record) = record_of(ledger)?;
    let numbers = record.numbered().numbers;
    let place = record.target.iter().position(|one| one.validator_key == *validator_key);
    let Some(number) = place.and_then(|place| numbers.get(place).copied()) else { return Ok(()) };
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Owner(number))?;
    let owner = OwnerRecord::from_bytes(ledger.bytes(at)?.as_deref()).map_err(corrupt)?;
    touched.insert(SystemSender::Owner(number).id(), owner.nonce);
    Ok(())
}
