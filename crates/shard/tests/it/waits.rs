//! When an epoch's end is due for what waits (V46), and for a committee that changes in more than f places (V47).

use crate::chain::{self, START_MS, second_of, validator_key, verified};
use crate::net::Net;
use crate::steps::{epoch, goes_on, governed, operate, remove, settle, transition};
use rustorium_crypto::{chain_id, change_hash, parameters_hash};
use rustorium_execution::{Light, Trust};
use rustorium_shard::Event;
use rustorium_stages::decisions::SeatAct;
use rustorium_storage::Store;
use rustorium_types::*;

pub const AGE_MS: u64 = 10_000;
const DELAY_MS: u64 = 60_000;

pub fn at_ms(net: &mut Net, after_start_ms: u64) {
    let now_ms = net.now.wall_ms - START_MS;
    net.advance((after_start_ms - now_ms) * 1000);
    settle(net);
}

pub fn epochs(net: &Net) -> [u64; 4] {
    [0, 1, 2, 3].map(|index| epoch(net, index))
}

/// Has a seat of the account with the same number do something.
pub fn seat_does(net: &mut Net, seat: u32, nonce: u64, operation: Operation2) {
    does(net, SystemSender::Seat(seat), seat as usize, nonce, operation);
}

/// Has a system sender do something, for which the key of this account acts.
fn does(net: &mut Net, sender: SystemSender, number: usize, nonce: u64, operation: Operation2) {
    let (chain, sender) = (chain_id(&net.genesis), sender.id());
    let transaction = second_of(&net.genesis, (&[number], &[number]), sender, nonce, vec![operation]);
    let transactions = verified(chain, vec![transaction]);
    net.ports(1).events.push_back(Event::Transactions { transactions, from_client: true });
    settle(net);
}

/// Returns a net of three operators of whom two decide, and one of whom they have replaced by a decision that waits.
fn decided_net() -> (Net, GovernanceChange) {
    let operators = BoundedVec::new((0..3).map(|number| chain::signer(number).public()).collect()).unwrap();
    let parameters = Parameters {
        operators,
        operator_quorum: 2,
        min_epoch_ms: Some(AGE_MS),
        operators_delay_ms: Some(DELAY_MS),
        ..Parameters::default()
    };
    let mut net = Net::of(4, parameters);
    goes_on(&mut net, 4);
    let base = parameters_hash(&net.genesis.parameters);
    let operators = BoundedVec::new([0, 1, 7].map(|number| chain::signer(number).public()).to_vec()).unwrap();
    let change = GovernanceChange::SetOperators { base, operators, quorum: 2 };
    let until_ms = net.now.wall_ms + 3_600_000;
    seat_does(&mut net, 0, 0, Operation2::Propose { change: Box::new(change.clone()), until_ms });
    seat_does(&mut net, 1, 0, approval(&change));
    (net, change)
}

fn approval(change: &GovernanceChange) -> Operation2 {
    Operation2::Approve { number: 1, change: change_hash(change) }
}

/// Returns the seats that made a change, as a node's audit log has them.
fn makers(net: &mut Net) -> Vec<u32> {
    let noted = net.ports(0).decided.lock().unwrap();
    let made = noted.iter().flat_map(|one| &one.decided).filter(|one| matches!(one.act, SeatAct::Made { .. }));
    made.map(|one| one.seat).collect()
}

/// V46, V50: a decision is noted when it is made, however long new operators wait, and not once more when all seats waive the wait.
#[test]
fn a_decision_that_waits_is_noted_at_once_and_once() {
    let (mut net, change) = decided_net();
    assert_eq!(makers(&mut net), [1]);
    seat_does(&mut net, 1, 1, Operation2::Withdraw { number: 1 });
    seat_does(&mut net, 1, 2, approval(&change));
    assert_eq!(makers(&mut net), [1], "it was decided before");
    seat_does(&mut net, 2, 0, approval(&change));
    assert_eq!(makers(&mut net), [1]);
    at_ms(&mut net, AGE_MS + 5_000);
    assert_eq!(epochs(&net), [1; 4], "all seats waived the wait");
}

/// V46: an epoch ends for new operators when they have waited, without anything else happening.
#[test]
fn new_operators_end_an_epoch_when_they_have_waited() {
    let (mut net, _) = decided_net();
    let decided_ms = net.store(0).tip().unwrap().header.time_ms - START_MS;
    at_ms(&mut net, AGE_MS + 5_000);
    assert_eq!(epochs(&net), [0; 4], "the epoch has its age, and the operators wait");
    at_ms(&mut net, DELAY_MS - 100);
    assert_eq!(epochs(&net), [0; 4]);
    at_ms(&mut net, decided_ms + DELAY_MS + 1_000);
    assert_eq!(epochs(&net), [1; 4]);
    let EpochTransition::Term(end) = transition(&net, 0, 0) else { panic!("the epoch is of version 1") };
    assert_eq!(end.term.change, Change::Operators);
    assert!(end.boundary.time_ms - START_MS >= DELAY_MS);
    let mut light = Light::new(Trust::genesis(&net.genesis), None);
    assert_eq!(light.follow(&transition(&net, 0, 0), net.now.wall_ms), Ok(Epoch(1)));
    goes_on(&mut net, 4);
}

/// V48: operators whom a quorum of owners wants come when they have waited, also on an idle chain; every node notes the wishes.
#[test]
fn operators_whom_owners_want_end_an_epoch_when_they_have_waited() {
    let parameters = Parameters { min_epoch_ms: Some(AGE_MS), owners_recover_ms: Some(DELAY_MS), ..governed() };
    let mut genesis = chain::genesis_with(parameters);
    let mut members = genesis.validators.to_vec();
    (0..).zip(&mut members).for_each(|(number, member)| member.owner_key = chain::signer(number).public());
    genesis.validators = BoundedVec::new(members).unwrap();
    let mut net = Net::on(genesis, 4);
    goes_on(&mut net, 4);
    let base = parameters_hash(&net.genesis.parameters);
    let operators = BoundedVec::new(vec![chain::signer(7).public()]).unwrap();
    let change = GovernanceChange::SetOperators { base, operators: operators.clone(), quorum: 1 };
    for number in 0..3 {
        let operators = operators.clone();
        let wish = Operation2::RecoverOperators { base, operators, quorum: 1 };
        does(&mut net, SystemSender::Owner(number), number as usize, 0, wish);
    }
    let from_ms = net.store(0).tip().unwrap().header.time_ms + DELAY_MS;
    for index in 0..4 {
        let noted = net.ports(index).decided.lock().unwrap();
        let wishes: Vec<_> = noted.iter().flat_map(|one| &one.wishes).collect();
        assert!(wishes.iter().all(|one| *one.change == change));
        let wishes: Vec<_> = wishes.iter().map(|one| (one.validator, one.from_ms)).collect();
        assert_eq!(wishes, [(0, None), (1, None), (2, Some(from_ms))], "node {index}");
    }
    at_ms(&mut net, AGE_MS + 5_000);
    assert_eq!(epochs(&net), [0; 4]);
    at_ms(&mut net, from_ms - START_MS + 1_000);
    assert_eq!(epochs(&net), [1; 4]);
    let EpochTransition::Term(end) = transition(&net, 0, 0) else { panic!("the epoch is of version 1") };
    assert_eq!((end.term.change, end.boundary.time_ms >= from_ms), (Change::Operators, true));
    assert_eq!(net.nodes[0].shard.ports.context.parameters.operators, operators);
    goes_on(&mut net, 4);
}

fn aged(validators: impl FnOnce(&mut Vec<Validator>)) -> Net {
    let mut genesis = chain::genesis_with(Parameters { min_epoch_ms: Some(AGE_MS), ..governed() });
    let mut members = genesis.validators.to_vec();
    validators(&mut members);
    genesis.validators = BoundedVec::new(members).unwrap();
    Net::on(genesis, 4)
}

/// V47: more than f members can't be replaced by f owners, so it doesn't wait for the epoch's age.
#[test]
fn a_committee_that_loses_more_than_f_members_begins_at_once() {
    let mut net = aged(|_| {});
    goes_on(&mut net, 4);
    operate(&mut net, 0, vec![remove(3)]);
    assert_eq!(epochs(&net), [0; 4], "one of four is f");
    operate(&mut net, 0, vec![remove(2)]);
    assert_eq!([0, 1].map(|index| epoch(&net, index)), [1; 2]);
    let boundary = transition(&net, 0, 0).boundary().clone();
    assert!(boundary.time_ms - START_MS < AGE_MS);
    let left: Vec<_> = transition(&net, 0, 0).validators().iter().map(|one| one.validator_key).collect();
    assert_eq!(left, [0, 1].map(|index| validator_key(index).public()));
}

/// One owner of several validators is one: it alone ends no epoch at once.
#[test]
fn members_of_one_owner_count_once() {
    let mut net = aged(|members| members[3].owner_key = members[2].owner_key);
    goes_on(&mut net, 4);
    operate(&mut net, 0, vec![remove(3)]);
    operate(&mut net, 0, vec![remove(2)]);
    assert_eq!(epochs(&net), [0; 4]);
    at_ms(&mut net, AGE_MS + 500);
    assert_eq!([0, 1].map(|index| epoch(&net, index)), [1; 2]);
}
