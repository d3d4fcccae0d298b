//! The tree: from a sorted diff it computes the new root and the changed rows.
//!
//! *Invariants:* the shape is a function of the set of keys alone; an inner node below the top has at least two filled
//! slots and the longest prefix that its keys share, and the top node has the empty prefix and may have fewer slots;
//! each inner node is committed to once an update; neither root nor rows depend on the number of workers; reads go
//! through [`KvRead`], and nothing is written.
//!
//! An update has three parts. `explore` reads the slots that the diff leads to, level by level. `plan` decides the new
//! content of every slot, bottom-up, without any arithmetic. `commit` computes the commitments, in batches by height.

mod commit;
mod explore;
mod layers;
mod memory;
mod plan;

use crate::path::{Prefix, SlotId};
use crate::slot::{Child, Leaf, Slot, ValueHash};
use crate::tables::Tables;
use crate::workers::Workers;
pub use layers::{Layer, LayeredKv};
pub use memory::MemKv;
use rustorium_types::StateKey;
use thiserror::Error;

/// A key with the hash of its new value; `None` for a deletion.
pub type KeyChange = (StateKey, Option<ValueHash>);

/// A row that must be written after an update; `None` if it must be removed.
pub type Row = (SlotId, Option<Slot>);

/// A reader of the tree's rows. All rows belong to one tree, whatever is written meanwhile. Several threads read at the
/// same time.
pub trait KvRead: Sync {
    /// Returns the top node; [`Child::EMPTY_TOP`] if nothing was ever written.
    ///
    /// # Errors
    /// [`ReadError`], as for all reads.
    fn top(&self) -> Result<Child, ReadError>;

    /// Returns the content of these slots, in the order of `ids`, which ascend.
    ///
    /// # Errors
    /// [`ReadError`].
    fn slots(&self, ids: &[SlotId]) -> Result<Vec<Option<Slot>>, ReadError>;

    /// Returns the filled slots of a node, ascending by index; none if there is no such node.
    ///
    /// # Errors
    /// [`ReadError`].
    fn node(&self, prefix: &Prefix) -> Result<Vec<(u8, Slot)>, ReadError>;
}

/// A row could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the state tree can't be read: {0}")]
pub struct ReadError(pub String);

/// There is no new root.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The caller made a mistake.
    #[error("the keys are not strictly ascending: sort the diff and name each key once")]
    Unsorted,
    /// The stored rows form no tree.
    #[error("the rows of the state tree's node {0:?} contradict each other: restore the store, or sync it again")]
    Inconsistent(Prefix),
}

/// The result of an update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeDiff {
    /// The new top node.
    pub top: Child,
    /// Changed and removed rows, each slot once, in no particular order.
    pub rows: Vec<Row>,
}

impl TreeDiff {
    /// Returns the state root: the encoding of the top node's commitment.
    pub fn root(&self) -> [u8; 32] {
        self.top.commitment.encode()
    }
}

/// Applies a diff to the tree in `store`, which stays unchanged.
///
/// # Errors
/// [`TreeError`]: those of the store, or a diff that isn't strictly ascending by key.
pub fn update(
    tables: &Tables,
    store: &impl KvRead,
    diff: &[KeyChange],
    workers: &impl Workers,
) -> Result<TreeDiff, TreeError> {
    ascending(diff, |change| change.0)?;
    let top = store.top()?;
    let found = explore::explore(store, diff, explore::from_top(diff), workers)?;
    let mut rows: Vec<Row> = found.removed.into_iter().map(|id| (id, None)).collect();
    let top = match plan::plan_top(&top, found.changes)? {
        Some(work) => commit::commit(tables, work, workers, &mut rows),
        None => top,
    };
    Ok(TreeDiff { top, rows })
}

/// A part of a tree, computed from its leaves alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subtree {
    /// Content of the slot that the subtree hangs in.
    pub slot: Slot,
    /// The rows of its inner nodes.
    pub rows: Vec<Row>,
}

/// Computes the subtree that contains all of `leaves` and no other keys; `None` without leaves. State sync compares its
/// scalar with the one that is already known. If they are equal, no leaf was left out, added or changed.
///
/// # Errors
/// [`TreeError::Unsorted`] unless the keys ascend strictly.
pub fn subtree(tables: &Tables, leaves: &[Leaf], workers: &impl Workers) -> Result<Option<Subtree>, TreeError> {
    ascending(leaves, |leaf| leaf.key)?;
    let mut rows = Vec::new();
    let slot = match plan::build(leaves, plan::Plan::Empty) {
        plan::Plan::Known(slot) => slot,
        plan::Plan::Node(work) => Slot::Child(commit::commit(tables, *work, workers, &mut rows)),
        plan::Plan::Empty | plan::Plan::Placed(_) => return Ok(None),
    };
    Ok(Some(Subtree { slot, rows }))
}

fn ascending<T>(items: &[T], key: impl Fn(&T) -> StateKey) -> Result<(), TreeError> {
    if items.is_sorted_by(|a, b| key(a) < key(b)) { Ok(()) } else { Err(TreeError::Unsorted) }
}

/// Reads slots, and checks that their content belongs there.
pub(crate) fn read_slots(store: &impl KvRead, ids: &[SlotId]) -> Result<Vec<Option<Slot>>, TreeError> {
    let slots = store.slots(ids)?;
    if slots.len() != ids.len() {
        return Err(ReadError(format!("{} rows came for {} slots", slots.len(), ids.len())).into());
    }
    match ids.iter().zip(&slots).find(|(id, slot)| slot.is_some_and(|slot| !slot.belongs_in(id))) {
        Some((id, _)) => Err(TreeError::Inconsistent(id.node)),
        None => Ok(slots),
    }
}

/// Divides `items` into pieces of about equal weight, at least `least` each: the same number for each worker.
fn pieces<T>(items: Vec<T>, weight: impl Fn(&T) -> usize, least: usize, workers: &impl Workers) -> Vec<Vec<T>> {
    /// So many pieces that a worker that is late, because others use the machine, doesn't delay the rest for long.
    const PIECES_A_WORKER: usize = 6;
    let total: usize = items.iter().map(&weight).sum();
    let count = (total / least).min(PIECES_A_WORKER * workers.count());
    let count = if count < workers.count() { count.max(1) } else { count - count % workers.count() };
    let target = total.div_ceil(count);
    let mut pieces = Vec::new();
    let (mut piece, mut sum) = (Vec::new(), 0);
    for item in items {
        sum += weight(&item);
        piece.push(item);
        if sum >= target {
            pieces.push(std::mem::take(&mut piece));
            sum = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}
