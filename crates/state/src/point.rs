//! Points in a form that is cheap to add, and the mixed addition that every multiplication here uses.
//!
//! *Invariants:* knows nothing of encodings; every point is in the subgroup of order 2r, on which the unified formula
//! has no exceptions. The formula fails only if a sum or difference is one of the two points at infinity. These have
//! even order and are not in that subgroup.

use ark_ec::{CurveGroup, twisted_edwards::TECurveConfig};
use ark_ed_on_bls12_381_bandersnatch::{BandersnatchConfig, EdwardsAffine, EdwardsProjective, Fq};
use ark_ff::{AdditiveGroup, Field};

/// An affine point with a product that mixed addition needs: 96 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addend {
    x: Fq,
    y: Fq,
    /// d·x·y, with d of the curve's equation.
    dxy: Fq,
}

impl Addend {
    pub(crate) fn new(point: EdwardsAffine) -> Self {
        Self { x: point.x, y: point.y, dxy: BandersnatchConfig::COEFF_D * point.x * point.y }
    }

    /// Converts many points with only one inversion.
    pub(crate) fn batch(points: &[EdwardsProjective]) -> Vec<Self> {
        EdwardsProjective::normalize_batch(points).into_iter().map(Self::new).collect()
    }

    /// Returns only the point, in extended coordinates.
    pub(crate) fn to_projective(self) -> EdwardsProjective {
        EdwardsProjective::new_unchecked(self.x, self.y, self.x * self.y, Fq::ONE)
    }
}

impl std::ops::Neg for Addend {
    type Output = Self;

    fn neg(self) -> Self {
        Self { x: -self.x, y: self.y, dxy: -self.dxy }
    }
}

/// Computes `sum += point` in eight multiplications: Hisil, Wong, Carter, Dawson, "Twisted Edwards Curves Revisited"
/// (eprint 2008/522), section 3.1, with Z2 = 1 and d·T2 taken from the addend (arkworks computes it each time: ten).
#[inline]
pub(crate) fn add_mixed(sum: &mut EdwardsProjective, point: &Addend) {
    let a = sum.x * point.x;
    let b = sum.y * point.y;
    let c = sum.t * point.dxy;
    let e = (sum.x + sum.y) * (point.x + point.y) - a - b;
    let f = sum.z - c;
    let g = sum.z + c;
    let h = b - BandersnatchConfig::mul_by_a(a);
    sum.x = e * f;
    sum.y = g * h;
    sum.t = e * h;
    sum.z = f * g;
}

/// Doubles a point `times` times.
pub(crate) fn double(sum: &mut EdwardsProjective, times: usize) {
    for _ in 0..times {
        sum.double_in_place();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ec::PrimeGroup;
    use ark_ff::Zero;

    #[test]
    fn mixed_addition_is_addition_also_of_the_same_point_and_of_its_negative() {
        let g = EdwardsProjective::generator();
        let other = g.double();
        for (sum, point) in [(g, other), (g, g), (g, -g), (EdwardsProjective::zero(), g), (other, g)] {
            let mut got = sum;
            add_mixed(&mut got, &Addend::batch(&[point])[0]);
            assert_eq!(got, sum + point);
            add_mixed(&mut got, &-Addend::batch(&[point])[0]);
            assert_eq!(got, sum);
        }
        assert!((g - g).is_zero());
    }
}
