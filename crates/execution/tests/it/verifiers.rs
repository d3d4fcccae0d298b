//! Verifiers, proofs, and conditions that require proofs: what is recorded and refused. A block of proofs gives the
//! same results together as one after the other.

use crate::common::provers::*;
use crate::common::*;
use rustorium_crypto::{transaction_id, transaction_input};
use rustorium_execution::work2::operation_work;
use rustorium_execution::*;
use rustorium_state::workers::{Serial, Workers};
use rustorium_types::*;
use rustorium_zk::Curve;

#[test]
fn a_verifier_is_registered_once_and_charged_for() {
    for curve in CURVES {
        let mut world = World::new();
        let everyone = [0, 1, 2].map(account);
        let total = world.storage_total(&everyone);
        let key = verifying_key(curve);
        world.ok(0, vec![register(&key, &[(NULLIFIER, true), (BOUND, false)])]);
        let verifier = id(curve, &[(NULLIFIER, true), (BOUND, false)]);
        assert_eq!(verifier.0[0], REGION, "it lives in the region of who registered it");
        let record = VerifierRecord::from_bytes(&world.state[&verifier_key(verifier)]).unwrap();
        assert_eq!((record.owner, record.key.as_slice()), (account(0), &key[..]));
        assert_eq!(world.storage_total(&everyone), total);
        world.fails(0, vec![register(&key, &[(NULLIFIER, true), (BOUND, false)])], FailureCode::VerifierExists);
        // Other owners, and other names, make other verifiers.
        world.ok(1, vec![register(&key, &[(NULLIFIER, true), (BOUND, false)])]);
        world.ok(0, vec![register(&key, &[])]);
        world.fails(2, vec![prove(VerifierId([9; 32]), curve, 1)], FailureCode::NoSuchVerifier);
    }
}

#[test]
fn broken_keys_and_names_are_refused() {
    let mut world = World::new();
    for curve in CURVES {
        let key = verifying_key(curve);
        let bad = FailureCode::BadVerifier;
        for names in [&[(4u8, false)][..], &[(255, true)], &[(1, false), (1, true)], &[(2, false), (1, false)]] {
            world.fails(0, vec![register(&key, names)], bad);
        }
        world.fails(0, vec![register(&key[..key.len() - 1], &[])], bad);
        world.fails(0, vec![register(&[&[3], &key[1..]].concat(), &[])], bad);
        world.fails(0, vec![register(&[], &[])], bad);
        // Gamma in place of delta: with such a key anybody could prove anything.
        let size = curve.coordinate_bytes();
        let mut weak = key.clone();
        weak.copy_within(1 + 6 * size..1 + 10 * size, 1 + 10 * size);
        world.fails(0, vec![register(&weak, &[])], bad);
    }
}

#[test]
fn a_statement_is_recorded_by_its_inputs_and_a_second_proof_of_it_changes_nothing() {
    for curve in CURVES {
        let mut world = World::new();
        world.ok(0, vec![register(&verifying_key(curve), &[(BOUND, false)])]);
        let verifier = id(curve, &[(BOUND, false)]);
        let first = world.sign(1, vec![prove(verifier, curve, 1)]);
        let everyone = [0, 1, 2].map(account);
        let total = world.storage_total(&everyone);
        assert_eq!(world.run(std::slice::from_ref(&first)).receipts[0].outcome, Outcome::Ok);
        assert_eq!(world.storage_total(&everyone), total, "who proves pays for the records");
        let record = world.state[&statement_key(verifier, &inputs_of(curve, 1))].clone();
        let recorded: StatementRecord = decode(&record, 40).unwrap();
        assert_eq!(recorded.transaction, transaction_id(&first.body));
        assert_eq!(recorded.time_ms, world.header.time_ms);
        // A sign-flipped proof has other bytes and proves the same.
        let flipped = flipped(&proof_of(curve, 1), curve);
        assert_ne!(flipped, proof_of(curve, 1));
        let before = world.state.clone();
        world.ok(2, vec![prove_with(verifier, inputs_of(curve, 1), flipped)]);
        world.assert_only_nonce_and_quota_changed(&before, account(2));
        let before = world.state.clone();
        world.ok(1, vec![prove(verifier, curve, 1)]);
        world.assert_only_nonce_and_quota_changed(&before, account(1));
    }
}

/// A and B with their y coordinates negated, in the field's arithmetic on big-endian bytes.
fn flipped(proof: &[u8], curve: Curve) -> Vec<u8> {
    let size = curve.coordinate_bytes();
    let modulus = match curve {
        Curve::Bn254 => hex::decode("30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47").unwrap(),
        Curve::Bls12381 => hex::decode(
            "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
        )
        .unwrap(),
    };
    let mut out = proof.to_vec();
    for place in [1, 4, 5] {
        let coordinate = &mut out[place * size..(place + 1) * size];
        if coordinate.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut borrow = 0;
        for (byte, from) in coordinate.iter_mut().zip(&modulus).rev() {
            let difference = i16::from(*from) - i16::from(*byte) - borrow;
            borrow = i16::from(difference < 0);
            *byte = difference.rem_euclid(256) as u8;
        }
    }
    out
}

#[test]
fn an_unproved_statement_fails_with_its_whole_transaction() {
    for curve in CURVES {
        let mut world = World::new();
        world.ok(0, vec![register(&verifying_key(curve), &[])]);
        let verifier = id(curve, &[]);
        for number in 1..=3 {
            world.fails(1, vec![put(1, b"k", b"v"), forge(verifier, curve, number)], FailureCode::NotProved);
        }
        let (inputs, proof) = (inputs_of(curve, 1), proof_of(curve, 1));
        let bad = FailureCode::BadProof;
        world.fails(1, vec![prove_with(verifier, inputs[..3].to_vec(), proof.clone())], bad);
        world.fails(1, vec![prove_with(verifier, [&inputs[..], &[[0; 32]]].concat(), proof.clone())], bad);
        world.fails(1, vec![prove_with(verifier, vec![[255; 32]; 4], proof.clone())], bad);
        world.fails(1, vec![prove_with(verifier, inputs.clone(), proof[1..].to_vec())], bad);
        world.fails(1, vec![prove_with(verifier, inputs.clone(), vec![0; proof.len()])], bad);
        let other = CURVES[usize::from(curve == Curve::Bn254)];
        world.fails(1, vec![prove_with(verifier, inputs, proof_of(other, 1))], bad);
    }
}

#[test]
fn an_input_that_is_used_once_is_used_once() {
    for curve in CURVES {
        let mut world = World::new();
        world.ok(0, vec![register(&verifying_key(curve), &[(NULLIFIER, true)])]);
        let verifier = id(curve, &[(NULLIFIER, true)]);
        world.ok(1, vec![prove(verifier, curve, 1)]);
        world.fails(1, vec![prove(verifier, curve, 1)], FailureCode::InputUsed);
        world.fails(2, vec![put(2, b"k", b"v"), prove(verifier, curve, 1)], FailureCode::InputUsed);
        world.fails(2, vec![prove(verifier, curve, 2), prove(verifier, curve, 2)], FailureCode::InputUsed);
        // Both are in one block: the first in the order uses the input.
        let block = [world.sign(1, vec![prove(verifier, curve, 3)]), world.sign(2, vec![prove(verifier, curve, 3)])];
        let outcomes: Vec<Outcome> = world.run(&block).receipts.iter().map(|receipt| receipt.outcome).collect();
        assert_eq!(outcomes, [Outcome::Ok, Outcome::Failed { code: FailureCode::InputUsed, operation: 0 }]);
        // A failed transaction uses no input: its operations were undone.
        world.ok(2, vec![prove(verifier, curve, 2)]);
    }
}

#[test]
fn a_proof_can_be_required_by_a_named_input() {
    for curve in CURVES {
        let mut world = World::new();
        world.ok(0, vec![register(&verifying_key(curve), &[(BOUND, false)])]);
        let verifier = id(curve, &[(BOUND, false)]);
        let bound = |value| require(verifier, BOUND, InputValue::Number(number(value)));
        let precondition = FailureCode::Precondition;
        world.fails(1, vec![bound(101)], precondition);
        world.ok(1, vec![prove(verifier, curve, 1), bound(101), put(1, b"in", b"the same transaction")]);
        world.ok(2, vec![bound(101), put(2, b"in", b"a later one")]);
        world.fails(2, vec![bound(102)], precondition);
        // An input that the verifier doesn't name can't be found, whatever its value was.
        world.fails(2, vec![require(verifier, 2, InputValue::Number(number(42)))], precondition);
        world.fails(2, vec![require(VerifierId([9; 32]), BOUND, InputValue::Number(number(101)))], precondition);
        world.fails(2, vec![require(verifier, BOUND, InputValue::ThisTransaction)], precondition);
    }
}

/// A proof bound to one transaction's id lets that transaction pass and no other.
#[test]
fn a_proof_can_be_required_for_this_transaction() {
    let mut world = World::new();
    world.ok(0, vec![register(&verifying_key(Curve::Bn254), &[(BOUND, false)])]);
    let verifier = id(Curve::Bn254, &[(BOUND, false)]);
    let gated = world.sign(1, vec![require(verifier, BOUND, InputValue::ThisTransaction), put(1, b"k", b"v")]);
    let input = transaction_input(&transaction_id(&gated.body));
    assert!(input[0] < 0x20, "below the order of either group");
    // Stores the record of such a proof, because snarkjs' proofs here are bound to other numbers.
    let leaf = rustorium_crypto::state_key(AccountId(verifier.0), 8, &[&[BOUND][..], &input].concat());
    world.state.insert(leaf, vec![0; 32]);
    let other = world.sign(2, vec![require(verifier, BOUND, InputValue::ThisTransaction)]);
    let outcomes: Vec<bool> = world.run(&[gated, other]).receipts.iter().map(|r| r.outcome == Outcome::Ok).collect();
    assert_eq!(outcomes, [true, false]);
}

/// Counts the divisions of the work.
struct Divided(usize);

impl Workers for Divided {
    fn count(&self) -> usize {
        self.0
    }

    fn map<I: Send, O: Send>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Send + Sync) -> Vec<O> {
        assert!(inputs.len() <= self.0);
        inputs.into_iter().map(work).collect()
    }
}

/// Good and bad proofs on both curves, registrations among them, and senders that fail for other reasons. All receipts
/// are the same in one block, in blocks of one transaction each, with keys cached or not, divided or not.
#[test]
fn a_block_of_proofs_does_what_each_alone_does() {
    let mut world = World::new();
    world.ok(0, vec![register(&verifying_key(Curve::Bn254), &[(NULLIFIER, true)])]);
    let bn254 = id(Curve::Bn254, &[(NULLIFIER, true)]);
    let bls = id(Curve::Bls12381, &[]);
    let start: Vec<u64> = (0..3).map(|n| world.record(account(n)).unwrap().nonce).collect();
    let mut nonces = start.clone();
    let plan: Vec<(usize, Vec<Operation>)> = vec![
        (1, vec![forge(bn254, Curve::Bn254, 1)]),
        (1, vec![prove(bls, Curve::Bls12381, 1)]),
        (0, vec![register(&verifying_key(Curve::Bls12381), &[])]),
        (2, vec![prove(bls, Curve::Bls12381, 1), forge(bls, Curve::Bls12381, 2)]),
        (1, vec![prove(bn254, Curve::Bn254, 1), prove(bls, Curve::Bls12381, 2)]),
        // This one is checked only because an earlier one, with a nullifier in common, had a bad proof.
        (2, vec![prove(bn254, Curve::Bn254, 2), forge(bls, Curve::Bls12381, 3)]),
        (1, vec![prove(bn254, Curve::Bn254, 2)]),
        (2, vec![prove(bn254, Curve::Bn254, 1)]),
        (0, vec![prove(bn254, Curve::Bn254, 3), delete(0, b"nothing")]),
        (0, vec![prove(bn254, Curve::Bn254, 3)]),
        (2, vec![prove(bls, Curve::Bls12381, 3), prove(bls, Curve::Bls12381, 3)]),
        (1, vec![forge(bls, Curve::Bls12381, 1)]),
        (1, vec![prove(bls, Curve::Bls12381, 1)]),
    ];
    let transactions: Vec<Transaction1> = plan
        .into_iter()
        .map(|(sender, operations)| {
            nonces[sender] += 1;
            world.sign_at(sender, nonces[sender] - 1, operations)
        })
        .collect();
    let header = world.next_header();
    let expected = {
        let mut world = World {
            state: world.state.clone(),
            genesis: world.genesis.clone(),
            header: world.header.clone(),
            root: world.root,
            charter: world.charter,
        };
        let one = |transaction: &Transaction1| world_step(&mut world, &header, transaction);
        transactions.iter().map(one).collect::<Vec<Outcome>>()
    };
    let ok = expected.iter().filter(|outcome| **outcome == Outcome::Ok).count();
    assert_eq!((ok, expected.len() - ok), (6, 7), "{expected:?}");
    let listed = listed(&transactions);
    let ids = with_ids(&header.chain, &listed);
    let input = world.input(&header, ids);
    let keys = Keys::default();
    let serial = execute(&input, &MemState(&world.state)).unwrap();
    let outcomes: Vec<Outcome> = serial.receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(outcomes, expected);
    for workers in 1..=5 {
        let divided = execute_with(&input, &MemState(&world.state), &keys, &Divided(workers)).unwrap();
        assert_eq!(divided, serial);
    }
    assert_eq!(execute_with(&input, &MemState(&world.state), &keys, &Serial).unwrap(), serial);
}

fn world_step(world: &mut World, header: &Header, transaction: &Transaction1) -> Outcome {
    let execution = world.look(header, std::slice::from_ref(transaction));
    world.apply(&execution.diff);
    execution.receipts[0].outcome
}

#[test]
fn a_proof_costs_as_much_as_verifying_it_alone() {
    let cost = |operation: &Operation| operation_work(&account(0), operation, 0);
    let one = |inputs: usize, curve: Curve| {
        cost(&prove_with(VerifierId::ZERO, vec![[0; 32]; inputs], vec![0; curve.proof_bytes()]))
    };
    assert!(one(1, Curve::Bn254) > work::PROOF_BN254 && one(1, Curve::Bls12381) > work::PROOF_BLS12_381);
    assert_eq!(one(64, Curve::Bn254) - one(0, Curve::Bn254), 64 * work::PROOF_INPUT);
    assert!(one(0, Curve::Bls12381) > one(0, Curve::Bn254));
    // Bytes that are no proof cost as much, and the work used is never more than declared.
    assert!(cost(&prove_with(VerifierId::ZERO, vec![], vec![])) >= one(0, Curve::Bls12381));
    let mut world = World::new();
    let mut transaction = world.sign(0, vec![register(&verifying_key(Curve::Bn254), &[(BOUND, false)])]);
    transaction.body.work_limit = worst_case_work(Rules::V2, &transaction.body);
    assert_eq!(world.run(&[transaction]).receipts[0].outcome, Outcome::Ok);
    let mut transaction = world.sign(1, vec![prove(id(Curve::Bn254, &[(BOUND, false)]), Curve::Bn254, 1)]);
    transaction.body.work_limit = worst_case_work(Rules::V2, &transaction.body);
    let receipt = world.run(std::slice::from_ref(&transaction)).receipts.remove(0);
    assert_eq!((receipt.outcome, receipt.work), (Outcome::Ok, transaction.body.work_limit));
}
