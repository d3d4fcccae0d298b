//! The inner-product argument: a proof, in 544 bytes, that a commitment opens to this value at this point.
//!
//! *Invariants:* the verifier makes only one sum: 257 multiples of fixed points and sixteen of others; the prover folds
//! scalars in each round, but points only once.
//!
//! Source: Bünz et al., "Bulletproofs" (eprint 2017/1066), section 3, in the form of EIP-6800's references: no blinding,
//! and the second vector is public.

use crate::WIDTH;
use crate::crs::crs;
use crate::domain::{Values, domain, inner_product};
use crate::fixed::{self, Digits, Q};
use crate::group::{Element, Fr, GroupError};
use crate::msm::{Multiples, msm};
use crate::scalar::{self, ScalarError};
use crate::transcript::Transcript;
use ark_ff::{AdditiveGroup, Field, batch_inversion};

/// Rounds that halve 256 to one.
const ROUNDS: usize = WIDTH.ilog2() as usize;
/// Rounds in which the prover uses the CRS itself, from its table. After them it pays to fold the points. (Measured by
/// `cargo run --release --example proof_bench`.)
const FIXED_ROUNDS: usize = 3;

/// A proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The proof has the wrong number of bytes.
    #[error("a proof of this kind has {want} bytes, not {got}")]
    Length {
        /// Number of bytes given.
        got: usize,
        /// Number of bytes required.
        want: usize,
    },
    /// A point of the proof is no group element.
    #[error("the proof has an invalid point: {0}")]
    Point(#[from] GroupError),
    /// The last scalar of the proof is not canonical.
    #[error("the proof has an invalid scalar: {0}")]
    Scalar(#[from] ScalarError),
    /// There was nothing to prove.
    #[error("the proof opens nothing: name at least one commitment, index and value")]
    Empty,
    /// The proof is for other commitments, indices or values.
    #[error("the proof does not hold for these commitments, indices and values: ask another node")]
    Refused,
}

/// An inner-product proof: two points for each round, and the scalar that remains after the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpaProof {
    left: [Element; ROUNDS],
    right: [Element; ROUNDS],
    last: Fr,
}

/// Proves the value at `point` of the polynomial with these values on the domain.
///
/// `commitment` must be the polynomial's. Otherwise the proof doesn't hold.
pub fn prove(transcript: &mut Transcript, commitment: &Element, polynomial: &Values, point: Fr) -> IpaProof {
    let (mut a, mut b) = (*polynomial, domain().lagrange(point));
    let w = begin(transcript, commitment, point, inner_product(&a, &b));
    let mut bases = Bases::new();
    let (mut left, mut right) = ([Element::identity(); ROUNDS], [Element::identity(); ROUNDS]);
    for round in 0..ROUNDS {
        let half = WIDTH >> (round + 1);
        let (a_left, a_right) = a[..2 * half].split_at(half);
        let (b_left, b_right) = b[..2 * half].split_at(half);
        let crossed = [w * inner_product(a_right, b_left), w * inner_product(a_left, b_right)];
        [left[round], right[round]] = bases.cross(&a[..2 * half], crossed);
        let x = round_challenge(transcript, &left[round], &right[round]);
        // A challenge of zero (probability 2^-252) gives a proof that doesn't hold.
        let inverse = x.inverse().unwrap_or_default();
        for i in 0..half {
            a[i] += x * a[i + half];
            b[i] += inverse * b[i + half];
        }
        bases.fold(inverse);
    }
    IpaProof { left, right, last: a[0] }
}

fn begin(transcript: &mut Transcript, commitment: &Element, point: Fr, value: Fr) -> Fr {
    transcript.domain(b"ipa");
    transcript.append_element(b"C", commitment);
    transcript.append_scalar(b"input point", &point);
    transcript.append_scalar(b"output point", &value);
    transcript.challenge(b"w")
}

fn round_challenge(transcript: &mut Transcript, left: &Element, right: &Element) -> Fr {
    let [left, right] = Element::to_bytes_array(&[*left, *right]);
    transcript.append_bytes(b"L", &left);
    transcript.append_bytes(b"R", &right);
    transcript.challenge(b"x")
}

/// The prover's points, folded only symbolically: point j of the current round is `Σ weights[i]·points[i]` over the i
/// that equal j modulo the round's size. Folding changes weights, and no points, until so few are left that computing
/// them pays.
struct Bases {
    /// The points after [`FIXED_ROUNDS`], and Q after them; `None` while the points are the CRS.
    folded: Option<Multiples>,
    weights: Vec<Fr>,
    size: usize,
}

impl Bases {
    fn new() -> Self {
        Self { folded: None, weights: vec![Fr::ONE; WIDTH], size: WIDTH }
    }

    /// Returns the two points of a round: the right half of `a` on the left half of the points, and the reverse. Each
    /// includes its multiple of Q.
    fn cross(&self, a: &[Fr], q_multiples: [Fr; 2]) -> [Element; 2] {
        let half = self.size / 2;
        let q = self.weights.len();
        let mut terms = q_multiples.map(|multiple| vec![(q, multiple)]);
        for (i, weight) in self.weights.iter().enumerate() {
            let j = i % self.size;
            let (side, partner) = if j < half { (0, j + half) } else { (1, j - half) };
            terms[side].push((i, *weight * a[partner]));
        }
        terms.map(|terms| match &self.folded {
            None => fixed::sum(&terms, Digits::Whole),
            Some(points) => points.sum(&terms),
        })
    }

    /// Folds: point j becomes point j + `inverse`·(point j of the right half).
    fn fold(&mut self, inverse: Fr) {
        self.size /= 2;
        for (i, weight) in self.weights.iter_mut().enumerate() {
            if i & self.size != 0 {
                *weight *= inverse;
            }
        }
        if self.size == WIDTH >> FIXED_ROUNDS {
            self.make_points();
        }
    }

    fn make_points(&mut self) {
        let point = |j: usize| {
            let terms: Vec<(usize, Fr)> = (j..WIDTH).step_by(self.size).map(|i| (i, self.weights[i])).collect();
            fixed::sum(&terms, Digits::Halves)
        };
        let points: Vec<Element> = (0..self.size).map(point).chain([crs().q]).collect();
        self.folded = Some(Multiples::new(&points));
        self.weights = vec![Fr::ONE; self.size];
    }
}

impl IpaProof {
    /// Bytes of an encoded proof: the left points, the right points, the scalar.
    pub const BYTES: usize = (2 * ROUNDS + 1) * 32;

    /// Checks that the polynomial of `commitment` has `value` at `point`.
    ///
    /// # Errors
    /// [`ProofError::Refused`] if it has another value there.
    pub fn verify(
        &self,
        transcript: &mut Transcript,
        commitment: &Element,
        point: Fr,
        value: Fr,
    ) -> Result<(), ProofError> {
        let w = begin(transcript, commitment, point, value);
        let mut challenges = [Fr::ZERO; ROUNDS];
        for ((x, left), right) in challenges.iter_mut().zip(&self.left).zip(&self.right) {
            *x = round_challenge(transcript, left, right);
        }
        if challenges.contains(&Fr::ZERO) {
            return Err(ProofError::Refused);
        }
        let mut inverses = challenges;
        batch_inversion(&mut inverses);
        let s = folding(&inverses);
        let b = inner_product(&s, &domain().lagrange(point));
        // The check: last·Σ s·G + w·(last·b - value)·Q must be C + Σ x·L + x⁻¹·R.
        let mut fixed_terms: Vec<(usize, Fr)> = s.iter().map(|s| self.last * s).enumerate().collect();
        fixed_terms.push((Q, w * (self.last * b - value)));
        let points = self.left.iter().chain(&self.right).copied();
        let proof_terms: Vec<(Element, Fr)> = points.zip(challenges.into_iter().chain(inverses)).collect();
        let difference = fixed::sum(&fixed_terms, Digits::Whole) - msm(&proof_terms) - *commitment;
        if difference.is_identity() { Ok(()) } else { Err(ProofError::Refused) }
    }

    /// Encodes the proof.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let points: Vec<Element> = self.left.iter().chain(&self.right).copied().collect();
        let mut bytes = [0; Self::BYTES];
        let encoded = Element::batch_to_bytes(&points).into_iter().chain([scalar::to_bytes(&self.last)]);
        for (chunk, encoded) in bytes.as_chunks_mut::<32>().0.iter_mut().zip(encoded) {
            *chunk = encoded;
        }
        bytes
    }

    /// Decodes strictly.
    ///
    /// # Errors
    /// The bytes aren't the encoding of a proof.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        let length = ProofError::Length { got: bytes.len(), want: Self::BYTES };
        let bytes: &[u8; Self::BYTES] = bytes.try_into().map_err(|_| length)?;
        let (points, last) = bytes.as_chunks::<32>().0.split_at(2 * ROUNDS);
        let points = Element::batch_from_bytes(points)?;
        let (mut left, mut right) = ([Element::identity(); ROUNDS], [Element::identity(); ROUNDS]);
        left.copy_from_slice(&points[..ROUNDS]);
        right.copy_from_slice(&points[ROUNDS..]);
        Ok(Self { left, right, last: scalar::from_bytes(&last[0])? })
    }
}

/// Returns each point's weight after all rounds: the product of the inverses of the rounds in which it was on the
/// right. The first round splits by the highest bit of the index.
fn folding(inverses: &[Fr; ROUNDS]) -> Values {
    let mut s = [Fr::ONE; WIDTH];
    for (bit, inverse) in inverses.iter().rev().enumerate() {
        let (low, high) = s[..2 << bit].split_at_mut(1 << bit);
        for (high, low) in high.iter_mut().zip(low) {
            *high = *low * inverse;
        }
    }
    s
}
