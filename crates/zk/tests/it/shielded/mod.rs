//! Shielded value: hashes, tree, keys, encryption, wallet and proofs.

mod hash;
mod keys;
mod proof;
mod store;
mod tree;
mod vectors;
mod wallet;
