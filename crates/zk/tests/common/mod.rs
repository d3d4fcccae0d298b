//! Keys and proofs for tests: those that snarkjs made (`tests/zk`), and those of a small circuit made here.

#![allow(dead_code, clippy::expect_used, clippy::panic)]

use ark_ec::short_weierstrass::Affine;
use ark_ff::{BigInteger, Field, PrimeField};
use ark_groth16::{Groth16, ProvingKey};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, SynthesisError, Variable};
use ark_relations::lc;
use ark_std::UniformRand;
use ark_std::rand::SeedableRng;
use ark_std::rand::rngs::StdRng;
use rustorium_zk::{Curve, Suite, encode_input, encode_key, encode_proof, snarkjs};
use std::path::PathBuf;

pub type Input = [u8; 32];

/// A proof and its inputs, as canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub proof: Vec<u8>,
    pub inputs: Vec<Input>,
}

/// A key's bytes, and proofs of statements for it.
pub struct Samples {
    pub key: Vec<u8>,
    pub proofs: Vec<Sample>,
}

pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A file of `tests/zk`.
pub fn file(curve: Curve, name: &str) -> Vec<u8> {
    let path = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs this"))
        .join("../../tests/zk")
        .join(curve.label())
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns what snarkjs made for `gate.circom`.
pub fn snarkjs_samples(curve: Curve) -> Samples {
    let proof = |n: u32| Sample {
        proof: snarkjs::proof_from_json(&file(curve, &format!("{n}.proof.json"))).expect("snarkjs made it"),
        inputs: snarkjs::inputs_from_json(&file(curve, &format!("{n}.public.json")), curve).expect("snarkjs made it"),
    };
    let key = snarkjs::key_from_json(&file(curve, "verification_key.json")).expect("snarkjs made it");
    Samples { key, proofs: (1..=3).map(proof).collect() }
}

/// A circuit with a `secret` and, for each public input, the factor by which it is a multiple of `secret`.
#[derive(Clone)]
struct Multiples<F: Field> {
    secret: F,
    factors: Vec<F>,
}

impl<F: Field> ConstraintSynthesizer<F> for Multiples<F> {
    fn generate_constraints(self, system: ConstraintSystemRef<F>) -> Result<(), SynthesisError> {
        let secret = system.new_witness_variable(|| Ok(self.secret))?;
        for factor in &self.factors {
            let public = system.new_input_variable(|| Ok(self.secret * factor))?;
            let factor = system.new_witness_variable(|| Ok(*factor))?;
            system.enforce_r1cs_constraint(|| lc!() + secret, || lc!() + factor, || lc!() + public)?;
        }
        // A statement without inputs needs a constraint too.
        system.enforce_r1cs_constraint(|| lc!() + secret, || lc!() + Variable::One, || lc!() + secret)
    }
}

/// A proving key for `inputs` public inputs.
pub fn proving_key<E: Suite>(inputs: usize, seed: u64) -> ProvingKey<E> {
    let zero = E::ScalarField::from(0u64);
    let circuit = Multiples { secret: zero, factors: vec![zero; inputs] };
    Groth16::<E>::generate_random_parameters_with_reduction(circuit, &mut rng(seed)).expect("the circuit is sound")
}

/// A proof of random inputs.
pub fn prove<E: Suite>(key: &ProvingKey<E>, seed: u64) -> Sample {
    let mut rng = rng(seed);
    let secret = E::ScalarField::rand(&mut rng);
    let factors: Vec<_> = (1..key.vk.gamma_abc_g1.len()).map(|_| E::ScalarField::rand(&mut rng)).collect();
    let inputs = factors.iter().map(|factor| encode_input(secret * factor)).collect();
    let circuit = Multiples { secret, factors };
    let proof = Groth16::<E>::create_random_proof_with_reduction(circuit, key, &mut rng).expect("the witness fits");
    Sample { proof: encode_proof(&proof), inputs }
}

/// A key for `inputs` public inputs and `count` proofs.
pub fn samples<E: Suite>(inputs: usize, count: u64, seed: u64) -> Samples {
    let key = proving_key::<E>(inputs, seed);
    let proofs = (0..count).map(|n| prove(&key, seed * 1000 + n)).collect();
    Samples { key: encode_key(&key.vk), proofs }
}

/// The points of a proof's bytes, read without any check.
pub fn points<E: Suite>(proof: &[u8]) -> (E::G1Affine, E::G2Affine, E::G1Affine) {
    let size = E::CURVE.coordinate_bytes();
    let number = |place: usize| {
        let bits: Vec<bool> = proof[place * size..][..size]
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1 == 1))
            .collect();
        E::BaseField::from_bigint(BigInteger::from_bits_be(&bits)).expect("reduced")
    };
    let second = |place: usize| Field::from_base_prime_field_elems([number(place + 1), number(place)]).expect("two");
    let a = Affine::new_unchecked(number(0), number(1));
    let c = Affine::new_unchecked(number(6), number(7));
    (a, Affine::new_unchecked(second(2), second(4)), c)
}

/// A statement of two inputs whose last is zero, and its proof.
pub fn zero_statement<E: Suite>() -> (ark_groth16::VerifyingKey<E>, ark_groth16::Proof<E>, Vec<E::ScalarField>) {
    let key = proving_key::<E>(2, 11);
    let (secret, zero) = (E::ScalarField::from(5u64), E::ScalarField::from(0u64));
    let circuit = Multiples { secret, factors: vec![secret, zero] };
    let proof = Groth16::<E>::create_random_proof_with_reduction(circuit, &key, &mut rng(12)).expect("it fits");
    (key.vk, proof, vec![secret * secret, zero])
}
