//! The pool: it admits transactions, holds those whose turn has not come, and hands out those that the own lane can
//! list next.
//!
//! *Invariants:* two kinds of time, which are never mixed: waits use the node's monotonic clock, and expiry uses only
//! the time of the newest executed header, so that a transaction called expired is never executed; the wall clock only
//! bounds how far an expiry may be ahead, and is not stored; never more than `transactions_max` and `bytes_max`,
//! including those that are cut and not yet executed, except for a few of each seat; transactions that wait for a missing nonce take at most a
//! quarter, so that those that can proceed always find room; senders take turns, and a few of them can't fill it: a
//! sender's share shrinks as the pool fills; seats, which govern, find room in a full pool.

mod authorities;
mod config;
mod feedback;
mod room;
mod sponsors;

pub use config::{AccountView, Admission, Clock, CutLimits, DroppedTransactions, PoolConfig};

use crate::batch::encoded_bytes;
use crate::refused::Refused;
use crate::sender::{Entry, Sender, Totals};
use room::{Ages, has_reserved_room};
use rustorium_crypto::{Verified, signer_of};
use rustorium_execution::{declared_work, history_of, least_work_of};
use rustorium_types::{AccountId, Transaction, TxId};
use sponsors::Sponsors;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Transactions that a sender may have cut before the next sender's turn.
const RUN_LENGTH: usize = 16;

/// The pool of one shard at one node.
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    senders: HashMap<AccountId, Sender>,
    ids: HashMap<TxId, (AccountId, u64)>,
    totals: Totals,
    /// Senders that have ready transactions, by turn.
    turns: BTreeMap<u64, AccountId>,
    next_turn: u64,
    expiries: BTreeSet<(u64, AccountId, u64)>,
    delayed: BTreeSet<(u64, AccountId, u64)>,
    /// Senders whose authority changes at a header time.
    successions: BTreeSet<(u64, AccountId)>,
    dropped: DroppedTransactions,
    used: Vec<(TxId, Refused)>,
    ages: Ages,
    sponsors: Sponsors,
    /// Monotonic time.
    now_ms: u64,
    /// Time of the newest executed header.
    header_time_ms: u64,
}

impl Pool {
    /// Creates an empty pool above an executed header of this time.
    pub fn new(config: PoolConfig, header_time_ms: u64) -> Self {
        Self {
            config,
            senders: HashMap::new(),
            ids: HashMap::new(),
            totals: Totals::default(),
            turns: BTreeMap::new(),
            next_turn: 0,
            expiries: BTreeSet::new(),
            delayed: BTreeSet::new(),
            successions: BTreeSet::new(),
            dropped: DroppedTransactions::default(),
            used: Vec::new(),
            ages: Ages::default(),
            sponsors: Sponsors::default(),
            now_ms: 0,
            header_time_ms,
        }
    }

    /// Admits a verified transaction that may be cut at once. `account` is called only if its sender isn't known here.
    pub fn admit(
        &mut self,
        clock: Clock,
        id: TxId,
        t: Arc<Verified<Transaction>>,
        account: impl FnOnce() -> Option<AccountView>,
    ) -> Result<Admission, Refused> {
        self.admit_later(clock, id, t, 0, account)
    }

    /// Admits a verified transaction that may be cut from `not_before_ms` on, monotonic: one whose home is another
    /// lane.
    pub fn admit_later(
        &mut self,
        clock: Clock,
        id: TxId,
        t: Arc<Verified<Transaction>>,
        not_before_ms: u64,
        account: impl FnOnce() -> Option<AccountView>,
    ) -> Result<Admission, Refused> {
        if self.ids.contains_key(&id) {
            return Ok(Admission::Duplicate);
        }
        self.now_ms = self.now_ms.max(clock.ms);
        let bytes = encoded_bytes(&t);
        self.check_alone(clock.wall_ms, &t, bytes)?;
        let (account_id, nonce) = (*t.sender(), t.nonce());
        self.make_room();
        // A chain at rest has no newer header: the time of the next one is about now.
        let next_ms = self.header_time_ms.max(clock.wall_ms);
        let known = self.senders.get(&account_id);
        let reserved = has_reserved_room(known, &account_id, bytes);
        if !reserved {
            self.check_room(bytes as u64)?;
        }
        let fresh = match known {
            Some(_) => None,
            None => account().map(|view| check_pause(&view, next_ms, &t).map(|()| view)).transpose()?,
        };
        let fresh = fresh.map(Sender::new);
        let sender = known.or(fresh.as_ref()).ok_or(Refused::UnknownAccount)?;
        check_with_sender(&self.config, sender, (self.header_time_ms, next_ms), &t)?;
        if !reserved {
            self.check_share(sender, nonce, bytes as u64).map_err(|refused| match sender.quota_due_ms() {
                // The room is free again when the account has quota again.
                Some(due_ms) => Refused::QuotaTooSmall { wait_ms: due_ms.saturating_sub(self.now_ms) },
                None => refused,
            })?;
            self.sponsors.check(&self.config, sender.sponsor, bytes as u64)?;
        }
        if let Some(fresh) = fresh {
            self.add_sender(account_id, fresh);
        }
        let work = declared_work(self.config.rules, &t);
        let (signatures, expires_at_ms) = (t.signatures(), t.expires_at_ms());
        let entry = Entry {
            id,
            transaction: Some(t),
            bytes: bytes as u64,
            work,
            signatures,
            expires_at_ms,
            not_before_ms,
            elsewhere: false,
        };
        self.insert(account_id, nonce, entry);
        self.note_age(id);
        Ok(Admission::Queued)
    }

    fn check_alone(&self, wall_ms: u64, t: &Transaction, bytes: usize) -> Result<(), Refused> {
        if bytes > self.config.transaction_bytes_max {
            return Err(Refused::TooLarge { bytes, max: self.config.transaction_bytes_max });
        }
        if t.form() > self.config.rules {
            return Err(Refused::LaterForm { version: self.config.rules.version() });
        }
        if !t.is_known_to(self.config.rules) {
            return Err(Refused::LaterOperation { version: self.config.rules.version() });
        }
        let (signatures, max) = (t.signatures(), self.config.batch_signatures_max);
        if signatures > max {
            return Err(Refused::TooManySignatures { signatures, max });
        }
        let (limit, max) = (t.work_limit(), self.config.transaction_work_max);
        let needed = least_work_of(self.config.rules, t);
        if limit > max {
            return Err(Refused::WorkLimitTooHigh { limit, max });
        }
        let (history, max) = (history_of(t), self.config.transaction_history_max);
        if history > max {
            return Err(Refused::TooMuchHistory { bytes: history, max });
        }
        if limit < needed {
            return Err(Refused::WorkLimitTooLow { limit, needed });
        }
        let (expires_at_ms, limit_ms) = (t.expires_at_ms(), self.config.expiry_ahead_ms_max);
        // Expiry uses executed headers only. If the clock had a say, a client could be told `expired` of a transaction
        // that is executed later.
        let chain_ms = self.header_time_ms;
        if expires_at_ms <= chain_ms {
            return Err(Refused::Expired { expires_at_ms, chain_ms });
        }
        let ahead_ms = expires_at_ms.saturating_sub(wall_ms.max(self.header_time_ms));
        if ahead_ms > limit_ms { Err(Refused::ExpiryTooFar { ahead_ms, limit_ms }) } else { Ok(()) }
    }

    fn insert(&mut self, account: AccountId, nonce: u64, entry: Entry) {
        self.ids.insert(entry.id, (account, nonce));
        self.expiries.insert((entry.expires_at_ms, account, nonce));
        if entry.not_before_ms > self.now_ms {
            self.delayed.insert((entry.not_before_ms, account, nonce));
        }
        let now_ms = self.now_ms;
        self.edit(account, |sender| sender.insert(nonce, entry, now_ms));
    }

    /// Changes a sender, and updates the totals and the sender's turn. Removes the sender if nothing of it waits any
    /// more.
    fn edit<T>(&mut self, account: AccountId, change: impl FnOnce(&mut Sender) -> T) -> Option<T> {
        let sender = self.senders.get_mut(&account)?;
        let before = sender.totals();
        let result = change(sender);
        let after = sender.totals();
        self.sponsors.note(sender.sponsor, &before, &after);
        self.totals.count = self.totals.count + after.count - before.count;
        self.totals.bytes = self.totals.bytes + after.bytes - before.bytes;
        self.totals.ready = self.totals.ready + after.ready - before.ready;
        self.totals.ready_bytes = self.totals.ready_bytes + after.ready_bytes - before.ready_bytes;
        self.totals.gapped = self.totals.gapped + after.gapped - before.gapped;
        self.totals.able = self.totals.able + after.able - before.able;
        match (sender.has_ready(), sender.turn) {
            (true, None) => {
                sender.turn = Some(self.next_turn);
                self.turns.insert(self.next_turn, account);
                self.next_turn += 1;
            }
            (false, Some(turn)) => {
                sender.turn = None;
                self.turns.remove(&turn);
            }
            _ => {}
        }
        if sender.entries.is_empty() {
            if let Some(next) = sender.successor {
                self.successions.remove(&(next.due_ms, account));
            }
            self.senders.remove(&account);
        }
        Some(result)
    }

    fn forget(&mut self, account: AccountId, nonce: u64, entry: &Entry) {
        self.ids.remove(&entry.id);
        self.expiries.remove(&(entry.expires_at_ms, account, nonce));
        self.delayed.remove(&(entry.not_before_ms, account, nonce));
    }

    fn remove(&mut self, account: AccountId, nonce: u64) -> Option<TxId> {
        let entry = self.edit(account, |sender| sender.remove(nonce))??;
        self.forget(account, nonce, &entry);
        Some(entry.id)
    }

    /// Returns the next transactions for the own lane at this monotonic time: in nonce order per sender, with senders
    /// in turns of `RUN_LENGTH`. If anything is ready, at least one transaction is cut, even if it alone is over the
    /// limits (admission keeps it under the batch's caps).
    pub fn cut(&mut self, now_ms: u64, limits: &CutLimits) -> Vec<(TxId, Arc<Verified<Transaction>>)> {
        self.open_delayed(now_ms);
        let (mut out, mut left) = (Vec::new(), *limits);
        while let Some((turn, account)) = self.turns.pop_first() {
            let full = self.cut_run(account, &mut left, &mut out);
            // After a full cut the sender keeps its turn. Otherwise it goes to the end of the queue.
            let next_turn = if full { turn } else { self.next_turn };
            let Some(sender) = self.senders.get_mut(&account) else { continue };
            sender.turn = sender.has_ready().then_some(next_turn);
            if sender.has_ready() {
                self.turns.insert(next_turn, account);
                self.next_turn += 1;
            }
            if full {
                break;
            }
        }
        out
    }

    /// Cuts one sender's run. Returns whether the limits allow no more.
    fn cut_run(
        &mut self,
        account: AccountId,
        left: &mut CutLimits,
        out: &mut Vec<(TxId, Arc<Verified<Transaction>>)>,
    ) -> bool {
        for _ in 0..RUN_LENGTH {
            let Some(sender) = self.senders.get(&account) else { return false };
            let Some(head) = sender.head() else { return false };
            if head.expires_at_ms <= self.header_time_ms {
                let nonce = sender.next_cut;
                let expired = self.remove(account, nonce);
                self.dropped.expired.extend(expired);
                continue;
            }
            let fits = head.signatures <= left.signatures && head.bytes <= left.bytes && head.work <= left.work;
            if !fits && !out.is_empty() {
                return true;
            }
            left.signatures = left.signatures.saturating_sub(head.signatures);
            left.bytes = left.bytes.saturating_sub(head.bytes);
            left.work = left.work.saturating_sub(head.work);
            let Some(transaction) = head.transaction.clone() else { return false };
            out.push((head.id, transaction));
            self.edit(account, Sender::cut_head);
        }
        false
    }

    /// Opens delayed transactions that are due at `now_ms`, monotonic, and those of the same senders that wait behind
    /// them. The validators that should have listed them let their time pass.
    pub fn open_delayed(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        while let Some((_, account, nonce)) = self.delayed.first().copied().filter(|(due, ..)| *due <= self.now_ms) {
            self.delayed.pop_first();
            self.open_from(account, nonce);
        }
    }

    /// Opens a delayed transaction at once, and those of its sender that wait behind it. A transaction that waits for
    /// quota stays delayed.
    pub fn open(&mut self, id: &TxId) {
        let Some((account, nonce)) = self.ids.get(id).copied() else { return };
        if self.senders.get(&account).is_some_and(|sender| sender.skips == 0) {
            self.open_from(account, nonce);
        }
    }

    fn open_from(&mut self, account: AccountId, nonce: u64) {
        let now_ms = self.now_ms;
        let opened = self.edit(account, |sender| sender.open_from(nonce, now_ms));
        for (nonce, due_ms) in opened.into_iter().flatten() {
            self.delayed.remove(&(due_ms, account, nonce));
        }
    }

    /// Returns the time at which `open_delayed` has something to do next.
    pub fn next_delayed_ms(&self) -> Option<u64> {
        self.delayed.first().map(|(due, ..)| *due)
    }

    /// Notes that a block was executed after which `account` has used all nonces below `next_nonce`.
    pub fn executed(&mut self, account: AccountId, next_nonce: u64, header_time_ms: u64) {
        self.header_time_ms = self.header_time_ms.max(header_time_ms);
        let now_ms = self.now_ms;
        let used = self.edit(account, |sender| sender.advance(next_nonce, now_ms));
        for (nonce, entry) in used.iter().flatten() {
            self.forget(account, *nonce, entry);
            self.used.push((entry.id, Refused::NonceUsed { nonce: *nonce, expected: next_nonce }));
        }
    }

    /// Drops the transactions that expired by `header_time_ms`, the time of an executed header.
    pub fn expire(&mut self, header_time_ms: u64) {
        self.header_time_ms = self.header_time_ms.max(header_time_ms);
        while let Some((at, account, nonce)) = self.expiries.first().copied() {
            if at > self.header_time_ms {
                break;
            }
            let expired = self.remove(account, nonce);
            self.dropped.expired.extend(expired);
        }
        self.succeed();
    }

    /// Returns all transactions whose nonces were used since the last call, each with its refusal in case that it was
    /// not executed itself: another transaction has its nonce then.
    pub fn take_used(&mut self) -> Vec<(TxId, Refused)> {
        std::mem::take(&mut self.used)
    }

    /// Returns all transactions that were dropped without being executed since the last call.
    pub fn take_dropped(&mut self) -> DroppedTransactions {
        std::mem::take(&mut self.dropped)
    }

    /// Tells if the transaction waits here.
    pub fn contains(&self, id: &TxId) -> bool {
        self.ids.contains_key(id)
    }

    /// Returns the waiting transaction; `None` also for one that is known only from an own batch.
    pub fn get(&self, id: &TxId) -> Option<Arc<Verified<Transaction>>> {
        let (account, nonce) = self.ids.get(id)?;
        self.senders.get(account)?.entries.get(nonce)?.transaction.clone()
    }

    /// Returns the waiting transaction, unless a batch of this lane or of another has it.
    pub fn unlisted(&self, id: &TxId) -> Option<Arc<Verified<Transaction>>> {
        let (account, nonce) = self.ids.get(id)?;
        let sender = self.senders.get(account)?;
        let entry = sender.entries.get(nonce).filter(|entry| !entry.elsewhere && *nonce >= sender.next_cut)?;
        entry.transaction.clone()
    }

    /// Returns the sender's first nonce that isn't executed, if one of its transactions waits here.
    pub fn next_nonce(&self, account: &AccountId) -> Option<u64> {
        self.senders.get(account).map(|sender| sender.next)
    }

    /// Returns all waiting transactions that are known whole, by sender and in nonce order. At an epoch's end, those
    /// that no block listed go to the lanes of the next one.
    pub fn into_transactions(self) -> Vec<(TxId, Arc<Verified<Transaction>>)> {
        let senders: BTreeMap<AccountId, Sender> = self.senders.into_iter().collect();
        let entries = senders.into_values().flat_map(|sender| sender.entries.into_values());
        entries.filter_map(|entry| Some((entry.id, entry.transaction?))).collect()
    }

    /// Returns the number of held transactions, including those that are cut and not yet executed.
    pub fn len(&self) -> usize {
        self.totals.count
    }

    /// Tells if no transaction is held.
    pub fn is_empty(&self) -> bool {
        self.totals.count == 0
    }

    /// Returns the encoded bytes of held transactions.
    pub fn bytes(&self) -> u64 {
        self.totals.bytes
    }

    /// Returns the number of transactions that a cut could take now.
    pub fn ready_count(&self) -> usize {
        self.totals.ready
    }

    /// Returns the encoded bytes of those.
    pub fn ready_bytes(&self) -> u64 {
        self.totals.ready_bytes
    }

    /// Returns the number of transactions that wait for a missing nonce.
    pub fn gapped_count(&self) -> usize {
        self.totals.gapped
    }

    /// Returns the number of transactions, including cut ones, that a chain which goes on would execute: they lack
    /// neither a nonce before them nor, as far as was seen, quota.
    pub fn able_count(&self) -> usize {
        self.totals.able
    }
}

/// V43: checks that no pause stops the transaction of a sender that isn't known here. `next_ms`: time of the next header, by
/// this node's clock.
fn check_pause(view: &AccountView, next_ms: u64, t: &Transaction) -> Result<(), Refused> {
    let until = view.paused_until_ms.filter(|until_ms| *until_ms > next_ms && !t.changes_the_committee());
    until.map_or(Ok(()), |until_ms| Err(Refused::Paused { until_ms }))
}

/// Checks authority and nonce of a transaction. `newest_ms`, `next_ms`: times of the newest executed header, and of the next
/// one by this node's clock. The authority acts at one of them: whose clock is wrong shuts out neither.
fn check_with_sender(
    config: &PoolConfig,
    sender: &Sender,
    (newest_ms, next_ms): (u64, u64),
    t: &Transaction,
) -> Result<(), Refused> {
    let (nonce, signer) = (t.nonce(), signer_of(t));
    if sender.acting(next_ms) != Ok(signer) {
        let acting = sender.acting(newest_ms).map_err(|until_ms| Refused::Frozen { until_ms })?;
        if acting != signer {
            return Err(Refused::WrongKey);
        }
    }
    if nonce < sender.next {
        return Err(Refused::NonceUsed { nonce, expected: sender.next });
    }
    if let Some(other) = sender.entries.get(&nonce) {
        return Err(Refused::NonceTaken { nonce, by: other.id });
    }
    if nonce - sender.tail > config.gap_max || nonce == u64::MAX {
        return Err(Refused::NonceTooFar { nonce, expected: sender.tail });
    }
    Ok(())
}
