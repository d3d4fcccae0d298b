//! The Verkle tree over the state: computes the root after a diff, and makes and checks proofs.
//!
//! *Invariants:* knows no clock, thread, network or disk (except with the feature `host`: the table file, and pools of
//! threads that a caller brings); a decoded group element or scalar is canonical and in the group, so no later code
//! checks it again; one encoding per value; no bytes make a decoder panic or allocate more than a few times their
//! length; updating, proving and checking are pure functions; for wasm32 and Windows it is built without `host`.
//!
//! The primitives (group, CRS, transcript, IPA, multiproof) are those of the public Ethereum Verkle work (EIP-6800 and
//! its references), byte for byte: its published vectors pass. The layout of the tree is the ledger's own:
//! `docs/adr/0004-state-tree-layout.md`.
//!
//! Writing: [`tree::update`] with [`tables::Tables`]. Reading: [`proof::open`] and [`proof::verify`]. Copying: [`chunk`].

mod affine;
mod buckets;
pub mod chunk;
pub mod crs;
mod domain;
mod fixed;
pub mod group;
#[cfg(all(feature = "host", unix))]
pub mod host;
pub mod ipa;
pub mod msm;
pub mod multiproof;
pub mod path;
mod point;
pub mod proof;
mod root;
pub mod scalar;
pub mod slot;
pub mod tables;
pub mod transcript;
pub mod tree;
pub mod workers;

pub use fixed::commit;
pub use group::{Element, Fr, GroupError};
pub use ipa::{IpaProof, ProofError};
pub use multiproof::{MultiProof, ProverQuery, VerifierQuery};
pub use transcript::Transcript;

/// Number of slots of a node, of evaluations of a polynomial, and of points of the CRS. Index `i` stands for the field
/// element `i`.
pub const WIDTH: usize = 256;
