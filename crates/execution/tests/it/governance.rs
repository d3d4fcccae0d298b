//! Seats of operators, their proposals and approvals, and what boundaries take of them (V36 to V45).

use crate::common::{self, *};
use rustorium_crypto::{parameters_hash, set_hash};
use rustorium_execution::*;
use rustorium_types::*;

const OK: Result<Outcome, Skip> = Ok(Outcome::Ok);

/// Seats 0 to 2 of the keys of accounts 0 to 2, two of which decide.
fn three() -> World {
    governed(&[0, 1, 2], 2)
}

/// Has two seats make a change that waits for nothing.
fn decide(world: &mut World, change: GovernanceChange) {
    let number = common::decide(world, &change);
    assert_eq!(world.proposal(number), None, "a proposal that was made is gone");
}

fn longer(world: &World, epoch_ms: u64) -> GovernanceChange {
    set_parameters(world, |p| p.epoch_ms = epoch_ms)
}

/// V36: seats exist without anything being written, and only seats govern.
#[test]
fn seats_are_those_of_the_parameters_until_they_act() {
    let mut world = three();
    assert!(!world.state.contains_key(&governance_key()));
    let record = world.governance();
    assert_eq!(record.seats.iter().map(|seat| seat.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((record.quorum, record.generation, record.next_proposal), (2, 0, 1));
    let storage = world.storage_left(0);
    let change = longer(&world, 7_200_000);
    let proposed = propose(&world, change.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    assert_eq!(world.storage_left(0), storage, "no account pays");
    let record = world.governance();
    assert_eq!(record.seat(0).unwrap().nonce, 1);
    assert_eq!(
        record.open.as_slice(),
        [OpenProposal { number: 1, seat: 0, generation: 0, until_ms: record.open[0].until_ms }]
    );
    let open = world.proposal(1).unwrap();
    assert_eq!((open.change, open.approvals.as_slice()), (change, &[SeatApproval { seat: 0, generation: 0 }][..]));
}

#[test]
fn a_quorum_of_seats_changes_the_parameters_from_the_next_epoch_on() {
    let mut world = three();
    let change = longer(&world, 7_200_000);
    decide(&mut world, change);
    assert_eq!(world.wanted().epoch_ms, 7_200_000);
    assert_ne!(world.genesis.parameters.epoch_ms, 7_200_000, "not in this epoch");
    assert_eq!(world.next_epoch(), Change::Parameters);
    assert_eq!(world.genesis.parameters.epoch_ms, 7_200_000);
    assert_eq!(world.next_epoch(), Change::None);
}

/// V10: a boundary changes one thing, parameters before operators before the committee.
#[test]
fn what_is_wanted_together_comes_at_one_boundary_after_the_other() {
    let mut world = three();
    let keys = validator_key(3).public();
    decide(&mut world, GovernanceChange::RemoveValidator { validator_key: keys });
    let change = set_operators(&world, &[0, 1, 3], 2);
    decide(&mut world, change);
    let change = longer(&world, 7_200_000);
    decide(&mut world, change);
    let before = world.genesis.parameters.clone();
    assert_eq!(world.next_epoch(), Change::Parameters);
    assert_eq!(world.genesis.parameters, Parameters { epoch_ms: 7_200_000, ..before });
    assert_eq!(world.next_epoch(), Change::Operators);
    assert_eq!(world.genesis.parameters, world.wanted());
    let stays = world.header.validator_set;
    assert_eq!(world.next_epoch(), Change::Committee);
    assert_ne!(world.header.validator_set, stays);
    assert_eq!(world.header.validator_set, set_hash(&world.committee_record().target));
    assert_eq!(world.next_epoch(), Change::None);
}

/// V36: the kinds of senders stay apart.
#[test]
fn who_is_not_a_seat_governs_nothing_and_a_seat_does_nothing_else() {
    let mut world = three();
    let wrong = Outcome::Failed { code: FailureCode::WrongSender, operation: 0 };
    for operation in [
        propose(&world, longer(&world, 7_200_000)),
        approve(1, &longer(&world, 7_200_000)),
        Operation2::Withdraw { number: 1 },
    ] {
        let of_an_account = with_operations(alone(0), &world.sign(0, vec![]), vec![operation]);
        assert_eq!(world.run_listed(&[of_an_account]).receipts[0].outcome, wrong);
    }
    let put = Operation2::Put { namespace: None, key: key(b"k"), value: Value::default() };
    let end = Operation2::EndEpoch { epoch: Epoch(0) };
    for operation in [put, end] {
        assert_eq!(world.seat_does(0, &alone(0), operation), failed(FailureCode::WrongSender));
    }
    // In the form of version 1, too.
    let mut first = world.sign_at(0, 2, vec![issue(b"GOLD", 1, 1)]);
    first.body.sender = SystemSender::Seat(0).id();
    assert_eq!(world.run(&[first]).receipts[0].outcome, wrong);
}

#[test]
fn a_seat_is_admitted_by_its_authority_nonce_expiry_and_room() {
    let mut world = three();
    let withdraw = || Operation2::Withdraw { number: 9 };
    assert_eq!(world.seat_does(0, &alone(1), withdraw()), Err(Skip::WrongKey));
    assert_eq!(world.seat_does(0, &authority_of(1, &[0, 1]), withdraw()), Err(Skip::WrongKey));
    assert_eq!(world.seat_does(3, &alone(3), withdraw()), Err(Skip::UnknownSender));
    let again = world.of_seat(0, &alone(0), vec![withdraw()]);
    let two = [again.clone(), again];
    let execution = world.run_listed(&two);
    assert_eq!((execution.receipts.len(), execution.skipped[0].1), (1, Skip::NonceUsed { expected: 1 }));
    assert_eq!(execution.touched, [(SystemSender::Seat(0).id(), 1)]);
    let mut late = world.next_header();
    late.time_ms += 60_000;
    let expired = world.look_at(&late, &[world.of_seat(0, &alone(0), vec![withdraw()])]);
    assert_eq!(expired.skipped[0].1, Skip::Expired);
    // 120 operations at once, and one more every 30 seconds.
    let many = |world: &World, count: usize| world.of_seat(0, &alone(0), vec![withdraw(); count]);
    let execution = world.run_listed(&[many(&world, 120)]);
    assert_eq!(execution.skipped[0].1, Skip::QuotaTooSmall { left: 119 });
    assert_eq!(world.run_listed(&[many(&world, 119)]).receipts.len(), 1);
    assert!(matches!(world.seat_does(0, &alone(0), withdraw()), Err(Skip::QuotaTooSmall { left: 0 })));
    world.header.time_ms += 30_000;
    assert_eq!(world.seat_does(0, &alone(0), withdraw()), failed(FailureCode::NoSuchProposal));
    assert!(matches!(world.seat_does(0, &alone(0), withdraw()), Err(Skip::QuotaTooSmall { left: 0 })));
    assert_eq!(world.seat_does(1, &alone(1), withdraw()), failed(FailureCode::NoSuchProposal), "each has its own");
}

/// V39: an approval is of one number and one change, and counts once.
#[test]
fn approvals_are_of_what_was_shown_and_count_once() {
    let mut world = governed(&[0, 1, 2, 3], 3);
    let change = longer(&world, 7_200_000);
    let proposed = propose(&world, change.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    let other = longer(&world, 3_600_000);
    assert_eq!(world.seat_does(1, &alone(1), approve(1, &other)), failed(FailureCode::NoSuchProposal));
    assert_eq!(world.seat_does(1, &alone(1), approve(2, &change)), failed(FailureCode::NoSuchProposal));
    assert_eq!(world.seat_does(0, &alone(0), approve(1, &change)), failed(FailureCode::AlreadyApproved));
    assert_eq!(world.seat_does(1, &alone(1), approve(1, &change)), OK);
    assert_eq!(world.seat_does(1, &alone(1), approve(1, &change)), failed(FailureCode::AlreadyApproved));
    assert_eq!(world.wanted(), world.genesis.parameters, "two of three");
    // Withdrawn, and given again.
    assert_eq!(world.seat_does(1, &alone(1), Operation2::Withdraw { number: 1 }), OK);
    assert_eq!(world.seat_does(1, &alone(1), Operation2::Withdraw { number: 1 }), failed(FailureCode::NoSuchProposal));
    assert_eq!(world.seat_does(2, &alone(2), approve(1, &change)), OK);
    assert_eq!(world.wanted(), world.genesis.parameters, "still two of three");
    assert_eq!(world.seat_does(1, &alone(1), approve(1, &change)), OK);
    assert_eq!(world.wanted().epoch_ms, 7_200_000);
    assert_eq!(world.seat_does(3, &alone(3), approve(1, &change)), failed(FailureCode::NoSuchProposal));
}

#[test]
fn a_proposal_ends_with_its_proposer_and_with_its_time() {
    let mut world = three();
    let change = longer(&world, 7_200_000);
    let proposed = propose(&world, change.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed.clone()), OK);
    assert_eq!(world.seat_does(0, &alone(0), Operation2::Withdraw { number: 1 }), OK);
    assert_eq!((world.proposal(1), world.governance().open.len()), (None, 0));
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    world.header.time_ms += 3_600_000;
    assert_eq!(world.seat_does(1, &alone(1), approve(2, &change)), failed(FailureCode::NoSuchProposal));
    assert_eq!((world.proposal(2), world.governance().open.len()), (None, 0), "any seat's transaction removes it");
    let until = |until_ms| Operation2::Propose { change: Box::new(longer(&three(), 7_200_000)), until_ms };
    let now_ms = world.next_header().time_ms;
    assert_eq!(world.seat_does(0, &alone(0), until(now_ms)), failed(FailureCode::BadTime));
    let week_ms = 7 * 24 * 3_600_000;
    let far_ms = world.next_header().time_ms + week_ms + 1;
    assert_eq!(world.seat_does(0, &alone(0), until(far_ms)), failed(FailureCode::BadTime));
    let far_ms = world.next_header().time_ms + week_ms;
    assert_eq!(world.seat_does(0, &alone(0), until(far_ms)), OK);
}

/// V42: one seat can't take the room of the others.
#[test]
fn a_seat_has_four_open_proposals() {
    let mut world = three();
    let change = |hours: u64| longer(&three(), hours * 3_600_000);
    for hours in 1..=4 {
        let proposed = propose(&world, change(hours + 1));
        assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    }
    let fifth = propose(&world, change(9));
    assert_eq!(world.seat_does(0, &alone(0), fifth.clone()), failed(FailureCode::TooManyProposals));
    assert_eq!(world.seat_does(1, &alone(1), fifth.clone()), OK);
    assert_eq!(world.seat_does(0, &alone(0), Operation2::Withdraw { number: 3 }), OK);
    assert_eq!(world.seat_does(0, &alone(0), fifth), OK);
}

/// V40: what a seat approved under another authority, and what was proposed under other seats, counts no more.
#[test]
fn approvals_of_former_authorities_and_proposals_of_former_seats_do_not_count() {
    let mut world = governed(&[0, 1, 2, 3], 3);
    let change = longer(&world, 7_200_000);
    let proposed = propose(&world, change.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    assert_eq!(world.seat_does(1, &alone(1), approve(1, &change)), OK);
    // The keys of seat 1 were stolen; two of three others act for it from now on.
    let shared = authority_of(2, &[10, 11, 12]);
    assert_eq!(world.seat_does(1, &alone(1), rotate(&shared)), OK);
    assert_eq!(world.seat_does(1, &alone(1), approve(1, &change)), Err(Skip::WrongKey));
    assert_eq!(world.seat_does(2, &alone(2), approve(1, &change)), OK);
    assert_eq!(world.wanted(), world.genesis.parameters, "the stolen approval is gone");
    assert_eq!(world.seat_does(1, &shared, approve(1, &change)), OK);
    assert_eq!(world.wanted().epoch_ms, 7_200_000);
    // Other seats: the proposals of the former ones are void.
    let open = longer(&world, 9_000_000);
    let proposed = propose(&world, open.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    let change = set_operators(&world, &[0, 1, 2], 2);
    let number = world.governance().next_proposal;
    let proposed = propose(&world, change.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    assert_eq!(world.seat_does(1, &shared, approve(number, &change)), OK);
    assert_eq!(world.seat_does(2, &alone(2), approve(number, &change)), OK);
    assert_eq!((world.next_epoch(), world.next_epoch()), (Change::Parameters, Change::Operators));
    assert_eq!(world.governance().generation, 1);
    assert_eq!(world.seat_does(3, &alone(3), approve(2, &open)), Err(Skip::UnknownSender));
    let late = world.seat_does(1, &shared, approve(2, &open));
    assert!(late == failed(FailureCode::StaleProposal) || late == failed(FailureCode::NoSuchProposal), "{late:?}");
    assert_eq!(world.seat_does(1, &alone(1), approve(2, &open)), Err(Skip::WrongKey), "the seat keeps its authority");
}

/// V40, V45: a boundary that brings another quorum of the same seats makes it count, and voids what is open.
#[test]
fn another_quorum_of_the_same_seats_counts_from_its_epoch_on() {
    let mut world = governed(&[0, 1, 2, 3, 4], 3);
    let (open, five) = (longer(&world, 9_000_000), set_operators(&world, &[0, 1, 2, 3, 4], 4));
    let proposed = propose(&world, open.clone());
    assert_eq!(world.seat_does(4, &alone(4), proposed), OK);
    let proposed = propose(&world, five.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    for seat in [1, 2] {
        assert_eq!(world.seat_does(seat, &alone(seat as usize), approve(2, &five)), OK);
    }
    assert_eq!(world.governance().quorum, 3, "not before the boundary");
    assert_eq!(world.next_epoch(), Change::Operators);
    let record = world.governance();
    assert_eq!((record.quorum, record.generation, record.live(world.header.time_ms).count()), (4, 1, 0));
    assert_eq!(record.seats.iter().map(|seat| seat.number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(world.seat_does(3, &alone(3), approve(1, &open)), failed(FailureCode::NoSuchProposal));
    let change = longer(&world, 9_000_000);
    let proposed = propose(&world, change.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    for seat in [1, 2] {
        assert_eq!(world.seat_does(seat, &alone(seat as usize), approve(3, &change)), OK);
    }
    assert_eq!(world.wanted(), world.genesis.parameters, "three of four");
    assert_eq!(world.seat_does(3, &alone(3), approve(3, &change)), OK);
    assert_eq!(world.wanted().epoch_ms, 9_000_000);
}

/// V52: a seat whose keys are stolen or lost gets another key by the others.
#[test]
fn the_other_seats_replace_one_whose_keys_are_lost() {
    let mut world = three();
    let change = set_operators(&world, &[0, 1, 7], 2);
    decide(&mut world, change);
    assert_eq!(world.next_epoch(), Change::Operators);
    let record = world.governance();
    assert_eq!(record.seats.iter().map(|seat| seat.number).collect::<Vec<_>>(), [0, 1, 3], "no number is used twice");
    assert_eq!(world.seat_does(2, &alone(2), Operation2::Withdraw { number: 1 }), Err(Skip::UnknownSender));
    let change = longer(&world, 7_200_000);
    let proposed = propose(&world, change.clone());
    let number = world.governance().next_proposal;
    assert_eq!(world.seat_does(3, &alone(7), proposed), OK);
    assert_eq!(world.seat_does(1, &alone(1), approve(number, &change)), OK);
    assert_eq!(world.wanted().epoch_ms, 7_200_000);
    // The key that left and comes back has another seat.
    let change = set_operators(&world, &[0, 1, 2], 2);
    decide(&mut world, change);
    assert_eq!((world.next_epoch(), world.next_epoch()), (Change::Parameters, Change::Operators));
    assert_eq!(world.governance().seats[2].number, 4);
}

/// V12: of two changes of the same parameters the second is made anew.
#[test]
fn a_change_of_other_parameters_than_those_wanted_now_is_refused() {
    let mut world = three();
    let (one, other) = (longer(&world, 7_200_000), set_parameters(&world, |p| p.claim_lag_max = 100));
    let proposed = propose(&world, other.clone());
    assert_eq!(world.seat_does(2, &alone(2), proposed), OK);
    decide(&mut world, one);
    assert_eq!(world.seat_does(1, &alone(1), approve(1, &other)), failed(FailureCode::StaleProposal));
    let again = set_parameters(&world, |p| p.claim_lag_max = 100);
    decide(&mut world, again);
    let wanted = world.wanted();
    assert_eq!((wanted.epoch_ms, wanted.claim_lag_max), (7_200_000, 100));
}

/// V8, V44, V45: the result is checked when it is proposed.
#[test]
fn what_could_not_be_undone_is_not_even_proposed() {
    let mut world = three();
    let base = parameters_hash(&world.wanted());
    let operators = |numbers: &[usize], quorum| set_operators(&three(), numbers, quorum);
    let twice = operators(&[0, 1, 1], 2);
    let parameters = Parameters { operator_quorum: 3, ..world.wanted() };
    let changes = [
        longer(&world, 1),
        set_parameters(&world, |p| p.expiry_ahead_ms_max = 1),
        set_parameters(&world, |p| p.state_roots = false),
        set_parameters(&world, |p| p.root_lag_max = 0),
        set_parameters(&world, |p| p.min_epoch_ms = None),
        GovernanceChange::SetParameters { base, parameters },
        operators(&[], 0),
        operators(&[0, 1, 2], 1),
        operators(&[0, 1, 2], 3),
        operators(&[0, 1], 1),
        twice,
    ];
    for change in changes {
        let proposed = propose(&world, change.clone());
        assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::BadParameters), "{change:?}");
    }
    let small = GovernanceChange::SetOperators { base, operators: BoundedVec::new(vec![[0; 32]]).unwrap(), quorum: 1 };
    let proposed = propose(&world, small);
    assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::NotPossessed));
    let none = GovernanceChange::RemoveValidator { validator_key: [9; 32] };
    let proposed = propose(&world, none);
    assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::NoSuchValidator));
}

/// A change that was possible when it was proposed, and isn't any more, isn't made.
#[test]
fn the_deciding_approval_checks_again() {
    let mut world = three();
    let remove = |index: u8| GovernanceChange::RemoveValidator { validator_key: validator_key(index).public() };
    let proposed = propose(&world, remove(3));
    assert_eq!(world.seat_does(2, &alone(2), proposed), OK);
    for index in 0..3 {
        decide(&mut world, remove(index));
    }
    assert_eq!(world.seat_does(1, &alone(1), approve(1, &remove(3))), failed(FailureCode::CommitteeSize));
    assert_eq!(world.committee_record().target.len(), 1);
}

/// With one seat a proposal is a decision.
#[test]
fn one_seat_decides_alone() {
    let mut world = governed(&[0], 1);
    let proposed = propose(&world, GovernanceChange::EndEpoch { epoch: Epoch(0) });
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    assert_eq!(world.committee_record().end_asked, Some(Epoch(0)));
    assert_eq!((world.governance().open.len(), world.governance().next_proposal), (0, 2));
    let late = propose(&world, GovernanceChange::EndEpoch { epoch: Epoch(1) });
    assert_eq!(world.seat_does(0, &alone(0), late), failed(FailureCode::WrongEpoch));
}

/// V37: an operator's account counts only while its key acts for its seat alone.
#[test]
fn the_former_key_of_a_seat_changes_no_committee() {
    let mut world = three();
    world.ok(0, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    assert_eq!(world.seat_does(0, &alone(0), rotate(&alone(9))), OK);
    world.ok(1, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    assert_eq!(world.committee_record().end_asked, None, "the first approval is no more one");
    world.fails(0, vec![Operation::EndEpoch { epoch: Epoch(0) }], FailureCode::NotAnOperator);
    world.ok(2, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    assert_eq!(world.committee_record().end_asked, Some(Epoch(0)));
}

/// V8: a seat that no transaction could act for would be lost.
#[test]
fn a_seat_has_no_authority_that_fits_no_batch() {
    let mut world = three();
    world.genesis.parameters.batch_transactions_max = 2;
    let three_of_three = authority_of(3, &[10, 11, 12]);
    assert_eq!(world.seat_does(0, &alone(0), rotate(&three_of_three)), failed(FailureCode::BadParameters));
    assert_eq!(world.seat_does(0, &alone(0), rotate(&authority_of(2, &[10, 11, 12]))), OK);
}

/// The records that a chain may have come back from their bytes, and the largest fits a leaf.
#[test]
fn the_largest_records_fit_their_price() {
    let seat = |number: u32| Seat {
        number,
        first_key: [number as u8; 32],
        signer: Signer::Many(Hash([number as u8; 32])),
        generation: u32::MAX,
        nonce: u64::MAX,
        paid_ms: u64::MAX,
    };
    let open = OpenProposal { number: u64::MAX, seat: 1, generation: 2, until_ms: 3 };
    let pause = Pause { scope: PauseScope::Account(account(1)), until_ms: u64::MAX };
    let record = GovernanceRecord {
        generation: 1,
        quorum: 15,
        seats: BoundedVec::new((0..16).map(seat).collect()).unwrap(),
        next_seat: 16,
        next_proposal: 5,
        open: BoundedVec::new(vec![open; 64]).unwrap(),
        pauses: BoundedVec::new(vec![pause; 64]).unwrap(),
    };
    let bytes = record.to_bytes();
    assert!(bytes.len() <= 12 * 1024, "{}", bytes.len());
    assert_eq!(GovernanceRecord::from_bytes(&bytes), Ok(record));
    assert!(GovernanceRecord::from_bytes(&bytes[1..]).is_err());
}
