//! Grants of version 2: their kinds of writes, their end, and how they are taken back (V34).

use crate::common::*;
use rustorium_execution::*;
use rustorium_types::*;

const PUT: Rights = Rights { put: true, delete: false };
const DELETE: Rights = Rights { put: false, delete: true };
const NOT_ALLOWED: Outcome = Outcome::Failed { code: FailureCode::NotAllowed, operation: 0 };

fn grant_of(to: usize, rights: Rights, prefixes: &[&[u8]], until_ms: Option<u64>) -> Operation2 {
    let prefixes = BoundedVec::new(prefixes.iter().map(|prefix| key(prefix)).collect()).unwrap();
    Operation2::Grant { to: account(to), rights, prefixes, until_ms }
}

/// Executes a block in which account 0 grants.
fn give(world: &mut World, operation: Operation2) -> Outcome {
    let first = world.sign(0, vec![]);
    let authority = Authority::of_key(first.body.public_key).unwrap();
    let transaction = with_operations(authority, &first, vec![operation]);
    assert!(transaction.is_known_to(Rules::V2));
    let least = least_work_of(Rules::V2, &transaction);
    let receipt = world.run_listed(&[transaction]).receipts.remove(0);
    assert!(receipt.work <= least, "what it declares is enough");
    receipt.outcome
}

fn leaf(world: &World) -> Option<&Vec<u8>> {
    world.state.get(&grant_key(account(0), account(1)))
}

#[test]
fn each_right_allows_its_own_kind_of_write() {
    let mut world = World::new();
    world.ok(0, vec![put(0, b"a/old", b"1"), put(0, b"b", b"1")]);
    assert_eq!(give(&mut world, grant_of(1, PUT, &[b"a/"], None)), Outcome::Ok);
    world.ok(1, vec![put(0, b"a/new", b"1")]);
    assert_eq!(world.outcome(1, vec![delete(0, b"a/old")]), NOT_ALLOWED);
    assert_eq!(world.outcome(1, vec![put(0, b"b", b"2")]), NOT_ALLOWED, "another prefix");
    assert_eq!(give(&mut world, grant_of(1, DELETE, &[b"a/"], None)), Outcome::Ok, "in place of the other one");
    assert_eq!(world.outcome(1, vec![put(0, b"a/new", b"2")]), NOT_ALLOWED);
    world.ok(1, vec![delete(0, b"a/old")]);
    assert_eq!(world.outcome(2, vec![delete(0, b"a/new")]), NOT_ALLOWED, "another account");
}

/// The end is by header time, and the first moment without the right is the one that is named.
#[test]
fn a_grant_ends_at_its_time() {
    let mut world = World::new();
    let until_ms = world.header.time_ms + 30;
    assert_eq!(give(&mut world, grant_of(1, Rights::ALL, &[b"a"], Some(until_ms))), Outcome::Ok);
    world.ok(1, vec![put(0, b"a", b"1")]);
    assert_eq!(world.header.time_ms, until_ms - 10);
    assert_eq!(world.outcome(1, vec![put(0, b"a", b"2")]), NOT_ALLOWED);
    assert_eq!(world.header.time_ms, until_ms);
    assert_eq!(world.outcome(1, vec![delete(0, b"a")]), NOT_ALLOWED);
    world.ok(0, vec![put(0, b"a", b"3")]);
}

#[test]
fn what_is_taken_back_frees_its_storage() {
    let nothing = [
        grant_of(1, Rights::default(), &[b"a"], None),
        grant_of(1, Rights::default(), &[], None),
        grant_of(1, PUT, &[], None),
        grant_of(1, Rights::ALL, &[], None),
        grant_of(1, Rights::ALL, &[b"a"], Some(0)),
    ];
    for operation in nothing {
        let mut world = World::new();
        let before = world.storage_left(0);
        let accounts: Vec<_> = (0..ACCOUNTS).map(account).collect();
        let total = world.storage_total(&accounts);
        assert_eq!(give(&mut world, grant_of(1, PUT, &[b"a", b"bc"], Some(u64::MAX))), Outcome::Ok);
        // The tag, the rights, the end, the number of prefixes, each with its length, and the era.
        assert_eq!(before - world.storage_left(0), LEAF_KEY_BYTES + 1 + 1 + 9 + 4 + 5 + 6 + 4);
        assert_eq!(world.storage_total(&accounts), total);
        assert_eq!(give(&mut world, operation.clone()), Outcome::Ok, "{operation:?}");
        assert_eq!((leaf(&world), world.storage_left(0)), (None, before), "{operation:?}");
        assert_eq!(world.outcome(1, vec![put(0, b"a", b"1")]), NOT_ALLOWED);
        assert_eq!(world.storage_total(&accounts), total);
    }
}

/// A grant in the form of version 1 is one of both rights without an end, whatever the form of its transaction.
#[test]
fn both_forms_of_a_grant_have_one_leaf() {
    let (mut first, mut second) = (World::new(), World::new());
    first.ok(0, vec![grant(1, &[b"a"])]);
    assert_eq!(give(&mut second, grant_of(1, Rights::ALL, &[b"a"], None)), Outcome::Ok);
    assert_eq!(leaf(&first), leaf(&second));
    assert_eq!(leaf(&first), Some(&encode(&vec![key(b"a")])));
    for world in [&mut first, &mut second] {
        world.ok(1, vec![put(0, b"a", b"1"), delete(0, b"a")]);
    }
    assert_eq!(give(&mut first, grant_of(1, PUT, &[b"a"], None)), Outcome::Ok, "an old leaf is replaced");
    assert_eq!(leaf(&first).and_then(|bytes| bytes.first()), Some(&0xF2));
    first.ok(0, vec![grant(1, &[b"a"])]);
    assert_eq!(leaf(&first), leaf(&second));
}

/// A leaf that version 1 wrote is read as it was meant.
#[test]
fn leaves_of_version_1_stay_grants() {
    let mut world = World::new();
    world.state.insert(grant_key(account(0), account(1)), encode(&vec![key(b"a")]));
    world.ok(1, vec![put(0, b"a", b"1"), delete(0, b"a")]);
    assert_eq!(world.outcome(1, vec![put(0, b"b", b"1")]), NOT_ALLOWED);
}

#[test]
fn a_grant_to_nobody_fails() {
    let mut world = World::new();
    let failed = give(&mut world, grant_of(ACCOUNTS + 5, PUT, &[b"a"], None));
    assert_eq!(failed, Outcome::Failed { code: FailureCode::NoSuchAccount, operation: 0 });
}

/// A grant's price is that of its largest form: what it declares as least work always suffices.
#[test]
fn the_largest_grant_costs_what_it_declares() {
    let mut world = World::of(genesis_of(ACCOUNTS, 100_000, Parameters::default()));
    let long = vec![7; limits::KEY_BYTES_MAX];
    let prefixes = [long.as_slice(); limits::GRANT_PREFIXES_MAX];
    assert_eq!(give(&mut world, grant_of(1, PUT, &prefixes, Some(u64::MAX))), Outcome::Ok);
    world.ok(1, vec![put(0, &long, b"1")]);
}
