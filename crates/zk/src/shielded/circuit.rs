//! The circuit of a transfer: it spends two notes, makes two, and moves public value in or out.
//!
//! The rules have the numbers of docs/spec/shielded.md.

use ark_ff::{Field, Zero};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, SynthesisError};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::field::{Element, Stream, bits};
use super::note::{AssetTag, Note, NullifierKey, Owner, SpendAuthority, owner};
use super::poseidon::{HashDomain, hash_2, hash_3, hash_4};
use super::statement::PUBLIC_INPUTS;
use super::tree::{ARITY, LEVELS, Path};
use super::wire::{Circuit, Wire};

/// Bits of a value.
const VALUE_BITS: usize = 64;

/// Bits of a position: two a level.
const POSITION_BITS: usize = 2 * LEVELS;

/// A note to be spent, with its spender's secrets.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Spend {
    pub(super) authority: SpendAuthority,
    pub(super) nullifier_key: NullifierKey,
    pub(super) value: u64,
    pub(super) blinding: Element,
    #[zeroize(skip)]
    pub(super) path: Path,
}

/// A note to be made.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Output {
    pub(super) value: u64,
    pub(super) owner: Owner,
    pub(super) blinding: Element,
}

/// All values of a transfer that its prover knows.
#[derive(Clone)]
pub struct Witness {
    pub(super) asset: AssetTag,
    pub(super) spends: [Spend; 2],
    pub(super) outputs: [Output; 2],
}

impl Spend {
    /// Returns a spend of nothing: a note of value 0 under fresh random keys, whose nullifier looks like any other.
    pub(super) fn dummy(random: &mut Stream) -> Self {
        Self {
            authority: SpendAuthority(random.element()),
            nullifier_key: NullifierKey(random.element()),
            value: 0,
            blinding: random.element(),
            path: Path::new(0),
        }
    }

    /// Returns the note that is spent.
    pub(super) fn note(&self, asset: AssetTag) -> Note {
        let owner = owner(&self.authority, &self.nullifier_key);
        Note { asset, value: self.value, owner, blinding: self.blinding }
    }
}

/// The circuit, with the values of one transfer.
#[derive(Clone)]
pub struct TransferCircuit {
    /// The public inputs, in their order.
    pub public: [Element; PUBLIC_INPUTS],
    /// The values that only the prover knows.
    pub witness: Witness,
}

impl TransferCircuit {
    /// Returns the circuit with arbitrary values, to derive its matrices.
    pub(super) fn blank() -> Self {
        let spend = Spend::dummy(&mut Stream::new(b"rustorium/shielded-blank/v1\0", &[]));
        let output = Output { value: 0, owner: Owner(Element::zero()), blinding: Element::zero() };
        Self {
            public: [Element::zero(); PUBLIC_INPUTS],
            witness: Witness {
                asset: AssetTag(Element::zero()),
                spends: [spend.clone(), spend],
                outputs: [output.clone(), output],
            },
        }
    }
}

impl ConstraintSynthesizer<Element> for TransferCircuit {
    fn generate_constraints(self, system: ConstraintSystemRef<Element>) -> Result<(), SynthesisError> {
        let circuit = Circuit::new(system);
        let public = |at: usize| circuit.public(self.public[at]);
        let root = public(0)?;
        let nullifiers = [public(1)?, public(2)?];
        let commitments = [public(3)?, public(4)?];
        let (value, public_asset, binding) = (public(5)?, public(6)?, public(7)?);

        // C1: all four notes have the same asset.
        let asset = circuit.private(self.witness.asset.0)?;
        let mut balance = value.clone();
        for (spend, nullifier) in self.witness.spends.iter().zip(&nullifiers) {
            balance = balance.plus(&enforce_spend(&circuit, spend, &asset, &root, nullifier)?);
        }
        for (output, commitment) in self.witness.outputs.iter().zip(&commitments) {
            balance = balance.minus(&enforce_output(&circuit, output, &asset, commitment)?);
        }
        // C8: spent value plus entering value equals made value plus leaving value. These are five values of at most 64
        // bits, one of them with a sign: far below the field's order.
        circuit.enforce_equal(&balance, &Wire::zero())?;
        // C9: entering or leaving value is of the named asset.
        circuit.enforce_product(&value, &asset.minus(&public_asset), &Wire::zero())?;
        // C10: the two nullifiers differ, since their difference has an inverse.
        let difference = nullifiers[0].minus(&nullifiers[1]);
        let inverse = circuit.private(difference.value().inverse().unwrap_or_default())?;
        circuit.enforce_product(&difference, &inverse, &Wire::one())?;
        // C11: the binding hash is in a constraint, so it doesn't matter how the proof system treats inputs that are in
        // none.
        circuit.product(&binding, &binding)?;
        Ok(())
    }
}

/// Allocates a wire for a value, of 64 bits.
fn value_wire(circuit: &Circuit, value: u64) -> Result<Wire, SynthesisError> {
    let digits: Result<Vec<_>, _> = bits(value, VALUE_BITS).map(|bit| circuit.bit(bit)).collect();
    Ok(Wire::from_bits(&digits?))
}

/// Enforces the rules of a spent note and returns its value.
fn enforce_spend(
    circuit: &Circuit,
    spend: &Spend,
    asset: &Wire,
    root: &Wire,
    nullifier: &Wire,
) -> Result<Wire, SynthesisError> {
    // C2: the spender knows both keys of the note's owner.
    let authority = circuit.private(spend.authority.0)?;
    let nullifier_key = circuit.private(spend.nullifier_key.0)?;
    let owner = hash_2(HashDomain::Owner, [authority, nullifier_key.clone()])?;
    // C3: the commitment, over a value of 64 bits.
    let value = value_wire(circuit, spend.value)?;
    let blinding = circuit.private(spend.blinding)?;
    let commitment = hash_4(HashDomain::Note, [asset.clone(), value.clone(), owner, blinding])?;
    // C4: a path from the commitment.
    let digits: Result<Vec<_>, _> =
        bits(spend.path.position().into(), POSITION_BITS).map(|bit| circuit.bit(bit)).collect();
    let digits = digits?;
    let top = enforce_path(circuit, &spend.path, &commitment, &digits)?;
    // C5: the path ends at the root, unless the note has no value.
    circuit.enforce_product(&value, &top.minus(root), &Wire::zero())?;
    // C6: the nullifier belongs to this key, commitment and position.
    let position = Wire::from_bits(&digits);
    let computed = hash_3(HashDomain::Nullifier, [nullifier_key, commitment, position])?;
    circuit.enforce_equal(&computed, nullifier)?;
    Ok(value)
}

/// Walks up from a leaf. At each level the node below is one of four children, which two bits select.
pub fn enforce_path(circuit: &Circuit, path: &Path, leaf: &Wire, digits: &[Wire]) -> Result<Wire, SynthesisError> {
    let mut node = leaf.clone();
    for (level, digit) in digits.chunks_exact(2).enumerate() {
        let mut children: [Wire; ARITY] = std::array::from_fn(|_| Wire::zero());
        for (child, value) in children.iter_mut().zip(path.children(level, node.value())) {
            *child = circuit.private(value)?;
        }
        let low = circuit.select(&digit[0], &children[0], &children[1])?;
        let high = circuit.select(&digit[0], &children[2], &children[3])?;
        circuit.enforce_product(&digit[1], &high.minus(&low), &node.minus(&low))?;
        node = hash_4(HashDomain::Node, children)?;
    }
    Ok(node)
}

/// Enforces the rules of a made note and returns its value.
fn enforce_output(circuit: &Circuit, output: &Output, asset: &Wire, commitment: &Wire) -> Result<Wire, SynthesisError> {
    // C7: the commitment, over a value of 64 bits.
    let value = value_wire(circuit, output.value)?;
    let owner = circuit.private(output.owner.0)?;
    let blinding = circuit.private(output.blinding)?;
    let computed = hash_4(HashDomain::Note, [asset.clone(), value.clone(), owner, blinding])?;
    circuit.enforce_equal(&computed, commitment)?;
    Ok(value)
}

#[cfg(test)]
mod tests;
