//! The relation that a key is made for: a circuit's constraints with a name, and their hash.

use ark_bn254::Fr;
use ark_ff::One;
use ark_relations::gr1cs::SynthesisError;

use super::error::CeremonyError;
use super::powers::POWER_MAX;
use crate::rollup;
use crate::shielded::field::element_bytes;
use crate::shielded::prove::Matrices;

/// The digest of a circuit in a ceremony.
const DIGEST: &[u8] = b"rustorium/ceremony-circuit/v1\0";
const TRANSFER: &str = "shielded-transfer";
const ROLLUP: &str = "rollup";
/// The names of this release's circuits.
pub const CIRCUITS: [&str; 2] = [TRANSFER, ROLLUP];

/// A variable's entries in the three matrices, as (coefficient, row).
pub(super) type Columns = [Vec<(Fr, usize)>; 3];

/// A circuit's constraints.
pub struct Relation {
    name: String,
    matrices: Matrices,
    digest: [u8; 32],
}

impl Relation {
    /// Returns the circuit of the transfer of shielded value.
    pub fn transfer() -> Result<Self, SynthesisError> {
        Ok(Self::new(TRANSFER, Matrices::of_transfer()?))
    }

    /// Returns the circuit of a rollup's batch.
    pub fn rollup() -> Result<Self, SynthesisError> {
        Ok(Self::new(ROLLUP, rollup::matrices()?))
    }

    /// Returns this release's circuit of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            TRANSFER => Self::transfer().ok(),
            ROLLUP => Self::rollup().ok(),
            _ => None,
        }
    }

    /// Creates the relation of any circuit, with a name of at most 255 bytes.
    pub fn new(name: &str, matrices: Matrices) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DIGEST);
        let counts = [matrices.instances(), matrices.witnesses(), matrices.constraints()];
        for count in counts {
            hasher.update(&(count as u64).to_le_bytes());
        }
        for row in 0..matrices.constraints() {
            for terms in matrices.row(row) {
                hasher.update(&(terms.len() as u64).to_le_bytes());
                for (coefficient, variable) in terms {
                    hasher.update(&(*variable as u64).to_le_bytes()).update(&element_bytes(coefficient));
                }
            }
        }
        let digest = *hasher.finalize().as_bytes();
        Self { name: name.to_owned(), matrices, digest }
    }

    /// Returns the circuit's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hash of all constraints.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns the constraints.
    pub fn matrices(&self) -> &Matrices {
        &self.matrices
    }

    /// Returns the constraints by value, to prove with.
    pub fn into_matrices(self) -> Matrices {
        self.matrices
    }

    pub(super) fn instances(&self) -> usize {
        self.matrices.instances()
    }

    pub(super) fn variables(&self) -> usize {
        self.matrices.instances() + self.matrices.witnesses()
    }

    /// Returns the size of the domain that the circuit needs, as a power of two: a row for each constraint and for each
    /// public input.
    pub fn power(&self) -> Result<u8, CeremonyError> {
        let rows = self.matrices.constraints() + self.matrices.instances();
        let power = rows.next_power_of_two().trailing_zeros() as u8;
        if power > POWER_MAX {
            return Err(CeremonyError::Unfit("it has too many constraints"));
        }
        Ok(power.max(1))
    }

    /// Calls `with` (matrix, row, variable, coefficient) for each entry, including those that tie the public inputs.
    pub(super) fn each_entry(&self, mut with: impl FnMut(usize, usize, usize, Fr)) {
        for row in 0..self.matrices.constraints() {
            for (matrix, terms) in self.matrices.row(row).into_iter().enumerate() {
                for (coefficient, variable) in terms {
                    with(matrix, row, *variable, *coefficient);
                }
            }
        }
        for input in 0..self.instances() {
            with(0, self.matrices.constraints() + input, input, Fr::one());
        }
    }

    /// Returns the entries of each variable.
    pub(super) fn columns(&self) -> Vec<Columns> {
        let mut columns: Vec<Columns> = vec![Columns::default(); self.variables()];
        self.each_entry(|matrix, row, variable, coefficient| columns[variable][matrix].push((coefficient, row)));
        columns
    }
}
