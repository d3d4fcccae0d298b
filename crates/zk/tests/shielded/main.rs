//! Shielded value: hashes, tree, keys, encryption, wallet and proofs.
#![allow(clippy::unwrap_used)]

mod hash;
mod keys;
mod proof;
mod store;
mod tree;
mod vectors;
mod wallet;
