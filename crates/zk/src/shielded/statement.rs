//! The statement of a transfer's proof: the eight numbers that the verifier gives.

use std::num::NonZeroU64;

use super::error::ShieldedError;
use super::field::Element;
use super::note::{AssetTag, Commitment, Nullifier};
use super::tree::Root;
use crate::{Claim, Key, Refused, encode_input};

/// Number of public inputs.
pub const PUBLIC_INPUTS: usize = 8;

/// Value that publicly enters or leaves the pool in a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublicValue {
    /// None: a transfer inside the pool, of a hidden asset.
    Hidden,
    /// Value that enters the pool.
    Shield(AssetTag, NonZeroU64),
    /// Value that leaves the pool.
    Unshield(AssetTag, NonZeroU64),
}

impl PublicValue {
    /// Returns the entering minus the leaving value, as an element, and the asset; both 0 if there is none.
    fn elements(&self) -> [Element; 2] {
        match self {
            Self::Hidden => [Element::from(0u64), Element::from(0u64)],
            Self::Shield(asset, value) => [Element::from(value.get()), asset.0],
            Self::Unshield(asset, value) => [-Element::from(value.get()), asset.0],
        }
    }
}

/// A hash of all parts of a transaction that the circuit doesn't examine. It makes a proof worthless in any other
/// transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding(pub Element);

/// A transfer, as everybody sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    root: Root,
    nullifiers: [Nullifier; 2],
    commitments: [Commitment; 2],
    public: PublicValue,
    binding: Binding,
}

impl Statement {
    /// Creates the statement of these parts. Errors: the same nullifier twice.
    pub fn new(
        root: Root,
        nullifiers: [Nullifier; 2],
        commitments: [Commitment; 2],
        public: PublicValue,
        binding: Binding,
    ) -> Result<Self, ShieldedError> {
        if nullifiers[0] == nullifiers[1] {
            return Err(ShieldedError::SameNullifier);
        }
        Ok(Self { root, nullifiers, commitments, public, binding })
    }

    /// Returns the root that the spent notes are below.
    pub fn root(&self) -> Root {
        self.root
    }

    /// Returns the nullifiers of the spent notes. Each must be new to the pool.
    pub fn nullifiers(&self) -> &[Nullifier; 2] {
        &self.nullifiers
    }

    /// Returns the commitments to be appended to the tree, in order.
    pub fn commitments(&self) -> &[Commitment; 2] {
        &self.commitments
    }

    /// Returns the value that enters or leaves the pool.
    pub fn public(&self) -> &PublicValue {
        &self.public
    }

    /// Returns the hash of the rest.
    pub fn binding(&self) -> Binding {
        self.binding
    }

    /// Returns the claim that a proof's canonical bytes prove this statement, under the pool's key.
    pub fn claim(&self, key: &Key, proof: &[u8]) -> Result<Claim, Refused> {
        Claim::new(key, proof, &self.public_inputs().map(encode_input))
    }

    /// Returns the public inputs, in the verifying key's order.
    pub fn public_inputs(&self) -> [Element; PUBLIC_INPUTS] {
        let [value, asset] = self.public.elements();
        [
            self.root.0,
            self.nullifiers[0].0,
            self.nullifiers[1].0,
            self.commitments[0].0,
            self.commitments[1].0,
            value,
            asset,
            self.binding.0,
        ]
    }
}
