//! The effects of operations under version 2: as in version 1, except on the committee, for new keys, and for the price of
//! values that are read.
//!
//! *Invariants:* an operation either takes effect or names a reason, and its caller undoes the writes before a failure;
//! exactly one account's storage balance pays for the bytes that a leaf gains, and one gets the bytes that it loses; no
//! operation brings a key of small order onto the chain (R51).

use super::actor::{Actor, check_exists, credit, move_amount, settle, store};
use super::authority::grants_era;
use super::committee::govern;
use super::grant::{Grant, Right};
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::pools::{Pools, shielded};
use super::record::CustodyState;
use super::record::{AccountRecord2, Allowance};
use super::verifiers::{Proofs, is_proved, register, verify};
use crate::keys::Name;
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::fail;
use rustorium_crypto::{account_id, asset_id, is_small_order};
use rustorium_types::{AccountId, AssetId, ChainId, Condition, FailureCode, Operation, Parameters, Signer};
use std::borrow::Cow;

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

/// Writes a grant in place of the sender's earlier one to the same account. One that allows nothing takes it back (V34).
pub(crate) fn grant(ledger: &mut Ledger<'_>, actor: Actor, to: AccountId, grant: &Grant) -> Result<(), Stop> {
    check_exists(ledger, to)?;
    let grant = Grant { era: grants_era(ledger, actor.sender, actor.time_ms)?, ..grant.clone() };
    let at = ledger.find(actor.sender, Name::Grant(to))?;
    let leaf = grant.to_bytes(actor.time_ms).map_or(Leaf::Absent, |bytes| Leaf::Bytes(Cow::Owned(bytes)));
    store(ledger, actor.sender, at, leaf)
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
