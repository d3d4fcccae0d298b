//! Encodings of scalars as bytes and as digits.
//!
//! *Invariants:* a scalar has one encoding, 32 bytes little-endian below the group's order; nothing here is constant
//! time: all scalars of the tree are public.

use crate::group::Fr;
use ark_ff::{BigInt, BigInteger, PrimeField};

/// The bytes are no scalar: the number is not below the group's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a scalar: the number is not below the group's order")]
pub struct ScalarError;

/// Encodes a scalar: 32 bytes, little-endian.
pub fn to_bytes(scalar: &Fr) -> [u8; 32] {
    let mut bytes = be_bytes(scalar.into_bigint());
    bytes.reverse();
    bytes
}

/// Decodes a scalar strictly.
///
/// # Errors
/// The number is not below the group's order.
pub fn from_bytes(bytes: &[u8; 32]) -> Result<Fr, ScalarError> {
    Fr::from_bigint(le_integer(bytes)).ok_or(ScalarError)
}

/// Converts a hash of 32 bytes to a number, little-endian, modulo the group's order. Only for hashes, which may be any
/// number: scalars from a peer go through [`from_bytes`].
pub fn from_hash(hash: &[u8; 32]) -> Fr {
    reduce(le_integer(hash))
}

/// Reduces a number modulo the group's order, which fits into 2^256 not quite nine times.
pub(crate) fn reduce(mut number: BigInt<4>) -> Fr {
    while number >= Fr::MODULUS {
        number.sub_with_borrow(&Fr::MODULUS);
    }
    Fr::new(number)
}

pub(crate) fn be_integer(bytes: &[u8; 32]) -> BigInt<4> {
    let mut reversed = *bytes;
    reversed.reverse();
    le_integer(&reversed)
}

fn le_integer(bytes: &[u8; 32]) -> BigInt<4> {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*chunk);
    }
    BigInt::new(limbs)
}

pub(crate) fn be_bytes(number: BigInt<4>) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(number.0.iter().rev()) {
        *chunk = limb.to_be_bytes();
    }
    bytes
}

/// Returns the `width` bits from bit `at` of a number; zeros above its top. `width` is below 64.
fn bits(limbs: &[u64; 4], at: usize, width: usize) -> u64 {
    let (limb, shift) = (at / 64, at % 64);
    let low = limbs.get(limb).map_or(0, |word| word >> shift);
    let high = if shift == 0 { 0 } else { limbs.get(limb + 1).map_or(0, |word| word << (64 - shift)) };
    (low | high) & ((1 << width) - 1)
}

/// Writes digits `d[i]` with scalar = `Σ d[i]·2^(width·i)` and `|d[i]| ≤ 2^(width-1)`, lowest first. `digits` must have
/// room for 254 bits: the order has 253, and one is for the carry. `width` must be below 16.
pub(crate) fn signed_digits(scalar: &Fr, width: usize, digits: &mut [i16]) {
    assert!(width < 16 && width * digits.len() >= 254);
    let limbs = scalar.into_bigint().0;
    let (full, half) = (1i32 << width, 1i32 << (width - 1));
    let mut carry = 0;
    for (i, digit) in digits.iter_mut().enumerate() {
        // The value is below 2^15, so the casts keep every bit.
        let unsigned = bits(&limbs, i * width, width) as i32 + carry;
        carry = i32::from(unsigned > half);
        *digit = (unsigned - carry * full) as i16;
    }
}

/// Bits of the window of [`sparse_digits`].
const SPARSE_WINDOW: usize = 5;
/// Odd multiples that [`sparse_digits`] needs: 1, 3, … 15.
pub(crate) const ODD_MULTIPLES: usize = 1 << (SPARSE_WINDOW - 2);

/// Returns digits `d[i]`, each zero or odd and below 2^4 in size, with scalar = `Σ d[i]·2^i` and one digit in six not
/// zero: the non-adjacent form of width 5 (Solinas, "Efficient arithmetic on Koblitz curves", 2000).
pub(crate) fn sparse_digits(scalar: &Fr) -> [i8; 256] {
    let limbs = scalar.into_bigint().0;
    let mut digits = [0; 256];
    let (mut at, mut carry) = (0, 0);
    while at < digits.len() {
        let window = bits(&limbs, at, SPARSE_WINDOW) + carry;
        if window.is_multiple_of(2) {
            // An even sum with a carry ends in a one bit that the carry made zero. The carry continues.
            at += 1;
            continue;
        }
        carry = u64::from(window > 1 << (SPARSE_WINDOW - 1));
        digits[at] = (window as i64 - ((carry as i64) << SPARSE_WINDOW)) as i8;
        at += SPARSE_WINDOW;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::{AdditiveGroup, Field};
    use proptest::prelude::*;

    fn scalar() -> impl Strategy<Value = Fr> {
        prop_oneof![
            4 => any::<[u8; 32]>().prop_map(|bytes| from_hash(&bytes)),
            1 => any::<u64>().prop_map(Fr::from),
            1 => any::<u64>().prop_map(|small| -Fr::from(small)),
        ]
    }

    fn value(digits: impl DoubleEndedIterator<Item = i64>, width: usize) -> Fr {
        digits.rev().fold(Fr::ZERO, |sum, digit| {
            let shifted = (0..width).fold(sum, |sum, _| sum.double());
            if digit < 0 { shifted - Fr::from(digit.unsigned_abs()) } else { shifted + Fr::from(digit.unsigned_abs()) }
        })
    }

    proptest! {
        #[test]
        fn digits_add_up_to_the_scalar(scalar in scalar(), width in 2usize..=15) {
            let mut digits = vec![0; 254usize.div_ceil(width)];
            signed_digits(&scalar, width, &mut digits);
            prop_assert!(digits.iter().all(|digit| digit.unsigned_abs() <= 1 << (width - 1)));
            prop_assert_eq!(value(digits.iter().map(|digit| i64::from(*digit)), width), scalar);
            let sparse = sparse_digits(&scalar);
            prop_assert!(sparse.iter().all(|digit| *digit == 0 || (digit % 2 != 0 && digit.unsigned_abs() < 16)));
            prop_assert_eq!(value(sparse.iter().map(|digit| i64::from(*digit)), 1), scalar);
        }

        #[test]
        fn a_scalar_has_one_encoding(bytes in any::<[u8; 32]>(), scalar in scalar()) {
            prop_assert_eq!(from_bytes(&to_bytes(&scalar)), Ok(scalar));
            prop_assert!(from_bytes(&bytes).is_err() || to_bytes(&from_hash(&bytes)) == bytes);
        }
    }

    #[test]
    fn numbers_from_the_order_on_are_no_scalars() {
        let mut order = be_bytes(Fr::MODULUS);
        order.reverse();
        assert_eq!(from_bytes(&order), Err(ScalarError));
        assert_eq!(from_hash(&order), Fr::ZERO);
        assert_eq!(from_bytes(&[0xff; 32]), Err(ScalarError));
        let mut below = order;
        below[0] -= 1;
        assert_eq!(from_bytes(&below), Ok(-Fr::ONE));
    }
}
