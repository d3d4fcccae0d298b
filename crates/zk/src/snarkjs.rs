//! The JSON files of snarkjs, converted strictly to canonical bytes: `verification_key.json`, `proof.json`,
//! `public.json`.
//!
//! A number can be written in one way only, a point is affine, the labels say exactly what is verified, and no other
//! field is allowed. Of the fields that snarkjs writes, only `vk_alphabeta_12`, which follows from the others, is
//! ignored.

use crate::INPUTS_MAX;
use crate::claim::decode_proof;
use crate::curve::Curve;
use crate::encoding::{SCALAR_BYTES, scalar};
use crate::key::check_key;
use crate::refused::{Document, Part, Refused};
use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Bytes of the longest `verification_key.json`: its points, their third coordinates and white space.
pub const KEY_JSON_BYTES_MAX: usize = 128 * 1024;
/// Bytes of the longest `proof.json`.
pub const PROOF_JSON_BYTES_MAX: usize = 8 * 1024;
/// Bytes of the longest `public.json`.
pub const INPUTS_JSON_BYTES_MAX: usize = 16 * 1024;

type First<'a> = [&'a str; 3];
type Second<'a> = [[&'a str; 2]; 3];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyJson<'a> {
    #[serde(borrow)]
    protocol: &'a str,
    curve: &'a str,
    #[serde(rename = "nPublic")]
    inputs: u64,
    vk_alpha_1: First<'a>,
    vk_beta_2: Second<'a>,
    vk_gamma_2: Second<'a>,
    vk_delta_2: Second<'a>,
    #[serde(rename = "vk_alphabeta_12")]
    _alphabeta: Option<IgnoredAny>,
    #[serde(rename = "IC")]
    ic: Vec<First<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofJson<'a> {
    #[serde(borrow)]
    protocol: &'a str,
    curve: &'a str,
    pi_a: First<'a>,
    pi_b: Second<'a>,
    pi_c: First<'a>,
}

/// Returns the canonical bytes of the key in a `verification_key.json`, and checks the key.
pub fn key_from_json(json: &[u8]) -> Result<Vec<u8>, Refused> {
    let read: KeyJson<'_> = parse(json, Document::Key, KEY_JSON_BYTES_MAX)?;
    let curve = labels(Document::Key, read.protocol, read.curve)?;
    if read.inputs.checked_add(1) != Some(read.ic.len() as u64) {
        return Err(Refused::IcLength { declared: read.inputs, points: read.ic.len() });
    }
    if read.ic.len() > INPUTS_MAX + 1 {
        return Err(Refused::TooManyInputs(read.ic.len() - 1));
    }
    let mut out = Writer { curve, bytes: vec![curve as u8] };
    out.first(&read.vk_alpha_1, Part::Alpha)?;
    out.second(&read.vk_beta_2, Part::Beta)?;
    out.second(&read.vk_gamma_2, Part::Gamma)?;
    out.second(&read.vk_delta_2, Part::Delta)?;
    for (index, point) in read.ic.iter().enumerate() {
        out.first(point, Part::Ic(index))?;
    }
    check_key(&out.bytes)?;
    Ok(out.bytes)
}

/// Returns the canonical bytes of the proof in a `proof.json`. Its points are checked, but the statement isn't.
pub fn proof_from_json(json: &[u8]) -> Result<Vec<u8>, Refused> {
    let read: ProofJson<'_> = parse(json, Document::Proof, PROOF_JSON_BYTES_MAX)?;
    let curve = labels(Document::Proof, read.protocol, read.curve)?;
    let mut out = Writer { curve, bytes: Vec::with_capacity(curve.proof_bytes()) };
    out.first(&read.pi_a, Part::A)?;
    out.second(&read.pi_b, Part::B)?;
    out.first(&read.pi_c, Part::C)?;
    match curve {
        Curve::Bn254 => decode_proof::<Bn254>(&out.bytes).map(drop)?,
        Curve::Bls12381 => decode_proof::<Bls12_381>(&out.bytes).map(drop)?,
    }
    Ok(out.bytes)
}

/// Returns the canonical bytes of each input in a `public.json`. The file names no curve: the key's curve decides which
/// numbers are reduced.
pub fn inputs_from_json(json: &[u8], curve: Curve) -> Result<Vec<[u8; SCALAR_BYTES]>, Refused> {
    let read: Vec<&str> = parse(json, Document::Inputs, INPUTS_JSON_BYTES_MAX)?;
    if read.len() > INPUTS_MAX {
        return Err(Refused::TooManyInputs(read.len()));
    }
    let input = |(index, text): (usize, &&str)| {
        let part = Part::Input(index);
        let bytes = decimal(text, part)?.ok_or(Refused::InputNotReduced(part))?;
        match curve {
            Curve::Bn254 => scalar::<ark_bn254::Fr>(&bytes, part).map(drop)?,
            Curve::Bls12381 => scalar::<ark_bls12_381::Fr>(&bytes, part).map(drop)?,
        }
        Ok(bytes)
    };
    read.iter().enumerate().map(input).collect()
}

/// Returns the canonical bytes of an input that is written as a decimal number.
pub fn input_from_decimal(text: &str, curve: Curve) -> Result<[u8; SCALAR_BYTES], Refused> {
    let json = serde_json::to_vec(&[text]).unwrap_or_default();
    inputs_from_json(&json, curve).map(|inputs| inputs[0])
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], document: Document, limit: usize) -> Result<T, Refused> {
    if json.len() > limit {
        return Err(Refused::TooLong(document, json.len()));
    }
    serde_json::from_slice(json).map_err(|error| Refused::NotJson(document, error.to_string()))
}

fn labels(document: Document, protocol: &str, curve: &str) -> Result<Curve, Refused> {
    if protocol != "groth16" {
        return Err(Refused::Protocol(document, shortened(protocol)));
    }
    Curve::from_label(curve).ok_or_else(|| Refused::CurveLabel(document, shortened(curve)))
}

fn shortened(label: &str) -> String {
    label.chars().take(32).collect()
}

struct Writer {
    curve: Curve,
    bytes: Vec<u8>,
}

impl Writer {
    fn first(&mut self, [x, y, z]: &First<'_>, part: Part) -> Result<(), Refused> {
        if *z != "1" {
            return Err(Refused::NotAffine(part));
        }
        self.coordinate(x, part)?;
        self.coordinate(y, part)
    }

    fn second(&mut self, [x, y, z]: &Second<'_>, part: Part) -> Result<(), Refused> {
        if *z != ["1", "0"] {
            return Err(Refused::NotAffine(part));
        }
        // snarkjs writes the real part first; the encoding has it last.
        for text in [x[1], x[0], y[1], y[0]] {
            self.coordinate(text, part)?;
        }
        Ok(())
    }

    fn coordinate(&mut self, text: &str, part: Part) -> Result<(), Refused> {
        let not_reduced = Refused::CoordinateNotReduced(part);
        match self.curve {
            Curve::Bn254 => self.bytes.extend(decimal::<32>(text, part)?.ok_or(not_reduced)?),
            Curve::Bls12381 => self.bytes.extend(decimal::<48>(text, part)?.ok_or(not_reduced)?),
        }
        Ok(())
    }
}

/// Parses a plain decimal number to big-endian bytes; `None` if it needs more than `BYTES`.
fn decimal<const BYTES: usize>(text: &str, part: Part) -> Result<Option<[u8; BYTES]>, Refused> {
    let digits = text.as_bytes();
    let leading_zero = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || leading_zero || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refused::NotDecimal(part));
    }
    let mut number = [0; BYTES];
    // The largest number of 48 bytes has 116 digits. A longer text can't fit, and isn't processed.
    if digits.len() > 3 * BYTES {
        return Ok(None);
    }
    for digit in digits {
        let mut carry = u32::from(digit - b'0');
        for byte in number.iter_mut().rev() {
            carry += u32::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry > 0 {
            return Ok(None);
        }
    }
    Ok(Some(number))
}
