//! The `HistoryStore` trait: what a node keeps of the past, and views of the state at roots that were certified.
//!
//! *Invariants:* an answer about a height or root is right or an error that says what is kept; a view answers the same for
//! as long as it lives, whatever is committed, folded and pruned meanwhile.

use crate::store::StoreError;
use crate::tree::TreeRow;
use rustorium_types::{AccountId, Height, StateKey};
use std::sync::Arc;

/// What of the past can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Kept {
    /// Blocks, receipts and the values after a height are kept from this one on.
    pub oldest_height: Height,
    /// The oldest and the newest kept root, the newest being the tree's base; none before the first `fold_tree`.
    pub roots: Option<(Height, Height)>,
}

/// What a leaf holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredValue {
    /// The leaf's name, whose hash its key has.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A walk over leaves, ascending by key, that ends early where it took too much.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    /// The first key to look at.
    pub from: StateKey,
    /// This account's leaves alone.
    pub account: Option<AccountId>,
    /// Chooses leaves by name.
    pub wanted: &'a dyn Fn(&[u8]) -> bool,
    /// The most leaves to find.
    pub leaves_max: usize,
    /// The most keys to look at.
    pub looks_max: usize,
    /// Bytes of names and values found after which it ends.
    pub bytes_max: usize,
    /// Bytes of names and values looked at, found or not, after which it ends.
    pub opened_bytes_max: usize,
}

/// What a walk found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Walked {
    /// The chosen leaves, ascending by key.
    pub leaves: Vec<(StateKey, StoredValue)>,
    /// Where the next walk goes on; none at the end.
    pub next: Option<StateKey>,
}

/// The state as of one kept root: the tree's rows and the values below it.
pub trait StateView: Send + Sync {
    /// The root's height.
    fn height(&self) -> Height;

    /// Rows of the tree by key, in the order of `keys`.
    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Rows of the tree whose keys begin with `prefix` and have one byte more, by key.
    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError>;

    /// What a leaf held.
    fn value(&self, key: &StateKey) -> Result<Option<StoredValue>, StoreError>;

    /// Leaves in the order of their keys.
    fn walk(&self, walk: &Walk<'_>) -> Result<Walked, StoreError>;
}

/// How far pruning has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pruning {
    /// The oldest kept height.
    pub oldest_height: Height,
    /// Whether another step would get further.
    pub more: bool,
}

/// What a node keeps of the past.
pub trait HistoryStore: Send + Sync {
    /// What can be asked for.
    fn kept(&self) -> Kept;

    /// Values after `height`. Errors: `Pruned` where that isn't kept any more, `Ahead` where it isn't executed yet.
    fn values_at(&self, height: Height, keys: &[StateKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Leaves after `height`, in the order of their keys. Errors: those of `values_at`.
    fn walk_at(&self, height: Height, walk: &Walk<'_>) -> Result<Walked, StoreError>;

    /// The state as of a kept root. Nothing that the view needs is pruned while it lives: don't keep it for long.
    /// Errors: `ProofPruned` where that root isn't kept.
    fn view_at(&self, root: Height) -> Result<Arc<dyn StateView>, StoreError>;

    /// Heights of the kept roots, newest first; the newest is the tree's base.
    fn roots(&self) -> Vec<Height>;

    /// One short step of forgetting what lies below a height: blocks, receipts, batches, finalizations, roots, and values
    /// that were replaced by then. It goes no further than the tree's base and the oldest root that a view stands on.
    /// Disk space comes free behind it, after syncs, in calls to come (with no height to forget, too).
    fn prune(&self, below: Height) -> Result<Pruning, StoreError>;
}

impl<S: HistoryStore + ?Sized> HistoryStore for Arc<S> {
    fn kept(&self) -> Kept {
        (**self).kept()
    }
    fn values_at(&self, height: Height, keys: &[StateKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        (**self).values_at(height, keys)
    }
    fn walk_at(&self, height: Height, walk: &Walk<'_>) -> Result<Walked, StoreError> {
        (**self).walk_at(height, walk)
    }
    fn view_at(&self, root: Height) -> Result<Arc<dyn StateView>, StoreError> {
        (**self).view_at(root)
    }
    fn roots(&self) -> Vec<Height> {
        (**self).roots()
    }
    fn prune(&self, below: Height) -> Result<Pruning, StoreError> {
        (**self).prune(below)
    }
}

/// The kept root nearest to a height; the older of two that are as near.
pub fn nearest_root(roots: &[Height], height: Height) -> Option<Height> {
    roots.iter().copied().min_by_key(|root| (root.0.abs_diff(height.0), *root))
}

/// Gathers what a walk finds, and says when it is over.
pub(crate) struct Walking<'a> {
    walk: &'a Walk<'a>,
    looks: usize,
    bytes: usize,
    opened_bytes: usize,
    found: Walked,
}

impl<'a> Walking<'a> {
    pub(crate) fn new(walk: &'a Walk<'a>) -> Self {
        Self { walk, looks: 0, bytes: 0, opened_bytes: 0, found: Walked::default() }
    }

    /// Whether the walk looks at `key`; where not, it is over.
    pub(crate) fn look(&mut self, key: &StateKey) -> bool {
        let walk = self.walk;
        if walk.account.is_some_and(|account| account != key.account) {
            return false;
        }
        // A walk that may do nothing still gets on by one key: a caller that loops ends.
        let spent = self.looks >= walk.looks_max.max(1)
            || self.found.leaves.len() >= walk.leaves_max.max(1)
            || self.bytes >= walk.bytes_max.max(1)
            || self.opened_bytes >= walk.opened_bytes_max.max(1);
        if spent {
            self.found.next = Some(*key);
        }
        self.looks += 1;
        !spent
    }

    /// Takes the leaf that was found at a key that is looked at.
    pub(crate) fn take(&mut self, key: StateKey, leaf: StoredValue) {
        let bytes = leaf.name.len() + leaf.value.len();
        self.opened_bytes += bytes;
        if (self.walk.wanted)(&leaf.name) {
            self.bytes += bytes;
            self.found.leaves.push((key, leaf));
        }
    }

    pub(crate) fn end(self) -> Walked {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_root_is_named() {
        let roots = [90, 50, 10].map(Height);
        let nearest = |height| nearest_root(&roots, Height(height)).unwrap().0;
        assert_eq!([0, 10, 29, 30, 31, 70, 71, 1000].map(nearest), [10, 10, 10, 10, 50, 50, 90, 90]);
        assert_eq!(nearest_root(&[], Height(1)), None);
    }
}
