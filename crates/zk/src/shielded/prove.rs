//! The prover of transfers, and the keys of a devnet.

use ark_bn254::{Bn254, Fr, G1Projective, G2Projective};
use ark_ec::PrimeGroup;
use ark_ff::{One, Zero};
use ark_groth16::r1cs_to_qap::LibsnarkReduction;
use ark_groth16::{Groth16, ProvingKey};
use ark_relations::gr1cs::{
    ConstraintSynthesizer, ConstraintSystem, ConstraintSystemRef, Matrix, OptimizationGoal, R1CS_PREDICATE_LABEL,
    SynthesisError, SynthesisMode,
};
use zeroize::Zeroizing;

use super::circuit::TransferCircuit;
use super::error::ShieldedError;
use super::field::{Element, Stream, element_bytes};
use super::transfer::UnprovenTransfer;
use crate::{encode_key, encode_proof};

type Groth = Groth16<Bn254, LibsnarkReduction>;

/// The seed of a devnet's keys. Everybody knows it, so everybody can prove anything under them.
const DEVNET: &[u8] = b"rustorium/shielded-devnet-setup: FOR TESTS ONLY, anyone can forge proofs under these keys\0";
const SEEDED: &[u8] = b"rustorium/shielded-setup-of-a-seed: FOR TESTS ONLY\0";
/// The randomness of a proof, from the system and the witness.
const PROVE: &[u8] = b"rustorium/shielded-prove/v1\0";

/// The canonical bytes of the key that verifies a devnet's proofs.
pub const DEVNET_VERIFYING_KEY: &[u8] = include_bytes!("devnet_verifying_key.bin");

/// The warning that every user of a devnet's keys must see.
pub const DEVNET_WARNING: &str = "these proving keys are for tests only: they come from a public seed, so anyone can \
     make value out of nothing in a shielded pool that trusts them";

/// The constraints of the circuit, as matrices.
pub struct Matrices {
    rows: Vec<Matrix<Element>>,
    instances: usize,
    constraints: usize,
    witnesses: usize,
}

impl Matrices {
    /// Returns the matrices of a transfer.
    pub fn of_transfer() -> Result<Self, SynthesisError> {
        Self::of_circuit(TransferCircuit::blank())
    }

    /// Returns the matrices of any circuit, whatever its values.
    pub fn of_circuit(circuit: impl ConstraintSynthesizer<Element>) -> Result<Self, SynthesisError> {
        let system = ConstraintSystem::new_ref();
        system.set_optimization_goal(OptimizationGoal::Constraints);
        system.set_mode(SynthesisMode::Setup);
        circuit.generate_constraints(system.clone())?;
        Self::of(&system)
    }

    /// Returns the matrices of a system into which a circuit was put.
    pub fn of(system: &ConstraintSystemRef<Element>) -> Result<Self, SynthesisError> {
        system.finalize();
        let rows = system.to_matrices()?.remove(R1CS_PREDICATE_LABEL).unwrap_or_default();
        Ok(Self {
            rows,
            instances: system.num_instance_variables(),
            constraints: system.num_constraints(),
            witnesses: system.num_witness_variables(),
        })
    }

    /// Returns the number of constraints.
    pub fn constraints(&self) -> usize {
        self.constraints
    }

    /// Returns the number of variables that the prover chooses.
    pub fn witnesses(&self) -> usize {
        self.witnesses
    }

    /// Returns the number of inputs that the verifier gives, including the constant 1.
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// Returns the number of nonzero entries, in all three matrices.
    pub fn entries(&self) -> usize {
        self.rows.iter().flatten().map(Vec::len).sum()
    }

    /// Returns a row's three linear combinations, each as (coefficient, variable) pairs.
    pub fn row(&self, constraint: usize) -> [&[(Element, usize)]; 3] {
        std::array::from_fn(|at| {
            self.rows.get(at).and_then(|matrix| matrix.get(constraint)).map_or(&[][..], Vec::as_slice)
        })
    }

    /// Returns the first constraint that an assignment breaks.
    pub fn broken(&self, assignment: &[Element]) -> Option<usize> {
        let sum = |terms: &[(Element, usize)]| {
            terms.iter().map(|(factor, at)| *factor * assignment.get(*at).copied().unwrap_or_default()).sum::<Fr>()
        };
        (0..self.constraints).find(|constraint| {
            let [a, b, c] = self.row(*constraint).map(sum);
            !(a * b - c).is_zero()
        })
    }
}

/// Returns the values of all variables in a circuit: the constant 1, public inputs, then the prover's variables.
pub fn assignment(circuit: impl ConstraintSynthesizer<Element>) -> Result<Zeroizing<Vec<Element>>, SynthesisError> {
    let system = ConstraintSystem::new_ref();
    system.set_mode(SynthesisMode::Prove { construct_matrices: false, generate_lc_assignments: false });
    circuit.generate_constraints(system.clone())?;
    let mut system = system.into_inner().ok_or(SynthesisError::MissingCS)?;
    let witness = Zeroizing::new(std::mem::take(&mut system.assignments.witness_assignment));
    let instance = std::mem::take(&mut system.assignments.instance_assignment);
    Ok(Zeroizing::new([instance.as_slice(), &witness].concat()))
}

/// A prover with one proving key.
pub struct Prover {
    key: ProvingKey<Bn254>,
    matrices: Matrices,
}

impl Prover {
    /// Creates a devnet's prover: the same on every machine, and FOR TESTS ONLY ([`DEVNET_WARNING`]).
    pub fn insecure_devnet() -> Result<Self, SynthesisError> {
        Self::insecure(DEVNET, TransferCircuit::blank())
    }

    /// Creates a prover of transfers with keys of any seed, with the generator as γ as in a ceremony: FOR TESTS ONLY,
    /// anyone who knows the seed can forge proofs.
    pub fn insecure_of_seed(seed: &[u8; 32]) -> Result<Self, SynthesisError> {
        let mut random = Stream::new(SEEDED, &[seed]);
        let [alpha, beta, delta] = std::array::from_fn(|_| random.element());
        let (first, second, gamma) = (G1Projective::generator(), G2Projective::generator(), Fr::one());
        let circuit = TransferCircuit::blank();
        let made = circuit.clone();
        let key = Groth::generate_parameters_with_qap(made, alpha, beta, gamma, delta, first, second, &mut random)?;
        Ok(Self { key, matrices: Matrices::of_circuit(circuit)? })
    }

    /// Creates a circuit's prover with keys from a seed that everybody knows: FOR TESTS ONLY.
    pub(crate) fn insecure(
        seed: &[u8],
        circuit: impl ConstraintSynthesizer<Element> + Clone,
    ) -> Result<Self, SynthesisError> {
        let mut random = Stream::new(seed, &[]);
        let key = Groth::generate_random_parameters_with_reduction(circuit.clone(), &mut random)?;
        Ok(Self { key, matrices: Matrices::of_circuit(circuit)? })
    }

    /// Creates the prover of a circuit with a key that was made for it.
    pub fn new(key: ProvingKey<Bn254>, matrices: Matrices) -> Self {
        Self { key, matrices }
    }

    /// Returns the circuit's constraints.
    pub fn matrices(&self) -> &Matrices {
        &self.matrices
    }

    /// Returns the canonical bytes of the key that verifies its proofs.
    pub fn verifying_key(&self) -> Vec<u8> {
        encode_key(&self.key.vk)
    }

    /// Returns the proving key.
    pub fn proving_key(&self) -> &ProvingKey<Bn254> {
        &self.key
    }

    /// Returns the values of all variables of a transfer. Errors: the transfer breaks a rule.
    pub fn assignment(&self, transfer: &UnprovenTransfer) -> Result<Zeroizing<Vec<Element>>, ShieldedError> {
        let circuit = TransferCircuit { public: transfer.statement.public_inputs(), witness: transfer.witness.clone() };
        let assignment = assignment(circuit).map_err(|_| ShieldedError::Unsatisfied)?;
        if self.matrices.broken(&assignment).is_some() { Err(ShieldedError::Unsatisfied) } else { Ok(assignment) }
    }

    /// Returns the canonical bytes of a proof of the transfer's statement.
    ///
    /// `entropy` must be 32 fresh random bytes. The whole witness is hashed with it, so two proofs never have the same
    /// blinding by mistake.
    pub fn prove(&self, transfer: &UnprovenTransfer, entropy: &[u8; 32]) -> Result<Vec<u8>, ShieldedError> {
        self.prove_checked(&self.assignment(transfer)?, entropy)
    }

    /// Does the same for any circuit's assignment, which is first checked against the circuit's constraints.
    pub fn prove_assignment(&self, assignment: &[Element], entropy: &[u8; 32]) -> Result<Vec<u8>, ShieldedError> {
        let variables = self.matrices.instances + self.matrices.witnesses;
        if assignment.len() != variables || self.matrices.broken(assignment).is_some() {
            return Err(ShieldedError::Unsatisfied);
        }
        self.prove_checked(assignment, entropy)
    }

    fn prove_checked(&self, assignment: &[Element], entropy: &[u8; 32]) -> Result<Vec<u8>, ShieldedError> {
        let mut hasher = blake3::Hasher::new();
        for value in assignment.iter() {
            hasher.update(&element_bytes(value));
        }
        let witness = Zeroizing::new(*hasher.finalize().as_bytes());
        let mut random = Stream::new(PROVE, &[entropy, &*witness]);
        Groth::create_proof_with_reduction_and_matrices(
            &self.key,
            random.element(),
            random.element(),
            &self.matrices.rows,
            self.matrices.instances,
            self.matrices.constraints,
            assignment,
        )
        .map(|proof| encode_proof(&proof))
        .map_err(|_| ShieldedError::Unsatisfied)
    }
}
