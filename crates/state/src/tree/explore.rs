//! The first part of an update: it reads the slots that a diff leads to, level by level, and lets the plan be made on
//! the way back up.

use super::plan::{FoundChanges, plan_visits};
use super::{KeyChange, KvRead, TreeError, pieces, read_slots};
use crate::path::{Prefix, SlotId};
use crate::slot::Slot;
use crate::workers::{Serial, Workers};
use std::ops::Range;

/// Keys that make a piece of work worth handing to another thread.
const KEYS_A_PIECE: usize = 256;

/// A slot to which keys of the diff lead.
pub(super) struct Visit {
    /// The slot.
    pub id: SlotId,
    /// The slot's content before the update.
    pub slot: Option<Slot>,
    /// The keys that lead here, as a range of the diff.
    pub keys: Range<usize>,
    /// The keys of that range that lead on to slots of the child in this slot.
    pub inside: Range<usize>,
    /// Number of visits of the next level that belong to this slot.
    pub below: usize,
}

/// A slot that is still to be read, with the keys that lead to it.
pub(super) struct Next {
    id: SlotId,
    keys: Range<usize>,
}

/// Returns the slots of the top node to which the diff leads.
pub(super) fn from_top(diff: &[KeyChange]) -> Vec<Next> {
    let mut next = Vec::new();
    group(diff, 0..diff.len(), &Prefix::EMPTY, &mut next);
    next
}

/// Finds the changes in these slots and below. Once the keys spread out, parts of the tree are divided among the
/// workers.
pub(super) fn explore(
    store: &impl KvRead,
    diff: &[KeyChange],
    next: Vec<Next>,
    workers: &impl Workers,
) -> Result<FoundChanges, TreeError> {
    let total: usize = next.iter().map(|next| next.keys.len()).sum();
    let heaviest = next.iter().map(|next| next.keys.len()).max().unwrap_or(0);
    if workers.count() == 1 || total < 2 * KEYS_A_PIECE || heaviest * 2 * workers.count() > total {
        return explore_together(store, diff, next, workers);
    }
    let pieces = pieces(next, |next| next.keys.len(), KEYS_A_PIECE, workers);
    let found = workers.map(pieces, |piece| explore_together(store, diff, piece, &Serial));
    found.into_iter().try_fold(FoundChanges::default(), |mut all, found| {
        let found = found?;
        all.changes.extend(found.changes);
        all.removed.extend(found.removed);
        Ok(all)
    })
}

fn explore_together(
    store: &impl KvRead,
    diff: &[KeyChange],
    next: Vec<Next>,
    workers: &impl Workers,
) -> Result<FoundChanges, TreeError> {
    let (visits, below) = visit(store, diff, next)?;
    let below = if below.is_empty() { FoundChanges::default() } else { explore(store, diff, below, workers)? };
    plan_visits(store, diff, visits, below)
}

/// Reads some slots of one level. Returns the visits in order, and the slots to read below them, in the order of the
/// visits.
fn visit(store: &impl KvRead, diff: &[KeyChange], next: Vec<Next>) -> Result<(Vec<Visit>, Vec<Next>), TreeError> {
    let ids: Vec<SlotId> = next.iter().map(|next| next.id).collect();
    let slots = read_slots(store, &ids)?;
    let mut below = Vec::new();
    let visits = next.into_iter().zip(slots).map(|(Next { id, keys }, slot)| {
        let already = below.len();
        let inside = match &slot {
            Some(Slot::Child(child)) => {
                let inside = extending(diff, keys.clone(), child.prefix.as_slice());
                group(diff, inside.clone(), &child.prefix, &mut below);
                inside
            }
            _ => keys.start..keys.start,
        };
        Visit { id, slot, keys, inside, below: below.len() - already }
    });
    Ok((visits.collect(), below))
}

/// Returns the keys in a range of the diff that begin with `prefix`: they stand together.
fn extending(diff: &[KeyChange], keys: Range<usize>, prefix: &[u8]) -> Range<usize> {
    let head = |change: &KeyChange| change.0.to_bytes();
    let sorted = &diff[keys.clone()];
    let before = sorted.partition_point(|change| head(change)[..prefix.len()] < *prefix);
    let inside = sorted[before..].partition_point(|change| head(change)[..prefix.len()] == *prefix);
    keys.start + before..keys.start + before + inside
}

/// Appends a slot of the node for each byte that follows its prefix in a range of the diff. All keys of the range begin
/// with the prefix.
fn group(diff: &[KeyChange], keys: Range<usize>, node: &Prefix, next: &mut Vec<Next>) {
    let mut start = keys.start;
    for run in diff[keys].chunk_by(|a, b| byte(a, node.length()) == byte(b, node.length())) {
        let id = SlotId { node: *node, index: byte(&run[0], node.length()) };
        next.push(Next { id, keys: start..start + run.len() });
        start += run.len();
    }
}

fn byte(change: &KeyChange, at: usize) -> u8 {
    change.0.to_bytes()[at]
}
