//! Chunks: a node's filled slots, as state sync sends them. They are enough to compute the node's commitment, so
//! nothing can be left out.
//!
//! *Invariants:* slots ascend and each holds only what belongs there; a checked chunk has the commitment that was known
//! before.

use crate::affine::{sum_runs, to_edwards};
use crate::path::{Prefix, SlotId};
use crate::slot::{Commitment, Leaf, Slot, inner_scalar};
use crate::tables::{Lane, Scratch, Tables};
use crate::tree::{KvRead, ReadError};
use rustorium_types::{AccountId, Hash, StateKey};
use thiserror::Error;

/// Content of a slot in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkSlot {
    /// A leaf.
    Leaf(Leaf),
    /// An inner node. Its own chunk has the rest.
    Inner {
        /// Prefix of the node.
        prefix: Prefix,
        /// Encoded commitment of the node.
        commitment: [u8; 32],
    },
}

/// A chunk is refused: the peer that sent it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// The bytes are not the encoding of a chunk.
    #[error("the bytes are not a chunk of the state tree: {0}")]
    Malformed(&'static str),
    /// A leaf or node stands in a slot where it can't be.
    #[error("slot {0} of the chunk has the content of another slot")]
    Misplaced(u8),
    /// Slots were changed, added or left out.
    #[error("the chunk is not of the node that was asked for")]
    Refused,
}

/// The filled slots of one inner node, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChunk(Vec<(u8, ChunkSlot)>);

const LEAF: u8 = 0;
const INNER: u8 = 1;

impl NodeChunk {
    /// Reads the chunk of a stored node; the chunk has no slots if there is no such node.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(store: &impl KvRead, node: &Prefix) -> Result<Self, ReadError> {
        let shown = |(index, slot)| match slot {
            Slot::Leaf(leaf) => (index, ChunkSlot::Leaf(leaf)),
            Slot::Child(child) => {
                (index, ChunkSlot::Inner { prefix: child.prefix, commitment: child.commitment.encode() })
            }
        };
        Ok(Self(store.node(node)?.into_iter().map(shown).collect()))
    }

    /// The slots, ascending by index.
    pub fn slots(&self) -> &[(u8, ChunkSlot)] {
        &self.0
    }

    /// Checks that these are all slots of the node with this prefix and encoded commitment; returns the commitment.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub fn verify(&self, tables: &Tables, node: &Prefix, commitment: &[u8; 32]) -> Result<Commitment, ChunkError> {
        let mut lanes = Vec::with_capacity(self.0.len());
        for (index, slot) in &self.0 {
            let id = Some(SlotId { node: *node, index: *index });
            let (place, scalar) = match slot {
                ChunkSlot::Leaf(leaf) => (node.slot_of(&leaf.key.to_bytes()), leaf.scalar()),
                ChunkSlot::Inner { prefix, commitment } => {
                    (node.slot_of(prefix.as_slice()), inner_scalar(prefix, commitment))
                }
            };
            if place != id {
                return Err(ChunkError::Misplaced(*index));
            }
            lanes.push(Lane { index: *index, scalar });
        }
        let mut scratch = Scratch::default();
        let mut points = tables.products(&lanes, &mut scratch);
        let mut lengths = [points.len()];
        let found = match points.len() {
            0 => Commitment::NEUTRAL,
            _ => {
                sum_runs(&mut points, &mut lengths, &mut scratch.sums);
                Commitment::new(to_edwards(&points)[0])
            }
        };
        if found.encode() == *commitment { Ok(found) } else { Err(ChunkError::Refused) }
    }

    /// Encodes the chunk: for each slot its index, a byte for its kind, and its content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(100 * self.0.len());
        for (index, slot) in &self.0 {
            match slot {
                ChunkSlot::Leaf(leaf) => {
                    bytes.extend_from_slice(&[*index, LEAF]);
                    bytes.extend_from_slice(&leaf.key.to_bytes());
                    bytes.extend_from_slice(&leaf.value.0);
                }
                ChunkSlot::Inner { prefix, commitment } => {
                    bytes.extend_from_slice(&[*index, INNER, prefix.length() as u8]); // at most 63
                    bytes.extend_from_slice(prefix.as_slice());
                    bytes.extend_from_slice(commitment);
                }
            }
        }
        bytes
    }

    /// Decodes strictly: encoding the result gives the same bytes. At most 256 slots are read.
    ///
    /// # Errors
    /// [`ChunkError::Malformed`].
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut slots: Vec<(u8, ChunkSlot)> = Vec::new();
        while let Some((&index, rest)) = bytes.split_first() {
            let ascends = slots.last().is_none_or(|(last, _)| *last < index);
            if !ascends {
                return Err(ChunkError::Malformed("its slots do not ascend"));
            }
            bytes = rest;
            slots.push((index, read_slot(&mut bytes).ok_or(ChunkError::Malformed("a slot has no valid content"))?));
        }
        Ok(Self(slots))
    }
}

fn read_slot(bytes: &mut &[u8]) -> Option<ChunkSlot> {
    let [kind] = read(bytes)?;
    match kind {
        LEAF => {
            let key = StateKey { account: AccountId(read(bytes)?), name: read(bytes)? };
            Some(ChunkSlot::Leaf(Leaf { key, value: Hash(read(bytes)?) }))
        }
        INNER => {
            let [length] = read(bytes)?;
            let prefix = Prefix::new(bytes.split_off(..usize::from(length))?)?;
            Some(ChunkSlot::Inner { prefix, commitment: read(bytes)? })
        }
        _ => None,
    }
}

fn read<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}
