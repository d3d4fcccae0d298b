//! The `HistoryStore` trait: the past that a node keeps, and views of the state at certified roots.
//!
//! *Invariants:* an answer about a height or root is either right or an error that says what is kept; a view gives the
//! same answers for as long as it lives, whatever is committed, folded and pruned meanwhile.

use crate::store::StoreError;
use crate::tree::TreeRow;
use rustorium_types::{AccountId, Height, StateKey};
use std::sync::Arc;

/// The part of the past that can be queried.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KeptRange {
    /// The oldest kept height: blocks, receipts and the values after a height are kept from it on.
    pub oldest_height: Height,
    /// The oldest and the newest kept root; the newest is the tree's base. `None` before the first `fold_tree`.
    pub roots: Option<(Height, Height)>,
}

/// Contents of a leaf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredValue {
    /// The leaf's name; the leaf's key contains its hash.
    pub name: Vec<u8>,
    /// The leaf's value.
    pub value: Vec<u8>,
}

/// A walk over leaves, ascending by key. It ends early when it reaches one of its limits.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    /// The first key to look at.
    pub from: StateKey,
    /// If set, the walk stays within this account's leaves.
    pub account: Option<AccountId>,
    /// Selects leaves by name.
    pub wanted: &'a dyn Fn(&[u8]) -> bool,
    /// The most leaves to find.
    pub leaves_max: usize,
    /// The most keys to look at.
    pub looks_max: usize,
    /// Bytes of names and values found, after which the walk ends.
    pub bytes_max: usize,
    /// Bytes of names and values read, selected or not, after which the walk ends.
    pub opened_bytes_max: usize,
}

/// Result of a walk.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct WalkOutcome {
    /// The selected leaves, ascending by key.
    pub leaves: Vec<(StateKey, StoredValue)>,
    /// Key at which the next walk continues; `None` at the end.
    pub next: Option<StateKey>,
}

/// A leaf's contents from a height on, until the next version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// The height that wrote the leaf.
    pub height: Height,
    /// The contents; `None` if that height removed the leaf.
    pub leaf: Option<StoredValue>,
}

/// Versions of one leaf.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Versions {
    /// The versions, newest first. Only the last can be of the oldest kept height or below: it is what the leaf held
    /// there, and its height tells nothing of when that was written if the store was filled from a snapshot.
    pub found: Vec<Version>,
    /// True if older versions are kept.
    pub more: bool,
    /// The oldest kept height.
    pub oldest: Height,
}

/// Limits of one question for versions. At least one version is found if there is one.
#[derive(Clone, Copy, Debug)]
pub struct VersionLimits {
    /// The most versions.
    pub versions_max: usize,
    /// Bytes of names and values found, after which the search ends.
    pub bytes_max: usize,
}

/// The state as of one kept root: the tree's rows and the values below it.
pub trait StateView: Send + Sync {
    /// The root's height.
    fn height(&self) -> Height;

    /// Rows of the tree by key, in the order of `keys`.
    fn tree_rows(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Rows of the tree whose keys begin with `prefix` and have one byte more, by key.
    fn tree_children(&self, prefix: &[u8]) -> Result<Vec<TreeRow>, StoreError>;

    /// Returns the contents of a leaf.
    fn value(&self, key: &StateKey) -> Result<Option<StoredValue>, StoreError>;

    /// Leaves in the order of their keys.
    fn walk(&self, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError>;
}

/// Progress of pruning.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pruning {
    /// The oldest kept height.
    pub oldest_height: Height,
    /// True if another step would prune more.
    pub more: bool,
}

/// A node's storage of the past.
pub trait HistoryStore: Send + Sync {
    /// Returns the part of the past that can be queried.
    fn kept(&self) -> KeptRange;

    /// Returns the values after `height`. Errors: `Pruned` if that height is no longer kept, `Ahead` if it isn't
    /// executed yet.
    fn values_at(&self, height: Height, keys: &[StateKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Returns the leaves after `height`, in the order of their keys. Errors: those of `values_at`.
    fn walk_at(&self, height: Height, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError>;

    /// Returns a leaf's versions of the height `from` and below, newest first. Errors: `Pruned` if `from` is no longer
    /// kept.
    fn versions(&self, key: &StateKey, from: Height, limits: VersionLimits) -> Result<Versions, StoreError>;

    /// Returns the state as of a kept root. Nothing that the view needs is pruned while it lives, so don't keep it for
    /// long. Errors: `ProofPruned` if that root isn't kept.
    fn view_at(&self, root: Height) -> Result<Arc<dyn StateView>, StoreError>;

    /// Heights of the kept roots, newest first; the newest is the tree's base.
    fn roots(&self) -> Vec<Height>;

    /// Takes one short step of forgetting what lies below a height: blocks, receipts, batches, finalizations, roots,
    /// and values that were replaced by then. It stops at the tree's base and at the oldest root that has a view. Disk
    /// space is freed later, after syncs and in later calls, also in those with no height to forget.
    fn prune(&self, below: Height) -> Result<Pruning, StoreError>;
}

impl<S: HistoryStore + ?Sized> HistoryStore for Arc<S> {
    fn kept(&self) -> KeptRange {
        (**self).kept()
    }
    fn values_at(&self, height: Height, keys: &[StateKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        (**self).values_at(height, keys)
    }
    fn walk_at(&self, height: Height, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError> {
        (**self).walk_at(height, walk)
    }
    fn versions(&self, key: &StateKey, from: Height, limits: VersionLimits) -> Result<Versions, StoreError> {
        (**self).versions(key, from, limits)
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

/// Returns the kept root nearest to a height; of two at the same distance, the older one.
pub fn nearest_root(roots: &[Height], height: Height) -> Option<Height> {
    roots.iter().copied().min_by_key(|root| (root.0.abs_diff(height.0), *root))
}

/// Collects the results of a walk, and decides when it is over.
pub(crate) struct WalkCollector<'a> {
    walk: &'a Walk<'a>,
    looks: usize,
    bytes: usize,
    opened_bytes: usize,
    found: WalkOutcome,
}

impl<'a> WalkCollector<'a> {
    pub(crate) fn new(walk: &'a Walk<'a>) -> Self {
        Self { walk, looks: 0, bytes: 0, opened_bytes: 0, found: WalkOutcome::default() }
    }

    /// Tells if the walk looks at `key`. If not, the walk is over.
    pub(crate) fn look(&mut self, key: &StateKey) -> bool {
        let walk = self.walk;
        if walk.account.is_some_and(|account| account != key.account) {
            return false;
        }
        // A walk with limits of 0 still advances by one key, so that a caller's loop ends.
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

    /// Takes the leaf found at the key that `look` accepted.
    pub(crate) fn take(&mut self, key: StateKey, leaf: StoredValue) {
        let bytes = leaf.name.len() + leaf.value.len();
        self.opened_bytes += bytes;
        if (self.walk.wanted)(&leaf.name) {
            self.bytes += bytes;
            self.found.leaves.push((key, leaf));
        }
    }

    pub(crate) fn end(self) -> WalkOutcome {
        self.found
    }
}

/// Collects versions, newest first. `oldest` is asked after the last row was read: what lies below it may lack rows.
pub(crate) fn collect_versions(
    rows: impl Iterator<Item = Result<Version, StoreError>>,
    limits: VersionLimits,
    oldest: impl FnOnce() -> Height,
) -> Result<Versions, StoreError> {
    let (mut found, mut more, mut bytes) = (Vec::new(), false, 0);
    for version in rows {
        let version = version?;
        if found.len() >= limits.versions_max.max(1) || bytes >= limits.bytes_max.max(1) {
            more = true;
            break;
        }
        bytes += version.leaf.as_ref().map_or(0, |leaf| leaf.name.len() + leaf.value.len());
        found.push(version);
    }
    let oldest = oldest();
    if let Some(last) = found.iter().position(|version| version.height <= oldest) {
        // A removal below the oldest height is swept at any time.
        let kept = if found.get(last).is_some_and(|version| version.leaf.is_some()) { last + 1 } else { last };
        found.truncate(kept);
        more = false;
    }
    Ok(Versions { found, more, oldest })
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
