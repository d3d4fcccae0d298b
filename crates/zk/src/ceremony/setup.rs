//! Phase 2: a circuit's Groth16 key from the powers, and δ, which contributors multiply.

use std::ops::Range;

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ec::short_weierstrass::{Affine, Projective};
use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
use ark_ff::{AdditiveGroup, FftField, Field, One, Zero};
use ark_groth16::{ProvingKey, VerifyingKey};
use zeroize::Zeroizing;

use super::error::CeremonyError;
use super::points::{
    Reader, SECOND_STEPS, Steps, coefficients, generator_1, generator_2, same_ratio, scale, scale_all, sum_1, sum_2,
    write_points,
};
use super::powers::{Delta, Powers};
use super::relation::Relation;
use crate::shielded::field::Stream;

/// Number of terms from which a sum is made by buckets.
const BUCKETS_FROM: usize = 48;

/// Computes the inverse Fourier transform, in place: powers of τ become Lagrange's polynomials at τ, values become
/// coefficients.
fn interpolate<T: Copy + std::ops::Add<Output = T> + std::ops::Sub<Output = T>>(
    values: &mut [T],
    scale: impl Fn(T, Fr) -> T,
    mut done: impl FnMut(usize) -> Result<(), CeremonyError>,
) -> Result<(), CeremonyError> {
    let size = values.len();
    let bits = size.trailing_zeros();
    for at in 0..size {
        let other = at.reverse_bits() >> (usize::BITS - bits);
        if at < other {
            values.swap(at, other);
        }
    }
    let root = Fr::get_root_of_unity(size as u64).and_then(|root| root.inverse()).unwrap_or_default();
    let mut twiddles = Vec::with_capacity(size / 2);
    let mut twiddle = Fr::one();
    for _ in 0..size / 2 {
        twiddles.push(twiddle);
        twiddle *= root;
    }
    let mut half = 1;
    while half < size {
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (at, (low, high)) in low.iter_mut().zip(high).enumerate() {
                let turned = if at == 0 { *high } else { scale(*high, twiddles[at * (size / 2 / half)]) };
                (*low, *high) = (*low + turned, *low - turned);
            }
            done(half - 1)?;
        }
        half *= 2;
    }
    let inverse = Fr::from(size as u64).inverse().unwrap_or_default();
    for value in values {
        *value = scale(*value, inverse);
    }
    done(size)
}

/// Returns the number of multiplications of an interpolation.
fn interpolation_steps(size: usize) -> usize {
    size / 2 * size.trailing_zeros() as usize + 1
}

/// Returns Σ coefficient · point, over few or many terms, of which most coefficients may be ±1.
fn column<P: GLVConfig<ScalarField = Fr>>(terms: &[(Fr, Affine<P>)]) -> Projective<P> {
    let mut total = Projective::<P>::ZERO;
    let (mut points, mut factors) = (Vec::new(), Vec::new());
    for (factor, point) in terms {
        if factor.is_one() {
            total += point;
        } else if (-*factor).is_one() {
            total -= point;
        } else {
            points.push(*point);
            factors.push(*factor);
        }
    }
    if points.len() >= BUCKETS_FROM {
        return total + Projective::<P>::msm_unchecked(&points, &factors);
    }
    let scaled = |(point, factor): (&Affine<P>, &Fr)| scale((*point).into(), *factor);
    points.iter().zip(&factors).map(scaled).fold(total, |total, each| total + each)
}

/// Creates the key of a circuit with δ = 1. Anyone can forge proofs under it.
pub(super) fn begin(
    relation: &Relation,
    powers: &Powers,
    progress: super::Progress<'_>,
) -> Result<ProvingKey<Bn254>, CeremonyError> {
    let size = powers.size();
    let columns = relation.columns();
    let entries: usize = columns.iter().map(|[a, b, c]| 2 * a.len() + (2 + SECOND_STEPS) * b.len() + c.len()).sum();
    let mut steps = Steps::new((3 + SECOND_STEPS) * interpolation_steps(size) + entries, progress);
    let mut lagrange = |list: &[G1Affine]| {
        let mut values: Vec<G1Projective> = list[..size].iter().map(|point| (*point).into()).collect();
        interpolate(&mut values, scale, |count| steps.advance(count))?;
        Ok::<_, CeremonyError>(G1Projective::normalize_batch(&values))
    };
    let (plain, alpha, beta) = (lagrange(&powers.tau_1)?, lagrange(&powers.alpha)?, lagrange(&powers.beta)?);
    let mut second: Vec<G2Projective> = powers.tau_2.iter().map(|point| (*point).into()).collect();
    interpolate(&mut second, scale, |count| steps.advance(SECOND_STEPS * count))?;
    let second = G2Projective::normalize_batch(&second);

    let (mut a_query, mut b_1_query, mut b_2_query, mut rest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for [a, b, c] in &columns {
        a_query.push(column(&a.iter().map(|(factor, row)| (*factor, plain[*row])).collect::<Vec<_>>()));
        b_1_query.push(column(&b.iter().map(|(factor, row)| (*factor, plain[*row])).collect::<Vec<_>>()));
        b_2_query.push(column(&b.iter().map(|(factor, row)| (*factor, second[*row])).collect::<Vec<_>>()));
        let sides = [(a, &beta), (b, &alpha), (c, &plain)];
        let terms =
            sides.iter().flat_map(|(column, points)| column.iter().map(|(factor, row)| (*factor, points[*row])));
        rest.push(column(&terms.collect::<Vec<_>>()));
        steps.advance(2 * a.len() + (2 + SECOND_STEPS) * b.len() + c.len())?;
    }
    let rest = G1Projective::normalize_batch(&rest);
    if rest.iter().any(|point| point.is_zero()) {
        return Err(CeremonyError::Unfit("one of its variables stands in no constraint"));
    }
    let (inputs, private) = rest.split_at(relation.instances());
    let h: Vec<G1Projective> =
        (0..size - 1).map(|at| G1Projective::from(powers.tau_1[at + size]) - powers.tau_1[at]).collect();
    Ok(ProvingKey {
        vk: Heads::of(powers).verifying_key(generator_2(), inputs.to_vec()),
        beta_g1: powers.beta[0],
        delta_g1: generator_1(),
        a_query: G1Projective::normalize_batch(&a_query),
        b_g1_query: G1Projective::normalize_batch(&b_1_query),
        b_g2_query: G2Projective::normalize_batch(&b_2_query),
        h_query: G1Projective::normalize_batch(&h),
        l_query: private.to_vec(),
    })
}

/// The parts of a key that are taken unchanged from the powers: α, and β in both groups.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    alpha: G1Affine,
    beta_1: G1Affine,
    beta_2: G2Affine,
}

impl Heads {
    pub(super) fn of(powers: &Powers) -> Self {
        Self { alpha: powers.alpha[0], beta_1: powers.beta[0], beta_2: powers.beta_2 }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CeremonyError> {
        Ok(Self {
            alpha: reader.point("the key's alpha")?,
            beta_1: reader.point("the key's beta")?,
            beta_2: reader.point("the key's beta in the second group")?,
        })
    }

    fn verifying_key(&self, delta: G2Affine, inputs: Vec<G1Affine>) -> VerifyingKey<Bn254> {
        VerifyingKey {
            alpha_g1: self.alpha,
            beta_g2: self.beta_2,
            gamma_g2: generator_2(),
            delta_g2: delta,
            gamma_abc_g1: inputs,
        }
    }
}

/// Returns the number of steps of [`update`].
pub(super) fn update_steps(key: &ProvingKey<Bn254>) -> usize {
    key.h_query.len() + key.l_query.len()
}

/// Multiplies δ.
pub(super) fn update(key: &mut ProvingKey<Bn254>, delta: &Delta, steps: &mut Steps<'_>) -> Result<(), CeremonyError> {
    key.delta_g1 = scale(G1Projective::from(key.delta_g1), delta.factor).into_affine();
    key.vk.delta_g2 = scale(G2Projective::from(key.vk.delta_g2), delta.factor).into_affine();
    scale_all(&mut key.h_query, || delta.inverse, steps, 1)?;
    scale_all(&mut key.l_query, || delta.inverse, steps, 1)
}

/// Checks that the key is the circuit's under these powers and the δ in it. Each list is checked as one equation, under
/// coefficients of 128 bits.
pub(super) fn check(
    relation: &Relation,
    powers: &Powers,
    key: &ProvingKey<Bn254>,
    random: &mut Stream,
) -> Result<(), CeremonyError> {
    let wrong = |good: bool, place| if good { Ok(()) } else { Err(CeremonyError::Key(place)) };
    let size = powers.size();
    let (one, two) = (generator_1(), generator_2());
    let delta = [two, key.vk.delta_g2];
    wrong(same_ratio([one, key.delta_g1], delta), "delta")?;

    let instances = relation.instances();
    let factors = coefficients(random, relation.variables());
    let [a_in, b_in, c_in] = combined(relation, &factors, 0..instances, size)?;
    let [a, b, c] = combined(relation, &factors, instances..relation.variables(), size)?;
    let add = |one: &[Fr], two: &[Fr]| one.iter().zip(two).map(|(one, two)| *one + two).collect::<Vec<Fr>>();
    let (all_a, all_b) = (add(&a, &a_in), add(&b, &b_in));
    let plain = &powers.tau_1[..size];
    let right = sum_1(&key.a_query, &factors) == sum_1(plain, &all_a);
    wrong(right, "A")?;
    let right = sum_1(&key.b_g1_query, &factors) == sum_1(plain, &all_b);
    wrong(right, "B in the first group")?;
    let right = sum_2(&key.b_g2_query, &factors) == sum_2(&powers.tau_2, &all_b);
    wrong(right, "B in the second group")?;
    let of = |a: &[Fr], b: &[Fr], c: &[Fr]| -> G1Projective {
        sum_1(&powers.beta, a) + sum_1(&powers.alpha, b) + sum_1(plain, c)
    };
    let inputs = sum_1(&key.vk.gamma_abc_g1, &factors[..instances]);
    let right = inputs == of(&a_in, &b_in, &c_in);
    wrong(right, "the public inputs")?;
    let private = sum_1(&key.l_query, &factors[instances..]);
    let right = same_ratio([private.into_affine(), of(&a, &b, &c).into_affine()], delta);
    wrong(right, "the private variables")?;
    let factors = coefficients(random, size - 1);
    let high = sum_1(&powers.tau_1[size..2 * size - 1], &factors);
    let low = sum_1(&powers.tau_1[..size - 1], &factors);
    let quotient = sum_1(&key.h_query, &factors);
    let right = same_ratio([quotient.into_affine(), (high - low).into_affine()], delta);
    wrong(right, "the quotient")
}

/// Returns for each of the circuit's three matrices the polynomial Σ factor · column over a range of variables.
fn combined(
    relation: &Relation,
    factors: &[Fr],
    variables: Range<usize>,
    size: usize,
) -> Result<[Zeroizing<Vec<Fr>>; 3], CeremonyError> {
    let mut values: [Vec<Fr>; 3] = std::array::from_fn(|_| vec![Fr::zero(); size]);
    relation.each_entry(|matrix, row, variable, coefficient| {
        if variables.contains(&variable) {
            values[matrix][row] += coefficient * factors[variable];
        }
    });
    for values in &mut values {
        interpolate(values, |value, factor| value * factor, |_| Ok(()))?;
    }
    Ok(values.map(Zeroizing::new))
}

/// Writes the parts of the key that are not in the powers.
pub(super) fn write(key: &ProvingKey<Bn254>, out: &mut Vec<u8>) {
    write_points(&[key.delta_g1], out);
    write_points(&[key.vk.delta_g2], out);
    write_points(&key.vk.gamma_abc_g1, out);
    write_points(&key.a_query, out);
    write_points(&key.b_g1_query, out);
    write_points(&key.b_g2_query, out);
    write_points(&key.h_query, out);
    write_points(&key.l_query, out);
}

/// Reads what [`write`] wrote, for a circuit with this many variables and a quotient with this many points.
pub(super) fn read(
    reader: &mut Reader<'_>,
    heads: Heads,
    quotient: usize,
    instances: usize,
    variables: usize,
) -> Result<ProvingKey<Bn254>, CeremonyError> {
    let delta_g1 = reader.point("the key's delta")?;
    let delta_g2 = reader.point("the key's delta in the second group")?;
    let inputs = reader.points(instances, false, "the key's public inputs")?;
    Ok(ProvingKey {
        vk: heads.verifying_key(delta_g2, inputs),
        beta_g1: heads.beta_1,
        delta_g1,
        a_query: reader.points(variables, true, "the key's A")?,
        b_g1_query: reader.points(variables, true, "the key's B")?,
        b_g2_query: reader.points(variables, true, "the key's B in the second group")?,
        h_query: reader.points(quotient, false, "the key's quotient")?,
        l_query: reader.points(variables - instances, false, "the key's private variables")?,
    })
}

/// Writes the parts of the powers that a proving key's file contains.
pub(super) fn write_heads(key: &ProvingKey<Bn254>, out: &mut Vec<u8>) {
    write_points(&[key.vk.alpha_g1, key.beta_g1], out);
    write_points(&[key.vk.beta_g2], out);
}
