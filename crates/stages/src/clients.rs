//! Answers to clients about their transactions: taken, known or refused by the pool, or the same bytes sent again.
//!
//! *Invariants:* the same bytes get the same receipt, whatever the pool says of them.

use crate::block_proofs::receipt_proof;
use crate::inbox::Inbox;
use crate::waiters::Waiters;
use rustorium_api::{ProofStatus, Refused, Submitted};
use rustorium_execution::{AccountRecord2, account_key};
use rustorium_shard::port::Input;
use rustorium_storage::Store;
use rustorium_txpool::AccountView;
use rustorium_types::{AccountId, Height, LeafWrite, TxId};
use std::sync::Arc;

/// The side of a node's shard that clients wait for.
pub struct Clients {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Clients' waits.
    pub waiters: Arc<Waiters>,
    /// Inputs for the core.
    pub inbox: Arc<Inbox>,
    /// Makes a certified answer.
    pub prove: Arc<dyn Fn(&TxId) -> Submitted + Send + Sync>,
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
        account_view(&*self.store, account)
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

/// Returns an account's executed state.
pub fn account_view(store: &dyn Store, account: &AccountId) -> Option<AccountView> {
    view_of(&store.state(&account_key(*account)).ok().flatten()?)
}

/// Returns the state after a block of the accounts that used a nonce in it. A nonce is part of an account's record, so each
/// of these records is in the block's diff.
pub fn account_views(touched: &[(AccountId, u64)], diff: &[LeafWrite]) -> Vec<(AccountId, AccountView)> {
    let view = |(account, _): &(AccountId, u64)| {
        let at = diff.binary_search_by_key(&account_key(*account), |write| write.key).ok()?;
        Some((*account, view_of(diff.get(at)?.value.as_deref()?)?))
    };
    touched.iter().filter_map(view).collect()
}

fn view_of(record: &[u8]) -> Option<AccountView> {
    let AccountRecord2 { nonce, signer, sponsor, .. } = AccountRecord2::from_bytes(record).ok()?;
    Some(AccountView { nonce, signer, sponsor })
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
