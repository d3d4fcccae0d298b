//! Layers above the stored tree: root periods that are rooted but not certified yet.

use super::{KvRead, ReadError, Row, TreeDiff};
use crate::path::{Prefix, SlotId};
use crate::slot::{Child, Slot};
use std::collections::BTreeMap;

/// The changes of an update, in a form for reads.
#[derive(Clone, Debug)]
pub struct Layer {
    top: Child,
    rows: BTreeMap<SlotId, Option<Slot>>,
}

impl From<&TreeDiff> for Layer {
    fn from(diff: &TreeDiff) -> Self {
        Self { top: diff.top, rows: diff.rows.iter().copied().collect() }
    }
}

impl Layer {
    /// Returns the top node after the update.
    pub fn top(&self) -> Child {
        self.top
    }

    /// Returns changed and removed rows, each slot once, ascending.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.rows.iter().map(|(id, slot)| (*id, *slot))
    }
}

/// A tree after all its layers.
#[derive(Clone, Copy, Debug)]
pub struct LayeredKv<'a, S> {
    /// The tree below all layers.
    pub base: &'a S,
    /// Updates on top of the base, oldest first.
    pub layers: &'a [Layer],
}

impl<S: KvRead> KvRead for LayeredKv<'_, S> {
    fn top(&self) -> Result<Child, ReadError> {
        self.layers.last().map_or_else(|| self.base.top(), |layer| Ok(layer.top))
    }

    fn slots(&self, ids: &[SlotId]) -> Result<Vec<Option<Slot>>, ReadError> {
        let newest = |id: &SlotId| self.layers.iter().rev().find_map(|layer| layer.rows.get(id)).copied();
        let known: Vec<Option<Option<Slot>>> = ids.iter().map(newest).collect();
        let unknown = ids.iter().zip(&known).filter(|(_, known)| known.is_none());
        let mut base = self.base.slots(&unknown.map(|(id, _)| *id).collect::<Vec<_>>())?.into_iter();
        Ok(known.into_iter().map(|known| known.unwrap_or_else(|| base.next().flatten())).collect())
    }

    fn node(&self, prefix: &Prefix) -> Result<Vec<(u8, Slot)>, ReadError> {
        let mut slots: BTreeMap<u8, Option<Slot>> =
            self.base.node(prefix)?.into_iter().map(|(index, slot)| (index, Some(slot))).collect();
        let id = |index| SlotId { node: *prefix, index };
        for layer in self.layers {
            slots.extend(layer.rows.range(id(0)..=id(255)).map(|(id, slot)| (id.index, *slot)));
        }
        Ok(slots.into_iter().filter_map(|(index, slot)| Some((index, slot?))).collect())
    }
}
