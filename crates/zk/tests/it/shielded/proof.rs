//! Proofs of transfers: made and verified under a devnet's keys.

use std::num::NonZeroU64;
use std::sync::LazyLock;

use rustorium_types::{AssetId, ChainId};
use rustorium_zk::shielded::error::ShieldedError;
use rustorium_zk::shielded::field::Element;
use rustorium_zk::shielded::keys::SpendingKey;
use rustorium_zk::shielded::memo::Memo;
use rustorium_zk::shielded::note::{AssetTag, Pool};
use rustorium_zk::shielded::prove::{DEVNET_VERIFYING_KEY, DEVNET_WARNING, Prover};
use rustorium_zk::shielded::scan::{Record, ViewingKey, Wallet};
use rustorium_zk::shielded::statement::{Binding, PUBLIC_INPUTS, PublicValue, Statement};
use rustorium_zk::shielded::transfer::{Flow, Payment, UnprovenTransfer, prepare};
use rustorium_zk::shielded::tree::Root;
use rustorium_zk::{Claim, Key, Refused, encode_input, verify_all};

const POOL: Pool = Pool { chain: ChainId([7; 32]), number: 1 };

static PROVER: LazyLock<Prover> = LazyLock::new(|| Prover::insecure_devnet().unwrap());

static KEY: LazyLock<Key> = LazyLock::new(|| Key::from_bytes(&PROVER.verifying_key()).unwrap());

fn verifies(inputs: &[Element; PUBLIC_INPUTS], proof: &[u8]) -> bool {
    match Claim::new(&KEY, proof, &inputs.map(encode_input)).unwrap().verify() {
        Ok(()) => true,
        Err(refused) => {
            assert_eq!(refused, Refused::NotProved);
            false
        }
    }
}

fn asset() -> AssetTag {
    AssetTag::new(&POOL, &AssetId([1; 32]))
}

/// Returns transfers in which value enters, moves and leaves.
fn transfers() -> [UnprovenTransfer; 3] {
    let (key, to) = (SpendingKey::derive(&[1; 32], 0), SpendingKey::derive(&[2; 32], 0).address());
    let mut wallet = Wallet::new(ViewingKey::Full(key.viewing().clone()));
    let next = |wallet: &mut Wallet, payment: Option<Payment>, public: Option<Flow>| {
        let plan = wallet.plan(POOL, asset(), payment, public).unwrap();
        let transfer = prepare(&key, &plan, b"context", &[9; 32]).unwrap();
        let record = Record {
            nullifiers: *transfer.statement.nullifiers(),
            commitments: *transfer.statement.commitments(),
            sealed: transfer.sealed.clone(),
        };
        wallet.scan(&[record]).unwrap();
        transfer
    };
    let payment = Payment { to, value: 400, memo: Memo::new(b"hello").unwrap() };
    let enters = next(&mut wallet, None, NonZeroU64::new(1_000).map(Flow::In));
    let moves = next(&mut wallet, Some(payment), None);
    let leaves = next(&mut wallet, None, NonZeroU64::new(100).map(Flow::Out));
    assert_eq!(wallet.balance(asset()), 500);
    [enters, moves, leaves]
}

#[test]
fn every_kind_of_transfer_is_proved() {
    for transfer in transfers() {
        let inputs = transfer.statement.public_inputs();
        let proof = PROVER.prove(&transfer, &[3; 32]).unwrap();
        assert!(verifies(&inputs, &proof));
        assert!(PROVER.prove(&transfer, &[3; 32]).unwrap() == proof, "given its randomness, a proof is one");
        let other = PROVER.prove(&transfer, &[4; 32]).unwrap();
        assert!(other != proof && verifies(&inputs, &other));
        // No public input can be changed, not even the binding hash, which no rule uses.
        for at in 0..PUBLIC_INPUTS {
            let mut changed = inputs;
            changed[at] += Element::from(1u64);
            assert!(!verifies(&changed, &proof), "public input {at}");
        }
    }
}

#[test]
fn a_proof_of_another_transfer_is_refused() {
    let [enters, moves, leaves] = transfers();
    let proof = PROVER.prove(&moves, &[3; 32]).unwrap();
    assert!(!verifies(&enters.statement.public_inputs(), &proof));
    assert!(!verifies(&leaves.statement.public_inputs(), &proof));
}

#[test]
fn a_block_of_transfers_is_one_batch() {
    let transfers = transfers();
    let proofs = transfers.each_ref().map(|transfer| PROVER.prove(transfer, &[3; 32]).unwrap());
    let mut claims: Vec<Claim> =
        transfers.iter().zip(&proofs).map(|(transfer, proof)| transfer.statement.claim(&KEY, proof).unwrap()).collect();
    assert_eq!(verify_all(&claims), [Ok(()), Ok(()), Ok(())]);
    claims[1] = transfers[1].statement.claim(&KEY, &proofs[0]).unwrap();
    assert_eq!(verify_all(&claims), [Ok(()), Err(Refused::NotProved), Ok(())]);
}

#[test]
fn a_transfer_that_breaks_a_rule_gets_no_proof() {
    let [enters, moves, _] = transfers();
    let statement = |transfer: &UnprovenTransfer, root: Root, public: PublicValue| {
        let of = &transfer.statement;
        Statement::new(root, *of.nullifiers(), *of.commitments(), public, of.binding()).unwrap()
    };
    let root = moves.statement.root();
    let public = |value: u64| PublicValue::Shield(asset(), NonZeroU64::new(value).unwrap());
    let mut wrong_root = moves.clone();
    wrong_root.statement = statement(&moves, Root(Element::from(1u64)), PublicValue::Hidden);
    let mut more_value = enters.clone();
    more_value.statement = statement(&enters, root, public(1_001));
    let mut less_value = enters.clone();
    less_value.statement = statement(&enters, root, PublicValue::Hidden);
    for broken in [wrong_root, more_value, less_value] {
        assert_eq!(PROVER.prove(&broken, &[3; 32]).err(), Some(ShieldedError::Unsatisfied));
    }
    let nullifier = moves.statement.nullifiers()[0];
    let twice = Statement::new(
        root,
        [nullifier; 2],
        *moves.statement.commitments(),
        PublicValue::Hidden,
        Binding(Element::from(1u64)),
    );
    assert_eq!(twice, Err(ShieldedError::SameNullifier));
}

#[test]
fn a_devnets_keys_are_the_same_everywhere_and_are_marked_insecure() {
    assert_eq!(blake3::hash(&PROVER.verifying_key()).to_hex().as_str(), DEVNET_KEY);
    assert_eq!(PROVER.verifying_key(), DEVNET_VERIFYING_KEY);
    assert!(DEVNET_WARNING.contains("for tests only"));
}

const DEVNET_KEY: &str = "3a31343d70cd80f8a8af6e3063886cd2536a35359911fcc3b7c9b45888447eea";
