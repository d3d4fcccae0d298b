//! What transactions take from accounts and sponsors over time (V57 to V59).

use crate::common::*;
use proptest::prelude::*;
use rustorium_execution::*;
use rustorium_types::*;
use std::collections::BTreeMap;

const CHILD: usize = 9;

fn capacity() -> Capacity {
    Capacity {
        quota_history_max: 8_000,
        quota_history_per_s: 1_000,
        work_per_s: 100_000,
        history_per_s: 20_000,
        work_burst_ms: 1_000,
        history_burst_ms: 1_000,
        common_ppm: 500_000,
    }
}

fn history(transaction: &Transaction1) -> u64 {
    history_of(&transaction.clone().into())
}

fn skip(world: &World, transaction: Transaction1) -> Option<Skip> {
    world.look(&world.next_header(), &[transaction]).skipped.first().map(|(_, skip)| *skip)
}

/// V57: the encoded length, a receipt, the record, and each leaf with its name and its value.
#[test]
fn the_history_of_a_put_is_that_of_its_bytes_and_leaves() {
    let world = World::new();
    let put_of = |to| world.sign(0, vec![put(to, &[7; 16], &[7; 256])]);
    let bytes = |transaction: &Transaction1| encode(transaction).len() as u64;
    let own = put_of(0);
    assert_eq!(history(&own), bytes(&own) + 120 + 200 + 110 + 16 + 256);
    let foreign = put_of(1);
    assert_eq!(history(&foreign), history(&own) + 200, "the owner's record is written, too");
    let second = in_second_form(&own);
    assert_eq!((encode(&second).len(), history_of(&second)), (449, 449 + 120 + 200 + 110 + 16 + 256));
    let nothing = world.sign(0, vec![]);
    assert_eq!(history(&nothing), bytes(&nothing) + 320);
}

fn held(world: &World, number: usize) -> (u64, u64) {
    let record = world.record(account(number)).unwrap();
    (record.work.left.into(), record.history.left.into())
}

/// V57: a transaction that fails leaves the same bytes behind.
#[test]
fn a_failed_transaction_pays_for_its_work_and_its_history() {
    let mut world = World::new();
    let fails = declaring(world.sign(0, vec![put(0, b"a", &[1; 500]), delete(0, b"none")]), 5_000);
    let (failing, succeeding) = (history(&fails), declaring(world.sign(1, vec![put(1, b"a", b"1")]), 5_000));
    let done = world.run(&[fails, succeeding.clone()]);
    assert_ne!(done.receipts[0].outcome, Outcome::Ok);
    assert_eq!(held(&world, 0), (DRAW - 5_000, DRAW - failing));
    assert_eq!(held(&world, 1), (DRAW - 5_000, DRAW - history(&succeeding)));
}

/// V58: what an account spends comes from its own pace, and a skip names the time at which there is enough.
#[test]
fn an_account_without_history_waits_until_the_named_time() {
    let parameters = Parameters { capacity: Some(capacity()), ..Parameters::default() };
    let mut world = World::with(parameters);
    let large = world.sign(0, vec![put(0, b"a", &[1; 7_000])]);
    assert_eq!((history(&large) > 8_000, world.run(std::slice::from_ref(&large)).receipts.len()), (true, 0));
    let first = world.sign(0, vec![put(0, b"a", &[1; 3_000])]);
    let spent = history(&first);
    assert_eq!(world.run(&[first]).receipts.len(), 1);
    let left = 8_000 - spent;
    let taken_ms = world.header.time_ms;
    assert_eq!(held(&world, 0).1, left, "it drew all of its burst, which is below the largest draw");
    let next = world.sign(0, vec![put(0, b"b", &[1; 3_000])]);
    let ready_at_ms = taken_ms + history(&next) - left;
    // 10 bytes grow until the next block.
    assert_eq!(skip(&world, next.clone()), Some(Skip::HistoryTooSmall { left: left + 10, ready_at_ms }));
    world.header.time_ms = ready_at_ms - 11;
    assert!(skip(&world, next.clone()).is_some());
    world.header.time_ms += 1;
    assert_eq!(skip(&world, next), None);
}

/// A transaction that no quota could ever pay for doesn't wait.
#[test]
fn more_history_than_any_quota_has_is_never_paid() {
    let world = World::new();
    let many: Vec<Operation> = (0..17).map(|_| Operation::EndEpoch { epoch: Epoch(0) }).collect();
    let never = declaring(world.sign(0, many), 1_000_000);
    assert!(history(&never) > TRANSACTION_HISTORY_MAX);
    assert!(matches!(skip(&world, never), Some(Skip::HistoryTooSmall { ready_at_ms: u64::MAX, .. })));
}

/// V58: who makes accounts hands on its sponsor, and gains nothing: they begin without credit.
#[test]
fn an_account_has_the_sponsor_of_its_maker_and_begins_with_nothing() {
    let mut world = sponsored(1_000, 20_000, capacity());
    let record = world.record(account(CHILD)).unwrap();
    let none = Allowance { left: 0, at_us: 1_000 * world.header.time_ms };
    assert_eq!((record.sponsor, record.work, record.history), (1, none, none));
    assert_eq!([0, 1].map(|number| world.record(account(number)).unwrap().sponsor), [1, COMMON]);
    let next = declaring(world.sign(CHILD, vec![]), 700);
    assert!(matches!(skip(&world, next.clone()), Some(Skip::WorkTooSmall { left: 10, .. })));
    world.header.time_ms += 690;
    assert_eq!(world.run(&[next]).receipts.len(), 1);
}

/// V58: all accounts of a sponsor share its share, and nobody else's accounts feel it.
#[test]
fn accounts_of_one_sponsor_hold_each_other_back_and_no_others() {
    // A share of a fifth: 20,000 units a second, and as many at once as the largest transaction needs.
    let mut world =
        sponsored(1_000_000_000, 1_000_000_000_000, Capacity { quota_history_per_s: 1 << 30, ..capacity() });
    world.genesis.parameters.batch_work_max = 20_000;
    world.header.time_ms += 60_000;
    let of = |world: &World, number| declaring(world.sign(number, vec![]), 15_000);
    // It holds what it drew when it made the other account.
    let first = declaring(of(&world, 0), 15_000 + held(&world, 0).0);
    assert_eq!(world.run(&[first]).receipts.len(), 1);
    let made_ms = world.header.time_ms;
    let next = of(&world, CHILD);
    // 5,000 are left and 200 grew; 9,800 more take 490 ms.
    assert_eq!(skip(&world, next.clone()), Some(Skip::WorkTooSmall { left: 5_200, ready_at_ms: made_ms + 500 }));
    assert_eq!(skip(&world, of(&world, 1)), None, "another sponsor stands for it");
    world.header.time_ms += 490;
    assert_eq!(skip(&world, next), None);
}

/// The sponsor's leaf is written once in many transactions, and not by those that spend what was drawn.
#[test]
fn a_draw_lasts_for_some_transactions() {
    let mut world = World::new();
    let mut writes = 0;
    for _ in 0..12 {
        let done = world.run(&[declaring(world.sign(1, vec![put(1, b"k", &[7; 256])]), 1_100)]);
        assert_eq!(done.receipts.len(), 1);
        writes += done.diff.iter().filter(|write| write.key == sponsor_key(COMMON)).count();
    }
    assert_eq!(writes, 2);
}

/// Operators' accounts have their own pace, but nobody's accounts can keep them from governing.
#[test]
fn operators_ask_no_sponsor() {
    let mut world =
        sponsored(1_000_000_000, 1_000_000_000_000, Capacity { quota_history_per_s: 1 << 30, ..capacity() });
    world.genesis.parameters.batch_work_max = 20_000;
    world.header.time_ms += 5_000;
    let end = |world: &World| declaring(world.sign(CHILD, vec![]), 20_001);
    assert!(skip(&world, end(&world)).is_some());
    world.genesis.parameters.operators = BoundedVec::new(vec![signer(CHILD).public()]).unwrap();
    assert_eq!(skip(&world, end(&world)), None);
    let before = world.state[&sponsor_key(1)].clone();
    let last = end(&world);
    assert_eq!(world.run(&[last]).receipts.len(), 1);
    assert_eq!(world.state[&sponsor_key(1)], before);
}

/// What was used: time in ms, account, work, history.
type Use = (u64, usize, u64, u64);

/// Checks that no window has more than it may: `rate` a second, and `burst`.
fn check_windows(uses: &[(u64, u64)], rate: u64, burst: u64) -> Result<(), TestCaseError> {
    for (first, (from_ms, _)) in uses.iter().enumerate() {
        let mut sum = 0;
        for (until_ms, units) in &uses[first..] {
            sum += units;
            // What grows in the window and in a microsecond, rounded up.
            let grown = rate * (until_ms - from_ms) / 1_000 + rate / 1_000_000 + 2;
            prop_assert!(sum <= grown + burst, "{} in {} ms", sum, until_ms - from_ms);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// V59: in every window, an account uses at most its growth, its burst and one draw that it held, and all accounts of a
    /// sponsor the share's growth and burst, and one draw each.
    #[test]
    fn no_window_has_more_than_the_bound(
        steps in prop::collection::vec((0u64..400, 0..4usize, 0u64..12_000, 0usize..2_500), 1..60),
        block in 1..5usize,
    ) {
        let (rate, max) = (15_000, 20_000);
        let capacity = Capacity { quota_history_per_s: 3_000, quota_history_max: 9_000, ..capacity() };
        let mut world = sponsored(rate, max, capacity);
        world.genesis.parameters.batch_work_max = max;
        let people = [0, 1, 2, CHILD];
        let mut uses: Vec<Use> = Vec::new();
        for steps in steps.chunks(block) {
            world.header.time_ms += steps[0].0;
            let mut nonces: BTreeMap<usize, u64> = BTreeMap::new();
            let mut block = Vec::new();
            for (_, who, work, bytes) in steps {
                let number = people[*who];
                let nonce = nonces.entry(number).or_insert_with(|| world.record(account(number)).unwrap().nonce);
                let signed = world.sign_at(number, *nonce, vec![put(number, b"k", &vec![7; *bytes])]);
                *nonce += 1;
                block.push((number, declaring(signed, *work)));
            }
            let listed: Vec<Transaction1> = block.iter().map(|(_, signed)| signed.clone()).collect();
            let done = world.run(&listed);
            for receipt in &done.receipts {
                let (number, signed) =
                    block.iter().find(|(_, t)| (t.body.sender, t.body.nonce) == (receipt.sender, receipt.nonce)).unwrap();
                let work = declared_work(Rules::V2, &signed.clone().into());
                uses.push((world.header.time_ms, *number, work, history(signed)));
            }
        }
        let of = |who: &[usize], what: fn(&Use) -> u64| -> Vec<(u64, u64)> {
            uses.iter().filter(|one| who.contains(&one.1)).map(|one| (one.0, what(one))).collect()
        };
        for who in people {
            check_windows(&of(&[who], |one| one.2), rate, max + DRAW)?;
            check_windows(&of(&[who], |one| one.3), 3_000, 9_000 + DRAW)?;
        }
        let largest = TRANSACTION_HISTORY_MAX;
        for (who, work, history) in [(&[0, CHILD], 20_000, 2_000), (&[1, 2], 50_000, 10_000)] {
            check_windows(&of(who, |one| one.2), work, work.max(max) + 2 * DRAW)?;
            check_windows(&of(who, |one| one.3), history, history.max(largest) + 2 * DRAW)?;
        }
    }
}

/// A chain with so many more accounts, which the common sponsor stands for. They have the key of account 0.
fn crowd(count: u64, capacity: Capacity) -> (World, Vec<AccountId>) {
    let (quota_work_per_s, quota_work_max) = (375_000, 3_750_000);
    let parameters = Parameters { quota_work_per_s, quota_work_max, capacity: Some(capacity), ..Parameters::default() };
    let mut world = World::with(parameters);
    let record = AccountRecord2 { nonce: 0, ..world.record(account(0)).unwrap() };
    let crowd: Vec<AccountId> = (0..count)
        .map(|number| {
            let mut id = [9; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            AccountId(id)
        })
        .collect();
    world.state.extend(crowd.iter().map(|one| (account_key(*one), record.to_bytes())));
    (world, crowd)
}

/// V59, and the hoard: all of 10,000 accounts draw as much as they can, and then spend it together. What they draw in any
/// window is what the sponsor's pace pays for, and blocks hold what blocks hold.
#[test]
fn ten_thousand_accounts_draw_no_more_than_their_sponsor_has() {
    let share = Capacity { work_per_s: 7_500_000, history_per_s: 1 << 30, history_burst_ms: 600_000, ..capacity() };
    let share = Capacity { quota_history_per_s: 1 << 20, quota_history_max: 1 << 20, common_ppm: 200_000, ..share };
    let (rate, burst) = (1_500_000u128, 2_000_000u128);
    let (mut world, crowd) = crowd(10_000, share);
    let mut nonces = vec![0; crowd.len()];
    // Time in ms, work used up to it, and what all accounts hold then.
    let mut seen: Vec<(u64, u128, u128)> = vec![(world.header.time_ms, 0, 0)];
    let (mut used, mut next, mut holds) = (0u128, 0usize, BTreeMap::new());
    for block in 0..160u64 {
        // At first a few send, so that each draws its stock; then there is a rush.
        let (count, work) = if block < 120 { (200, 600) } else { (1_000, 2_000) };
        world.header.time_ms += [0, 30, 0, 250][block as usize % 4];
        let listed: Vec<Transaction1> = (0..count)
            .map(|_| {
                next = (next + 1) % crowd.len();
                let mut signed = declaring(world.sign_at(0, nonces[next], vec![]), work);
                signed.body.sender = crowd[next];
                signed
            })
            .collect();
        let done = world.run(&listed);
        for receipt in &done.receipts {
            nonces[u64::from_be_bytes(receipt.sender.0[..8].try_into().unwrap()) as usize] += 1;
        }
        used += u128::from(work) * done.receipts.len() as u128;
        for write in done.diff.iter().filter(|write| crowd.binary_search(&write.key.account).is_ok()) {
            let record = AccountRecord2::from_bytes(write.value.as_ref().unwrap()).unwrap();
            holds.insert(write.key.account, record.work.left);
        }
        let held: u128 = holds.values().copied().map(u128::from).sum();
        assert!(held <= u128::from(DRAW) * crowd.len() as u128);
        seen.push((world.header.time_ms, used, held));
    }
    for (first, (from_ms, used_before, held_before)) in seen.iter().enumerate() {
        for (until_ms, used, held) in &seen[first..] {
            let drawn = (used + held).saturating_sub(used_before + held_before);
            let grown = rate * u128::from(until_ms - from_ms) / 1_000 + 1_000;
            assert!(drawn <= grown + burst, "{drawn} in {} ms", until_ms - from_ms);
        }
    }
    let (.., held) = seen[120];
    assert!(held > 8_000_000 && used > 15_000_000, "the accounts hoarded {held} and used {used}");
}

#[test]
fn the_quotas_are_what_the_vectors_say() {
    let folder = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let text = std::fs::read_to_string(folder.join("../../tests/vectors").join(QUOTA_VECTORS)).unwrap();
    assert_eq!(text, quota_vectors(), "a change of the protocol that is meant: `just regenerate-vectors`");
}

fn sponsors(world: &World) -> BoundedVec<GenesisSponsor, { limits::GENESIS_SPONSORS_MAX }> {
    world.genesis.sponsors.clone()
}

#[test]
fn a_genesis_names_sponsors_among_its_accounts_and_each_once() {
    let world = sponsored(1_000, 20_000, Capacity::default());
    let refused = |change: fn(&mut GenesisSponsor), again: bool| {
        let mut sponsor = sponsors(&world).to_vec()[0];
        change(&mut sponsor);
        let list = if again { vec![sponsors(&world).to_vec()[0], sponsor] } else { vec![sponsor] };
        let genesis = Genesis { sponsors: BoundedVec::new(list).unwrap(), ..make_genesis(Parameters::default()) };
        check_genesis(&genesis)
    };
    assert_eq!(refused(|_| (), false), Ok(()));
    assert_eq!(refused(|_| (), true), Err(GenesisRefused::Sponsor(2)));
    assert_eq!(refused(|sponsor| sponsor.account = account(CHILD), false), Err(GenesisRefused::Sponsor(1)));
    assert_eq!(refused(|sponsor| sponsor.work_ppm = 0, false), Err(GenesisRefused::Sponsor(1)));
    assert_eq!(refused(|sponsor| sponsor.history_ppm = WHOLE_PPM + 1, false), Err(GenesisRefused::Sponsor(1)));
    let first = Genesis { sponsors: sponsors(&world), ..make_genesis(Parameters::of(Rules::V1)) };
    assert_eq!(check_genesis(&first), Err(GenesisRefused::Sponsor(1)), "version 1 has none");
}
