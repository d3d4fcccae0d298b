//! The two curves, and their differences.

use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ec::pairing::Pairing;
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ff::Field;

/// A pairing-friendly curve that proofs are verified on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Curve {
    /// BN254, which circom calls bn128: about 100 bits of security.
    Bn254 = 1,
    /// BLS12-381: about 120 bits of security.
    Bls12381 = 2,
}

impl Curve {
    /// Returns the name in snarkjs' JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bn254 => "bn128",
            Self::Bls12381 => "bls12381",
        }
    }

    /// Returns the curve with this name in snarkjs.
    pub fn from_label(label: &str) -> Option<Self> {
        [Self::Bn254, Self::Bls12381].into_iter().find(|curve| curve.label() == label)
    }

    /// Returns the curve of this first byte of a key.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Bn254, Self::Bls12381].into_iter().find(|curve| *curve as u8 == byte)
    }

    /// Returns the bytes of a coordinate in the base field.
    pub const fn coordinate_bytes(self) -> usize {
        match self {
            Self::Bn254 => 32,
            Self::Bls12381 => 48,
        }
    }

    /// Returns the bytes of a proof: A and C of two coordinates, B of four.
    pub const fn proof_bytes(self) -> usize {
        8 * self.coordinate_bytes()
    }

    /// Returns the curve whose proofs have this many bytes.
    pub fn of_proof(bytes: usize) -> Option<Self> {
        [Self::Bn254, Self::Bls12381].into_iter().find(|curve| curve.proof_bytes() == bytes)
    }

    /// Returns the bytes of a key for `inputs` public inputs: the curve's byte, alpha, beta, gamma, delta, and the
    /// points of `IC`, which are one more than the inputs.
    pub const fn key_bytes(self, inputs: usize) -> usize {
        1 + (2 + 3 * 4 + 2 * (inputs + 1)) * self.coordinate_bytes()
    }
}

impl std::fmt::Display for Curve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bn254 => "BN254",
            Self::Bls12381 => "BLS12-381",
        })
    }
}

/// A curve's groups as types of arkworks.
pub trait Suite:
    Pairing<
        G1 = Projective<Self::First>,
        G1Affine = Affine<Self::First>,
        G2 = Projective<Self::Second>,
        G2Affine = Affine<Self::Second>,
    >
{
    /// The curve.
    const CURVE: Curve;
    /// The first group.
    type First: GLVConfig<BaseField = <Self as Pairing>::BaseField, ScalarField = <Self as Pairing>::ScalarField>;
    /// The second group.
    type Second: SWCurveConfig<BaseField: Field<BasePrimeField = <Self as Pairing>::BaseField>>;
}

impl Suite for Bn254 {
    const CURVE: Curve = Curve::Bn254;
    type First = ark_bn254::g1::Config;
    type Second = ark_bn254::g2::Config;
}

impl Suite for Bls12_381 {
    const CURVE: Curve = Curve::Bls12381;
    type First = ark_bls12_381::g1::Config;
    type Second = ark_bls12_381::g2::Config;
}
