//! What a store was given since its last sync, and what a power cut leaves of it.

use crate::store::{HeightCommit, Store, StoreError};
use crate::synced::SyncedTip;
use crate::tree::{TreeRow, TreeWrites};
use rustorium_types::{Certificate, EpochChange, Height, LeafWrite};

/// A write that a store took.
pub(super) enum Write {
    Commit(Box<HeightCommit>),
    Finalization(Height, Certificate),
    Fold(Height, Vec<TreeRow>),
    TreeWrites(Height, TreeWrites),
    Prune(Height),
    Epoch(Box<EpochChange>),
    CommitteeRecord(Height, Vec<u8>),
    BeginSync(Vec<u8>),
    Synced(Height, Vec<TreeRow>, Vec<LeafWrite>),
    FinishSync(Box<SyncedTip>),
}

impl Write {
    fn repeat(&self, store: &impl Store) -> Result<(), StoreError> {
        match self {
            Self::Commit(commit) => store.commit(commit),
            Self::Finalization(height, certificate) => store.put_finalization(*height, certificate),
            Self::Fold(height, rows) => store.fold_tree(*height, rows),
            Self::TreeWrites(height, writes) => store.put_tree_writes(*height, writes),
            Self::Prune(below) => store.prune(*below).map(drop),
            Self::Epoch(change) => store.put_epoch(change),
            Self::CommitteeRecord(height, record) => store.put_committee_record(*height, record),
            Self::BeginSync(what) => store.begin_sync(what),
            Self::Synced(height, rows, leaves) => store.put_synced(*height, rows, leaves),
            Self::FinishSync(tip) => store.finish_sync(tip),
        }
    }
}

/// The disk under a store.
pub(super) struct Unsynced<S> {
    durable: S,
    writes: Vec<Write>,
}

impl<S: Store + Clone> Unsynced<S> {
    pub(super) fn after_power_cut(&self, kept: usize) -> Result<(S, usize), StoreError> {
        let store = self.durable.clone();
        let kept = kept.min(self.writes.len());
        self.writes[..kept].iter().try_for_each(|write| write.repeat(&store))?;
        Ok((store, self.writes.len() - kept))
    }
}

impl<S: Store> Unsynced<S> {
    pub(super) fn new(durable: S) -> Self {
        Self { durable, writes: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    pub(super) fn remember(&mut self, write: Write) {
        self.writes.push(write);
    }

    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        std::mem::take(&mut self.writes).iter().try_for_each(|write| write.repeat(&self.durable))
    }
}
