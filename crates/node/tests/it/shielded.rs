//! A pool of shielded value on a node that was filled from a snapshot, lost power, and pruned its history. The node
//! refuses a note that was spent before, accepts roots of the window, and appends leaves as the others do.

use crate::chain::{self, account, account_of_lane, admitted, id_of};
use crate::net::Net;
use crate::state_sync::{World, fold, root, same_state};
use rustorium_execution::{PoolHead, PoolRow, pool_key, shielded_context};
use rustorium_node::statesync::JoinOutcome;
use rustorium_shard::Event;
use rustorium_storage::{HistoryStore, MemStore, Store};
use rustorium_types::limits::{SEALED_BYTES, TRANSFER_PROOF_BYTES};
use rustorium_types::*;
use rustorium_zk::shielded::keys::SpendingKey;
use rustorium_zk::shielded::note::{AssetTag, Pool};
use rustorium_zk::shielded::prove::{DEVNET_VERIFYING_KEY, Prover};
use rustorium_zk::shielded::scan::{Record, ViewingKey, Wallet};
use rustorium_zk::shielded::transfer::{Flow, prepare};
use std::num::NonZeroU64;
use std::sync::Arc;

const POOL: u32 = 1;
/// The asset of which each account of the genesis has 1,000.
const GOLD: AssetId = AssetId([7; 32]);
/// The node that is filled, loses power and prunes.
const VICTIM: usize = 3;

fn net() -> Net {
    let pool = GenesisPool { number: POOL, key: BoundedBytes::new(DEVNET_VERIFYING_KEY.to_vec()).unwrap() };
    Net::on(Genesis { pools: BoundedVec::new(vec![pool]).unwrap(), ..chain::genesis() }, 4)
}

fn row(store: &MemStore, row: PoolRow) -> Option<Vec<u8>> {
    store.state(&pool_key(POOL, row)).unwrap()
}

fn head(store: &MemStore) -> PoolHead {
    PoolHead::from_bytes(&row(store, PoolRow::Head).unwrap()).unwrap()
}

/// An owner of notes, who sends from the account whose home is node 0.
struct Payer {
    key: SpendingKey,
    wallet: Wallet,
    prover: Prover,
    entropy: u8,
}

impl Payer {
    fn new() -> Self {
        let key = SpendingKey::derive(&[1; 32], 0);
        let wallet = Wallet::new(ViewingKey::Full(key.viewing().clone()));
        Self { key, wallet, prover: Prover::insecure_devnet().unwrap(), entropy: 0 }
    }

    /// Reads the pool's records in the store, which lead to its head.
    fn scan(&mut self, store: &MemStore) {
        let record = |number| Record::from_bytes(&row(store, PoolRow::Record(number)).unwrap().try_into().unwrap());
        let seen = self.wallet.position() / 2;
        let records: Result<Vec<Record>, _> = (seen..head(store).transfers()).map(record).collect();
        self.wallet.scan(&records.unwrap()).unwrap();
        assert_eq!(self.wallet.root().to_bytes(), head(store).root);
    }

    /// Proves that value enters or leaves.
    fn prove(&mut self, net: &Net, flow: Flow) -> Operation {
        let sender = account(account_of_lane(0));
        let pool = Pool { chain: rustorium_crypto::chain_id(&net.genesis), number: POOL };
        let transfer = Box::new(PoolTransfer {
            root: [0; 32],
            nullifiers: [[0; 32]; 2],
            commitments: [[0; 32]; 2],
            sealed: [0; SEALED_BYTES],
            proof: [0; TRANSFER_PROOF_BYTES],
        });
        let mut operation = match flow {
            Flow::In(amount) => Operation::Shield { pool: POOL, asset: GOLD, amount: amount.get(), transfer },
            Flow::Out(amount) => {
                Operation::Unshield { pool: POOL, asset: GOLD, amount: amount.get(), to: account(1), transfer }
            }
        };
        self.entropy += 1;
        let plan = self.wallet.plan(pool, AssetTag::new(&pool, &GOLD), None, Some(flow)).unwrap();
        let made = prepare(&self.key, &plan, &shielded_context(&sender, &operation), &[self.entropy; 32]).unwrap();
        let proof = self.prover.prove(&made, &[self.entropy; 32]).unwrap();
        let (Operation::Shield { transfer, .. } | Operation::Unshield { transfer, .. }) = &mut operation else {
            panic!()
        };
        transfer.root = made.statement.root().to_bytes();
        transfer.nullifiers = made.statement.nullifiers().map(|one| one.to_bytes());
        transfer.commitments = made.statement.commitments().map(|one| one.to_bytes());
        transfer.sealed = made.sealed.to_bytes();
        transfer.proof = proof.try_into().unwrap();
        operation
    }
}

fn flow(amount: u64, make: impl Fn(NonZeroU64) -> Flow) -> Flow {
    make(NonZeroU64::new(amount).unwrap())
}

/// Has a transaction executed by all running nodes; returns its result, which is the same everywhere.
fn send(net: &mut Net, operation: &Operation) -> Outcome {
    let transaction = net.next_of(account_of_lane(0), vec![operation.clone()]);
    let event = Event::Transactions { transactions: vec![admitted(&transaction)], from_client: true };
    net.ports(0).events.push_back(event);
    let id = id_of(&transaction);
    let nodes: Vec<usize> = (0..4).filter(|index| net.nodes[*index].up).collect();
    // Views of a leader that is away, or hasn't yet learned what it signed, are passed over.
    for _ in 0..12 {
        net.advance(500_000);
        net.heartbeats();
        if nodes.iter().all(|index| net.is_final(*index, &id)) {
            let outcomes: Vec<_> = nodes
                .iter()
                .map(|index| net.store(*index).transaction(&id).unwrap().unwrap().receipt.outcome)
                .collect();
            assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
            return outcomes[0];
        }
        net.nullify();
    }
    panic!("it isn't final everywhere: {:?}", nodes.iter().map(|index| net.height(*index)).collect::<Vec<_>>());
}

/// Compares the pool of the victim with that of node 0.
fn same_pool(net: &Net, spent: &[PublicInput]) {
    let (mine, theirs) = (net.store(VICTIM), net.store(0));
    let newest = head(theirs);
    assert_eq!(head(mine), newest, "root, digest and frontier");
    for number in 0..=newest.roots {
        let root = row(theirs, PoolRow::slot(number)).unwrap();
        assert_eq!(row(mine, PoolRow::slot(number)).as_ref(), Some(&root));
        assert_eq!(row(mine, PoolRow::Root(root.try_into().unwrap())), Some(number.to_le_bytes().to_vec()));
    }
    assert!(spent.iter().all(|nullifier| row(mine, PoolRow::Spent(*nullifier)).is_some()));
}

fn nullifiers(operation: &Operation) -> [PublicInput; 2] {
    let (Operation::Shield { transfer, .. } | Operation::Unshield { transfer, .. }) = operation else { panic!() };
    transfer.nullifiers
}

/// Checks on the current node: old notes are spent, earlier roots are good, and new records are appended.
fn goes_on(net: &mut Net, payer: &mut Payer, old: &[Operation], with_root_of_before: &Operation) {
    let spent = Outcome::Failed { code: FailureCode::NoteSpent, operation: 0 };
    for operation in old {
        assert_eq!(send(net, operation), spent);
    }
    assert_eq!(send(net, with_root_of_before), Outcome::Ok);
    payer.scan(net.store(VICTIM));
    let newest = payer.prove(net, flow(5, Flow::In));
    assert_eq!(send(net, &newest), Outcome::Ok);
    payer.scan(net.store(VICTIM));
    let spent: Vec<_> = old.iter().chain([with_root_of_before, &newest]).flat_map(nullifiers).collect();
    same_pool(net, &spent);
}

#[test]
fn a_node_that_is_filled_loses_power_and_forgets_refuses_spent_notes_and_knows_window_and_frontier() {
    let (mut net, mut payer) = (net(), Payer::new());
    let shield = payer.prove(&net, flow(600, Flow::In));
    // Three transfers with the empty tree's root, for later: each spends its own dummies.
    let later: Vec<Operation> = [10, 20, 30].map(|amount| payer.prove(&net, flow(amount, Flow::In))).into();
    assert_eq!(send(&mut net, &shield), Outcome::Ok);
    payer.scan(net.store(0));
    let unshield = payer.prove(&net, flow(100, Flow::Out));
    assert_eq!(send(&mut net, &unshield), Outcome::Ok);
    payer.scan(net.store(0));
    let mut old = vec![shield, unshield];
    root(&mut net, 4);
    net.stop(VICTIM);

    // The disk is replaced: all data comes from a snapshot.
    let mut world = World::new(net);
    let store = Arc::new(MemStore::new());
    let joining = world.join(store.clone());
    world.serve(0, false);
    assert!(matches!(joining.end(), JoinOutcome::Filled(_)));
    same_state(&world.net, &store);
    let World { mut net, .. } = world;
    net.filled(VICTIM, store);
    net.advance(3_000_000);
    same_pool(&net, &old.iter().flat_map(nullifiers).collect::<Vec<_>>());
    goes_on(&mut net, &mut payer, &old, &later[0]);
    old.push(later[0].clone());

    // The node prunes all heights that it may.
    root(&mut net, 2);
    fold(&net, net.store(VICTIM).clone());
    let (store, kept) = (net.store(VICTIM), net.store(VICTIM).kept().oldest_height);
    let pruned = store.prune(store.tip().unwrap().height).unwrap();
    assert!(pruned.oldest_height > kept, "{pruned:?}");
    goes_on(&mut net, &mut payer, &old, &later[1]);
    old.push(later[1].clone());

    // It starts again with what is on its disk.
    net.stop(VICTIM);
    let store = net.store(VICTIM).clone();
    net.filled(VICTIM, store);
    net.advance(3_000_000);
    goes_on(&mut net, &mut payer, &old, &later[2]);
}
