//! The check of a part of the state that a peer sent: the arithmetic of state sync, separate from its machine so that
//! any thread can do it.

use super::machine::Part;
use rustorium_crypto::hash::{domain, hash, value_hash};
use rustorium_state::chunk::{ChunkSlot, NodeChunk};
use rustorium_state::path::{Prefix, SlotId};
use rustorium_state::slot::{Child, Commitment, Leaf, Slot};
use rustorium_state::tables::Tables;
use rustorium_state::tree::{self, Row};
use rustorium_state::workers::Workers;
use rustorium_types::{PublicKey, StateAnswer, StateKey, StateLeaf};
use thiserror::Error;

/// A part was refused. Only a peer that lies, or whose disk is faulty, sends such a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RefusedPart {
    /// The answer is of another kind than the question needs.
    #[error("it answered another question")]
    OtherQuestion,
    /// The bytes are no slots, or the slots make another node.
    #[error("it sent slots that are not those of the node")]
    Slots,
    /// The leaves make another subtree.
    #[error("it sent leaves that are not those below the node")]
    Subtree,
    /// The value isn't the leaf's.
    #[error("it sent a value that is not the leaf's")]
    Value,
    /// The snapshot doesn't hold.
    #[error("it offered a snapshot that is not certified")]
    Snapshot,
}

/// A leaf in its stored form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredLeaf {
    /// Key of the leaf.
    pub key: StateKey,
    /// Name of the leaf.
    pub name: Vec<u8>,
    /// Value of the leaf.
    pub value: Vec<u8>,
}

/// An answer that must be checked.
#[derive(Debug)]
pub struct Job {
    /// The machine's number of the job.
    pub number: u64,
    /// The peer that sent the answer.
    pub peer: PublicKey,
    pub(super) part: Part,
    pub(super) answer: StateAnswer,
}

/// Result of a job.
#[derive(Debug)]
pub struct CheckedPart {
    pub(super) number: u64,
    pub(super) peer: PublicKey,
    pub(super) found: Result<PartContent, RefusedPart>,
}

/// A part that was found to be right.
#[derive(Debug)]
pub(super) enum PartContent {
    /// A whole subtree: its node in the form of its parent's slot, the rows below, and its leaves.
    Subtree { node: Child, rows: Vec<Row>, leaves: Vec<StoredLeaf> },
    /// A node's slots.
    Slots { commitment: Commitment, slots: Vec<(u8, ChunkSlot)> },
    /// Values of the first ones of the requested leaves.
    Values(Vec<StoredLeaf>),
}

/// Checks an answer. A large one takes some milliseconds. Jobs don't depend on each other.
pub fn check(tables: &Tables, job: Job, workers: &impl Workers) -> CheckedPart {
    let Job { number, peer, part, answer } = job;
    let found = match (part, answer) {
        (Part::Node { prefix, commitment }, StateAnswer::Slots(bytes)) => {
            slots(tables, &prefix, &commitment, bytes.as_slice())
        }
        (Part::Node { prefix, commitment }, StateAnswer::Subtree(leaves)) => {
            subtree(tables, &prefix, &commitment, leaves.into_vec(), workers)
        }
        (Part::Values { leaves, .. }, StateAnswer::Values(values)) => values_of(&leaves, values.into_vec()),
        _ => Err(RefusedPart::OtherQuestion),
    };
    CheckedPart { number, peer, found }
}

fn slots(tables: &Tables, prefix: &Prefix, commitment: &[u8; 32], bytes: &[u8]) -> Result<PartContent, RefusedPart> {
    let chunk = NodeChunk::from_bytes(bytes).map_err(|_| RefusedPart::Slots)?;
    let found = chunk.verify(tables, prefix, commitment).map_err(|_| RefusedPart::Slots)?;
    Ok(PartContent::Slots { commitment: found, slots: chunk.slots().to_vec() })
}

fn subtree(
    tables: &Tables,
    prefix: &Prefix,
    commitment: &[u8; 32],
    leaves: Vec<StateLeaf>,
    workers: &impl Workers,
) -> Result<PartContent, RefusedPart> {
    let leaves: Vec<StoredLeaf> = leaves.into_iter().map(stored).collect();
    let hashed: Vec<Leaf> = leaves.iter().map(hashed).collect();
    match tree::subtree(tables, &hashed, workers) {
        Ok(Some(found)) => match found.slot {
            Slot::Child(node) if node.prefix == *prefix && node.commitment.encode() == *commitment => {
                Ok(PartContent::Subtree { node, rows: found.rows, leaves })
            }
            _ => Err(RefusedPart::Subtree),
        },
        Ok(None) | Err(_) => Err(RefusedPart::Subtree),
    }
}

fn values_of(wanted: &[(SlotId, Leaf)], values: Vec<StateLeaf>) -> Result<PartContent, RefusedPart> {
    let leaves: Vec<StoredLeaf> = values.into_iter().map(stored).collect();
    let right = |(leaf, (_, wanted)): (&StoredLeaf, &(SlotId, Leaf))| hashed(leaf) == *wanted;
    if leaves.is_empty() || leaves.len() > wanted.len() || !leaves.iter().zip(wanted).all(right) {
        return Err(RefusedPart::Value);
    }
    Ok(PartContent::Values(leaves))
}

/// Converts a leaf to its stored form. The key contains the hash of the name, so another name makes another leaf.
fn stored(leaf: StateLeaf) -> StoredLeaf {
    let key = StateKey { account: leaf.account, name: hash(domain::NAME, &[leaf.name.as_slice()]) };
    StoredLeaf { key, name: leaf.name.into_vec(), value: leaf.value.into_vec() }
}

fn hashed(leaf: &StoredLeaf) -> Leaf {
    Leaf { key: leaf.key, value: value_hash(&leaf.value) }
}
