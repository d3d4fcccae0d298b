//! Owners of validators as senders of the system's own: what they may do, how often, and how keys change hands (V36, V37,
//! V41, V47, V52).

use crate::common::*;
use rustorium_crypto::set_hash;
use rustorium_execution::*;
use rustorium_types::*;

const OK: Result<Outcome, Skip> = Ok(Outcome::Ok);

/// Seats 0 to 2 of the keys of accounts 0 to 2, two of which decide; four validators, each of an owner.
fn world() -> World {
    governed(&[0, 1, 2], 2)
}

fn remove(world: &World, number: u32) -> GovernanceChange {
    GovernanceChange::RemoveValidator { validator_key: world.validator(number).validator_key }
}

/// Returns the change that adds a validator with keys from this number on: its own, its node's and its owner's.
fn add(world: &World, number: u8) -> GovernanceChange {
    let [validator, node, owner] = [number, number + 1, number + 2].map(new_key);
    let added = Validator {
        name: BoundedBytes::new(b"new".to_vec()).unwrap(),
        validator_key: validator.public(),
        node_key: node.public(),
        owner_key: owner.public(),
        region: 0,
        address: BoundedBytes::default(),
    };
    let proof = possession(world.header.chain, added.owner_key, &validator, &node);
    GovernanceChange::AddValidator { validator: added, possession: proof }
}

/// V36: owners exist without anything being written, and hold nothing.
#[test]
fn owners_are_those_of_the_committee_until_they_act() {
    let mut world = world();
    let record = world.committee_record();
    assert_eq!((record.owners.clone(), record.numbered().numbers.as_slice()), (None, &[0, 1, 2, 3][..]));
    assert!(!world.state.contains_key(&owner_key(2)));
    let change = world.replace_keys(2, 60);
    assert_eq!(world.owner_does(2, &owner(2), change), OK);
    assert_eq!(world.validator(2).validator_key, new_key(60).public());
    let state = OwnerRecord::from_bytes(world.state.get(&owner_key(2)).map(Vec::as_slice)).unwrap();
    assert_eq!((state.nonce, state.paid_ms), (1, world.header.time_ms + 30_000));
    assert_eq!(world.next_epoch(), Change::Committee);
    assert_eq!(world.header.validator_set, set_hash(&world.committee_record().target));
}

/// V36: each kind of sender has operations of its own.
#[test]
fn an_owner_changes_its_own_validator_and_does_nothing_else() {
    let mut world = world();
    let set = world.set_owner(1, &new_key(200));
    let put = Operation2::Put { namespace: None, key: key(b"k"), value: Value::default() };
    let proposed = propose(&world, GovernanceChange::EndEpoch { epoch: Epoch(0) });
    let settings = AuthoritySettings { authority: of_key(&new_key(200)), delay_ms: 0, recovery: None };
    let rotated = Operation2::SetAuthority { settings, void_grants: false };
    for operation in
        [put, proposed, Operation2::Withdraw { number: 1 }, rotated, Operation2::EndEpoch { epoch: Epoch(0) }]
    {
        assert_eq!(
            world.owner_does(1, &owner(1), operation.clone()),
            failed(FailureCode::WrongSender),
            "{operation:?}"
        );
    }
    // Another one's validator.
    let other = world.set_owner(0, &new_key(200));
    assert_eq!(world.owner_does(1, &owner(1), other), failed(FailureCode::NotAnOperator));
    let other = world.replace_keys(0, 60);
    assert_eq!(world.owner_does(1, &owner(1), other), failed(FailureCode::NotAnOperator));
    // Seats propose it, and neither a seat nor an account does it.
    assert_eq!(world.seat_does(0, &alone(0), set.clone()), failed(FailureCode::WrongSender));
    let replaced = world.replace_keys(1, 60);
    assert_eq!(world.seat_does(0, &alone(0), replaced), failed(FailureCode::WrongSender));
    let of_an_account = with_operations(alone(0), &world.sign(0, vec![]), vec![set.clone()]);
    let wrong = Outcome::Failed { code: FailureCode::WrongSender, operation: 0 };
    assert_eq!(world.run_listed(&[of_an_account]).receipts[0].outcome, wrong);
    // In the form of version 1, too, the sender is an owner's.
    let mut first =
        world.sign_at(0, OwnerRecord::read(&MemState(&world.state), 1).unwrap().nonce, vec![issue(b"GOLD", 1, 1)]);
    first.body.sender = SystemSender::Owner(1).id();
    first.body.public_key = owner(1).public();
    assert_eq!(world.run(&[first]).receipts[0].outcome, wrong);
    assert_eq!(world.owner_does(1, &owner(1), set), OK);
}

#[test]
fn an_owner_is_admitted_by_its_key_nonce_expiry_and_room() {
    let mut world = world();
    let withdraw = || Operation2::Withdraw { number: 9 };
    let wrong = failed(FailureCode::WrongSender);
    // A member, another owner, an operator, and several keys of which the owner's is one.
    for key in [validator_key(1), owner(0), signer(0)] {
        assert_eq!(world.owner_does(1, &key, withdraw()), Err(Skip::WrongKey));
    }
    let mut first = world.sign_at(0, 0, vec![]);
    first.body.sender = SystemSender::Owner(1).id();
    let keys = [owner(1), owner(2)].map(|key| SignerKey::Ed25519(key.public()));
    let several = Authority::of_keys(1, keys.to_vec()).unwrap();
    let several = with_operations(several, &first, vec![withdraw()]);
    assert_eq!(world.run_listed(&[several]).skipped[0].1, Skip::WrongKey);
    assert_eq!(world.owner_does(4, &owner(1), withdraw()), Err(Skip::UnknownSender));
    let again = world.of_owner(1, &owner(1), vec![withdraw()]);
    let execution = world.run_listed(&[again.clone(), again]);
    assert_eq!((execution.receipts.len(), execution.skipped[0].1), (1, Skip::NonceUsed { expected: 1 }));
    assert_eq!(execution.touched, [(SystemSender::Owner(1).id(), 1)]);
    let mut late = world.next_header();
    late.time_ms += 60_000;
    let expired = world.look_at(&late, &[world.of_owner(1, &owner(1), vec![withdraw()])]);
    assert_eq!(expired.skipped[0].1, Skip::Expired);
    // 120 operations at once, and one more every 30 seconds.
    let many = |world: &World, count: usize| world.of_owner(1, &owner(1), vec![withdraw(); count]);
    let execution = world.run_listed(&[many(&world, 120)]);
    assert_eq!(execution.skipped[0].1, Skip::QuotaTooSmall { left: 119 });
    assert_eq!(world.run_listed(&[many(&world, 119)]).receipts.len(), 1);
    assert!(matches!(world.owner_does(1, &owner(1), withdraw()), Err(Skip::QuotaTooSmall { left: 0 })));
    assert_eq!(world.owner_does(2, &owner(2), withdraw()), wrong, "each has its own");
    world.header.time_ms += 30_000;
    assert_eq!(world.owner_does(1, &owner(1), withdraw()), wrong);
}

/// V41, V47: one other owner an epoch, also in one block; the new one acts at once.
#[test]
fn an_owner_sets_another_one_once_an_epoch() {
    let mut world = world();
    let (one, two) = (new_key(200), new_key(201));
    let first = world.of_owner(1, &owner(1), vec![world.set_owner(1, &one)]);
    let chain = world.header.chain;
    let number = world.validator(1).validator_key;
    let second = Operation2::SetOwner {
        validator_key: number,
        new_owner_key: two.public(),
        possession: owned_by(chain, number, one.public(), &two),
    };
    // In one block: by the new owner, whose nonce is the next one.
    let mut next = world.sign_at(0, 1, vec![]);
    next.body.sender = SystemSender::Owner(1).id();
    let by_new = with_operations(of_key(&one), &next, vec![second.clone()]);
    let by_old = with_operations(of_key(&owner(1)), &next, vec![second.clone()]);
    let execution = world.run_listed(&[first, by_old, by_new]);
    let outcomes: Vec<_> = execution.receipts.iter().map(|receipt| receipt.outcome).collect();
    let soon = Outcome::Failed { code: FailureCode::TooSoon, operation: 0 };
    assert_eq!((outcomes, execution.skipped[0].1), (vec![Outcome::Ok, soon], Skip::WrongKey));
    assert_eq!(world.validator(1).owner_key, one.public());
    // Both in one transaction: nothing of it counts.
    let both = vec![world.set_owner(2, &new_key(202)), world.set_owner(2, &new_key(203))];
    let execution = world.run_listed(&[world.of_owner(2, &owner(2), both)]);
    assert_eq!(execution.receipts[0].outcome, Outcome::Failed { code: FailureCode::TooSoon, operation: 1 });
    assert_eq!(world.validator(2).owner_key, owner(2).public());
    assert_eq!(world.owner_does(1, &one, second.clone()), failed(FailureCode::TooSoon));
    assert_eq!(world.next_epoch(), Change::Committee);
    assert_eq!(world.owner_does(1, &one, second), OK);
    assert_eq!(world.validator(1).owner_key, two.public());
}

/// R46: who becomes an owner signed for this validator, its present owner and this chain.
#[test]
fn a_new_owner_must_have_signed_for_this_change() {
    let mut world = world();
    let (new, chain) = (new_key(200), world.header.chain);
    let own = world.validator(1);
    let (validator, present) = (own.validator_key, own.owner_key);
    let set = |possession| Operation2::SetOwner { validator_key: validator, new_owner_key: new.public(), possession };
    let mut broken = owned_by(chain, validator, present, &new);
    broken[0] ^= 1;
    let bad = [
        [0; 64],
        broken,
        owned_by(ChainId([1; 32]), validator, present, &new),
        owned_by(chain, world.validator(0).validator_key, present, &new),
        owned_by(chain, validator, owner(0).public(), &new),
        owner(1).sign(&[]),
        // A signature as a validator's key shows nothing about an owner's.
        possession(chain, present, &new, &new).validator,
    ];
    for possession in bad {
        assert_eq!(world.owner_does(1, &owner(1), set(possession)), failed(FailureCode::NotPossessed));
        let proposed = propose(&world, by_seats(set(possession)));
        assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::NotPossessed));
    }
    let small = Operation2::SetOwner { validator_key: validator, new_owner_key: [0; 32], possession: [0; 64] };
    assert_eq!(world.owner_does(1, &owner(1), small), failed(FailureCode::NotPossessed));
    // A replay: the same proof doesn't serve again after the owner changed on.
    let once = world.set_owner(1, &new);
    assert_eq!(world.owner_does(1, &owner(1), once.clone()), OK);
    world.next_epoch();
    let later = world.set_owner(1, &new_key(201));
    assert_eq!(world.owner_does(1, &new, later), OK);
    world.next_epoch();
    assert_eq!(world.owner_does(1, &new_key(201), once), failed(FailureCode::NotPossessed));
    let back = world.set_owner(1, &new);
    assert_eq!(world.owner_does(1, &new_key(201), back), failed(FailureCode::KeyRetired));
}

/// R45: an owner's key that left comes nowhere again; one that owns another validator did not leave.
#[test]
fn owners_keys_are_no_members_keys_and_never_come_back() {
    let mut world = world();
    for taken in [validator_key(0), new_key(110), owner(1)] {
        let change = world.set_owner(1, &taken);
        assert_eq!(world.owner_does(1, &owner(1), change), failed(FailureCode::KeyInUse));
    }
    // An owner may own several.
    let change = world.set_owner(1, &owner(0));
    assert_eq!(world.owner_does(1, &owner(1), change), OK);
    world.next_epoch();
    let change = world.set_owner(1, &new_key(200));
    assert_eq!(world.owner_does(1, &owner(0), change), OK);
    assert_eq!(world.validator(0).owner_key, owner(0).public());
    let change = world.set_owner(2, &owner(0));
    assert_eq!(world.owner_does(2, &owner(2), change), OK, "it owned validator 0 all the while");
    let change = world.set_owner(3, &owner(1));
    assert_eq!(world.owner_does(3, &owner(3), change), failed(FailureCode::KeyRetired));
    // Nor as a member's key.
    let own = world.validator(3);
    let change = Operation2::ReplaceKey {
        validator_key: own.validator_key,
        new_validator_key: owner(1).public(),
        new_node_key: own.node_key,
        possession: possession(world.header.chain, own.owner_key, &owner(1), &new_key(113)),
    };
    assert_eq!(world.owner_does(3, &owner(3), change), failed(FailureCode::KeyRetired));
}

/// V41: the operators' quorum sets owners too, as often as it decides.
#[test]
fn seats_set_an_owner_by_a_proposal() {
    let mut world = world();
    let change = by_seats(world.set_owner(1, &new_key(200)));
    let (number, storage) = (world.governance().next_proposal, world.storage_left(0));
    let proposed = propose(&world, change.clone());
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    assert_eq!(world.validator(1).owner_key, owner(1).public());
    let decisive = world.of_seat(1, &alone(1), vec![approve(number, &change)]);
    let execution = world.run_listed(&[decisive]);
    let senders: Vec<_> = execution.touched.iter().map(|(sender, _)| *sender).collect();
    assert!(senders.contains(&SystemSender::Owner(1).id()), "pools look at the owner's key again");
    assert_eq!((world.validator(1).owner_key, world.storage_left(0)), (new_key(200).public(), storage));
    let change = world.set_owner(1, &new_key(201));
    assert_eq!(world.owner_does(1, &new_key(200), change), OK, "the owner's own turn is left");
    let change = by_seats(world.set_owner(1, &new_key(202)));
    decide(&mut world, &change);
    assert_eq!(world.validator(1).owner_key, new_key(202).public());
    // What was proposed for the owner before is no more possible.
    let old = by_seats(world.set_owner(1, &new_key(203)));
    let proposed = propose(&world, old.clone());
    let number = world.governance().next_proposal;
    assert_eq!(world.seat_does(0, &alone(0), proposed), OK);
    world.next_epoch();
    let change = world.set_owner(1, &new_key(204));
    assert_eq!(world.owner_does(1, &new_key(202), change), OK);
    assert_eq!(world.seat_does(1, &alone(1), approve(number, &old)), failed(FailureCode::NotPossessed));
}

/// V52, drill: an owner's key is stolen.
#[test]
fn a_stolen_owner_key_does_one_change_of_each_kind_and_is_replaced() {
    // The owner is first: the thief has nothing left.
    let mut world = world();
    let thief = owner(1);
    let change = world.set_owner(1, &new_key(200));
    assert_eq!(world.owner_does(1, &owner(1), change), OK);
    let change = world.replace_keys(1, 60);
    assert_eq!(world.owner_does(1, &thief, change), Err(Skip::WrongKey));
    // The thief is first: one other key and one other owner, and then operators decide.
    let thief = owner(2);
    let change = world.replace_keys(2, 70);
    assert_eq!(world.owner_does(2, &thief, change), OK);
    let change = world.set_owner(2, &new_key(210));
    assert_eq!(world.owner_does(2, &thief, change), OK);
    let thief = new_key(210);
    let change = world.replace_keys(2, 71);
    assert_eq!(world.owner_does(2, &thief, change), failed(FailureCode::ReplacedAlready));
    let change = world.set_owner(2, &new_key(211));
    assert_eq!(world.owner_does(2, &thief, change), failed(FailureCode::TooSoon));
    let change = by_seats(world.set_owner(2, &new_key(220)));
    decide(&mut world, &change);
    let change = world.replace_keys(2, 71);
    assert_eq!(world.owner_does(2, &thief, change), Err(Skip::WrongKey));
    let change = by_seats(world.replace_keys(2, 72));
    decide(&mut world, &change);
    assert_eq!(world.next_epoch(), Change::Committee);
    let own = world.validator(2);
    assert_eq!((own.owner_key, own.validator_key), (new_key(220).public(), new_key(72).public()));
    let change = world.replace_keys(2, 74);
    assert_eq!(world.owner_does(2, &new_key(220), change), OK);
}

/// V47: whatever an owner does, it has one change of each kind an epoch.
#[test]
fn an_owner_that_churns_makes_one_change_of_each_kind_an_epoch() {
    let mut world = world();
    for epoch in 0..5u8 {
        let (mut done, mut key) = (0, if epoch == 0 { owner(1) } else { new_key(150 + epoch - 1) });
        for attempt in 0..6u8 {
            let replaced = world.replace_keys(1, 20 + 6 * epoch + attempt);
            let new = new_key(if attempt == 0 { 150 + epoch } else { 180 + 6 * epoch + attempt });
            done += usize::from(world.owner_does(1, &key, replaced) == OK);
            let set = world.set_owner(1, &new);
            if world.owner_does(1, &key, set) == OK {
                (done, key) = (done + 1, new);
            }
        }
        assert_eq!(done, 2, "epoch {epoch}");
        assert_eq!(world.next_epoch(), Change::Committee);
    }
}

/// Numbers stay with validators, whatever becomes of the others.
#[test]
fn a_validator_keeps_its_number_and_a_removed_one_has_no_owner() {
    let mut world = world();
    let change = world.replace_keys(3, 60);
    assert_eq!(world.owner_does(3, &owner(3), change), OK);
    let change = world.replace_keys(0, 61);
    assert_eq!(world.owner_does(0, &owner(0), change), OK);
    let change = remove(&world, 0);
    decide(&mut world, &change);
    assert!(!world.state.contains_key(&owner_key(0)), "its leaf is gone with it");
    assert_eq!(world.owner_does(0, &owner(0), Operation2::Withdraw { number: 1 }), Err(Skip::UnknownSender));
    assert_eq!(world.validator(3).validator_key, new_key(60).public());
    let change = add(&world, 90);
    decide(&mut world, &change);
    assert_eq!(world.committee_record().numbered().numbers.as_slice(), [1, 2, 3, 4]);
    let change = add(&world, 95);
    decide(&mut world, &change);
    assert_eq!(world.committee_record().numbered().numbers.as_slice(), [1, 2, 3, 4, 5]);
    let change = world.set_owner(4, &new_key(93));
    assert_eq!(world.owner_does(4, &new_key(92), change), OK);
    world.next_epoch();
    let change = world.set_owner(3, &new_key(94));
    assert_eq!(world.owner_does(3, &owner(3), change), OK);
}

/// V43: no pause stops owners, and nobody pauses one.
#[test]
fn no_pause_stops_an_owner() {
    let mut world = world();
    let until_ms = world.header.time_ms + 3_600_000;
    decide(&mut world, &GovernanceChange::Pause { scope: PauseScope::All, until_ms });
    let change = world.set_owner(1, &new_key(200));
    assert_eq!(world.owner_does(1, &owner(1), change), OK);
    let scope = PauseScope::Account(SystemSender::Owner(1).id());
    let proposed = propose(&world, GovernanceChange::Pause { scope, until_ms });
    assert_eq!(world.seat_does(0, &alone(0), proposed), failed(FailureCode::BadPause));
}

/// The owner's account and its sender have one turn together.
#[test]
fn the_owners_account_and_its_sender_share_the_turn() {
    let mut made = make_genesis(Parameters::default());
    let mut validators = made.validators.to_vec();
    validators[1].owner_key = signer(3).public();
    made.validators = BoundedVec::new(validators).unwrap();
    let mut world = World::of(made);
    let change = world.replace_keys(1, 60).as_first(&account(3)).unwrap();
    world.ok(3, vec![change]);
    let change = world.replace_keys(1, 61);
    assert_eq!(world.owner_does(1, &signer(3), change.clone()), failed(FailureCode::ReplacedAlready));
    world.header.epoch = world.header.epoch.next();
    assert_eq!(world.owner_does(1, &signer(3), change), OK);
    let change = world.replace_keys(1, 62).as_first(&account(3)).unwrap();
    world.fails(3, vec![change], FailureCode::ReplacedAlready);
}

/// A chain that goes on from version 1 has a record that ends before all this.
#[test]
fn a_record_of_version_one_gets_owners_and_wishes() {
    let mut world = world();
    let record = CommitteeRecord { replaced: None, ..world.committee_record() };
    world.state.insert(committee_key(), record.to_bytes());
    assert_eq!(world.committee_record(), record);
    let change = set_parameters(&world, |p| p.claim_lag_max = 77);
    decide(&mut world, &change);
    assert_eq!(world.wanted().claim_lag_max, 77);
    let change = world.set_owner(1, &new_key(200));
    assert_eq!(world.owner_does(1, &owner(1), change), OK);
    assert_eq!(world.wanted().claim_lag_max, 77);
}
