//! Other operators that validators' owners decide on in place of lost ones (V48).

use crate::common::*;
use rustorium_crypto::{change_hash, parameters_hash};
use rustorium_execution::*;
use rustorium_types::*;

const OK: Result<Outcome, Skip> = Ok(Outcome::Ok);
const DAY_MS: u64 = 24 * 3_600_000;
const RECOVER_MS: u64 = 30 * DAY_MS;

/// Seats 0 to 2 of the keys of accounts 0 to 2, two of which decide; four validators, each of an owner.
fn world() -> World {
    let mut world = governed(&[0, 1, 2], 2);
    world.genesis.parameters.owners_recover_ms = Some(RECOVER_MS);
    world.header.parameters = parameters_hash(&world.genesis.parameters);
    world
}

/// A wish for operators with the keys of these accounts.
fn wish(world: &World, numbers: &[usize], quorum: u8) -> Operation2 {
    let GovernanceChange::SetOperators { base, operators, quorum } = set_operators(world, numbers, quorum) else {
        unreachable!("so it is made")
    };
    Operation2::RecoverOperators { base, operators, quorum }
}

fn wishes(world: &World) -> Vec<(u32, Hash)> {
    let held = Wishes::read(&MemState(&world.state)).unwrap();
    held.counted(&world.committee_record(), world.header.time_ms).map(|wish| (wish.number, wish.change)).collect()
}

/// Has the owners of the first three of four validators wish the same.
fn recovered(world: &mut World, numbers: &[usize], quorum: u8) {
    let operation = wish(world, numbers, quorum);
    for number in 0..3 {
        assert_eq!(world.owner_does(number.into(), &owner(number), operation.clone()), OK);
    }
}

#[test]
fn a_quorum_of_owners_replaces_operators_after_the_wait() {
    let mut world = world();
    let operation = wish(&world, &[5, 6, 7], 2);
    let hash = change_hash(&set_operators(&world, &[5, 6, 7], 2));
    assert_eq!(world.owner_does(3, &owner(3), operation.clone()), OK);
    assert_eq!(world.owner_does(3, &owner(3), operation.clone()), failed(FailureCode::AlreadyApproved));
    assert_eq!(world.owner_does(0, &owner(0), operation.clone()), OK);
    assert_eq!(wishes(&world), [(3, hash), (0, hash)]);
    assert_eq!(
        (world.committee_record().wanted, world.next_epoch()),
        (None, Change::None),
        "two of four decide nothing"
    );
    assert_eq!(world.owner_does(1, &owner(1), operation), OK);
    assert!(wishes(&world).is_empty() && !world.state.contains_key(&wishes_key()), "what is decided is forgotten");
    let from_ms = world.header.time_ms + RECOVER_MS;
    let record = world.committee_record();
    assert_eq!(record.recovered_from_ms(&world.genesis.parameters), Some(from_ms));
    // Other changes come while the operators wait.
    let change = GovernanceChange::RemoveValidator { validator_key: validator_key(3).public() };
    decide(&mut world, &change);
    assert_eq!(world.next_epoch(), Change::Committee);
    world.header.time_ms = from_ms - 1;
    assert_eq!(world.next_epoch(), Change::None);
    world.header.time_ms = from_ms;
    assert_eq!(world.next_epoch(), Change::Operators);
    assert_eq!(world.governance().seats.iter().map(|seat| seat.number).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(world.committee_record().recovered_from_ms(&world.genesis.parameters), None);
    let change = set_parameters(&world, |p| p.claim_lag_max = 77);
    let number = world.governance().next_proposal;
    let proposed = propose(&world, change.clone());
    assert_eq!(world.seat_does(3, &alone(5), proposed), OK, "the new seats govern");
    assert_eq!(world.seat_does(4, &alone(6), approve(number, &change)), OK);
    assert_eq!(world.next_epoch(), Change::Parameters);
}

/// Owners who are too few decide nothing, whatever each wishes and however often.
#[test]
fn only_the_last_wish_of_each_present_owner_counts() {
    let mut world = world();
    let (one, other) = (wish(&world, &[5, 6], 2), wish(&world, &[5, 7], 2));
    for (number, operation) in [(0, &one), (1, &one), (0, &other), (2, &other), (2, &one)] {
        assert_eq!(world.owner_does(number.into(), &owner(number), operation.clone()), OK);
    }
    assert_eq!(wishes(&world).len(), 3);
    assert_eq!(world.committee_record().wanted, None, "two wish one, one wishes the other");
    // The validator of a wish gets another owner, who wishes nothing yet.
    let change = world.set_owner(1, &new_key(200));
    assert_eq!(world.owner_does(1, &owner(1), change), OK);
    assert_eq!(wishes(&world).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(world.owner_does(0, &owner(0), one.clone()), OK);
    assert_eq!(world.committee_record().wanted, None);
    assert_eq!(world.owner_does(1, &new_key(200), one), OK);
    assert!(world.committee_record().wanted.is_some());
}

#[test]
fn a_wish_counts_for_seven_days() {
    let mut world = world();
    let operation = wish(&world, &[5, 6], 2);
    assert_eq!(world.owner_does(0, &owner(0), operation.clone()), OK);
    assert_eq!(world.owner_does(1, &owner(1), operation.clone()), OK);
    world.header.time_ms += WISH_MS_MAX;
    assert_eq!(world.owner_does(2, &owner(2), operation.clone()), OK);
    assert_eq!((wishes(&world).len(), world.committee_record().wanted.is_some()), (1, false));
    for number in [0, 1] {
        assert_eq!(world.owner_does(number.into(), &owner(number), operation.clone()), OK);
    }
    assert!(world.committee_record().wanted.is_some());
}

/// V48: seats that aren't lost decide otherwise; no wish undoes what they decided.
#[test]
fn seats_that_are_not_lost_keep_their_power() {
    let mut world = world();
    recovered(&mut world, &[5, 6, 7], 2);
    let back = set_operators(&world, &[0, 1, 2], 2);
    decide(&mut world, &back);
    world.header.time_ms += 2 * RECOVER_MS;
    assert_eq!(world.next_epoch(), Change::None);
    // Owners leave alone a decision of seats that isn't in force yet.
    let change = set_operators(&world, &[0, 1, 8], 2);
    decide(&mut world, &change);
    let operation = wish(&world, &[5, 6, 7], 2);
    assert_eq!(world.owner_does(0, &owner(0), operation), failed(FailureCode::NotLost));
    let own = wish(&world, &[0, 1, 2], 2);
    assert_eq!(world.owner_does(0, &owner(0), own), failed(FailureCode::NotLost));
    assert_eq!(world.next_epoch(), Change::Operators);
    let operation = wish(&world, &[5, 6, 7], 2);
    assert_eq!(world.owner_does(0, &owner(0), operation), OK);
}

/// Owners correct what they decided; the time begins anew.
#[test]
fn owners_decide_again_before_the_time() {
    let mut world = world();
    recovered(&mut world, &[5, 6, 7], 2);
    world.header.time_ms += DAY_MS;
    let same = wish(&world, &[5, 6, 7], 2);
    assert_eq!(world.owner_does(0, &owner(0), same), failed(FailureCode::BadParameters));
    recovered(&mut world, &[5, 6, 8], 2);
    let from_ms = world.header.time_ms + RECOVER_MS;
    assert_eq!(world.committee_record().operators_from_ms(), from_ms);
    // A quorum of seats has no say in the wait but to decide otherwise.
    let same = set_operators(&world, &[5, 6, 8], 2);
    decide(&mut world, &same);
    assert_eq!(world.committee_record().operators_from_ms(), from_ms);
}

#[test]
fn what_cannot_be_wished_fails() {
    let mut world = world();
    let base = parameters_hash(&world.wanted());
    let of = |keys: Vec<PublicKey>, quorum| Operation2::RecoverOperators {
        base,
        operators: BoundedVec::new(keys).unwrap(),
        quorum,
    };
    let key = |number: usize| signer(number).public();
    for (operation, code) in [
        (of(vec![key(5), key(6)], 1), FailureCode::BadParameters),
        (of(vec![key(5), key(5)], 2), FailureCode::BadParameters),
        (of(Vec::new(), 0), FailureCode::BadParameters),
        (of(vec![key(0), key(1), key(2)], 2), FailureCode::BadParameters),
        (of(vec![key(5), [0; 32]], 2), FailureCode::NotPossessed),
        (
            Operation2::RecoverOperators {
                base: Hash::ZERO,
                operators: BoundedVec::new(vec![key(5)]).unwrap(),
                quorum: 1,
            },
            FailureCode::StaleProposal,
        ),
    ] {
        assert_eq!(world.owner_does(0, &owner(0), operation), failed(code));
    }
    let good = of(vec![key(5)], 1);
    assert_eq!(world.seat_does(0, &alone(0), good.clone()), failed(FailureCode::WrongSender));
    world.genesis.parameters.owners_recover_ms = Some(0);
    assert_eq!(world.owner_does(0, &owner(0), good), failed(FailureCode::NotLost), "on this chain owners can't");
}

/// The wait of a decision of seats counts here, too, if it is the longer one.
#[test]
fn owners_wait_no_shorter_than_seats() {
    let mut world = world();
    world.genesis.parameters.operators_delay_ms = Some(30 * DAY_MS);
    world.genesis.parameters.owners_recover_ms = Some(DAY_MS);
    world.header.parameters = parameters_hash(&world.genesis.parameters);
    recovered(&mut world, &[5, 6, 7], 2);
    assert_eq!(world.committee_record().operators_from_ms(), world.header.time_ms + 30 * DAY_MS);
}
