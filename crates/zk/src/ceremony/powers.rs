//! Phase 1: powers of a number τ that nobody knows, plain and multiplied by α and β.

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ff::{Field, One};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::CeremonyError;
use super::points::{
    FIRST, Reader, SECOND, SECOND_STEPS, Steps, coefficients, generator_1, generator_2, same_ratio, scale_all, sum_1,
    sum_2, write_points,
};
use crate::shielded::field::Stream;
use ark_ec::CurveGroup;

/// The largest domain of a file: 2¹⁸, 100 MB.
pub const POWER_MAX: u8 = 18;

/// The powers up to a domain of 2^`power`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Powers {
    pub(super) power: u8,
    /// τⁱ in the first group, i < 2n − 1.
    pub(super) tau_1: Vec<G1Affine>,
    /// τⁱ in the second group, i < n.
    pub(super) tau_2: Vec<G2Affine>,
    /// ατⁱ, i < n.
    pub(super) alpha: Vec<G1Affine>,
    /// βτⁱ, i < n.
    pub(super) beta: Vec<G1Affine>,
    /// β in the second group.
    pub(super) beta_2: G2Affine,
}

/// The factors by which a contributor multiplies τ, α and β.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Factors {
    pub(super) tau: Fr,
    pub(super) alpha: Fr,
    pub(super) beta: Fr,
}

impl Powers {
    /// Returns the powers of 1, about which everybody knows everything.
    pub(super) fn start(power: u8) -> Result<Self, CeremonyError> {
        if power > POWER_MAX {
            return Err(CeremonyError::Unfit("it has too many constraints for the powers that this program makes"));
        }
        let size = 1 << power;
        Ok(Self {
            power,
            tau_1: vec![generator_1(); 2 * size - 1],
            tau_2: vec![generator_2(); size],
            alpha: vec![generator_1(); size],
            beta: vec![generator_1(); size],
            beta_2: generator_2(),
        })
    }

    /// Returns the size of the domain.
    pub(super) fn size(&self) -> usize {
        1 << self.power
    }

    /// Returns the bytes of the powers in a file.
    pub(super) fn bytes(power: u8) -> usize {
        let size = 1 << power;
        (2 * size - 1) * FIRST + size * (SECOND + 2 * FIRST) + SECOND
    }

    /// Returns the heads that each contribution contains: τ, α and β in the first group.
    pub(super) fn heads(&self) -> [G1Affine; 3] {
        [self.tau_1.get(1).copied().unwrap_or(self.tau_1[0]), self.alpha[0], self.beta[0]]
    }

    /// Returns the number of steps of [`Self::update`].
    pub(super) fn steps(&self) -> usize {
        (4 + SECOND_STEPS) * self.size()
    }

    /// Multiplies τ, α and β.
    pub(super) fn update(&mut self, factors: &Factors, steps: &mut Steps<'_>) -> Result<(), CeremonyError> {
        let powers = |start: Fr| {
            let mut next = Zeroizing::new(start);
            move || {
                let power = *next;
                *next *= factors.tau;
                power
            }
        };
        scale_all(&mut self.tau_1, powers(Fr::one()), steps, 1)?;
        scale_all(&mut self.tau_2, powers(Fr::one()), steps, SECOND_STEPS)?;
        scale_all(&mut self.alpha, powers(factors.alpha), steps, 1)?;
        scale_all(&mut self.beta, powers(factors.beta), steps, 1)?;
        let mut beta_2 = [self.beta_2];
        scale_all(&mut beta_2, || factors.beta, steps, SECOND_STEPS)?;
        [self.beta_2] = beta_2;
        Ok(())
    }

    /// Checks that these are powers of one τ, with one α and one β, that all points are in their groups, and that none
    /// is infinity.
    ///
    /// Each list is checked as one equation, under coefficients of 128 bits.
    pub(super) fn check(&self, random: &mut Stream) -> Result<(), CeremonyError> {
        let (one, two) = (generator_1(), generator_2());
        let wrong = |good: bool, place| if good { Ok(()) } else { Err(CeremonyError::Powers(place)) };
        wrong(self.tau_1[0] == one && self.tau_2[0] == two, "their start")?;
        let tau_2 = self.tau_2.get(1).copied().unwrap_or(two);
        let step_1 = |list: &[G1Affine], random: &mut Stream| {
            let factors = coefficients(random, list.len() - 1);
            let low = sum_1(&list[..list.len() - 1], &factors);
            let high = sum_1(&list[1..], &factors);
            same_ratio([low.into_affine(), high.into_affine()], [two, tau_2])
        };
        wrong(self.size() > 1, "their number")?;
        wrong(step_1(&self.tau_1, random), "the powers of tau in the first group")?;
        wrong(step_1(&self.alpha, random), "the powers times alpha")?;
        wrong(step_1(&self.beta, random), "the powers times beta")?;
        let factors = coefficients(random, self.size() - 1);
        let low = sum_2(&self.tau_2[..self.size() - 1], &factors);
        let high = sum_2(&self.tau_2[1..], &factors);
        let second = [low.into_affine(), high.into_affine()];
        let follows = same_ratio([one, self.tau_1[1]], second);
        wrong(follows, "the powers of tau in the second group")?;
        let same = same_ratio([one, self.beta[0]], [two, self.beta_2]);
        wrong(same, "beta in the second group")
    }

    /// Returns the powers of a smaller domain.
    pub(super) fn cut(&self, power: u8) -> Result<Self, CeremonyError> {
        if power > self.power {
            return Err(CeremonyError::TooFew { have: self.power, need: power });
        }
        let size = 1 << power;
        Ok(Self {
            power,
            tau_1: self.tau_1[..2 * size - 1].to_vec(),
            tau_2: self.tau_2[..size].to_vec(),
            alpha: self.alpha[..size].to_vec(),
            beta: self.beta[..size].to_vec(),
            beta_2: self.beta_2,
        })
    }

    /// Tells if τ is one of the domain's own points. A circuit's key would then be worthless.
    pub(super) fn is_degenerate(&self) -> bool {
        // The powers τ²ⁿ⁻² and τⁿ⁻² are equal exactly if τⁿ = 1.
        self.size() < 2 || self.tau_1[2 * self.size() - 2] == self.tau_1[self.size() - 2]
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CeremonyError> {
        let power = reader.byte("the powers' size")?;
        if !(1..=POWER_MAX).contains(&power) {
            return Err(CeremonyError::Value("the powers' size"));
        }
        let size = 1 << power;
        Ok(Self {
            power,
            tau_1: reader.points(2 * size - 1, false, "the powers of tau")?,
            tau_2: reader.points(size, false, "the powers of tau in the second group")?,
            alpha: reader.points(size, false, "the powers times alpha")?,
            beta: reader.points(size, false, "the powers times beta")?,
            beta_2: reader.point("beta in the second group")?,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.power);
        write_points(&self.tau_1, out);
        write_points(&self.tau_2, out);
        write_points(&self.alpha, out);
        write_points(&self.beta, out);
        write_points(&[self.beta_2], out);
    }
}

/// A contributor's factor for δ, and its inverse.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Delta {
    pub(super) factor: Fr,
    pub(super) inverse: Fr,
}

impl Delta {
    pub(super) fn new(factor: Fr) -> Self {
        // A stream's number is 0 with a probability of 2⁻²⁵⁴. Such a contribution would be refused.
        Self { factor, inverse: factor.inverse().unwrap_or_default() }
    }
}
