//! History in memory.

use super::{Inner, MemStore, Tree, children};
use crate::history::{
    HistoryStore, KeptRange, Pruning, StateView, StoredValue, Version, VersionLimits, Versions, Walk, WalkCollector,
    WalkOutcome, collect_versions, nearest_root,
};
use crate::store::StoreError;
use crate::tree::TreeRow;
use rustorium_types::{Height, StateKey};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Inner {
    pub(super) fn check_kept(&self, height: Height) -> Result<(), StoreError> {
        let oldest = self.floor;
        if height < oldest { Err(StoreError::Pruned { height, oldest }) } else { Ok(()) }
    }

    fn check_executed(&self, height: Height) -> Result<(), StoreError> {
        let tip = self.tip.as_ref().map(|tip| tip.height);
        let executed = tip.is_some_and(|tip| height <= tip);
        if executed { self.check_kept(height) } else { Err(StoreError::Ahead { height, tip }) }
    }

    fn roots(&self) -> Vec<Height> {
        self.trees.keys().rev().copied().collect()
    }

    fn forget(&mut self, floor: Height) {
        self.floor = floor;
        let old: Vec<Height> = self.blocks.range(..floor).map(|(height, _)| *height).collect();
        for height in old {
            let Some(block) = self.blocks.get(&height) else { continue };
            self.heights.remove(&block.digest);
            block.batches.iter().for_each(|(_, digest)| drop(self.batches.remove(digest)));
            block.receipts.iter().for_each(|receipt| drop(self.transactions.remove(&receipt.transaction)));
            // The block below the oldest keeps its link.
            if height.next() < floor {
                self.blocks.remove(&height);
            }
        }
        self.accounts.retain(|(_, height, _), _| *height >= floor);
        self.finalizations = self.finalizations.split_off(&floor);
        self.unstored = self.unstored.split_off(&floor);
        self.trees = self.trees.split_off(&floor);
        for versions in self.state.values_mut() {
            let newest = versions.range(..=floor).next_back().map(|(height, leaf)| (*height, leaf.is_some()));
            let Some((newest, holds)) = newest else { continue };
            versions.retain(|height, _| *height > newest || *height == newest && holds);
        }
        self.state.retain(|_, versions| !versions.is_empty());
    }

    /// Returns every key that was ever written, with its contents after a height.
    fn leaves(&self, height: Height) -> BTreeMap<StateKey, Option<StoredValue>> {
        self.state.keys().map(|key| (*key, self.state(key, height).cloned())).collect()
    }
}

impl MemStore {
    /// Returns every leaf of the newest state, ascending by key.
    pub fn leaves(&self) -> Vec<(StateKey, StoredValue)> {
        let inner = self.inner.read();
        let newest = Height(u64::MAX);
        inner.state.keys().filter_map(|key| Some((*key, inner.state(key, newest)?.clone()))).collect()
    }
}

impl HistoryStore for MemStore {
    fn kept(&self) -> KeptRange {
        let inner = self.inner.read();
        let roots = inner.trees.keys();
        KeptRange { oldest_height: inner.floor, roots: roots.clone().next().copied().zip(roots.last().copied()) }
    }

    fn values_at(&self, height: Height, keys: &[StateKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let inner = self.inner.read();
        inner.check_executed(height)?;
        Ok(keys.iter().map(|key| inner.state(key, height).map(|leaf| leaf.value.clone())).collect())
    }

    fn walk_at(&self, height: Height, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError> {
        let inner = self.inner.read();
        inner.check_executed(height)?;
        Ok(walk_leaves(&inner.leaves(height), walk))
    }

    fn versions(&self, key: &StateKey, from: Height, limits: VersionLimits) -> Result<Versions, StoreError> {
        let inner = self.inner.read();
        inner.check_kept(from)?;
        let written = inner.state.get(key).into_iter().flat_map(|versions| versions.range(..=from).rev());
        let version = |(height, leaf): (&Height, &Option<StoredValue>)| Version { height: *height, leaf: leaf.clone() };
        collect_versions(written.map(|one| Ok(version(one))), limits, || inner.floor)
    }

    fn view_at(&self, root: Height) -> Result<Arc<dyn StateView>, StoreError> {
        let inner = self.inner.read();
        let tree = inner
            .trees
            .get(&root)
            .cloned()
            .ok_or_else(|| StoreError::ProofPruned { height: root, nearest: nearest_root(&inner.roots(), root) })?;
        Ok(Arc::new(MemView { root, tree, leaves: inner.leaves(root) }))
    }

    fn roots(&self) -> Vec<Height> {
        self.inner.read().roots()
    }

    fn prune(&self, below: Height) -> Result<Pruning, StoreError> {
        let mut inner = self.inner.write();
        let base = inner.trees.keys().next_back().copied();
        let rooted = !inner.tree_writes.is_empty();
        let tip = inner.tip.as_ref().map_or(Height(0), |tip| tip.height);
        let most = base.unwrap_or(if rooted { Height(0) } else { tip });
        let floor = below.min(tip).min(most).max(inner.floor);
        if floor > inner.floor {
            inner.forget(floor);
        }
        Ok(Pruning { oldest_height: inner.floor, more: false })
    }
}

fn walk_leaves(leaves: &BTreeMap<StateKey, Option<StoredValue>>, walk: &Walk<'_>) -> WalkOutcome {
    let mut found = WalkCollector::new(walk);
    for (key, leaf) in leaves.range(walk.from..) {
        if !found.look(key) {
            break;
        }
        if let Some(leaf) = leaf {
            found.take(*key, leaf.clone());
        }
    }
    found.end()
}

/// A copy of the state as of a root.
struct MemView {
    root: Height,
    tree: Arc<Tree>,
    leaves: BTreeMap<StateKey, Option<StoredValue>>,
}

impl StateView for MemView {
    fn height(&self) -> Height {
        self.root
    }

    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Ok(keys.iter().map(|key| self.tree.get(key).cloned()).collect())
    }

    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        Ok(children(&self.tree, prefix))
    }

    fn value(&self, key: &StateKey) -> Result<Option<StoredValue>, StoreError> {
        Ok(self.leaves.get(key).cloned().flatten())
    }

    fn walk(&self, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError> {
        Ok(walk_leaves(&self.leaves, walk))
    }
}
