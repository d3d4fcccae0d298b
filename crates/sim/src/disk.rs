//! A simulated disk, which a node keeps across its processes: journal, store, and the mark of a retired key.

use crate::chain::Chain;
use crate::decided::DecisionNotes;
use crate::journal::SimJournal;
use parking_lot::Mutex;
use rustorium_execution::{
    CommitteeRecord, GovernanceRecord, ProposalRecord, committee_key, governance_key, new_parameters, proposal_key,
};
use rustorium_storage::{EpochStore, Fault, FaultyStore, MemStore, Store, StoreError};
use rustorium_types::{DecodeError, Epoch, EpochTransition, Parameters, ValidatorSet};
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
    /// Decisions of seats that the node's processes were told.
    pub decided: Arc<DecisionNotes>,
}

impl Default for SimDisk {
    fn default() -> Self {
        let store = FaultyStore::remembering(MemStore::keeping(ROOTS_KEPT));
        Self {
            journal: Mutex::default(),
            store: Mutex::new(Arc::new(store)),
            retired: Mutex::default(),
            journal_fault: Mutex::default(),
            decided: Arc::default(),
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
            return Ok(Some(chain.genesis.committee(chain.shard)));
        };
        Ok(self.store().epoch(before)?.map(|change| change.validators().clone()))
    }

    /// Returns the committee that operators want, from the newest state; `None` if there is no record. Errors: those of
    /// the store.
    pub fn wanted(&self) -> Result<Option<CommitteeRecord>, StoreError> {
        let record = self.store().state(&committee_key())?;
        Ok(record.and_then(|bytes| CommitteeRecord::from_bytes(&bytes).ok()))
    }

    /// Returns the proof of how an epoch ended; `None` if it hasn't ended here. Errors: those of the store.
    pub fn transition(&self, epoch: Epoch) -> Result<Option<EpochTransition>, StoreError> {
        self.store().epoch(epoch)
    }

    /// Returns the parameters in force in an epoch that has begun here. Errors: those of the store.
    pub fn parameters(&self, chain: &Chain, epoch: Epoch) -> Result<Parameters, StoreError> {
        for before in (0..epoch.0).rev() {
            let transition = self.store().epoch(Epoch(before))?;
            if let Some(parameters) = transition.as_ref().and_then(new_parameters) {
                return Ok(parameters);
            }
        }
        Ok(chain.genesis.parameters.clone())
    }

    /// Returns the governance record of the newest state, in which these parameters are in force, and the proposals whose
    /// leaves are there. Errors: those of the store.
    pub fn governance(
        &self,
        parameters: &Parameters,
    ) -> Result<(GovernanceRecord, Vec<(u64, ProposalRecord)>), StoreError> {
        let store = self.store();
        let corrupt = |error: DecodeError| StoreError::Corrupt {
            table: "state",
            key: "governance".to_owned(),
            what: error.to_string(),
        };
        let stored = store.state(&governance_key())?;
        let record = GovernanceRecord::in_force(stored.as_deref(), parameters).map_err(corrupt)?;
        let mut proposals = Vec::new();
        for open in record.open.iter() {
            let Some(bytes) = store.state(&proposal_key(open.number))? else { continue };
            proposals.push((open.number, ProposalRecord::from_bytes(&bytes).map_err(corrupt)?));
        }
        Ok((record, proposals))
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
