//! A sender's waiting transactions, by nonce.
//!
//! *Invariants:* `next ≤ next_cut ≤ next_cut + ready ≤ tail`; every nonce from `next` to below `tail` waits here;
//! nonces below `next_cut` are in the own lane; those from `tail` on wait for the gap before them to be filled.

use crate::pool::AccountView;
use rustorium_crypto::Verified;
use rustorium_execution::NextSigner;
use rustorium_types::{Signer, Transaction, TxId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A waiting transaction.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: TxId,
    /// The transaction; `None` if it is known only from an own batch.
    pub(crate) transaction: Option<Arc<Verified<Transaction>>>,
    pub(crate) bytes: u64,
    pub(crate) work: u64,
    pub(crate) signatures: usize,
    pub(crate) expires_at_ms: u64,
    /// Monotonic time before which it must not be cut.
    pub(crate) not_before_ms: u64,
    /// True if a batch of another lane has it.
    pub(crate) elsewhere: bool,
}

impl Entry {
    fn is_open(&self, now_ms: u64) -> bool {
        !self.elsewhere && self.not_before_ms <= now_ms && self.transaction.is_some()
    }
}

/// A sender's part of the pool's totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
    pub(crate) ready: usize,
    pub(crate) ready_bytes: u64,
    pub(crate) gapped: usize,
    /// Number of transactions that lack neither a nonce before them nor quota.
    pub(crate) able: usize,
}

#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) signer: Signer,
    /// Number of the sponsor by the newest known state.
    pub(crate) sponsor: u32,
    /// The authority that takes its place.
    pub(crate) successor: Option<NextSigner>,
    pub(crate) next: u64,
    pub(crate) next_cut: u64,
    pub(crate) tail: u64,
    pub(crate) entries: BTreeMap<u64, Entry>,
    bytes: u64,
    ready: u64,
    ready_bytes: u64,
    /// Number of times that the first transaction was skipped for lack of quota. Until it is executed, it is listed
    /// alone: those behind it would be skipped in vain.
    pub(crate) skips: u32,
    /// Number of the sender's turn among those that have ready transactions.
    pub(crate) turn: Option<u64>,
}

impl Sender {
    pub(crate) fn new(view: AccountView) -> Self {
        let AccountView { nonce: next, signer, sponsor, next: successor, .. } = view;
        let entries = BTreeMap::new();
        Self {
            signer,
            sponsor,
            successor,
            next,
            next_cut: next,
            tail: next,
            entries,
            bytes: 0,
            ready: 0,
            ready_bytes: 0,
            skips: 0,
            turn: None,
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let in_turn = (self.tail - self.next) as usize;
        Totals {
            count: self.entries.len(),
            bytes: self.bytes,
            ready: self.ready as usize,
            ready_bytes: self.ready_bytes,
            gapped: self.entries.len() - in_turn,
            able: if self.lists_alone() { 0 } else { in_turn },
        }
    }

    /// Returns the authority that acts at this header time. Error: the account is frozen until this time, Unix ms.
    pub(crate) fn acting(&self, header_time_ms: u64) -> Result<Signer, u64> {
        match self.successor {
            Some(next) if next.due_ms <= header_time_ms => Ok(next.signer),
            Some(next) if next.is_frozen => Err(next.due_ms),
            _ => Ok(self.signer),
        }
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.ready > 0
    }

    /// Adds an entry at a free nonce, which is not below `next`.
    pub(crate) fn insert(&mut self, nonce: u64, entry: Entry, now_ms: u64) {
        self.bytes += entry.bytes;
        self.entries.insert(nonce, entry);
        if nonce == self.tail {
            self.grow_tail();
            self.grow_ready(now_ms);
        }
    }

    fn grow_tail(&mut self) {
        while self.entries.contains_key(&self.tail) {
            self.tail += 1;
        }
    }

    /// Extends the ready run over open entries behind it.
    pub(crate) fn grow_ready(&mut self, now_ms: u64) {
        let end = if self.lists_alone() { self.tail.min(self.next + 1) } else { self.tail };
        let first = self.next_cut + self.ready;
        for (_, entry) in self.entries.range(first..end.max(first)) {
            if !entry.is_open(now_ms) {
                break;
            }
            self.ready += 1;
            self.ready_bytes += entry.bytes;
        }
    }

    /// Opens the entry at `nonce`, unless a batch of another lane has it, and those that follow it without a gap.
    /// Returns their nonces and the times at which they would have been due.
    pub(crate) fn open_from(&mut self, nonce: u64, now_ms: u64) -> Vec<(u64, u64)> {
        if self.entries.get(&nonce).is_none_or(|entry| entry.elsewhere) {
            return Vec::new();
        }
        let mut opened = Vec::new();
        for ((at, entry), next) in self.entries.range_mut(nonce..).zip(nonce..) {
            if *at != next {
                break;
            }
            if entry.not_before_ms > 0 {
                opened.push((*at, std::mem::replace(&mut entry.not_before_ms, 0)));
            }
        }
        self.grow_ready(now_ms);
        opened
    }

    fn lists_alone(&self) -> bool {
        self.skips > 0
    }

    /// Notes that the first transaction was skipped for lack of quota. Returns how often that has happened by now.
    pub(crate) fn skip(&mut self) -> u32 {
        self.skips = self.skips.saturating_add(1);
        self.skips
    }

    /// Returns the monotonic time at which the first transaction is listed again for which there was no quota.
    pub(crate) fn quota_due_ms(&self) -> Option<u64> {
        let first = if self.lists_alone() { self.entries.get(&self.next) } else { None };
        first.map(|entry| entry.not_before_ms)
    }

    /// Forgets how often the first transaction was skipped: it is gone.
    pub(crate) fn forget_skips(&mut self, now_ms: u64) {
        self.skips = 0;
        self.recount(now_ms);
    }

    /// Counts the ready run again, after a change in it.
    pub(crate) fn recount(&mut self, now_ms: u64) {
        (self.ready, self.ready_bytes) = (0, 0);
        self.grow_ready(now_ms);
    }

    /// Returns the next entry to be cut, if one is ready.
    pub(crate) fn head(&self) -> Option<&Entry> {
        if self.ready > 0 { self.entries.get(&self.next_cut) } else { None }
    }

    /// Ends the ready run before `nonce`.
    fn cap_ready(&mut self, nonce: u64) {
        let end = self.next_cut + self.ready;
        if nonce < end {
            let first = nonce.max(self.next_cut);
            self.ready_bytes -= self.entries.range(first..end).map(|(_, entry)| entry.bytes).sum::<u64>();
            self.ready = first - self.next_cut;
        }
    }

    /// Sets whether a batch of another lane has the entry.
    pub(crate) fn set_elsewhere(&mut self, nonce: u64, elsewhere: bool, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(&nonce) else { return };
        entry.elsewhere = elsewhere;
        if !elsewhere {
            self.grow_ready(now_ms);
        } else if nonce >= self.next_cut {
            self.cap_ready(nonce);
        }
    }

    /// Counts the entry at `nonce` as cut, if no earlier one still has to be cut.
    pub(crate) fn mark_cut(&mut self, nonce: u64, now_ms: u64) {
        if self.next_cut == nonce && nonce < self.tail {
            self.next_cut += 1;
            self.recount(now_ms);
        }
    }

    /// Marks the head as cut.
    pub(crate) fn cut_head(&mut self) {
        if let Some(bytes) = self.head().map(|entry| entry.bytes) {
            self.next_cut += 1;
            self.ready -= 1;
            self.ready_bytes -= bytes;
        }
    }

    /// Undoes cuts from `nonce` on.
    pub(crate) fn uncut(&mut self, nonce: u64, now_ms: u64) {
        if nonce < self.next_cut {
            self.next_cut = nonce.max(self.next);
            self.recount(now_ms);
        }
    }

    /// Removes an entry that can't be executed any more. Those behind it wait for its nonce to be filled again.
    pub(crate) fn remove(&mut self, nonce: u64) -> Option<Entry> {
        if self.entries.contains_key(&nonce) && nonce < self.tail {
            self.cap_ready(nonce);
            self.tail = nonce;
            self.next_cut = self.next_cut.min(nonce);
        }
        let entry = self.entries.remove(&nonce)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    /// Notes that nonces below `next` were used: removes them, and opens those that follow.
    pub(crate) fn advance(&mut self, next: u64, now_ms: u64) -> Vec<(u64, Entry)> {
        if next <= self.next {
            return Vec::new();
        }
        let kept = self.entries.split_off(&next);
        let used = std::mem::replace(&mut self.entries, kept);
        self.bytes -= used.values().map(|entry| entry.bytes).sum::<u64>();
        self.next = next;
        let overtaken = self.next_cut < next || self.skips > 0;
        self.skips = 0;
        self.next_cut = self.next_cut.max(next);
        self.tail = self.tail.max(next);
        self.grow_tail();
        if overtaken {
            self.recount(now_ms);
        }
        used.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(bytes: u64) -> Entry {
        let key = rustorium_crypto::SigningKey::from_seed(&[1; 32]);
        let body = rustorium_types::TransactionBody {
            version: 1,
            chain: Default::default(),
            sender: Default::default(),
            public_key: key.public(),
            nonce: 0,
            expires_at_ms: 0,
            work_limit: 0,
            shard_hint: None,
            location: None,
            data: Default::default(),
        };
        let transaction = Some(Arc::new(key.sign_transaction(body)));
        let (work, signatures, expires_at_ms, not_before_ms) = (0, 1, 0, 0);
        Entry { id: TxId::ZERO, transaction, bytes, work, signatures, expires_at_ms, not_before_ms, elsewhere: false }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64, u64),
        Remove(u64),
        Advance(u64),
        Cut,
        Uncut(u64),
        Elsewhere(u64, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let nonce = 0u64..12;
        prop_oneof![
            6 => (nonce.clone(), 1u64..100).prop_map(|(nonce, bytes)| Step::Insert(nonce, bytes)),
            1 => nonce.clone().prop_map(Step::Remove),
            1 => nonce.clone().prop_map(Step::Advance),
            3 => Just(Step::Cut),
            1 => nonce.clone().prop_map(Step::Uncut),
            2 => (nonce, any::<bool>()).prop_map(|(nonce, elsewhere)| Step::Elsewhere(nonce, elsewhere)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_is_there(steps in prop::collection::vec(step(), 1..50)) {
            let mut sender =
                Sender::new(AccountView::new(0, Signer::Single([0; 32])));
            for step in steps {
                match step {
                    Step::Insert(nonce, _) if nonce < sender.next || sender.entries.contains_key(&nonce) => {}
                    Step::Insert(nonce, bytes) => sender.insert(nonce, entry(bytes), 0),
                    Step::Remove(nonce) => drop(sender.remove(nonce)),
                    Step::Advance(next) => drop(sender.advance(next, 0)),
                    Step::Cut => sender.cut_head(),
                    Step::Uncut(nonce) => sender.uncut(nonce, 0),
                    Step::Elsewhere(nonce, elsewhere) => sender.set_elsewhere(nonce, elsewhere, 0),
                }
                let open = |nonce: &u64| sender.entries.get(nonce).is_some_and(|entry| entry.is_open(0));
                let ready: Vec<_> = (sender.next_cut..).take_while(open).collect();
                let tail = (sender.next..).find(|nonce| !sender.entries.contains_key(nonce));
                let bytes = |nonces: &mut dyn Iterator<Item = u64>| nonces.map(|n| sender.entries[&n].bytes).sum::<u64>();
                let totals = Totals {
                    count: sender.entries.len(),
                    bytes: bytes(&mut sender.entries.keys().copied()),
                    ready: ready.len(),
                    ready_bytes: bytes(&mut ready.iter().copied()),
                    gapped: sender.entries.keys().filter(|nonce| Some(**nonce) > tail).count(),
                    able: sender.entries.keys().filter(|nonce| Some(**nonce) < tail).count(),
                };
                prop_assert_eq!(sender.totals(), totals);
                prop_assert_eq!(Some(sender.tail), tail);
                prop_assert!(sender.next <= sender.next_cut && sender.next_cut <= sender.tail);
            }
        }
    }
}
