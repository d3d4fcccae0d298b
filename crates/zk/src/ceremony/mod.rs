//! A ceremony: the setup of a circuit's keys by many contributors, of whom one honest one is enough. First powers of
//! tau, then the circuit's own δ.
//!
//! Phase 1 makes powers of a τ that is the product of all contributors' numbers. Phase 2 makes a circuit's Groth16 key
//! from them, whose δ is another such product (Bowe, Gabizon and Miers, *Scalable Multi-party Computation for zk-SNARK
//! Parameters in the Random Beacon Model*, 2017; without a beacon: Kohlweiss, Maller, Siim and Volkhov, *Snarky
//! Ceremonies*, 2021). Only somebody who knows all of the numbers can forge proofs. A contributor who destroyed his own
//! number has made sure that nobody does.
//!
//! *Invariants:* a file that verifies was made by exactly the contributions that it lists, and anybody can verify it
//! from the file alone; randomness comes from the caller and is hashed with the earlier contributions; secrets are
//! wiped when they are dropped (copies that are left on the stack while points are multiplied are not); γ is the
//! generator, as in snarkjs' keys.

mod error;
mod keyfile;
mod points;
mod powers;
mod ptau;
mod relation;
mod setup;
mod share;
mod transcript;

pub use error::{CeremonyError, Fault, Place};
pub use keyfile::{decode_proving_key, encode_proving_key, open_prover};
pub use points::Progress;
pub use powers::POWER_MAX;
pub use relation::{CIRCUITS, Relation};
pub use share::{Beacon, ChainHash, Origin, Source};
pub use transcript::{Transcript, Verified};

/// Largest number of contributions to a phase.
pub const CONTRIBUTIONS_MAX: usize = 1024;
/// Largest number of times that a beacon is hashed, as a power of two: about half a minute.
pub const BEACON_LOG2_MAX: u8 = 28;
