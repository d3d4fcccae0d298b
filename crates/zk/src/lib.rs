//! Groth16 proofs of anyone's statements, verified by one set of strict rules, and the circuits of shielded value.
//!
//! *Invariants:* knows no clock, thread, network or disk; a key, proof or input that was decoded is canonical, on its
//! curve and in its subgroup, so whatever holds one never checks again; one encoding per value; no bytes make a decoder
//! panic or allocate more than a few times their length; a batch accepts exactly what each proof alone is accepted for,
//! and both are pure functions of their arguments; nothing else in the workspace calls the raw verifier; without the
//! feature `shielded` it compiles for wasm32.

#[cfg(feature = "shielded")]
pub mod shielded;
