//! The paths from the top to each key, through the items of a proof. The prover and the verifier use the same code.

use super::ShownNode;
use crate::group::Fr;
use crate::path::{Prefix, SlotId};
use crate::slot::{Leaf, ValueHash, inner_scalar};
use ark_ff::AdditiveGroup;
use rustorium_types::StateKey;
use std::collections::{BTreeMap, BTreeSet};

/// The combined result of the walks to all keys.
pub(super) struct WalkResult {
    /// The scalar of each slot that they pass, by (prefix, index).
    pub slots: BTreeMap<SlotId, Fr>,
    /// The numbers of the shown nodes that they pass, ascending.
    pub opened: BTreeSet<usize>,
    /// The value of each key, in the keys' order.
    pub values: Vec<Option<ValueHash>>,
}

/// Content of a slot as a proof shows it, by its number.
enum SlotContent {
    Node(usize),
    Leaf(usize),
    Nothing,
}

/// Walks to each key through the shown nodes and leaves, which are sorted; `None` if one of them is on no path.
pub(super) fn walk(nodes: &[ShownNode], leaves: &[Leaf], keys: &[StateKey]) -> Option<WalkResult> {
    let mut walked =
        WalkResult { slots: BTreeMap::new(), opened: BTreeSet::new(), values: Vec::with_capacity(keys.len()) };
    let mut met = (BTreeSet::new(), BTreeSet::new());
    for key in keys {
        let path = key.to_bytes();
        let mut node = Prefix::EMPTY;
        let value = loop {
            let id = node.slot_of(&path)?;
            let shown = shown(nodes, leaves, &path[..=node.length()]);
            walked.slots.entry(id).or_insert_with(|| match shown {
                SlotContent::Node(number) => inner_scalar(&nodes[number].0, &nodes[number].1),
                SlotContent::Leaf(number) => leaves[number].scalar(),
                SlotContent::Nothing => Fr::ZERO,
            });
            match shown {
                SlotContent::Node(number) => {
                    met.0.insert(number);
                    node = nodes[number].0;
                    if node.slot_of(&path).is_none() {
                        break None;
                    }
                    walked.opened.insert(number);
                }
                SlotContent::Leaf(number) => {
                    met.1.insert(number);
                    let leaf = &leaves[number];
                    break (leaf.key == *key).then_some(leaf.value);
                }
                SlotContent::Nothing => break None,
            }
        };
        walked.values.push(value);
    }
    let all_met = met.0.len() == nodes.len() && met.1.len() == leaves.len();
    all_met.then_some(walked)
}

/// Returns the content shown for the slot that `path`, a node's prefix and an index, leads to. The first shown node
/// below the slot, in order, is the nearest one, so it is the one in the slot itself. Leaves below that node are
/// further down.
fn shown(nodes: &[ShownNode], leaves: &[Leaf], path: &[u8]) -> SlotContent {
    let node = nodes.partition_point(|(prefix, _)| prefix.as_slice() < path);
    if nodes.get(node).is_some_and(|(prefix, _)| prefix.as_slice().starts_with(path)) {
        return SlotContent::Node(node);
    }
    let leaf = leaves.partition_point(|leaf| leaf.key.to_bytes()[..] < *path);
    if leaves.get(leaf).is_some_and(|leaf| leaf.key.to_bytes().starts_with(path)) {
        return SlotContent::Leaf(leaf);
    }
    SlotContent::Nothing
}
