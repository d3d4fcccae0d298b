//! The setup of a circuit's keys by many, of whom one honest one is enough: powers of tau, then the circuit's own δ.
//!
//! Phase 1 makes powers of a τ that is the product of everybody's numbers, phase 2 a circuit's Groth16 key from them
//! whose δ is such a product (Bowe, Gabizon and Miers, *Scalable Multi-party Computation for zk-SNARK Parameters in the
//! Random Beacon Model*, 2017; without a beacon: Kohlweiss, Maller, Siim and Volkhov, *Snarky Ceremonies*, 2021). Who
//! knows all of the numbers can forge proofs; who destroyed his own has made sure that nobody does.
//!
//! *Invariants:* a file that verifies was made by the contributions that it lists and by nothing else, and anybody can
//! verify it from the file alone; randomness comes from the caller and is hashed with what was contributed before;
//! secrets are wiped when they are dropped (copies that are left on the stack while points are multiplied are not); γ is
//! the generator, as in snarkjs' keys.

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

/// Contributions to a phase at most.
pub const CONTRIBUTIONS_MAX: usize = 1024;
/// How often a beacon is hashed at most, as a power of two: some half a minute.
pub const BEACON_LOG2_MAX: u8 = 28;
