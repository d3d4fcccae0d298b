//! Sums of multiples of the CRS, from a table of its points' shifts: 257 points times 26 shifts, 630 KiB.
//!
//! The points 2^(10·i)·G are in a table, one for each digit of a scalar. So all digits of all scalars share one set of
//! buckets, and no doubling remains: a dense commitment is 6,700 additions into 512 buckets. (The table file of
//! windowed multiples, a hundred times as large, is for changes of single slots, which have nothing to share.)
//!
//! *Invariants:* the table depends on the CRS alone; nothing is computed before its first use.

use crate::WIDTH;
use crate::buckets::Buckets;
use crate::crs::crs;
use crate::group::{Element, Fr};
use crate::point::{Addend, double};
use crate::scalar::signed_digits;
use ark_ed_on_bls12_381_bandersnatch::EdwardsProjective;
use ark_ff::Zero;
use std::sync::OnceLock;

/// Bits between one shift of a point and the next.
const SHIFT: usize = 10;
/// Shifts of each point: together they hold the 253 bits of a scalar and a carry.
const SHIFTS: usize = 26;

/// Index of Q among the fixed points. Lower indices are those of the points G.
pub(crate) const Q: usize = WIDTH;

/// A way to split a scalar into digits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Digits {
    /// One digit of ten bits per shift: fastest for about a hundred terms and more.
    Whole,
    /// Two digits of five bits per shift: fastest for few terms.
    Halves,
}

/// Returns the commitment `Σ scalars[i]·G[i]` of a whole node.
pub fn commit(scalars: &[Fr; WIDTH]) -> Element {
    let terms: Vec<(usize, Fr)> = scalars.iter().copied().enumerate().collect();
    sum(&terms, Digits::Whole)
}

/// Returns Σ scalar·point over terms that name fixed points by index.
pub(crate) fn sum(terms: &[(usize, Fr)], digits: Digits) -> Element {
    let per_shift = match digits {
        Digits::Whole => 1,
        Digits::Halves => 2,
    };
    let width = SHIFT / per_shift;
    let count = SHIFTS * per_shift;
    let mut recoded = vec![0; terms.len() * count];
    for ((_, scalar), digits) in terms.iter().zip(recoded.chunks_exact_mut(count)) {
        signed_digits(scalar, width, digits);
    }
    let shifts = table().as_chunks::<SHIFTS>().0;
    let mut buckets = Buckets::new(width);
    let mut sum = EdwardsProjective::zero();
    for part in (0..per_shift).rev() {
        double(&mut sum, width);
        for ((index, _), digits) in terms.iter().zip(recoded.chunks_exact(count)) {
            for (digits, point) in digits.chunks_exact(per_shift).zip(&shifts[*index]) {
                buckets.add(digits[part], point);
            }
        }
        sum += buckets.take();
    }
    Element(sum)
}

/// Returns all shifts of all points; those of one point stand together.
fn table() -> &'static [Addend] {
    static TABLE: OnceLock<Vec<Addend>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let crs = crs();
        let mut shifted = Vec::with_capacity((WIDTH + 1) * SHIFTS);
        for point in crs.g.iter().chain([&crs.q]) {
            let next = |last: &EdwardsProjective| {
                let mut next = *last;
                double(&mut next, SHIFT);
                Some(next)
            };
            shifted.extend(std::iter::successors(Some(point.0), next).take(SHIFTS));
        }
        Addend::batch(&shifted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msm::msm;
    use crate::scalar::from_hash;

    #[test]
    fn fixed_sums_are_sums() {
        let terms: Vec<(usize, Fr)> = (0..=Q).map(|i| (i, from_hash(&[i as u8; 32]))).collect();
        for terms in [&terms[..], &terms[250..], &terms[..1], &[]] {
            let crs = crs();
            let point = |i: usize| crs.g.get(i).copied().unwrap_or(crs.q);
            let want = msm(&terms.iter().map(|(i, scalar)| (point(*i), *scalar)).collect::<Vec<_>>());
            assert_eq!(sum(terms, Digits::Whole), want);
            assert_eq!(sum(terms, Digits::Halves), want);
        }
    }
}
