//! The effects of operations under version 2: as in version 1, except on the committee, for new keys, and for the price of
//! values that are read.
//!
//! *Invariants:* an operation either takes effect or names a reason, and its caller undoes the writes before a failure;
//! exactly one account's storage balance pays for the bytes that a leaf gains, and one gets the bytes that it loses; no
//! operation brings a key of small order onto the chain (R51).

use super::authority::grants_era;
use super::committee::govern;
use super::custody::CustodyState;
use super::grant::{Grant, Right};
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::pools::{Pools, shielded};
use super::record::{AccountRecord2, Allowance};
use super::slots::At;
use super::verifiers::{Proofs, is_proved, register, verify};
use crate::keys::Name;
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::fail;
use rustorium_crypto::{account_id, asset_id, is_small_order};
use rustorium_types::{
    AccountId, AssetId, ChainId, Condition, Epoch, FailureCode, Operation, Parameters, PublicKey, Signer, TxId,
};
use std::borrow::Cow;

/// The sender of the transaction whose operations are executed.
#[derive(Clone, Copy)]
pub(crate) struct Actor {
    pub(crate) sender: AccountId,
    /// The one key that acts; `None` for an authority of several keys.
    pub(crate) key: Option<PublicKey>,
    pub(crate) time_ms: u64,
    pub(crate) epoch: Epoch,
    pub(crate) transaction: TxId,
}

/// Executes one operation that version 1 has, too.
pub(crate) fn apply<'a>(
    ledger: &mut Ledger<'a>,
    actor: Actor,
    chain: ChainId,
    parameters: &Parameters,
    proofs: &Proofs<'_>,
    pools: &mut Pools,
    operation: &'a Operation,
) -> Result<(), Stop> {
    if operation.new_keys().into_iter().any(is_small_order) {
        return fail(FailureCode::NotPossessed);
    }
    let sender = actor.sender;
    match operation {
        Operation::CreateAccount { region, public_key, storage_bytes } => {
            let account = account_id(*region, public_key);
            create_account(ledger, actor, account, Signer::Single(*public_key), *storage_bytes)
        }
        Operation::Put { namespace, key, value } => {
            check_writer(ledger, actor, *namespace, Right::Put, key.as_slice())?;
            let leaf = Leaf::Bytes(Cow::Borrowed(value.as_slice()));
            let at = ledger.find_value(*namespace, key.as_slice())?;
            store(ledger, *namespace, at, leaf)
        }
        Operation::Delete { namespace, key } => {
            check_writer(ledger, actor, *namespace, Right::Delete, key.as_slice())?;
            let at = ledger.find_value(*namespace, key.as_slice())?;
            if ledger.footprint(at) == 0 {
                return fail(FailureCode::NoSuchKey);
            }
            store(ledger, *namespace, at, Leaf::Absent)
        }
        Operation::Require(condition) => require(ledger, actor, condition),
        Operation::Transfer { to, asset, amount } => transfer(ledger, sender, *to, *asset, *amount),
        Operation::Issue { symbol, to, amount } => issue(ledger, sender, symbol.as_slice(), *to, *amount),
        Operation::Grant { to, prefixes } => grant(ledger, actor, *to, &Grant::of_all(prefixes.clone())),
        Operation::RegisterVerifier { key, named } => register(ledger, actor, key, named),
        Operation::VerifyProof { verifier, inputs, proof } => {
            verify(ledger, actor, proofs, *verifier, inputs, proof.as_slice())
        }
        Operation::Shield { .. } | Operation::ShieldedTransfer { .. } | Operation::Unshield { .. } => {
            shielded(ledger, actor, proofs, pools, operation)
        }
        Operation::AddValidator { .. }
        | Operation::RemoveValidator { .. }
        | Operation::ReplaceKey { .. }
        | Operation::EndEpoch { .. }
        | Operation::AddProven { .. }
        | Operation::ReplaceProven { .. } => govern(ledger, actor, chain, parameters, operation),
    }
}

pub(crate) fn create_account(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    account: AccountId,
    signer: Signer,
    storage_bytes: u64,
) -> Result<(), Stop> {
    let at = ledger.find(account, Name::Account)?;
    if ledger.account(at).is_some() {
        return fail(FailureCode::AccountExists);
    }
    let creator = ledger.find(actor.sender, Name::Account)?;
    let Some(AccountRecord2 { sponsor, .. }) = ledger.account(creator) else { return fail(FailureCode::NoSuchAccount) };
    // Nothing was drawn, and the pace begins now: whoever makes accounts gains no quota by it (V58).
    let none = Allowance::from_now(actor.time_ms);
    let record = AccountRecord2 {
        signer,
        nonce: 0,
        storage_bytes_left: storage_bytes,
        sponsor,
        work: none,
        history: none,
        custody: CustodyState::Absent,
        grants_era: 0,
    };
    let leaf = Leaf::Account(record);
    let Some(total) = storage_bytes.checked_add(leaf.footprint()) else {
        return fail(FailureCode::InsufficientStorage);
    };
    settle(ledger, actor.sender, 0, total)?;
    ledger.write(at, leaf)
}

fn require<'a>(ledger: &mut Ledger<'a>, actor: Actor, condition: &'a Condition) -> Result<(), Stop> {
    let holds = match condition {
        Condition::ValueHash { namespace, key, hash } => {
            let at = ledger.find_value(*namespace, key.as_slice())?;
            ledger.value_hash(at) == Some(*hash)
        }
        Condition::Absent { namespace, key } => {
            let at = ledger.find_value(*namespace, key.as_slice())?;
            ledger.footprint(at) == 0
        }
        Condition::BalanceAtLeast { account, asset, amount } => {
            let at = ledger.find(*account, Name::Balance(*asset))?;
            ledger.amount(at) >= *amount
        }
        Condition::Proved { verifier, input, equals } => is_proved(ledger, actor, *verifier, *input, *equals)?,
    };
    if holds { Ok(()) } else { fail(FailureCode::Precondition) }
}

fn transfer(
    ledger: &mut Ledger<'_>,
    sender: AccountId,
    to: AccountId,
    asset: AssetId,
    amount: u128,
) -> Result<(), Stop> {
    if amount == 0 {
        return fail(FailureCode::BadAmount);
    }
    check_exists(ledger, to)?;
    move_amount(ledger, sender, (sender, to), asset, amount)
}

/// Moves an amount between two balances. `payer` pays for the bytes that they gain, or gets those that they lose.
pub(crate) fn move_amount(
    ledger: &mut Ledger<'_>,
    payer: AccountId,
    (from, to): (AccountId, AccountId),
    asset: AssetId,
    amount: u128,
) -> Result<(), Stop> {
    let at = ledger.find(from, Name::Balance(asset))?;
    let Some(left) = ledger.amount(at).checked_sub(amount) else {
        return fail(FailureCode::InsufficientBalance);
    };
    // An emptied leaf is removed, and its bytes are returned before the receiver's are paid.
    let leaf = if left == 0 { Leaf::Absent } else { Leaf::Amount(left) };
    store(ledger, payer, at, leaf)?;
    credit(ledger, payer, (to, asset), amount)
}

fn issue(ledger: &mut Ledger<'_>, sender: AccountId, symbol: &[u8], to: AccountId, amount: u128) -> Result<(), Stop> {
    if symbol.is_empty() || !symbol.iter().all(u8::is_ascii_graphic) {
        return fail(FailureCode::BadSymbol);
    }
    if amount == 0 {
        return fail(FailureCode::BadAmount);
    }
    check_exists(ledger, to)?;
    credit(ledger, sender, (to, asset_id(&sender, symbol)), amount)
}

fn credit(
    ledger: &mut Ledger<'_>,
    payer: AccountId,
    (to, asset): (AccountId, AssetId),
    amount: u128,
) -> Result<(), Stop> {
    let at = ledger.find(to, Name::Balance(asset))?;
    match ledger.amount(at).checked_add(amount) {
        Some(sum) => store(ledger, payer, at, Leaf::Amount(sum)),
        None => fail(FailureCode::BadAmount),
    }
}

/// Writes a grant in place of the sender's earlier one to the same account. One that allows nothing takes it back (V34).
pub(crate) fn grant(ledger: &mut Ledger<'_>, actor: Actor, to: AccountId, grant: &Grant) -> Result<(), Stop> {
    check_exists(ledger, to)?;
    let grant = Grant { era: grants_era(ledger, actor.sender, actor.time_ms)?, ..grant.clone() };
    let at = ledger.find(actor.sender, Name::Grant(to))?;
    let leaf = grant.to_bytes(actor.time_ms).map_or(Leaf::Absent, |bytes| Leaf::Bytes(Cow::Owned(bytes)));
    store(ledger, actor.sender, at, leaf)
}

pub(crate) fn check_exists(ledger: &mut Ledger<'_>, account: AccountId) -> Result<(), Stop> {
    let at = ledger.find(account, Name::Account)?;
    if ledger.account(at).is_some() { Ok(()) } else { fail(FailureCode::NoSuchAccount) }
}

fn check_writer(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    namespace: AccountId,
    right: Right,
    key: &[u8],
) -> Result<(), Stop> {
    if actor.sender == namespace {
        return Ok(());
    }
    let at = ledger.find(namespace, Name::Grant(actor.sender))?;
    let Some(bytes) = ledger.bytes(at)? else { return fail(FailureCode::NotAllowed) };
    let grant = Grant::from_bytes(&bytes)
        .map_err(|error| Stop::Read(StateReadError(format!("the grant of {namespace} is corrupt: {error}"))))?;
    let era = grants_era(ledger, namespace, actor.time_ms)?;
    if grant.allows(right, key, actor.time_ms, era) { Ok(()) } else { fail(FailureCode::NotAllowed) }
}

/// Writes a leaf. `payer` pays for the bytes that it gains, or gets those that it loses.
pub(crate) fn store<'a>(ledger: &mut Ledger<'a>, payer: AccountId, at: At, leaf: Leaf<'a>) -> Result<(), Stop> {
    settle(ledger, payer, ledger.footprint(at), leaf.footprint())?;
    ledger.write(at, leaf)
}

fn settle(ledger: &mut Ledger<'_>, payer: AccountId, bytes_before: u64, bytes_after: u64) -> Result<(), Stop> {
    if bytes_before == bytes_after {
        return Ok(());
    }
    let at = ledger.find(payer, Name::Account)?;
    let Some(mut record) = ledger.account(at) else { return fail(FailureCode::NoSuchAccount) };
    // Genesis bounds the sum of all storage bytes by u64::MAX and they are conserved, so returning bytes can't
    // overflow.
    let with_old = record.storage_bytes_left.saturating_add(bytes_before);
    let Some(left) = with_old.checked_sub(bytes_after) else {
        return fail(FailureCode::InsufficientStorage);
    };
    record.storage_bytes_left = left;
    ledger.write(at, Leaf::Account(record))
}
