//! Answers to clients about their transactions: taken, known or refused by the pool, or the same bytes sent again.
//!
//! *Invariants:* the same bytes get the same receipt, whatever the pool's answer is.

use crate::block_proofs::receipt_proof;
use crate::executor::{ParametersInForce, StoredState};
use crate::inbox::Inbox;
use crate::waiters::Waiters;
use rustorium_api::{ProofStatus, Refused, Submitted};
use rustorium_execution::{
    AccountRecord2, CommitteeRecord, CustodyRecord, CustodyState, GovernanceRecord, NextSigner, OwnerRecord,
    account_key, committee_key, custody_key, governance_key, owner_key,
};
use rustorium_shard::port::Input;
use rustorium_storage::Store;
use rustorium_txpool::AccountView;
use rustorium_types::{AccountId, Height, LeafWrite, PauseScope, Signer, StateKey, SystemSender, TxId};
use std::sync::Arc;

/// Parts of a node's shard that answer clients.
pub struct Clients {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Clients' waits.
    pub waiters: Arc<Waiters>,
    /// Inputs for the core.
    pub inbox: Arc<Inbox>,
    /// Makes a certified answer.
    pub prove: Arc<dyn Fn(&TxId) -> Submitted + Send + Sync>,
    /// The chain's parameters in the epoch of the next block.
    pub parameters: Arc<ParametersInForce>,
}

impl Clients {
    /// Handles transactions that the pool took.
    pub fn admitted(&self, ids: &[TxId]) {
        self.waiters.admitted(ids);
    }

    /// Handles a transaction that the pool already held.
    pub fn duplicate(&self, id: &TxId) {
        self.answer_from_store(id);
    }

    /// Handles transactions that expired in the pool.
    pub fn expired(&self, ids: &[TxId]) {
        let message = "the transaction expired before it was executed; sign a new one with a later expiry";
        for id in ids {
            self.waiters.refused(id, &Refused::new("expired", message));
        }
    }

    /// Handles transactions that the pool dropped. Their outcome is open: clients ask later, or send the same bytes
    /// again.
    pub fn given_up(&self, ids: &[TxId]) {
        ids.iter().for_each(|id| self.waiters.given_up(id));
    }

    /// Handles transactions whose nonces were used. Clients that still wait for one are told that another transaction
    /// has its nonce: the pool holds it no longer, and nothing else would end their waits before their time.
    pub fn used(&self, transactions: &[(TxId, rustorium_txpool::Refused)]) {
        for place in self.waiters.held_of(transactions.iter().map(|(id, _)| id)) {
            if let Some((id, refused)) = transactions.get(place) {
                self.refused(id, refused);
            }
        }
    }

    /// Handles a transaction that the pool refused.
    pub fn refused(&self, id: &TxId, refused: &rustorium_txpool::Refused) {
        if !self.answer_from_store(id) {
            self.waiters.refused(id, &refusal(refused));
        }
    }

    /// Returns an account's executed state.
    pub fn account(&self, account: &AccountId) -> Option<AccountView> {
        account_view(&*self.store, &self.parameters, account)
    }

    /// Answers with the stored receipt of the same bytes. Returns false if there is none.
    fn answer_from_store(&self, id: &TxId) -> bool {
        let Ok(Some(stored)) = self.store.transaction(id) else { return false };
        let height = stored.receipt.height;
        if self.waiters.executed(height, std::slice::from_ref(&stored.receipt)) {
            let claimed = self.store.tip().map_or(Height(0), |tip| tip.header.result.height);
            if claimed >= height {
                self.waiters.certified(height, &*self.prove);
            } else {
                self.inbox.push([Input::ClaimWanted(height)]);
            }
        }
        true
    }
}

/// Returns the executed state of an account or a system sender, with the pause that stops it.
pub fn account_view(store: &dyn Store, parameters: &ParametersInForce, account: &AccountId) -> Option<AccountView> {
    let view = unpaused_view(store, parameters, account)?;
    if SystemSender::of(account).is_some() {
        return Some(view);
    }
    // Without a governance record nobody is paused.
    let stored = store.state(&governance_key()).ok().flatten();
    let record = stored.and_then(|bytes| GovernanceRecord::from_bytes(&bytes).ok());
    let paused_until_ms = record.and_then(|record| record.paused_until(PauseScope::All, 0));
    Some(AccountView { paused_until_ms, ..view })
}

/// Returns the executed state of an account or a system sender, without looking for pauses.
pub fn unpaused_view(store: &dyn Store, parameters: &ParametersInForce, account: &AccountId) -> Option<AccountView> {
    match SystemSender::of(account) {
        Some(SystemSender::Seat(number)) => {
            return seat_view(&GovernanceRecord::read(&StoredState(store), &parameters.get()).ok()?, number);
        }
        Some(SystemSender::Owner(number)) => {
            let read = store.state_at_tip(&[committee_key(), owner_key(number)]).ok()?;
            let [committee, owner] = read.values.as_slice() else { return None };
            return owner_view(committee.as_deref()?, owner.as_deref(), number);
        }
        None => {}
    }
    let record = store.state(&account_key(*account)).ok().flatten()?;
    if !has_waiting_change(&record) {
        return view_of(&record, None);
    }
    // The two leaves are those of one height: a change could take effect between two reads.
    let read = store.state_at_tip(&[account_key(*account), custody_key(*account)]).ok()?;
    let [record, custody] = read.values.as_slice() else { return None };
    view_of(record.as_deref()?, custody.as_deref())
}

fn seat_view(record: &GovernanceRecord, number: u32) -> Option<AccountView> {
    record.seat(number).map(|seat| AccountView::new(seat.nonce, seat.signer))
}

fn owner_view(committee: &[u8], owner: Option<&[u8]>, number: u32) -> Option<AccountView> {
    let committee = CommitteeRecord::from_bytes(committee).ok()?;
    let signer = Signer::Single(committee.validator(number)?.owner_key);
    Some(AccountView::new(OwnerRecord::from_bytes(owner).ok()?.nonce, signer))
}

/// Returns the state after a block of the accounts and system senders that it touched (`Execution::touched`). What the block didn't
/// write is read from the store, which holds the state before it.
pub fn account_views(
    touched: &[(AccountId, u64)],
    diff: &[LeafWrite],
    store: &dyn Store,
) -> Vec<(AccountId, AccountView)> {
    let leaf = |key: StateKey| match diff.binary_search_by_key(&key, |write| write.key) {
        Ok(at) => diff.get(at)?.value.clone(),
        Err(_) => store.state(&key).ok().flatten(),
    };
    let view = |(account, _): &(AccountId, u64)| {
        match SystemSender::of(account) {
            Some(SystemSender::Seat(number)) => {
                let record = GovernanceRecord::from_bytes(&leaf(governance_key())?).ok()?;
                return Some((*account, seat_view(&record, number)?));
            }
            Some(SystemSender::Owner(number)) => {
                let (committee, owner) = (leaf(committee_key())?, leaf(owner_key(number)));
                return Some((*account, owner_view(&committee, owner.as_deref(), number)?));
            }
            None => {}
        }
        let record = leaf(account_key(*account))?;
        let custody = if has_waiting_change(&record) { leaf(custody_key(*account)) } else { None };
        Some((*account, view_of(&record, custody.as_deref())?))
    };
    touched.iter().filter_map(view).collect()
}

fn has_waiting_change(record: &[u8]) -> bool {
    AccountRecord2::from_bytes(record).is_ok_and(|record| record.custody == CustodyState::Pending)
}

fn view_of(record: &[u8], custody: Option<&[u8]>) -> Option<AccountView> {
    let AccountRecord2 { nonce, signer, sponsor, .. } = AccountRecord2::from_bytes(record).ok()?;
    let next = custody.and_then(|bytes| NextSigner::of(&CustodyRecord::from_bytes(bytes).ok()?));
    Some(AccountView { sponsor, next, ..AccountView::new(nonce, signer) })
}

/// Returns a function that makes a store's certified answers.
pub fn prover(store: Arc<dyn Store>) -> Arc<dyn Fn(&TxId) -> Submitted + Send + Sync> {
    Arc::new(move |id| match receipt_proof(&*store, id) {
        Ok(ProofStatus::Proof(proof)) => Submitted::Certified(*id, proof),
        Ok(ProofStatus::NotFound | ProofStatus::NotCertifiedYet) => Submitted::TimedOut(*id),
        Err(_) => Submitted::Refused(Refused::new("unavailable", "the proof can't be made now; ask for it again")),
    })
}

/// Returns the clients' form of a pool's refusal.
fn refusal(refused: &rustorium_txpool::Refused) -> Refused {
    let retry_after_ms = refused.retry_after_ms();
    Refused { busy: refused.is_busy(), retry_after_ms, ..Refused::new(refused.code(), refused.to_string()) }
}
