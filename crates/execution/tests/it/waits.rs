//! The wait between a decision for other operators and the boundary that may take them (V46).

use crate::common::*;
use rustorium_execution::*;
use rustorium_types::*;

const OK: Result<Outcome, Skip> = Ok(Outcome::Ok);
const DAY_MS: u64 = 24 * 3_600_000;

/// Seats 0 to 2 of the keys of accounts 0 to 2, two of which decide; new operators wait a day.
fn world() -> World {
    let mut world = governed(&[0, 1, 2], 2);
    world.genesis.parameters.operators_delay_ms = Some(DAY_MS);
    world.header.parameters = rustorium_crypto::parameters_hash(&world.genesis.parameters);
    world
}

fn delay(world: &World, ms: u64) -> GovernanceChange {
    set_parameters(world, |p| p.operators_delay_ms = Some(ms))
}

fn operators(world: &World) -> usize {
    world.genesis.parameters.operators.len()
}

#[test]
fn new_operators_wait_and_nothing_else_does() {
    let mut world = world();
    let change = set_operators(&world, &[0, 1], 2);
    let number = decide(&mut world, &change);
    let from_ms = world.header.time_ms + DAY_MS;
    assert_eq!(world.committee_record().operators_from_ms(), from_ms);
    assert!(world.proposal(number).unwrap().made, "the third seat can still see and approve it");
    assert_eq!(world.next_epoch(), Change::None);
    let remove = GovernanceChange::RemoveValidator { validator_key: validator_key(3).public() };
    decide(&mut world, &remove);
    let change = set_parameters(&world, |p| p.claim_lag_max = 77);
    decide(&mut world, &change);
    assert_eq!((world.next_epoch(), world.next_epoch()), (Change::Parameters, Change::Committee));
    assert_eq!((world.genesis.parameters.claim_lag_max, operators(&world)), (77, 3));
    world.header.time_ms = from_ms - 1;
    assert_eq!(world.next_epoch(), Change::None);
    assert_eq!(world.seat_does(2, &alone(2), Operation2::Withdraw { number: 99 }), failed(FailureCode::NoSuchProposal));
    world.header.time_ms = from_ms;
    assert_eq!((world.next_epoch(), operators(&world)), (Change::Operators, 2));
}

/// All seats together waive the wait; who approves twice doesn't count twice.
#[test]
fn the_last_seat_waives_the_wait() {
    let mut world = world();
    let change = set_operators(&world, &[0, 1], 2);
    let number = decide(&mut world, &change);
    assert_eq!(world.seat_does(0, &alone(0), approve(number, &change)), failed(FailureCode::AlreadyApproved));
    assert_eq!(world.next_epoch(), Change::None);
    assert_eq!(world.seat_does(2, &alone(2), approve(number, &change)), OK);
    assert_eq!((world.proposal(number), world.governance().open.len()), (None, 0));
    assert_eq!((world.committee_record().wait, world.next_epoch()), (None, Change::Operators));
    // Two of two are all.
    let change = set_operators(&world, &[0, 1, 5], 2);
    decide(&mut world, &change);
    assert_eq!((world.committee_record().wait, world.next_epoch()), (None, Change::Operators));
}

/// An approval under a former authority doesn't count, so it waives nothing either.
#[test]
fn a_stolen_approval_waives_nothing() {
    let mut world = world();
    let change = set_operators(&world, &[0, 1, 7], 2);
    let number = decide(&mut world, &change);
    assert_eq!(world.seat_does(0, &alone(0), rotate(&alone(9))), OK);
    assert_eq!(world.seat_does(2, &alone(2), approve(number, &change)), OK);
    assert_eq!(world.next_epoch(), Change::None);
    assert_eq!(world.seat_does(0, &alone(9), approve(number, &change)), OK);
    assert_eq!(world.next_epoch(), Change::Operators);
}

/// A decision is undone by another one, not by taking approvals back.
#[test]
fn a_decision_that_waits_is_replaced_and_not_withdrawn() {
    let mut world = world();
    let back = set_operators(&world, &[0, 1, 2], 2);
    let first = set_operators(&world, &[0, 1], 2);
    let number = decide(&mut world, &first);
    let GovernanceChange::SetOperators { operators, quorum, .. } = back else { unreachable!("so it is made") };
    let base = rustorium_crypto::parameters_hash(&world.wanted());
    let back = GovernanceChange::SetOperators { base, operators, quorum };
    decide(&mut world, &back);
    world.header.time_ms += 2 * DAY_MS;
    assert_eq!(world.next_epoch(), Change::None);
    // Another one waits for its own time, and the former one's approvals waive nothing of it.
    world.header.time_ms -= 2 * DAY_MS;
    let other = set_operators(&world, &[0, 7, 8], 2);
    let second = decide(&mut world, &other);
    assert_eq!(world.seat_does(2, &alone(2), approve(number, &first)), OK);
    assert_eq!(world.next_epoch(), Change::None);
    assert_eq!(world.seat_does(0, &alone(0), Operation2::Withdraw { number: second }), OK);
    assert_eq!(world.proposal(second), None);
    world.header.time_ms += DAY_MS;
    assert_eq!(world.next_epoch(), Change::Operators, "what was decided stays decided");
    assert_eq!(world.governance().seats.iter().map(|seat| seat.number).collect::<Vec<_>>(), [0, 3, 4]);
}

/// A quorum can't take the wait away first.
#[test]
fn a_wait_that_is_shortened_lasts_as_long_as_it_would_have() {
    let mut world = world();
    let change = delay(&world, 0);
    decide(&mut world, &change);
    let least_ms = world.header.time_ms + DAY_MS;
    assert_eq!(world.next_epoch(), Change::Parameters);
    assert_eq!(world.genesis.parameters.operators_delay_ms, Some(0));
    let change = set_operators(&world, &[0, 1], 2);
    let number = decide(&mut world, &change);
    assert_eq!(world.committee_record().operators_from_ms(), least_ms);
    assert_eq!(world.next_epoch(), Change::None);
    world.header.time_ms = least_ms;
    assert_eq!(world.next_epoch(), Change::Operators);
    assert_eq!(world.seat_does(1, &alone(1), Operation2::Withdraw { number }), failed(FailureCode::NoSuchProposal));
    let change = set_operators(&world, &[0, 1, 3], 2);
    decide(&mut world, &change);
    assert_eq!(world.next_epoch(), Change::Operators, "no wait is in force by now");
}

#[test]
fn a_longer_wait_acts_once_it_is_in_force() {
    let mut world = governed(&[0, 1, 2], 2);
    let change = delay(&world, DAY_MS);
    decide(&mut world, &change);
    let change = set_operators(&world, &[0, 1, 7], 2);
    decide(&mut world, &change);
    assert_eq!(world.committee_record().wait, None);
    assert_eq!((world.next_epoch(), world.next_epoch()), (Change::Parameters, Change::Operators));
    let too_long = delay(&world, 31 * DAY_MS);
    let proposed = propose(&world, too_long);
    assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::BadParameters));
}
