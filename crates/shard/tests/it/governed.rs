//! Seats of operators change a running net's parameters and operators, and pause its accounts (V10, V12, V43).

use crate::chain::{self, START_MS, second_of, verified};
use crate::net::{Net, node_key};
use crate::steps::{epoch, goes_on, governed, remove, settle, transition};
use rustorium_crypto::{chain_id, change_hash, id_on, operators_hash, parameters_hash, set_hash};
use rustorium_execution::{Light, Trust};
use rustorium_shard::Event;
use rustorium_shard::context::Context;
use rustorium_stages::decisions::{Decision, Decisions, SeatAct};
use rustorium_storage::Store;
use rustorium_types::*;

const AGE_MS: u64 = 10_000;

/// Account 0's key is the one operator's.
fn net() -> Net {
    Net::of(4, Parameters { min_epoch_ms: Some(AGE_MS), ..governed() })
}

/// Gives a seat's transaction to a node and runs what follows. The seat's authority is the key of an account.
fn seat_does(net: &mut Net, (seat, number): (u32, usize), nonce: u64, operation: Operation2) -> TxId {
    let chain = chain_id(&net.genesis);
    let sender = SystemSender::Seat(seat).id();
    let transaction = second_of(&net.genesis, (&[number], &[number]), sender, nonce, vec![operation]);
    let id = id_on(&chain, &transaction);
    let transactions = verified(chain, vec![transaction]);
    net.ports(1).events.push_back(Event::Transactions { transactions, from_client: true });
    settle(net);
    id
}

fn propose(net: &Net, change: GovernanceChange) -> Operation2 {
    Operation2::Propose { change: Box::new(change), until_ms: net.now.wall_ms + 3_600_000 }
}

fn outcome(net: &Net, id: &TxId) -> Option<Outcome> {
    net.store(0).transaction(id).unwrap().map(|stored| stored.receipt.outcome)
}

/// Advances to the end of the epoch that began at this time.
fn to_the_age(net: &mut Net, since_ms: u64) {
    let at_ms = since_ms + AGE_MS + 100;
    net.advance(at_ms.saturating_sub(net.now.wall_ms) * 1_000);
    settle(net);
}

fn longer(net: &Net, epoch_ms: u64) -> GovernanceChange {
    let base = parameters_hash(&net.genesis.parameters);
    GovernanceChange::SetParameters { base, parameters: Parameters { epoch_ms, ..net.genesis.parameters.clone() } }
}

/// Returns the end of an epoch, which all nodes have.
fn ended(net: &Net, number: u64) -> TermChange {
    let EpochTransition::Term(change) = transition(net, 0, number) else { panic!("the epoch is of version 1") };
    assert!((1..4).all(|index| transition(net, index, number).boundary() == &change.boundary));
    *change
}

#[test]
fn all_nodes_go_on_with_the_parameters_that_seats_want() {
    let mut net = net();
    goes_on(&mut net, 4);
    let proposed = propose(&net, longer(&net, 7_200_000));
    let id = seat_does(&mut net, (0, 0), 0, proposed);
    assert_eq!((outcome(&net, &id), epoch(&net, 0)), (Some(Outcome::Ok), 0));
    to_the_age(&mut net, START_MS);
    assert_eq!((0..4).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [1; 4]);
    goes_on(&mut net, 4);
    let change = ended(&net, 0);
    let new = Parameters { epoch_ms: 7_200_000, ..net.genesis.parameters.clone() };
    assert_eq!((change.term.change, change.term.parameters), (Change::Parameters, parameters_hash(&new)));
    assert_eq!(change.boundary.parameters, parameters_hash(&net.genesis.parameters), "those that end");
    let tip = net.store(2).tip().unwrap().header;
    assert_eq!((tip.epoch, tip.parameters), (Epoch(1), parameters_hash(&new)));
    // A node that starts again, and a light client.
    let again = Context::at(&net.genesis, None, &**net.store(0), &tip).unwrap();
    assert_eq!((again.parameters, again.parameters_since), (new.clone(), Epoch(1)));
    let mut light = Light::new(Trust::genesis(&net.genesis), None);
    assert_eq!(light.follow(&change.into(), net.now.wall_ms), Ok(Epoch(1)));
    assert_eq!((light.newest().parameters, light.newest().epoch_ms), (parameters_hash(&new), Some(7_200_000)));
    // Nothing is wanted any more, so nothing ends the epoch.
    net.advance(2 * AGE_MS * 1_000);
    settle(&mut net);
    assert_eq!(epoch(&net, 0), 1);
}

/// V10, V37: one thing a boundary; the operators' own epoch begins with the boundary that names them.
#[test]
fn operators_change_hands_and_the_committee_follows() {
    let mut net = net();
    goes_on(&mut net, 4);
    let base = parameters_hash(&net.genesis.parameters);
    let operators = BoundedVec::new(vec![chain::signer(7).public()]).unwrap();
    let change = GovernanceChange::SetOperators { base, operators, quorum: 1 };
    let id = {
        let proposed = propose(&net, change);
        seat_does(&mut net, (0, 0), 0, proposed)
    };
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
    let Operation::RemoveValidator { validator_key } = remove(3) else { unreachable!("so it is made") };
    let proposed = propose(&net, GovernanceChange::RemoveValidator { validator_key });
    let id = seat_does(&mut net, (0, 0), 1, proposed);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok), "until the boundary the old seat governs");
    to_the_age(&mut net, START_MS);
    assert_eq!(epoch(&net, 0), 1);
    let first = ended(&net, 0);
    assert_eq!(first.term.change, Change::Operators);
    assert_eq!(set_hash(&first.validators), set_hash(&net.genesis.validators), "the committee stays");
    let new =
        decode::<Parameters>(first.parameters.as_ref().unwrap().as_slice(), limits::PARAMETERS_BYTES_MAX).unwrap();
    assert_eq!((operators_hash(&new), new.epoch_ms), (first.term.operators, net.genesis.parameters.epoch_ms));
    // The former seat is unknown, and the new one acts.
    let proposed = propose(&net, GovernanceChange::EndEpoch { epoch: Epoch(1) });
    let id = seat_does(&mut net, (0, 0), 2, proposed.clone());
    let refused: Vec<_> = net.ports(1).refused.drain(..).map(|(one, why)| (one, why.code())).collect();
    assert_eq!(refused, [(id, "unknown-account")]);
    seat_does(&mut net, (1, 7), 0, proposed);
    assert_eq!(epoch(&net, 0), 2);
    let second = ended(&net, 1);
    assert_eq!((second.term.change, second.validators.len()), (Change::Committee, 3));
    assert!(second.parameters.is_none());
    let mut light = Light::new(Trust::genesis(&net.genesis), None);
    assert_eq!(light.follow(&first.into(), net.now.wall_ms), Ok(Epoch(1)));
    assert_eq!(light.follow(&second.into(), net.now.wall_ms), Ok(Epoch(2)));
    assert_eq!((light.newest().operators, light.newest().validators.len()), (operators_hash(&new), 3));
}

/// A boundary that seats' wishes don't lead to is refused, though it changes one thing.
#[test]
fn a_shown_boundary_of_operators_changes_no_other_parameter() {
    let net = net();
    let context = Context::new(&net.genesis, ShardId::ROOT, None);
    let operators = BoundedVec::new(vec![chain::signer(7).public()]).unwrap();
    let wanted = Parameters { operators, epoch_ms: 7_200_000, ..net.genesis.parameters.clone() };
    let check = |change, new: &Parameters| rustorium_execution::check_new_parameters(&context.parameters, change, new);
    let first = Parameters { operators: context.parameters.operators.clone(), ..wanted.clone() };
    assert_eq!(check(Change::Parameters, &first), Ok(()));
    for (change, new) in [(Change::Operators, &wanted), (Change::Parameters, &wanted), (Change::Operators, &first)] {
        assert!(check(change, new).is_err(), "{change:?}");
    }
    assert!(check(Change::Parameters, &context.parameters).is_err(), "nothing changes");
}

/// V43: pools refuse what would be skipped, and take it again when the pause is over.
#[test]
fn accounts_wait_while_they_are_paused() {
    let mut net = net();
    goes_on(&mut net, 4);
    let until_ms = net.now.wall_ms + 5_000;
    let proposed = propose(&net, GovernanceChange::Pause { scope: PauseScope::All, until_ms });
    let id = seat_does(&mut net, (0, 0), 0, proposed);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
    let put = |net: &mut Net| {
        let chain = chain_id(&net.genesis);
        let transaction = chain::second(&net.genesis, 1, &[], 0);
        let transactions = verified(chain, vec![transaction.clone()]);
        net.ports(1).events.push_back(Event::Transactions { transactions, from_client: true });
        settle(net);
        id_on(&chain, &transaction)
    };
    net.ports(1).refused.clear();
    let id = put(&mut net);
    let refused: Vec<_> = net.ports(1).refused.drain(..).map(|(one, why)| (one, why.code())).collect();
    assert_eq!(refused, [(id, "paused")]);
    // Seats go on, and what they did last is not what a change of another hash would be.
    let resume = GovernanceChange::Resume { scope: PauseScope::All };
    assert_ne!(change_hash(&resume), change_hash(&GovernanceChange::EndEpoch { epoch: Epoch(0) }));
    let proposed = propose(&net, resume);
    let ended = seat_does(&mut net, (0, 0), 1, proposed);
    assert_eq!(outcome(&net, &ended), Some(Outcome::Ok));
    let id = put(&mut net);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
}

/// V50: each node notes what seats decide, in order, and what a boundary takes of it.
#[test]
fn all_nodes_note_what_seats_decide_and_what_comes_into_force() {
    let operators = BoundedVec::new(vec![chain::signer(0).public(), chain::signer(1).public()]).unwrap();
    let parameters = Parameters { min_epoch_ms: Some(AGE_MS), operators, operator_quorum: 2, ..governed() };
    let mut net = Net::of(4, parameters);
    goes_on(&mut net, 4);
    let change = Box::new(longer(&net, 7_200_000));
    let (hash, proposed) = (change_hash(&change), propose(&net, (*change).clone()));
    let Operation2::Propose { until_ms, .. } = proposed else { unreachable!("so it is made") };
    let first = seat_does(&mut net, (0, 0), 0, proposed.clone());
    let second = seat_does(&mut net, (0, 0), 1, proposed);
    let withdrew = seat_does(&mut net, (0, 0), 2, Operation2::Withdraw { number: 2 });
    // A transaction that fails decides nothing.
    let late = seat_does(&mut net, (1, 1), 0, Operation2::Approve { number: 2, change: hash });
    assert!(matches!(outcome(&net, &late), Some(Outcome::Failed { .. })));
    let approved = seat_does(&mut net, (1, 1), 1, Operation2::Approve { number: 1, change: hash });
    let authority = chain::authority_of(1, &[7]);
    let settings = AuthoritySettings { authority, delay_ms: 0, recovery: None };
    let rekeyed = seat_does(&mut net, (1, 1), 2, Operation2::SetAuthority { settings, void_grants: false });
    to_the_age(&mut net, START_MS);
    let noted: Vec<Decisions> = net.ports(0).decided.lock().unwrap().clone();
    let decided: Vec<Decision> = noted.iter().flat_map(|one| one.decided.clone()).collect();
    let proposal = |number| SeatAct::Proposed { number, change: change.clone(), until_ms };
    let acts = [
        (0, first, proposal(1)),
        (0, second, proposal(2)),
        (0, withdrew, SeatAct::Withdrew { number: 2, ended: true }),
        (1, approved, SeatAct::Approved { number: 1, hash }),
        (1, approved, SeatAct::Made { number: 1, change: change.clone() }),
        (1, rekeyed, SeatAct::Rekeyed { signer: Signer::Single(chain::signer(7).public()) }),
    ];
    assert_eq!(decided, acts.map(|(seat, transaction, act)| Decision { seat, transaction, act }));
    let boundary = ended(&net, 0);
    let last = noted.last().unwrap();
    assert_eq!((last.height, last.term), (boundary.boundary.height, Some(boundary.term)));
    assert_eq!(noted.iter().filter(|one| one.term.is_some()).count(), 1);
    for index in 1..4 {
        assert_eq!(*net.ports(index).decided.lock().unwrap(), noted, "node {index}");
    }
}

/// Both seats act in one block, which alone proposes and makes a change.
#[test]
fn a_change_that_one_block_proposes_and_makes_is_noted_as_made() {
    let operators = BoundedVec::new(vec![chain::signer(0).public(), chain::signer(1).public()]).unwrap();
    let mut net = Net::of(4, Parameters { operators, operator_quorum: 2, ..governed() });
    goes_on(&mut net, 4);
    let chain = chain_id(&net.genesis);
    let pause = GovernanceChange::Pause { scope: PauseScope::All, until_ms: net.now.wall_ms + 60_000 };
    let withdraw = Operation2::Withdraw { number: 1 };
    let of = |seat: u32, number: usize, operations| {
        second_of(&net.genesis, (&[number], &[number]), SystemSender::Seat(seat).id(), 0, operations)
    };
    // The first seat withdraws and proposes again; numbers go on.
    let again = propose(&net, pause.clone());
    let approve_again = Operation2::Approve { number: 2, change: change_hash(&pause) };
    let first = of(0, 0, vec![propose(&net, pause.clone()), withdraw, again]);
    let second = of(1, 1, vec![approve_again]);
    let transactions = verified(chain, vec![first, second]);
    net.ports(1).events.push_back(Event::Transactions { transactions, from_client: true });
    settle(&mut net);
    let noted: Vec<Decisions> = net.ports(2).decided.lock().unwrap().clone();
    let numbered = |one: &Decision| match &one.act {
        SeatAct::Proposed { number, .. } => ("proposed", *number),
        SeatAct::Approved { number, .. } => ("approved", *number),
        SeatAct::Withdrew { number, ended } => (if *ended { "ended" } else { "withdrew" }, *number),
        SeatAct::Made { number, change } => (if **change == pause { "made" } else { "another" }, *number),
        SeatAct::Rekeyed { .. } => ("rekeyed", 0),
    };
    let acts: Vec<_> = noted.iter().flat_map(|one| one.decided.iter().map(numbered)).collect();
    assert_eq!(acts, [("proposed", 1), ("ended", 1), ("proposed", 2), ("approved", 2), ("made", 2)]);
    assert!(noted.iter().all(|one| one.term.is_none()));
}

/// R1: parameters name members that don't lead, a boundary takes them, and a node that starts again goes by them.
#[test]
fn members_that_parameters_leave_out_lead_in_full_cycles_alone() {
    let mut net = net();
    goes_on(&mut net, 4);
    let base = parameters_hash(&net.genesis.parameters);
    let not_leading = BoundedVec::new(vec![node_key(2)]).unwrap();
    let parameters = Parameters { not_leading, ..net.genesis.parameters.clone() };
    let proposed = propose(&net, GovernanceChange::SetParameters { base, parameters: parameters.clone() });
    seat_does(&mut net, (0, 0), 0, proposed);
    to_the_age(&mut net, START_MS);
    goes_on(&mut net, 4);
    let all: Vec<_> = (0..4).map(ValidatorIndex).collect();
    let others = [ValidatorIndex(0), ValidatorIndex(1), ValidatorIndex(3)];
    let context = Context::new(&net.genesis, ShardId::ROOT, None);
    assert_eq!(context.leaders.leaders(), all);
    let next = context.after(&ended(&net, 0).into());
    let tip = net.store(2).tip().unwrap().header;
    let again = Context::at(&net.genesis, None, &**net.store(0), &tip).unwrap();
    for leaders in [&next.leaders, &again.leaders] {
        assert_eq!(leaders.leaders(), others);
        let first = leaders.boundary().0 + 1;
        let led =
            |views: std::ops::Range<u64>| views.filter(|view| leaders.of(View(*view)) == ValidatorIndex(2)).count();
        assert_eq!((led(first..first + 31 * 3), led(first + 31 * 3..first + 31 * 3 + 4)), (0, 1));
    }
}

/// R1: with fewer than 2f + 1 leaders, f that lie could be most of them.
#[test]
fn all_lead_if_parameters_would_leave_too_few() {
    let genesis = |left_out: &[usize]| {
        let keys = left_out.iter().map(|index| node_key(*index)).collect();
        let not_leading = BoundedVec::new(keys).unwrap();
        chain::genesis_with(Parameters { not_leading, ..governed() })
    };
    let leaders = |left_out: &[usize]| Context::new(&genesis(left_out), ShardId::ROOT, None).leaders.leaders().len();
    assert_eq!((leaders(&[]), leaders(&[1]), leaders(&[1, 3]), leaders(&[9, 8, 7])), (4, 3, 4, 4));
    let parameters = genesis(&[1]).parameters;
    assert_ne!(parameters_hash(&parameters), parameters_hash(&governed()));
    let bytes = encode(&parameters);
    assert_eq!(decode(&bytes, 4096), Ok(parameters));
    let bare = encode(&governed());
    assert_eq!((&bytes[2..bare.len()], bytes.len()), (&bare[2..], bare.len() + 4 + 32), "it comes last");
    let mut empty = bytes[..bare.len()].to_vec();
    empty.extend([0; 4]);
    assert!(decode::<Parameters>(&empty, 4096).is_err(), "it has a shorter form");
}
