//! Proofs of values of keys, or of their absence, under a state root.
//!
//! *Invariants:* a slot's scalar is never taken from a proof: the verifier hashes the slot's content as the proof shows
//! it, and the multiproof ties that hash to the commitment; a proof contains only what is on the paths to its keys,
//! each item once and in order, so for a tree and a set of keys there is one proof; the verifier brings keys and root,
//! not the proof.
//!
//! A walk starts at the top node, whose commitment is the root, and follows a key from slot to slot. If the key is
//! present, the walk ends at its leaf. If it is absent, the walk ends at an empty slot, at another leaf, or at a node
//! whose prefix the key doesn't have. The proof of soundness is in `docs/adr/0004-state-tree-layout.md`.

mod codec;
mod walk;

use crate::WIDTH;
use crate::group::{Element, Fr, GroupError};
use crate::multiproof::{self, MultiProof, ProverQuery, VerifierQuery};
use crate::path::{Prefix, SlotId};
use crate::slot::{Child, Leaf, Slot, ValueHash};
use crate::transcript::Transcript;
use crate::tree::{KvRead, TreeError, read_slots};
use ark_ff::AdditiveGroup;
pub use codec::{PROOF_BYTES_MAX, ProofBytesError};
use rustorium_types::{Hash, StateKey};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;
use walk::walk;

/// Largest number of keys in one proof.
pub const PROOF_KEYS_MAX: usize = 1024;

/// Label at the start of every proof's transcript.
const LABEL: &[u8] = b"rustorium/state-proof/v1";

/// An inner node below the top in a proof: prefix and encoded commitment.
type ShownNode = (Prefix, [u8; 32]);

/// A proof of values of keys in a tree: the nodes and leaves on the paths to the keys, and a multiproof of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// Inner nodes below the top, ascending by prefix.
    nodes: Vec<ShownNode>,
    /// Leaves, ascending by key.
    leaves: Vec<Leaf>,
    openings: MultiProof,
}

/// A proof could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The store failed, or its rows form no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// There are no keys, or too many.
    #[error("a proof is about 1 to {PROOF_KEYS_MAX} keys, not {0}: ask for fewer at a time")]
    Keys(usize),
    /// The tree has changed.
    #[error("the store holds the tree with root {0}, not the one that was asked for: ask for its present root")]
    OtherRoot(Hash),
}

/// A proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// There are no keys, or too many.
    #[error("a proof is about 1 to {PROOF_KEYS_MAX} keys, not {0}")]
    Keys(usize),
    /// The proof shows more than the keys need, or not everything on their paths.
    #[error("the proof is invalid: it shows parts of the state that none of its items needs")]
    Unneeded,
    /// The root or a node's commitment is no group element.
    #[error("the state proof has an invalid commitment: {0}")]
    Commitment(#[from] GroupError),
    /// The tree with this root has other content.
    #[error("the state proof doesn't hold under this root: {0}")]
    Refused(#[from] crate::ipa::ProofError),
}

/// Proves the values of `keys`, in any order, in the store's tree. The tree's root must be `root`.
///
/// # Errors
/// [`OpenError`].
pub fn open(store: &impl KvRead, root: &[u8; 32], keys: &[StateKey]) -> Result<StateProof, OpenError> {
    if keys.is_empty() || keys.len() > PROOF_KEYS_MAX {
        return Err(OpenError::Keys(keys.len()));
    }
    let top = store.top().map_err(TreeError::from)?;
    if top.commitment.encode() != *root {
        return Err(OpenError::OtherRoot(Hash(top.commitment.encode())));
    }
    let (children, leaves) = collect(store, keys)?;
    let nodes: Vec<ShownNode> = children.iter().map(|child| (child.prefix, child.commitment.encode())).collect();
    // Everything collected is on the path to a key, and every path goes through collected items.
    let inconsistent = || TreeError::Inconsistent(Prefix::EMPTY);
    let walked = walk(&nodes, &leaves, keys).ok_or_else(inconsistent)?;
    let opened = walked.opened.iter().map(|&number| children[number]);
    let opened: BTreeMap<Prefix, Child> = opened.chain([top]).map(|child| (child.prefix, child)).collect();
    let polynomials = polynomials(store, opened.keys())?;
    let query = |id: &SlotId| {
        let (child, polynomial) = (opened.get(&id.node)?, polynomials.get(&id.node)?);
        Some(ProverQuery { commitment: child.commitment.to_element(), polynomial, index: id.index })
    };
    let queries: Option<Vec<ProverQuery<'_>>> = walked.slots.keys().map(query).collect();
    let openings = multiproof::prove(&mut Transcript::new(LABEL), &queries.ok_or_else(inconsistent)?);
    Ok(StateProof { nodes, leaves, openings })
}

/// Collects the nodes and leaves on the paths to the keys, sorted: level by level, with one read for all keys of a
/// level.
fn collect(store: &impl KvRead, keys: &[StateKey]) -> Result<(Vec<Child>, Vec<Leaf>), TreeError> {
    let (mut nodes, mut leaves) = (BTreeMap::new(), BTreeMap::new());
    let mut at: Vec<([u8; 64], Prefix)> = keys.iter().map(|key| (key.to_bytes(), Prefix::EMPTY)).collect();
    while !at.is_empty() {
        let ids: BTreeSet<SlotId> = at.iter().filter_map(|(key, node)| node.slot_of(key)).collect();
        let ids: Vec<SlotId> = ids.into_iter().collect();
        let slots: BTreeMap<SlotId, Option<Slot>> = ids.iter().copied().zip(read_slots(store, &ids)?).collect();
        let mut next = Vec::new();
        for (key, node) in at {
            match node.slot_of(&key).and_then(|id| slots.get(&id)).copied().flatten() {
                Some(Slot::Leaf(leaf)) => {
                    leaves.insert(leaf.key, leaf);
                }
                Some(Slot::Child(child)) => {
                    nodes.insert(child.prefix, child);
                    next.extend(child.prefix.slot_of(&key).map(|_| (key, child.prefix)));
                }
                None => {}
            }
        }
        at = next;
    }
    Ok((nodes.into_values().collect(), leaves.into_values().collect()))
}

/// Returns all scalars of each of the given nodes.
fn polynomials<'a>(
    store: &impl KvRead,
    nodes: impl Iterator<Item = &'a Prefix>,
) -> Result<BTreeMap<Prefix, Box<[Fr; WIDTH]>>, TreeError> {
    let polynomial = |node: &Prefix| {
        let mut scalars = Box::new([Fr::ZERO; WIDTH]);
        for (index, slot) in store.node(node)? {
            scalars[usize::from(index)] = slot.scalar();
        }
        Ok((*node, scalars))
    };
    nodes.map(polynomial).collect()
}

/// Checks a proof. Returns the value of each of `keys` under `root`, in their order; `None` for an absent key.
///
/// # Errors
/// [`VerifyError`] for any fault. Then nothing is known about any of the keys.
pub fn verify(root: &[u8; 32], proof: &StateProof, keys: &[StateKey]) -> Result<Vec<Option<ValueHash>>, VerifyError> {
    if keys.is_empty() || keys.len() > PROOF_KEYS_MAX {
        return Err(VerifyError::Keys(keys.len()));
    }
    let walked = walk(&proof.nodes, &proof.leaves, keys).ok_or(VerifyError::Unneeded)?;
    let mut opened: Vec<ShownNode> = walked.opened.into_iter().map(|node| proof.nodes[node]).collect();
    opened.insert(0, (Prefix::EMPTY, *root));
    let encoded: Vec<[u8; 32]> = opened.iter().map(|(_, commitment)| *commitment).collect();
    let commitments = Element::batch_from_bytes(&encoded)?;
    // Both lists are sorted by prefix, and each opened node has an opened slot.
    let mut nodes = opened.iter().zip(commitments).peekable();
    let mut queries = Vec::with_capacity(walked.slots.len());
    for (id, value) in &walked.slots {
        while nodes.next_if(|((prefix, _), _)| *prefix < id.node).is_some() {}
        if let Some((_, commitment)) = nodes.peek() {
            queries.push(VerifierQuery { commitment: *commitment, index: id.index, value: *value });
        }
    }
    let held = multiproof::verify(&mut Transcript::new(LABEL), &proof.openings, &queries);
    held?;
    Ok(walked.values)
}
