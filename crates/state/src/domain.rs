//! Polynomials of degree below 256, given by their values at 0, 1, … 255 (barycentric form).
//!
//! *Invariants:* knows no group; the weights are computed at first use, from the domain alone.
//!
//! Source: Feist, "PCS multiproofs using random evaluation" (dankradfeist.de, 2021) and Berrut, Trefethen, "Barycentric
//! Lagrange interpolation" (2004). A(X) = Π (X - i) and A' its derivative.

use crate::WIDTH;
use crate::group::Fr;
use ark_ff::{AdditiveGroup, Field, batch_inversion, batch_inversion_and_mul};
use std::array::from_fn;
use std::sync::OnceLock;

/// Values of a polynomial at 0, 1, … 255, or of another vector of one scalar per slot.
pub(crate) type Values = [Fr; WIDTH];

/// The constants of the domain: 256 values each, 24 KiB together.
pub(crate) struct Domain {
    /// A'(i).
    weights: Values,
    /// 1/A'(i).
    weight_inverses: Values,
    /// 1/k; zero at 0.
    inverses: Values,
}

/// Returns the domain's constants, computed at first use.
pub(crate) fn domain() -> &'static Domain {
    static DOMAIN: OnceLock<Domain> = OnceLock::new();
    DOMAIN.get_or_init(|| {
        let point = |i: usize| Fr::from(i as u64);
        let mut factorials = [Fr::ONE; WIDTH];
        for i in 1..WIDTH {
            factorials[i] = factorials[i - 1] * point(i);
        }
        // A'(i) = Π (i - j) over the other j: i! for the lower ones, and (255-i)! with alternating sign for the higher
        // ones.
        let weights = from_fn(|i| {
            let size = factorials[i] * factorials[WIDTH - 1 - i];
            if (WIDTH - 1 - i).is_multiple_of(2) { size } else { -size }
        });
        let (mut weight_inverses, mut inverses) = (weights, from_fn(point));
        batch_inversion(&mut weight_inverses);
        batch_inversion(&mut inverses);
        Domain { weights, weight_inverses, inverses }
    })
}

impl Domain {
    /// Returns the values of the Lagrange polynomials at `at`: `Σ f(i)·result[i] = f(at)` for each f of degree below
    /// 256.
    pub(crate) fn lagrange(&self, at: Fr) -> Values {
        let distances: Values = from_fn(|i| at - Fr::from(i as u64));
        if let Some(inside) = distances.iter().position(|distance| *distance == Fr::ZERO) {
            return from_fn(|i| if i == inside { Fr::ONE } else { Fr::ZERO });
        }
        // A(at) / (A'(i)·(at - i))
        let mut inverses = distances;
        batch_inversion_and_mul(&mut inverses, &distances.iter().product());
        from_fn(|i| inverses[i] * self.weight_inverses[i])
    }

    /// Adds the values of (f(X) - f(index)) / (X - index), a polynomial, to `sum`.
    pub(crate) fn add_quotient(&self, f: &Values, index: u8, sum: &mut Values) {
        let index = usize::from(index);
        let mut weighted = Fr::ZERO;
        for i in (0..WIDTH).filter(|i| *i != index) {
            let rise = f[i] - f[index];
            let slope = if i > index { rise * self.inverses[i - index] } else { -rise * self.inverses[index - i] };
            sum[i] += slope;
            weighted += slope * self.weight_inverses[i];
        }
        // At the index itself, the quotient is f's derivative there: -A'(index)·Σ slope(i)/A'(i).
        sum[index] -= self.weights[index] * weighted;
    }
}

/// `Σ a[i]·b[i]` over the shorter of the two.
pub(crate) fn inner_product(a: &[Fr], b: &[Fr]) -> Fr {
    a.iter().zip(b).map(|(a, b)| *a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the values on the domain, and one outside, of a polynomial of this degree with coefficients 1, 2, 3, ….
    fn polynomial(degree: u64, at: Fr) -> Fr {
        (0..=degree).rev().fold(Fr::ZERO, |sum, coefficient| sum * at + Fr::from(coefficient + 1))
    }

    #[test]
    fn lagrange_evaluates_inside_and_outside() {
        for degree in [0, 1, 100, 255] {
            let values: Values = from_fn(|i| polynomial(degree, Fr::from(i as u64)));
            for at in [Fr::ZERO, Fr::from(7), Fr::from(255), Fr::from(256), -Fr::ONE, Fr::from(u64::MAX)] {
                assert_eq!(inner_product(&values, &domain().lagrange(at)), polynomial(degree, at));
            }
        }
    }

    #[test]
    fn quotients_times_their_divisor_are_the_polynomial() {
        let at = Fr::from(u64::MAX);
        let coefficients = domain().lagrange(at);
        for (degree, index) in [(0, 3), (1, 0), (255, 0), (255, 128), (254, 255)] {
            let values: Values = from_fn(|i| polynomial(degree, Fr::from(i as u64)));
            let mut quotient = [Fr::ZERO; WIDTH];
            domain().add_quotient(&values, index, &mut quotient);
            let index = Fr::from(index);
            let product = inner_product(&quotient, &coefficients) * (at - index);
            assert_eq!(product, polynomial(degree, at) - polynomial(degree, index));
        }
    }
}
