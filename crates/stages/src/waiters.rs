//! Clients' waits for transactions: each is registered once its transaction is verified, and gets one outcome.
//!
//! *Invariants:* a session has one wait per transaction and way of waiting, however many copies it sends; no wait
//! outlives its session or its `until`.

use crate::room::Place;
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use rustorium_api::{ClientSession, Refused, Submitted, SubmittedSink, Wait};
use rustorium_types::{Height, Receipt, TxId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Maximum number of copies of one transaction for which a session gets the outcome. Beyond it, the oldest copies get
/// the answer that the outcome is open.
const COPIES_MAX: usize = 8;

/// One session's wait for one transaction.
pub struct Waiter {
    /// Outcome that the session waits for.
    pub wait: Wait,
    /// Header time after which the transaction cannot be executed any more.
    pub expires_at_ms: u64,
    /// Start of the wait.
    pub since: Instant,
    /// End of the wait, whether or not blocks come.
    pub until: Instant,
    /// Session that waits.
    pub visit: Arc<ClientSession>,
    /// Place in the room until the wait ends. `None` if the wait takes no place.
    pub place: Option<Place>,
    /// Copies, each of which gets the outcome once: the index in their submission, and the submission's sink.
    pub copies: VecDeque<(usize, SubmittedSink)>,
}

impl Waiter {
    fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.visit, &other.visit) && self.wait == other.wait
    }

    /// Tells every copy the outcome.
    pub fn tell(self, how: &Submitted) {
        self.copies.iter().for_each(|(index, done)| done(*index, how.clone()));
    }
}

/// All waits of a node.
pub struct Waiters {
    by_id: Mutex<HashMap<TxId, Vec<Waiter>>>,
    certified: Mutex<BTreeMap<Height, Vec<(TxId, Waiter)>>>,
    count: AtomicUsize,
    accepted: AtomicUsize,
    /// Seconds until a client's transaction is final.
    finality: Histogram,
}

impl Default for Waiters {
    fn default() -> Self {
        Self {
            by_id: Mutex::default(),
            certified: Mutex::default(),
            count: AtomicUsize::default(),
            accepted: AtomicUsize::default(),
            finality: Histogram::new(exponential_buckets(0.000_5, 2.0, 17)),
        }
    }
}

impl Waiters {
    /// Registers the metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let help = "Time from a client's submission to its receipt, for clients that wait for it";
        registry.register("rustorium_gateway_finality_seconds", help, self.finality.clone());
    }

    /// Returns the number of waits.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns true if there is no wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if a client waits for this transaction.
    pub fn holds(&self, id: &TxId) -> bool {
        self.by_id.lock().contains_key(id)
    }

    /// Returns the places of the transactions that clients wait for to be final.
    pub fn held_of<'a>(&self, ids: impl Iterator<Item = &'a TxId>) -> Vec<usize> {
        let by_id = self.by_id.lock();
        if by_id.is_empty() {
            return Vec::new();
        }
        ids.enumerate().filter(|(_, id)| by_id.contains_key(*id)).map(|(place, _)| place).collect()
    }

    /// Starts waits. A session's copies of a transaction share one.
    pub fn register(&self, waiters: Vec<(TxId, Waiter)>) {
        let mut displaced = Vec::new();
        let mut by_id = self.by_id.lock();
        for (id, mut waiter) in waiters {
            // This is checked under the lock, because a session is marked as ended before its waits are removed.
            if waiter.visit.has_ended() {
                continue;
            }
            let held = by_id.entry(id).or_default();
            if let Some(same) = held.iter_mut().find(|held| held.is_of(&waiter)) {
                same.copies.append(&mut waiter.copies);
                let many = same.copies.len().saturating_sub(COPIES_MAX);
                displaced.extend(same.copies.drain(..many).map(|copy| (id, copy)));
                continue;
            }
            self.count.fetch_add(1, Ordering::Relaxed);
            self.accepted.fetch_add(usize::from(waiter.wait == Wait::Accepted), Ordering::Relaxed);
            waiter.visit.waits().fetch_add(1, Ordering::Relaxed);
            held.push(waiter);
        }
        drop(by_id);
        displaced.into_iter().for_each(|(id, (index, done))| done(index, Submitted::TimedOut(id)));
    }

    fn uncount(&self, waiter: &Waiter) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.accepted.fetch_sub(usize::from(waiter.wait == Wait::Accepted), Ordering::Relaxed);
        waiter.visit.waits().fetch_sub(1, Ordering::Relaxed);
    }

    fn end(&self, waiter: Waiter, how: &Submitted) {
        self.uncount(&waiter);
        waiter.tell(how);
    }

    /// Notes that the pool took these transactions. Ends the waits for that outcome.
    pub fn admitted(&self, ids: &[TxId]) {
        if self.accepted.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut ended = Vec::new();
        {
            let mut by_id = self.by_id.lock();
            for id in ids {
                let Some(waiters) = by_id.get_mut(id) else { continue };
                ended.extend(waiters.extract_if(.., |w| w.wait == Wait::Accepted).map(|w| (*id, w)));
                if waiters.is_empty() {
                    by_id.remove(id);
                }
            }
        }
        for (id, waiter) in ended {
            self.end(waiter, &Submitted::Accepted(id));
        }
    }

    /// Notes that the pool or execution refused the transaction.
    pub fn refused(&self, id: &TxId, refused: &Refused) {
        let waiters = self.by_id.lock().remove(id).unwrap_or_default();
        for waiter in waiters {
            self.end(waiter, &Submitted::Refused(Refused { id: Some(*id), ..refused.clone() }));
        }
    }

    /// Notes that the pool dropped the transaction before its outcome. Ends the waits without one.
    pub fn given_up(&self, id: &TxId) {
        let waiters = self.by_id.lock().remove(id).unwrap_or_default();
        for waiter in waiters {
            self.end(waiter, &Submitted::TimedOut(*id));
        }
    }

    /// Takes a block's receipts. Returns true if a client now waits for the height to be certified.
    pub fn executed(&self, height: Height, receipts: &[Receipt]) -> bool {
        let mut ended = Vec::new();
        {
            let mut by_id = self.by_id.lock();
            if by_id.is_empty() {
                return false;
            }
            for (position, receipt) in receipts.iter().enumerate() {
                let waiters = by_id.remove(&receipt.transaction).unwrap_or_default();
                ended.extend(waiters.into_iter().map(|waiter| (position, waiter)));
            }
        }
        let mut wanted = Vec::new();
        for (position, waiter) in ended {
            let Some(receipt) = receipts.get(position) else { continue };
            match waiter.wait {
                Wait::Certified => wanted.push((receipt.transaction, waiter)),
                Wait::Accepted => self.end(waiter, &Submitted::Accepted(receipt.transaction)),
                Wait::Final => {
                    self.finality.observe(waiter.since.elapsed().as_secs_f64());
                    self.end(waiter, &Submitted::Final(receipt.transaction, receipt.clone()));
                }
            }
        }
        if wanted.is_empty() {
            return false;
        }
        let mut certified = self.certified.lock();
        // Between the two maps these waits can't be found by the end of their session, so the mark is checked again.
        let (over, wanted): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, waiter)| waiter.visit.has_ended());
        let any = !wanted.is_empty();
        if any {
            certified.entry(height).or_default().extend(wanted);
        }
        drop(certified);
        over.iter().for_each(|(_, waiter)| self.uncount(waiter));
        any
    }

    /// Notes that a final header claims `height`. Ends the waits up to it with the outcomes that `prove` finds.
    pub fn certified(&self, height: Height, prove: impl Fn(&TxId) -> Submitted) {
        let done = {
            let mut certified = self.certified.lock();
            let above = certified.split_off(&height.next());
            std::mem::replace(&mut *certified, above)
        };
        for (id, waiter) in done.into_values().flatten() {
            self.end(waiter, &prove(&id));
        }
    }

    /// Ends the waits for transactions that expired by header time.
    pub fn expire(&self, header_time_ms: u64) {
        let mut expired = Vec::new();
        self.by_id.lock().retain(|id, waiters| {
            expired.extend(waiters.extract_if(.., |w| w.expires_at_ms <= header_time_ms).map(|w| (*id, w)));
            !waiters.is_empty()
        });
        for (id, waiter) in expired {
            let message = "the transaction expired before it was executed; sign a new one with a later expiry";
            let refused = Refused { id: Some(id), ..Refused::new("expired", message) };
            self.end(waiter, &Submitted::Refused(refused));
        }
    }

    /// Ends the waits whose time is over by the machine's clock. Their outcome is open.
    pub fn sweep(&self, now: Instant) {
        for (id, waiter) in self.extract(|waiter| waiter.until <= now) {
            self.end(waiter, &Submitted::TimedOut(id));
        }
    }

    /// Removes a session's waits for these transactions, because it stopped waiting.
    pub fn forget(&self, ids: &[TxId], visit: &ClientSession) {
        visit.end();
        let mut gone = Vec::new();
        let mut by_id = self.by_id.lock();
        // Usually no wait is left. The count is read under the lock, because new waits are counted under it.
        let ids: &[TxId] = if visit.waits().load(Ordering::Relaxed) == 0 { &[] } else { ids };
        for id in ids {
            let Some(waiters) = by_id.get_mut(id) else { continue };
            gone.extend(waiters.extract_if(.., |waiter| ptr::eq(&*waiter.visit, visit)));
            if waiters.is_empty() {
                by_id.remove(id);
            }
        }
        drop(by_id);
        gone.iter().for_each(|waiter| self.uncount(waiter));
        // Other waits of the session wait for certificates.
        self.left(visit);
    }

    /// Removes all waits of a session.
    pub fn left(&self, visit: &ClientSession) {
        visit.end();
        // Waits are registered under the same lock, so a later one sees the end of the session.
        let waits = || {
            let _registering = self.by_id.lock();
            visit.waits().load(Ordering::Relaxed)
        };
        if waits() > 0 {
            self.extract(|waiter| ptr::eq(&*waiter.visit, visit)).iter().for_each(|(_, waiter)| self.uncount(waiter));
        }
    }

    fn extract(&self, goes: impl Fn(&Waiter) -> bool) -> Vec<(TxId, Waiter)> {
        let mut gone = Vec::new();
        self.by_id.lock().retain(|id, waiters| {
            gone.extend(waiters.extract_if(.., |waiter| goes(waiter)).map(|waiter| (*id, waiter)));
            !waiters.is_empty()
        });
        self.certified.lock().retain(|_, waiters| {
            gone.extend(waiters.extract_if(.., |(_, waiter)| goes(waiter)));
            !waiters.is_empty()
        });
        gone
    }
}
