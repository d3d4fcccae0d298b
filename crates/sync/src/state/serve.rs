//! Answers to the questions of state sync from a snapshot: a whole subtree if it fits into a frame, otherwise a node's
//! slots.

use crate::answer::ANSWER_BYTES_MAX;
use rustorium_state::chunk::{ChunkSlot, NodeChunk};
use rustorium_state::path::Prefix;
use rustorium_types::limits::{NODE_LEAVES_MAX, SUBTREE_LEAVES_MAX};
use rustorium_types::{BoundedBytes, BoundedVec, Height, Snapshot, StateAnswer, StateKey, StateLeaf, StateRequest};
use std::sync::Arc;

/// Bytes of leaves in one answer. Many answers of moderate size keep several peers and two cores busy.
const LEAVES_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a leaf without its name and value: account and two lengths.
const LEAF_BYTES: usize = 40;

/// The state of a snapshot, whatever is written and pruned meanwhile. Its methods return `None` if the state can't be
/// read.
pub trait SnapshotView: Send + Sync {
    /// Returns the slots of an inner node; none for an empty tree.
    fn slots(&self, node: &Prefix) -> Option<NodeChunk>;

    /// Returns the leaves from the first key on that begins with `prefix`, ascending: up to one more than `leaves_max`,
    /// or the first beyond `bytes_max` of names and values.
    fn leaves(&self, prefix: &Prefix, leaves_max: usize, bytes_max: usize) -> Option<Vec<StateLeaf>>;

    /// Returns a leaf.
    fn leaf(&self, key: &StateKey) -> Option<StateLeaf>;
}

/// The snapshots that a node offers.
pub trait Snapshots: Send + Sync {
    /// Returns the newest snapshot above a height.
    fn newest(&self, above: Height) -> Option<Snapshot>;

    /// Returns the state of a snapshot.
    fn view(&self, root: Height) -> Option<Arc<dyn SnapshotView>>;
}

/// Answers a peer's question; `None` if the snapshot isn't offered, or the question makes no sense.
pub fn answer_state(snapshots: &dyn Snapshots, request: &StateRequest) -> Option<StateAnswer> {
    match request {
        StateRequest::Newest { above } => {
            let snapshot = snapshots.newest(*above)?;
            let fits = borsh::object_length(&snapshot).is_ok_and(|bytes| bytes <= ANSWER_BYTES_MAX);
            fits.then_some(StateAnswer::Snapshot(snapshot))
        }
        StateRequest::Node { root, prefix } => {
            let (view, prefix) = (snapshots.view(*root)?, Prefix::new(prefix.as_slice())?);
            node(&*view, &prefix)
        }
        StateRequest::Values { root, prefix, from } => {
            let (view, prefix) = (snapshots.view(*root)?, Prefix::new(prefix.as_slice())?);
            values(&*view, &prefix, *from)
        }
    }
}

fn node(view: &dyn SnapshotView, prefix: &Prefix) -> Option<StateAnswer> {
    // The top node's keys may share more than its prefix: as a subtree it would be another node.
    if *prefix != Prefix::EMPTY
        && let Some(leaves) = view.leaves(prefix, SUBTREE_LEAVES_MAX, LEAVES_BYTES_MAX)
        && leaves.len() <= SUBTREE_LEAVES_MAX
        && leaves.iter().map(size).sum::<usize>() <= LEAVES_BYTES_MAX
    {
        return if leaves.is_empty() { None } else { BoundedVec::new(leaves).ok().map(StateAnswer::Subtree) };
    }
    let slots = view.slots(prefix)?;
    if slots.slots().is_empty() && *prefix != Prefix::EMPTY {
        return None;
    }
    BoundedBytes::new(slots.to_bytes()).ok().map(StateAnswer::Slots)
}

fn values(view: &dyn SnapshotView, prefix: &Prefix, from: u8) -> Option<StateAnswer> {
    let slots = view.slots(prefix)?;
    let mut leaves = Vec::new();
    let mut bytes = 0;
    for (index, slot) in slots.slots() {
        let ChunkSlot::Leaf(leaf) = slot else { continue };
        if *index < from {
            continue;
        }
        let found = view.leaf(&leaf.key)?;
        bytes += size(&found);
        if !leaves.is_empty() && (bytes > LEAVES_BYTES_MAX || leaves.len() >= NODE_LEAVES_MAX) {
            break;
        }
        leaves.push(found);
    }
    if leaves.is_empty() { None } else { BoundedVec::new(leaves).ok().map(StateAnswer::Values) }
}

fn size(leaf: &StateLeaf) -> usize {
    LEAF_BYTES + leaf.name.as_slice().len() + leaf.value.as_slice().len()
}
