//! A simulated disk, which a node keeps across its processes: journal, store, and the mark of a retired key.

use crate::chain::Chain;
use crate::journal::SimJournal;
use parking_lot::Mutex;
use rustorium_execution::{CommitteeRecord, committee_key};
use rustorium_storage::{EpochStore, Fault, FaultyStore, MemStore, Store, StoreError};
use rustorium_types::{Epoch, ValidatorSet};
use std::sync::Arc;

/// Number of roots that the store keeps: enough for a reader of a proof.
const ROOTS_KEPT: usize = 4;

type Files = FaultyStore<MemStore>;

/// A node's disk.
pub struct SimDisk {
    journal: Mutex<SimJournal>,
    store: Mutex<Arc<Files>>,
    retired: Mutex<Option<String>>,
    /// Fault with which the next sync of the journal fails.
    journal_fault: Mutex<Option<Fault>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        let store = FaultyStore::remembering(MemStore::keeping(ROOTS_KEPT));
        Self {
            journal: Mutex::default(),
            store: Mutex::new(Arc::new(store)),
            retired: Mutex::default(),
            journal_fault: Mutex::default(),
        }
    }
}

impl SimDisk {
    /// Calls `work` with the journal.
    pub fn journal<T>(&self, work: impl FnOnce(&mut SimJournal) -> T) -> T {
        work(&mut self.journal.lock())
    }

    /// Returns the present store. A power cut replaces it.
    pub fn store(&self) -> Arc<Files> {
        self.store.lock().clone()
    }

    /// Returns what the validator's journal was found to lack.
    pub fn retired(&self) -> Option<String> {
        self.retired.lock().clone()
    }

    /// Marks the validator's key as retired. The first reason stays.
    pub fn retire(&self, lacks: &str) {
        self.retired.lock().get_or_insert_with(|| lacks.to_owned());
    }

    /// Creates a journal for another validator key. The old key's journal and mark are void.
    pub fn new_journal(&self) {
        *self.journal.lock() = SimJournal::default();
        *self.retired.lock() = None;
    }

    /// Returns the committee of an epoch that has begun here; `None` if it hasn't. Errors: those of the store.
    pub fn committee(&self, chain: &Chain, epoch: Epoch) -> Result<Option<ValidatorSet>, StoreError> {
        let Some(before) = epoch.0.checked_sub(1).map(Epoch) else {
            return Ok(Some(chain.genesis.validators.clone()));
        };
        Ok(self.store().epoch(before)?.map(|change| change.validators().clone()))
    }

    /// Returns the committee that operators want, from the newest state; `None` if there is no record. Errors: those of
    /// the store.
    pub fn wanted(&self) -> Result<Option<CommitteeRecord>, StoreError> {
        let record = self.store().state(&committee_key())?;
        Ok(record.and_then(|bytes| CommitteeRecord::from_bytes(&bytes).ok()))
    }

    /// Makes the nth write to the store from now on fail.
    pub fn fail_write(&self, nth: u64, fault: Fault) {
        let store = self.store();
        store.fail_write(store.calls().0 + nth.max(1), fault);
    }

    /// Makes the nth sync of the store from now on fail.
    pub fn fail_sync(&self, nth: u64, fault: Fault) {
        let store = self.store();
        store.fail_sync(store.calls().1 + nth.max(1), fault);
    }

    /// Makes the next sync of the journal fail.
    pub fn fail_journal(&self, fault: Fault) {
        *self.journal_fault.lock() = Some(fault);
    }

    /// Cancels all failures that were asked for.
    pub fn mend(&self) {
        self.store().mend();
        *self.journal_fault.lock() = None;
    }

    pub(crate) fn take_journal_fault(&self) -> Option<Fault> {
        self.journal_fault.lock().take()
    }

    /// Cuts the power while no process has the disk open. Unsynced data is lost, except this many journal records and
    /// store writes. Returns how many of both are lost. Errors: those of the store.
    pub fn lose_power(&self, records_kept: usize, writes_kept: usize) -> Result<(usize, usize), StoreError> {
        let records = self.journal.lock().lose_power(records_kept);
        let mut store = self.store.lock();
        let Some((after, writes)) = store.after_power_cut(writes_kept)? else { return Ok((records, 0)) };
        *store = Arc::new(after);
        Ok((records, writes))
    }
}
