//! The state tree and its proofs: published vectors, and a model of the tree.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod model;

mod ethereum;
mod proofs;
mod state_proof;
mod tree;
mod vectors;
