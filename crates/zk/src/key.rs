//! Verifying keys: decoded, checked once, and prepared for use.

use crate::INPUTS_MAX;
use crate::curve::{Curve, Suite};
use crate::encoding::{point, point_bytes, write_point};
use crate::inputs::Multiples;
use crate::refused::{Document, Part, Refused};
use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ec::short_weierstrass::SWCurveConfig;
use ark_groth16::{PreparedVerifyingKey, VerifyingKey};
use std::ops::Neg;
use std::sync::{Arc, OnceLock};

/// Bytes of the longest key.
pub const KEY_BYTES_MAX: usize = Curve::Bls12381.key_bytes(INPUTS_MAX);
/// The digest of a Groth16 verifying key.
const KEY_DOMAIN: &[u8] = b"rustorium/groth16-key/v1\0";

/// A checked verifying key, ready for use. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Key {
    pub(crate) of: KeyOf,
    /// Represents the key when a batch is hashed.
    pub(crate) digest: [u8; 32],
}

#[derive(Debug, Clone)]
pub(crate) enum KeyOf {
    Bn254(Arc<Prepared<Bn254>>),
    Bls12381(Arc<Prepared<Bls12_381>>),
}

/// The parts of a key on one curve that verifying needs.
#[derive(Debug)]
pub(crate) struct Prepared<E: Suite> {
    pub(crate) key: VerifyingKey<E>,
    /// The lines of β, −γ and −δ.
    pub(crate) lines: [E::G2Prepared; 3],
    /// Made at first use, since a batch doesn't need it.
    alone: OnceLock<Alone<E>>,
}

/// Further parts of a key that verifying alone needs.
pub(crate) struct Alone<E: Suite> {
    /// The key with e(α, β).
    pub(crate) key: PreparedVerifyingKey<E>,
    /// Multiples of the points that inputs multiply.
    pub(crate) multiples: Multiples<E::First>,
}

impl<E: Suite> std::fmt::Debug for Alone<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alone").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Key {
    /// Decodes and checks a key's canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refused> {
        let (curve, _) = curve_and_inputs(bytes)?;
        let of = match curve {
            Curve::Bn254 => KeyOf::Bn254(Arc::new(Prepared::new(decode(&bytes[1..])?))),
            Curve::Bls12381 => KeyOf::Bls12381(Arc::new(Prepared::new(decode(&bytes[1..])?))),
        };
        let mut hasher = blake3::Hasher::new();
        let digest = *hasher.update(KEY_DOMAIN).update(bytes).finalize().as_bytes();
        Ok(Self { of, digest })
    }

    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.of {
            KeyOf::Bn254(key) => encode_key(&key.key),
            KeyOf::Bls12381(key) => encode_key(&key.key),
        }
    }

    /// Returns the key's curve.
    pub fn curve(&self) -> Curve {
        match self.of {
            KeyOf::Bn254(_) => Curve::Bn254,
            KeyOf::Bls12381(_) => Curve::Bls12381,
        }
    }

    /// Returns the number of public inputs of the key's statements.
    pub fn inputs(&self) -> usize {
        match &self.of {
            KeyOf::Bn254(key) => key.inputs(),
            KeyOf::Bls12381(key) => key.inputs(),
        }
    }
}

impl<E: Suite> Prepared<E> {
    fn new(key: VerifyingKey<E>) -> Self {
        let lines = [key.beta_g2.into(), key.gamma_g2.neg().into(), key.delta_g2.neg().into()];
        Self { key, lines, alone: OnceLock::new() }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.key.gamma_abc_g1.len() - 1
    }

    pub(crate) fn alone(&self) -> &Alone<E> {
        self.alone.get_or_init(|| {
            let key = PreparedVerifyingKey {
                vk: self.key.clone(),
                alpha_g1_beta_g2: E::final_exponentiation(E::miller_loop(self.key.alpha_g1, self.lines[0].clone()))
                    .map(|output| output.0)
                    .unwrap_or_default(),
                gamma_g2_neg_pc: self.lines[1].clone(),
                delta_g2_neg_pc: self.lines[2].clone(),
            };
            Alone { key, multiples: Multiples::of(&self.key.gamma_abc_g1[1..]) }
        })
    }
}

/// Checks a whole key but prepares nothing, as its registration needs.
pub fn check_key(bytes: &[u8]) -> Result<(), Refused> {
    match curve_and_inputs(bytes)?.0 {
        Curve::Bn254 => decode::<Bn254>(&bytes[1..]).map(drop),
        Curve::Bls12381 => decode::<Bls12_381>(&bytes[1..]).map(drop),
    }
}

/// Returns the curve of a key and its number of inputs, by its first byte and its length.
pub fn curve_and_inputs(bytes: &[u8]) -> Result<(Curve, usize), Refused> {
    let first = *bytes.first().ok_or(Refused::Length(Document::Key, 0))?;
    let curve = Curve::from_byte(first).ok_or(Refused::UnknownCurve(first))?;
    let fixed = curve.key_bytes(0);
    let more = bytes.len().checked_sub(fixed).filter(|more| more % (2 * curve.coordinate_bytes()) == 0);
    let inputs = more.ok_or(Refused::Length(Document::Key, bytes.len()))? / (2 * curve.coordinate_bytes());
    if inputs > INPUTS_MAX { Err(Refused::TooManyInputs(inputs)) } else { Ok((curve, inputs)) }
}

/// Decodes the bytes after the curve's byte. Their length must be that of a key.
fn decode<E: Suite>(bytes: &[u8]) -> Result<VerifyingKey<E>, Refused> {
    let size = E::CURVE.coordinate_bytes();
    let (first, second) = (point_bytes::<E::First>(size), point_bytes::<E::Second>(size));
    let (alpha, rest) = bytes.split_at(first);
    let (beta, rest) = rest.split_at(second);
    let (gamma, rest) = rest.split_at(second);
    let (delta, rest) = rest.split_at(second);
    let ic = rest.chunks_exact(first).enumerate().map(|(index, bytes)| point(bytes, size, Part::Ic(index)));
    let key = VerifyingKey {
        alpha_g1: point(alpha, size, Part::Alpha)?,
        beta_g2: point(beta, size, Part::Beta)?,
        gamma_g2: point(gamma, size, Part::Gamma)?,
        delta_g2: point(delta, size, Part::Delta)?,
        gamma_abc_g1: ic.collect::<Result<_, _>>()?,
    };
    check(&key)?;
    Ok(key)
}

/// Refuses keys that decode but for which anybody can make proofs of anything.
fn check<E: Suite>(key: &VerifyingKey<E>) -> Result<(), Refused> {
    let generator = E::Second::GENERATOR;
    if key.delta_g2 == generator || key.delta_g2 == generator.neg() {
        return Err(Refused::DeltaIsGenerator);
    }
    let known = key.delta_g2 == key.gamma_g2 || key.delta_g2 == key.gamma_g2.neg();
    if known {
        return Err(Refused::GammaIsDelta);
    }
    Ok(())
}

/// Returns the canonical bytes of a key that arkworks made.
pub fn encode_key<E: Suite>(key: &VerifyingKey<E>) -> Vec<u8> {
    let size = E::CURVE.coordinate_bytes();
    let mut out = Vec::with_capacity(E::CURVE.key_bytes(key.gamma_abc_g1.len()));
    out.push(E::CURVE as u8);
    write_point(&key.alpha_g1, size, &mut out);
    for point in [&key.beta_g2, &key.gamma_g2, &key.delta_g2] {
        write_point(point, size, &mut out);
    }
    for point in &key.gamma_abc_g1 {
        write_point(point, size, &mut out);
    }
    out
}
