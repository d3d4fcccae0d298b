//! Pools of shielded value: rules L1 to L11 (docs/spec/shielded.md), and the conservation of value.

use crate::common::*;
use crate::pool::*;
use rustorium_crypto::{pool_account, pool_digest, transaction_id};
use rustorium_execution::*;
use rustorium_types::*;
use rustorium_zk::shielded::note::AssetTag;
use rustorium_zk::shielded::prove::DEVNET_VERIFYING_KEY;
use rustorium_zk::shielded::transfer::Plan;
use rustorium_zk::shielded::tree::Tree;

fn failed(code: FailureCode, operation: u16) -> Outcome {
    Outcome::Failed { code, operation }
}

#[test]
fn value_comes_in_moves_and_leaves() {
    let mut world = pool_world();
    let (mut alice, mut bob) = (Payer::new(0), Payer::new(1));
    let (all, storage) = (supply(&world), paid_storage(&world));
    assert_eq!(head(&world).root, Tree::default().root().to_bytes());

    let before = head(&world);
    let shield = alice.shield(&world, 600);
    world.ok(0, vec![shield.clone()]);
    assert_eq!((world.balance(0, gold()), pool_balance(&world)), (400, 600));
    let after = head(&world);
    assert_eq!((after.roots, after.transfers()), (1, 1));
    let record = &world.state[&pool_key(NUMBER, PoolRow::Record(0))];
    assert_eq!(after.digest, pool_digest(&before.digest, record), "the head vouches for the record");
    alice.scan(&world);

    let pay = alice.pay(&world, bob.address(), 250);
    world.ok(0, vec![pay]);
    assert_eq!(pool_balance(&world), 600, "nothing crossed the edge");
    alice.scan(&world);
    bob.scan(&world);
    let tag = AssetTag::new(&pool_of(&world, NUMBER), &gold());
    assert_eq!((alice.wallet.balance(tag), bob.wallet.balance(tag)), (350, 250));

    let leave = bob.unshield(&world, 2, 100);
    world.ok(1, vec![leave]);
    bob.scan(&world);
    assert_eq!((world.balance(2, gold()), pool_balance(&world), bob.wallet.balance(tag)), (1_100, 500, 150));
    assert_eq!((supply(&world), paid_storage(&world)), (all, storage), "value and storage are conserved");
    for nullifier in nullifiers(&shield) {
        assert_eq!(world.state[&pool_key(NUMBER, PoolRow::Spent(nullifier))], 0u64.to_le_bytes());
    }
    // All value can leave the pool, and then the balance's leaf is removed.
    let all_of_it = bob.unshield(&world, 2, 150);
    world.ok(1, vec![all_of_it]);
    alice.scan(&world);
    let rest = alice.unshield(&world, 0, 350);
    world.ok(0, vec![rest]);
    assert!(!world.state.contains_key(&balance_key(pool_account(NUMBER), gold())));
    assert_eq!((supply(&world), paid_storage(&world)), (all, storage));
}

#[test]
fn a_pool_under_a_key_of_its_own_takes_proofs_of_that_keys_file_alone() {
    let mut world = World::of(make_pool_genesis(&[NUMBER], &OPENED.verifying_key()));
    let (mut alice, mut bob) = (Payer::with(0, &OPENED), Payer::with(1, &OPENED));
    let forged = Payer::new(0).shield(&world, 600);
    world.fails(0, vec![forged], FailureCode::NotProved);
    let shield = alice.shield(&world, 600);
    world.ok(0, vec![shield]);
    alice.scan(&world);
    let pay = alice.pay(&world, bob.address(), 250);
    world.ok(0, vec![pay]);
    bob.scan(&world);
    let tag = AssetTag::new(&pool_of(&world, NUMBER), &gold());
    assert_eq!((pool_balance(&world), bob.wallet.balance(tag)), (600, 250));
}

fn nullifiers(operation: &Operation) -> [PublicInput; 2] {
    let mut found = [[0; 32]; 2];
    with(operation.clone(), |transfer| found = transfer.nullifiers);
    found
}

#[test]
fn a_note_is_spent_once() {
    let mut world = pool_world();
    let (mut alice, bob) = (Payer::new(0), Payer::new(1));
    let shield = alice.shield(&world, 600);
    // The same operation twice in one transaction.
    world.fails(0, vec![shield.clone(), shield.clone()], FailureCode::NoteSpent);
    world.ok(0, vec![shield.clone()]);
    world.fails(0, vec![shield], FailureCode::NoteSpent);
    alice.scan(&world);
    let first = alice.pay(&world, bob.address(), 100);
    let second = alice.pay(&world, bob.address(), 200);
    assert!(nullifiers(&first).iter().any(|one| nullifiers(&second).contains(one)), "both spend the note");
    // Two spends of one note in one transaction, in one block, in two blocks.
    world.fails(0, vec![first.clone(), second.clone()], FailureCode::NoteSpent);
    let nonce = world.record(account(0)).unwrap().nonce;
    let both = [world.sign_at(0, nonce, vec![first.clone()]), world.sign_at(0, nonce + 1, vec![second.clone()])];
    let outcomes: Vec<Outcome> = world.run(&both).receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ok, failed(FailureCode::NoteSpent, 0)]);
    world.fails(0, vec![first.clone()], FailureCode::NoteSpent);
    // One nullifier in both places spends nothing twice.
    let same = with(second, |transfer| transfer.nullifiers[1] = transfer.nullifiers[0]);
    world.fails(0, vec![same], FailureCode::NoteSpent);
    // A restarted node has only the state, and looks there.
    let mut restarted = World { state: world.state.clone(), ..pool_world() };
    restarted.fails(0, vec![first], FailureCode::NoteSpent);
}

#[test]
fn a_failed_transaction_leaves_nothing_in_the_pool() {
    let mut world = pool_world();
    let (mut alice, mut bob) = (Payer::new(0), Payer::new(1));
    let (from_alice, from_bob) = (alice.shield(&world, 600), bob.shield(&world, 70));
    let before = head(&world);
    world.fails(0, vec![from_alice.clone(), delete(0, b"none")], FailureCode::NoSuchKey);
    assert_eq!(head(&world), before);
    // The block also has a valid transaction, which takes the place.
    let block = [world.sign(0, vec![from_alice.clone(), delete(0, b"none")]), world.sign(1, vec![from_bob])];
    let outcomes: Vec<Outcome> = world.run(&block).receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(outcomes, [failed(FailureCode::NoSuchKey, 1), Outcome::Ok]);
    assert_eq!((head(&world).transfers(), pool_balance(&world)), (1, 70));
    bob.scan(&world);
    world.ok(0, vec![from_alice]);
    alice.scan(&world);
}

#[test]
fn a_proof_holds_for_its_sender_asset_amount_and_receiver_alone() {
    let mut world = pool_world();
    let mut alice = Payer::new(0);
    let shield = alice.shield(&world, 600);
    let Operation::Shield { transfer, .. } = &shield else { panic!() };
    let transfer = || transfer.clone();
    let not_proved = FailureCode::NotProved;
    world.fails(1, vec![shield.clone()], not_proved);
    world.ok(1, vec![issue(b"TIN", 0, 900)]);
    let tin = rustorium_crypto::asset_id(&account(1), b"TIN");
    world.fails(0, vec![Operation::Shield { pool: NUMBER, asset: tin, amount: 600, transfer: transfer() }], not_proved);
    for amount in [599, 601] {
        world.fails(
            0,
            vec![Operation::Shield { pool: NUMBER, asset: gold(), amount, transfer: transfer() }],
            not_proved,
        );
    }
    // The transfer is invalid in another pool under the same key, and as another kind of operation.
    world.fails(0, vec![Operation::Shield { pool: 9, asset: gold(), amount: 600, transfer: transfer() }], not_proved);
    world.fails(0, vec![Operation::ShieldedTransfer { pool: NUMBER, transfer: transfer() }], not_proved);
    for change in [
        |transfer: &mut PoolTransfer| transfer.sealed[0] ^= 1,
        |transfer: &mut PoolTransfer| transfer.commitments.swap(0, 1),
        |transfer: &mut PoolTransfer| transfer.nullifiers.swap(0, 1),
    ] {
        world.fails(0, vec![with(shield.clone(), change)], not_proved);
    }
    world.ok(0, vec![shield]);
    alice.scan(&world);
    let leave = alice.unshield(&world, 2, 100);
    let Operation::Unshield { transfer, .. } = &leave else { panic!() };
    let stolen = |amount, to: usize| Operation::Unshield {
        pool: NUMBER,
        asset: gold(),
        amount,
        to: account(to),
        transfer: transfer.clone(),
    };
    world.fails(0, vec![stolen(100, 1)], not_proved);
    world.fails(0, vec![stolen(101, 2)], not_proved);
    world.fails(2, vec![leave.clone()], not_proved);
    world.ok(0, vec![leave]);
}

#[test]
fn malformed_or_excessive_transfers_are_refused_by_name() {
    let mut world = pool_world();
    let mut alice = Payer::new(0);
    let shield = alice.shield(&world, 600);
    let bad = FailureCode::BadTransfer;
    for change in [
        |transfer: &mut PoolTransfer| transfer.root = [255; 32],
        |transfer: &mut PoolTransfer| transfer.nullifiers[1] = [255; 32],
        |transfer: &mut PoolTransfer| transfer.commitments[0] = [255; 32],
        |transfer: &mut PoolTransfer| transfer.proof = [0; 256],
        |transfer: &mut PoolTransfer| transfer.proof[255] ^= 1,
    ] {
        world.fails(0, vec![with(shield.clone(), change)], bad);
    }
    let transfer = empty;
    let of = |pool, amount| Operation::Shield { pool, asset: gold(), amount, transfer: transfer() };
    world.fails(0, vec![of(2, 600)], FailureCode::NoSuchPool);
    world.fails(0, vec![of(NUMBER, 0)], FailureCode::BadAmount);
    // A root that the pool never had.
    world.fails(0, vec![with(shield.clone(), |transfer| transfer.root[31] ^= 1)], FailureCode::OldRoot);
    world.fails(0, vec![transfer_all(), shield.clone()], FailureCode::InsufficientBalance);
    world.ok(0, vec![shield]);
    alice.scan(&world);
    let leave = alice.unshield(&world, 2, 100);
    let nowhere = match leave.clone() {
        Operation::Unshield { pool, asset, amount, transfer, .. } => {
            Operation::Unshield { pool, asset, amount, to: account(77), transfer }
        }
        other => other,
    };
    world.fails(0, vec![nowhere], FailureCode::NoSuchAccount);
    // However good the proof is, no more can leave than the pool has.
    let key = balance_key(pool_account(NUMBER), gold());
    let held = world.state.insert(key, 99u128.to_le_bytes().to_vec()).unwrap();
    world.fails(0, vec![leave.clone()], FailureCode::PoolBalance);
    world.state.insert(key, held);
    // The sender pays for the records.
    let mut poor = World { state: world.state.clone(), header: world.header.clone(), ..pool_world() };
    let mut record = poor.record(account(0)).unwrap();
    record.storage_bytes_left = 999;
    poor.state.insert(account_key(account(0)), record.to_bytes());
    poor.fails(0, vec![leave.clone()], FailureCode::InsufficientStorage);
    world.ok(0, vec![leave]);
}

fn transfer_all() -> Operation {
    transfer(1, 700)
}

#[test]
fn a_full_tree_takes_no_more() {
    let mut world = pool_world();
    let mut alice = Payer::new(0);
    let shield = alice.shield(&world, 600);
    let mut full = head(&world);
    // One leaf less than the maximum: the bits of 2³² − 2 say which nodes a frontier has.
    let count = u32::MAX as u64 - 1;
    let nodes: u64 = (0..16).map(|level| (count >> (2 * level)) % 4).sum();
    let bytes = [&count.to_le_bytes()[..], &vec![0; 32 * nodes as usize]].concat();
    full.frontier = BoundedBytes::new(bytes).unwrap();
    world.state.insert(pool_key(NUMBER, PoolRow::Head), encode(&full));
    world.fails(0, vec![shield], FailureCode::PoolFull);
}

#[test]
fn a_root_is_good_while_it_is_among_the_newest_1024() {
    let mut world = pool_world();
    let (mut alice, mut bob) = (Payer::new(0), Payer::new(1));
    // All transfers use the empty tree's root, number 0, which is among the 1,024 newest up to number 1,023.
    let [first, second] = [alice.shield(&world, 10), alice.shield(&world, 20)];
    let third = bob.shield(&world, 30);
    let mut aged = head(&world);
    aged.roots = 1_022;
    world.state.insert(pool_key(NUMBER, PoolRow::Head), encode(&aged));
    world.ok(0, vec![first]);
    assert_eq!(head(&world).roots, 1_023);
    // Roots are looked up in the state before the block: both transfers of the block are good, and the block's own root
    // isn't.
    let nonce = world.record(account(0)).unwrap().nonce;
    let block = [world.sign_at(0, nonce, vec![second])];
    assert_eq!(world.run(&block).receipts[0].outcome, Outcome::Ok);
    assert_eq!(head(&world).roots, 1_024);
    let empty_root = Tree::default().root().to_bytes();
    assert!(!world.state.contains_key(&pool_key(NUMBER, PoolRow::Root(empty_root))), "it made room");
    assert_eq!(world.state[&pool_key(NUMBER, PoolRow::slot(1_024))], head(&world).root);
    world.fails(1, vec![third], FailureCode::OldRoot);
    bob.scan(&world);
    let newer = bob.shield(&world, 30);
    world.ok(1, vec![newer]);
}

#[test]
fn a_blocks_own_root_comes_with_its_end() {
    let mut world = pool_world();
    let mut alice = Payer::new(0);
    let shield = alice.shield(&world, 600);
    let mut ahead = World { state: world.state.clone(), ..pool_world() };
    ahead.ok(0, vec![shield.clone()]);
    alice.scan(&ahead);
    let pay = alice.unshield(&ahead, 2, 100);
    let nonce = world.record(account(0)).unwrap().nonce;
    let block = [world.sign_at(0, nonce, vec![shield]), world.sign_at(0, nonce + 1, vec![pay])];
    let outcomes: Vec<Outcome> = world.run(&block).receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ok, failed(FailureCode::OldRoot, 0)]);
}

#[test]
fn a_genesis_has_pools_in_order_with_keys_of_transfers() {
    assert_eq!(check_genesis(&make_pool_genesis(&[0, 1, u32::MAX], DEVNET_VERIFYING_KEY)), Ok(()));
    let refused = |numbers: &[u32], key: &[u8]| check_genesis(&make_pool_genesis(numbers, key)).unwrap_err();
    assert_eq!(refused(&[1, 1], DEVNET_VERIFYING_KEY), GenesisRefused::PoolOrder(1));
    assert_eq!(refused(&[2, 1], DEVNET_VERIFYING_KEY), GenesisRefused::PoolOrder(1));
    let key = DEVNET_VERIFYING_KEY;
    for broken in [&[][..], &key[..key.len() - 1], &key[..key.len() - 64], &[key, &key[key.len() - 64..]].concat()] {
        assert_eq!(refused(&[1], broken), GenesisRefused::PoolKey(1));
    }
    // The key is in the chain's id.
    let ids = [make_pool_genesis(&[1], key), make_pool_genesis(&[2], key), make_pool_genesis(&[], key)];
    let ids = ids.map(|genesis| hashes(&genesis, ShardId::ROOT).chain);
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
}

/// Random operations of three owners, valid and invalid: after each the total value and the paid bytes are the same,
/// and a replay of the whole chain gives the same result.
#[test]
fn value_is_conserved() {
    let mut world = pool_world();
    let mut payers: Vec<Payer> = (0..3).map(Payer::new).collect();
    let tag = AssetTag::new(&pool_of(&world, NUMBER), &gold());
    let (all, storage) = (supply(&world), paid_storage(&world));
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let (mut blocks, mut replays) = (Vec::new(), Vec::new());
    for step in 0..14 {
        let [from, to] = [next(3) as usize, next(3) as usize];
        let have = u64::try_from(payers[from].wallet.balance(tag)).unwrap();
        let address = payers[to].address();
        let payer = &mut payers[from];
        let two = payer.wallet.merge(pool_of(&world, NUMBER), tag).unwrap().filter(|_| step % 3 == 2);
        let operation = match (two, next(3)) {
            (Some(plan), _) => merge(payer, &plan),
            (None, 0) if have > 1 => match payer.wallet.select(tag, u128::from(have / 2)) {
                Ok(_) => payer.pay(&world, address, have / 2),
                Err(_) => payer.shield(&world, 1),
            },
            (None, 1) if have > 1 && payer.wallet.unspent().len() < 3 => payer.unshield(&world, to, have - 1),
            _ => payer.shield(&world, 1 + next(50)),
        };
        // Also operations that must fail: an earlier one again, and this one from another sender.
        let other = (from + 1) % 3;
        let mut block = vec![world.sign(from, vec![operation.clone()]), world.sign(other, vec![operation.clone()])];
        if let Some(again) = replays.last().cloned() {
            block.push(world.sign((from + 2) % 3, vec![again]));
        }
        let execution = world.run(&block);
        assert_eq!(execution.receipts[0].outcome, Outcome::Ok, "step {step}: {operation:?}");
        assert!(execution.receipts[1..].iter().all(|receipt| receipt.outcome != Outcome::Ok), "step {step}");
        assert_eq!((supply(&world), paid_storage(&world)), (all, storage), "step {step}");
        payers.iter_mut().for_each(|payer| payer.scan(&world));
        let hidden: u128 = payers.iter().map(|payer| payer.wallet.balance(tag)).sum();
        assert_eq!(hidden, pool_balance(&world), "step {step}: what wallets hold is what the pool holds");
        blocks.push(block);
        replays.push(operation);
    }
    let mut replayed = pool_world();
    blocks.iter().for_each(|block| drop(replayed.run(block)));
    assert_eq!((replayed.root, &replayed.state), (world.root, &world.state));
}

fn merge(payer: &mut Payer, plan: &Plan) -> Operation {
    payer.prove_plan(plan, Operation::ShieldedTransfer { pool: NUMBER, transfer: empty() })
}

#[test]
fn many_transfers_in_a_block_have_the_result_of_each_alone() {
    let mut world = pool_world();
    let mut payers: Vec<Payer> = (0..3).map(Payer::new).collect();
    let mut operations: Vec<Operation> = payers.iter_mut().map(|payer| payer.shield(&world, 40)).collect();
    let Operation::Shield { transfer: other, .. } = operations[0].clone() else { panic!() };
    operations[1] = with(operations[1].clone(), |transfer| transfer.proof = other.proof);
    let block: Vec<Transaction1> =
        operations.iter().enumerate().map(|(sender, operation)| world.sign(sender, vec![operation.clone()])).collect();
    let together: Vec<Outcome> =
        world.look(&world.next_header(), &block).receipts.iter().map(|receipt| receipt.outcome).collect();
    assert_eq!(together, [Outcome::Ok, failed(FailureCode::NotProved, 0), Outcome::Ok]);
    let ids: Vec<TxId> = block.iter().map(|one| transaction_id(&one.body)).collect();
    for (transaction, (outcome, id)) in block.iter().zip(together.iter().zip(ids)) {
        let receipts = world.run(std::slice::from_ref(transaction)).receipts;
        assert_eq!((receipts[0].outcome, receipts[0].transaction), (*outcome, id));
        let work = receipts[0].work;
        assert!(work <= worst_case_work(Rules::V2, &transaction.body), "{work}");
    }
}
