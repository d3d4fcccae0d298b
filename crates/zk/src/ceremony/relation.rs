//! What a key is made for: a circuit's constraints under a name, and the hash that stands for them.

use ark_bn254::Fr;
use ark_ff::One;
use ark_relations::gr1cs::SynthesisError;

use super::error::CeremonyError;
use super::powers::POWER_MAX;
use crate::rollup;
use crate::shielded::field::element_bytes;
use crate::shielded::prove::Matrices;

const DIGEST: &[u8] = b"rustorium/ceremony-circuit/v1\0";
const TRANSFER: &str = "shielded-transfer";
const ROLLUP: &str = "rollup";
/// The names of the circuits that this release has.
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
    /// The transfer of shielded value.
    pub fn transfer() -> Result<Self, SynthesisError> {
        Ok(Self::new(TRANSFER, Matrices::of_transfer()?))
    }

    /// The batch of a rollup.
    pub fn rollup() -> Result<Self, SynthesisError> {
        Ok(Self::new(ROLLUP, rollup::matrices()?))
    }

    /// The circuit of this release that has this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            TRANSFER => Self::transfer().ok(),
            ROLLUP => Self::rollup().ok(),
            _ => None,
        }
    }

    /// Any circuit, under a name of at most 255 bytes.
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

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stands for all constraints.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The constraints.
    pub fn matrices(&self) -> &Matrices {
        &self.matrices
    }

    /// The constraints, to prove with.
    pub fn into_matrices(self) -> Matrices {
        self.matrices
    }

    pub(super) fn instances(&self) -> usize {
        self.matrices.instances()
    }

    pub(super) fn variables(&self) -> usize {
        self.matrices.instances() + self.matrices.witnesses()
    }

    /// How large a domain it takes, as a power of two: a row for each constraint and for each public input.
    pub fn power(&self) -> Result<u8, CeremonyError> {
        let rows = self.matrices.constraints() + self.matrices.instances();
        let power = rows.next_power_of_two().trailing_zeros() as u8;
        if power > POWER_MAX {
            return Err(CeremonyError::Unfit("it has too many constraints"));
        }
        Ok(power.max(1))
    }

    /// Calls `with` (matrix, row, variable, coefficient) for each entry, also those that tie the public inputs.
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

    /// The entries of each variable.
    pub(super) fn columns(&self) -> Vec<Columns> {
        let mut columns: Vec<Columns> = vec![Columns::default(); self.variables()];
        self.each_entry(|matrix, row, variable, coefficient| columns[variable][matrix].push((coefficient, row)));
        columns
    }
}
