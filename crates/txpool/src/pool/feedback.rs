//! Reports to the pool from execution, other lanes and a restart.

use super::{AccountView, Pool};
use crate::batch::encoded_bytes;
use crate::sender::{Entry, Sender};
use rustorium_crypto::CheckedBatch;
use rustorium_execution::{Skip, declared_work};
use rustorium_types::{AccountId, Transaction, TxId};

/// Wait before a transaction that was skipped for lack of quota is listed again for the first time, and number of times
/// that the wait doubles.
const QUOTA_RETRY_MS: u64 = 1_000;
const QUOTA_DOUBLES_MAX: u32 = 8;
/// Number of times that a transaction is listed under version 2 although its quota is too small (V24).
const QUOTA_SKIPS_MAX: u32 = 8;

impl Pool {
    /// Notes that a block listed the transaction and execution skipped it. It is dropped, or waits to be listed again,
    /// depending on the reason.
    pub fn skipped(&mut self, id: &TxId, why: &Skip) {
        let Some((account, nonce)) = self.ids.get(id).copied() else { return };
        match why {
            Skip::NonceUsed { expected } => self.executed(account, *expected, 0),
            Skip::NonceAhead { .. } => self.reopen(account, nonce, 0),
            Skip::QuotaTooSmall { .. } => {
                let skips = self.edit(account, Sender::skip).unwrap_or_default();
                let wait_ms = QUOTA_RETRY_MS << skips.saturating_sub(1).min(QUOTA_DOUBLES_MAX);
                self.reopen(account, nonce, self.now_ms.saturating_add(wait_ms));
            }
            Skip::WorkTooSmall { ready_at_ms, .. } | Skip::HistoryTooSmall { ready_at_ms, .. } => {
                self.wait_for_quota(account, nonce, *ready_at_ms);
            }
            Skip::Expired => {
                let expired = self.remove(account, nonce);
                self.dropped.expired.extend(expired);
            }
            Skip::WrongChain
            | Skip::WrongVersion
            | Skip::Elsewhere
            | Skip::UnknownSender
            | Skip::WrongKey
            | Skip::Frozen { .. }
            | Skip::Paused { .. } => self.give_up(account, nonce),
        }
    }

    /// Lets a transaction wait until there may be quota for it, by header time. One that was listed in vain too often goes, as
    /// its bytes cost its sender nothing.
    fn wait_for_quota(&mut self, account: AccountId, nonce: u64, ready_at_ms: u64) {
        let skips = self.edit(account, Sender::skip).unwrap_or_default();
        let until_ready_ms = ready_at_ms.saturating_sub(self.header_time_ms);
        if skips >= QUOTA_SKIPS_MAX || ready_at_ms == u64::MAX {
            // Another node may still list it, so its outcome is open.
            self.give_up(account, nonce);
            let now_ms = self.now_ms;
            self.edit(account, |sender| sender.forget_skips(now_ms));
            return;
        }
        // Others that draw from the same sponsor wait for the same moment.
        let crowded_ms = if skips > 1 { QUOTA_RETRY_MS << (skips - 2) } else { 1 };
        self.reopen(account, nonce, self.now_ms.saturating_add(until_ready_ms.max(crowded_ms)));
    }

    pub(super) fn give_up(&mut self, account: AccountId, nonce: u64) {
        let gone = self.remove(account, nonce);
        self.dropped.given_up.extend(gone);
    }

    /// Notes that the batch will never be listed. Its transactions that still wait can be cut again.
    pub fn uncut(&mut self, ids: &[TxId]) {
        for id in ids {
            if let Some((account, nonce)) = self.ids.get(id).copied() {
                self.reopen(account, nonce, 0);
            }
        }
    }

    /// Notes that a transaction that was cut is in no batch. It may be cut again from `not_before_ms` on, monotonic.
    pub fn wait_until(&mut self, id: &TxId, not_before_ms: u64) {
        if let Some((account, nonce)) = self.ids.get(id).copied() {
            self.reopen(account, nonce, not_before_ms);
        }
    }

    fn reopen(&mut self, account: AccountId, nonce: u64, not_before_ms: u64) {
        let now_ms = self.now_ms;
        let entry = self.edit(account, |sender| {
            sender.uncut(nonce, now_ms);
            sender.set_elsewhere(nonce, false, now_ms);
            let entry = sender.entries.get_mut(&nonce)?;
            let before_ms = std::mem::replace(&mut entry.not_before_ms, not_before_ms);
            let unknown = entry.transaction.is_none();
            if before_ms != not_before_ms {
                sender.recount(now_ms);
            }
            Some((before_ms, unknown))
        });
        let Some((before_ms, unknown)) = entry.flatten() else { return };
        self.delayed.remove(&(before_ms, account, nonce));
        if unknown {
            // Its bytes are only in the lane's batch. Its sender must send it again.
            self.give_up(account, nonce);
        } else if not_before_ms > now_ms {
            self.delayed.insert((not_before_ms, account, nonce));
        }
    }

    /// Notes that another lane's batch was stored. Its transactions aren't cut here while it is held.
    pub fn held_elsewhere(&mut self, batch: &CheckedBatch) {
        batch.ids.iter().for_each(|id| self.mark_elsewhere(id, true));
    }

    /// Notes that another lane's batch was dropped. Its transactions that still wait may be cut here again. Not for a
    /// listed batch, whose transactions are reported by `executed` and `skipped`.
    pub fn dropped_elsewhere(&mut self, batch: &CheckedBatch) {
        batch.ids.iter().for_each(|id| self.mark_elsewhere(id, false));
    }

    /// Does the same for one transaction: for one that was admitted while a held batch has it.
    pub fn mark_elsewhere(&mut self, id: &TxId, elsewhere: bool) {
        let now_ms = self.now_ms;
        if let Some((account, nonce)) = self.ids.get(id).copied() {
            self.edit(account, |sender| sender.set_elsewhere(nonce, elsewhere, now_ms));
        }
    }

    /// Restores an own batch that isn't final yet: after a restart, before anything is admitted, in lane order. Its
    /// nonces count as cut and its ids as held.
    pub fn restore(&mut self, batch: &CheckedBatch, mut account: impl FnMut(&AccountId) -> Option<AccountView>) {
        for (id, transaction) in batch.ids.iter().zip(batch.batch.body.transactions.as_slice()) {
            let sender = *transaction.sender();
            if !self.senders.contains_key(&sender) {
                let Some(view) = account(&sender) else { continue };
                self.add_sender(sender, Sender::new(view));
            }
            self.restore_one(*id, transaction);
        }
    }

    fn restore_one(&mut self, id: TxId, transaction: &Transaction) {
        let (account, nonce, now_ms) = (*transaction.sender(), transaction.nonce(), self.now_ms);
        let next = self.senders.get(&account).map(|sender| (sender.next_cut, sender.tail));
        if next != Some((nonce, nonce)) || self.ids.contains_key(&id) {
            // The transaction was executed before, or will be skipped: there is nothing to remember. The sender is
            // forgotten if it has nothing else.
            self.edit(account, |_| ());
            return;
        }
        let entry = Entry {
            id,
            transaction: None,
            bytes: encoded_bytes(transaction) as u64,
            work: declared_work(self.config.rules, transaction),
            signatures: transaction.signatures(),
            expires_at_ms: transaction.expires_at_ms(),
            not_before_ms: 0,
            elsewhere: false,
        };
        self.insert(account, nonce, entry);
        self.edit(account, |sender| sender.mark_cut(nonce, now_ms));
    }
}
