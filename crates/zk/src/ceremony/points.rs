//! Points of BN254 in a ceremony: their encoding, sums, the ratio of two points, and long work with progress reports.

use std::ops::ControlFlow;

use ark_bn254::{Bn254, Fq, Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::pairing::Pairing;
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup, VariableBaseMSM};
use ark_ff::{One, Zero};

use super::error::CeremonyError;
use crate::encoding::{number, point, point_bytes, write_point};
use crate::refused::{Part, Refused};
use crate::shielded::field::Stream;

/// Bytes of a coordinate.
const COORDINATE: usize = 32;
/// Bytes of a point of the first group.
pub(super) const FIRST: usize = 2 * COORDINATE;
/// Bytes of a point of the second group.
pub(super) const SECOND: usize = 4 * COORDINATE;
/// Number of points that are scaled between two reports.
const AT_ONCE: usize = 256;
/// Number of steps that a point of the second group counts as.
pub(super) const SECOND_STEPS: usize = 3;

/// Receiver of progress reports: work done and all work. It decides whether to continue.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>;

/// A long computation, counted in multiplications of a point of the first group.
pub(super) struct Steps<'a> {
    done: usize,
    total: usize,
    report: Progress<'a>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(total: usize, report: Progress<'a>) -> Self {
        Self { done: 0, total, report }
    }

    /// Counts finished work. Errors: the receiver of the reports asked to stop.
    pub(super) fn advance(&mut self, by: usize) -> Result<(), CeremonyError> {
        self.done += by;
        match (self.report)(self.done.min(self.total), self.total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(CeremonyError::Interrupted),
        }
    }
}

/// The part of a file that is not read yet.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], magic: &[u8], what: &'static str) -> Result<Self, CeremonyError> {
        let rest = bytes.strip_prefix(magic).ok_or(CeremonyError::Magic(what))?;
        Ok(Self { rest })
    }

    pub(super) fn take(&mut self, count: usize, place: &'static str) -> Result<&'a [u8], CeremonyError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(CeremonyError::Short(place))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, place: &'static str) -> Result<[u8; N], CeremonyError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, place)?);
        Ok(out)
    }

    pub(super) fn byte(&mut self, place: &'static str) -> Result<u8, CeremonyError> {
        Ok(self.array::<1>(place)?[0])
    }

    /// Reads a length of two bytes, little-endian.
    pub(super) fn short(&mut self, place: &'static str) -> Result<usize, CeremonyError> {
        Ok(u16::from_le_bytes(self.array(place)?).into())
    }

    /// Reads a length of four bytes, little-endian.
    pub(super) fn long(&mut self, place: &'static str) -> Result<usize, CeremonyError> {
        Ok(u32::from_le_bytes(self.array(place)?) as usize)
    }

    /// Reads a text of at most 255 bytes.
    pub(super) fn text(&mut self, place: &'static str) -> Result<String, CeremonyError> {
        let length = self.byte(place)?.into();
        String::from_utf8(self.take(length, place)?.to_vec()).map_err(|_| CeremonyError::Value(place))
    }

    pub(super) fn point<P: SWCurveConfig>(&mut self, place: &'static str) -> Result<Affine<P>, CeremonyError> {
        Ok(self.points(1, false, place)?.swap_remove(0))
    }

    /// Reads `count` points. `sparse`: infinity, encoded as zeros, is allowed.
    pub(super) fn points<P: SWCurveConfig>(
        &mut self,
        count: usize,
        sparse: bool,
        place: &'static str,
    ) -> Result<Vec<Affine<P>>, CeremonyError> {
        let size = point_bytes::<P>(COORDINATE);
        let bytes = self.take(count.checked_mul(size).ok_or(CeremonyError::Short(place))?, place)?;
        let read = |(index, bytes): (usize, &[u8])| match point(bytes, COORDINATE, Part::A) {
            Ok(point) => Ok(point),
            Err(Refused::Identity(_)) if sparse => Ok(Affine::zero()),
            Err(refused) => Err(CeremonyError::Point { place, index, reason: why(&refused) }),
        };
        bytes.chunks_exact(size).enumerate().map(read).collect()
    }

    /// Checks that nothing is left.
    pub(super) fn end(self) -> Result<(), CeremonyError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CeremonyError::Long) }
    }
}

fn why(refused: &Refused) -> &'static str {
    match refused {
        Refused::Identity(_) => "it is the point at infinity",
        Refused::NotOnCurve(_) => "it is not on the curve",
        Refused::WrongSubgroup(_) => "it is outside the subgroup of prime order",
        _ => "a coordinate is not below the field's modulus",
    }
}

/// Appends points; infinity is encoded as zeros.
pub(super) fn write_points<P: SWCurveConfig>(points: &[Affine<P>], out: &mut Vec<u8>) {
    for point in points {
        if point.is_zero() {
            out.resize(out.len() + point_bytes::<P>(COORDINATE), 0);
        } else {
            write_point(point, COORDINATE, out);
        }
    }
}

/// Multiplies a point of the group of prime order by a number.
pub(super) fn scale<P: GLVConfig>(point: Projective<P>, factor: P::ScalarField) -> Projective<P> {
    if factor.is_one() { point } else { P::glv_mul_projective(point, factor) }
}

/// Multiplies each point by its own factor.
pub(super) fn scale_all<P: GLVConfig>(
    points: &mut [Affine<P>],
    mut factor: impl FnMut() -> P::ScalarField,
    steps: &mut Steps<'_>,
    cost: usize,
) -> Result<(), CeremonyError> {
    for chunk in points.chunks_mut(AT_ONCE) {
        let scaled: Vec<Projective<P>> = chunk.iter().map(|point| scale((*point).into(), factor())).collect();
        chunk.copy_from_slice(&Projective::normalize_batch(&scaled));
        steps.advance(chunk.len() * cost)?;
    }
    Ok(())
}

/// Returns the sum of each point times its coefficient. Both lists must have the same length.
pub(super) fn sum_1(points: &[G1Affine], coefficients: &[Fr]) -> G1Projective {
    G1Projective::msm_unchecked(points, coefficients)
}

/// Does what `sum_1` does, in the second group.
pub(super) fn sum_2(points: &[G2Affine], coefficients: &[Fr]) -> G2Projective {
    G2Projective::msm_unchecked(points, coefficients)
}

/// Tells if b₁ is to a₁ as b₂ is to a₂. False if any of them is infinity.
pub(super) fn same_ratio(first: [G1Affine; 2], second: [G2Affine; 2]) -> bool {
    let [a_1, b_1] = first;
    let [a_2, b_2] = second;
    let nothing = a_1.is_zero() || b_1.is_zero() || a_2.is_zero() || b_2.is_zero();
    !nothing && Bn254::multi_pairing([a_1, -b_1], [b_2, a_2]).is_zero()
}

pub(super) fn generator_1() -> G1Affine {
    G1Projective::generator().into_affine()
}

pub(super) fn generator_2() -> G2Affine {
    G2Projective::generator().into_affine()
}

/// Draws numbers of 128 bits with which many equations are checked as one.
pub(super) fn coefficients(random: &mut Stream, count: usize) -> Vec<Fr> {
    (0..count).map(|_| Fr::from(u128::from_le_bytes(random.bytes()))).collect()
}

/// Derives a point of the first group whose logarithm nobody knows: the first x of a stream of hashes that is on the
/// curve, as the curve's cofactor is 1.
pub(super) fn hash_to_point(mut random: Stream) -> G1Affine {
    loop {
        let mut bytes = random.bytes::<COORDINATE>();
        let greatest = bytes[0] & 0x80 != 0;
        bytes[0] &= 0x3f;
        let point = number::<Fq>(&bytes).and_then(|x| G1Affine::get_point_from_x_unchecked(x, greatest));
        if let Some(point) = point {
            return point;
        }
    }
}
