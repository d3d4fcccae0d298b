//! Verification of many claims at once: one equation that holds if all claims hold, and a search for those that don't.
//!
//! Each claim's equation e(A, B) = e(α, β) · e(I, γ) · e(C, δ) is raised to a coefficient of 128 bits, and all are
//! multiplied. Claims of the same key share the three pairings on the right, and all claims share the final
//! exponentiation. The coefficients are a hash of the whole batch, so every machine computes the same ones, and nobody
//! can choose a claim after its coefficient. A batch with a claim that doesn't hold passes with a probability of 2⁻¹²⁸
//! for each attempt. A coefficient is a + λb for two numbers of 64 bits, where λ is the factor of the curve's
//! endomorphism, which costs nothing. That halves the doublings of 128 bits and gives as many coefficients, since no
//! two such pairs give the same. Every element is in a group of prime order, which a claim's decoder checks; otherwise
//! this would not be true.
//!
//! The product is computed in groups of claims, all with coefficients of one hash. If it isn't one, halves of the
//! groups' products show which groups are bad. In a bad group each claim's own product is computed, and halves of these
//! show which claims are bad. So one bad claim makes only its own group be searched. A batch of only bad claims costs
//! about half as much again as verifying each alone.

use crate::claim::{Claim, ClaimOf, Decoded};
use crate::curve::Suite;
use crate::key::Prepared;
use crate::refused::Refused;
use ark_ec::pairing::MillerLoopOutput;
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::{CurveGroup, VariableBaseMSM};
use ark_ff::{AdditiveGroup, One};

/// The random weights with which proofs are checked together.
const BATCH_DOMAIN: &[u8] = b"rustorium/groth16-batch/v1\0";
/// Largest number of claims in a group. Twice as many would save a fiftieth, and double the cost of one bad claim.
const TOGETHER_MAX: usize = 32;

/// Verifies all claims, on both curves and for any keys. Returns for each the result that `Claim::verify` would give.
pub fn verify_all(claims: &[Claim]) -> Vec<Result<(), Refused>> {
    let mut verdicts = vec![Err(Refused::NotProved); claims.len()];
    let first = claims.iter().enumerate().filter_map(|(place, claim)| match &claim.of {
        ClaimOf::Bn254(decoded) => Some(Entry { place, claim, decoded }),
        ClaimOf::Bls12381(_) => None,
    });
    settle(first.collect(), &mut verdicts);
    let second = claims.iter().enumerate().filter_map(|(place, claim)| match &claim.of {
        ClaimOf::Bls12381(decoded) => Some(Entry { place, claim, decoded }),
        ClaimOf::Bn254(_) => None,
    });
    settle(second.collect(), &mut verdicts);
    verdicts
}

struct Entry<'a, E: Suite> {
    place: usize,
    claim: &'a Claim,
    decoded: &'a Decoded<E>,
}

fn settle<E: Suite>(mut entries: Vec<Entry<'_, E>>, verdicts: &mut [Result<(), Refused>]) {
    if let [entry] = &entries[..] {
        verdicts[entry.place] = entry.claim.verify();
        return;
    }
    // Claims of a key stand together, so that the terms they share are one run.
    entries.sort_by_key(|entry| (entry.claim.key.digest, entry.place));
    let coefficients = coefficients::<E>(&entries);
    let groups: Vec<_> = entries.chunks(TOGETHER_MAX).zip(coefficients.chunks(TOGETHER_MAX)).collect();
    let products: Vec<E::TargetField> =
        groups.iter().map(|(entries, coefficients)| whole(entries, coefficients)).collect();
    let mut good = vec![false; groups.len()];
    find::<E>(&products, &mut good, false);
    for ((entries, coefficients), good) in groups.into_iter().zip(good) {
        let good = if good { vec![true; entries.len()] } else { find_bad(entries, coefficients) };
        for (entry, good) in entries.iter().zip(good) {
            if good {
                verdicts[entry.place] = Ok(());
            }
        }
    }
}

/// Finds the claims that hold in a group that doesn't hold as a whole.
fn find_bad<E: Suite>(entries: &[Entry<'_, E>], coefficients: &[Coefficient<E::ScalarField>]) -> Vec<bool> {
    let own = |(entry, coefficient): (&Entry<'_, E>, &_)| alone(entry.decoded, *coefficient);
    let products: Vec<E::TargetField> = entries.iter().zip(coefficients).map(own).collect();
    let mut good = vec![false; entries.len()];
    find::<E>(&products, &mut good, true);
    good
}

/// a + λb.
#[derive(Clone, Copy)]
struct Coefficient<F> {
    a: u64,
    b: u64,
    scalar: F,
}

/// Returns one coefficient for each claim, none of them zero, hashed from all claims.
fn coefficients<E: Suite>(entries: &[Entry<'_, E>]) -> Vec<Coefficient<E::ScalarField>> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(BATCH_DOMAIN).update(&[E::CURVE as u8]).update(&(entries.len() as u64).to_le_bytes());
    for entry in entries {
        // A key's digest fixes the length of the data after it.
        hasher.update(&entry.claim.key.digest);
        hasher.update(&entry.claim.input_bytes()).update(&entry.claim.proof_bytes());
    }
    let mut bytes = hasher.finalize_xof();
    let mut next = || {
        let mut halves = [[0; 8]; 2];
        bytes.fill(halves.as_flattened_mut());
        let [a, b] = halves.map(u64::from_le_bytes);
        let (a, b) = if (a, b) == (0, 0) { (1, 0) } else { (a, b) };
        Coefficient { a, b, scalar: E::ScalarField::from(a) + E::First::LAMBDA * E::ScalarField::from(b) }
    };
    entries.iter().map(|_| next()).collect()
}

/// Returns the Miller product of the claims' equation.
fn whole<E: Suite>(entries: &[Entry<'_, E>], coefficients: &[Coefficient<E::ScalarField>]) -> E::TargetField {
    let first: Vec<E::G1Affine> = entries.iter().map(|entry| entry.decoded.proof.a).collect();
    let mut left = scaled::<E>(&first, coefficients);
    let mut right: Vec<E::G2Prepared> = entries.iter().map(|entry| entry.decoded.proof.b.into()).collect();
    let mut start = 0;
    for run in entries.chunk_by(|a, b| a.claim.key.digest == b.claim.key.digest) {
        let claims: Vec<&Decoded<E>> = run.iter().map(|entry| entry.decoded).collect();
        shared(&claims, &coefficients[start..start + run.len()], &mut left, &mut right);
        start += run.len();
    }
    E::multi_miller_loop(left, right).0
}

/// Returns the Miller product of one claim.
fn alone<E: Suite>(claim: &Decoded<E>, coefficient: Coefficient<E::ScalarField>) -> E::TargetField {
    let mut left = scaled::<E>(&[claim.proof.a], &[coefficient]);
    let mut right = vec![claim.proof.b.into()];
    shared(&[claim], &[coefficient], &mut left, &mut right);
    E::multi_miller_loop(left, right).0
}

/// Adds the three pairings that claims of one key share: with −β·Σ, −γ and −δ.
fn shared<E: Suite>(
    claims: &[&Decoded<E>],
    coefficients: &[Coefficient<E::ScalarField>],
    left: &mut Vec<E::G1Affine>,
    right: &mut Vec<E::G2Prepared>,
) {
    let Some(Prepared { key, lines, .. }) = claims.first().map(|claim| &*claim.key) else { return };
    let sum: E::ScalarField = coefficients.iter().map(|coefficient| coefficient.scalar).sum();
    let mut weights = vec![sum];
    weights.resize(key.gamma_abc_g1.len(), E::ScalarField::ZERO);
    for (claim, coefficient) in claims.iter().zip(coefficients) {
        for (weight, input) in weights[1..].iter_mut().zip(&claim.inputs) {
            *weight += coefficient.scalar * input;
        }
    }
    let halves = coefficients.iter().map(|coefficient| coefficient.a).chain(coefficients.iter().map(|one| one.b));
    let last = claims.iter().map(|claim| claim.proof.c);
    let last: Vec<E::G1Affine> = last.clone().chain(last.map(|point| E::First::endomorphism_affine(&point))).collect();
    let alpha = E::G1::from(key.alpha_g1) * -sum;
    let inputs = E::G1::msm_unchecked(&key.gamma_abc_g1, &weights);
    let last = E::G1::msm_u64(&last, &halves.collect::<Vec<u64>>());
    left.extend(E::G1::normalize_batch(&[alpha, inputs, last]));
    right.extend(lines.iter().cloned());
}

/// Multiplies each point by its coefficient, both halves of it at once.
fn scaled<E: Suite>(points: &[E::G1Affine], coefficients: &[Coefficient<E::ScalarField>]) -> Vec<E::G1Affine> {
    let turned: Vec<E::G1Affine> = points.iter().map(E::First::endomorphism_affine).collect();
    let both: Vec<E::G1> = points.iter().zip(&turned).map(|(point, turned)| E::G1::from(*point) + *turned).collect();
    let both = E::G1::normalize_batch(&both);
    let scale = |((point, coefficient), (turned, both)): ((&E::G1Affine, &Coefficient<_>), (&_, &_))| {
        let mut sum = E::G1::ZERO;
        for bit in (0..u64::BITS).rev() {
            sum.double_in_place();
            match (coefficient.a >> bit & 1, coefficient.b >> bit & 1) {
                (0, 0) => {}
                (1, 0) => sum += point,
                (0, 1) => sum += turned,
                _ => sum += both,
            }
        }
        sum
    };
    let scaled: Vec<E::G1> = points.iter().zip(coefficients).zip(turned.iter().zip(&both)).map(scale).collect();
    E::G1::normalize_batch(&scaled)
}

/// Marks the claims whose equation holds, and returns whether all do. `bad`: it is known that not all do.
fn find<E: Suite>(products: &[E::TargetField], good: &mut [bool], bad: bool) -> bool {
    if !bad && is_one::<E>(products.iter().product()) {
        good.fill(true);
        return true;
    }
    if products.len() > 1 {
        let half = products.len() / 2;
        let (first, second) = good.split_at_mut(half);
        let first_good = find::<E>(&products[..half], first, false);
        find::<E>(&products[half..], second, first_good);
    }
    false
}

fn is_one<E: Suite>(product: E::TargetField) -> bool {
    E::final_exponentiation(MillerLoopOutput(product)).is_some_and(|output| output.0.is_one())
}
