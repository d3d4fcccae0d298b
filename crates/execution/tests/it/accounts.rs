//! Accounts of several keys, and records of accounts in the form of version 2.

use crate::common::*;
use proptest::prelude::*;
use rustorium_crypto::{authority_account, authority_hash};
use rustorium_execution::*;
use rustorium_types::*;

/// The account that two of these three keys open.
fn two_of_three() -> (Authority, AccountId) {
    let authority = authority_of(2, &[20, 21, 22]);
    let account = authority_account(REGION, &authority);
    (authority, account)
}

/// A transaction of account 0 that creates the account of an authority.
fn creation(world: &World, authority: &Authority, storage_bytes: u64) -> Transaction {
    let create = Operation2::CreateAccount { region: REGION, authority: authority.clone(), storage_bytes };
    let nobody = world.sign(0, vec![]);
    with_operations(Authority::of_key(signer(0).public()).unwrap(), &nobody, vec![create])
}

/// A transaction of this account with the next nonce, by this authority.
fn by(world: &World, sender: AccountId, authority: &Authority, operations: Vec<Operation>) -> Transaction {
    let mut first = world.sign_at(0, world.record(sender).map_or(0, |record| record.nonce), operations);
    first.body.sender = sender;
    by_authority(authority.clone(), &first)
}

fn shared() -> (World, Authority, AccountId) {
    let mut world = World::new();
    let (authority, account) = two_of_three();
    let made = creation(&world, &authority, 2_000);
    assert_eq!(world.run_listed(&[made]).receipts[0].outcome, Outcome::Ok);
    // Its quota grows with header time.
    world.header.time_ms += 60_000;
    (world, authority, account)
}

fn result(world: &World, transaction: Transaction) -> Result<Outcome, Skip> {
    let execution = world.look_at(&world.next_header(), &[transaction]);
    execution.receipts.first().map(|receipt| receipt.outcome).ok_or_else(|| execution.skipped[0].1)
}

/// V26, V27: the id names the authority, the record its hash, and the sponsor pays a constant for the record.
#[test]
fn an_account_of_several_keys_is_created() {
    let (world, authority, account) = shared();
    let record = world.record(account).unwrap();
    assert_eq!((record.signer, record.nonce), (Signer::Many(authority_hash(&authority)), 0));
    assert_eq!((record.storage_bytes_left, record.work.left, record.history.left), (2_000, 0, 0));
    assert_eq!(world.storage_left(0), STORAGE - 2_000 - NEW_RECORD_STORAGE);
    let again = creation(&world, &authority, 0);
    let failed = Outcome::Failed { code: FailureCode::AccountExists, operation: 0 };
    assert_eq!(result(&world, again), Ok(failed));
    let other = creation(&world, &authority_of(1, &[20, 21, 22]), 0);
    assert_eq!(result(&world, other), Ok(Outcome::Ok), "another threshold opens another account");
    let dear = creation(&world, &authority_of(3, &[20, 21, 22]), STORAGE - 2_000 - 2 * NEW_RECORD_STORAGE + 1);
    let failed = Outcome::Failed { code: FailureCode::InsufficientStorage, operation: 0 };
    assert_eq!(result(&world, dear), Ok(failed));
}

/// V21, V60: it costs what an account of one key costs, besides its bytes.
#[test]
fn an_account_of_several_keys_has_the_price_of_any() {
    let world = World::new();
    let work = |authority: &Authority| {
        let made = creation(&world, authority, 0);
        let bytes = (encode(&made).len() as u64).div_ceil(work2::BYTES_PER_UNIT);
        let declared = least_work_of(Rules::V2, &made);
        let receipt = world.look_at(&world.next_header(), &[made]).receipts.remove(0);
        assert_eq!((receipt.outcome, receipt.work), (Outcome::Ok, declared));
        declared - bytes
    };
    assert_eq!(work(&authority_of(2, &[20, 21])), work(&authority_of(1, &[20])));
}

/// V18, V28: exactly the authority that the record names acts for the account.
#[test]
fn no_other_authority_acts_for_an_account_of_several_keys() {
    let (world, authority, account) = shared();
    let operations = || {
        let (key, value) = (key(b"k"), Value::new(b"v".to_vec()).unwrap());
        vec![Operation::Put { namespace: account, key, value }]
    };
    assert_eq!(result(&world, by(&world, account, &authority, operations())), Ok(Outcome::Ok));
    for (threshold, keys) in [
        (1, &[20][..]),
        (1, &[20, 21, 22]),
        (3, &[20, 21, 22]),
        (2, &[20, 21]),
        (2, &[20, 21, 22, 23]),
        (2, &[0, 20, 21]),
    ] {
        let other = by(&world, account, &authority_of(threshold, keys), operations());
        assert_eq!(result(&world, other), Err(Skip::WrongKey), "{threshold} of {keys:?}");
    }
    let mut first = world.sign_at(20, 0, operations());
    first.body.sender = account;
    assert_eq!(result(&world, first.into()), Err(Skip::WrongKey), "the form of version 1 has one key");
}

/// An account of several keys gets what others send, and grants name it as any other.
#[test]
fn an_account_of_several_keys_holds_and_writes_what_others_do() {
    let (mut world, authority, account) = shared();
    let asset = gold();
    world.ok(1, vec![Operation::Transfer { to: account, asset, amount: 7 }]);
    let prefixes = BoundedVec::new(vec![key(b"a")]).unwrap();
    world.ok(1, vec![Operation::Grant { to: account, prefixes }]);
    let made = by(&world, account, &authority, vec![put(1, b"ab", b"v"), transfer(2, 3)]);
    assert_eq!(world.run_listed(&[made]).receipts[0].outcome, Outcome::Ok);
    assert_eq!((world.balance(2, asset), world.value(1, b"ab")), (1_003, Some(&b"v".to_vec())));
    let govern = by(&world, account, &authority, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    let failed = Outcome::Failed { code: FailureCode::NotAnOperator, operation: 0 };
    assert_eq!(result(&world, govern), Ok(failed), "operators and owners are single keys");
}

fn set(authority: &Authority) -> Operation2 {
    let settings = AuthoritySettings { authority: authority.clone(), delay_ms: 0, recovery: None };
    Operation2::SetAuthority { settings, void_grants: false }
}

/// A transaction of account 0 with this nonce, by this authority.
fn of_zero(world: &World, nonce: u64, authority: &Authority, operations: Vec<Operation2>) -> Transaction {
    with_operations(authority.clone(), &world.sign_at(0, nonce, vec![]), operations)
}

fn put_own(name: &[u8]) -> Operation2 {
    Operation2::Put { namespace: None, key: key(name), value: Value::default() }
}

/// V26, V29: from the next transaction on the new authority acts, and the former one doesn't; the address and all that the
/// account has stay.
#[test]
fn an_account_gets_other_keys_at_once_and_keeps_its_address() {
    let mut world = World::new();
    let (one, two, other) = (authority_of(1, &[0]), authority_of(2, &[20, 21, 22]), authority_of(1, &[23]));
    let (record, balance) = (world.record(account(0)).unwrap(), world.balance(0, gold()));
    // The rest of the transaction is still that of the keys that signed it.
    let change = of_zero(&world, 0, &one, vec![set(&two), put_own(b"a")]);
    let block = [
        change,
        of_zero(&world, 1, &one, vec![put_own(b"former")]),
        of_zero(&world, 1, &two, vec![put_own(b"b"), set(&other)]),
        of_zero(&world, 2, &two, vec![put_own(b"former")]),
        of_zero(&world, 2, &other, vec![put_own(b"c")]),
    ];
    let execution = world.run_listed(&block);
    let outcomes: Vec<_> = execution.receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ok; 3]);
    assert_eq!(execution.skipped.iter().map(|(_, skip)| *skip).collect::<Vec<_>>(), [Skip::WrongKey; 2]);
    assert!([&b"a"[..], b"b", b"c"].iter().all(|name| world.value(0, name).is_some()));
    assert!(world.value(0, b"former").is_none());
    let after = world.record(account(0)).unwrap();
    assert_eq!((after.signer, after.nonce), (Signer::Single(signer(23).public()), 3));
    assert_eq!(world.balance(0, gold()), balance);
    assert_eq!(after.storage_bytes_left, record.storage_bytes_left - 3 * LEAF_KEY_BYTES);
    // The new key alone also signs in the form of version 1.
    let mut first = world.sign_at(23, 3, vec![transfer(1, 5)]);
    first.body.sender = account(0);
    assert_eq!(result(&world, first.into()), Ok(Outcome::Ok));
    assert_eq!(result(&world, world.sign(0, vec![]).into()), Err(Skip::WrongKey));
    // Nobody else gets the address by the first key.
    let failed = Outcome::Failed { code: FailureCode::AccountExists, operation: 0 };
    assert_eq!(result(&world, world.sign(1, vec![create(0, 0)]).into()), Ok(failed));
}

/// A change in a transaction that fails isn't one, and the change has its price.
#[test]
fn a_failed_change_of_keys_changes_none() {
    let mut world = World::new();
    let (one, two) = (authority_of(1, &[0]), authority_of(2, &[20, 21]));
    let missing = Operation2::Delete { namespace: None, key: key(b"none") };
    let failing = of_zero(&world, 0, &one, vec![set(&two), missing]);
    let next = [of_zero(&world, 1, &two, vec![]), of_zero(&world, 1, &one, vec![])];
    let before = world.state.clone();
    assert_ne!(world.run_listed(&[failing]).receipts[0].outcome, Outcome::Ok);
    world.assert_only_nonce_and_quota_changed(&before, account(0));
    assert_eq!(result(&world, next[0].clone()), Err(Skip::WrongKey));
    assert_eq!(result(&world, next[1].clone()), Ok(Outcome::Ok));
    let price = |operations| least_work_of(Rules::V2, &of_zero(&world, 1, &one, operations));
    let bytes = (encode(&set(&two)).len() as u64).div_ceil(work2::BYTES_PER_UNIT);
    assert!((bytes - 1..=bytes).contains(&(price(vec![set(&two)]) - price(vec![]) - work2::SET_AUTHORITY)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A model that knows no records says which transactions act: those of the authority that the last change left, whether
    /// they share a block with it or not.
    #[test]
    fn the_authority_of_the_moment_acts_and_no_other(
        steps in prop::collection::vec((0..4usize, prop::option::of(0..4usize), any::<bool>()), 1..24),
        block in 1..8usize,
    ) {
        let mut world = World::new();
        let authorities =
            [(1, &[0][..]), (2, &[20, 21]), (1, &[20, 21]), (1, &[22])].map(|(threshold, keys)| authority_of(threshold, keys));
        let (mut present, mut nonce) = (0, 0);
        for steps in steps.chunks(block) {
            let (mut listed, mut receipts, mut skipped) = (Vec::new(), 0, 0);
            for (by, change, fails) in steps {
                let changes = change.map(|to| set(&authorities[to]));
                let failing = fails.then(|| Operation2::Delete { namespace: None, key: key(b"none") });
                let operations = changes.into_iter().chain(failing).collect();
                listed.push(of_zero(&world, nonce, &authorities[*by], operations));
                if *by != present {
                    skipped += 1;
                    continue;
                }
                (receipts, nonce) = (receipts + 1, nonce + 1);
                if !fails {
                    present = change.unwrap_or(present);
                }
            }
            let execution = world.run_listed(&listed);
            let wrong = execution.skipped.iter().filter(|(_, skip)| *skip == Skip::WrongKey).count();
            prop_assert_eq!((execution.receipts.len(), wrong), (receipts, skipped));
            prop_assert_eq!(world.record(account(0)).unwrap().signer, rustorium_crypto::signer(&authorities[present]));
        }
    }
}

fn length(world: &World, number: usize) -> usize {
    world.state[&account_key(account(number))].len()
}

/// V27: a record of version 1 gets the form of version 2 with its next change, and its charge stays.
#[test]
fn records_of_version_one_are_rewritten_when_they_change_and_not_before() {
    let mut world = World::new();
    let everyone: Vec<AccountId> = (0..ACCOUNTS).map(account).collect();
    let total = world.storage_total(&everyone);
    assert_eq!((0..4).map(|number| length(&world, number)).collect::<Vec<_>>(), [64; 4]);
    let before = world.record(account(1)).unwrap();
    world.ok(0, vec![transfer(1, 5)]);
    assert_eq!([length(&world, 0), length(&world, 1)], [83, 64], "the receiver's record is only read");
    assert_eq!(world.record(account(1)), Some(before), "both forms say the same");
    world.ok(1, vec![grant(2, &[b"k"])]);
    assert_eq!([length(&world, 1), length(&world, 2)], [83, 64]);
    world.ok(3, vec![grant(2, &[b"k"])]);
    world.ok(2, vec![put(3, b"k", b"v")]);
    assert_eq!(world.storage_total(&everyone), total);
}

/// A failed transaction changes its sender's record alone: not even the form of another one.
#[test]
fn a_failed_transaction_rewrites_no_record_but_its_senders() {
    let mut world = World::new();
    world.ok(3, vec![grant(0, &[b""])]);
    let key = account_key(account(3));
    let first = AccountRecord::from_bytes(&make_first(&world, 3)).unwrap();
    world.state.insert(key, first.to_bytes());
    world.fails(0, vec![put(3, b"k", b"v"), delete(3, b"none")], FailureCode::NoSuchKey);
    assert_eq!(length(&world, 3), 64);
    world.ok(0, vec![put(3, b"k", b"v"), delete(3, b"k")]);
    assert_eq!(length(&world, 3), 64, "a record that ends as it began isn't written");
}

/// An account's record in the form of version 1.
fn make_first(world: &World, number: usize) -> Vec<u8> {
    let AccountRecord2 { nonce, storage_bytes_left, .. } = world.record(account(number)).unwrap();
    let public_key = signer(number).public();
    AccountRecord { public_key, nonce, quota_left: 1, quota_at_ms: 2, storage_bytes_left }.to_bytes()
}

/// V15: under version 1 no such account exists, and no record has another form.
#[test]
fn version_one_makes_no_record_of_version_two() {
    let mut world = World::with(Parameters::of(Rules::V1));
    world.ok(0, vec![create(9, 500), transfer(9, 5)]);
    assert_eq!((length(&world, 0), length(&world, 9)), (64, 64));
    assert_eq!(world.storage_left(0), STORAGE - 500 - 128 - 80);
    let skipped = world.look_at(&world.next_header(), &[creation(&world, &two_of_three().0, 0)]).skipped;
    assert_eq!(skipped[0].1, Skip::WrongVersion);
}
