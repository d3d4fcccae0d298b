//! Properties that hold for any transactions in any order.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::{asset_id, transaction_id, value_hash};
use rustorium_execution::*;
use rustorium_types::*;
use std::collections::{BTreeMap, HashMap};

const PEOPLE: usize = 6;

fn operation() -> impl Strategy<Value = Operation> {
    let who = 0..PEOPLE;
    let name = prop::sample::select(vec![&b"a"[..], b"ab", b"b", b""]);
    let amount = prop_oneof![0u128..1500, Just(u128::MAX), Just(u128::MAX / 2)];
    let symbol = prop::sample::select(vec![&b"X"[..], b"Y", b" "]);
    prop_oneof![
        6 => (who.clone(), name.clone(), 0usize..9000).prop_map(|(n, k, len)| put(n, k, &vec![len as u8; len])),
        3 => (who.clone(), name.clone()).prop_map(|(n, k)| delete(n, k)),
        5 => (who.clone(), amount.clone()).prop_map(|(to, amount)| transfer(to, amount)),
        2 => (symbol, who.clone(), amount.clone()).prop_map(|(s, to, amount)| issue(s, to, amount)),
        2 => (who.clone(), prop::collection::vec(name.clone(), 0..3)).prop_map(|(to, p)| grant(to, &p)),
        2 => (who.clone(), 0u64..9000).prop_map(|(n, bytes)| create(n, bytes)),
        1 => (who.clone(), name.clone(), 0usize..9000).prop_map(|(n, k, len)| {
            let hash = value_hash(&vec![len as u8; len]);
            Operation::Require(Condition::ValueHash { namespace: account(n), key: key(k), hash })
        }),
        1 => (who.clone(), name)
            .prop_map(|(n, k)| Operation::Require(Condition::Absent { namespace: account(n), key: key(k) })),
        1 => (who, amount).prop_map(|(n, amount)| {
            Operation::Require(Condition::BalanceAtLeast { account: account(n), asset: gold(), amount })
        }),
    ]
}

/// A plan of a transaction: sender, distance of its nonce from the expected one, operations, declared work.
type Plan = (usize, i8, Vec<Operation>, u64);

fn plan() -> impl Strategy<Value = Plan> {
    let nonce = prop_oneof![9 => Just(0i8), 1 => -1i8..=1];
    let work = prop_oneof![8 => Just(WORK), 1 => 0u64..3000];
    (0..PEOPLE, nonce, prop::collection::vec(operation(), 0..5), work)
}

/// Numbers the nonces as if every transaction with distance 0 used its own.
fn sign_all(world: &World, plans: &[Plan]) -> Vec<Transaction1> {
    let mut next = [0u64; PEOPLE];
    for (number, next) in next.iter_mut().enumerate() {
        *next = world.record(account(number)).map_or(0, |record| record.nonce);
    }
    let sign = |(sender, distance, operations, work): &Plan| {
        let nonce = next[*sender].saturating_add_signed(i64::from(*distance));
        next[*sender] += u64::from(*distance == 0);
        let mut transaction = world.sign_at(*sender, nonce, operations.clone());
        transaction.body.work_limit = *work;
        transaction
    };
    plans.iter().map(sign).collect()
}

fn everyone() -> Vec<AccountId> {
    (0..PEOPLE).map(account).collect()
}

fn supply(world: &World, asset: AssetId) -> Option<u128> {
    (0..PEOPLE).try_fold(0u128, |sum, number| sum.checked_add(world.balance(number, asset)))
}

/// Another kind of map, filled in another order, whose own order is random.
struct Shuffled(HashMap<StateKey, Vec<u8>>);

impl StateRead for Shuffled {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateReadError> {
        Ok(self.0.get(key).cloned())
    }
}

impl LimitedRead for Shuffled {}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn storage_and_assets_are_conserved(blocks in prop::collection::vec(prop::collection::vec(plan(), 0..8), 1..6)) {
        let mut world = World::new();
        let start = world.storage_total(&everyone());
        for plans in blocks {
            let transactions = sign_all(&world, &plans);
            let execution = world.run(&transactions);
            prop_assert_eq!(world.storage_total(&everyone()), start);
            prop_assert_eq!(supply(&world, gold()), Some(1000 * ACCOUNTS as u128));
            prop_assert_eq!(execution.receipts.len() + execution.skipped.len(), transactions.len());
            prop_assert!(execution.diff.windows(2).all(|pair| pair[0].key < pair[1].key));
        }
    }

    #[test]
    fn issued_assets_add_up(plans in prop::collection::vec(plan(), 1..12)) {
        let mut world = World::new();
        let transactions = sign_all(&world, &plans);
        let execution = world.run(&transactions);
        let mut issued: BTreeMap<AssetId, Option<u128>> = BTreeMap::new();
        for receipt in execution.receipts.iter().filter(|receipt| receipt.outcome == Outcome::Ok) {
            let made = transactions.iter().find(|t| transaction_id(&t.body) == receipt.transaction).unwrap();
            for operation in made.body.data.iter() {
                if let Operation::Issue { symbol, amount, .. } = operation {
                    let sum = issued.entry(asset_id(&receipt.sender, symbol.as_slice())).or_insert(Some(0));
                    *sum = sum.and_then(|sum| sum.checked_add(*amount));
                }
            }
        }
        for (asset, sum) in issued {
            prop_assert_eq!(supply(&world, asset), sum);
        }
    }

    #[test]
    fn a_block_has_the_result_of_its_transactions_one_by_one(plans in prop::collection::vec(plan(), 0..14)) {
        let world = World::new();
        let transactions = sign_all(&world, &plans);
        let header = world.next_header();
        let whole = world.look(&header, &transactions);
        let mut single = World::new();
        let (mut receipts, mut skipped) = (Vec::new(), Vec::new());
        for transaction in &transactions {
            let before = single.state.clone();
            let one = single.look(&header, std::slice::from_ref(transaction));
            single.apply(&one.diff);
            if one.receipts.first().is_some_and(|receipt| receipt.outcome != Outcome::Ok) {
                single.assert_only_nonce_and_quota_changed(&before, transaction.body.sender);
            }
            if one.receipts.is_empty() {
                prop_assert_eq!(&single.state, &before);
            }
            skipped.extend(one.skipped);
            receipts.extend(one.receipts);
        }
        for (index, receipt) in receipts.iter_mut().enumerate() {
            receipt.index = index as u32;
        }
        prop_assert_eq!(&whole.receipts, &receipts);
        prop_assert_eq!(&whole.skipped, &skipped);
        let mut after = World::new();
        after.apply(&whole.diff);
        prop_assert_eq!(after.state, single.state);
    }

    #[test]
    fn the_root_is_the_same_however_the_state_is_kept_and_read(
        plans in prop::collection::vec(plan(), 0..14),
        order in Just((0..=ACCOUNTS * 2).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let world = World::new();
        let transactions = sign_all(&world, &plans);
        let header = world.next_header();
        let expected = world.look(&header, &transactions);
        let leaves: Vec<_> = world.state.iter().collect();
        let shuffled = order.iter().map(|at| (*leaves[*at].0, leaves[*at].1.clone())).collect();
        let listed = listed(&transactions);
        let transactions = with_ids(&header.chain, &listed);
        let input = world.input(&header, transactions);
        let read = execute(&input, &Shuffled(shuffled)).unwrap();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn transactions_that_share_nothing_commute(
        values in prop::collection::vec(prop::collection::vec(0usize..300, 0..4), ACCOUNTS),
        order in Just((0..ACCOUNTS).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let world = World::new();
        let sign = |number: usize| {
            let puts = values[number].iter().enumerate().map(|(i, len)| put(number, &[i as u8], &vec![1; *len]));
            world.sign(number, puts.collect())
        };
        let header = world.next_header();
        let straight = world.look(&header, &(0..ACCOUNTS).map(sign).collect::<Vec<_>>());
        let shuffled = world.look(&header, &order.iter().map(|number| sign(*number)).collect::<Vec<_>>());
        prop_assert_eq!(straight.diff, shuffled.diff);
        prop_assert_eq!(straight.link.diff, shuffled.link.diff);
    }

    #[test]
    fn the_same_bytes_again_change_nothing(plans in prop::collection::vec(plan(), 1..10), again in any::<prop::sample::Index>()) {
        let world = World::new();
        let mut transactions = sign_all(&world, &plans);
        let header = world.next_header();
        let once = world.look(&header, &transactions);
        let copy = again.get(&transactions).clone();
        let executed = once.receipts.iter().any(|receipt| receipt.transaction == transaction_id(&copy.body));
        transactions.push(copy);
        let twice = world.look(&header, &transactions);
        if executed {
            prop_assert_eq!(&twice.receipts, &once.receipts);
            prop_assert_eq!(twice.result_root, once.result_root);
            let used = matches!(twice.skipped.last().unwrap().1, Skip::NonceUsed { .. });
            prop_assert!(used);
        }
    }

    #[test]
    fn work_used_is_within_the_limit_and_the_worst_case(plans in prop::collection::vec(plan(), 1..10)) {
        let world = World::new();
        let transactions = sign_all(&world, &plans);
        for receipt in world.look(&world.next_header(), &transactions).receipts {
            let made = transactions.iter().find(|t| transaction_id(&t.body) == receipt.transaction).unwrap();
            prop_assert!(receipt.work <= declared_work(Rules::V2, &made.clone().into()));
            prop_assert!(receipt.work <= worst_case_work(Rules::V2, &made.body));
            if receipt.outcome == Outcome::Ok {
                prop_assert!(receipt.work >= least_work(Rules::V2, &made.body));
            }
        }
    }
}
