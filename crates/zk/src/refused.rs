//! Reasons why a key, a proof or an input is refused: one error for each reason.

use crate::curve::Curve;
use thiserror::Error;

/// A part of a key or a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `vk_alpha_1`.
    Alpha,
    /// `vk_beta_2`.
    Beta,
    /// `vk_gamma_2`.
    Gamma,
    /// `vk_delta_2`.
    Delta,
    /// `IC[i]`.
    Ic(usize),
    /// `pi_a`.
    A,
    /// `pi_b`.
    B,
    /// `pi_c`.
    C,
    /// A public input.
    Input(usize),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alpha => f.write_str("the key's alpha"),
            Self::Beta => f.write_str("the key's beta"),
            Self::Gamma => f.write_str("the key's gamma"),
            Self::Delta => f.write_str("the key's delta"),
            Self::Ic(index) => write!(f, "the key's IC[{index}]"),
            Self::A => f.write_str("the proof's A"),
            Self::B => f.write_str("the proof's B"),
            Self::C => f.write_str("the proof's C"),
            Self::Input(index) => write!(f, "public input {index}"),
        }
    }
}

/// A document or byte string of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// A verifying key.
    Key,
    /// A proof.
    Proof,
    /// The public inputs.
    Inputs,
}

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key => "the verifying key",
            Self::Proof => "the proof",
            Self::Inputs => "the list of public inputs",
        })
    }
}

/// A key, proof or input was refused. It comes from a user, so this is an answer, never a panic.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// The first byte of a key names no curve.
    #[error("the key's first byte is {0}, which names no curve; 1 is BN254 and 2 is BLS12-381")]
    UnknownCurve(u8),
    /// The bytes have a length that this kind of document can't have.
    #[error("{0} has {1} bytes, which is not a length that it can have; give its canonical bytes or snarkjs' JSON")]
    Length(Document, usize),
    /// The key is for more inputs than are allowed.
    #[error("the key is for {0} public inputs, at most {max} are taken; hash them into fewer", max = crate::INPUTS_MAX)]
    TooManyInputs(usize),
    /// The number of inputs is not the one that the key needs.
    #[error("there are {got} public inputs and the key is for {expected}; give exactly those, in the circuit's order")]
    InputCount {
        /// Number of inputs given.
        got: usize,
        /// Number of inputs that the key needs.
        expected: usize,
    },
    /// An input is at or above the order of the curve's group.
    #[error("{0} is not below the order of the curve's group; reduce it before proving, not after")]
    InputNotReduced(Part),
    /// A coordinate is at or above the base field's modulus.
    #[error("{0} has a coordinate that is not below the field's modulus; only the reduced number is taken")]
    CoordinateNotReduced(Part),
    /// The point is the point at infinity.
    #[error("{0} is the point at infinity, which no honest setup or prover makes")]
    Identity(Part),
    /// The coordinates don't satisfy the curve's equation.
    #[error("{0} is not a point of the curve")]
    NotOnCurve(Part),
    /// The point is on the curve, but not in the group of prime order.
    #[error("{0} is on the curve and outside its subgroup of prime order")]
    WrongSubgroup(Part),
    /// Gamma and delta are equal or opposite.
    #[error("the key's gamma and delta are the same up to sign: anyone could forge proofs; run phase 2 of the setup")]
    GammaIsDelta,
    /// Delta is the generator or its opposite.
    #[error(
        "the key's delta is the generator: nobody contributed to the setup's phase 2, so anyone could forge proofs"
    )]
    DeltaIsGenerator,
    /// The document is not the JSON that it should be.
    #[error("{0} is not the JSON that snarkjs writes: {1}")]
    NotJson(Document, String),
    /// The document is longer than any of its kind.
    #[error("{0} has {1} bytes of JSON, more than any that snarkjs writes for {max} inputs", max = crate::INPUTS_MAX)]
    TooLong(Document, usize),
    /// A number isn't written as plain decimal digits: it has a sign, hex digits, spaces or leading zeros.
    #[error("{0} is not written as a plain decimal number: digits alone, no sign, no leading zero, no hex")]
    NotDecimal(Part),
    /// A third coordinate isn't one.
    #[error(
        "{0} is not in affine form: its third coordinate must be 1 (\"1\", and [\"1\", \"0\"] in the second group)"
    )]
    NotAffine(Part),
    /// The protocol is not Groth16.
    #[error("{0} is labelled with the protocol {1:?}; only \"groth16\" is verified")]
    Protocol(Document, String),
    /// The curve is unknown.
    #[error("{0} is labelled with the curve {1:?}; those that are verified are \"bn128\" and \"bls12381\"")]
    CurveLabel(Document, String),
    /// The proof is for another curve than the key.
    #[error("the proof is for {proof} and the key for {key}; they must be made for the same curve")]
    OtherCurve {
        /// The proof's curve.
        proof: Curve,
        /// The key's curve.
        key: Curve,
    },
    /// `nPublic` and the length of `IC` contradict each other.
    #[error("the key says nPublic {declared} and has {points} points in IC; there must be one more than nPublic")]
    IcLength {
        /// `nPublic`.
        declared: u64,
        /// Points in `IC`.
        points: usize,
    },
    /// The equation doesn't hold: the statement isn't proved.
    #[error("the proof does not prove this statement: another key, other public inputs, or a forged proof")]
    NotProved,
}

impl Refused {
    /// Returns a stable code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCurve(_) => "zk-unknown-curve",
            Self::Length(..) => "zk-length",
            Self::TooManyInputs(_) => "zk-too-many-inputs",
            Self::InputCount { .. } => "zk-input-count",
            Self::InputNotReduced(_) => "zk-input-not-reduced",
            Self::CoordinateNotReduced(_) => "zk-coordinate-not-reduced",
            Self::Identity(_) => "zk-identity",
            Self::NotOnCurve(_) => "zk-not-on-curve",
            Self::WrongSubgroup(_) => "zk-wrong-subgroup",
            Self::GammaIsDelta => "zk-gamma-is-delta",
            Self::DeltaIsGenerator => "zk-delta-is-generator",
            Self::NotJson(..) => "zk-not-json",
            Self::TooLong(..) => "zk-too-long",
            Self::NotDecimal(_) => "zk-not-decimal",
            Self::NotAffine(_) => "zk-not-affine",
            Self::Protocol(..) => "zk-protocol",
            Self::CurveLabel(..) => "zk-curve-label",
            Self::OtherCurve { .. } => "zk-other-curve",
            Self::IcLength { .. } => "zk-ic-length",
            Self::NotProved => "zk-not-proved",
        }
    }
}
