//! Vectors of everything that the pool hashes, derives and encrypts. A change here changes the protocol
//! (docs/spec/shielded.md).

use std::num::NonZeroU64;

use rustorium_types::{AssetId, ChainId};
use rustorium_zk::shielded::field::{Element, element_bytes};
use rustorium_zk::shielded::keys::SpendingKey;
use rustorium_zk::shielded::memo::Memo;
use rustorium_zk::shielded::note::{AssetTag, Note, Pool};
use rustorium_zk::shielded::scan::{ViewingKey, Wallet};
use rustorium_zk::shielded::transfer::{Flow, Payment, prepare};
use rustorium_zk::shielded::tree::Tree;

#[test]
fn pinned_values() {
    let pool = Pool { chain: ChainId([7; 32]), number: 1 };
    let asset = AssetTag::new(&pool, &AssetId([1; 32]));
    let key = SpendingKey::derive(&[7; 32], 3);
    let note = Note { asset, value: 1_000, owner: key.address().owner, blinding: Element::from(5u64) };
    let mut tree = Tree::default();
    let empty = tree.root();
    let root = tree.append(&[note.commitment()]).unwrap();
    let payment = Payment { to: key.address(), value: 900, memo: Memo::new(b"hello").unwrap() };
    let wallet = Wallet::new(ViewingKey::Full(key.viewing().clone()));
    let plan = wallet.plan(pool, asset, Some(payment), NonZeroU64::new(1_000).map(Flow::In)).unwrap();
    let transfer = prepare(&key, &plan, b"context", &[9; 32]).unwrap();
    let sealed = blake3::hash(&transfer.sealed.to_bytes());
    let inputs: Vec<u8> = transfer.statement.public_inputs().iter().flat_map(element_bytes).collect();
    let values = [
        ("asset tag", element_bytes(&asset.0)),
        ("owner", element_bytes(&key.address().owner.0)),
        ("commitment", note.commitment().to_bytes()),
        ("nullifier", note.nullifier(key.viewing().nullifier_key(), 77).to_bytes()),
        ("empty root", empty.to_bytes()),
        ("root", root.to_bytes()),
        ("sealed", *sealed.as_bytes()),
        ("public inputs", *blake3::hash(&inputs).as_bytes()),
        ("binding", element_bytes(&transfer.statement.binding().0)),
    ];
    let found: String = values.iter().map(|(name, bytes)| format!("{name}: {}\n", hex::encode(bytes))).collect();
    assert_eq!(found, include_str!("vectors.txt"));
    assert_eq!(key.viewing().reveal().unwrap().as_str(), include_str!("viewing_key.txt").trim_end());
}
