//! Transactions in the form of version 2: who may send them, what they cost, and where they are listed.

use crate::common::*;
use proptest::prelude::*;
use rustorium_execution::work2::{BYTES_PER_UNIT, SIGNATURE, transaction_work2};
use rustorium_execution::*;
use rustorium_types::*;

fn skips(execution: &Execution) -> Vec<Skip> {
    execution.skipped.iter().map(|(_, skip)| *skip).collect()
}

fn executed(world: &World, transaction: Transaction) -> Result<Outcome, Skip> {
    let execution = world.look_at(&world.next_header(), &[transaction]);
    match execution.receipts.first() {
        Some(receipt) => Ok(receipt.outcome),
        None => Err(skips(&execution)[0]),
    }
}

/// V18, V28: an account of one key is acted for by the authority of that key alone.
#[test]
fn the_authority_must_be_the_accounts() {
    let world = World::new();
    let put = world.sign(0, vec![put(0, b"k", b"v")]);
    assert_eq!(executed(&world, in_second_form(&put)), Ok(Outcome::Ok));
    for (threshold, keys) in [(1, &[1][..]), (1, &[0, 1]), (2, &[0, 1])] {
        let other = by_authority(authority_of(threshold, keys), &put);
        assert_eq!(executed(&world, other), Err(Skip::WrongKey), "{threshold} of {keys:?}");
    }
}

/// V15: blocks of version 1 have no transactions in this form. One in a batch, which is invalid, changes nothing.
#[test]
fn version_one_executes_no_form_of_version_two() {
    let world = World::with(Parameters::of(Rules::V1));
    let mut header = world.next_header();
    header.version = 1;
    let (first, second) = (world.sign(0, vec![put(0, b"k", b"v")]), world.sign(1, vec![put(1, b"k", b"v")]));
    let listed = [in_second_form(&second), first.clone().into(), in_second_form(&first)];
    let execution = world.look_at(&header, &listed);
    assert_eq!(skips(&execution), [Skip::WrongVersion; 2]);
    assert_eq!(execution.receipts, world.look_at(&header, &listed[1..2]).receipts);
}

/// Both forms share the account's nonces, so none of them executes what the other did.
#[test]
fn one_nonce_is_used_once_whatever_the_form() {
    let world = World::new();
    let first = world.sign(0, vec![put(0, b"k", b"v")]);
    let both = [Transaction::from(first.clone()), in_second_form(&first)];
    for listed in [both.clone(), [both[1].clone(), both[0].clone()]] {
        let execution = world.look_at(&world.next_header(), &listed);
        assert_eq!((execution.receipts.len(), skips(&execution)), (1, vec![Skip::NonceUsed { expected: 1 }]));
    }
}

/// V21: each signature and the bytes of the authority are the sender's to pay.
#[test]
fn more_signatures_cost_more() {
    let world = World::new();
    let put = world.sign(0, vec![put(0, b"k", b"v")]);
    let base = |threshold, keys: &[usize]| {
        let made = by_authority(authority_of(threshold, keys), &put);
        let Transaction::V2(second) = &made else { panic!() };
        assert_eq!(least_work_of(Rules::V2, &made) - transaction_work2(second.body()), least_operations(&put));
        transaction_work2(second.body())
    };
    let one = base(1, &[0]);
    let three = base(3, &[0, 1, 2]);
    let bytes = 2 * (33 + 66);
    assert!(
        (2 * SIGNATURE + bytes / BYTES_PER_UNIT..=2 * SIGNATURE + bytes / BYTES_PER_UNIT + 1).contains(&(three - one))
    );
    let made = in_second_form(&put);
    let receipt = world.look_at(&world.next_header(), std::slice::from_ref(&made)).receipts.remove(0);
    assert_eq!((receipt.outcome, receipt.work), (Outcome::Ok, least_work_of(Rules::V2, &made)));
    let mut cheap = put;
    cheap.body.work_limit = 0;
    assert_eq!(declared_work(Rules::V2, &in_second_form(&cheap)), one, "the cost of looking at it");
}

/// The least work of a transaction's operations alone.
fn least_operations(transaction: &Transaction1) -> u64 {
    let none = Transaction1 {
        body: TransactionBody { data: BoundedVec::default(), ..transaction.body.clone() },
        ..transaction.clone()
    };
    let bytes = |one: &Transaction1| encode(one).len() as u64;
    let more = bytes(transaction).div_ceil(BYTES_PER_UNIT) - bytes(&none).div_ceil(BYTES_PER_UNIT);
    least_work(Rules::V2, &transaction.body) - least_work(Rules::V2, &none.body) - more
}

#[test]
fn a_transaction_of_version_two_is_shown_with_its_receipt() {
    let mut world = World::new();
    let before = world.root;
    let Transaction::V2(unsigned) = in_second_form(&world.sign(0, vec![put(0, b"k", b"v")])) else { panic!() };
    let signature = signer(0).sign_body2(&world.header.chain, unsigned.body());
    let signed = Transaction::from(Transaction2::new(unsigned.body().clone(), vec![(0, signature)]).unwrap());
    let first = world.run_listed(std::slice::from_ref(&signed));
    let claiming = child(&world.header, ResultClaim { height: world.header.height, root: world.root });
    let proof = BlockProof { descendants: BoundedVec::default(), finalization: finalize(&claiming, &[0, 2, 3]) };
    let receipt = prove_receipt(&first.receipts, 0, before, vec![first.link], claiming, proof).unwrap();
    let shown = TransactionProof { transaction: signed, receipt };
    assert_eq!(verify_transaction(&world.genesis, &shown), Ok(()));
    let other = TransactionProof { transaction: unsigned.into(), ..shown };
    assert_eq!(verify_transaction(&world.genesis, &other), Err(ProofRefused::BadSignature));
}

fn operation() -> impl Strategy<Value = Operation> {
    let (who, name) = (0..5usize, prop::sample::select(vec![&b"a"[..], b"b", b"ab"]));
    prop_oneof![
        (who.clone(), name.clone(), 0usize..300).prop_map(|(n, k, len)| put(n, k, &vec![7; len])),
        (who.clone(), name.clone()).prop_map(|(n, k)| delete(n, k)),
        (who.clone(), 0u128..1500).prop_map(|(to, amount)| transfer(to, amount)),
        (who.clone(), 0u128..9).prop_map(|(to, amount)| issue(b"X", to, amount)),
        (who.clone(), prop::collection::vec(name.clone(), 0..3)).prop_map(|(to, p)| grant(to, &p)),
        (0..9usize, 0u64..3000).prop_map(|(n, bytes)| create(n, bytes)),
        (who, name).prop_map(|(n, k)| Operation::Require(Condition::Absent { namespace: account(n), key: key(k) })),
    ]
}

/// The state without what declared work changes: quotas.
fn without_quotas(world: &World, execution: &Execution) -> State {
    let mut after = World { state: world.state.clone(), ..World::of(world.genesis.clone()) };
    after.apply(&execution.diff);
    let accounts: Vec<_> = (0..9).map(account).filter(|one| after.record(*one).is_some()).collect();
    for one in accounts {
        let none = Allowance::default();
        let record = AccountRecord2 { work: none, history: none, ..after.record(one).unwrap() };
        after.state.insert(account_key(one), record.to_bytes());
    }
    without_sponsors(after.state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_forms_have_the_same_effects(
        plans in prop::collection::vec((0..5usize, prop::collection::vec(operation(), 0..4)), 1..8),
        second in prop::collection::vec(any::<bool>(), 8),
    ) {
        let world = World::new();
        let mut nonces = [0; 5];
        let sign = |(sender, operations): &(usize, Vec<Operation>)| {
            nonces[*sender] += 1;
            world.sign_at(*sender, nonces[*sender] - 1, operations.clone())
        };
        let made: Vec<Transaction1> = plans.iter().map(sign).collect();
        let mixed: Vec<Transaction> = made
            .iter()
            .zip(second)
            .map(|(one, second)| if second { in_second_form(one) } else { one.clone().into() })
            .collect();
        let header = world.next_header();
        let (first, mixed) = (world.look(&header, &made), world.look_at(&header, &mixed));
        let outcomes = |execution: &Execution| -> Vec<Outcome> {
            execution.receipts.iter().map(|receipt| receipt.outcome).collect()
        };
        prop_assert_eq!(outcomes(&first), outcomes(&mixed));
        prop_assert_eq!(skips(&first), skips(&mixed));
        prop_assert_eq!(without_quotas(&world, &first), without_quotas(&world, &mixed));
    }
}
