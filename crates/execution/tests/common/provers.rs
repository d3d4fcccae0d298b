//! Verifiers and proofs that snarkjs made, of `tests/zk/gate.circom`.

use super::*;
use rustorium_crypto::verifier_id;
use rustorium_zk::{Curve, snarkjs};
use std::path::PathBuf;

pub const CURVES: [Curve; 2] = [Curve::Bn254, Curve::Bls12381];
/// Public inputs of `tests/zk/gate.circom`.
pub const NULLIFIER: u8 = 1;
pub const BOUND: u8 = 3;

pub fn file(curve: Curve, name: &str) -> Vec<u8> {
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/zk").join(curve.label());
    std::fs::read(folder.join(name)).unwrap()
}

pub fn verifying_key(curve: Curve) -> Vec<u8> {
    snarkjs::key_from_json(&file(curve, "verification_key.json")).unwrap()
}

pub fn named(inputs: &[(u8, bool)]) -> BoundedVec<NamedInput, { limits::NAMED_INPUTS_MAX }> {
    BoundedVec::new(inputs.iter().map(|&(index, once)| NamedInput { index, once }).collect()).unwrap()
}

pub fn register(key: &[u8], inputs: &[(u8, bool)]) -> Operation {
    Operation::RegisterVerifier { key: BoundedBytes::new(key.to_vec()).unwrap(), named: named(inputs) }
}

/// The verifier that the first account registers.
pub fn id(curve: Curve, inputs: &[(u8, bool)]) -> VerifierId {
    verifier_id(&account(0), &verifying_key(curve), &named(inputs))
}

pub fn inputs_of(curve: Curve, number: usize) -> Vec<PublicInput> {
    snarkjs::inputs_from_json(&file(curve, &format!("{number}.public.json")), curve).unwrap()
}

pub fn proof_of(curve: Curve, number: usize) -> Vec<u8> {
    snarkjs::proof_from_json(&file(curve, &format!("{number}.proof.json"))).unwrap()
}

pub fn prove_with(verifier: VerifierId, inputs: Vec<PublicInput>, proof: Vec<u8>) -> Operation {
    let (inputs, proof) = (BoundedVec::new(inputs).unwrap(), BoundedBytes::new(proof).unwrap());
    Operation::VerifyProof { verifier, inputs, proof }
}

/// A proof that snarkjs made.
pub fn prove(verifier: VerifierId, curve: Curve, number: usize) -> Operation {
    prove_with(verifier, inputs_of(curve, number), proof_of(curve, number))
}

/// Combines a proof with another statement's inputs.
pub fn forge(verifier: VerifierId, curve: Curve, number: usize) -> Operation {
    prove_with(verifier, inputs_of(curve, number % 3 + 1), proof_of(curve, number))
}

pub fn require(verifier: VerifierId, input: u8, equals: InputValue) -> Operation {
    Operation::Require(Condition::Proved { verifier, input, equals })
}

pub fn number(value: u64) -> PublicInput {
    let mut input = [0; 32];
    input[24..].copy_from_slice(&value.to_be_bytes());
    input
}
