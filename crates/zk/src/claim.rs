//! A claim: a proof of a statement, decoded for its key, and its verification alone.

use crate::curve::{Curve, Suite};
use crate::encoding::{SCALAR_BYTES, point, point_bytes, scalar, write_point};
use crate::key::{Key, KeyOf, Prepared};
use crate::refused::{Document, Part, Refused};
use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ff::{BigInteger, PrimeField};
use ark_groth16::{Groth16, Proof};
use std::sync::Arc;

/// A proof and the public inputs of its statement, decoded for a key: every point is in its subgroup, every input is
/// reduced, and there are exactly as many as the key needs. `verify` or `verify_all` decide if it holds.
#[derive(Debug, Clone)]
pub struct Claim {
    pub(crate) key: Key,
    pub(crate) of: ClaimOf,
}

#[derive(Debug, Clone)]
pub(crate) enum ClaimOf {
    Bn254(Decoded<Bn254>),
    Bls12381(Decoded<Bls12_381>),
}

/// A claim on one curve.
#[derive(Debug, Clone)]
pub(crate) struct Decoded<E: Suite> {
    pub(crate) key: Arc<Prepared<E>>,
    pub(crate) proof: Proof<E>,
    pub(crate) inputs: Vec<E::ScalarField>,
}

impl Claim {
    /// Decodes a proof's canonical bytes and the canonical bytes of each public input.
    pub fn new(key: &Key, proof: &[u8], inputs: &[[u8; SCALAR_BYTES]]) -> Result<Self, Refused> {
        let of = match &key.of {
            KeyOf::Bn254(prepared) => ClaimOf::Bn254(decode(prepared, proof, inputs)?),
            KeyOf::Bls12381(prepared) => ClaimOf::Bls12381(decode(prepared, proof, inputs)?),
        };
        Ok(Self { key: key.clone(), of })
    }

    /// Verifies the claim alone.
    pub fn verify(&self) -> Result<(), Refused> {
        let holds = match &self.of {
            ClaimOf::Bn254(claim) => claim.holds(),
            ClaimOf::Bls12381(claim) => claim.holds(),
        };
        if holds { Ok(()) } else { Err(Refused::NotProved) }
    }

    /// Returns the proof's canonical bytes.
    pub fn proof_bytes(&self) -> Vec<u8> {
        match &self.of {
            ClaimOf::Bn254(claim) => encode_proof(&claim.proof),
            ClaimOf::Bls12381(claim) => encode_proof(&claim.proof),
        }
    }

    /// Returns the public inputs' canonical bytes, one after the other.
    pub fn input_bytes(&self) -> Vec<u8> {
        match &self.of {
            ClaimOf::Bn254(claim) => claim.input_bytes(),
            ClaimOf::Bls12381(claim) => claim.input_bytes(),
        }
    }
}

fn decode<E: Suite>(
    key: &Arc<Prepared<E>>,
    proof: &[u8],
    inputs: &[[u8; SCALAR_BYTES]],
) -> Result<Decoded<E>, Refused> {
    // The raw verifier would silently ignore surplus inputs or points.
    if inputs.len() != key.inputs() {
        return Err(Refused::InputCount { got: inputs.len(), expected: key.inputs() });
    }
    let inputs = inputs.iter().enumerate().map(|(index, bytes)| scalar(bytes, Part::Input(index)));
    Ok(Decoded { key: key.clone(), inputs: inputs.collect::<Result<_, _>>()?, proof: decode_proof(proof)? })
}

pub(crate) fn decode_proof<E: Suite>(bytes: &[u8]) -> Result<Proof<E>, Refused> {
    if bytes.len() != E::CURVE.proof_bytes() {
        return Err(match Curve::of_proof(bytes.len()) {
            Some(proof) => Refused::OtherCurve { proof, key: E::CURVE },
            None => Refused::Length(Document::Proof, bytes.len()),
        });
    }
    let size = E::CURVE.coordinate_bytes();
    let (a, rest) = bytes.split_at(point_bytes::<E::First>(size));
    let (b, c) = rest.split_at(point_bytes::<E::Second>(size));
    Ok(Proof { a: point(a, size, Part::A)?, b: point(b, size, Part::B)?, c: point(c, size, Part::C)? })
}

impl<E: Suite> Decoded<E> {
    /// Makes the only call of the raw verifier.
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper")]
    fn holds(&self) -> bool {
        let alone = self.key.alone();
        let inputs = alone.multiples.sum(&self.inputs) + self.key.key.gamma_abc_g1[0];
        Groth16::<E>::verify_proof_with_prepared_inputs(&alone.key, &self.proof, &inputs).unwrap_or(false)
    }

    fn input_bytes(&self) -> Vec<u8> {
        self.inputs.iter().flat_map(|input| encode_input(*input)).collect()
    }
}

/// Returns the canonical bytes of a proof that arkworks made.
pub fn encode_proof<E: Suite>(proof: &Proof<E>) -> Vec<u8> {
    let size = E::CURVE.coordinate_bytes();
    let mut out = Vec::with_capacity(E::CURVE.proof_bytes());
    write_point(&proof.a, size, &mut out);
    write_point(&proof.b, size, &mut out);
    write_point(&proof.c, size, &mut out);
    out
}

/// Returns the canonical bytes of a public input.
pub fn encode_input<F: PrimeField>(input: F) -> [u8; SCALAR_BYTES] {
    let mut out = [0; SCALAR_BYTES];
    let bytes = input.into_bigint().to_bytes_be();
    out.copy_from_slice(&bytes[bytes.len() - SCALAR_BYTES..]);
    out
}
