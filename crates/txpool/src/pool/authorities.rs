//! Senders whose authority changes while their transactions wait (V24, V28).
//!
//! *Invariants:* each sender with a change that waits has one entry in `successions`, and no other sender has one; what
//! another authority signed than the one that acts leaves the pool with the block that shows it.

use super::{AccountView, Pool};
use crate::sender::{Entry, Sender, Totals};
use rustorium_crypto::signer_of;
use rustorium_execution::NextSigner;
use rustorium_types::AccountId;

impl Pool {
    pub(super) fn add_sender(&mut self, account: AccountId, sender: Sender) {
        self.successions.extend(sender.successor.map(|next| (next.due_ms, account)));
        self.senders.insert(account, sender);
    }

    /// Notes an account's authority and sponsor after an executed block, which `executed` was told of. Transactions that can't be
    /// executed with the authority are dropped: they would be skipped (V24).
    pub fn follow_authority(&mut self, account: AccountId, view: AccountView) {
        // A state with fewer used nonces is older than what is known here. An older one with as many, from a report that came
        // after a lookup of a recovered account, is followed until the next report, of the later state.
        let Some(sender) = self.senders.get_mut(&account).filter(|sender| sender.next <= view.nonce) else { return };
        if sender.sponsor != view.sponsor {
            let former = std::mem::replace(&mut sender.sponsor, view.sponsor);
            let (none, held) = (Totals::default(), sender.totals());
            self.sponsors.note(former, &held, &none);
            self.sponsors.note(view.sponsor, &none, &held);
        }
        if (sender.signer, sender.successor) == (view.signer, view.next) {
            return;
        }
        sender.signer = view.signer;
        let former = std::mem::replace(&mut sender.successor, view.next);
        self.note_succession(account, former, view.next);
        self.drop_stale(account);
    }

    /// Lets the authorities act whose time has come by the newest executed header.
    pub(super) fn succeed(&mut self) {
        while let Some((_, account)) = self.successions.first().copied().filter(|(at, _)| *at <= self.header_time_ms) {
            self.successions.pop_first();
            let Some(sender) = self.senders.get_mut(&account) else { continue };
            let Some(next) = sender.successor.take() else { continue };
            sender.signer = next.signer;
            self.drop_stale(account);
        }
    }

    fn note_succession(&mut self, account: AccountId, former: Option<NextSigner>, next: Option<NextSigner>) {
        if let Some(former) = former {
            self.successions.remove(&(former.due_ms, account));
        }
        self.successions.extend(next.map(|next| (next.due_ms, account)));
    }

    /// Drops a sender's transactions that another authority signed than the one that acts, or all if nobody does.
    fn drop_stale(&mut self, account: AccountId) {
        let Some(sender) = self.senders.get(&account) else { return };
        let acting = sender.acting(self.header_time_ms).ok();
        let is_stale = |entry: &Entry| entry.transaction.as_ref().is_some_and(|t| Some(signer_of(t)) != acting);
        let stale: Vec<u64> =
            sender.entries.iter().filter(|(_, entry)| is_stale(entry)).map(|(nonce, _)| *nonce).collect();
        for nonce in stale {
            self.give_up(account, nonce);
        }
    }
}
