//! Groth16 proofs of anyone's statements, verified by one set of strict rules, and the circuits of shielded value.
//!
//! *Invariants:* knows no clock, thread, network or disk; a decoded key, proof or input is canonical, on its curve and
//! in its subgroup, so no later code checks it again; one encoding per value; no bytes make a decoder panic or allocate
//! more than a few times their length; a batch accepts exactly the proofs that are accepted alone, and both are pure
//! functions of their arguments; no other code of the workspace calls the raw verifier; without the feature `shielded`
//! it compiles for wasm32.
//!
//! [`Key`] is checked when it is decoded. [`Claim`] is a proof and its inputs, decoded for a key. [`verify_all`] tells
//! which of many claims hold. [`snarkjs`] converts the files of that tool to canonical bytes. [`ceremony`] makes the
//! keys of our circuits.

mod batch;
#[cfg(feature = "shielded")]
pub mod ceremony;
mod claim;
mod curve;
mod encoding;
mod inputs;
mod key;
mod refused;
#[cfg(feature = "shielded")]
pub mod rollup;
#[cfg(feature = "shielded")]
pub mod shielded;
pub mod snarkjs;

pub use batch::verify_all;
pub use claim::{Claim, encode_input, encode_proof};
pub use curve::{Curve, Suite};
pub use encoding::SCALAR_BYTES;
pub use key::{KEY_BYTES_MAX, Key, check_key, curve_and_inputs, encode_key};
pub use refused::{Document, Part, Refused};

/// Public inputs that a key may have.
pub const INPUTS_MAX: usize = 64;
