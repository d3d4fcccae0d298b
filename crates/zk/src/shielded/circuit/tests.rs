//! Every rule of the circuit refuses values that break it, and no variable is left unconstrained.
#![allow(clippy::unwrap_used)]

use std::num::NonZeroU64;
use std::sync::LazyLock;

use ark_ff::{One, Zero};
use rustorium_types::{AssetId, ChainId};

use super::*;
use crate::shielded::error::ShieldedError;
use crate::shielded::keys::SpendingKey;
use crate::shielded::memo::Memo;
use crate::shielded::note::Pool;
use crate::shielded::prove::{Matrices, assignment};
use crate::shielded::statement::{Binding, PublicValue, Statement};
use crate::shielded::transfer::{Flow, Payment, Plan, prepare};
use crate::shielded::tree::{Root, Tree};

const POOL: Pool = Pool { chain: ChainId([7; 32]), number: 1 };

static MATRICES: LazyLock<Matrices> = LazyLock::new(|| Matrices::of_transfer().unwrap());

fn asset(number: u8) -> AssetTag {
    AssetTag::new(&POOL, &AssetId([number; 32]))
}

fn key() -> SpendingKey {
    SpendingKey::derive(&[1; 32], 0)
}

/// Returns notes of the key with these values in a tree of a hundred leaves, each with its path.
fn in_tree(values: &[u64], asset: AssetTag) -> (Root, Vec<(Note, Path)>) {
    let owner = key().address().owner;
    let notes = values.iter().enumerate().map(|(at, value)| {
        let blinding = Element::from(1_000 + at as u64);
        Note { asset, value: *value, owner, blinding }
    });
    let notes: Vec<Note> = notes.collect();
    let mut leaves: Vec<_> = (1..=100u64).map(|at| crate::shielded::note::Commitment(Element::from(at))).collect();
    let places = [37u32, 90];
    let mut paths: Vec<Path> = places[..notes.len()].iter().map(|place| Path::new(*place)).collect();
    for (note, place) in notes.iter().zip(places) {
        leaves[place as usize] = note.commitment();
    }
    let mut tree = Tree::default();
    let root = tree.append_following(&leaves, &mut paths.iter_mut().collect::<Vec<_>>()).unwrap();
    (root, notes.into_iter().zip(paths).collect())
}

fn flow(enters: u64, leaves: u64) -> Option<Flow> {
    NonZeroU64::new(enters).map(Flow::In).or(NonZeroU64::new(leaves).map(Flow::Out))
}

/// Returns the circuit of a transfer that keeps all rules.
fn honest(spends: &[u64], payments: &[u64], public: Option<Flow>) -> TransferCircuit {
    let (root, spends) = in_tree(spends, asset(1));
    let payments = payments.iter().enumerate().map(|(at, value)| {
        let to = SpendingKey::derive(&[2; 32], at as u32).address();
        Payment { to, value: *value, memo: Memo::empty() }
    });
    let plan = Plan { pool: POOL, asset: asset(1), root, spends, payments: payments.collect(), public };
    let prepared = prepare(&key(), &plan, b"context", &[5; 32]).unwrap();
    TransferCircuit { public: prepared.statement.public_inputs(), witness: prepared.witness }
}

/// Returns the circuit of a cheater with this witness: all products are correct, and public inputs fit as far as they
/// can.
fn cheat(witness: Witness, root: Root, public: PublicValue) -> TransferCircuit {
    let nullifiers = witness.spends.each_ref().map(|spend| {
        let note = spend.note(witness.asset);
        note.nullifier(&spend.nullifier_key, spend.path.position())
    });
    let commitments = witness.outputs.each_ref().map(|output| {
        let Output { value, owner, blinding } = *output;
        Note { asset: witness.asset, value, owner, blinding }.commitment()
    });
    let inputs = match Statement::new(root, nullifiers, commitments, public, Binding(Element::from(8u64))) {
        Ok(statement) => statement.public_inputs(),
        Err(_) => {
            [root.0, nullifiers[0].0, nullifiers[1].0, commitments[0].0, commitments[1].0, 0.into(), 0.into(), 8.into()]
        }
    };
    TransferCircuit { public: inputs, witness }
}

/// Returns the root in a circuit's public inputs.
fn root(circuit: &TransferCircuit) -> Root {
    Root(circuit.public[0])
}

/// Returns the sum of an assignment over a row.
fn sum(terms: &[(Element, usize)], values: &[Element]) -> Element {
    terms.iter().map(|(factor, at)| *factor * values[*at]).sum()
}

fn holds(constraint: usize, values: &[Element]) -> bool {
    let [a, b, c] = MATRICES.row(constraint).map(|terms| sum(terms, values));
    a * b == c
}

/// A constraint whose newest variable stands only in C defines that variable: given the earlier variables, there is one
/// solution. A constraint that defines none is a rule. A variable that no constraint defines is the prover's choice.
struct Structure {
    chosen: Vec<usize>,
    rules: Vec<usize>,
}

static STRUCTURE: LazyLock<Structure> = LazyLock::new(|| {
    let variables = MATRICES.instances() + MATRICES.witnesses();
    let mut defined = vec![false; variables];
    let mut rules = Vec::new();
    for constraint in 0..MATRICES.constraints() {
        let [a, b, c] = MATRICES.row(constraint);
        let newest = [a, b, c].into_iter().flatten().map(|(_, at)| *at).max().unwrap();
        let has = |terms: &[(Element, usize)]| terms.iter().any(|(factor, at)| *at == newest && !factor.is_zero());
        let is_new = newest >= MATRICES.instances() && !defined[newest];
        if is_new && has(c) && !has(a) && !has(b) {
            defined[newest] = true;
        } else {
            rules.push(constraint);
        }
    }
    let chosen = (MATRICES.instances()..variables).filter(|at| !defined[*at]).collect();
    Structure { chosen, rules }
});

/// Returns the rules' numbers, in the order of their constraints.
fn rule_names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for _ in 0..2 {
        names.extend(["C3"; VALUE_BITS]);
        names.extend(["C4 bit"; POSITION_BITS]);
        names.extend(["C4"; LEVELS]);
        names.extend(["C5", "C6"]);
    }
    for _ in 0..2 {
        names.extend(["C7 bit"; VALUE_BITS]);
        names.push("C7");
    }
    names.extend(["C8", "C9", "C10"]);
    names
}

/// Returns the rules that a circuit's values break.
fn broken(circuit: TransferCircuit) -> Vec<&'static str> {
    let values = assignment(circuit).unwrap();
    let names = rule_names();
    let name = |constraint: usize| match STRUCTURE.rules.binary_search(&constraint) {
        Ok(rule) => names[rule],
        Err(_) => "a product",
    };
    let mut broken: Vec<_> =
        (0..MATRICES.constraints()).filter(|constraint| !holds(*constraint, &values)).map(name).collect();
    assert_eq!(broken.is_empty(), MATRICES.broken(&values).is_none());
    broken.dedup();
    broken
}

#[test]
fn it_fits() {
    assert_eq!(MATRICES.constraints(), 12_120);
    assert!(MATRICES.constraints() + MATRICES.instances() <= 1 << 14);
    assert_eq!(MATRICES.instances(), 1 + PUBLIC_INPUTS);
}

#[test]
fn honest_transfers_keep_all_rules() {
    let cases: [(&[u64], &[u64], Option<Flow>); 11] = [
        (&[700, 400], &[1_000, 100], None),
        (&[700], &[600, 100], None),
        (&[700], &[700], None),
        (&[], &[], None),
        (&[], &[9], flow(9, 0)),
        (&[], &[u64::MAX], flow(u64::MAX, 0)),
        (&[], &[4, 5], flow(9, 0)),
        (&[700, 400], &[], flow(0, 1_100)),
        (&[u64::MAX], &[1], flow(0, u64::MAX - 1)),
        (&[u64::MAX, u64::MAX], &[u64::MAX, u64::MAX], None),
        (&[u64::MAX, u64::MAX], &[u64::MAX - 1, 1], flow(0, u64::MAX)),
    ];
    for (spends, payments, public) in cases {
        assert_eq!(broken(honest(spends, payments, public)), Vec::<&str>::new(), "{spends:?} {payments:?} {public:?}");
    }
}

#[test]
fn the_prover_chooses_only_the_values_that_the_rules_name() {
    // A spend has two keys, the blinding, bits of value and position, and all children. An output has bits, owner,
    // blinding. The others are the asset and the inverse of C10, one each.
    let spend = 3 + VALUE_BITS + POSITION_BITS + LEVELS * ARITY;
    let output = 2 + VALUE_BITS;
    assert_eq!(STRUCTURE.chosen.len(), 2 + 2 * spend + 2 * output);
    // Every other variable is a product, and the only solution of the constraint that defines it.
    assert_eq!(STRUCTURE.rules.len(), rule_names().len());
    assert_eq!(MATRICES.witnesses() - STRUCTURE.chosen.len() + STRUCTURE.rules.len(), MATRICES.constraints());
}

#[test]
fn no_variable_can_be_changed_alone() {
    let honest = assignment(honest(&[700, 400], &[1_000, 103], flow(3, 0))).unwrap();
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); honest.len()];
    for constraint in 0..MATRICES.constraints() {
        for (_, at) in MATRICES.row(constraint).into_iter().flatten() {
            if rows[*at].last() != Some(&constraint) {
                rows[*at].push(constraint);
            }
        }
    }
    let mut values = honest.clone();
    for (at, rows) in rows.iter().enumerate().skip(1) {
        for change in [Element::one(), -Element::one(), Element::from(u64::MAX)] {
            values[at] += change;
            assert!(rows.iter().any(|row| !holds(*row, &values)), "variable {at} may be changed by {change}");
            values[at] -= change;
        }
    }
    assert!(*values == *honest);
}

#[test]
fn public_inputs_are_all_bound() {
    let honest = honest(&[700, 400], &[1_000, 97], flow(0, 3));
    // A changed binding makes another statement that needs another proof. The circuit alone can't refuse it.
    let expected = [vec!["C5"], vec!["C6"], vec!["C6"], vec!["C7"], vec!["C7"], vec!["C8"], vec!["C9"], vec![]];
    for (at, expected) in expected.into_iter().enumerate() {
        let mut changed = honest.clone();
        changed.public[at] += Element::one();
        assert_eq!(broken(changed), expected, "public input {at}");
    }
    let mut swapped = honest.clone();
    swapped.public.swap(1, 2);
    assert_eq!(broken(swapped), ["C6"]);
    let mut other_way = honest;
    other_way.public[5] = -other_way.public[5];
    assert_eq!(broken(other_way), ["C8"]);
}

#[test]
fn another_owners_note_is_not_spent() {
    let honest = honest(&[700, 400], &[1_100], None);
    for spend in 0..2 {
        let mut witness = honest.witness.clone();
        witness.spends[spend].authority = SpendAuthority(Element::from(5u64));
        assert_eq!(broken(cheat(witness, root(&honest), PublicValue::Hidden)), ["C5"], "a viewing key's owner guesses");
        let mut witness = honest.witness.clone();
        witness.spends[spend].nullifier_key = NullifierKey(Element::from(5u64));
        assert_eq!(broken(cheat(witness, root(&honest), PublicValue::Hidden)), ["C5"], "a second nullifier");
    }
}

#[test]
fn a_note_that_is_not_in_the_tree_has_no_value() {
    let honest = honest(&[], &[9], flow(9, 0));
    let mut witness = honest.witness.clone();
    witness.spends[0].value = 9;
    assert_eq!(broken(cheat(witness, root(&honest), PublicValue::Hidden)), ["C5"]);
    // The note can't be at another place of the tree, with other siblings, or under another root either.
    let honest = self::honest(&[700, 400], &[1_100], None);
    let (_, elsewhere) = in_tree(&[1, 2], asset(1));
    let mut witness = honest.witness.clone();
    witness.spends[0].path = elsewhere[0].1.clone();
    assert_eq!(broken(cheat(witness, root(&honest), PublicValue::Hidden)), ["C5"]);
    let other = Root(Element::from(3u64));
    assert_eq!(broken(cheat(honest.witness, other, PublicValue::Hidden)), ["C5"]);
}

#[test]
fn values_neither_grow_nor_overflow() {
    let honest = honest(&[700, 400], &[1_000, 100], None);
    let outputs = [[1_001, 100], [999, 100], [u64::MAX, 1_101], [0, 0], [1 << 63, (1 << 63) + 1_100]];
    for values in outputs {
        let mut witness = honest.witness.clone();
        for (output, value) in witness.outputs.iter_mut().zip(values) {
            output.value = value;
        }
        assert_eq!(broken(cheat(witness, root(&honest), PublicValue::Hidden)), ["C8"], "{values:?}");
    }
    let mut witness = honest.witness.clone();
    witness.spends[0].value += 1;
    witness.outputs[0].value += 1;
    assert_eq!(broken(cheat(witness, root(&honest), PublicValue::Hidden)), ["C5"]);
}

#[test]
fn bits_are_bits() {
    let honest = assignment(honest(&[700, 400], &[1_000, 100], None)).unwrap();
    let names = rule_names();
    for (rule, constraint) in STRUCTURE.rules.iter().enumerate().filter(|(rule, _)| names[*rule].ends_with("bit")) {
        let (_, at) = MATRICES.row(*constraint)[0][0];
        for value in [Element::from(2u64), -Element::one()] {
            let mut values = honest.clone();
            values[at] = value;
            assert!(!holds(*constraint, &values), "{}", names[rule]);
        }
    }
}

#[test]
fn assets_do_not_change() {
    let honest = honest(&[700, 400], &[1_100], None);
    let mut witness = honest.witness.clone();
    witness.asset = asset(2);
    assert_eq!(broken(cheat(witness, root(&honest), PublicValue::Hidden)), ["C5"]);
    let honest = self::honest(&[700, 400], &[1_000], flow(0, 100));
    let other = PublicValue::Unshield(asset(2), NonZeroU64::new(100).unwrap());
    assert_eq!(broken(cheat(honest.witness.clone(), root(&honest), other)), ["C9"]);
    let none = PublicValue::Hidden;
    assert_eq!(broken(cheat(honest.witness.clone(), root(&honest), none)), ["C8"]);
    let honest = self::honest(&[], &[9], flow(9, 0));
    let other = PublicValue::Shield(asset(2), NonZeroU64::new(9).unwrap());
    assert_eq!(broken(cheat(honest.witness.clone(), root(&honest), other)), ["C9"]);
}

#[test]
fn a_note_is_not_spent_twice_at_once() {
    let honest = honest(&[700, 400], &[1_100], None);
    let mut witness = honest.witness.clone();
    witness.spends[1] = witness.spends[0].clone();
    let value = witness.spends[0].value;
    witness.outputs[0].value = value;
    witness.outputs[1].value = value;
    assert_eq!(broken(cheat(witness, root(&honest), PublicValue::Hidden)), ["C10"]);
}

#[test]
fn bad_plans_are_named() {
    let (root, notes) = in_tree(&[700, 400], asset(1));
    let plan = Plan { pool: POOL, asset: asset(1), root, spends: notes, payments: Vec::new(), public: flow(0, 1_100) };
    let refused = |plan: &Plan| prepare(&key(), plan, &[], &[5; 32]).err().unwrap();
    let changed = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        refused(&plan)
    };
    let unbalanced = changed(&|plan| plan.public = flow(0, 1_099));
    assert_eq!(unbalanced, ShieldedError::Unbalanced { ins: 1_100, outs: 1_099 });
    assert_eq!(changed(&|plan| plan.spends[0].0.asset = asset(2)), ShieldedError::WrongAsset);
    assert_eq!(changed(&|plan| plan.spends[0].0.owner = Owner(Element::one())), ShieldedError::WrongOwner);
    assert_eq!(changed(&|plan| plan.root = Root(Element::one())), ShieldedError::WrongRoot);
    let twice = changed(&|plan| {
        plan.spends[1] = plan.spends[0].clone();
        plan.public = flow(0, 1_400);
    });
    assert_eq!(twice, ShieldedError::SameNullifier);
    let three = changed(&|plan| {
        let more = plan.spends[0].clone();
        plan.spends.push(more);
    });
    assert_eq!(three, ShieldedError::TooManyNotes);
}
