//! The sum over a key's public inputs that verifying alone needs: each of the key's points times an input.
//!
//! An input is a + λb for two numbers of half its bits, where λ is the factor of the curve's endomorphism. Each is
//! written in signed digits that are odd or 0, so that about one in six needs an addition, of an odd multiple that the
//! key has prepared. The doublings are those of half a number, shared by all inputs.

use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::{Affine, Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, BigInteger, PrimeField};

/// Bits of a digit, including its sign.
const DIGIT_BITS: usize = 5;
/// The odd digits: 1, 3, … 15.
const ODD: usize = 1 << (DIGIT_BITS - 2);

/// Odd multiples of points, and of their images under the endomorphism.
pub(crate) struct Multiples<P: GLVConfig> {
    plain: Vec<Affine<P>>,
    turned: Vec<Affine<P>>,
}

impl<P: GLVConfig> Multiples<P> {
    pub(crate) fn of(points: &[Affine<P>]) -> Self {
        let mut all = Vec::with_capacity(ODD * points.len());
        for point in points {
            let (mut multiple, twice) = (point.into_group(), point.into_group().double());
            for _ in 0..ODD {
                all.push(multiple);
                multiple += twice;
            }
        }
        let plain = Projective::normalize_batch(&all);
        let turned = plain.iter().map(P::endomorphism_affine).collect();
        Self { plain, turned }
    }

    /// Returns Σ input · point, over as many pairs as both lists have.
    pub(crate) fn sum(&self, inputs: &[P::ScalarField]) -> Projective<P> {
        let rows = self.plain.chunks_exact(ODD).zip(self.turned.chunks_exact(ODD));
        let mut digits = Vec::with_capacity(2 * inputs.len());
        for ((plain, turned), input) in rows.zip(inputs) {
            let (a, b) = P::scalar_decomposition(*input);
            digits.push((plain, digits_of(a)));
            digits.push((turned, digits_of(b)));
        }
        let length = digits.iter().map(|(_, digits)| digits.len()).max().unwrap_or_default();
        let mut sum = Projective::ZERO;
        for place in (0..length).rev() {
            sum.double_in_place();
            for (multiples, digits) in &digits {
                match digits.get(place) {
                    Some(digit) if *digit > 0 => sum += multiples[*digit as usize / 2],
                    Some(digit) if *digit < 0 => sum -= multiples[digit.unsigned_abs() as usize / 2],
                    _ => {}
                }
            }
        }
        sum
    }
}

/// Returns the signed digits of ±`number`, the lowest first.
fn digits_of<F: PrimeField>((positive, number): (bool, F)) -> Vec<i64> {
    let mut digits = number.into_bigint().find_wnaf(DIGIT_BITS).unwrap_or_default();
    if !positive {
        digits.iter_mut().for_each(|digit| *digit = -*digit);
    }
    digits
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ark_ec::VariableBaseMSM;
    use ark_ff::{One, UniformRand, Zero};

    fn same<P: GLVConfig>() {
        let mut random = ark_std::test_rng();
        let points: Vec<Affine<P>> = (0..6).map(|_| Projective::<P>::rand(&mut random).into_affine()).collect();
        let multiples = Multiples::of(&points);
        let one = P::ScalarField::one();
        let edges = [P::ScalarField::zero(), one, -one, P::LAMBDA, -P::LAMBDA, one + P::LAMBDA];
        let drawn: Vec<_> = (0..6).map(|_| P::ScalarField::rand(&mut random)).collect();
        for inputs in [&edges[..], &drawn, &drawn[..1], &[]] {
            assert_eq!(multiples.sum(inputs), Projective::<P>::msm_unchecked(&points[..inputs.len()], inputs));
        }
        // The same point in all places, and its opposite.
        let (twice, opposite) = (Multiples::of(&[points[0]; 2]), Multiples::of(&[points[0], -points[0]]));
        assert_eq!(twice.sum(&[one, one]), points[0] * (one + one));
        assert!(opposite.sum(&drawn[..1].repeat(2)).is_zero());
    }

    #[test]
    fn it_is_the_sum_on_both_curves() {
        same::<ark_bn254::g1::Config>();
        same::<ark_bls12_381::g1::Config>();
    }
}
