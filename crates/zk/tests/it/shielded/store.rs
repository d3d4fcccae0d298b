//! Wallets as bytes and as sealed files.

use std::num::NonZeroU64;

use rustorium_types::{AssetId, ChainId};
use rustorium_zk::shielded::error::ShieldedError;
use rustorium_zk::shielded::keys::SpendingKey;
use rustorium_zk::shielded::memo::Memo;
use rustorium_zk::shielded::note::{AssetTag, Pool};
use rustorium_zk::shielded::scan::{RECORD_BYTES, Record, ViewingKey, Wallet};
use rustorium_zk::shielded::store::{open_file, seal_file};
use rustorium_zk::shielded::transfer::{Flow, Payment, prepare};

const POOL: Pool = Pool { chain: ChainId([7; 32]), number: 1 };

fn tag() -> AssetTag {
    AssetTag::new(&POOL, &AssetId([1; 32]))
}

/// A wallet with some notes, and the record of the next transfer, which adds one note and spends one.
fn wallet() -> (SpendingKey, ViewingKey, Wallet, Record) {
    let key = SpendingKey::derive(&[1; 32], 0);
    let viewing = ViewingKey::Full(key.viewing().clone());
    let mut wallet = Wallet::new(viewing.clone());
    for value in [5, 6, 7] {
        let record = next(&key, &wallet, value, true);
        wallet.scan(&[record]).unwrap();
    }
    let record = next(&key, &wallet, 8, false);
    (key, viewing, wallet, record)
}

fn next(key: &SpendingKey, wallet: &Wallet, value: u64, enters: bool) -> Record {
    let payment = Payment { to: key.address(), value, memo: Memo::new(b"for later").unwrap() };
    let flow = NonZeroU64::new(value).filter(|_| enters).map(Flow::In);
    let plan = wallet.plan(POOL, tag(), Some(payment), flow).unwrap();
    let made = prepare(key, &plan, b"", &[value as u8; 32]).unwrap();
    let (nullifiers, commitments) = (*made.statement.nullifiers(), *made.statement.commitments());
    Record { nullifiers, commitments, sealed: made.sealed }
}

#[test]
fn a_wallet_survives_its_bytes() {
    let (_, viewing, mut wallet, record) = wallet();
    let bytes = wallet.to_bytes();
    let mut again = Wallet::from_bytes(viewing.clone(), &bytes).unwrap();
    assert!(again == wallet);
    assert_eq!(again.to_bytes().as_slice(), bytes.as_slice());
    // It finds the same notes afterwards, including its own spends, and its paths lead to the root.
    assert!(again.scan(std::slice::from_ref(&record)).unwrap() == wallet.scan(&[record]).unwrap());
    assert!(again == wallet);
    for held in again.unspent().values() {
        assert_eq!(held.path.root(&held.opened.note.commitment()), again.root());
    }
    let empty = Wallet::new(viewing.clone());
    assert!(Wallet::from_bytes(viewing, &empty.to_bytes()).unwrap() == empty);
}

#[test]
fn bytes_that_are_no_wallet_are_refused() {
    let (_, viewing, wallet, _) = wallet();
    let bytes = wallet.to_bytes();
    let refused = |bytes: &[u8]| Wallet::from_bytes(viewing.clone(), bytes).err();
    for length in [0, 3, 4, 50, bytes.len() - 1] {
        assert!(refused(&bytes[..length]).is_some(), "{length}");
    }
    assert_eq!(refused(&[&bytes, &[0u8][..]].concat()), Some(ShieldedError::Wallet("they end within a note")));
    // A note's position that isn't above the previous one, or that no leaf has.
    let note = (bytes.len() - 4 - usize::from(bytes[0]) - 256 * usize::from(bytes[1])) / wallet.unspent().len();
    let out_of_order = [&bytes[..], &bytes[bytes.len() - note..]].concat();
    let position = Some(ShieldedError::Wallet("a note's position is out of order or behind the tree's end"));
    assert_eq!(refused(&out_of_order), position);
    let mut behind = bytes.to_vec();
    let last = bytes.len() - note;
    behind[last..last + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(refused(&behind), position);
    let mut no_element = bytes.to_vec();
    no_element[last + 12] = 255;
    assert_eq!(refused(&no_element), Some(ShieldedError::NotAnElement));
}

#[test]
fn a_file_opens_with_its_secret_for_its_pool_alone() {
    let sealed = seal_file(b"secret", &POOL, b"notes", &[9; 32]).unwrap();
    assert_eq!(open_file(b"secret", &POOL, &sealed).unwrap().as_slice(), b"notes");
    assert!(!sealed.windows(5).any(|window| window == b"notes"));
    assert!(open_file(b"Secret", &POOL, &sealed).is_none());
    assert!(open_file(b"secret", &Pool { number: 2, ..POOL }, &sealed).is_none());
    assert!(open_file(b"secret", &Pool { chain: ChainId([8; 32]), ..POOL }, &sealed).is_none());
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(open_file(b"secret", &POOL, &changed).is_none(), "byte {at}");
        assert!(open_file(b"secret", &POOL, &sealed[..at]).is_none(), "{at} bytes");
    }
    assert_ne!(seal_file(b"secret", &POOL, b"notes", &[8; 32]).unwrap()[32..], sealed[32..]);
}

#[test]
fn a_record_has_one_encoding() {
    let (_, _, _, record) = wallet();
    let bytes = record.to_bytes();
    assert!(Record::from_bytes(&bytes).unwrap() == record);
    for at in [0, 32, 64, 96] {
        let mut broken = bytes;
        broken[at] = 255;
        assert_eq!(Record::from_bytes(&broken).err(), Some(ShieldedError::NotAnElement));
    }
    assert_eq!(RECORD_BYTES, 792);
}

#[test]
fn two_notes_become_one() {
    let (key, _, mut wallet, _) = wallet();
    assert!(wallet.select(tag(), 18).is_err(), "three notes are worth it, no two are");
    let plan = wallet.merge(POOL, tag()).unwrap().unwrap();
    let made = prepare(&key, &plan, b"", &[77; 32]).unwrap();
    let (nullifiers, commitments) = (*made.statement.nullifiers(), *made.statement.commitments());
    wallet.scan(&[Record { nullifiers, commitments, sealed: made.sealed }]).unwrap();
    assert_eq!((wallet.balance(tag()), wallet.unspent().len()), (18, 2));
    assert!(wallet.select(tag(), 18).is_ok());
    let one = Wallet::new(ViewingKey::Full(key.viewing().clone()));
    assert!(one.merge(POOL, tag()).unwrap().is_none());
}
