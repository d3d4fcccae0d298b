//! `FaultyStore`: a wrapper of another store for tests of failures. Its nth write or sync fails on purpose, and it can
//! lose what was not synced.

mod unsynced;

use crate::epochs::EpochStore;
use crate::history::{HistoryStore, KeptRange, Pruning, StateView, VersionLimits, Versions, Walk, WalkOutcome};
use crate::store::{
    HeightCommit, StateAtTip, Store, StoreError, StoreStats, StoredBlock, StoredLink, StoredTransaction, Tip,
};
use crate::synced::{SyncStore, SyncedTip};
use crate::tree::{TreeRow, TreeStore, TreeWrites};
use parking_lot::Mutex;
use rustorium_types::{
    AccountId, Batch, BatchDigest, Block, BlockDigest, Certificate, Epoch, EpochTransition, Header, Height, LeafWrite,
    LimitedValue, StateKey, TxId,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use unsynced::{UnsyncedWrites, Write};

/// A way in which a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The disk has no room left.
    DiskFull,
    /// The disk reports an error.
    Io,
}

#[derive(Default)]
struct Calls {
    made: u64,
    planned: BTreeMap<u64, Fault>,
}

impl Calls {
    fn next(&mut self) -> Result<(), StoreError> {
        self.made += 1;
        let path = "a faulty store".to_owned();
        match self.planned.get(&self.made) {
            None => Ok(()),
            Some(Fault::DiskFull) => Err(StoreError::DiskFull { path }),
            Some(Fault::Io) => Err(StoreError::Io { path, reason: "an error made on purpose".into() }),
        }
    }
}

/// A store that fails where a test asked for it. A write that fails changes nothing.
pub struct FaultyStore<S> {
    inner: S,
    writes: Mutex<Calls>,
    syncs: Mutex<Calls>,
    unsynced: Option<Mutex<UnsyncedWrites<S>>>,
}

impl<S: Store + Clone> FaultyStore<S> {
    /// Wraps a store whose writes are all synced, and remembers later writes until they are synced.
    pub fn remembering(inner: S) -> Self {
        let unsynced = Some(Mutex::new(UnsyncedWrites::new(inner.clone())));
        Self { unsynced, ..Self::new(inner) }
    }

    /// Returns the store after a power cut, and the number of lost writes. It has everything that was synced, and the
    /// oldest `kept` of the writes since. `None` if nothing was remembered. Errors: the inner store refuses a write
    /// that it accepted before.
    pub fn after_power_cut(&self, kept: usize) -> Result<Option<(Self, usize)>, StoreError> {
        let Some(unsynced) = &self.unsynced else { return Ok(None) };
        let unsynced = unsynced.lock();
        let (store, lost) = unsynced.after_power_cut(kept)?;
        Ok(Some((Self::remembering(store), lost)))
    }
}

impl<S: Store> FaultyStore<S> {
    /// Wraps a store. Nothing fails yet.
    pub fn new(inner: S) -> Self {
        Self { inner, writes: Mutex::default(), syncs: Mutex::default(), unsynced: None }
    }

    /// Makes the nth write (`commit`, `put_finalization`, `prune` or one of the tree, counted from 1) fail.
    pub fn fail_write(&self, nth: u64, fault: Fault) {
        self.writes.lock().planned.insert(nth, fault);
    }

    /// Makes the nth `sync` (counted from 1) fail.
    pub fn fail_sync(&self, nth: u64, fault: Fault) {
        self.syncs.lock().planned.insert(nth, fault);
    }

    /// Cancels all failures that were asked for.
    pub fn mend(&self) {
        self.writes.lock().planned.clear();
        self.syncs.lock().planned.clear();
    }

    /// Numbers of writes and of syncs tried so far.
    pub fn calls(&self) -> (u64, u64) {
        (self.writes.lock().made, self.syncs.lock().made)
    }

    /// Number of remembered writes since the last sync.
    pub fn unsynced(&self) -> usize {
        self.unsynced.as_ref().map_or(0, |unsynced| unsynced.lock().len())
    }

    /// Does a write, unless it is one that must fail.
    fn write<T>(
        &self,
        done: impl FnOnce(&S) -> Result<T, StoreError>,
        write: impl FnOnce() -> Write,
    ) -> Result<T, StoreError> {
        self.writes.lock().next()?;
        let made = done(&self.inner)?;
        if let Some(unsynced) = &self.unsynced {
            unsynced.lock().remember(write());
        }
        Ok(made)
    }

    /// The wrapped store.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> TreeStore for FaultyStore<S> {
    fn tree_base(&self) -> Result<Option<Height>, StoreError> {
        self.inner.tree_base()
    }
    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.tree_rows(keys)
    }
    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        self.inner.tree_children(prefix)
    }
    fn fold_tree(&self, height: Height, rows: &[TreeRow]) -> Result<(), StoreError> {
        self.write(|inner| inner.fold_tree(height, rows), || Write::Fold(height, rows.to_vec()))
    }
    fn put_tree_writes(&self, height: Height, writes: &TreeWrites) -> Result<(), StoreError> {
        self.write(|inner| inner.put_tree_writes(height, writes), || Write::TreeWrites(height, writes.clone()))
    }
    fn tree_writes(&self, height: Height) -> Result<Option<TreeWrites>, StoreError> {
        self.inner.tree_writes(height)
    }
}

impl<S: Store> HistoryStore for FaultyStore<S> {
    fn kept(&self) -> KeptRange {
        self.inner.kept()
    }
    fn values_at(&self, height: Height, keys: &[StateKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.values_at(height, keys)
    }
    fn walk_at(&self, height: Height, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError> {
        self.inner.walk_at(height, walk)
    }
    fn versions(&self, key: &StateKey, from: Height, limits: VersionLimits) -> Result<Versions, StoreError> {
        self.inner.versions(key, from, limits)
    }
    fn view_at(&self, root: Height) -> Result<Arc<dyn StateView>, StoreError> {
        self.inner.view_at(root)
    }
    fn roots(&self) -> Vec<Height> {
        self.inner.roots()
    }
    fn prune(&self, below: Height) -> Result<Pruning, StoreError> {
        self.write(|inner| inner.prune(below), || Write::Prune(below))
    }
}

impl<S: Store> SyncStore for FaultyStore<S> {
    fn syncing(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.syncing()
    }
    fn begin_sync(&self, what: &[u8]) -> Result<(), StoreError> {
        self.write(|inner| inner.begin_sync(what), || Write::BeginSync(what.to_vec()))
    }
    fn put_synced(&self, height: Height, rows: &[TreeRow], leaves: &[LeafWrite]) -> Result<(), StoreError> {
        self.write(
            |inner| inner.put_synced(height, rows, leaves),
            || Write::Synced(height, rows.to_vec(), leaves.to_vec()),
        )
    }
    fn finish_sync(&self, tip: &SyncedTip) -> Result<(), StoreError> {
        self.write(|inner| inner.finish_sync(tip), || Write::FinishSync(Box::new(tip.clone())))?;
        self.unsynced.as_ref().map_or(Ok(()), |unsynced| unsynced.lock().sync())
    }
    fn synced_headers(&self) -> Result<Vec<Header>, StoreError> {
        self.inner.synced_headers()
    }
}

impl<S: Store> EpochStore for FaultyStore<S> {
    fn epoch(&self, epoch: Epoch) -> Result<Option<EpochTransition>, StoreError> {
        self.inner.epoch(epoch)
    }
    fn put_epoch(&self, change: &EpochTransition) -> Result<(), StoreError> {
        self.write(|inner| inner.put_epoch(change), || Write::Epoch(change.clone()))
    }
    fn committee_record(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.committee_record(height)
    }
    fn put_committee_record(&self, height: Height, record: &[u8]) -> Result<(), StoreError> {
        self.write(
            |inner| inner.put_committee_record(height, record),
            || Write::CommitteeRecord(height, record.to_vec()),
        )
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn commit(&self, commit: &HeightCommit) -> Result<(), StoreError> {
        self.write(|inner| inner.commit(commit), || Write::Commit(Box::new(commit.clone())))
    }
    fn sync(&self) -> Result<Height, StoreError> {
        self.syncs.lock().next()?;
        let height = self.inner.sync()?;
        if let Some(unsynced) = &self.unsynced {
            unsynced.lock().sync()?;
        }
        Ok(height)
    }
    fn tip(&self) -> Option<Tip> {
        self.inner.tip()
    }
    fn state(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.state(key)
    }
    fn state_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StoreError> {
        self.inner.state_within(key, bytes_max)
    }
    fn state_at_tip(&self, keys: &[StateKey]) -> Result<StateAtTip, StoreError> {
        self.inner.state_at_tip(keys)
    }
    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        self.inner.block(height)
    }
    fn bare_block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        self.inner.bare_block(height)
    }
    fn links(&self, first: Height, last: Height) -> Result<Vec<StoredLink>, StoreError> {
        self.inner.links(first, last)
    }
    fn height_of(&self, digest: &BlockDigest) -> Result<Option<Height>, StoreError> {
        self.inner.height_of(digest)
    }
    fn batch(&self, digest: &BatchDigest) -> Result<Option<Batch>, StoreError> {
        self.inner.batch(digest)
    }
    fn transaction(&self, id: &TxId) -> Result<Option<StoredTransaction>, StoreError> {
        self.inner.transaction(id)
    }
    fn account_transactions(
        &self,
        account: &AccountId,
        before: Option<(Height, u32)>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, StoreError> {
        self.inner.account_transactions(account, before, limit)
    }
    fn finalization_at_or_above(&self, height: Height) -> Result<Option<(Height, Certificate)>, StoreError> {
        self.inner.finalization_at_or_above(height)
    }
    fn put_finalization(&self, height: Height, certificate: &Certificate) -> Result<(), StoreError> {
        self.write(
            |inner| inner.put_finalization(height, certificate),
            || Write::Finalization(height, certificate.clone()),
        )
    }
    fn stats(&self) -> StoreStats {
        self.inner.stats()
    }
    fn damaged(&self) -> Option<StoreError> {
        self.inner.damaged()
    }
}
