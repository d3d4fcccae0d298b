//! Powers of tau from a `.ptau` of snarkjs over bn128: a header, then sections of points.
//!
//! Numbers are little-endian; a coordinate is 32 bytes of its Montgomery form, the real part before the u part. Only
//! the sections with the powers are read. They are checked to be powers like everything else; the contributors are not
//! checked.

use ark_bn254::{Fq, Fq2};
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{BigInt, Field, PrimeField};

use super::error::CeremonyError;
use super::powers::{POWER_MAX, Powers};

pub(super) const MAGIC: &[u8] = b"ptau";
const COORDINATE: usize = 32;
/// The section with curve and size, and the five with powers.
const HEADER: u32 = 1;
const POWERS: [u32; 5] = [2, 3, 4, 5, 6];
const SECTIONS_MAX: u32 = 64;

/// Reads the powers that a domain of 2^`power` needs.
pub(super) fn read(bytes: &[u8], power: u8) -> Result<Powers, CeremonyError> {
    if power > POWER_MAX {
        return Err(CeremonyError::Unfit("it has too many constraints"));
    }
    let sections = sections(bytes)?;
    let section = |wanted: u32| {
        let found = sections.iter().find(|(kind, _)| *kind == wanted).map(|(_, bytes)| *bytes);
        found.ok_or(CeremonyError::Ptau("a section is missing"))
    };
    let have = header(section(HEADER)?)?;
    if have < power {
        return Err(CeremonyError::TooFew { have, need: power });
    }
    let (all, size) = (1usize << have, 1usize << power);
    let [tau_1, tau_2, alpha, beta, beta_2] = POWERS;
    let [beta_2] = points(section(beta_2)?, 1, 1, second)?[..] else {
        return Err(CeremonyError::Ptau("a section has another length than its header says"));
    };
    Ok(Powers {
        power,
        tau_1: points(section(tau_1)?, 2 * all - 1, 2 * size - 1, first)?,
        tau_2: points(section(tau_2)?, all, size, second)?,
        alpha: points(section(alpha)?, all, size, first)?,
        beta: points(section(beta)?, all, size, first)?,
        beta_2,
    })
}

fn sections(bytes: &[u8]) -> Result<Vec<(u32, &[u8])>, CeremonyError> {
    const SHORT: CeremonyError = CeremonyError::Ptau("it ends too early");
    let rest = bytes.strip_prefix(MAGIC).ok_or(CeremonyError::Ptau("it doesn't begin like one"))?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let (count, mut rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let count = u32::from_le_bytes(*count);
    if u32::from_le_bytes(*version) != 1 || count > SECTIONS_MAX {
        return Err(CeremonyError::Ptau("it is of another version"));
    }
    let mut sections: Vec<(u32, &[u8])> = Vec::new();
    for _ in 0..count {
        let (kind, after) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (length, after) = after.split_first_chunk::<8>().ok_or(SHORT)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| SHORT)?;
        let (content, after) = after.split_at_checked(length).ok_or(SHORT)?;
        let kind = u32::from_le_bytes(*kind);
        if sections.iter().any(|(other, _)| *other == kind) {
            return Err(CeremonyError::Ptau("a section stands in it twice"));
        }
        sections.push((kind, content));
        rest = after;
    }
    if rest.is_empty() { Ok(sections) } else { Err(CeremonyError::Ptau("it goes on behind its end")) }
}

/// Returns the size as a power of two, from a header for BN254.
fn header(bytes: &[u8]) -> Result<u8, CeremonyError> {
    let (width, rest) = bytes.split_first_chunk::<4>().ok_or(CeremonyError::Ptau("its header is short"))?;
    let (modulus, rest) = rest.split_first_chunk::<COORDINATE>().ok_or(CeremonyError::Ptau("its header is short"))?;
    if u32::from_le_bytes(*width) as usize != COORDINATE || limbs(modulus) != Fq::MODULUS {
        return Err(CeremonyError::Ptau("it is of another curve"));
    }
    let power = rest.first_chunk::<4>().ok_or(CeremonyError::Ptau("its header is short"))?;
    // 2²⁸ is the largest size of BN254's scalar field, and the largest that snarkjs makes.
    let power = u32::from_le_bytes(*power);
    u8::try_from(power).ok().filter(|power| (1..=28).contains(power)).ok_or(CeremonyError::Ptau("its size is absurd"))
}

fn limbs(bytes: &[u8; COORDINATE]) -> BigInt<4> {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    BigInt(limbs)
}

/// Decodes a coordinate from its Montgomery form, which arkworks uses, too.
fn coordinate(bytes: &[u8; COORDINATE]) -> Option<Fq> {
    let form = limbs(bytes);
    (form < Fq::MODULUS).then(|| Fq::new_unchecked(form))
}

fn first(coordinates: &[Fq]) -> Option<(Fq, Fq)> {
    if let [x, y] = coordinates { Some((*x, *y)) } else { None }
}

fn second(coordinates: &[Fq]) -> Option<(Fq2, Fq2)> {
    if let [x_0, x_1, y_0, y_1] = coordinates { Some((Fq2::new(*x_0, *x_1), Fq2::new(*y_0, *y_1))) } else { None }
}

/// Returns the first `count` points of a section of exactly `all` points.
fn points<P: SWCurveConfig>(
    bytes: &[u8],
    all: usize,
    count: usize,
    of: impl Fn(&[Fq]) -> Option<(P::BaseField, P::BaseField)>,
) -> Result<Vec<Affine<P>>, CeremonyError> {
    let size = 2 * P::BaseField::extension_degree() as usize * COORDINATE;
    if all.checked_mul(size) != Some(bytes.len()) {
        return Err(CeremonyError::Ptau("a section has another length than its header says"));
    }
    let read = |bytes: &[u8]| {
        let (coordinates, _) = bytes.as_chunks::<COORDINATE>();
        let coordinates: Option<Vec<Fq>> = coordinates.iter().map(coordinate).collect();
        let (x, y) = coordinates.and_then(|list| of(&list)).ok_or("a coordinate is not below the field's modulus")?;
        let point = Affine::<P>::new_unchecked(x, y);
        let good = point.is_on_curve() && point.is_in_correct_subgroup_assuming_on_curve();
        if good { Ok(point) } else { Err("a point is not in its group") }
    };
    bytes.chunks_exact(size).take(count).map(|bytes| read(bytes).map_err(CeremonyError::Ptau)).collect()
}
