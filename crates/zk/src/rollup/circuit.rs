//! The circuit of a batch: from the old root to the new one, each transfer subtracts from one leaf and adds to another.

use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, SynthesisError};

use super::{BATCH, Balances, LEVELS, Transfer, batch_hash, packed, tree};
use crate::shielded::field::{Element, bits};
use crate::shielded::poseidon::{HashDomain, Word, hash_2, hash_4};
use crate::shielded::wire::{Circuit, Wire};

/// Bits of an account's number: two a level.
const ACCOUNT_BITS: usize = 2 * LEVELS;
const AMOUNT_BITS: usize = 64;

/// A change of a leaf: its old balance, and the old four children of each node above it.
#[derive(Clone)]
struct Update {
    balance: u64,
    children: [[Element; 4]; LEVELS],
}

/// The circuit, with the values of one batch.
#[derive(Clone)]
pub(super) struct BatchCircuit {
    old: Element,
    new: Element,
    hash: Element,
    steps: Vec<(Transfer, [Update; 2])>,
}

impl BatchCircuit {
    /// Creates the circuit of a batch. A batch that breaks the rules gives values that break constraints.
    pub(super) fn new(balances: &Balances, transfers: [Transfer; BATCH]) -> Self {
        let mut now = *balances;
        let old = tree(&now)[LEVELS][0];
        let steps: Vec<_> = transfers
            .iter()
            .map(|transfer| {
                let from = Update::of(&now, transfer.from);
                let balance = &mut now[usize::from(transfer.from)];
                *balance = balance.wrapping_sub(transfer.amount);
                let to = Update::of(&now, transfer.to);
                let balance = &mut now[usize::from(transfer.to)];
                *balance = balance.wrapping_add(transfer.amount);
                (*transfer, [from, to])
            })
            .collect();
        Self { old, new: tree(&now)[LEVELS][0], hash: batch_hash(&transfers).unwrap_or_default(), steps }
    }
}

impl Update {
    fn of(balances: &Balances, account: u8) -> Self {
        let levels = tree(balances);
        let place = usize::from(account);
        let children = std::array::from_fn(|level| {
            let first = (place >> (2 * level)) & !3;
            std::array::from_fn(|at| levels[level][first + at])
        });
        Self { balance: balances[place], children }
    }
}

impl ConstraintSynthesizer<Element> for BatchCircuit {
    fn generate_constraints(self, system: ConstraintSystemRef<Element>) -> Result<(), SynthesisError> {
        let circuit = Circuit::new(system);
        let (old, new, hash) = (circuit.public(self.old)?, circuit.public(self.new)?, circuit.public(self.hash)?);
        let (mut root, mut chain) = (old, Wire::zero());
        for (transfer, updates) in &self.steps {
            let from = number(&circuit, transfer.from.into(), ACCOUNT_BITS)?;
            let to = number(&circuit, transfer.to.into(), ACCOUNT_BITS)?;
            let amount = Wire::from_bits(&number(&circuit, transfer.amount, AMOUNT_BITS)?);
            // The sender has that much: its remaining balance has 64 bits.
            root = enforce_update(&circuit, &updates[0], &from, &root, &amount, Side::Takes)?;
            root = enforce_update(&circuit, &updates[1], &to, &root, &amount, Side::Gets)?;
            // The batch's hash contains sender, receiver and amount.
            let mut both = from;
            both.extend(to);
            let mut word = Wire::from_bits(&both);
            word.add_scaled(&Element::from(1u64 << (2 * ACCOUNT_BITS)), &amount);
            assert_eq!(word.value(), packed(transfer));
            chain = hash_2(HashDomain::Batch, [chain, word])?;
        }
        circuit.enforce_equal(&root, &new)?;
        circuit.enforce_equal(&chain, &hash)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Takes,
    Gets,
}

/// Allocates the bits of a number, lowest first.
fn number(circuit: &Circuit, value: u64, count: usize) -> Result<Vec<Wire>, SynthesisError> {
    bits(value, count).map(|bit| circuit.bit(bit)).collect()
}

/// Changes one balance by the amount. Its path leads to `root`. Returns the root with the new balance.
fn enforce_update(
    circuit: &Circuit,
    update: &Update,
    account: &[Wire],
    root: &Wire,
    amount: &Wire,
    side: Side,
) -> Result<Wire, SynthesisError> {
    let before = circuit.private(Element::from(update.balance))?;
    let after = match side {
        Side::Takes => before.minus(amount),
        Side::Gets => before.plus(amount),
    };
    let value = after.value();
    let low = ark_ff::PrimeField::into_bigint(value).0[0];
    let digits = Wire::from_bits(&number(circuit, low, AMOUNT_BITS)?);
    circuit.enforce_equal(&digits, &after)?;
    let (mut old_node, mut new_node) = (before, after);
    for (values, digit) in update.children.iter().zip(account.chunks_exact(2)) {
        let mut children: [Wire; 4] = std::array::from_fn(|_| Wire::zero());
        for (child, value) in children.iter_mut().zip(values) {
            *child = circuit.private(*value)?;
        }
        // Selects the child: exactly one of four numbers is 1.
        let last = circuit.product(&digit[0], &digit[1])?;
        let (second, third) = (digit[0].minus(&last), digit[1].minus(&last));
        let first = Wire::one().minus(&second).minus(&third).minus(&last);
        let change = new_node.minus(&old_node);
        let mut chosen = Wire::zero();
        let mut changed = children.clone();
        for (at, is_it) in [first, second, third, last].iter().enumerate() {
            chosen = chosen.plus(&circuit.product(is_it, &children[at])?);
            changed[at] = children[at].plus(&circuit.product(is_it, &change)?);
        }
        circuit.enforce_equal(&chosen, &old_node)?;
        old_node = hash_4(HashDomain::Node, children)?;
        new_node = hash_4(HashDomain::Node, changed)?;
    }
    circuit.enforce_equal(&old_node, root)?;
    Ok(new_node)
}

#[cfg(test)]
mod tests;
