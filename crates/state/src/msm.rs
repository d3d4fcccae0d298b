//! Sums of multiples of arbitrary elements, in variable time.
//!
//! *Invariants:* knows nothing of the CRS; memory is linear in the number of terms.

use crate::buckets::Buckets;
use crate::group::{Element, Fr};
use crate::point::{Addend, add_mixed, double};
use crate::scalar::{ODD_MULTIPLES, signed_digits, sparse_digits};
use ark_ed_on_bls12_381_bandersnatch::EdwardsProjective;
use ark_ff::{AdditiveGroup, Zero};

/// Number of terms from which buckets are faster than tables of multiples (`cargo run --release --example
/// proof_bench`).
const BUCKETS_FROM: usize = 128;

/// Returns Σ scalar·element.
pub fn msm(terms: &[(Element, Fr)]) -> Element {
    if terms.len() >= BUCKETS_FROM {
        return pippenger(terms);
    }
    let elements: Vec<Element> = terms.iter().map(|(element, _)| *element).collect();
    let scalars: Vec<(usize, Fr)> = terms.iter().enumerate().map(|(i, (_, scalar))| (i, *scalar)).collect();
    Multiples::new(&elements).sum(&scalars)
}

/// The odd multiples of some elements, for several sums over them (Straus's method).
pub(crate) struct Multiples(Vec<Addend>);

impl Multiples {
    pub(crate) fn new(elements: &[Element]) -> Self {
        let mut odd = Vec::with_capacity(elements.len() * ODD_MULTIPLES);
        for element in elements {
            let twice = element.0.double();
            odd.extend(std::iter::successors(Some(element.0), |last| Some(*last + twice)).take(ODD_MULTIPLES));
        }
        Self(Addend::batch(&odd))
    }

    /// Returns Σ scalar·element over terms that name elements by index.
    pub(crate) fn sum(&self, terms: &[(usize, Fr)]) -> Element {
        let tables = self.0.as_chunks::<ODD_MULTIPLES>().0;
        let digits: Vec<[i8; 256]> = terms.iter().map(|(_, scalar)| sparse_digits(scalar)).collect();
        let mut sum = EdwardsProjective::zero();
        for bit in (0..256).rev() {
            sum.double_in_place();
            for ((index, _), digits) in terms.iter().zip(&digits) {
                let digit = digits[bit];
                if digit != 0 {
                    let multiple = tables[*index][usize::from(digit.unsigned_abs() / 2)];
                    add_mixed(&mut sum, &if digit < 0 { -multiple } else { multiple });
                }
            }
        }
        Element(sum)
    }
}

/// Computes the sum by the bucket method, over windows of all scalars, highest first.
fn pippenger(terms: &[(Element, Fr)]) -> Element {
    // The width w for which 254/w·(terms + 2^w) additions are fewest, up to a difference of one.
    let width = (terms.len().ilog2() as usize).saturating_sub(2).clamp(4, 12);
    let count = 254usize.div_ceil(width);
    let points: Vec<EdwardsProjective> = terms.iter().map(|(element, _)| element.0).collect();
    let points = Addend::batch(&points);
    let mut digits = vec![0; terms.len() * count];
    for ((_, scalar), digits) in terms.iter().zip(digits.chunks_exact_mut(count)) {
        signed_digits(scalar, width, digits);
    }
    let mut buckets = Buckets::new(width);
    let mut sum = EdwardsProjective::zero();
    for window in (0..count).rev() {
        double(&mut sum, width);
        for (point, digits) in points.iter().zip(digits.chunks_exact(count)) {
            buckets.add(digits[window], point);
        }
        sum += buckets.take();
    }
    Element(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::from_hash;
    use ark_ec::VariableBaseMSM;
    use ark_ed_on_bls12_381_bandersnatch::EdwardsAffine;

    /// Terms with scalars of every kind, and points that meet their own negatives and doubles.
    fn terms(count: u8) -> Vec<(Element, Fr)> {
        let mut point = Element::generator();
        (0..count)
            .map(|i| {
                point = if i % 3 == 0 { point + point } else { -point };
                let scalar = match i % 4 {
                    0 => Fr::from(u64::from(i)),
                    1 => -Fr::from(u64::from(i)),
                    _ => from_hash(&[i; 32]),
                };
                (point, scalar)
            })
            .collect()
    }

    #[test]
    fn every_method_gives_what_arkworks_gives() {
        for count in [1, 2, 17, 255] {
            let terms = terms(count);
            let points: Vec<EdwardsAffine> = terms.iter().map(|(element, _)| element.0.into()).collect();
            let scalars: Vec<Fr> = terms.iter().map(|(_, scalar)| *scalar).collect();
            let want = Element(EdwardsProjective::msm_unchecked(&points, &scalars));
            assert_eq!(msm(&terms), want);
            assert_eq!(pippenger(&terms), want);
        }
        assert_eq!(msm(&[]), Element::identity());
    }
}
