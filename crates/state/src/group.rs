//! Banderwagon: the group of prime order whose elements are the tree's commitments.
//!
//! Bandersnatch has 4r points. The points of order dividing 2r, with P and P + (0, -1) = (-x, -y) taken for the same
//! element, are a group of prime order r, and -x/-y = x/y tells the elements apart.
//!
//! *Invariants:* an [`Element`] is always in the group: arithmetic stays in it and decoding refuses everything else;
//! equal elements have equal bytes, and of all 32-byte strings exactly r decode.
//!
//! Source: the banderwagon specification (hackmd.io/@6iQDuIePQjyYBqDChYw_jg/BJBNcv9fq) that EIP-6800 refers to.

use crate::msm::msm;
use crate::root::{is_square, sqrt};
use crate::scalar::{be_bytes, be_integer, reduce};
use ark_ec::{PrimeGroup, twisted_edwards::TECurveConfig};
pub use ark_ed_on_bls12_381_bandersnatch::Fr;
use ark_ed_on_bls12_381_bandersnatch::{BandersnatchConfig, EdwardsProjective, Fq};
use ark_ff::{Field, PrimeField, Zero, batch_inversion};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

/// The 32 bytes are no group element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The x coordinate is not below the modulus of the base field.
    #[error("the bytes are not a group element: x is not below the field's modulus")]
    Coordinate,
    /// No point of the curve has this x coordinate.
    #[error("the bytes are not a group element: no point of the curve has this x")]
    Curve,
    /// The point is on the curve and in the wrong coset.
    #[error("the bytes are not a group element: the point is outside the subgroup")]
    Subgroup,
}

/// An element of the group, held by either of its two points.
#[derive(Clone, Copy)]
pub struct Element(pub(crate) EdwardsProjective);

impl Element {
    /// Bytes of an encoded element.
    pub const BYTES: usize = 32;

    /// The neutral element: the commitment to nothing. Its encoding is 32 zero bytes.
    pub fn identity() -> Self {
        Self(EdwardsProjective::zero())
    }

    /// The generator that the public specification fixes.
    pub fn generator() -> Self {
        Self(EdwardsProjective::generator())
    }

    /// True for the neutral element.
    pub fn is_identity(&self) -> bool {
        self.0.x.is_zero()
    }

    /// Encodes the element: x, big-endian, of that one of its two points whose y is the larger of y and -y.
    pub fn to_bytes(&self) -> [u8; 32] {
        let [bytes] = Self::to_bytes_array(&[*self]);
        bytes
    }

    /// Encodes many elements with only one inversion.
    pub fn batch_to_bytes(elements: &[Self]) -> Vec<[u8; 32]> {
        let mut inverses: Vec<Fq> = elements.iter().map(|element| element.0.z).collect();
        batch_inversion(&mut inverses);
        elements.iter().zip(&inverses).map(|(element, inverse)| element.encode(inverse)).collect()
    }

    pub(crate) fn to_bytes_array<const N: usize>(elements: &[Self; N]) -> [[u8; 32]; N] {
        let mut inverses = elements.map(|element| element.0.z);
        batch_inversion(&mut inverses);
        std::array::from_fn(|i| elements[i].encode(&inverses[i]))
    }

    fn encode(&self, z_inverse: &Fq) -> [u8; 32] {
        let x = self.0.x * z_inverse;
        let canonical = if is_positive(self.0.y * z_inverse) { x } else { -x };
        be_bytes(canonical.into_bigint())
    }

    /// Decodes strictly.
    ///
    /// # Errors
    /// The bytes aren't the encoding of an element.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, GroupError> {
        let [element] = Self::from_bytes_array(&[*bytes])?;
        Ok(element)
    }

    /// Decodes many elements strictly, with only one inversion. The results have z = 1.
    ///
    /// # Errors
    /// Some bytes aren't the encoding of an element. Then none is returned.
    pub fn batch_from_bytes(encoded: &[[u8; 32]]) -> Result<Vec<Self>, GroupError> {
        let found = encoded.iter().map(Candidate::find).collect::<Result<Vec<_>, _>>()?;
        let mut inverses: Vec<Fq> = found.iter().map(|candidate| candidate.denominator).collect();
        batch_inversion(&mut inverses);
        Ok(found.iter().zip(&inverses).map(|(candidate, inverse)| candidate.finish(inverse)).collect())
    }

    pub(crate) fn from_bytes_array<const N: usize>(encoded: &[[u8; 32]; N]) -> Result<[Self; N], GroupError> {
        let mut elements = [Self::identity(); N];
        elements.copy_from_slice(&Self::batch_from_bytes(encoded)?);
        Ok(elements)
    }

    /// Returns x/y as an integer, modulo the group's order. This number stands for the commitment in its parent's slot.
    pub fn map_to_field(&self) -> Fr {
        Self::batch_map_to_field(&[*self])[0]
    }

    /// Maps many elements with only one inversion, in the order of `elements`.
    pub fn batch_map_to_field(elements: &[Self]) -> Vec<Fr> {
        // y is never zero: points with y = 0 have order four.
        let mut inverses: Vec<Fq> = elements.iter().map(|element| element.0.y).collect();
        batch_inversion(&mut inverses);
        elements.iter().zip(&inverses).map(|(element, inverse)| reduce((element.0.x * inverse).into_bigint())).collect()
    }
}

/// A decoded x with a point of the curve on it, before the sign of y is known.
struct Candidate {
    x: Fq,
    /// y is numerator / denominator, or its negative.
    numerator: Fq,
    denominator: Fq,
}

impl Candidate {
    /// Finds the candidate by the curve's equation y² = (1 - ax²) / (1 - dx²) = u/v, so y = ±√(uv) / v. Neither u nor v
    /// is zero, as neither a nor d is a square. The point's order divides 2r iff u is a square too (specification,
    /// "subgroup check").
    fn find(bytes: &[u8; 32]) -> Result<Self, GroupError> {
        let x = Fq::from_bigint(be_integer(bytes)).ok_or(GroupError::Coordinate)?;
        let square = x.square();
        let u = Fq::ONE - BandersnatchConfig::mul_by_a(square);
        let v = Fq::ONE - BandersnatchConfig::COEFF_D * square;
        let numerator = sqrt(&(u * v)).ok_or(GroupError::Curve)?;
        if !is_square(&u) {
            return Err(GroupError::Subgroup);
        }
        Ok(Self { x, numerator, denominator: v })
    }

    fn finish(&self, denominator_inverse: &Fq) -> Element {
        let either = self.numerator * denominator_inverse;
        let y = if is_positive(either) { either } else { -either };
        Element(EdwardsProjective::new_unchecked(self.x, y, self.x * y, Fq::ONE))
    }
}

fn is_positive(y: Fq) -> bool {
    y.into_bigint() > Fq::MODULUS_MINUS_ONE_DIV_TWO
}

impl PartialEq for Element {
    /// Compares as elements: x1/y1 = x2/y2, whichever points represent them.
    fn eq(&self, other: &Self) -> bool {
        self.0.x * other.0.y == other.0.x * self.0.y
    }
}

impl Eq for Element {}

impl Default for Element {
    fn default() -> Self {
        Self::identity()
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl Neg for Element {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Element {
    fn add_assign(&mut self, other: Self) {
        self.0 += &other.0;
    }
}

impl SubAssign for Element {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= &other.0;
    }
}

impl Add for Element {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Sub for Element {
    type Output = Self;

    fn sub(mut self, other: Self) -> Self {
        self -= other;
        self
    }
}

impl Sum for Element {
    fn sum<I: Iterator<Item = Self>>(elements: I) -> Self {
        elements.fold(Self::identity(), Add::add)
    }
}

impl Mul<Fr> for Element {
    type Output = Self;

    /// Takes a time that depends on the scalar. Use it for public scalars only.
    fn mul(self, scalar: Fr) -> Self {
        msm(&[(self, scalar)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::{AdditiveGroup, BigInteger};
    use proptest::prelude::*;

    /// Returns the other point of the same element.
    fn twin(element: Element) -> Element {
        let EdwardsProjective { x, y, t, z } = element.0;
        Element(EdwardsProjective::new_unchecked(-x, -y, t, z))
    }

    #[test]
    fn both_points_of_an_element_are_the_same_in_every_way() {
        let mut element = Element::generator();
        for _ in 0..40 {
            element = element + element + Element::generator();
            let other = twin(element);
            assert_eq!(other, element);
            assert_eq!(other.to_bytes(), element.to_bytes());
            assert_eq!(other.map_to_field(), element.map_to_field());
            assert_eq!(other + element, element + element);
            assert!((other - element).is_identity());
            assert_ne!(other, -element);
            assert_ne!((-element).to_bytes(), element.to_bytes());
        }
        let identity = twin(Element::identity());
        assert!(identity.is_identity() && identity == Element::identity());
        assert_eq!(identity.to_bytes(), [0; 32]);
        assert_eq!(identity.map_to_field(), Fr::ZERO);
        assert_eq!(Element::from_bytes(&[0; 32]), Ok(Element::identity()));
    }

    #[test]
    fn each_fault_of_an_encoding_is_named() {
        assert_eq!(Element::from_bytes(&[0xff; 32]), Err(GroupError::Coordinate));
        let mut modulus = Fq::MODULUS;
        assert_eq!(Element::from_bytes(&be_bytes(modulus)), Err(GroupError::Coordinate));
        // The generator's x plus the modulus.
        modulus.add_with_carry(&be_integer(&Element::generator().to_bytes()));
        assert_eq!(Element::from_bytes(&be_bytes(modulus)), Err(GroupError::Coordinate));
        let faults: Vec<_> = (1..100u64).filter_map(|x| Element::from_bytes(&be_bytes(x.into())).err()).collect();
        assert!(faults.contains(&GroupError::Curve) && faults.contains(&GroupError::Subgroup));
        // One bad string among good ones makes the whole batch fail.
        let good = Element::generator().to_bytes();
        assert_eq!(Element::batch_from_bytes(&[good, [0xff; 32], good]), Err(GroupError::Coordinate));
        assert_eq!(Element::batch_from_bytes(&[good; 3]), Ok(vec![Element::generator(); 3]));
        assert_eq!(Element::batch_from_bytes(&[]), Ok(vec![]));
    }

    #[test]
    fn what_decodes_is_of_the_groups_order() {
        let decoded = (1..400u64).filter_map(|x| Element::from_bytes(&be_bytes(x.into())).ok());
        let mut count = 0;
        for element in decoded {
            let by_order = element.0.mul_bigint(Fr::MODULUS);
            assert!(Element(by_order).is_identity());
            assert!(
                EdwardsProjective::from(ark_ed_on_bls12_381_bandersnatch::EdwardsAffine::from(element.0)) == element.0
            );
            count += 1;
        }
        // About a quarter of all x are encodings.
        assert!((70..130).contains(&count), "{count}");
    }

    proptest! {
        #[test]
        fn multiples_obey_the_laws_and_survive_their_encoding(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
            let (a, b) = (crate::scalar::from_hash(&a), crate::scalar::from_hash(&b));
            let g = Element::generator();
            prop_assert_eq!(g * a + g * b, g * (a + b));
            prop_assert_eq!(g * a * b, g * (a * b));
            prop_assert_eq!(g * a - g * a, Element::identity());
            prop_assert_eq!(Element::from_bytes(&(g * a).to_bytes()), Ok(g * a));
            prop_assert_eq!((g * a == g * b, (g * a).map_to_field() == (g * b).map_to_field()), (a == b, a == b));
        }

        #[test]
        fn strings_decode_to_what_they_encode(bytes in any::<[u8; 32]>()) {
            let mut bytes = bytes;
            bytes[0] &= 0x7f;
            if let Ok(element) = Element::from_bytes(&bytes) {
                prop_assert_eq!(element.to_bytes(), bytes);
            }
        }
    }
}
