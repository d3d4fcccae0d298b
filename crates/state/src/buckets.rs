//! The buckets of Pippenger's multi-scalar multiplication: points gathered by digit, then weighted in one sweep.
//!
//! *Invariants:* adds about as many points as it is given plus two per filled bucket; the order of additions depends
//! only on the input.

use crate::point::{Addend, add_mixed};
use ark_ed_on_bls12_381_bandersnatch::EdwardsProjective;
use ark_ff::Zero;

/// Sums of points by the absolute value of their digits.
pub(crate) struct Buckets {
    /// Sum of the points with digit `i + 1`; `None` if there are none.
    sums: Vec<Option<EdwardsProjective>>,
}

impl Buckets {
    /// Creates buckets for digits up to 2^(width-1) in size.
    pub(crate) fn new(width: usize) -> Self {
        Self { sums: vec![None; 1 << (width - 1)] }
    }

    /// Adds `digit` times `point`.
    #[inline]
    pub(crate) fn add(&mut self, digit: i16, point: &Addend) {
        let signed = if digit < 0 { -*point } else { *point };
        if digit != 0 {
            match &mut self.sums[usize::from(digit.unsigned_abs()) - 1] {
                Some(sum) => add_mixed(sum, &signed),
                empty => *empty = Some(signed.to_projective()),
            }
        }
    }

    /// Returns the weighted sum Σ digit·point of all points since the last call, and empties the buckets.
    pub(crate) fn take(&mut self) -> EdwardsProjective {
        // Each bucket is in `above` once for itself and once for each lower bucket: as often as its digit says.
        let (mut above, mut total) = (EdwardsProjective::zero(), EdwardsProjective::zero());
        for bucket in self.sums.iter_mut().rev() {
            if let Some(sum) = bucket.take() {
                above += &sum;
            }
            total += &above;
        }
        total
    }
}
