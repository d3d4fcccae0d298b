//! Wires of a rank-1 constraint system: numbers, as combinations of the system's variables.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field, One, Zero};
use ark_relations::gr1cs::{ConstraintSystemRef, LinearCombination, SynthesisError, Variable};

use super::field::Element;
use super::poseidon::Word;

/// A builder of a circuit's constraints and witness.
///
/// If `symbolic`, it makes constraints. Otherwise it makes only the witness, which is all that a prover who already has
/// the matrices needs.
#[derive(Clone)]
pub struct Circuit {
    system: ConstraintSystemRef<Element>,
    symbolic: bool,
}

/// A number in a circuit, as a linear combination of variables. Sums are free; a product is a constraint.
#[derive(Clone)]
pub struct Wire {
    circuit: Option<Circuit>,
    value: Element,
    terms: Vec<(Element, Variable)>,
}

impl Circuit {
    /// Creates a circuit over `system`.
    pub fn new(system: ConstraintSystemRef<Element>) -> Self {
        let symbolic = system.should_construct_matrices();
        Self { system, symbolic }
    }

    fn wire(&self, value: Element, variable: Variable) -> Wire {
        let terms = if self.symbolic { vec![(Fr::one(), variable)] } else { Vec::new() };
        Wire { circuit: Some(self.clone()), value, terms }
    }

    /// Allocates a number that the verifier gives.
    pub fn public(&self, value: Element) -> Result<Wire, SynthesisError> {
        Ok(self.wire(value, self.system.new_input_variable(|| Ok(value))?))
    }

    /// Allocates a number that the prover chooses. It is unconstrained until something is enforced.
    pub fn private(&self, value: Element) -> Result<Wire, SynthesisError> {
        Ok(self.wire(value, self.system.new_witness_variable(|| Ok(value))?))
    }

    /// Allocates a number that the prover chooses, 0 or 1.
    pub fn bit(&self, value: bool) -> Result<Wire, SynthesisError> {
        let bit = self.private(Fr::from(value))?;
        let complement = Wire::one().minus(&bit);
        self.enforce_product(&bit, &complement, &Wire::zero())?;
        Ok(bit)
    }

    /// Enforces a · b = c.
    pub fn enforce_product(&self, a: &Wire, b: &Wire, c: &Wire) -> Result<(), SynthesisError> {
        if !self.symbolic {
            return Ok(());
        }
        self.system.enforce_r1cs_constraint(|| a.combination(), || b.combination(), || c.combination())
    }

    /// Enforces a = b.
    pub fn enforce_equal(&self, a: &Wire, b: &Wire) -> Result<(), SynthesisError> {
        self.enforce_product(a, &Wire::one(), b)
    }

    /// Returns a new wire for a · b.
    pub fn product(&self, a: &Wire, b: &Wire) -> Result<Wire, SynthesisError> {
        let product = self.private(a.value * b.value)?;
        self.enforce_product(a, b, &product)?;
        Ok(product)
    }

    /// Returns `zero` if `bit` is 0, and `one` if it is 1.
    pub fn select(&self, bit: &Wire, zero: &Wire, one: &Wire) -> Result<Wire, SynthesisError> {
        Ok(self.product(bit, &one.minus(zero))?.plus(zero))
    }
}

impl Wire {
    /// The constant 0.
    pub fn zero() -> Self {
        Self::constant(Fr::zero())
    }

    /// The constant 1.
    pub fn one() -> Self {
        Self::constant(Fr::one())
    }

    /// Returns the number that the wire carries.
    pub fn value(&self) -> Element {
        self.value
    }

    /// Returns the sum of two wires.
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add_scaled(&Fr::one(), other);
        sum
    }

    /// Returns the difference of two wires.
    pub fn minus(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        difference.add_scaled(&-Fr::one(), other);
        difference
    }

    /// Returns the number with these binary digits, lowest first.
    pub fn from_bits(bits: &[Self]) -> Self {
        let mut sum = Self::zero();
        let mut weight = Fr::one();
        for bit in bits {
            sum.add_scaled(&weight, bit);
            weight.double_in_place();
        }
        sum
    }

    fn combination(&self) -> LinearCombination<Element> {
        LinearCombination(self.terms.clone())
    }

    fn add_terms(&mut self, factor: &Element, other: &Self) {
        if self.terms.is_empty() {
            self.terms = other.terms.iter().map(|(coefficient, variable)| (*factor * coefficient, *variable)).collect();
            return;
        }
        // Both are sorted by variable, and each variable occurs in them once.
        let mut merged = Vec::with_capacity(self.terms.len() + other.terms.len());
        let mut mine = self.terms.iter().copied().peekable();
        for (coefficient, variable) in &other.terms {
            let mut scaled = *factor * coefficient;
            while let Some(term) = mine.next_if(|(_, own)| own < variable) {
                merged.push(term);
            }
            if let Some((own, _)) = mine.next_if(|(_, own)| own == variable) {
                scaled += own;
            }
            if !scaled.is_zero() {
                merged.push((scaled, *variable));
            }
        }
        merged.extend(mine);
        self.terms = merged;
    }
}

impl Word for Wire {
    type Error = SynthesisError;

    fn constant(value: Element) -> Self {
        let terms = if value.is_zero() { Vec::new() } else { vec![(value, Variable::One)] };
        Self { circuit: None, value, terms }
    }

    fn add_constant(&mut self, value: &Element) {
        self.add_scaled(value, &Self::one());
    }

    fn add_scaled(&mut self, factor: &Element, other: &Self) {
        self.value += *factor * other.value;
        if self.circuit.is_none() {
            self.circuit.clone_from(&other.circuit);
        }
        if self.circuit.as_ref().is_none_or(|circuit| circuit.symbolic) {
            self.add_terms(factor, other);
        }
    }

    fn dot<const T: usize>(factors: &[Element; T], words: &[Self; T]) -> Self {
        let mut sum = Self::zero();
        for (factor, word) in factors.iter().zip(words) {
            sum.add_scaled(factor, word);
        }
        sum
    }

    fn power_5(&self) -> Result<Self, SynthesisError> {
        let Some(circuit) = &self.circuit else {
            return Ok(Self::constant(self.value.square().square() * self.value));
        };
        let square = circuit.product(self, self)?;
        let fourth = circuit.product(&square, &square)?;
        circuit.product(&fourth, self)
    }
}
