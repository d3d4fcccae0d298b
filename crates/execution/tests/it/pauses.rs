//! Pauses of all accounts, and of one (V43).

use crate::common::*;
use rustorium_execution::*;
use rustorium_types::*;

const DAY_MS: u64 = 24 * 3_600_000;

/// A chain whose one seat decides alone, after one decision.
fn with(world: &mut World, change: GovernanceChange) -> Result<Outcome, Skip> {
    let proposed = propose(world, change);
    world.seat_does(0, &alone(0), proposed)
}

fn pause(world: &World, scope: PauseScope, ms: u64) -> GovernanceChange {
    GovernanceChange::Pause { scope, until_ms: world.next_header().time_ms + ms }
}

fn paused(scope: PauseScope, ms: u64) -> World {
    let mut world = governed(&[0], 1);
    let change = pause(&world, scope, ms);
    assert_eq!(with(&mut world, change), Ok(Outcome::Ok));
    world
}

fn of(number: usize) -> PauseScope {
    PauseScope::Account(account(number))
}

fn skip(world: &World, sender: usize, operations: Vec<Operation>) -> Option<Skip> {
    let execution = world.look(&world.next_header(), &[world.sign(sender, operations)]);
    execution.skipped.first().map(|(_, skip)| *skip)
}

#[test]
fn a_pause_of_all_skips_accounts_until_it_ends_by_itself() {
    let mut world = paused(PauseScope::All, DAY_MS);
    let until_ms = world.header.time_ms + DAY_MS;
    let before = world.state.clone();
    let transaction = world.sign(1, vec![put(1, b"k", b"v")]);
    assert_eq!(world.run(&[transaction]).skipped[0].1, Skip::Paused { until_ms });
    assert_eq!(world.state, before, "nothing is used up");
    world.header.time_ms = until_ms - 20;
    assert_eq!(skip(&world, 1, vec![]), Some(Skip::Paused { until_ms }));
    world.header.time_ms = until_ms - 10;
    world.ok(1, vec![put(1, b"k", b"v")]);
}

#[test]
fn a_pause_acts_from_the_next_transaction_on() {
    let mut world = governed(&[0], 1);
    let change = pause(&world, PauseScope::All, DAY_MS);
    let listed = [
        world.sign(1, vec![put(1, b"k", b"v")]).into(),
        world.of_seat(0, &alone(0), vec![propose(&world, change)]),
        world.sign(2, vec![put(2, b"k", b"v")]).into(),
    ];
    let execution = world.run_listed(&listed);
    assert_eq!((execution.receipts.len(), execution.skipped.len()), (2, 1));
    let again = world.sign(2, vec![put(2, b"k", b"v")]).into();
    let resume = propose(&world, GovernanceChange::Resume { scope: PauseScope::All });
    let execution = world.run_listed(&[world.of_seat(0, &alone(0), vec![resume]), again]);
    assert_eq!((execution.receipts.len(), execution.skipped.len()), (2, 0));
}

/// R33: a transaction that ends an epoch or replaces keys passes.
#[test]
fn changes_of_the_committee_pass_each_pause() {
    for scope in [PauseScope::All, of(0)] {
        let mut world = paused(scope, DAY_MS);
        let end = || Operation::EndEpoch { epoch: Epoch(0) };
        world.ok(0, vec![end()]);
        let mixed = world.sign(0, vec![end(), put(0, b"k", b"v")]);
        let execution = world.run(&[mixed]);
        assert!(execution.receipts.first().is_none_or(|receipt| receipt.outcome != Outcome::Ok));
    }
}

#[test]
fn a_paused_account_does_nothing_and_nobody_writes_under_its_id() {
    let mut world = governed(&[0], 1);
    world.ok(1, vec![grant(2, &[b""])]);
    let change = pause(&world, of(1), DAY_MS);
    assert_eq!(with(&mut world, change), Ok(Outcome::Ok));
    world.fails(1, vec![put(1, b"k", b"v")], FailureCode::Paused);
    world.fails(2, vec![put(1, b"k", b"v")], FailureCode::Paused);
    world.ok(2, vec![put(2, b"k", b"v")]);
    world.ok(2, vec![transfer(1, 5)]);
    assert_eq!(world.balance(1, gold()), 1_005, "what others send arrives");
    assert_eq!(with(&mut world, GovernanceChange::Resume { scope: of(1) }), Ok(Outcome::Ok));
    world.ok(1, vec![put(1, b"k", b"v")]);
    world.ok(2, vec![put(1, b"k", b"w")]);
}

#[test]
fn a_pause_is_of_seven_days_at_most_and_of_accounts_alone() {
    let mut world = governed(&[0], 1);
    let week_ms = 7 * DAY_MS;
    for (scope, ms, code) in [
        (PauseScope::All, 0, FailureCode::BadTime),
        (PauseScope::All, week_ms + 1, FailureCode::BadTime),
        (PauseScope::Account(SYSTEM_ACCOUNT), 1, FailureCode::BadPause),
        (PauseScope::Account(SystemSender::Seat(0).id()), 1, FailureCode::BadPause),
    ] {
        let change = pause(&world, scope, ms);
        assert_eq!(with(&mut world, change), failed(code), "{scope:?}");
    }
    assert_eq!(with(&mut world, GovernanceChange::Resume { scope: PauseScope::All }), failed(FailureCode::BadPause));
    let change = pause(&world, PauseScope::All, week_ms);
    assert_eq!(with(&mut world, change), Ok(Outcome::Ok));
    let first_ms = world.governance().pauses[0].until_ms;
    let change = pause(&world, PauseScope::All, 60_000);
    assert_eq!(with(&mut world, change), Ok(Outcome::Ok));
    let record = world.governance();
    assert_eq!(record.pauses.len(), 1, "a second one replaces the first");
    assert!(record.pauses[0].until_ms < first_ms);
}

#[test]
fn there_are_64_pauses_at_most_and_those_that_are_over_make_room() {
    let mut world = governed(&[0], 1);
    for number in 0..64 {
        let change = pause(&world, of(number), DAY_MS);
        assert_eq!(with(&mut world, change), Ok(Outcome::Ok));
    }
    let change = pause(&world, of(64), DAY_MS);
    assert_eq!(with(&mut world, change), failed(FailureCode::BadPause));
    world.header.time_ms += DAY_MS;
    let change = pause(&world, of(64), DAY_MS);
    assert_eq!(with(&mut world, change), Ok(Outcome::Ok));
    assert_eq!(world.governance().pauses.len(), 1);
}
