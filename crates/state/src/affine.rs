//! Sums of many curve points at once: affine coordinates, and one inversion for a whole batch of additions.
//!
//! *Invariants:* knows the curve, and knows no trees or tables; every function is exact for every input, also for
//! equal, opposite and neutral points, so no chosen data can make a sum wrong; memory is handed in and reused.
//!
//! A twisted Edwards addition costs 8 to 9 multiplications, an affine one in a form `y² = x³ + A·x² + B·x` only 6, three
//! of them for its share of the inversion (Montgomery's trick), and its result needs no normalisation before it is
//! written. Bandersnatch has that form: with Montgomery's u, v (Bernstein, Birkner, Joye, Lange, Peters, "Twisted Edwards
//! Curves", 2008, section 3) and β = 4/(a − d), it is x = β·u, y = β²·v, A = 8(a + d)/(a − d)², B = β².
//! (0, 0) is the image of the Edwards point (0, −1), which banderwagon identifies with the neutral element, so it stands
//! for the neutral element here: no flag is needed.

use ark_ed_on_bls12_381_bandersnatch::Fq;
use ark_ff::{AdditiveGroup, Field, MontFp, Zero, fields::batch_inversion};

const BETA: Fq = MontFp!("25465760566081946422412445027709227188579564747101592991722834452325077642517");
const A: Fq = MontFp!("29957171062113416653045793852144068042082908493992130854404205424674722811228");
const B: Fq = MontFp!("25770961701245490483984055625036268186304034402783046890512952094085889328358");

/// A point of the curve `y² = x³ + A·x² + B·x`; `x = 0` is the neutral element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    /// The abscissa.
    pub x: Fq,
    /// The ordinate.
    pub y: Fq,
}

impl Point {
    /// The neutral element.
    pub const NEUTRAL: Self = Self { x: Fq::ZERO, y: Fq::ZERO };

    fn is_neutral(&self) -> bool {
        self.x.is_zero()
    }

    /// Returns the same point if `negative` is false, otherwise its inverse.
    pub fn signed(self, negative: bool) -> Self {
        Self { x: self.x, y: if negative { -self.y } else { self.y } }
    }

    /// Returns the number that must be inverted to add the two points; never zero.
    fn denominator(&self, other: &Self) -> Fq {
        let difference = other.x - self.x;
        if self.is_neutral() || other.is_neutral() {
            Fq::ONE
        } else if !difference.is_zero() {
            difference
        } else if self.y == other.y && !self.y.is_zero() {
            self.y.double()
        } else {
            Fq::ONE
        }
    }

    /// Returns the sum, given the inverse of `denominator`.
    fn add(&self, other: &Self, inverse: &Fq) -> Self {
        if self.is_neutral() {
            return *other;
        } else if other.is_neutral() {
            return *self;
        }
        let slope = if self.x != other.x {
            (other.y - self.y) * inverse
        } else if self.y == other.y && !self.y.is_zero() {
            ((self.x.double() + self.x + A.double()) * self.x + B) * inverse
        } else {
            return Self::NEUTRAL;
        };
        let x = slope.square() - A - self.x - other.x;
        Self { x, y: slope * (self.x - x) - self.y }
    }
}

/// Memory that `sum_runs` reuses.
#[derive(Default)]
pub(crate) struct Scratch {
    sums: Vec<Point>,
    products: Vec<Fq>,
}

/// Adds up consecutive runs of `points`. Run i has `lengths[i]` ≥ 1 points, and `points[i]` is its sum afterwards.
///
/// Each round halves every run, so a run of n takes ⌈log₂ n⌉ rounds, and a round one inversion (4.5 µs) for all runs.
pub(crate) fn sum_runs(points: &mut Vec<Point>, lengths: &mut [usize], scratch: &mut Scratch) {
    assert_eq!(points.len(), lengths.iter().sum::<usize>(), "the runs cover the points");
    assert!(lengths.iter().all(|&length| length > 0), "no run is empty");
    while lengths.len() < points.len() {
        halve_runs(points, lengths, scratch);
    }
}

fn halve_runs(points: &mut Vec<Point>, lengths: &mut [usize], scratch: &mut Scratch) {
    let Scratch { sums, products } = scratch;
    products.clear();
    let mut product = Fq::ONE;
    let mut start = 0;
    for &length in lengths.iter() {
        for [left, right] in points[start..start + length].as_chunks::<2>().0 {
            products.push(product);
            product *= left.denominator(right);
        }
        start += length;
    }
    // The product is never zero, because no denominator is.
    let mut inverse = product.inverse().unwrap_or(Fq::ONE);
    sums.clear();
    sums.resize(points.len() - products.len(), Point::NEUTRAL);
    let (mut from, mut to) = (points.len(), sums.len());
    for length in lengths.iter_mut().rev() {
        let run = &points[from - *length..from];
        let half = length.div_ceil(2);
        let run_sums = &mut sums[to - half..to];
        let (pairs, rest) = run.as_chunks::<2>();
        if let [left_over] = rest {
            run_sums[half - 1] = *left_over;
        }
        for ([left, right], sum) in pairs.iter().zip(run_sums).rev() {
            let before = products.pop().unwrap_or(Fq::ONE);
            *sum = left.add(right, &(inverse * before));
            inverse *= left.denominator(right);
        }
        from -= *length;
        to -= half;
        *length = half;
    }
    std::mem::swap(points, sums);
}

/// Converts affine Edwards coordinates to points. (0, ±1) is the neutral element.
pub(crate) fn from_edwards(coordinates: &[(Fq, Fq)]) -> Vec<Point> {
    let mut inverses: Vec<Fq> = coordinates.iter().map(|(x, y)| *x * (Fq::ONE - y)).collect();
    batch_inversion(&mut inverses); // zeros stay zeros: (0, ±1) becomes (0, 0)
    let convert = |((x, y), inverse): (&(Fq, Fq), &Fq)| {
        let ratio = BETA * (Fq::ONE + y) * inverse;
        Point { x: ratio * x, y: ratio * BETA }
    };
    coordinates.iter().zip(&inverses).map(convert).collect()
}

/// Converts points to affine Edwards coordinates; (0, 1) for the neutral element.
pub(crate) fn to_edwards(points: &[Point]) -> Vec<(Fq, Fq)> {
    let mut inverses: Vec<Fq> = points.iter().map(|point| point.y * (point.x + BETA)).collect();
    batch_inversion(&mut inverses);
    let convert = |(point, inverse): (&Point, &Fq)| {
        if point.is_neutral() {
            return (Fq::ZERO, Fq::ONE);
        }
        (BETA * point.x * (point.x + BETA) * inverse, (point.x - BETA) * point.y * inverse)
    };
    points.iter().zip(&inverses).map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Element, Fr};
    use crate::scalar::from_hash;
    use ark_ed_on_bls12_381_bandersnatch::{EdwardsAffine, EdwardsProjective};
    use proptest::prelude::*;

    fn point(element: Element) -> Point {
        let affine = EdwardsAffine::from(element.0);
        from_edwards(&[(affine.x, affine.y)])[0]
    }

    fn element(point: Point) -> Element {
        let (x, y) = to_edwards(&[point])[0];
        Element(EdwardsProjective::new_unchecked(x, y, x * y, Fq::ONE))
    }

    #[test]
    fn the_constants_are_those_of_the_curve() {
        use ark_ec::twisted_edwards::TECurveConfig;
        use ark_ed_on_bls12_381_bandersnatch::BandersnatchConfig as Curve;
        let difference = (Curve::COEFF_A - Curve::COEFF_D).inverse().unwrap();
        assert_eq!(BETA, difference * Fq::from(4));
        assert_eq!(A, (Curve::COEFF_A + Curve::COEFF_D) * Fq::from(8) * difference.square());
        assert_eq!(B, BETA.square());
    }

    #[test]
    fn coordinates_survive_the_way_there_and_back() {
        for i in 0..40_u64 {
            let element_there = Element::generator() * Fr::from(i);
            let twin =
                Element(EdwardsProjective::from(EdwardsAffine::new_unchecked(Fq::ZERO, -Fq::ONE))) + element_there;
            assert_eq!(element(point(element_there)), element_there);
            assert_eq!(element(point(twin)), element_there);
        }
        assert_eq!(point(Element::identity()), Point::NEUTRAL);
    }

    proptest! {
        /// Small multiples and their negatives, so that equal, opposite and neutral points meet at every depth.
        #[test]
        fn runs_add_up(runs in proptest::collection::vec(proptest::collection::vec(-3_i64..4, 1..12), 0..9), big in any::<[u8; 32]>()) {
            let base = Element::generator() * from_hash(&big);
            let multiple = |i: i64| base * if i < 0 { -Fr::from(i.unsigned_abs()) } else { Fr::from(i.unsigned_abs()) };
            let mut points: Vec<Point> = runs.iter().flatten().map(|&i| point(multiple(i))).collect();
            let mut lengths: Vec<usize> = runs.iter().map(Vec::len).collect();
            sum_runs(&mut points, &mut lengths, &mut Scratch::default());
            prop_assert_eq!(points.len(), runs.len());
            for (sum, run) in points.iter().zip(&runs) {
                prop_assert_eq!(element(*sum), multiple(run.iter().sum()));
            }
        }
    }
}
