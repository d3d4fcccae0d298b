//! A tree in memory: for tests, genesis and measurements.

use super::{KvRead, ReadError, TreeDiff};
use crate::path::{Prefix, SlotId};
use crate::slot::{Child, Slot};
use std::collections::{BTreeMap, HashMap};

/// The rows of a tree, by node.
#[derive(Clone, Debug)]
pub struct MemKv {
    top: Child,
    nodes: HashMap<Prefix, BTreeMap<u8, Slot>>,
}

impl Default for MemKv {
    fn default() -> Self {
        Self { top: Child::EMPTY_TOP, nodes: HashMap::new() }
    }
}

impl MemKv {
    /// Applies the result of an update of this tree.
    pub fn apply(&mut self, diff: TreeDiff) {
        self.top = diff.top;
        for (id, slot) in diff.rows {
            let node = self.nodes.entry(id.node).or_default();
            match slot {
                Some(slot) => node.insert(id.index, slot),
                None => node.remove(&id.index),
            };
            if node.is_empty() {
                self.nodes.remove(&id.node);
            }
        }
    }

    /// Returns the number of inner nodes that have rows.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Returns all rows, ascending.
    pub fn rows(&self) -> BTreeMap<SlotId, Slot> {
        let nodes = self.nodes.iter();
        nodes
            .flat_map(|(&node, slots)| slots.iter().map(move |(&index, &slot)| (SlotId { node, index }, slot)))
            .collect()
    }
}

impl KvRead for MemKv {
    fn top(&self) -> Result<Child, ReadError> {
        Ok(self.top)
    }

    fn slots(&self, ids: &[SlotId]) -> Result<Vec<Option<Slot>>, ReadError> {
        let slot = |id: &SlotId| self.nodes.get(&id.node).and_then(|node| node.get(&id.index)).copied();
        Ok(ids.iter().map(slot).collect())
    }

    fn node(&self, prefix: &Prefix) -> Result<Vec<(u8, Slot)>, ReadError> {
        let slots = self.nodes.get(prefix).into_iter().flatten();
        Ok(slots.map(|(&index, &slot)| (index, slot)).collect())
    }
}
