//! Many openings of many commitments as one proof of 576 bytes.
//!
//! *Invariants:* the prover's and the verifier's queries are in the same order, which the proof depends on; proving and
//! checking use memory linear in the queries, and no randomness.
//!
//! Source: Feist, "PCS multiproofs using random evaluation" (dankradfeist.de, 2021), with the transcript of EIP-6800's
//! references. In its names: f the polynomials, r and t the challenges, D and E the commitments to g and h.

use crate::WIDTH;
use crate::domain::{Values, domain};
use crate::fixed::commit;
use crate::group::{Element, Fr};
use crate::ipa::{self, IpaProof, ProofError};
use crate::msm::msm;
use crate::transcript::Transcript;
use ark_ff::{AdditiveGroup, Field, batch_inversion};
use std::collections::BTreeMap;
use std::iter::successors;

/// An opening to be proved: the polynomial's own value at the index.
#[derive(Clone, Copy, Debug)]
pub struct ProverQuery<'a> {
    /// The polynomial's commitment. With another polynomial's, the whole proof doesn't hold.
    pub commitment: Element,
    /// Values at 0 … 255.
    pub polynomial: &'a [Fr; WIDTH],
    /// Index of the opened value.
    pub index: u8,
}

impl ProverQuery<'_> {
    /// Returns the same opening in the verifier's form.
    pub fn opened(&self) -> VerifierQuery {
        let value = self.polynomial[usize::from(self.index)];
        VerifierQuery { commitment: self.commitment, index: self.index, value }
    }
}

/// A claimed opening: slot `index` of the vector in `commitment` is `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifierQuery {
    /// The commitment to the vector.
    pub commitment: Element,
    /// The slot.
    pub index: u8,
    /// The value in the slot.
    pub value: Fr,
}

/// A proof for a list of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiProof {
    d: Element,
    opening: IpaProof,
}

/// Number of queries from which h is committed to directly, not combined from the queries' commitments.
const COMMIT_FROM: usize = 128;

/// Proves all queries at once. A proof of no query can be made, but every verifier refuses it.
pub fn prove(transcript: &mut Transcript, queries: &[ProverQuery<'_>]) -> MultiProof {
    let opened: Vec<VerifierQuery> = queries.iter().map(ProverQuery::opened).collect();
    let r = begin(transcript, &opened);
    let grouped = group(queries, r);
    // g = Σ r^i · (f_i - f_i(z_i)) / (X - z_i), by index.
    let mut g = [Fr::ZERO; WIDTH];
    for (index, f) in &grouped {
        domain().add_quotient(f, *index, &mut g);
    }
    let d = commit(&g);
    let t = evaluation_point(transcript, &d);
    // h = Σ r^i · f_i / (t - z_i), by index.
    let distances = inverse_distances(t);
    let mut h = [Fr::ZERO; WIDTH];
    for (index, f) in &grouped {
        let factor = distances[usize::from(*index)];
        h.iter_mut().zip(f.iter()).for_each(|(h, f)| *h += factor * f);
    }
    let e = if queries.len() < COMMIT_FROM { msm(&weighted(&opened, r, &distances).0) } else { commit(&h) };
    transcript.append_element(b"E", &e);
    // The value of h - g at t is Σ r^i · f_i(z_i) / (t - z_i), which the verifier knows.
    h.iter_mut().zip(&g).for_each(|(h, g)| *h -= g);
    MultiProof { d, opening: ipa::prove(transcript, &(e - d), &h, t) }
}

/// Checks a proof for these queries.
///
/// # Errors
/// [`ProofError::Empty`] without queries; [`ProofError::Refused`] if one of them doesn't hold.
pub fn verify(transcript: &mut Transcript, proof: &MultiProof, queries: &[VerifierQuery]) -> Result<(), ProofError> {
    if queries.is_empty() {
        return Err(ProofError::Empty);
    }
    let r = begin(transcript, queries);
    let t = evaluation_point(transcript, &proof.d);
    if t_is_an_index(t) {
        return Err(ProofError::Refused);
    }
    let (terms, value) = weighted(queries, r, &inverse_distances(t));
    let e = msm(&terms);
    transcript.append_element(b"E", &e);
    proof.opening.verify(transcript, &(e - proof.d), t, value)
}

/// Appends the queries to the transcript and draws r.
fn begin(transcript: &mut Transcript, queries: &[VerifierQuery]) -> Fr {
    transcript.domain(b"multiproof");
    let commitments: Vec<Element> = queries.iter().map(|query| query.commitment).collect();
    for (query, commitment) in queries.iter().zip(Element::batch_to_bytes(&commitments)) {
        transcript.append_bytes(b"C", &commitment);
        transcript.append_scalar(b"z", &Fr::from(query.index));
        transcript.append_scalar(b"y", &query.value);
    }
    transcript.challenge(b"r")
}

/// Appends D to the transcript and draws t.
fn evaluation_point(transcript: &mut Transcript, d: &Element) -> Fr {
    transcript.append_element(b"D", d);
    transcript.challenge(b"t")
}

fn powers(r: Fr) -> impl Iterator<Item = Fr> {
    successors(Some(Fr::ONE), move |power| Some(*power * r))
}

/// Returns Σ r^i·f_i over the queries of each index.
fn group(queries: &[ProverQuery<'_>], r: Fr) -> BTreeMap<u8, Box<Values>> {
    let mut grouped: BTreeMap<u8, Box<Values>> = BTreeMap::new();
    for (query, power) in queries.iter().zip(powers(r)) {
        let sum = grouped.entry(query.index).or_insert_with(|| Box::new([Fr::ZERO; WIDTH]));
        sum.iter_mut().zip(query.polynomial).for_each(|(sum, f)| *sum += power * f);
    }
    grouped
}

/// Tells if the challenge is one of the 256 indices (probability 2^-244). It opens nothing: there the argument divides
/// by zero.
fn t_is_an_index(t: Fr) -> bool {
    (0..=u8::MAX).any(|index| t == Fr::from(index))
}

/// Returns 1/(t - index) for each index.
fn inverse_distances(t: Fr) -> Values {
    let mut distances = std::array::from_fn(|index| t - Fr::from(index as u64));
    batch_inversion(&mut distances);
    distances
}

/// Returns the terms of E, with neighbouring queries of one commitment joined, and the required value of h - g at t.
fn weighted(queries: &[VerifierQuery], r: Fr, distances: &Values) -> (Vec<(Element, Fr)>, Fr) {
    let mut terms: Vec<(Element, Fr)> = Vec::with_capacity(queries.len());
    let mut value = Fr::ZERO;
    for (query, power) in queries.iter().zip(powers(r)) {
        let factor = power * distances[usize::from(query.index)];
        value += factor * query.value;
        match terms.last_mut() {
            Some((last, sum)) if *last == query.commitment => *sum += factor,
            _ => terms.push((query.commitment, factor)),
        }
    }
    (terms, value)
}

impl MultiProof {
    /// Bytes of an encoded proof: D, then the opening.
    pub const BYTES: usize = 32 + IpaProof::BYTES;

    /// Encodes the proof.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&self.d.to_bytes());
        bytes[32..].copy_from_slice(&self.opening.to_bytes());
        bytes
    }

    /// Decodes strictly.
    ///
    /// # Errors
    /// The bytes aren't the encoding of a proof.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        let length = ProofError::Length { got: bytes.len(), want: Self::BYTES };
        let (d, opening) = bytes.split_first_chunk::<32>().ok_or(length)?;
        let opening = IpaProof::from_bytes(opening).map_err(|error| match error {
            ProofError::Length { .. } => length,
            other => other,
        })?;
        Ok(Self { d: Element::from_bytes(d)?, opening })
    }
}
