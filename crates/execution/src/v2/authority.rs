//! The operations that change an account's authority under version 2 (V29 to V33).
//!
//! *Invariants:* a change whose time has come counts before an operation looks, whether it was written down or not; the
//! account pays for what its custody leaf gains, and gets what it loses; only if it has too little, the recovery account
//! pays.

use super::actor::{Actor, check_exists, store};
use super::custody::{CustodyRecord, Held};
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::record::AccountRecord2;
use super::record::CustodyState;
use super::slots::At;
use super::step::Change;
use crate::keys::Name;
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::fail;
use rustorium_types::{AccountId, AuthoritySettings, FailureCode, Recovery};
use std::borrow::Cow;
use std::fmt::Display;

/// Returns an account as it is in effect at `now_ms`; `None` if there is none.
fn held(ledger: &mut Ledger<'_>, account: AccountId, now_ms: u64) -> Result<Option<Held>, StateReadError> {
    let at = ledger.find(account, Name::Account)?;
    let Some(record) = ledger.account(at) else { return Ok(None) };
    if record.custody == CustodyState::Absent {
        return Ok(Some(Held { record, custody: None }));
    }
    let at = ledger.find(account, Name::Custody)?;
    let corrupt = |why: &dyn Display| StateReadError(format!("the settings of {account} are corrupt: {why}"));
    let bytes = ledger.bytes(at)?.ok_or_else(|| corrupt(&"there are none"))?;
    let custody = CustodyRecord::from_bytes(&bytes).map_err(|error| corrupt(&error))?;
    Ok(Some(Held::at(record, Some(custody), now_ms)))
}

/// A sender's account at the time of its transaction.
pub(crate) struct Standing<'a> {
    /// The record as it is in effect; `None` if there is no account.
    pub(crate) record: Option<AccountRecord2>,
    /// Header time until which the account is frozen, Unix ms.
    pub(crate) frozen_until_ms: Option<u64>,
    /// The custody leaf that the transaction writes down, if a change became effective since the last one.
    pub(crate) became: Option<(At, Leaf<'a>)>,
}

/// Returns a sender's standing. The custody leaf is read only while a change waits or isn't written down (V28). A change
/// that is written down takes fewer bytes than while it waited, and the account gets those.
pub(crate) fn standing<'a>(
    ledger: &mut Ledger<'a>,
    account: AccountId,
    record_at: At,
    now_ms: u64,
) -> Result<Standing<'a>, StateReadError> {
    let record = ledger.account(record_at);
    let as_it_is = Standing { record, frozen_until_ms: None, became: None };
    if record.is_none_or(|record| record.custody != CustodyState::Pending) {
        return Ok(as_it_is);
    }
    let Some(held) = held(ledger, account, now_ms)? else { return Ok(as_it_is) };
    if held.state() == CustodyState::Pending {
        let frozen_until_ms = held.custody.as_ref().and_then(CustodyRecord::frozen_until_ms);
        return Ok(Standing { frozen_until_ms, ..as_it_is });
    }
    let (at, leaf) = (ledger.find(account, Name::Custody)?, leaf_of(&held));
    let freed = ledger.footprint(at).saturating_sub(leaf.footprint());
    let storage_bytes_left = held.record.storage_bytes_left.saturating_add(freed);
    let record = AccountRecord2 { custody: held.state(), storage_bytes_left, ..held.record };
    Ok(Standing { record: Some(record), frozen_until_ms: None, became: Some((at, leaf)) })
}

/// Returns the era of an account's grants at `now_ms`; 0 if there is no account.
pub(crate) fn grants_era(ledger: &mut Ledger<'_>, account: AccountId, now_ms: u64) -> Result<u32, StateReadError> {
    let at = ledger.find(account, Name::Account)?;
    match ledger.account(at) {
        Some(record) if record.custody == CustodyState::Pending => {
            Ok(held(ledger, account, now_ms)?.map_or(0, |held| held.record.grants_era))
        }
        record => Ok(record.map_or(0, |record| record.grants_era)),
    }
}

/// Executes a change. The transaction goes on as the one of the keys that signed it.
pub(crate) fn change(ledger: &mut Ledger<'_>, actor: Actor, change: &Change<'_>) -> Result<(), Stop> {
    let account = change.other().unwrap_or(actor.sender);
    if let Change::Set { settings, .. } = change {
        check_settings(ledger, settings, account)?;
    }
    let Some(held) = held(ledger, account, actor.time_ms)? else { return fail(FailureCode::NoSuchAccount) };
    let changed = match *change {
        Change::Set { settings, void_grants } => Some(held.set(settings.clone(), void_grants, actor.time_ms)),
        Change::Cancel => held.cancel(),
        Change::Approve(_, hash) => {
            check_recovery(&held, actor)?;
            held.approve(hash)
        }
        Change::Recover(_, authority) => {
            let recovery = check_recovery(&held, actor)?;
            Some(held.recover(recovery, authority.clone(), actor.time_ms))
        }
        Change::Withdraw(_) => {
            check_recovery(&held, actor)?;
            held.withdraw()
        }
    };
    let Some(changed) = changed else { return fail(FailureCode::NothingPending) };
    write(ledger, (account, actor.sender), &changed)
}

fn check_settings(ledger: &mut Ledger<'_>, settings: &AuthoritySettings, account: AccountId) -> Result<(), Stop> {
    if !settings.are_allowed_to(&account) {
        return fail(FailureCode::BadAuthority);
    }
    // Nobody could ever act as an account that doesn't exist.
    settings.recovery.map_or(Ok(()), |recovery| check_exists(ledger, recovery.account))
}

fn check_recovery(held: &Held, actor: Actor) -> Result<Recovery, Stop> {
    match held.recovery().filter(|recovery| recovery.account == actor.sender) {
        Some(recovery) => Ok(recovery),
        None => fail(FailureCode::NotRecovery),
    }
}

/// Writes the account's leaves. `helper` pays if the account can't.
fn write(ledger: &mut Ledger<'_>, (account, helper): (AccountId, AccountId), held: &Held) -> Result<(), Stop> {
    let at = ledger.find(account, Name::Custody)?;
    let leaf = leaf_of(held);
    let grows_by = leaf.footprint().saturating_sub(ledger.footprint(at));
    let payer = if grows_by > held.record.storage_bytes_left { helper } else { account };
    store(ledger, payer, at, leaf)?;
    let at = ledger.find(account, Name::Account)?;
    let Some(record) = ledger.account(at) else { return fail(FailureCode::NoSuchAccount) };
    let (AccountRecord2 { signer, grants_era, .. }, custody) = (held.record, held.state());
    ledger.write(at, Leaf::Account(AccountRecord2 { signer, grants_era, custody, ..record }))
}

fn leaf_of<'a>(held: &Held) -> Leaf<'a> {
    held.custody.as_ref().map_or(Leaf::Absent, |custody| Leaf::Bytes(Cow::Owned(custody.to_bytes())))
}
