//! Wallets, auditors and strangers read the same pool.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::LazyLock;

use proptest::prelude::*;
use rustorium_types::{AssetId, ChainId};
use rustorium_zk::shielded::circuit::TransferCircuit;
use rustorium_zk::shielded::error::ShieldedError;
use rustorium_zk::shielded::keys::{Address, SpendingKey};
use rustorium_zk::shielded::memo::{MEMO_BYTES, Memo, SEALED_BYTES, Sealed};
use rustorium_zk::shielded::note::{AssetTag, Nullifier, Pool};
use rustorium_zk::shielded::prove::{Matrices, assignment};
use rustorium_zk::shielded::scan::{Record, ViewingKey, Wallet};
use rustorium_zk::shielded::transfer::{Flow, Payment, UnprovenTransfer, binding, prepare};
use rustorium_zk::shielded::tree::{RootWindow, Tree};

const POOL: Pool = Pool { chain: ChainId([7; 32]), number: 1 };

static MATRICES: LazyLock<Matrices> = LazyLock::new(|| Matrices::of_transfer().unwrap());

fn asset(number: u8) -> AssetTag {
    AssetTag::new(&POOL, &AssetId([number; 32]))
}

fn key(number: u8) -> SpendingKey {
    SpendingKey::derive(&[number; 32], 0)
}

fn wallet(number: u8) -> Wallet {
    Wallet::new(ViewingKey::Full(key(number).viewing().clone()))
}

fn payment(to: Address, value: u64, memo: &[u8]) -> Payment {
    Payment { to, value, memo: Memo::new(memo).unwrap() }
}

fn record(transfer: &UnprovenTransfer) -> Record {
    Record {
        nullifiers: *transfer.statement.nullifiers(),
        commitments: *transfer.statement.commitments(),
        sealed: transfer.sealed.clone(),
    }
}

/// The state that a ledger keeps of a pool, and its rules without the proof: it checks the proof's witness instead.
#[derive(Default)]
struct Chain {
    tree: Tree,
    roots: RootWindow,
    spent: BTreeSet<Nullifier>,
    block: Vec<Record>,
    transfers: u8,
}

impl Chain {
    fn submit(&mut self, transfer: &UnprovenTransfer) {
        let statement = &transfer.statement;
        assert!(self.roots.contains(&statement.root()));
        for nullifier in statement.nullifiers() {
            assert!(self.spent.insert(*nullifier), "spent twice");
        }
        let circuit = TransferCircuit { public: statement.public_inputs(), witness: transfer.witness.clone() };
        assert_eq!(MATRICES.broken(&assignment(circuit).unwrap()), None);
        self.block.push(record(transfer));
    }

    fn pay(
        &mut self,
        from: (&SpendingKey, &Wallet),
        asset: AssetTag,
        to: Option<Payment>,
        public: Option<Flow>,
    ) -> Result<(), ShieldedError> {
        self.transfers += 1;
        let plan = from.1.plan(POOL, asset, to, public)?;
        let transfer = prepare(from.0, &plan, b"context", &[self.transfers; 32])?;
        self.submit(&transfer);
        Ok(())
    }

    /// Ends the block: its records.
    fn cut(&mut self) -> Vec<Record> {
        let block = std::mem::take(&mut self.block);
        let leaves: Vec<_> = block.iter().flat_map(|record| record.commitments).collect();
        let root = self.tree.append(&leaves).unwrap();
        self.roots.push(root);
        block
    }
}

fn flow_in(value: u64) -> Option<Flow> {
    NonZeroU64::new(value).map(Flow::In)
}

#[test]
fn value_comes_in_moves_and_leaves() {
    let (alice, bob) = (key(1), key(2));
    let (mut of_alice, mut of_bob, mut of_nobody) = (wallet(1), wallet(2), wallet(3));
    let mut auditor = Wallet::new(ViewingKey::Full(alice.viewing().clone()));
    let mut watcher = Wallet::new(ViewingKey::Incoming(bob.viewing().incoming().clone()));
    let mut chain = Chain::default();

    chain.pay((&alice, &of_alice), asset(1), None, flow_in(1_000)).unwrap();
    chain.pay((&alice, &of_alice), asset(2), None, flow_in(50)).unwrap();
    let block = chain.cut();
    let happened = of_alice.scan(&block).unwrap();
    assert_eq!(happened.received.len(), 2);
    for wallet in [&mut of_bob, &mut of_nobody, &mut auditor, &mut watcher] {
        wallet.scan(&block).unwrap();
    }
    assert_eq!((of_alice.balance(asset(1)), of_alice.balance(asset(2))), (1_000, 50));

    let to_bob = payment(bob.address(), 300, b"invoice 17");
    chain.pay((&alice, &of_alice), asset(1), Some(to_bob), None).unwrap();
    let block = chain.cut();
    let happened = of_bob.scan(&block).unwrap();
    let (number, position, opened) = &happened.received[0];
    assert_eq!((*number, opened.note.value, opened.note.asset), (0, 300, asset(1)));
    assert_eq!(opened.memo.message(), b"invoice 17");
    assert!([4, 5].contains(position));
    // The auditor sees what the owner sees: the spend, to whom it went, and the change.
    let by_owner = of_alice.scan(&block).unwrap();
    let by_auditor = auditor.scan(&block).unwrap();
    assert!(by_owner == by_auditor);
    assert_eq!(by_auditor.spent.iter().map(|(_, _, note)| note.value).collect::<Vec<_>>(), [1_000]);
    let sent: BTreeSet<_> = by_auditor.sent[0].1.iter().map(|sent| (sent.to, sent.opened.note.value)).collect();
    assert_eq!(sent, BTreeSet::from([(bob.address(), 300), (alice.address(), 700)]));
    // An owner of the incoming viewing key sees incoming value; nobody else sees anything.
    assert_eq!(watcher.scan(&block).unwrap().received.len(), 1);
    assert_eq!(watcher.balance(asset(1)), 300);
    let nothing = of_nobody.scan(&block).unwrap();
    assert!(nothing.received.is_empty() && nothing.spent.is_empty() && nothing.sent.is_empty());

    let out = NonZeroU64::new(120).map(Flow::Out);
    chain.pay((&bob, &of_bob), asset(1), None, out).unwrap();
    let block = chain.cut();
    of_bob.scan(&block).unwrap();
    watcher.scan(&block).unwrap();
    assert_eq!(of_bob.balance(asset(1)), 180);
    // Without the nullifier key the wallet can't know that the 300 are spent.
    assert_eq!(watcher.balance(asset(1)), 480);
    assert_eq!(of_bob.root(), chain.tree.root());
}

#[test]
fn a_wallet_that_starts_later_or_takes_all_at_once_sees_the_same() {
    let alice = key(1);
    let mut chain = Chain::default();
    let mut steady = wallet(1);
    let mut all = Vec::new();
    chain.pay((&key(2), &wallet(2)), asset(1), None, flow_in(9)).unwrap();
    let before = chain.cut();
    steady.scan(&before).unwrap();
    let birthday = chain.tree.clone();
    for value in 1..=3 {
        chain.pay((&alice, &steady), asset(1), None, flow_in(value)).unwrap();
        let block = chain.cut();
        steady.scan(&block).unwrap();
        all.extend(block);
    }
    chain.pay((&alice, &steady), asset(1), None, NonZeroU64::new(5).map(Flow::Out)).unwrap();
    let block = chain.cut();
    steady.scan(&block).unwrap();
    all.extend(block);
    let mut late = Wallet::since(ViewingKey::Full(alice.viewing().clone()), birthday);
    late.scan(&all).unwrap();
    assert!(late == steady);
    assert_eq!(late.balance(asset(1)), 1);
    assert_eq!(late.position(), 10);
}

#[test]
fn selection_is_of_few_and_small_notes() {
    let alice = key(1);
    let mut chain = Chain::default();
    let mut wallet = wallet(1);
    for value in [10, 20, 30, 40] {
        chain.pay((&alice, &wallet), asset(1), None, flow_in(value)).unwrap();
        wallet.scan(&chain.cut()).unwrap();
    }
    let chosen = |wanted: u128| {
        wallet.select(asset(1), wanted).map(|notes| notes.iter().map(|(note, _)| note.value).collect::<Vec<_>>())
    };
    assert_eq!(chosen(0), Ok(vec![]));
    assert_eq!(chosen(10), Ok(vec![10]));
    assert_eq!(chosen(21), Ok(vec![30]));
    assert_eq!(chosen(41), Ok(vec![10, 40]));
    assert_eq!(chosen(65), Ok(vec![30, 40]));
    assert_eq!(chosen(71), Err(ShieldedError::Scattered { wanted: 71 }));
    assert_eq!(chosen(101), Err(ShieldedError::NotEnough { have: 100, wanted: 101 }));
    assert_eq!(wallet.select(asset(2), 1).err(), Some(ShieldedError::NotEnough { have: 0, wanted: 1 }));
}

fn one_transfer() -> (UnprovenTransfer, SpendingKey, SpendingKey) {
    let (alice, bob) = (key(1), key(2));
    let to_bob = payment(bob.address(), 300, b"hello");
    let plan = wallet(1).plan(POOL, asset(1), Some(to_bob), flow_in(1_000)).unwrap();
    (prepare(&alice, &plan, b"context", &[9; 32]).unwrap(), alice, bob)
}

#[test]
fn changed_ciphertexts_open_for_nobody() {
    let (transfer, alice, bob) = one_transfer();
    let seen = |sealed: &Sealed| {
        let commitments = transfer.statement.commitments();
        let opened = |key: &SpendingKey| key.viewing().incoming().open(commitments, sealed).iter().flatten().count();
        (opened(&alice), opened(&bob), alice.viewing().open_sent(commitments, sealed).is_some())
    };
    assert_eq!(seen(&transfer.sealed), (1, 1, true));
    let bytes = transfer.sealed.to_bytes();
    assert!(Sealed::from_bytes(&bytes) == transfer.sealed);
    for at in 0..SEALED_BYTES {
        let mut changed = bytes;
        changed[at] ^= 1;
        let (own, others, sent) = seen(&Sealed::from_bytes(&changed));
        assert!(own + others + usize::from(sent) < 3, "byte {at}");
    }
    let mut swapped = transfer.sealed.clone();
    swapped.notes.swap(0, 1);
    assert_eq!(seen(&swapped), (0, 0, false));
    // Points of low order, and the same key in another encoding than X25519's own.
    for ephemeral in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let mut low = transfer.sealed.clone();
        low.ephemeral = ephemeral;
        assert_eq!(seen(&low), (0, 0, false));
    }
}

#[test]
fn ciphertexts_are_bound_to_their_context_and_fresh() {
    let (transfer, alice, bob) = one_transfer();
    let bound = binding(&POOL, &transfer.sealed, b"context");
    assert_eq!(bound, transfer.statement.binding());
    assert_ne!(bound, binding(&POOL, &transfer.sealed, b"another"));
    assert_ne!(bound, binding(&Pool { number: 2, ..POOL }, &transfer.sealed, b"context"));
    assert_ne!(bound, binding(&Pool { chain: ChainId([8; 32]), ..POOL }, &transfer.sealed, b"context"));
    let mut sealed = transfer.sealed.clone();
    sealed.outgoing[0] ^= 1;
    assert_ne!(bound, binding(&POOL, &sealed, b"context"));
    // With the same entropy by mistake, another memo or another context gives other one-time keys and other blindings.
    let other = |memo: &[u8], context: &[u8]| {
        let plan = wallet(1).plan(POOL, asset(1), Some(payment(bob.address(), 300, memo)), flow_in(1_000)).unwrap();
        prepare(&alice, &plan, context, &[9; 32]).unwrap()
    };
    assert!(other(b"hello", b"context").sealed == transfer.sealed);
    for other in [other(b"hullo", b"context"), other(b"hello", b"another")] {
        assert_ne!(other.sealed.ephemeral, transfer.sealed.ephemeral);
        assert!(other.sealed.notes.iter().all(|note| !transfer.sealed.notes.contains(note)));
    }
}

#[test]
fn memos_have_one_length() {
    assert_eq!(Memo::new(&[1; MEMO_BYTES]).unwrap().message(), [1; MEMO_BYTES]);
    assert_eq!(Memo::new(b"").unwrap().message(), b"");
    let long = Memo::new(&[1; MEMO_BYTES + 1]).err();
    assert_eq!(long, Some(ShieldedError::MemoTooLong { max: MEMO_BYTES, got: MEMO_BYTES + 1 }));
}

#[test]
fn an_address_of_low_order_gets_nothing() {
    let to = Address { transmission: [0; 32], ..key(2).address() };
    let plan = wallet(1).plan(POOL, asset(1), Some(payment(to, 300, b"")), flow_in(300)).unwrap();
    assert_eq!(prepare(&key(1), &plan, b"", &[9; 32]).err(), Some(ShieldedError::LowOrderKey));
}

#[test]
fn value_that_no_note_can_hold_is_refused() {
    let alice = key(1);
    let mut chain = Chain::default();
    let mut of_alice = wallet(1);
    chain.pay((&alice, &of_alice), asset(1), None, flow_in(u64::MAX)).unwrap();
    of_alice.scan(&chain.cut()).unwrap();
    let to_self = payment(alice.address(), u64::MAX, b"");
    let public = flow_in(u64::MAX);
    // The two spent halves give two new ones.
    chain.pay((&alice, &of_alice), asset(1), Some(to_self), public).unwrap();
    of_alice.scan(&chain.cut()).unwrap();
    assert_eq!(of_alice.balance(asset(1)), 2 * u128::from(u64::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Payments of all kinds between three wallets: each wallet has the expected balance, and value is conserved.
    #[test]
    fn balances_agree_with_the_payments(
        acts in prop::collection::vec((0usize..3, 0usize..3, 1u64..100, 0u8..4, 1u8..3), 1..12),
    ) {
        let keys = [key(1), key(2), key(3)];
        let mut wallets = [wallet(1), wallet(2), wallet(3)];
        let mut expected = [[0u128; 3]; 2];
        let mut chain = Chain::default();
        for (from, to, value, kind, of) in acts {
            let mut pays = None;
            let (mut gains, mut loses) = (0, 0);
            let public = match kind {
                0 | 1 => { gains = value; flow_in(value) }
                2 => { loses = value; NonZeroU64::new(value).map(Flow::Out) }
                _ => { pays = Some(payment(keys[to].address(), value, b"memo")); None }
            };
            let before = wallets[from].balance(asset(of));
            let done = chain.pay((&keys[from], &wallets[from]), asset(of), pays.clone(), public);
            match done {
                Ok(()) => {
                    let row = &mut expected[usize::from(of) - 1];
                    row[from] = row[from] + u128::from(gains) - u128::from(loses);
                    if pays.is_some() {
                        row[from] -= u128::from(value);
                        row[to] += u128::from(value);
                    }
                }
                Err(ShieldedError::NotEnough { have, wanted }) => {
                    prop_assert_eq!(have, before);
                    prop_assert!(wanted > have);
                }
                Err(ShieldedError::Scattered { wanted }) => prop_assert!(wanted <= before),
                Err(other) => prop_assert!(false, "{other}"),
            }
            let block = chain.cut();
            for wallet in &mut wallets {
                wallet.scan(&block).unwrap();
                prop_assert_eq!(wallet.root(), chain.tree.root());
            }
            for (of, row) in expected.iter().enumerate() {
                for (wallet, value) in wallets.iter().zip(row) {
                    prop_assert_eq!(wallet.balance(asset(of as u8 + 1)), *value);
                }
            }
        }
    }
}
