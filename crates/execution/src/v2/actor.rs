//! The sender of a transaction, and the writes that a storage balance pays for.
//!
//! *Invariants:* exactly one account's storage balance pays for the bytes that a leaf gains, and one gets the bytes that it
//! loses.

use super::leaf::Leaf;
use super::ledger::Ledger;
use super::slots::At;
use crate::keys::Name;
use crate::v1::ledger::Stop;
use crate::v1::operations::fail;
use rustorium_types::{AccountId, AssetId, Epoch, FailureCode, PublicKey, TxId};

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

pub(crate) fn credit(
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

pub(crate) fn check_exists(ledger: &mut Ledger<'_>, account: AccountId) -> Result<(), Stop> {
    let at = ledger.find(account, Name::Account)?;
    if ledger.account(at).is_some() { Ok(()) } else { fail(FailureCode::NoSuchAccount) }
}

/// Writes a leaf. `payer` pays for the bytes that it gains, or gets those that it loses.
pub(crate) fn store<'a>(ledger: &mut Ledger<'a>, payer: AccountId, at: At, leaf: Leaf<'a>) -> Result<(), Stop> {
    settle(ledger, payer, ledger.footprint(at), leaf.footprint())?;
    ledger.write(at, leaf)
}

pub(crate) fn settle(
    ledger: &mut Ledger<'_>,
    payer: AccountId,
    bytes_before: u64,
    bytes_after: u64,
) -> Result<(), Stop> {
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
