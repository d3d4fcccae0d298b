//! Shielded value: notes with hidden owner, asset and amount, moved by proofs (docs/spec/shielded.md).
//!
//! *Invariants:* knows nothing of transactions and accounts: the data that a proof is bound to comes as bytes;
//! randomness comes from the caller, 32 bytes at a time, and is hashed with the data that it is used for; secrets are
//! wiped when they are dropped; value enters the tree only through the circuit, and the ledger takes its public value
//! from accounts and gives it to accounts.

pub mod circuit;
pub mod error;
pub mod field;
pub mod keys;
pub mod memo;
pub mod note;
pub mod poseidon;
pub mod prove;
pub mod scan;
pub mod statement;
pub mod store;
pub mod transfer;
pub mod tree;
pub mod wire;
