//! The encoding of a proof: one for each proof, and every count is checked before anything is allocated.
//!
//! Nodes: their number (u32, little-endian), then for each the length of its prefix (u8), the prefix and 32 bytes of
//! commitment. Leaves: their number (u32), then for each 64 bytes of key and 32 of value hash. Then the multiproof.

use super::{ShownNode, StateProof};
use crate::ipa::ProofError;
use crate::multiproof::MultiProof;
use crate::path::Prefix;
use crate::slot::Leaf;
use rustorium_types::{AccountId, Hash, StateKey};
use thiserror::Error;

/// Largest number of bytes of a proof.
pub const PROOF_BYTES_MAX: usize = 4 << 20;

const LEAF_BYTES: usize = 96;

/// The bytes are no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProofBytesError {
    /// There are more bytes than any proof has.
    #[error("{0} bytes are more than a state proof can have")]
    TooLarge(usize),
    /// There are fewer bytes than the proof announces, or than every proof has.
    #[error("the state proof ends early")]
    Short,
    /// The bytes are not the canonical encoding.
    #[error("the state proof is not in canonical form: {0}")]
    Malformed(&'static str),
    /// The multiproof at the end is invalid.
    #[error("the state proof's multiproof is invalid: {0}")]
    Openings(#[from] ProofError),
}

impl StateProof {
    /// Encodes the proof.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(8 + 48 * self.nodes.len() + LEAF_BYTES * self.leaves.len() + MultiProof::BYTES);
        bytes.extend_from_slice(&(self.nodes.len() as u32).to_le_bytes());
        for (prefix, commitment) in &self.nodes {
            bytes.push(prefix.as_slice().len() as u8); // at most 63
            bytes.extend_from_slice(prefix.as_slice());
            bytes.extend_from_slice(commitment);
        }
        bytes.extend_from_slice(&(self.leaves.len() as u32).to_le_bytes());
        for leaf in &self.leaves {
            bytes.extend_from_slice(&leaf.key.to_bytes());
            bytes.extend_from_slice(&leaf.value.0);
        }
        bytes.extend_from_slice(&self.openings.to_bytes());
        bytes
    }

    /// Decodes strictly: encoding the result gives the same bytes.
    ///
    /// # Errors
    /// [`ProofBytesError`] for all other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofBytesError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(ProofBytesError::TooLarge(bytes.len()));
        }
        let mut rest = bytes;
        let nodes = read_nodes(&mut rest)?;
        let leaves = read_leaves(&mut rest)?;
        Ok(Self { nodes, leaves, openings: MultiProof::from_bytes(rest)? })
    }
}

/// Reads a count of items of at least `least` bytes each, and checks that so many bytes are there.
fn read_count(rest: &mut &[u8], least: usize) -> Result<usize, ProofBytesError> {
    let count = u32::from_le_bytes(read(rest)?) as usize;
    if count > rest.len() / least { Err(ProofBytesError::Short) } else { Ok(count) }
}

fn read<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProofBytesError> {
    rest.split_off(..N).and_then(|bytes| bytes.try_into().ok()).ok_or(ProofBytesError::Short)
}

fn read_nodes(rest: &mut &[u8]) -> Result<Vec<ShownNode>, ProofBytesError> {
    let count = read_count(rest, 34)?;
    let mut nodes: Vec<ShownNode> = Vec::with_capacity(count);
    for _ in 0..count {
        let [length] = read(rest)?;
        let prefix = rest.split_off(..usize::from(length)).ok_or(ProofBytesError::Short)?;
        let prefix = Prefix::new(prefix).ok_or(ProofBytesError::Malformed("a prefix has more than 63 bytes"))?;
        let above = nodes.last().map_or(Prefix::EMPTY, |last| last.0);
        if above >= prefix {
            return Err(ProofBytesError::Malformed("the prefixes do not ascend from the top's"));
        }
        nodes.push((prefix, read(rest)?));
    }
    Ok(nodes)
}

fn read_leaves(rest: &mut &[u8]) -> Result<Vec<Leaf>, ProofBytesError> {
    let count = read_count(rest, LEAF_BYTES)?;
    let mut leaves: Vec<Leaf> = Vec::with_capacity(count);
    for _ in 0..count {
        let key = StateKey { account: AccountId(read(rest)?), name: read(rest)? };
        if leaves.last().is_some_and(|last| last.key >= key) {
            return Err(ProofBytesError::Malformed("the keys do not ascend"));
        }
        leaves.push(Leaf { key, value: Hash(read(rest)?) });
    }
    Ok(leaves)
}
