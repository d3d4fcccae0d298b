//! The proofs of a block are verified before it runs, and no block runs twice (V56).

use crate::common::provers::*;
use crate::common::*;
use rustorium_execution::*;
use rustorium_state::workers::Workers;
use rustorium_types::*;
use rustorium_zk::Curve::Bn254;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const NOT_PROVED: Outcome = Outcome::Failed { code: FailureCode::NotProved, operation: 0 };

/// Counts the reads of each leaf.
struct Counting<'a>(MemState<'a>, RefCell<BTreeMap<StateKey, u32>>);

impl StateRead for Counting<'_> {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateReadError> {
        *self.1.borrow_mut().entry(*key).or_default() += 1;
        self.0.get(key)
    }
}

impl LimitedRead for Counting<'_> {}

/// Counts the pieces in which proofs are verified before the run. Fewer than eight are one piece, and each of more is one.
struct Prover(AtomicUsize);

impl Workers for Prover {
    fn count(&self) -> usize {
        usize::MAX
    }

    fn map<I: Send, O: Send>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Send + Sync) -> Vec<O> {
        self.0.fetch_add(inputs.len(), Ordering::Relaxed);
        inputs.into_iter().map(work).collect()
    }
}

/// A block's outcomes and reads, and the pieces of its proofs that were verified before the run.
struct Ran {
    outcomes: Vec<Outcome>,
    reads: BTreeMap<StateKey, u32>,
    pieces: usize,
}

fn run(world: &World, block: &[Transaction1]) -> Ran {
    run_listed(world, &listed(block))
}

fn run_listed(world: &World, block: &[Transaction]) -> Ran {
    let transactions = with_ids(&world.header.chain, block);
    let header = world.next_header();
    let input = world.input(&header, transactions);
    let state = Counting(MemState(&world.state), RefCell::default());
    let prover = Prover(AtomicUsize::new(0));
    let execution = execute_with(&input, &state, &Keys::default(), &prover).unwrap();
    let outcomes = execution.receipts.iter().map(|receipt| receipt.outcome).collect();
    Ran { outcomes, reads: state.1.into_inner(), pieces: prover.0.into_inner() }
}

/// A chain with two verifiers of the first account: one whose statements are found by the bound number, and one that takes
/// each nullifier once.
fn world() -> (World, VerifierId, VerifierId) {
    let mut world = World::new();
    let key = verifying_key(Bn254);
    world.ok(0, vec![register(&key, &[(BOUND, false)]), register(&key, &[(NULLIFIER, true)])]);
    (world, id(Bn254, &[(BOUND, false)]), id(Bn254, &[(NULLIFIER, true)]))
}

#[test]
fn a_bad_proof_costs_no_second_run() {
    let (world, free, _) = world();
    let value = data_key(account(2), b"k");
    let block = [
        world.sign(1, vec![forge(free, Bn254, 1)]),
        world.sign(2, vec![put(2, b"k", b"v")]),
        world.sign(3, vec![prove(free, Bn254, 2)]),
    ];
    let ran = run(&world, &block);
    assert_eq!(ran.outcomes, [NOT_PROVED, Outcome::Ok, Outcome::Ok]);
    assert_eq!(ran.reads[&value], 1, "the block ran once");
    assert_eq!(ran.reads[&account_key(account(2))], 1, "who has no proof isn't looked at before the run");
    assert_eq!(ran.pieces, 1);
}

#[test]
fn a_block_without_proofs_is_not_looked_at_twice() {
    let (world, ..) = world();
    let ran = run(&world, &[world.sign(1, vec![put(1, b"k", b"v")])]);
    assert!(ran.reads.values().all(|reads| *reads == 1) && ran.pieces == 0, "{:?}", ran.reads);
}

#[test]
fn what_comes_to_be_in_the_block_is_verified_where_it_stands() {
    let (mut world, ..) = world();
    let new = id(Bn254, &[(BOUND, true)]);
    let block = [
        world.sign(0, vec![register(&verifying_key(Bn254), &[(BOUND, true)])]),
        world.sign(1, vec![prove(new, Bn254, 1)]),
        world.sign(2, vec![forge(new, Bn254, 2)]),
    ];
    let ran = run(&world, &block);
    assert_eq!(ran.outcomes, [Outcome::Ok, Outcome::Ok, NOT_PROVED]);
    assert_eq!(ran.pieces, 0, "no key was known before the block");
    world.run(&block);
    assert_eq!(run(&world, &[world.sign(3, vec![prove(new, Bn254, 2)])]).pieces, 1);
}

#[test]
fn only_proofs_of_transactions_that_will_be_executed_are_verified_first() {
    let (world, free, _) = world();
    let proved = |sender, nonce, limit: Option<u64>| {
        let mut transaction = world.sign_at(sender, nonce, vec![prove(free, Bn254, 1)]);
        transaction.body.work_limit = limit.unwrap_or(transaction.body.work_limit);
        transaction
    };
    let least = least_work(Rules::V2, &proved(1, 0, None).body);
    // A nonce that is ahead, one that was used, an account that isn't there, and work that can't suffice.
    let left_out = [proved(3, 5, None), proved(0, 0, None), proved(9, 0, None), proved(2, 0, Some(least - 1))];
    let ran = run(&world, &left_out);
    assert_eq!(ran.outcomes, [Outcome::Failed { code: FailureCode::WorkLimit, operation: 0 }]);
    assert_eq!(ran.pieces, 0);
    // Nonces count in order, and the same transaction counts once.
    let admitted = (0..9).map(|nonce| proved(1, nonce, (nonce == 0).then_some(least)));
    let block: Vec<Transaction1> = admitted.flat_map(|one| [one.clone(), one]).chain(left_out).collect();
    let ran = run(&world, &block);
    assert_eq!((ran.outcomes[..9].to_vec(), ran.outcomes.len(), ran.pieces), (vec![Outcome::Ok; 9], 10, 9));
}

#[test]
fn a_proof_has_one_verdict_wherever_it_is_verified() {
    let (world, free, once) = world();
    let block: Vec<Transaction1> = (0..24)
        .map(|number| {
            let (sender, proof) = (number % 4, number % 3 + 1);
            let verifier = if number % 2 == 0 { free } else { once };
            let made = if number % 5 == 0 { forge(verifier, Bn254, proof) } else { prove(verifier, Bn254, proof) };
            let first = if number % 7 == 0 { transfer(1, u128::MAX) } else { put(sender, b"k", &[number as u8]) };
            world.sign_at(sender, (number / 4) as u64 + u64::from(sender == 0), vec![first, made])
        })
        .collect();
    let together = run(&world, &block).outcomes;
    let (header, mut alone) = (world.next_header(), world);
    let one = |transaction: &Transaction1| {
        let execution = alone.look(&header, std::slice::from_ref(transaction));
        alone.apply(&execution.diff);
        execution.receipts[0].outcome
    };
    let one_by_one: Vec<Outcome> = block.iter().map(one).collect();
    assert_eq!(together, one_by_one);
    assert!(together.contains(&Outcome::Ok) && together.iter().any(|outcome| *outcome != Outcome::Ok));
}

/// V29: after a change of keys in the block, proofs of the former keys are never verified: their transactions are skipped, so
/// nobody would pay. Those of the new keys are verified where they stand.
#[test]
fn proofs_of_a_former_authority_are_not_verified_first() {
    let (world, free, _) = world();
    let two = authority_of(2, &[20, 21]);
    let settings = AuthoritySettings { authority: two.clone(), delay_ms: 0, recovery: None };
    let set = Operation2::SetAuthority { settings, void_grants: false };
    let one = Authority::of_key(signer(1).public()).unwrap();
    let change = with_operations(one, &world.sign_at(1, 0, vec![]), vec![set]);
    let former = Transaction::from(world.sign_at(1, 1, vec![prove(free, Bn254, 1)]));
    let new = by_authority(two, &world.sign_at(1, 1, vec![forge(free, Bn254, 1)]));
    assert_eq!(run_listed(&world, std::slice::from_ref(&former)).pieces, 0, "its nonce is ahead");
    let ran = run_listed(&world, &[change.clone(), former]);
    assert_eq!((ran.outcomes, ran.pieces), (vec![Outcome::Ok], 0));
    let ran = run_listed(&world, &[change, new]);
    assert_eq!((ran.outcomes, ran.pieces), (vec![Outcome::Ok, NOT_PROVED], 0));
}

/// V31: a recovery in the block freezes the account, so its proofs aren't verified before the run knows. Neither are those of
/// an account whose change waits: only the run knows which keys act.
#[test]
fn proofs_of_an_account_that_is_recovered_are_verified_where_they_stand() {
    let (mut world, free, _) = world();
    let settings = settings(&one(1), 0, recovery(2, HOUR_MS, true));
    assert_eq!(world.act(1, &one(1), vec![set(settings)]), Ok(Outcome::Ok));
    let proved = |nonce| Transaction::from(world.sign_at(1, nonce, vec![prove(free, Bn254, 1)]));
    assert_eq!(run_listed(&world, &[proved(1)]).pieces, 1, "it is admitted");
    let recovered = world.by(2, 0, &one(2), vec![recover(1, &one(20))]);
    let ran = run_listed(&world, &[recovered.clone(), proved(1)]);
    assert_eq!((ran.outcomes, ran.pieces), (vec![Outcome::Ok], 0));
    let frozen = proved(1);
    world.run_listed(&[recovered]);
    let ran = run_listed(&world, &[frozen]);
    assert_eq!((ran.outcomes, ran.pieces), (vec![], 0));
}
