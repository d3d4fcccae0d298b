//! Rules of version 2 for new keys: possession (R46), one place in a committee (R45), and how often an owner may act.

use crate::common::*;
use rustorium_crypto::SigningKey;
use rustorium_execution::*;
use rustorium_types::*;

/// Accounts 0 to 2 are operators, two of whom must agree; account 3 is the owner of validator 1.
fn owned() -> World {
    let operators = BoundedVec::new((0..3).map(|number| signer(number).public()).collect()).unwrap();
    let mut made = make_genesis(Parameters { operators, operator_quorum: 2, ..Parameters::default() });
    let mut validators = made.validators.to_vec();
    validators[1].owner_key = signer(3).public();
    made.validators = BoundedVec::new(validators).unwrap();
    World::of(made)
}

fn record(world: &World) -> CommitteeRecord {
    CommitteeRecord::read(&MemState(&world.state)).unwrap()
}

fn newcomer(seed: u8) -> Validator {
    Validator {
        name: BoundedBytes::new(format!("new-{seed}").into_bytes()).unwrap(),
        validator_key: new_key(seed).public(),
        node_key: new_key(seed + 10).public(),
        owner_key: new_key(seed + 20).public(),
        region: 0,
        address: BoundedBytes::default(),
    }
}

fn add(world: &World, seed: u8) -> Operation {
    let validator = newcomer(seed);
    let chain = world.header.chain;
    let possession = possession(chain, validator.owner_key, &new_key(seed), &new_key(seed + 10));
    Operation::AddProven { validator, possession }
}

/// Gives validator 1, whose key is `old`, the keys of a seed.
fn replace(world: &World, old: PublicKey, seed: u8) -> Operation {
    let (validator, node) = (new_key(seed), new_key(seed + 10));
    Operation::ReplaceProven {
        validator_key: old,
        new_validator_key: validator.public(),
        new_node_key: node.public(),
        possession: possession(world.header.chain, signer(3).public(), &validator, &node),
    }
}

fn operators_agree(world: &mut World, change: &Operation) {
    world.ok(0, vec![change.clone()]);
    world.ok(1, vec![change.clone()]);
}

#[test]
fn both_new_keys_must_have_signed_for_this_owner_on_this_chain() {
    let mut world = owned();
    let (chain, validator) = (world.header.chain, newcomer(200));
    let (own, node) = (new_key(200), new_key(210));
    let other = SigningKey::from_seed(&[9; 32]);
    let good = possession(chain, validator.owner_key, &own, &node);
    let bad = [
        Possession { validator: [0; 64], ..good },
        Possession { node: [0; 64], ..good },
        Possession { validator: good.node, node: good.validator },
        possession(ChainId([1; 32]), validator.owner_key, &own, &node),
        possession(chain, signer(3).public(), &own, &node),
        possession(chain, validator.owner_key, &own, &other),
        possession(chain, validator.owner_key, &other, &node),
    ];
    for possession in bad {
        let change = Operation::AddProven { validator: validator.clone(), possession };
        world.fails(0, vec![change], FailureCode::NotPossessed);
    }
    world.fails(0, vec![Operation::AddValidator { validator: validator.clone() }], FailureCode::NotPossessed);
    operators_agree(&mut world, &Operation::AddProven { validator: validator.clone(), possession: good });
    assert_eq!(record(&world).target[4], validator);
}

#[test]
fn an_owner_cannot_use_a_key_that_another_published() {
    let mut world = owned();
    let old = validator_key(1).public();
    // The owner of validator 1 knows the newcomer's public keys and its proof, which is for the newcomer's owner.
    let Operation::AddProven { possession, .. } = add(&world, 200) else { panic!("not an addition") };
    let squat = Operation::ReplaceProven {
        validator_key: old,
        new_validator_key: new_key(200).public(),
        new_node_key: new_key(210).public(),
        possession,
    };
    world.fails(3, vec![squat], FailureCode::NotPossessed);
    let (new_validator_key, new_node_key) = (new_key(200).public(), new_key(210).public());
    let unproven = Operation::ReplaceKey { validator_key: old, new_validator_key, new_node_key };
    world.fails(3, vec![unproven], FailureCode::NotAnOperator);
    let change = add(&world, 200);
    operators_agree(&mut world, &change);
    assert_eq!(record(&world).target.len(), 5);
}

#[test]
fn an_owner_alone_replaces_its_keys_once_an_epoch_and_operators_when_they_agree() {
    let mut world = owned();
    let first = replace(&world, validator_key(1).public(), 60);
    world.ok(3, vec![first]);
    let again = replace(&world, new_key(60).public(), 61);
    world.fails(3, vec![again.clone()], FailureCode::ReplacedAlready);
    operators_agree(&mut world, &again);
    assert_eq!(record(&world).target[1].validator_key, new_key(61).public());
    // A change by operators doesn't use up the owner's turn, and the owner's next turn begins only with the next epoch.
    let third = replace(&world, new_key(61).public(), 62);
    world.ok(3, vec![third]);
    let fourth = replace(&world, new_key(62).public(), 63);
    world.fails(3, vec![fourth.clone()], FailureCode::ReplacedAlready);
    world.header.epoch = world.header.epoch.next();
    world.ok(3, vec![fourth]);
    assert_eq!(record(&world).replaced.unwrap().keys.to_vec(), [new_key(63).public()]);
}

#[test]
fn a_key_that_was_in_a_committee_never_comes_back() {
    let mut world = owned();
    let storage = world.storage_left(3);
    let first = replace(&world, validator_key(1).public(), 60);
    world.ok(3, vec![first]);
    let leaf = storage - world.storage_left(3);
    assert!((2 * LEAF_KEY_BYTES..400).contains(&leaf), "the owner pays for {leaf} bytes: both old keys and its turn");
    world.header.epoch = world.header.epoch.next();
    // The old validator key, for a validator of another owner; and the old node key.
    let owner = newcomer(200).owner_key;
    let (old, node) = (validator_key(1), SigningKey::from_seed(&[111; 32]));
    for (own, node) in [(&old, &new_key(210)), (&new_key(200), &node)] {
        let validator = Validator { validator_key: own.public(), node_key: node.public(), ..newcomer(200) };
        let possession = possession(world.header.chain, owner, own, node);
        world.fails(0, vec![Operation::AddProven { validator, possession }], FailureCode::KeyRetired);
    }
    // A validator that left doesn't come back with its keys either.
    let change = add(&world, 200);
    operators_agree(&mut world, &change);
    operators_agree(&mut world, &Operation::RemoveValidator { validator_key: new_key(200).public() });
    let back = add(&world, 200);
    world.fails(0, vec![back], FailureCode::KeyRetired);
    let other = add(&world, 201);
    operators_agree(&mut world, &other);
}

#[test]
fn a_node_may_keep_its_identity_with_a_new_validator_key() {
    let mut world = owned();
    let node = SigningKey::from_seed(&[111; 32]);
    assert_eq!(record(&world).target[1].node_key, node.public());
    for (old, seed) in [(validator_key(1), 60), (new_key(60), 61)] {
        let own = new_key(seed);
        let change = Operation::ReplaceProven {
            validator_key: old.public(),
            new_validator_key: own.public(),
            new_node_key: node.public(),
            possession: possession(world.header.chain, signer(3).public(), &own, &node),
        };
        world.ok(3, vec![change]);
        world.header.epoch = world.header.epoch.next();
    }
    assert_eq!(record(&world).target[1].node_key, node.public());
}

#[test]
fn operators_end_an_epoch_and_remove_as_before() {
    let mut world = owned();
    operators_agree(&mut world, &Operation::EndEpoch { epoch: Epoch(0) });
    assert_eq!(record(&world).end_asked, Some(Epoch(0)));
    world.fails(2, vec![Operation::EndEpoch { epoch: Epoch(0) }], FailureCode::AlreadyApproved);
    operators_agree(&mut world, &Operation::RemoveValidator { validator_key: validator_key(0).public() });
    assert_eq!(record(&world).target.len(), 3);
    let change = add(&world, 200);
    world.fails(3, vec![change], FailureCode::NotAnOperator);
}

#[test]
fn a_record_of_either_version_is_read_as_its_own() {
    let world = owned();
    let second = record(&world);
    assert_eq!(second.replaced, Some(Replaced::default()));
    assert_eq!(CommitteeRecord::from_bytes(&second.to_bytes()).unwrap(), second);
    let first = CommitteeRecord { replaced: None, ..second.clone() };
    assert_eq!(CommitteeRecord::from_bytes(&first.to_bytes()).unwrap(), first);
    assert_ne!(first.to_bytes(), second.to_bytes());
    assert!(CommitteeRecord::from_bytes(&[first.to_bytes(), vec![0]].concat()).is_err());
    let operators = BoundedVec::new((0..16).map(|seed| [seed; 32]).collect()).unwrap();
    let not_leading = BoundedVec::new((0..16).map(|seed| [seed; 32]).collect()).unwrap();
    let wanted = Parameters { operators, operator_quorum: 9, not_leading, ..Parameters::default() };
    let wanted = Some(Box::new(wanted));
    let wanting = CommitteeRecord { wanted: wanted.clone(), ..second.clone() };
    assert_eq!(CommitteeRecord::from_bytes(&wanting.to_bytes()).unwrap(), wanting);
    assert!(CommitteeRecord::from_bytes(&[wanting.to_bytes(), vec![0]].concat()).is_err());
    // One that says of everything later that there is none would be a second form.
    assert!(CommitteeRecord::from_bytes(&[second.to_bytes(), vec![0, 0, 0]].concat()).is_err());
    // The largest record fits a leaf.
    let fill = |seed: u8| Validator {
        name: BoundedBytes::new(vec![b'n'; 64]).unwrap(),
        address: BoundedBytes::new(vec![b'a'; 128]).unwrap(),
        validator_key: [seed; 32],
        ..newcomer(0)
    };
    let keys = BoundedVec::new((0..128).map(|seed| [seed; 32]).collect()).unwrap();
    let numbers = || BoundedVec::new(vec![u32::MAX; 128]).unwrap();
    let owners = Owners { numbers: numbers(), next: u32::MAX, epoch: Epoch(u64::MAX), changed: numbers() };
    let numbered = CommitteeRecord { owners: Some(Box::new(owners.clone())), ..second.clone() };
    assert_eq!(CommitteeRecord::from_bytes(&numbered.to_bytes()).unwrap(), numbered);
    let largest = CommitteeRecord {
        target: BoundedVec::new((0..128).map(fill).collect()).unwrap(),
        end_asked: Some(Epoch(u64::MAX)),
        replaced: Some(Replaced { epoch: Epoch(u64::MAX), keys }),
        wanted,
        owners: Some(Box::new(owners)),
        wait: Some(OperatorsWait { proposal: u64::MAX, from_ms: u64::MAX, least_ms: u64::MAX }),
        upgrade: Some(Upgrade { version: 3, not_before_ms: u64::MAX, epoch: Epoch(u64::MAX), places: u128::MAX }),
    };
    let bytes = largest.to_bytes();
    assert!(bytes.len() <= limits::VALUE_BYTES_MAX, "{}", bytes.len());
    assert_eq!(CommitteeRecord::from_bytes(&bytes).unwrap(), largest);
}

/// A key of small order: any signature with this R and with s = 0 is valid under it.
const SMALL: PublicKey = [0; 32];

fn signed_by_nobody() -> Signature {
    let mut signature = [0; 64];
    signature[0] = 1;
    signature
}

#[test]
fn keys_of_small_order_come_nowhere_under_version_two() {
    let mut world = owned();
    let account = Operation::CreateAccount { region: 0, public_key: SMALL, storage_bytes: 0 };
    world.fails(3, vec![account], FailureCode::NotPossessed);
    let (chain, validator) = (world.header.chain, newcomer(200));
    let good = possession(chain, validator.owner_key, &new_key(200), &new_key(210));
    let forged = Possession { validator: signed_by_nobody(), ..good };
    let weak = Validator { validator_key: SMALL, ..validator.clone() };
    world.fails(0, vec![Operation::AddProven { validator: weak, possession: forged }], FailureCode::NotPossessed);
    let owner = Validator { owner_key: SMALL, ..validator };
    let possession = possession(chain, SMALL, &new_key(200), &new_key(210));
    world.fails(0, vec![Operation::AddProven { validator: owner, possession }], FailureCode::NotPossessed);
}

#[test]
fn version_one_takes_keys_of_small_order_as_ever() {
    let mut world = World::with(Parameters::of(Rules::V1));
    let account = Operation::CreateAccount { region: 0, public_key: SMALL, storage_bytes: 0 };
    world.ok(0, vec![account]);
}
