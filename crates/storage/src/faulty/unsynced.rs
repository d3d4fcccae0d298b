//! The writes of a store since its last sync, and the store that a power cut leaves of them.

use crate::store::{HeightCommit, Store, StoreError};
use crate::synced::SyncedTip;
use crate::tree::{TreeRow, TreeWrites};
use rustorium_types::{Certificate, EpochTransition, Height, LeafWrite};

/// A write that a store accepted.
pub(super) enum Write {
    Commit(Box<HeightCommit>),
    Finalization(Height, Certificate),
    Fold(Height, Vec<TreeRow>),
    TreeWrites(Height, TreeWrites),
    Prune(Height),
    Epoch(EpochTransition),
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

/// The state of the disk under a store, and the writes that are not synced to it yet.
pub(super) struct UnsyncedWrites<S> {
    durable: S,
    writes: Vec<Write>,
}

impl<S: Store + Clone> UnsyncedWrites<S> {
    pub(super) fn after_power_cut(&self, kept: usize) -> Result<(S, usize), StoreError> {
        let store = self.durable.clone();
        let kept = kept.min(self.writes.len());
        self.writes[..kept].iter().try_for_each(|write| write.repeat(&store))?;
        Ok((store, self.writes.len() - kept))
    }
}

impl<S: Store> UnsyncedWrites<S> {
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
        std::mem::take(&mut self.writes).iter().try_for_each(|write| write.repeat(&self.durable))?;
        self.durable.sync().map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{EpochStore, Fault, FaultyStore, MemStore, Store};
    use rustorium_types::Height;

    fn written(store: &FaultyStore<MemStore>) -> u8 {
        store.committee_record(Height(u64::MAX)).unwrap().map_or(0, |record| record[0])
    }

    fn write(store: &FaultyStore<MemStore>, number: u8) {
        store.put_committee_record(Height(u64::from(number)), &[number]).unwrap();
    }

    #[test]
    fn a_power_cut_leaves_what_was_synced_and_a_prefix_of_what_was_not() {
        let store = FaultyStore::remembering(MemStore::new());
        (1..=2).for_each(|number| write(&store, number));
        store.sync().unwrap();
        (3..=5).for_each(|number| write(&store, number));
        assert_eq!((written(&store), store.unsynced()), (5, 3));
        for kept in 0..=4 {
            let (after, lost) = store.after_power_cut(kept).unwrap().unwrap();
            let stays = kept.min(3);
            assert_eq!((usize::from(written(&after)), lost, after.unsynced()), (2 + stays, 3 - stays, 0));
        }
    }

    #[test]
    fn what_failed_was_never_written_and_a_failed_sync_syncs_nothing() {
        let store = FaultyStore::remembering(MemStore::new());
        write(&store, 1);
        store.fail_write(2, Fault::DiskFull);
        store.fail_sync(1, Fault::Io);
        assert!(store.put_committee_record(Height(2), &[2]).is_err() && store.sync().is_err());
        assert_eq!((written(&store), store.unsynced()), (1, 1));
        let (after, lost) = store.after_power_cut(0).unwrap().unwrap();
        assert_eq!((written(&after), lost), (0, 1));
    }

    #[test]
    fn a_store_that_remembers_nothing_has_nothing_to_lose() {
        let store = FaultyStore::new(MemStore::new());
        write(&store, 1);
        assert!(store.after_power_cut(0).unwrap().is_none());
    }
}
