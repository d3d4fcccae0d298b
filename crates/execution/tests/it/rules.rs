//! One named test for each failure, each skip, and what operations do when they work.

use crate::common::*;
use rustorium_crypto::{asset_id, domain, hash, merkle, transaction_id, value_hash};
use rustorium_execution::work2::{operation_work, transaction_work};
use rustorium_execution::*;
use rustorium_types::*;

#[test]
fn work_limit_stops_at_the_operation_that_would_exceed_it() {
    let mut world = World::new();
    let operations = vec![put(0, b"a", b"1"), put(0, b"b", b"2")];
    let mut transaction = world.sign(0, operations);
    let first = transaction_work(&transaction.body) + operation_work(&account(0), &transaction.body.data[0], 0);
    transaction.body.work_limit = least_work(Rules::V2, &transaction.body) - 1;
    let before = world.state.clone();
    let receipt = world.run(&[transaction]).receipts.remove(0);
    assert_eq!(receipt.outcome, Outcome::Failed { code: FailureCode::WorkLimit, operation: 1 });
    assert_eq!(receipt.work, first);
    world.assert_only_nonce_and_quota_changed(&before, account(0));
}

#[test]
fn a_work_limit_below_the_base_cost_fails_at_once_and_pays_the_base_cost() {
    let mut world = World::new();
    let mut transaction = world.sign(0, vec![]);
    transaction.body.work_limit = 0;
    let base = transaction_work(&transaction.body);
    assert_eq!(declared_work(Rules::V2, &transaction.clone().into()), base);
    let receipt = world.run(&[transaction]).receipts.remove(0);
    assert_eq!(receipt.outcome, Outcome::Failed { code: FailureCode::WorkLimit, operation: 0 });
    let work = world.record(account(0)).unwrap().work;
    assert_eq!(u64::from(work.left), DRAW - base);
}

#[test]
fn exactly_the_least_work_and_what_was_read_suffice_and_are_what_the_receipt_says() {
    let mut world = World::new();
    let operations =
        vec![issue(b"X", 1, 5), grant(1, &[b"k"]), put(0, b"k", b"v"), delete(0, b"k"), transfer(1, 1), create(9, 0)];
    let mut transaction = world.sign(0, operations);
    // The deletion finds a value of one byte.
    transaction.body.work_limit = least_work(Rules::V2, &transaction.body) + 1;
    let receipt = world.run(std::slice::from_ref(&transaction)).receipts.remove(0);
    assert_eq!((receipt.outcome, receipt.work), (Outcome::Ok, transaction.body.work_limit));
}

#[test]
fn precondition_checks_value_absence_and_balance() {
    let mut world = World::new();
    world.ok(0, vec![put(0, b"k", b"v"), put(0, b"empty", b"")]);
    let hash = |name: &[u8], value: &[u8]| {
        Operation::Require(Condition::ValueHash { namespace: account(0), key: key(name), hash: value_hash(value) })
    };
    let absent = |name: &[u8]| Operation::Require(Condition::Absent { namespace: account(0), key: key(name) });
    let balance = |amount| Operation::Require(Condition::BalanceAtLeast { account: account(0), asset: gold(), amount });
    world.ok(1, vec![hash(b"k", b"v"), hash(b"empty", b""), absent(b"other"), balance(1000), balance(0)]);
    let precondition = FailureCode::Precondition;
    world.fails(1, vec![put(1, b"x", b"y"), hash(b"k", b"w")], precondition);
    world.fails(1, vec![hash(b"other", b"")], precondition);
    world.fails(1, vec![absent(b"k")], precondition);
    world.fails(1, vec![absent(b"empty")], precondition);
    world.fails(1, vec![balance(1001)], precondition);
}

#[test]
fn preconditions_see_earlier_operations_and_transactions_of_the_block() {
    let mut world = World::new();
    let is = |value: &[u8]| {
        Operation::Require(Condition::ValueHash { namespace: account(0), key: key(b"k"), hash: value_hash(value) })
    };
    let swap = |from: &[u8], to: &[u8]| vec![is(from), put(0, b"k", to)];
    world.ok(0, vec![put(0, b"k", b"0")]);
    let nonce = world.record(account(0)).unwrap().nonce;
    let block = [
        world.sign_at(0, nonce, swap(b"0", b"1")),
        world.sign_at(0, nonce + 1, swap(b"0", b"2")),
        world.sign_at(0, nonce + 2, swap(b"1", b"3")),
        world.sign(1, vec![is(b"3")]),
    ];
    let outcomes: Vec<_> = world.run(&block).receipts.iter().map(|receipt| receipt.outcome == Outcome::Ok).collect();
    assert_eq!(outcomes, [true, false, true, true]);
    assert_eq!(world.value(0, b"k"), Some(&b"3".to_vec()));
}

#[test]
fn not_allowed_without_a_grant_for_the_prefix_and_after_it_was_taken_back() {
    let mut world = World::new();
    let code = FailureCode::NotAllowed;
    world.fails(1, vec![put(0, b"a/1", b"v")], code);
    world.ok(0, vec![grant(1, &[b"a/", b"b/"])]);
    let owner_left = world.storage_left(0);
    world.ok(1, vec![put(0, b"a/1", b"v"), put(0, b"b/1", b"v"), delete(0, b"b/1")]);
    assert_eq!(world.storage_left(0), owner_left - LEAF_KEY_BYTES - 1, "the namespace's owner pays");
    assert_eq!(world.storage_left(1), STORAGE);
    world.fails(1, vec![put(0, b"c/1", b"v")], code);
    world.fails(1, vec![delete(0, b"c/1")], code);
    world.fails(2, vec![put(0, b"a/1", b"v")], code);
    world.ok(0, vec![grant(1, &[b"c"])]);
    world.fails(1, vec![delete(0, b"a/1")], code);
    world.ok(0, vec![grant(1, &[b""])]);
    world.ok(1, vec![delete(0, b"a/1")]);
    world.ok(0, vec![grant(1, &[])]);
    world.fails(1, vec![put(0, b"c", b"v")], code);
    assert_eq!(world.storage_left(0), STORAGE, "the grant's bytes came back");
    world.ok(0, vec![grant(1, &[])]);
}

#[test]
fn insufficient_balance() {
    let mut world = World::new();
    world.fails(0, vec![transfer(1, 600), transfer(1, 401)], FailureCode::InsufficientBalance);
    let other = AssetId([8; 32]);
    let operation = Operation::Transfer { to: account(1), asset: other, amount: 1 };
    world.fails(0, vec![operation], FailureCode::InsufficientBalance);
}

#[test]
fn a_transfer_moves_all_and_the_emptied_leaf_gives_its_bytes_back() {
    let mut world = World::new();
    world.ok(0, vec![transfer(1, 1000)]);
    assert_eq!((world.balance(0, gold()), world.balance(1, gold())), (0, 2000));
    assert!(!world.state.contains_key(&balance_key(account(0), gold())));
    assert_eq!(world.storage_left(0), STORAGE + LEAF_KEY_BYTES + 16);
    // The sender pays for the receiver's new leaf.
    world.ok(1, vec![transfer(0, 1)]);
    assert_eq!(world.storage_left(1), STORAGE - LEAF_KEY_BYTES - 16);
    world.ok(1, vec![transfer(1, 1999)]);
    assert_eq!(world.balance(1, gold()), 1999);
}

#[test]
fn insufficient_storage_for_a_value_an_account_or_a_receivers_leaf() {
    let code = FailureCode::InsufficientStorage;
    let mut world = World::new();
    let most = STORAGE - LEAF_KEY_BYTES;
    world.fails(0, vec![put(0, b"k", &vec![0; most as usize + 1])], code);
    world.fails(0, vec![create(9, STORAGE - 127)], code);
    world.fails(0, vec![create(9, u64::MAX)], code);
    world.ok(0, vec![put(0, b"k", &vec![0; most as usize])]);
    assert_eq!(world.storage_left(0), 0);
    world.fails(0, vec![issue(b"X", 1, 1)], code);
    world.fails(0, vec![grant(1, &[b"a"])], code);
    world.ok(0, vec![transfer(1, 1)]);
    world.ok(0, vec![put(0, b"k", b""), issue(b"X", 1, 1)]);
    world.ok(0, vec![delete(0, b"k")]);
}

#[test]
fn no_such_account() {
    let mut world = World::new();
    let code = FailureCode::NoSuchAccount;
    world.fails(0, vec![transfer(9, 1)], code);
    world.fails(0, vec![issue(b"X", 9, 1)], code);
    world.fails(0, vec![grant(9, &[b"a"])], code);
}

#[test]
fn account_exists_and_a_created_one_can_act() {
    let mut world = World::new();
    let code = FailureCode::AccountExists;
    world.fails(0, vec![create(1, 0)], code);
    world.fails(0, vec![create(9, 0), create(9, 0)], code);
    world.ok(0, vec![create(9, 500), transfer(9, 5)]);
    let record = world.record(account(9)).unwrap();
    let signer = Signer::Single(signer(9).public());
    assert_eq!((record.nonce, record.storage_bytes_left, record.signer), (0, 500, signer));
    assert_eq!(world.storage_left(0), STORAGE - 500 - NEW_RECORD_STORAGE - 80);
    assert_eq!((record.work.left, record.history.left), (0, 0));
    world.ok(9, vec![put(9, b"k", b"v"), transfer(0, 5)]);
}

#[test]
fn no_such_key() {
    let mut world = World::new();
    world.fails(0, vec![delete(0, b"k")], FailureCode::NoSuchKey);
    world.fails(0, vec![put(0, b"k", b""), delete(0, b"k"), delete(0, b"k")], FailureCode::NoSuchKey);
}

#[test]
fn bad_amount() {
    let mut world = World::new();
    let code = FailureCode::BadAmount;
    world.fails(0, vec![transfer(1, 0)], code);
    world.fails(0, vec![issue(b"X", 1, 0)], code);
    world.ok(0, vec![issue(b"X", 1, u128::MAX)]);
    world.fails(0, vec![issue(b"X", 1, 1)], code);
    world.ok(0, vec![issue(b"X", 2, 1)]);
    let asset = asset_id(&account(0), b"X");
    world.fails(2, vec![Operation::Transfer { to: account(1), asset, amount: 1 }], code);
}

#[test]
fn bad_symbol() {
    let mut world = World::new();
    for symbol in [&b""[..], b"A B", b"\x7f", "é".as_bytes(), b"\0"] {
        world.fails(0, vec![issue(symbol, 1, 1)], FailureCode::BadSymbol);
    }
    world.ok(0, vec![issue(b"~!16-bytes-long.", 1, 1)]);
}

#[test]
fn too_many_writes_counts_leaves_not_operations() {
    let mut world = World::with(Parameters { transaction_writes_max: 3, ..Parameters::default() });
    // The sender's record and two values.
    world.ok(0, vec![put(0, b"a", b"1"), put(0, b"a", b"2"), put(0, b"b", b"1"), put(0, b"b", b"22")]);
    world.fails(0, vec![put(0, b"a", b""), put(0, b"b", b""), put(0, b"c", b"")], FailureCode::TooManyWrites);
}

fn skip_of(world: &World, change: impl FnOnce(&mut Transaction1)) -> Option<Skip> {
    let mut transaction = world.sign(0, vec![put(0, b"k", b"v")]);
    change(&mut transaction);
    let execution = world.look(&world.next_header(), std::slice::from_ref(&transaction));
    let skip = execution.skipped.first().map(|(id, skip)| {
        assert_eq!(*id, transaction_id(&transaction.body));
        *skip
    });
    let untouched = execution.receipts.is_empty() && execution.diff.is_empty() && execution.touched.is_empty();
    assert_eq!(untouched, skip.is_some(), "a skip has no receipt and changes nothing");
    skip
}

#[test]
fn skip_wrong_chain() {
    assert_eq!(skip_of(&World::new(), |t| t.body.chain = ChainId([1; 32])), Some(Skip::WrongChain));
}

#[test]
fn skip_wrong_version() {
    assert_eq!(skip_of(&World::new(), |t| t.body.version += 1), Some(Skip::WrongVersion));
}

#[test]
fn skip_expired_at_the_headers_time_but_not_a_millisecond_before() {
    let world = World::new();
    let now_ms = world.next_header().time_ms;
    assert_eq!(skip_of(&world, |t| t.body.expires_at_ms = now_ms), Some(Skip::Expired));
    assert_eq!(skip_of(&world, |t| t.body.expires_at_ms = now_ms + 1), None);
    // Only admission checks how far ahead an expiry is.
    assert_eq!(skip_of(&world, |t| t.body.expires_at_ms = u64::MAX), None);
}

#[test]
fn skip_unknown_sender() {
    assert_eq!(skip_of(&World::new(), |t| t.body.sender = account(9)), Some(Skip::UnknownSender));
}

#[test]
fn skip_wrong_key() {
    assert_eq!(skip_of(&World::new(), |t| t.body.public_key = signer(1).public()), Some(Skip::WrongKey));
}

#[test]
fn skip_nonce_used_and_nonce_ahead() {
    let mut world = World::new();
    world.ok(0, vec![]);
    assert_eq!(skip_of(&world, |t| t.body.nonce = 0), Some(Skip::NonceUsed { expected: 1 }));
    assert_eq!(skip_of(&world, |t| t.body.nonce = 2), Some(Skip::NonceAhead { expected: 1 }));
    assert_eq!(skip_of(&world, |t| t.body.nonce = u64::MAX), Some(Skip::NonceAhead { expected: 1 }));
    assert_eq!(skip_of(&world, |t| t.body.nonce = 1), None);
}

#[test]
fn the_last_nonce_is_never_used() {
    let mut world = World::new();
    let mut record = world.record(account(0)).unwrap();
    record.nonce = u64::MAX;
    world.state.insert(account_key(account(0)), record.to_bytes());
    assert_eq!(skip_of(&world, |_| ()), Some(Skip::NonceAhead { expected: u64::MAX }));
}

#[test]
fn skip_quota_too_small_until_header_time_refills_it() {
    let parameters = Parameters { quota_work_max: 1_000, quota_work_per_s: 1_000, ..Parameters::default() };
    let mut world = World::with(parameters);
    let sign = |world: &World, work| {
        let mut transaction = world.sign(0, vec![]);
        transaction.body.work_limit = work;
        transaction
    };
    let too_much = sign(&world, 1_001);
    let never = Skip::WorkTooSmall { left: 1_000, ready_at_ms: u64::MAX };
    assert_eq!(world.run(&[too_much]).skipped[0].1, never);
    let all = sign(&world, 1_000);
    assert_eq!(world.run(&[all]).receipts.len(), 1);
    // 10 ms of header time a block: 10 units.
    let (next, taken_ms) = (sign(&world, 700), world.header.time_ms);
    let later = Skip::WorkTooSmall { left: 10, ready_at_ms: taken_ms + 700 };
    assert_eq!(world.run(std::slice::from_ref(&next)).skipped[0].1, later);
    world.header.time_ms = taken_ms + 689;
    assert_eq!(world.run(std::slice::from_ref(&next)).receipts.len(), 0, "a millisecond before it");
    world.header.time_ms = taken_ms + 690;
    assert_eq!(world.run(&[next]).receipts.len(), 1, "declared work is what is taken");
    assert_eq!(world.record(account(0)).unwrap().work.left, 0);
}

#[test]
fn the_same_transaction_twice_has_one_receipt_in_a_block_and_across_blocks() {
    let mut world = World::new();
    let transaction = world.sign(0, vec![put(0, b"k", b"v")]);
    let once = world.look(&world.next_header(), std::slice::from_ref(&transaction));
    let twice = world.run(&[transaction.clone(), transaction.clone()]);
    assert_eq!(twice.receipts, once.receipts);
    assert_eq!((&twice.diff, twice.result_root), (&once.diff, once.result_root));
    assert_eq!(twice.skipped[0].1, Skip::NonceUsed { expected: 1 });
    assert_eq!(world.run(&[transaction]).skipped[0].1, Skip::NonceUsed { expected: 1 });
}

#[test]
fn an_empty_block_changes_no_state_and_moves_the_result_root() {
    let mut world = World::new();
    let before = world.root;
    let execution = world.run(&[]);
    assert!(execution.diff.is_empty());
    assert_eq!(execution.link, ResultLink::default());
    assert_ne!(execution.result_root, before);
}

#[test]
fn a_write_of_the_same_value_is_no_change() {
    let mut world = World::new();
    world.ok(0, vec![put(0, b"k", b"v")]);
    let transaction = world.sign(0, vec![put(0, b"k", b"w"), put(0, b"k", b"v"), put(0, b"t", b""), delete(0, b"t")]);
    let diff = world.run(&[transaction]).diff;
    let keys = diff.iter().map(|write| write.key).filter(|key| *key != sponsor_key(COMMON));
    assert_eq!(keys.collect::<Vec<_>>(), [account_key(account(0))]);
}

#[test]
fn touched_names_the_next_nonce_of_each_sender_by_first_use() {
    let mut world = World::new();
    let block = [world.sign(2, vec![]), world.sign(0, vec![delete(0, b"none")]), world.sign_at(2, 1, vec![])];
    assert_eq!(world.run(&block).touched, [(account(2), 2), (account(0), 1)]);
}

struct Broken;

impl StateRead for Broken {
    fn get(&self, _: &StateKey) -> Result<Option<Vec<u8>>, StateReadError> {
        Err(StateReadError("the disk is gone".into()))
    }
}

impl LimitedRead for Broken {}

#[test]
fn a_state_that_cannot_be_read_or_decoded_is_an_error_not_a_result() {
    let world = World::new();
    let header = world.next_header();
    let transaction = world.sign(0, vec![transfer(1, 1)]).into();
    let input = |transaction| world.input(&header, vec![(TxId::ZERO, transaction)]);
    assert!(execute(&input(&transaction), &Broken).is_err());
    for key in [account_key(account(0)), balance_key(account(1), gold())] {
        let mut state = world.state.clone();
        state.insert(key, vec![1, 2, 3]);
        let error = execute(&input(&transaction), &MemState(&state)).unwrap_err();
        assert!(error.to_string().contains("corrupt"), "{error}");
    }
}

#[test]
fn the_result_binds_each_key_and_value_that_changed() {
    let mut world = World::new();
    world.ok(0, vec![put(0, b"old", b"1")]);
    let look = |value: &[u8]| {
        let transaction = world.sign(0, vec![put(0, b"new", value), delete(0, b"old")]);
        world.look(&world.next_header(), &[transaction])
    };
    let leaf = |write: &LeafWrite| {
        let tag = [u8::from(write.value.is_some())];
        Hash(hash(domain::DIFF, &[&write.key.to_bytes(), &tag, write.value.as_deref().unwrap_or_default()]))
    };
    let (one, other) = (look(b"a"), look(b"b"));
    assert!(one.diff.iter().any(|write| write.value.is_none()));
    assert_eq!(one.link.diff, merkle::root(&one.diff.iter().map(leaf).collect::<Vec<_>>()));
    assert_ne!(one.link.diff, other.link.diff);
    assert_ne!(one.result_root, other.result_root);
}
