//! The encoding of points and scalars: affine coordinates, big-endian, uncompressed; exactly one for each.
//!
//! A point is x then y; a coordinate of the second group is its u part, then its real part. EIP-197 writes BN254 in
//! this way, and the public BLS12-381 libraries write their uncompressed points so. Infinity has no encoding.

use crate::refused::{Part, Refused};
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{BigInteger, Field, PrimeField};

type Prime<P> = <<P as ark_ec::CurveConfig>::BaseField as Field>::BasePrimeField;

/// Bytes of a scalar, on both curves.
pub const SCALAR_BYTES: usize = 32;

/// Decodes big-endian bytes; `None` if the number is at or above the field's modulus.
pub(crate) fn number<F: PrimeField>(bytes: &[u8]) -> Option<F> {
    let mut limbs = F::BigInt::default();
    for (limb, chunk) in limbs.as_mut().iter_mut().zip(bytes.rchunks(8)) {
        *limb = chunk.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    F::from_bigint(limbs)
}

fn write_number<F: PrimeField>(value: F, bytes: usize, out: &mut Vec<u8>) {
    let written = value.into_bigint().to_bytes_be();
    out.extend_from_slice(&written[written.len() - bytes..]);
}

/// Decodes a scalar. Errors: the number is at or above the group's order.
pub(crate) fn scalar<F: PrimeField>(bytes: &[u8; SCALAR_BYTES], part: Part) -> Result<F, Refused> {
    number(bytes).ok_or(Refused::InputNotReduced(part))
}

/// Returns the bytes of a point of a group whose field has coordinates of `coordinate_bytes`.
pub(crate) fn point_bytes<P: SWCurveConfig>(coordinate_bytes: usize) -> usize {
    2 * P::BaseField::extension_degree() as usize * coordinate_bytes
}

/// Decodes a point. Errors: a coordinate is not reduced, or the point is not on the curve, not in its subgroup, or
/// infinity.
pub(crate) fn point<P: SWCurveConfig>(bytes: &[u8], coordinate_bytes: usize, part: Part) -> Result<Affine<P>, Refused> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(Refused::Identity(part));
    }
    let (x, y) = bytes.split_at(bytes.len() / 2);
    let coordinate = |bytes: &[u8]| -> Option<P::BaseField> {
        // The highest power of u comes first.
        let parts: Option<Vec<Prime<P>>> = bytes.rchunks(coordinate_bytes).map(number).collect();
        P::BaseField::from_base_prime_field_elems(parts?)
    };
    let not_reduced = || Refused::CoordinateNotReduced(part);
    let point = Affine::new_unchecked(coordinate(x).ok_or_else(not_reduced)?, coordinate(y).ok_or_else(not_reduced)?);
    if !point.is_on_curve() {
        return Err(Refused::NotOnCurve(part));
    }
    if !point.is_in_correct_subgroup_assuming_on_curve() {
        return Err(Refused::WrongSubgroup(part));
    }
    Ok(point)
}

/// Appends a point's bytes.
pub(crate) fn write_point<P: SWCurveConfig>(point: &Affine<P>, coordinate_bytes: usize, out: &mut Vec<u8>) {
    for coordinate in [&point.x, &point.y] {
        let parts: Vec<Prime<P>> = coordinate.to_base_prime_field_elements().collect();
        for part in parts.into_iter().rev() {
            write_number(part, coordinate_bytes, out);
        }
    }
}
