//! Who waits for which transaction: registered once it is verified, told once.

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use rustorium_gateway::{Refused, Submitted, SubmittedSink, Wait};
use rustorium_types::{Height, Receipt, TxId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// One client's wait for one transaction.
pub struct Waiter {
    /// How far.
    pub wait: Wait,
    /// The item's index in its submission.
    pub index: usize,
    /// Header time after which the transaction cannot be executed any more.
    pub expires_at_ms: u64,
    /// Since when.
    pub since: Instant,
    /// Told once.
    pub done: SubmittedSink,
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
    pub(crate) fn register_metrics(&self, registry: &mut Registry) {
        let help = "From a client's transaction to its receipt being told, where the client waits for that";
        registry.register("rustorium_gateway_finality_seconds", help, self.finality.clone());
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody waits for this transaction.
    pub fn holds(&self, id: &TxId) -> bool {
        self.by_id.lock().contains_key(id)
    }

    /// Starts waits.
    pub fn register(&self, waiters: Vec<(TxId, Waiter)>) {
        self.count.fetch_add(waiters.len(), Ordering::Relaxed);
        let accepted = waiters.iter().filter(|(_, waiter)| waiter.wait == Wait::Accepted).count();
        self.accepted.fetch_add(accepted, Ordering::Relaxed);
        let mut by_id = self.by_id.lock();
        for (id, waiter) in waiters {
            by_id.entry(id).or_default().push(waiter);
        }
    }

    fn end(&self, waiter: Waiter, how: Submitted) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        if waiter.wait == Wait::Accepted {
            self.accepted.fetch_sub(1, Ordering::Relaxed);
        }
        (waiter.done)(waiter.index, how);
    }

    fn drop_waits(&self, waiters: Vec<Waiter>) {
        let accepted = waiters.iter().filter(|waiter| waiter.wait == Wait::Accepted).count();
        self.count.fetch_sub(waiters.len(), Ordering::Relaxed);
        self.accepted.fetch_sub(accepted, Ordering::Relaxed);
    }

    /// The pool took these: ends the waits that ask for no more.
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
            self.end(waiter, Submitted::Accepted(id));
        }
    }

    /// The pool or execution refused it.
    pub fn refused(&self, id: &TxId, refused: &Refused) {
        let waiters = self.by_id.lock().remove(id).unwrap_or_default();
        for waiter in waiters {
            self.end(waiter, Submitted::Refused(Refused { id: Some(*id), ..refused.clone() }));
        }
    }

    /// The pool let it go before its end: ends the waits without one.
    pub fn given_up(&self, id: &TxId) {
        let waiters = self.by_id.lock().remove(id).unwrap_or_default();
        for waiter in waiters {
            self.end(waiter, Submitted::TimedOut(*id));
        }
    }

    /// A block's receipts. True where somebody now waits for the height to be certified.
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
                Wait::Accepted => self.end(waiter, Submitted::Accepted(receipt.transaction)),
                Wait::Final => {
                    self.finality.observe(waiter.since.elapsed().as_secs_f64());
                    self.end(waiter, Submitted::Final(receipt.transaction, receipt.clone()));
                }
            }
        }
        let any = !wanted.is_empty();
        if any {
            self.certified.lock().entry(height).or_default().extend(wanted);
        }
        any
    }

    /// A final header claims `height`: ends the waits up to it with what `prove` finds.
    pub fn certified(&self, height: Height, prove: impl Fn(&TxId) -> Submitted) {
        let done = {
            let mut certified = self.certified.lock();
            let above = certified.split_off(&height.next());
            std::mem::replace(&mut *certified, above)
        };
        for (id, waiter) in done.into_values().flatten() {
            self.end(waiter, prove(&id));
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
            self.end(waiter, Submitted::Refused(refused));
        }
    }

    /// Takes a client's waits back, when it stopped waiting: all of those whose sink is `done`.
    pub fn forget(&self, ids: &[TxId], done: &SubmittedSink) {
        let mut by_id = self.by_id.lock();
        for id in ids {
            let Some(waiters) = by_id.get_mut(id) else { continue };
            let gone = waiters.extract_if(.., |waiter| Arc::ptr_eq(&waiter.done, done)).collect();
            self.drop_waits(gone);
            if waiters.is_empty() {
                by_id.remove(id);
            }
        }
        drop(by_id);
        let mut certified = self.certified.lock();
        certified.retain(|_, waiters| {
            self.drop_waits(waiters.extract_if(.., |(_, w)| Arc::ptr_eq(&w.done, done)).map(|(_, w)| w).collect());
            !waiters.is_empty()
        });
    }
}
