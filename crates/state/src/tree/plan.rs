//! The second part of an update: it decides bottom-up the new content of every slot, and thereby which inner nodes
//! there will be.

use super::explore::Visit;
use super::{KeyChange, KvRead, TreeError};
use crate::path::{Prefix, SlotId, common_length};
use crate::slot::{Child, Commitment, Leaf, Slot};

/// The new content of a slot.
pub(super) enum Plan {
    /// No content.
    Empty,
    /// A leaf, or a child whose commitment doesn't change.
    Known(Slot),
    /// A child that needs a new commitment.
    Node(Box<Work>),
    /// Such a child, after it got its place among the nodes of its height.
    Placed(Place),
}

/// Place of a node among all nodes that need a new commitment.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Largest number of such nodes below it on one path.
    pub height: usize,
    /// Number of the node among those of the same height.
    pub index: usize,
}

/// A slot that changes.
pub(super) struct Change {
    /// Index of the slot in its node.
    pub index: u8,
    /// The old content.
    pub old: Option<Slot>,
    /// The new content.
    pub new: Plan,
}

/// An inner node that gets a new commitment.
pub(super) struct Work {
    /// Prefix of the node.
    pub prefix: Prefix,
    /// The old commitment; neutral for a new node.
    pub base: Commitment,
    /// Number of slots that will be filled.
    pub filled: u16,
    /// The slots that change.
    pub changes: Vec<Change>,
}

/// The changes that an update finds below some slots.
#[derive(Default)]
pub(super) struct FoundChanges {
    /// For each slot its change; `None` if nothing changes in it.
    pub changes: Vec<Option<Change>>,
    /// Rows of nodes that are removed.
    pub removed: Vec<SlotId>,
}

/// Plans the top node; `None` if nothing changes.
pub(super) fn plan_top(top: &Child, changes: Vec<Option<Change>>) -> Result<Option<Work>, TreeError> {
    let changes: Vec<Change> = changes.into_iter().flatten().collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let filled = filled_after(top, &changes)?;
    Ok(Some(Work { prefix: top.prefix, base: top.commitment, filled, changes }))
}

/// Plans visited slots from the changes below them.
pub(super) fn plan_visits(
    store: &impl KvRead,
    diff: &[KeyChange],
    visits: Vec<Visit>,
    below: FoundChanges,
) -> Result<FoundChanges, TreeError> {
    let FoundChanges { changes, mut removed } = below;
    let mut below = changes.into_iter();
    let changes = visits.into_iter().map(|visit| {
        let changes: Vec<Change> = below.by_ref().take(visit.below).flatten().collect();
        let rest = match visit.slot {
            None => Plan::Empty,
            Some(Slot::Leaf(leaf)) if diff[visit.keys.clone()].iter().any(|change| change.0 == leaf.key) => Plan::Empty,
            Some(Slot::Child(child)) if !changes.is_empty() => plan_child(store, child, changes, &mut removed)?,
            Some(slot) => Plan::Known(slot),
        };
        let outside = diff[visit.keys.start..visit.inside.start].iter().chain(&diff[visit.inside.end..visit.keys.end]);
        let inserts: Vec<Leaf> = outside.filter_map(|&(key, value)| Some(Leaf { key, value: value? })).collect();
        let new = build(&inserts, rest);
        let same = match &new {
            Plan::Empty => visit.slot.is_none(),
            Plan::Known(slot) => visit.slot == Some(*slot),
            Plan::Node(_) | Plan::Placed(_) => false,
        };
        Ok((!same).then_some(Change { index: visit.id.index, old: visit.slot, new }))
    });
    let changes: Result<Vec<_>, TreeError> = changes.collect();
    Ok(FoundChanges { changes: changes?, removed })
}

fn filled_after(node: &Child, changes: &[Change]) -> Result<u16, TreeError> {
    let before = changes.iter().filter(|change| change.old.is_some()).count();
    let after = changes.iter().filter(|change| !matches!(change.new, Plan::Empty)).count();
    let filled = (usize::from(node.filled) + after).checked_sub(before).filter(|&filled| filled <= crate::WIDTH);
    filled.and_then(|filled| u16::try_from(filled).ok()).ok_or(TreeError::Inconsistent(node.prefix))
}

/// Plans an inner node below the top. If only one slot remains, the slot's content takes the node's place.
fn plan_child(
    store: &impl KvRead,
    child: Child,
    changes: Vec<Change>,
    removed: &mut Vec<SlotId>,
) -> Result<Plan, TreeError> {
    let filled = filled_after(&child, &changes)?;
    if filled > 1 {
        return Ok(Plan::Node(Box::new(Work { prefix: child.prefix, base: child.commitment, filled, changes })));
    }
    let row = |index| SlotId { node: child.prefix, index };
    removed.extend(changes.iter().filter(|change| change.old.is_some()).map(|change| row(change.index)));
    if filled == 0 {
        return Ok(Plan::Empty);
    }
    if changes.iter().all(|change| matches!(change.new, Plan::Empty)) {
        let is_changed = |index| changes.iter().any(|change| change.index == index);
        let left = store.node(&child.prefix)?.into_iter().find(|(index, _)| !is_changed(*index));
        let (index, slot) = left.ok_or(TreeError::Inconsistent(child.prefix))?;
        removed.push(row(index));
        return if slot.belongs_in(&row(index)) {
            Ok(Plan::Known(slot))
        } else {
            Err(TreeError::Inconsistent(child.prefix))
        };
    }
    let left = changes.into_iter().map(|change| change.new).find(|new| !matches!(new, Plan::Empty));
    left.ok_or(TreeError::Inconsistent(child.prefix))
}

/// Builds the content that has all of `leaves`, which ascend, and `rest`. The leaves diverge from `rest`: none is in it
/// or belongs into it.
pub(super) fn build(leaves: &[Leaf], rest: Plan) -> Plan {
    let (Some(first), Some(last)) = (leaves.first(), leaves.last()) else { return rest };
    let rest_path = path(&rest);
    if leaves.len() == 1 && rest_path.is_none() {
        return Plan::Known(Slot::Leaf(*first));
    }
    let key = first.key.to_bytes();
    let mut shared = common_length(&key, &last.key.to_bytes());
    if let Some((path, length)) = &rest_path {
        shared = shared.min(common_length(&key, &path[..*length]));
    }
    let byte = |leaf: &Leaf| leaf.key.to_bytes()[shared];
    let mut groups: Vec<(u8, &[Leaf])> =
        leaves.chunk_by(|a, b| byte(a) == byte(b)).map(|group| (byte(&group[0]), group)).collect();
    let rest_index = rest_path.map(|(path, _)| path[shared]);
    if let Some(index) = rest_index
        && let Err(place) = groups.binary_search_by_key(&index, |(index, _)| *index)
    {
        groups.insert(place, (index, &[]));
    }
    let mut rest = Some(rest);
    let changes = groups.into_iter().map(|(index, leaves)| {
        let inner = rest.take_if(|_| rest_index == Some(index));
        Change { index, old: None, new: build(leaves, inner.unwrap_or(Plan::Empty)) }
    });
    let changes: Vec<Change> = changes.collect();
    let filled = changes.len() as u16; // at most 256: one for each byte
    Plan::Node(Box::new(Work { prefix: Prefix::of_key(&key, shared), base: Commitment::NEUTRAL, filled, changes }))
}

/// Returns the common beginning of all keys in a plan, and its length; `None` for an empty plan.
fn path(plan: &Plan) -> Option<([u8; 64], usize)> {
    match plan {
        Plan::Known(slot) => Some(slot.path()),
        Plan::Node(work) => {
            let mut path = [0; 64];
            path[..work.prefix.length()].copy_from_slice(work.prefix.as_slice());
            Some((path, work.prefix.length()))
        }
        Plan::Empty | Plan::Placed(_) => None,
    }
}
