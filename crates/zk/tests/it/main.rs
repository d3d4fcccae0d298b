//! Keys, proofs and inputs of Groth16, ceremonies and shielded value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod batch;
mod ceremony;
mod refused;
#[cfg(feature = "shielded")]
mod shielded;
mod snarkjs;
