//! The leaves that a block has touched, in the order of their first touch.
//!
//! *Invariants:* a leaf takes the same few hundred bytes, however long its value is; growth never copies leaves.

use super::leaf::Leaf;
use crate::keys::Name;
use rustorium_crypto::value_hash;
use rustorium_types::{Hash, StateKey};
use std::collections::HashMap;

/// Number of leaves that are allocated together.
const TOGETHER: usize = 1024;

/// A position in the ledger's memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct At(pub(super) u32);

/// The value of a leaf before the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Before {
    pub(crate) bytes: u32,
    pub(crate) hash: Hash,
}

impl Before {
    pub(crate) fn of(value: &[u8]) -> Self {
        // No value of the state has as many bytes as 32 bits can count.
        Self { bytes: value.len() as u32, hash: value_hash(value) }
    }
}

pub(crate) struct Slot<'a> {
    pub(crate) key: StateKey,
    pub(crate) name: Name<'a>,
    /// The value before the block; `None` if there was no leaf.
    pub(crate) before: Option<Before>,
    /// The value now. `Stored` is that of before, which stays in the state.
    pub(crate) now: Leaf<'a>,
    pub(crate) written: bool,
    /// The transaction that wrote the leaf last, from 1. Its first write is the one to undo.
    pub(crate) writer: u32,
}

/// The touched leaves.
#[derive(Default)]
pub(crate) struct Slots<'a> {
    parts: Vec<Vec<Slot<'a>>>,
    index: HashMap<StateKey, At>,
}

impl<'a> Slots<'a> {
    pub(crate) fn find(&self, key: &StateKey) -> Option<At> {
        self.index.get(key).copied()
    }

    /// Adds a leaf that isn't there.
    pub(crate) fn insert(&mut self, slot: Slot<'a>) -> At {
        let at = At(self.index.len() as u32);
        self.index.insert(slot.key, at);
        match self.parts.last_mut().filter(|part| part.len() < TOGETHER) {
            Some(part) => part.push(slot),
            None => {
                let mut part = Vec::with_capacity(TOGETHER);
                part.push(slot);
                self.parts.push(part);
            }
        }
        at
    }

    pub(crate) fn get(&self, at: At) -> &Slot<'a> {
        let place = at.0 as usize;
        &self.parts[place / TOGETHER][place % TOGETHER]
    }

    pub(crate) fn get_mut(&mut self, at: At) -> &mut Slot<'a> {
        let place = at.0 as usize;
        &mut self.parts[place / TOGETHER][place % TOGETHER]
    }
}

impl<'a> IntoIterator for Slots<'a> {
    type Item = Slot<'a>;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<Slot<'a>>>>;

    /// Returns the leaves in the order of their first touch. Their memory is freed in parts.
    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter().flatten()
    }
}
