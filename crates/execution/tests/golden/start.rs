//! The accounts, validators and names of the golden chain, and its genesis under version 1.

use crate::common::*;
use crate::pool::{NUMBER, empty};
use rustorium_crypto::SigningKey;
use rustorium_execution::*;
use rustorium_types::*;
use rustorium_zk::shielded::prove::DEVNET_VERIFYING_KEY;
use std::sync::LazyLock;

/// Accounts of the genesis. The first three are operators.
pub const FOUNDERS: usize = 24;
/// Founders who send transactions at random. The others only make shielded transfers.
pub const BUSY: usize = 20;
pub const OPERATORS: usize = 3;
/// Accounts with the keys of the genesis validators' owners. They are created on the chain, like others below 150.
pub const OWNERS: [usize; 4] = [119, 120, 121, 122];
pub const CREATED: usize = 150;
/// Numbers of accounts; those from `CREATED` on never exist.
pub const NUMBERS: usize = 160;
/// The pool whose tree is full from the start.
pub const FULL_POOL: u32 = 9;

#[derive(Clone, Copy)]
pub struct Person {
    pub key: PublicKey,
    pub account: AccountId,
}

pub static PEOPLE: LazyLock<Vec<Person>> =
    LazyLock::new(|| (0..NUMBERS).map(|n| Person { key: signer(n).public(), account: account(n) }).collect());

pub static NAMES: LazyLock<Vec<Key>> =
    LazyLock::new(|| (0..40).map(|n| key(format!("{}/{n}", ["a", "b", "ab", "c"][n % 4]).as_bytes())).collect());

/// Validators that operators may add.
pub static CANDIDATES: LazyLock<Vec<Validator>> = LazyLock::new(|| {
    let candidate = |n: u8| Validator {
        name: BoundedBytes::new(vec![b'm', b'a' + n]).unwrap(),
        validator_key: of_seed(201 + n),
        node_key: of_seed(221 + n),
        owner_key: PEOPLE[OWNERS[usize::from(n) % 4]].key,
        region: n,
        address: BoundedBytes::new(b"m.example:26650".to_vec()).unwrap(),
    };
    (0..12).map(candidate).collect()
});

/// New keys for validators: validator key and node key.
pub static SPARE_KEYS: LazyLock<Vec<(PublicKey, PublicKey)>> =
    LazyLock::new(|| (0..8).map(|n| (of_seed(234 + n), of_seed(242 + n))).collect());

fn of_seed(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public()
}

/// Returns the chain at height 0. Two leaves differ from those of its genesis, because no replay gets that far: one
/// pool is nearly at its 1,024th root, and the other's tree has room for less than one transfer.
pub fn start() -> World {
    let parameters = Parameters {
        transaction_writes_max: 16,
        quota_work_max: 400_000,
        quota_work_per_s: 100_000,
        operators: BoundedVec::new(PEOPLE[..OPERATORS].iter().map(|person| person.key).collect()).unwrap(),
        operator_quorum: 2,
        ..Parameters::of(Rules::V1)
    };
    let key = BoundedBytes::new(DEVNET_VERIFYING_KEY.to_vec()).unwrap();
    let pools = [NUMBER, FULL_POOL].map(|number| GenesisPool { number, key: key.clone() });
    let pools = BoundedVec::new(pools.to_vec()).unwrap();
    let mut world = World::of(Genesis { pools, ..genesis_of(FOUNDERS, 1 << 30, parameters) });
    change_head(&mut world, NUMBER, |head| head.roots = 1_022);
    let count = u64::from(u32::MAX) - 1;
    let nodes: u64 = (0..16).map(|level| (count >> (2 * level)) % 4).sum();
    let frontier = [&count.to_le_bytes()[..], &vec![0; 32 * nodes as usize]].concat();
    change_head(&mut world, FULL_POOL, |head| head.frontier = BoundedBytes::new(frontier).unwrap());
    world
}

pub fn head_of(world: &World, pool: u32) -> PoolHead {
    PoolHead::from_bytes(&world.state[&pool_key(pool, PoolRow::Head)]).unwrap()
}

fn change_head(world: &mut World, pool: u32, change: impl FnOnce(&mut PoolHead)) {
    let mut head = head_of(world, pool);
    change(&mut head);
    world.state.insert(pool_key(pool, PoolRow::Head), encode(&head));
}

/// Returns the transfer of an operation on a pool.
pub fn transfer_of(operation: &Operation) -> PoolTransfer {
    let mut found = *empty();
    crate::pool::with(operation.clone(), |transfer| found = transfer.clone());
    found
}
