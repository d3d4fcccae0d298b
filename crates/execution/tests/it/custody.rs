//! Changes of an account's keys that wait, and recoveries (V28 to V33).

use crate::common::*;
use rustorium_crypto::settings_hash;
use rustorium_execution::*;
use rustorium_types::*;

const OWNER: usize = 0;
const HELPER: usize = 1;
const OTHER: usize = 2;
const OK: Result<Outcome, Skip> = Ok(Outcome::Ok);
const WRONG: Result<Outcome, Skip> = Err(Skip::WrongKey);

fn failed(code: FailureCode) -> Result<Outcome, Skip> {
    Ok(Outcome::Failed { code, operation: 0 })
}

/// A world in which account 0 has these settings besides its first key.
fn with(delay_ms: u64, recovery: Option<Recovery>) -> World {
    let mut world = World::new();
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(OWNER), delay_ms, recovery))]), OK);
    world
}

fn everyone() -> Vec<AccountId> {
    (0..ACCOUNTS).map(account).collect()
}

/// V28, V29: nothing happens a moment before the time. From then on the new keys act, and the first of their transactions
/// writes the change down.
#[test]
fn a_change_waits_for_its_time_and_not_longer() {
    let mut world = World::new();
    let total = world.storage_total(&everyone());
    let before = world.storage_left(OWNER);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(OWNER), DAY_MS, None))]), OK);
    let settled = world.storage_left(OWNER);
    assert!(settled < before, "the account pays for the leaf");
    assert_eq!(world.record(account(OWNER)).unwrap().custody, CustodyState::Settled);
    let started_ms = world.header.time_ms + 10;
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(20), 5, None))]), OK);
    assert_eq!(world.due_ms(OWNER), started_ms + DAY_MS, "the delay is the present one, not the next one");
    world.wait_until(started_ms + DAY_MS - 1);
    assert_eq!(world.act(OWNER, &one(20), vec![]), WRONG);
    world.wait_until(started_ms + DAY_MS - 1);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![put_own(b"a")]), OK);
    assert_eq!(world.record(account(OWNER)).unwrap().custody, CustodyState::Pending);
    let state = world.state.clone();
    world.wait_until(started_ms + DAY_MS);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![]), WRONG);
    assert_eq!(world.state, state, "a skip writes nothing down");
    let missing = Operation2::Delete { namespace: None, key: key(b"none") };
    assert_eq!(world.act(OWNER, &one(20), vec![missing]), failed(FailureCode::NoSuchKey));
    let record = world.record(account(OWNER)).unwrap();
    assert_eq!((record.signer, record.custody), (Signer::Single(signer(20).public()), CustodyState::Settled));
    assert_eq!(world.custody(OWNER), Some(CustodyRecord { settings: settings(&one(20), 5, None), pending: None }));
    assert_eq!(world.storage_total(&everyone()), total);
    // Without delay and recovery account there is no leaf.
    assert_eq!(world.act(OWNER, &one(20), vec![set(settings(&one(20), 0, None))]), OK);
    world.wait_until(world.due_ms(OWNER));
    assert_eq!(world.act(OWNER, &one(20), vec![]), OK);
    assert_eq!((world.custody(OWNER), world.storage_left(OWNER)), (None, before - LEAF_KEY_BYTES));
    assert_eq!(world.act(OWNER, &one(20), vec![set(settings(&one(OWNER), 0, None))]), OK);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![]), OK);
}

/// V29: a second change replaces the first, and its time begins again. The keys cancel what they began (V30).
#[test]
fn a_second_change_starts_again_and_a_cancelled_one_is_over() {
    let mut world = with(HOUR_MS, None);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(20), 0, None))]), OK);
    let first_ms = world.due_ms(OWNER);
    world.wait_until(first_ms - 1);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(21), 0, None))]), OK);
    assert_eq!(world.due_ms(OWNER), first_ms - 1 + HOUR_MS);
    world.wait_until(first_ms);
    assert_eq!(world.act(OWNER, &one(20), vec![]), WRONG);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![Operation2::CancelAuthority]), OK);
    assert_eq!(world.record(account(OWNER)).unwrap().custody, CustodyState::Settled);
    world.wait_until(first_ms + DAY_MS);
    assert_eq!(world.act(OWNER, &one(21), vec![]), WRONG);
    let nothing = failed(FailureCode::NothingPending);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![Operation2::CancelAuthority]), nothing);
    assert_eq!(world.act(OTHER, &one(OTHER), vec![Operation2::CancelAuthority]), nothing);
}

/// V29: whatever a change takes away waits as long as a recovery, so a thief can't take the recovery account away first.
#[test]
fn the_recovery_account_stays_until_its_delay_is_over() {
    let mut world = with(0, recovery(HELPER, DAY_MS, false));
    let started_ms = world.header.time_ms + 10;
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(20), 0, None))]), OK);
    assert_eq!(world.due_ms(OWNER), started_ms + DAY_MS);
    world.wait_until(started_ms + DAY_MS - 1);
    assert_eq!(world.act(HELPER, &one(HELPER), vec![recover(OWNER, &one(21))]), OK);
    assert_eq!(world.due_ms(OWNER), started_ms + DAY_MS - 1 + DAY_MS, "it replaces the change");
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(20), 0, None))]), OK);
    world.wait_until(world.due_ms(OWNER));
    assert_eq!(world.act(HELPER, &one(HELPER), vec![recover(OWNER, &one(21))]), failed(FailureCode::NotRecovery));
    assert_eq!(world.act(OWNER, &one(20), vec![]), OK);
}

/// V31: a final recovery can't be cancelled, and the account is frozen meanwhile. What others send arrives.
#[test]
fn a_final_recovery_freezes_the_account() {
    let mut world = with(0, recovery(HELPER, HOUR_MS, true));
    let old = world.by(OWNER, 1, &one(OWNER), vec![]);
    assert_eq!(world.act(HELPER, &one(HELPER), vec![recover(OWNER, &one(20))]), OK);
    let until_ms = world.due_ms(OWNER);
    let frozen = Err(Skip::Frozen { until_ms });
    assert_eq!(world.act(OWNER, &one(OWNER), vec![Operation2::CancelAuthority]), frozen);
    assert_eq!(world.act(OWNER, &one(20), vec![]), frozen, "the new keys wait, too");
    let withdraw = Operation2::WithdrawRecovery { account: account(OWNER) };
    assert_eq!(world.act(OTHER, &one(OTHER), vec![withdraw]), failed(FailureCode::NotRecovery));
    world.ok(OTHER, vec![transfer(OWNER, 5)]);
    assert_eq!(world.balance(OWNER, gold()), 1_005);
    world.wait_until(until_ms - 1);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![]), frozen);
    world.wait_until(until_ms);
    assert_eq!(world.run_listed(&[old]).skipped[0].1, Skip::Expired, "an expired one is expired");
    world.wait_until(until_ms);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![]), WRONG);
    world.wait_until(until_ms);
    assert_eq!(world.act(OWNER, &one(20), vec![]), OK);
    let held = world.custody(OWNER).unwrap();
    assert_eq!(held.settings, settings(&one(20), 0, recovery(HELPER, HOUR_MS, true)), "the rest of the settings stays");
}

/// V31: the recovery account may withdraw it, and the account acts again at once, also in the same block.
#[test]
fn a_withdrawn_recovery_is_over() {
    let mut world = with(0, recovery(HELPER, HOUR_MS, true));
    let withdraw = || vec![Operation2::WithdrawRecovery { account: account(OWNER) }];
    let nothing = failed(FailureCode::NothingPending);
    assert_eq!(world.act(HELPER, &one(HELPER), withdraw()), nothing);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(20), 0, None))]), OK);
    assert_eq!(world.act(HELPER, &one(HELPER), withdraw()), nothing, "a change of the keys is no recovery");
    let block = [
        world.by(HELPER, 2, &one(HELPER), vec![recover(OWNER, &one(21))]),
        world.by(OWNER, 2, &one(OWNER), vec![put_own(b"frozen")]),
        world.by(HELPER, 3, &one(HELPER), withdraw()),
        world.by(OWNER, 2, &one(OWNER), vec![put_own(b"thawed")]),
    ];
    let execution = world.run_listed(&block);
    assert_eq!(execution.receipts.iter().map(|receipt| receipt.outcome).collect::<Vec<_>>(), [Outcome::Ok; 3]);
    assert!(matches!(execution.skipped[0].1, Skip::Frozen { .. }));
    assert_eq!(execution.touched, [(account(HELPER), 4), (account(OWNER), 3)]);
    assert!(world.value(OWNER, b"frozen").is_none() && world.value(OWNER, b"thawed").is_some());
    assert_eq!(world.record(account(OWNER)).unwrap().custody, CustodyState::Settled);
}

/// V24: pools hear of an account whose keys another account changes, also in a block in which the account does nothing. They hear
/// of nothing if the change fails.
#[test]
fn an_account_that_another_one_recovers_is_told_of() {
    let withdraw = || vec![Operation2::WithdrawRecovery { account: account(OWNER) }];
    let waiting = settings(&one(20), 0, None);
    let approve = || Operation2::ApproveAuthority { account: account(OWNER), change: settings_hash(&waiting, false) };
    let mut world = with(0, recovery(HELPER, HOUR_MS, true));
    let mut nonce = 0;
    let mut touched_by = |world: &mut World, operations: Vec<Operation2>| {
        let listed = [world.by(HELPER, nonce, &one(HELPER), operations)];
        nonce += 1;
        let execution = world.run_listed(&listed);
        assert_eq!(execution.receipts.len(), 1);
        execution.touched
    };
    let helper = |nonce| (account(HELPER), nonce);
    assert_eq!(touched_by(&mut world, withdraw()), [helper(1)], "it fails: nothing waits");
    assert_eq!(touched_by(&mut world, recovery_of(&one(21))), [helper(2), (account(OWNER), 1)]);
    assert_eq!(touched_by(&mut world, withdraw()), [helper(3), (account(OWNER), 1)]);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(waiting.clone())]), OK);
    assert_eq!(touched_by(&mut world, vec![approve()]), [helper(4), (account(OWNER), 2)]);
}

/// V31: a recovery that isn't final freezes nothing, and the keys cancel it.
#[test]
fn the_keys_cancel_a_recovery_that_is_not_final() {
    let mut world = with(0, recovery(HELPER, HOUR_MS, false));
    assert_eq!(world.act(HELPER, &one(HELPER), vec![recover(OWNER, &one(20))]), OK);
    let due_ms = world.due_ms(OWNER);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![put_own(b"a")]), OK);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![Operation2::CancelAuthority]), OK);
    world.wait_until(due_ms);
    assert_eq!(world.act(OWNER, &one(20), vec![]), WRONG);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![]), OK);
}

/// V30: the recovery account makes a change of the keys effective at once. It names the change, so a thief can't put another
/// one in its place before the approval is executed.
#[test]
fn an_approval_is_for_one_change_alone() {
    let mut world = with(DAY_MS, recovery(HELPER, HOUR_MS, true));
    let (honest, theirs) = (settings(&one(20), DAY_MS, recovery(HELPER, HOUR_MS, true)), settings(&one(66), 0, None));
    let approve = |settings: &AuthoritySettings, void_grants| {
        vec![Operation2::ApproveAuthority { account: account(OWNER), change: settings_hash(settings, void_grants) }]
    };
    let nothing = failed(FailureCode::NothingPending);
    assert_eq!(world.act(HELPER, &one(HELPER), approve(&honest, false)), nothing);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(theirs.clone())]), OK);
    assert_eq!(world.act(HELPER, &one(HELPER), approve(&honest, false)), nothing);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(honest.clone())]), OK);
    assert_eq!(world.act(OTHER, &one(OTHER), approve(&honest, false)), failed(FailureCode::NotRecovery));
    assert_eq!(world.act(HELPER, &one(HELPER), approve(&honest, true)), nothing, "what it does to grants counts, too");
    assert_eq!(world.act(HELPER, &one(HELPER), approve(&honest, false)), OK);
    assert_eq!(world.act(OWNER, &one(OWNER), vec![]), WRONG);
    assert_eq!(world.act(OWNER, &one(20), vec![]), OK);
    assert_eq!(world.act(HELPER, &one(HELPER), recovery_of(&one(66))), OK);
    assert_eq!(world.act(HELPER, &one(HELPER), approve(&world.custody(OWNER).unwrap().settings, true)), nothing);
    let recovered = world.custody(OWNER).unwrap().pending.unwrap();
    assert_eq!(world.act(HELPER, &one(HELPER), approve(&recovered.settings, true)), nothing, "a recovery waits");
}

fn recovery_of(authority: &Authority) -> Vec<Operation2> {
    vec![recover(OWNER, authority)]
}

/// V32: the recovery account of a recovery account is nobody's.
#[test]
fn chains_of_recovery_are_not_followed() {
    let mut world = with(0, recovery(HELPER, HOUR_MS, true));
    assert_eq!(
        world.act(HELPER, &one(HELPER), vec![set(settings(&one(HELPER), 0, recovery(OTHER, HOUR_MS, true)))]),
        OK
    );
    assert_eq!(world.act(OTHER, &one(OTHER), recovery_of(&one(20))), failed(FailureCode::NotRecovery));
    assert_eq!(world.act(OTHER, &one(OTHER), vec![recover(HELPER, &one(21))]), OK);
    assert!(matches!(world.act(HELPER, &one(HELPER), recovery_of(&one(20))), Err(Skip::Frozen { .. })));
    world.wait_until(world.due_ms(HELPER));
    assert_eq!(world.act(HELPER, &one(21), recovery_of(&one(20))), OK, "it acts with its new keys");
    assert_eq!(world.act(HELPER, &one(21), vec![recover(9, &one(20))]), failed(FailureCode::NoSuchAccount));
}

/// V29: settings out of bounds, of an account that recovers itself or that nobody has, are refused.
#[test]
fn settings_have_bounds() {
    const DELAY_MAX: u64 = 30 * DAY_MS;
    const RECOVERY_MAX: u64 = 90 * DAY_MS;
    for (delay_ms, recovery, expected) in [
        (DELAY_MAX, None, OK),
        (DELAY_MAX + 1, None, failed(FailureCode::BadAuthority)),
        (0, recovery(HELPER, HOUR_MS, true), OK),
        (0, recovery(HELPER, HOUR_MS - 1, true), failed(FailureCode::BadAuthority)),
        (0, recovery(HELPER, RECOVERY_MAX, false), OK),
        (0, recovery(HELPER, RECOVERY_MAX + 1, false), failed(FailureCode::BadAuthority)),
        (0, recovery(OWNER, HOUR_MS, true), failed(FailureCode::BadAuthority)),
        (0, recovery(9, HOUR_MS, true), failed(FailureCode::NoSuchAccount)),
    ] {
        let change = set(settings(&one(20), delay_ms, recovery));
        assert_eq!(World::new().act(OWNER, &one(OWNER), vec![change]), expected, "{delay_ms} {recovery:?}");
    }
}

/// V33: after a recovery, and where a change asks for it, earlier grants allow nothing. New ones do.
#[test]
fn grants_of_an_earlier_era_are_void() {
    for by_recovery in [true, false] {
        let mut world = with(0, recovery(HELPER, HOUR_MS, false));
        let give = |rights| {
            let prefixes = BoundedVec::new(vec![key(b"a")]).unwrap();
            vec![Operation2::Grant { to: account(OTHER), rights, prefixes, until_ms: None }]
        };
        assert_eq!(world.act(OWNER, &one(OWNER), give(Rights::ALL)), OK);
        world.ok(OTHER, vec![put(OWNER, b"a", b"1")]);
        let began = if by_recovery {
            world.act(HELPER, &one(HELPER), recovery_of(&one(20)))
        } else {
            let settings = settings(&one(20), 0, None);
            world.act(OWNER, &one(OWNER), vec![Operation2::SetAuthority { settings, void_grants: true }])
        };
        assert_eq!(began, OK);
        world.ok(OTHER, vec![put(OWNER, b"a", b"2")]);
        world.wait_until(world.due_ms(OWNER));
        assert_eq!(world.act(OWNER, &one(20), vec![]), OK);
        assert_eq!(world.record(account(OWNER)).unwrap().grants_era, 1);
        world.fails(OTHER, vec![put(OWNER, b"a", b"3")], FailureCode::NotAllowed);
        for rights in [Rights::ALL, Rights { put: true, delete: false }] {
            assert_eq!(world.act(OWNER, &one(20), give(rights)), OK);
            world.ok(OTHER, vec![put(OWNER, b"a", b"4")]);
        }
        let leaf = &world.state[&grant_key(account(OWNER), account(OTHER))];
        assert_eq!(leaf.first(), Some(&0xF2), "no grant of a later era looks like one of version 1");
        let total = world.storage_total(&everyone());
        assert_eq!(world.act(OWNER, &one(20), give(Rights::default())), OK);
        assert_eq!(world.storage_total(&everyone()), total);
    }
}

/// V33: between its time and the transaction that writes it down, a change counts for grants, too.
#[test]
fn grants_end_when_the_change_is_due() {
    let mut world = with(0, recovery(HELPER, HOUR_MS, true));
    let prefixes = BoundedVec::new(vec![key(b"a")]).unwrap();
    let give = Operation2::Grant { to: account(OTHER), rights: Rights::ALL, prefixes, until_ms: None };
    assert_eq!(world.act(OWNER, &one(OWNER), vec![give]), OK);
    assert_eq!(world.act(HELPER, &one(HELPER), recovery_of(&one(20))), OK);
    world.wait_until(world.due_ms(OWNER) - 1);
    world.ok(OTHER, vec![put(OWNER, b"a", b"1")]);
    world.wait_until(world.due_ms(OWNER));
    world.fails(OTHER, vec![put(OWNER, b"a", b"2")], FailureCode::NotAllowed);
}

/// A thief that uses up the storage can't keep the recovery from being written: the recovery account pays.
#[test]
fn the_recovery_account_pays_if_the_account_can_not() {
    let mut world = with(0, recovery(HELPER, HOUR_MS, true));
    let total = world.storage_total(&everyone());
    let rest = world.storage_left(OWNER) - LEAF_KEY_BYTES - 1;
    world.ok(OWNER, vec![put(OWNER, b"k", &vec![7; rest as usize])]);
    let before = [OWNER, HELPER].map(|number| world.storage_left(number));
    assert_eq!(before[0], 1);
    assert_eq!(world.act(HELPER, &one(HELPER), recovery_of(&one(20))), OK);
    let after = [OWNER, HELPER].map(|number| world.storage_left(number));
    assert_eq!(after[0], before[0]);
    assert!(after[1] < before[1]);
    assert_eq!(world.storage_total(&everyone()), total);
    world.wait_until(world.due_ms(OWNER));
    assert_eq!(world.act(OWNER, &one(20), vec![]), OK);
    assert_eq!(world.storage_left(OWNER), before[0] + before[1] - after[1], "the account gets what the leaf loses");
    assert_eq!(world.storage_total(&everyone()), total);
    // A change of the keys' own is theirs to pay.
    let mut world = with(DAY_MS, None);
    let rest = world.storage_left(OWNER) - LEAF_KEY_BYTES - 1;
    world.ok(OWNER, vec![put(OWNER, b"k", &vec![7; rest as usize])]);
    let change = set(settings(&one(20), 0, None));
    assert_eq!(world.act(OWNER, &one(OWNER), vec![change]), failed(FailureCode::InsufficientStorage));
}

/// V60: each change has the price of the largest leaf, and the largest leaf has no more bytes.
#[test]
fn the_largest_settings_fit() {
    let keys = |first: usize| authority_of(8, &(first..first + 8).collect::<Vec<_>>());
    let mut world = World::of(genesis_of(ACCOUNTS, 100_000, Parameters::default()));
    let first = settings(&keys(20), DAY_MS, recovery(HELPER, HOUR_MS, true));
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(first.clone())]), OK);
    assert_eq!(world.act(OWNER, &keys(20), vec![set(AuthoritySettings { authority: keys(30), ..first })]), OK);
    assert_eq!(world.state[&custody_key(account(OWNER))].len(), CUSTODY_BYTES_MAX);
    world.wait_until(world.due_ms(OWNER));
    assert_eq!(world.act(OWNER, &keys(30), vec![]), OK);
}

/// A change in a transaction that fails isn't one.
#[test]
fn a_failed_transaction_changes_no_settings() {
    let mut world = with(0, recovery(HELPER, HOUR_MS, true));
    let missing = || Operation2::Delete { namespace: None, key: key(b"none") };
    let before = world.state.clone();
    let failed = Ok(Outcome::Failed { code: FailureCode::NoSuchKey, operation: 1 });
    assert_eq!(world.act(HELPER, &one(HELPER), vec![recover(OWNER, &one(20)), missing()]), failed);
    world.assert_only_nonce_and_quota_changed(&before, account(HELPER));
    assert_eq!(world.act(OWNER, &one(OWNER), vec![set(settings(&one(20), 0, None)), missing()]), failed);
    assert_eq!(world.custody(OWNER).unwrap().pending, None);
}
