//! A chain with a pool of shielded value, and wallets that pay in it.

use crate::common::*;
use rustorium_execution::*;
use rustorium_types::limits::{SEALED_BYTES, TRANSFER_PROOF_BYTES};
use rustorium_types::*;
use rustorium_zk::ceremony::{Relation, encode_proving_key, open_prover};
use rustorium_zk::shielded::keys::{Address, SpendingKey};
use rustorium_zk::shielded::memo::Memo;
use rustorium_zk::shielded::note::{AssetTag, Pool};
use rustorium_zk::shielded::prove::{DEVNET_VERIFYING_KEY, Prover};
use rustorium_zk::shielded::scan::{Record, ViewingKey, Wallet};
use rustorium_zk::shielded::transfer::{Flow, Payment, Plan, prepare};
use std::num::NonZeroU64;
use std::sync::LazyLock;

pub const NUMBER: u32 = 1;
pub static PROVER: LazyLock<Prover> = LazyLock::new(|| Prover::insecure_devnet().unwrap());
/// Wallets under another key, which they open from a ceremony's file.
pub static OPENED: LazyLock<Prover> = LazyLock::new(|| {
    let made = Prover::insecure_of_seed(&[7; 32]).unwrap();
    let file = encode_proving_key(&Relation::transfer().unwrap(), made.proving_key());
    open_prover(Relation::transfer().unwrap(), &file, &made.verifying_key()).unwrap()
});

pub fn make_pool_genesis(numbers: &[u32], key: &[u8]) -> Genesis {
    let pool = |number: &u32| GenesisPool { number: *number, key: BoundedBytes::new(key.to_vec()).unwrap() };
    let pools = BoundedVec::new(numbers.iter().map(pool).collect()).unwrap();
    Genesis { pools, ..make_genesis(Parameters::default()) }
}

pub fn pool_world() -> World {
    World::of(make_pool_genesis(&[NUMBER, 9], DEVNET_VERIFYING_KEY))
}

pub fn pool_of(world: &World, number: u32) -> Pool {
    Pool { chain: world.header.chain, number }
}

pub fn head(world: &World) -> PoolHead {
    PoolHead::from_bytes(&world.state[&pool_key(NUMBER, PoolRow::Head)]).unwrap()
}

/// Returns the pool's balance of gold.
pub fn pool_balance(world: &World) -> u128 {
    let key = balance_key(rustorium_crypto::pool_account(NUMBER), gold());
    world.state.get(&key).map_or(0, |bytes| decode_amount(bytes).unwrap())
}

/// Returns the total of gold.
pub fn supply(world: &World) -> u128 {
    (0..ACCOUNTS).map(|number| world.balance(number, gold())).sum::<u128>() + pool_balance(world)
}

/// Returns the bytes that accounts may store plus those of leaves that somebody paid for.
pub fn paid_storage(world: &World) -> u64 {
    let own = |row| world.state.get(&pool_key(NUMBER, row)).map_or(0, |value| LEAF_KEY_BYTES + value.len() as u64);
    let newest = head(world).roots;
    let roots = (newest.saturating_sub(1023)..=newest).map(|number| {
        let root = &world.state[&pool_key(NUMBER, PoolRow::slot(number))];
        own(PoolRow::slot(number)) + own(PoolRow::Root(root.clone().try_into().unwrap()))
    });
    let unpaid = own(PoolRow::Head) + roots.sum::<u64>();
    world.storage_total(&(0..ACCOUNTS).map(account).collect::<Vec<_>>()) - unpaid
}

/// An owner of notes, who sends from the account of the same number.
pub struct Payer {
    pub number: usize,
    pub key: SpendingKey,
    pub wallet: Wallet,
    prover: &'static Prover,
    entropy: u8,
}

impl Payer {
    pub fn new(number: usize) -> Self {
        let key = SpendingKey::derive(&[number as u8; 32], 0);
        let wallet = Wallet::new(ViewingKey::Full(key.viewing().clone()));
        Self { number, key, wallet, prover: &PROVER, entropy: 0 }
    }

    /// An owner who proves under another key.
    pub fn with(number: usize, prover: &'static Prover) -> Self {
        Self { prover, ..Self::new(number) }
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Reads all records of the state that the wallet hasn't seen.
    pub fn scan(&mut self, world: &World) {
        let seen = self.wallet.position() / 2;
        let records: Vec<Record> = (seen..head(world).transfers())
            .map(|number| {
                let bytes = &world.state[&pool_key(NUMBER, PoolRow::Record(number))];
                Record::from_bytes(bytes.as_slice().try_into().unwrap()).unwrap()
            })
            .collect();
        self.wallet.scan(&records).unwrap();
        assert_eq!(self.wallet.root().to_bytes(), head(world).root, "the wallet came to the ledger's root");
    }

    pub fn shield(&mut self, world: &World, amount: u64) -> Operation {
        let operation = Operation::Shield { pool: NUMBER, asset: gold(), amount, transfer: empty() };
        self.prove(world, None, NonZeroU64::new(amount).map(Flow::In), operation)
    }

    pub fn pay(&mut self, world: &World, to: Address, value: u64) -> Operation {
        let payment = Payment { to, value, memo: Memo::new(b"rent").unwrap() };
        self.prove(world, Some(payment), None, Operation::ShieldedTransfer { pool: NUMBER, transfer: empty() })
    }

    pub fn unshield(&mut self, world: &World, to: usize, amount: u64) -> Operation {
        let operation = Operation::Unshield { pool: NUMBER, asset: gold(), amount, to: account(to), transfer: empty() };
        self.prove(world, None, NonZeroU64::new(amount).map(Flow::Out), operation)
    }

    /// Proves what the operation is to do, and adds the transfer that it lacks.
    fn prove(
        &mut self,
        world: &World,
        payment: Option<Payment>,
        flow: Option<Flow>,
        operation: Operation,
    ) -> Operation {
        let pool = pool_of(world, NUMBER);
        let plan = self.wallet.plan(pool, AssetTag::new(&pool, &gold()), payment, flow).unwrap();
        self.prove_plan(&plan, operation)
    }

    pub fn prove_plan(&mut self, plan: &Plan, operation: Operation) -> Operation {
        self.entropy += 1;
        let context = shielded_context(&account(self.number), &operation);
        let made = prepare(&self.key, plan, &context, &[self.entropy; 32]).unwrap();
        let proof = self.prover.prove(&made, &[self.entropy; 32]).unwrap();
        let statement = &made.statement;
        with(operation, |transfer| {
            transfer.root = statement.root().to_bytes();
            transfer.nullifiers = statement.nullifiers().map(|nullifier| nullifier.to_bytes());
            transfer.commitments = statement.commitments().map(|commitment| commitment.to_bytes());
            transfer.sealed = made.sealed.to_bytes();
            transfer.proof = proof.try_into().unwrap();
        })
    }
}

pub fn empty() -> Box<PoolTransfer> {
    let (sealed, proof) = ([0; SEALED_BYTES], [0; TRANSFER_PROOF_BYTES]);
    Box::new(PoolTransfer { root: [0; 32], nullifiers: [[0; 32]; 2], commitments: [[0; 32]; 2], sealed, proof })
}

/// The operation with its transfer changed.
pub fn with(mut operation: Operation, change: impl FnOnce(&mut PoolTransfer)) -> Operation {
    match &mut operation {
        Operation::Shield { transfer, .. }
        | Operation::ShieldedTransfer { transfer, .. }
        | Operation::Unshield { transfer, .. } => change(transfer),
        other => panic!("{other:?} has no transfer"),
    }
    operation
}
