//! The circuit refuses values that break a single rule, for each rule.

use super::*;
use crate::rollup::{ACCOUNTS, apply, matrices, root};
use crate::shielded::prove::{Matrices, assignment};
use std::sync::LazyLock;

static MATRICES: LazyLock<Matrices> = LazyLock::new(|| matrices().unwrap());

fn balances() -> Balances {
    let mut balances = [0; ACCOUNTS];
    balances[3] = 100;
    balances[200] = u64::MAX - 5;
    balances
}

fn batch(transfers: &[Transfer]) -> [Transfer; BATCH] {
    std::array::from_fn(|at| transfers.get(at).copied().unwrap_or_default())
}

fn holds(circuit: BatchCircuit) -> bool {
    MATRICES.broken(&assignment(circuit).unwrap()).is_none()
}

const GOOD: [Transfer; 3] = [
    Transfer { from: 3, to: 77, amount: 60 },
    Transfer { from: 77, to: 77, amount: 60 },
    Transfer { from: 77, to: 255, amount: 1 },
];

#[test]
fn a_batch_that_keeps_the_rules_holds_and_fits() {
    let circuit = BatchCircuit::new(&balances(), batch(&GOOD));
    let after = apply(&balances(), &GOOD).unwrap();
    assert_eq!((circuit.old, circuit.new), (root(&balances()), root(&after)));
    assert!(holds(circuit));
    assert!(holds(BatchCircuit::new(&balances(), batch(&[]))));
    let rows = MATRICES.constraints() + MATRICES.instances();
    assert_eq!(rows.next_power_of_two(), 1 << 16, "{rows} rows");
}

#[test]
fn more_than_the_sender_has_or_the_receiver_can_hold_breaks_it() {
    assert!(!holds(BatchCircuit::new(&balances(), batch(&[Transfer { from: 3, to: 4, amount: 101 }]))));
    assert!(!holds(BatchCircuit::new(&balances(), batch(&[Transfer { from: 3, to: 200, amount: 6 }]))));
    assert!(holds(BatchCircuit::new(&balances(), batch(&[Transfer { from: 3, to: 200, amount: 5 }]))));
}

#[test]
fn each_public_input_is_bound() {
    let good = BatchCircuit::new(&balances(), batch(&GOOD));
    let one = Element::from(1u64);
    for changed in [
        BatchCircuit { old: good.old + one, ..good.clone() },
        BatchCircuit { new: good.new + one, ..good.clone() },
        BatchCircuit { hash: good.hash + one, ..good.clone() },
    ] {
        assert!(!holds(changed));
    }
}

#[test]
fn a_balance_or_a_path_that_is_not_the_trees_breaks_it() {
    for at in 0..2 {
        let mut richer = BatchCircuit::new(&balances(), batch(&GOOD));
        richer.steps[0].1[at].balance += 1;
        assert!(!holds(richer));
        let mut other = BatchCircuit::new(&balances(), batch(&GOOD));
        other.steps[0].1[at].children[2][0] += Element::from(1u64);
        assert!(!holds(other));
    }
    let mut elsewhere = BatchCircuit::new(&balances(), batch(&GOOD));
    elsewhere.steps[0].0.from = 5;
    assert!(!holds(elsewhere));
}

#[test]
fn a_variable_that_is_changed_alone_breaks_a_constraint() {
    // A single changed witness value always breaks some constraint.
    let good = assignment(BatchCircuit::new(&balances(), batch(&GOOD))).unwrap();
    let first = MATRICES.instances();
    for at in (first..good.len()).step_by(997) {
        let mut changed = good.clone();
        changed[at] += Element::from(1u64);
        assert!(MATRICES.broken(&changed).is_some(), "variable {at}");
    }
}
