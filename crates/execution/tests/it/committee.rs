//! Changes of the committee: the accounts that may make one, the epoch from which it counts, and the record after it.

use crate::common::*;
use proptest::prelude::*;
use rustorium_execution::*;
use rustorium_types::*;

/// Accounts 0 to 2 are operators, two of whom must agree. Account 3 is not one.
fn governed() -> World {
    governed_by(Rules::V1)
}

fn governed_by(rules: Rules) -> World {
    let operators = BoundedVec::new((0..3).map(|number| signer(number).public()).collect()).unwrap();
    World::with(Parameters { operators, operator_quorum: 2, ..Parameters::of(rules) })
}

fn record(world: &World) -> CommitteeRecord {
    CommitteeRecord::read(&MemState(&world.state)).unwrap()
}

fn keys(world: &World) -> Vec<PublicKey> {
    record(world).target.iter().map(|validator| validator.validator_key).collect()
}

fn validator(seed: u8) -> Validator {
    let key = |offset: u8| rustorium_crypto::SigningKey::from_seed(&[seed + offset; 32]).public();
    Validator {
        name: BoundedBytes::new(format!("new-{seed}").into_bytes()).unwrap(),
        validator_key: key(0),
        node_key: key(10),
        owner_key: key(20),
        region: 0,
        address: BoundedBytes::new(b"new.example:26650".to_vec()).unwrap(),
    }
}

fn add(seed: u8) -> Operation {
    Operation::AddValidator { validator: validator(seed) }
}

fn remove(index: u8) -> Operation {
    Operation::RemoveValidator { validator_key: validator_key(index).public() }
}

fn replace(old: PublicKey, new: u8) -> Operation {
    let new = validator(new);
    Operation::ReplaceKey { validator_key: old, new_validator_key: new.validator_key, new_node_key: new.node_key }
}

#[test]
fn a_chain_starts_with_its_committee_as_the_target() {
    let world = governed();
    assert_eq!(
        record(&world),
        CommitteeRecord {
            target: world.genesis.validators.clone(),
            end_asked: None,
            replaced: None,
            wanted: None,
            owners: None,
            wait: None,
            upgrade: None
        }
    );
}

#[test]
fn a_change_counts_when_enough_operators_approved_the_very_same_one() {
    let mut world = governed();
    let before = record(&world);
    world.ok(0, vec![add(200)]);
    world.ok(1, vec![add(201)]);
    assert_eq!(record(&world), before, "two different changes, one approval each");
    world.fails(0, vec![add(200)], FailureCode::AlreadyApproved);
    world.ok(2, vec![add(200)]);
    let after = record(&world);
    assert_eq!(after.target.len(), 5);
    assert_eq!(after.target[4], validator(200), "it comes last, and the others keep their places");
    assert_eq!(after.target[..4], before.target[..]);
    world.fails(1, vec![add(200)], FailureCode::ValidatorExists);
}

#[test]
fn only_operators_change_the_committee_and_a_failed_transaction_is_no_approval() {
    let mut world = governed();
    for change in [add(200), remove(0), replace(validator_key(0).public(), 200), end(0)] {
        world.fails(3, vec![change], FailureCode::NotAnOperator);
    }
    world.fails(0, vec![remove(1), delete(0, b"nothing")], FailureCode::NoSuchKey);
    world.ok(1, vec![remove(1)]);
    assert_eq!(keys(&world).len(), 4);
    world.ok(0, vec![remove(1)]);
    assert_eq!(keys(&world), [0, 2, 3].map(|index| validator_key(index).public()));
}

#[test]
fn a_chain_without_operators_keeps_its_committee() {
    let mut world = World::new();
    world.fails(0, vec![add(200)], FailureCode::NotAnOperator);
    world.fails(0, vec![end(0)], FailureCode::NotAnOperator);
}

#[test]
fn approvals_of_an_epoch_that_is_over_count_no_more() {
    for rules in [Rules::V1, Rules::V2] {
        let mut world = governed_by(rules);
        world.ok(0, vec![remove(1)]);
        world.header.epoch = Epoch(1);
        world.ok(1, vec![remove(1)]);
        assert_eq!(keys(&world).len(), 4);
        world.ok(0, vec![remove(1)]);
        assert_eq!(keys(&world).len(), 3);
    }
}

fn end(epoch: u64) -> Operation {
    Operation::EndEpoch { epoch: Epoch(epoch) }
}

#[test]
fn an_epoch_is_asked_to_end_while_it_goes_on_and_once() {
    let mut world = governed();
    world.fails(0, vec![end(1)], FailureCode::WrongEpoch);
    world.ok(0, vec![end(0)]);
    assert_eq!(record(&world).end_asked, None);
    world.ok(1, vec![end(0)]);
    assert_eq!(record(&world).end_asked, Some(Epoch(0)));
    world.fails(2, vec![end(0)], FailureCode::AlreadyApproved);
    world.header.epoch = Epoch(1);
    world.fails(2, vec![end(0)], FailureCode::WrongEpoch);
    world.ok(2, vec![end(1)]);
    assert_eq!(record(&world).end_asked, Some(Epoch(0)), "one approval of the new epoch's end");
}

#[test]
fn the_last_validator_stays_and_unknown_ones_cannot_go() {
    let mut world = governed();
    world.fails(0, vec![Operation::RemoveValidator { validator_key: [9; 32] }], FailureCode::NoSuchValidator);
    for index in 0..3 {
        world.ok(0, vec![remove(index)]);
        world.ok(1, vec![remove(index)]);
    }
    world.fails(0, vec![remove(3)], FailureCode::CommitteeSize);
    assert_eq!(keys(&world), [validator_key(3).public()]);
}

#[test]
fn a_committee_takes_no_more_than_its_bound() {
    let mut world = governed();
    let mut many = record(&world);
    let fill = |seed: u8| Validator { validator_key: [seed; 32], node_key: [seed; 32], ..validator(0) };
    many.target = BoundedVec::new((0..128).map(fill).collect()).unwrap();
    let full = many.to_bytes();
    assert!(full.len() <= limits::VALUE_BYTES_MAX);
    world.state.insert(committee_key(), full);
    world.fails(0, vec![add(200)], FailureCode::CommitteeSize);
}

#[test]
fn keys_of_others_and_names_that_nobody_can_read_are_refused() {
    let mut world = governed();
    let twin = Validator { node_key: record(&world).target[2].node_key, ..validator(200) };
    world.fails(0, vec![Operation::AddValidator { validator: twin }], FailureCode::KeyInUse);
    let nameless = Validator { name: BoundedBytes::new(vec![255]).unwrap(), ..validator(200) };
    world.fails(0, vec![Operation::AddValidator { validator: nameless }], FailureCode::BadValidator);
    let nowhere = Validator { address: BoundedBytes::new(b"a b".to_vec()).unwrap(), ..validator(200) };
    world.fails(0, vec![Operation::AddValidator { validator: nowhere }], FailureCode::BadValidator);
    let old = validator_key(0).public();
    let to =
        |new_validator_key, new_node_key| Operation::ReplaceKey { validator_key: old, new_validator_key, new_node_key };
    let other = record(&world).target[1].clone();
    world.fails(0, vec![to(other.validator_key, [7; 32])], FailureCode::KeyInUse);
    world.fails(0, vec![to([7; 32], other.node_key)], FailureCode::KeyInUse);
    world.fails(0, vec![to(old, [7; 32])], FailureCode::KeyInUse);
    world.fails(0, vec![replace([9; 32], 200)], FailureCode::NoSuchValidator);
}

/// The world in which account 3's key owns validator 1.
fn owned() -> World {
    let mut world = governed();
    let mut record = record(&world);
    let mut target = record.target.into_vec();
    target[1].owner_key = signer(3).public();
    record.target = BoundedVec::new(target).unwrap();
    world.state.insert(committee_key(), record.to_bytes());
    world
}

#[test]
fn an_owner_replaces_its_own_validators_keys_alone_and_nothing_else() {
    let mut world = owned();
    let storage = world.storage_left(3);
    world.ok(3, vec![replace(validator_key(1).public(), 200)]);
    let now = record(&world).target[1].clone();
    assert_eq!((now.validator_key, now.node_key), (validator(200).validator_key, validator(200).node_key));
    assert_eq!((now.owner_key, world.storage_left(3)), (signer(3).public(), storage));
    world.fails(3, vec![replace(validator_key(2).public(), 201)], FailureCode::NotAnOperator);
    world.fails(3, vec![remove(1)], FailureCode::NotAnOperator);
    // The node may keep its identity on the links.
    let keep = Operation::ReplaceKey {
        validator_key: now.validator_key,
        new_validator_key: [5; 32],
        new_node_key: now.node_key,
    };
    world.ok(3, vec![keep]);
    assert_eq!(keys(&world)[1], [5; 32]);
}

/// An event: an operation of a sender, or rarely a new epoch.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
enum Act {
    Send(usize, Operation),
    NextEpoch,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let seed = 200u8..203;
    let someone = prop_oneof![
        (0u8..5).prop_map(|index| validator_key(index).public()),
        seed.clone().prop_map(|seed| validator(seed).validator_key)
    ];
    let operation = prop_oneof![
        4 => seed.clone().prop_map(add),
        4 => someone.clone().prop_map(|validator_key| Operation::RemoveValidator { validator_key }),
        3 => (someone, seed).prop_map(|(old, new)| replace(old, new)),
        2 => (0u64..3).prop_map(end),
    ];
    let act = prop_oneof![12 => (0usize..4, operation).prop_map(|(who, what)| Act::Send(who, what)), 1 => Just(Act::NextEpoch)];
    prop::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Compares with a model that keeps every approval by name: the record changes exactly when the second operator of
    /// an epoch approves, storage is conserved, and the committee can always run.
    #[test]
    fn the_record_changes_with_the_second_approval_and_never_else(acts in acts()) {
        let mut world = owned();
        let everyone: Vec<_> = (0..ACCOUNTS).map(account).collect();
        let total = world.storage_total(&everyone);
        let mut approved: Vec<(Operation, usize)> = Vec::new();
        for act in acts {
            let Act::Send(who, operation) = act else {
                world.header.epoch = world.header.epoch.next();
                approved.clear();
                continue;
            };
            let before = record(&world);
            let outcome = world.outcome(who, vec![operation.clone()]);
            let after = record(&world);
            let by_owner = matches!(&operation, Operation::ReplaceKey { validator_key, .. }
                if before.target.iter().any(|v| v.validator_key == *validator_key && v.owner_key == signer(who).public()));
            if outcome == Outcome::Ok && by_owner {
                prop_assert_ne!(&after, &before);
            } else if outcome == Outcome::Ok {
                prop_assert!(who < 3, "account 3 is no operator");
                prop_assert!(!approved.contains(&(operation.clone(), who)), "approved twice");
                let second = approved.iter().any(|(same, _)| *same == operation);
                prop_assert_eq!(after != before, second);
                if second {
                    approved.retain(|(same, _)| *same != operation);
                } else {
                    approved.push((operation, who));
                }
            } else {
                prop_assert_eq!(&after, &before);
            }
            prop_assert!(!after.target.is_empty());
            for (place, one) in after.target.iter().enumerate() {
                let twins = after.target[..place].iter();
                let mut twins = twins.filter(|o| o.validator_key == one.validator_key || o.node_key == one.node_key);
                prop_assert!(twins.next().is_none());
            }
            prop_assert_eq!(world.storage_total(&everyone), total);
        }
    }
}
