//! `MemStore`: a store of plain values in memory. Tests use it, also as the model that `RocksStore` is compared with.

mod history;
mod synced;

use crate::checks::{FINALIZATIONS_RECENT, check_commit, check_receipt, is_five, is_owed, tip_after, touched};
use crate::epochs::EpochStore;
use crate::history::StoredValue;
use crate::store::{
    ACCOUNT_TRANSACTIONS_MAX, HeightCommit, LINKS_MAX, StateAtTip, Store, StoreError, StoredBlock, StoredLink,
    StoredTransaction, Tip,
};
use crate::tree::{TreeRow, TreeStore, TreeWrites};
use parking_lot::RwLock;
use rustorium_types::{
    AccountId, Batch, BatchDigest, Block, BlockDigest, Certificate, Epoch, EpochTransition, Header, Height, LeafWrite,
    LimitedValue, StateKey, TxId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A store in memory. Dropping it loses everything.
pub struct MemStore {
    inner: RwLock<Inner>,
}

#[derive(Clone, Default)]
struct Inner {
    tip: Option<Tip>,
    blocks: BTreeMap<Height, StoredBlock>,
    heights: BTreeMap<BlockDigest, Height>,
    batches: BTreeMap<BatchDigest, Batch>,
    transactions: BTreeMap<TxId, StoredTransaction>,
    accounts: BTreeMap<(AccountId, Height, u32), TxId>,
    finalizations: BTreeMap<Height, Certificate>,
    /// Finalizations of the newest heights that would be in memory only.
    unstored: BTreeMap<Height, Certificate>,
    /// The newest of these at the last sync, which stores it.
    synced: Option<Height>,
    /// True if the next finalization is stored.
    owed: bool,
    state: BTreeMap<StateKey, Versions>,
    /// The tree's rows at each kept root.
    trees: BTreeMap<Height, Arc<Tree>>,
    tree_writes: BTreeMap<Height, TreeWrites>,
    /// Description of the snapshot that the store is being filled from, and the tree so far.
    syncing: Option<(Vec<u8>, Arc<Tree>)>,
    synced_headers: Vec<Header>,
    epochs: BTreeMap<Epoch, EpochTransition>,
    committees: BTreeMap<Height, Vec<u8>>,
    floor: Height,
    roots_kept: usize,
}

/// A leaf's contents at each height that wrote it; `None` if that height removed it.
type Versions = BTreeMap<Height, Option<StoredValue>>;
type Tree = BTreeMap<Vec<u8>, Vec<u8>>;

impl Inner {
    fn tree(&self) -> Arc<Tree> {
        if let Some((_, tree)) = &self.syncing {
            return tree.clone();
        }
        self.trees.last_key_value().map(|(_, tree)| tree.clone()).unwrap_or_default()
    }

    fn state(&self, key: &StateKey, height: Height) -> Option<&StoredValue> {
        self.state.get(key)?.range(..=height).next_back()?.1.as_ref()
    }

    /// Forgets the finalizations that a restart forgets.
    fn restart(&mut self) {
        let synced = self.synced;
        self.unstored.retain(|height, _| Some(*height) == synced);
    }

    fn newest(&self, key: &StateKey) -> Option<Vec<u8>> {
        self.state(key, Height(u64::MAX)).map(|leaf| leaf.value.clone())
    }
}

impl Clone for MemStore {
    /// Returns a separate store with the same contents, as it would be after a restart: without the finalizations that
    /// are only in memory.
    fn clone(&self) -> Self {
        let mut inner = self.inner.read().clone();
        inner.restart();
        Self { inner: RwLock::new(inner) }
    }
}

impl Default for MemStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemStore {
    /// Creates an empty store that keeps all roots.
    pub fn new() -> Self {
        Self::keeping(usize::MAX)
    }

    /// Forgets what a restart forgets.
    #[cfg(test)]
    pub(crate) fn restart(&self) {
        self.inner.write().restart();
    }

    /// Creates an empty store that keeps at most this many roots.
    pub fn keeping(roots_kept: usize) -> Self {
        Self { inner: RwLock::new(Inner { roots_kept, ..Inner::default() }) }
    }
}

/// Pairs each receipt with its transaction. Errors: a receipt's transaction isn't listed at its place.
fn executed(commit: &HeightCommit) -> Result<Vec<StoredTransaction>, StoreError> {
    let inline = commit.inline_ids.iter().zip(&commit.block.inline);
    let batches = commit.batches.iter().flat_map(|batch| batch.ids.iter().zip(&batch.batch.body.transactions));
    let mut listed = inline.chain(batches);
    let header = &commit.block.header;
    let what = "a receipt of a transaction that the block doesn't list at its place";
    let find = |receipt: &rustorium_types::Receipt| {
        let found = listed.find(|(id, _)| **id == receipt.transaction);
        let (_, transaction) = found.ok_or(StoreError::Inconsistent { height: header.height, what })?;
        if is_five(header) {
            check_receipt(header, receipt, transaction)?;
        }
        Ok(StoredTransaction { transaction: transaction.clone(), receipt: receipt.clone() })
    };
    commit.receipts.iter().map(find).collect()
}

fn children(tree: &Tree, prefix: &[u8]) -> Vec<TreeRow> {
    let rows = tree.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
    let children = rows.filter(|(key, _)| key.len() == prefix.len() + 1);
    children.map(|(key, row)| (key.clone(), Some(row.clone()))).collect()
}

impl TreeStore for MemStore {
    fn tree_base(&self) -> Result<Option<Height>, StoreError> {
        Ok(self.inner.read().trees.keys().next_back().copied())
    }

    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let tree = self.inner.read().tree();
        Ok(keys.iter().map(|key| tree.get(key).cloned()).collect())
    }

    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError> {
        Ok(children(&self.inner.read().tree(), prefix))
    }

    fn fold_tree(&self, height: Height, rows: &[TreeRow]) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        if inner.trees.keys().next_back().is_some_and(|base| *base >= height) {
            return Err(StoreError::Inconsistent { height, what: "the state tree's base is no older" });
        }
        inner.check_kept(height)?;
        let mut tree = Tree::clone(&inner.tree());
        for (key, row) in rows {
            match row {
                Some(row) => tree.insert(key.clone(), row.clone()),
                None => tree.remove(key),
            };
        }
        inner.trees.insert(height, Arc::new(tree));
        while inner.trees.len() > inner.roots_kept.max(1) {
            inner.trees.pop_first();
        }
        inner.tree_writes = inner.tree_writes.split_off(&height.next());
        Ok(())
    }

    fn put_tree_writes(&self, height: Height, writes: &TreeWrites) -> Result<(), StoreError> {
        self.inner.write().tree_writes.insert(height, writes.clone());
        Ok(())
    }

    fn tree_writes(&self, height: Height) -> Result<Option<TreeWrites>, StoreError> {
        Ok(self.inner.read().tree_writes.get(&height).cloned())
    }
}

impl EpochStore for MemStore {
    fn epoch(&self, epoch: Epoch) -> Result<Option<EpochTransition>, StoreError> {
        Ok(self.inner.read().epochs.get(&epoch).cloned())
    }

    fn put_epoch(&self, change: &EpochTransition) -> Result<(), StoreError> {
        self.inner.write().epochs.insert(change.epoch(), change.clone());
        Ok(())
    }

    fn committee_record(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.inner.read().committees.range(..=height).next_back().map(|(_, record)| record.clone()))
    }

    fn put_committee_record(&self, height: Height, record: &[u8]) -> Result<(), StoreError> {
        self.inner.write().committees.insert(height, record.to_vec());
        Ok(())
    }
}

impl Store for MemStore {
    fn commit(&self, commit: &HeightCommit) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        check_commit(inner.tip.as_ref(), commit)?;
        let executed = executed(commit)?;
        let height = commit.block.header.height;
        let parent = inner.tip.as_ref().map(|tip| tip.header.clone());
        inner.tip = Some(tip_after(inner.tip.as_ref(), commit));
        let batches = commit.batches.iter().map(|batch| (batch.batch.body.author, batch.digest)).collect();
        let stored = StoredBlock {
            block: commit.block.clone(),
            digest: commit.digest,
            link: commit.link,
            result_root: commit.result_root,
            batches,
            receipts: commit.receipts.clone(),
        };
        inner.blocks.insert(height, stored);
        inner.heights.insert(commit.digest, height);
        inner.batches.extend(commit.batches.iter().map(|batch| (batch.digest, Batch::clone(&batch.batch))));
        for stored in executed {
            let (id, index) = (stored.receipt.transaction, stored.receipt.index);
            touched(&stored.receipt, &stored.transaction, |account| {
                inner.accounts.insert((account, height, index), id);
            });
            inner.transactions.insert(id, stored);
        }
        let five = is_five(&commit.block.header);
        let owed = !five || is_owed(parent.as_ref(), inner.owed, &commit.block.header);
        if let Some(certificate) = &commit.finalization {
            let certificate = Certificate::clone(certificate);
            let to = if owed { &mut inner.finalizations } else { &mut inner.unstored };
            to.insert(height, certificate);
        }
        inner.owed = five && owed && commit.finalization.is_none();
        let recent = Height((height.0 + 1).saturating_sub(FINALIZATIONS_RECENT));
        inner.unstored = inner.unstored.split_off(&recent);
        for LeafWrite { key, name, value } in &commit.diff {
            let leaf = value.clone().map(|value| StoredValue { name: name.clone(), value });
            inner.state.entry(*key).or_default().insert(height, leaf);
        }
        Ok(())
    }

    fn sync(&self) -> Result<Height, StoreError> {
        let mut inner = self.inner.write();
        let newest = inner.unstored.last_key_value().map(|(height, _)| *height);
        let stored = inner.finalizations.last_key_value().map(|(height, _)| *height);
        inner.synced = newest.filter(|_| newest > stored);
        Ok(inner.tip.as_ref().map_or(Height(0), |tip| tip.height))
    }

    fn tip(&self) -> Option<Tip> {
        self.inner.read().tip.clone()
    }

    fn state(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.inner.read().newest(key))
    }

    fn state_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StoreError> {
        Ok(self.state(key)?.map(|value| LimitedValue::of(value, bytes_max)))
    }

    fn state_at_tip(&self, keys: &[StateKey]) -> Result<StateAtTip, StoreError> {
        let inner = self.inner.read();
        let values = keys.iter().map(|key| inner.newest(key)).collect();
        Ok(StateAtTip { values, tip: inner.tip.clone() })
    }

    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        let inner = self.inner.read();
        inner.check_kept(height)?;
        Ok(inner.blocks.get(&height).cloned())
    }

    fn bare_block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        Ok(self.block(height)?.map(|stored| stored.block))
    }

    fn links(&self, first: Height, last: Height) -> Result<Vec<StoredLink>, StoreError> {
        let inner = self.inner.read();
        inner.check_kept(first.next())?;
        let stored = (first.0..=last.0).take(LINKS_MAX).map_while(|height| inner.blocks.get(&Height(height)));
        Ok(stored.map(|s| StoredLink { link: s.link, result_root: s.result_root }).collect())
    }

    fn height_of(&self, digest: &BlockDigest) -> Result<Option<Height>, StoreError> {
        Ok(self.inner.read().heights.get(digest).copied())
    }

    fn batch(&self, digest: &BatchDigest) -> Result<Option<Batch>, StoreError> {
        Ok(self.inner.read().batches.get(digest).cloned())
    }

    fn transaction(&self, id: &TxId) -> Result<Option<StoredTransaction>, StoreError> {
        Ok(self.inner.read().transactions.get(id).cloned())
    }

    fn account_transactions(
        &self,
        account: &AccountId,
        before: Option<(Height, u32)>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, StoreError> {
        let inner = self.inner.read();
        let first = (*account, Height(0), 0);
        let newest_first = match before {
            Some((height, index)) => inner.accounts.range(first..(*account, height, index)),
            None => inner.accounts.range(first..=(*account, Height(u64::MAX), u32::MAX)),
        };
        let found = newest_first.rev().take(limit.min(ACCOUNT_TRANSACTIONS_MAX));
        Ok(found.map(|((_, height, index), id)| (*height, *index, *id)).collect())
    }

    fn finalization_at_or_above(&self, height: Height) -> Result<Option<(Height, Certificate)>, StoreError> {
        let inner = self.inner.read();
        let height = height.max(inner.floor);
        let all = [&inner.finalizations, &inner.unstored].into_iter().filter_map(|all| all.range(height..).next());
        Ok(all.min_by_key(|(height, _)| **height).map(|(height, certificate)| (*height, certificate.clone())))
    }

    fn put_finalization(&self, height: Height, certificate: &Certificate) -> Result<(), StoreError> {
        let mut inner = self.inner.write();
        inner.check_kept(height)?;
        if inner.heights.get(&certificate.body.block) != Some(&height) {
            return Err(StoreError::Inconsistent { height, what: "the finalization is another block's" });
        }
        inner.finalizations.insert(height, certificate.clone());
        Ok(())
    }
}
