//! Square roots and quadratic residues in the base field, which make up the cost of decoding an element.
//!
//! *Invariants:* the results are those of arkworks' generic methods, which take twice as long (they compute the symbol
//! by a power, and take one step of Tonelli–Shanks for each bit of 2^32). Not constant time: encodings are public.

use ark_ed_on_bls12_381_bandersnatch::Fq;
use ark_ff::{AdditiveGroup, FftField, Field, PrimeField};
use std::array::from_fn;
use std::sync::OnceLock;

/// Bits of a logarithm that are found at once: a quarter of 32, the field's two-adicity.
const STEP: usize = 8;
/// Logarithms below 2^[`STEP`].
const SPAN: usize = 1 << STEP;

/// Powers of g, the field's root of unity of order 2^32.
struct Tables {
    /// `[k][j]` is `g^(-j·2^(8k))`.
    inverse_powers: [[Fq; SPAN]; 4],
    /// The lowest word of g^(j·2^24) and j, sorted by the word. All words differ.
    logarithms: [(u64, usize); SPAN],
}

fn tables() -> &'static Tables {
    static TABLES: OnceLock<Box<Tables>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let powers = |base: Fq| {
            let mut power = Fq::ONE;
            from_fn(|_| {
                let this = power;
                power *= base;
                this
            })
        };
        let root = Fq::TWO_ADIC_ROOT_OF_UNITY;
        // The root's order is 2^32, so its inverse is its power with exponent 2^32 - 1.
        let inverse = root.pow([(1 << 32) - 1]);
        let inverse_powers = from_fn(|k| powers(square_times(inverse, STEP * k)));
        let highest: [Fq; SPAN] = powers(square_times(root, 3 * STEP));
        let mut logarithms = from_fn(|j| (highest[j].0.0[0], j));
        logarithms.sort_unstable();
        Box::new(Tables { inverse_powers, logarithms })
    })
}

/// Returns a square root, if there is one: Tonelli–Shanks, with the logarithm to the base g found eight bits at a time
/// (Sarkar, "Computing square roots faster than the Tonelli-Shanks/Bernstein algorithm", eprint 2020/1407).
pub(crate) fn sqrt(square: &Fq) -> Option<Fq> {
    // Let q - 1 = 2^32·t: root² = square · rest, and rest is a power of g.
    if *square == Fq::ZERO {
        return Some(Fq::ZERO);
    }
    let power = trace_power(square);
    let root = power * square;
    let rest = root * power;
    let tables = tables();
    let (mut logarithm, mut left) = (0, rest);
    for k in 0..4 {
        // In `left`, the lowest 8·k bits of the logarithm are gone; the next eight show in its 2^(24-8k)th power.
        let top = square_times(left, STEP * (3 - k));
        let found = tables.logarithms.binary_search_by_key(&top.0.0[0], |(word, _)| *word).ok()?;
        let digit = tables.logarithms[found].1;
        left *= tables.inverse_powers[k][digit];
        logarithm |= digit << (STEP * k);
    }
    if logarithm % 2 == 1 {
        return None;
    }
    let half = logarithm / 2;
    Some((0..4).fold(root, |root, k| root * tables.inverse_powers[k][(half >> (STEP * k)) % SPAN]))
}

fn square_times(mut value: Fq, times: usize) -> Fq {
    for _ in 0..times {
        value.square_in_place();
    }
    value
}

/// Returns value^((t-1)/2), with four bits of the exponent at a time.
fn trace_power(value: &Fq) -> Fq {
    let exponent = Fq::TRACE_MINUS_ONE_DIV_TWO.0;
    let mut powers = [Fq::ONE; 16];
    for i in 1..16 {
        powers[i] = powers[i - 1] * value;
    }
    let digits = exponent.iter().rev().flat_map(|limb| (0..16).rev().map(move |at| (limb >> (4 * at)) % 16));
    let digits = digits.skip_while(|digit| *digit == 0);
    digits.fold(Fq::ONE, |power, digit| square_times(power, 4) * powers[digit as usize])
}

/// Tells if a value is a square other than zero. It computes the Jacobi symbol over the modulus by the binary algorithm
/// (Cohen, "A Course in Computational Algebraic Number Theory", algorithm 1.4.12).
pub(crate) fn is_square(value: &Fq) -> bool {
    let (mut a, mut n) = (value.into_bigint().0, Fq::MODULUS.0);
    // The symbol is 1 or -1. Each factor of two and each exchange may change its sign.
    let mut minus = 0;
    while a != [0; 4] {
        while a[0] == 0 {
            a = [a[1], a[2], a[3], 0];
        }
        let twos = a[0].trailing_zeros();
        a = shift_right(a, twos);
        // The symbol (2/n) is -1 iff n is 3 or 5 modulo 8.
        minus ^= u64::from(twos) & ((n[0] >> 1) ^ (n[0] >> 2));
        let (difference, borrow) = subtract(a, n);
        if borrow {
            // Exchange: (a/n) = -(n/a) iff both are 3 modulo 4.
            minus ^= (a[0] & n[0]) >> 1;
            (a, n) = (subtract(n, a).0, a);
        } else {
            a = difference;
        }
    }
    // The modulus is prime, so only zero has a common factor with it.
    n == [1, 0, 0, 0] && minus & 1 == 0
}

fn shift_right(number: [u64; 4], bits: u32) -> [u64; 4] {
    if bits == 0 {
        return number;
    }
    from_fn(|i| number[i] >> bits | number.get(i + 1).map_or(0, |next| next << (64 - bits)))
}

fn subtract(a: [u64; 4], b: [u64; 4]) -> ([u64; 4], bool) {
    let mut borrow = false;
    let difference = from_fn(|i| {
        let (once, first) = a[i].overflowing_sub(b[i]);
        let (twice, second) = once.overflowing_sub(u64::from(borrow));
        borrow = first | second;
        twice
    });
    (difference, borrow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::LegendreSymbol;
    use proptest::prelude::*;

    fn check(value: Fq) {
        assert_eq!(is_square(&value), value.legendre() == LegendreSymbol::QuadraticResidue, "{value}");
        match (sqrt(&value), value.sqrt()) {
            (Some(root), Some(_)) => assert_eq!(root.square(), value),
            (ours, theirs) => assert_eq!(ours, theirs, "{value}"),
        }
    }

    #[test]
    fn small_numbers_their_negatives_and_roots_of_unity_are_told_right() {
        let root = Fq::TWO_ADIC_ROOT_OF_UNITY;
        for i in 0..300u64 {
            for value in [
                Fq::from(i),
                -Fq::from(i),
                root.pow([i]),
                root.pow([i << 16]),
                root.pow([i << 24]),
                Fq::from(1u128 << (i % 128)),
            ] {
                check(value);
            }
        }
        check(Fq::from(Fq::MODULUS_MINUS_ONE_DIV_TWO));
    }

    proptest! {
        #[test]
        fn any_number_is_told_right(limbs in any::<[u64; 3]>()) {
            let value = limbs.iter().fold(Fq::ONE, |value, limb| value * Fq::from(*limb) + Fq::from(1));
            check(value);
            check(value.square());
        }
    }
}
