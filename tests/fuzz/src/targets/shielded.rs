//! Shielded value: data that nodes give to wallets, wallets' files, and the texts that people pass on.

use rustorium_types::{AssetId, ChainId};
use rustorium_zk::shielded::keys::{Address, FullViewingKey, IncomingViewingKey, SpendingKey};
use rustorium_zk::shielded::memo::Memo;
use rustorium_zk::shielded::note::{AssetTag, Pool};
use rustorium_zk::shielded::scan::{RECORD_BYTES, Record, ViewingKey, Wallet};
use rustorium_zk::shielded::store::{open_file, seal_file};
use rustorium_zk::shielded::transfer::{Flow, Payment, prepare};
use rustorium_zk::shielded::tree::Tree;
use std::num::NonZeroU64;
use std::sync::LazyLock;

const POOL: Pool = Pool { chain: ChainId([7; 32]), number: 1 };
const SECRET: &[u8] = b"a wallet's secret";

static KEY: LazyLock<SpendingKey> = LazyLock::new(|| SpendingKey::derive(&[1; 32], 0));
static VIEWING: LazyLock<ViewingKey> = LazyLock::new(|| ViewingKey::Full(KEY.viewing().clone()));

/// A transfer's record that brings the wallet a note.
fn made(wallet: &Wallet, value: u64) -> Option<Record> {
    let payment = Payment { to: KEY.address(), value, memo: Memo::new(b"a message").ok()? };
    let tag = AssetTag::new(&POOL, &AssetId([1; 32]));
    let plan = wallet.plan(POOL, tag, Some(payment), NonZeroU64::new(value).map(Flow::In)).ok()?;
    let made = prepare(&KEY, &plan, b"", &[value as u8; 32]).ok()?;
    let (nullifiers, commitments) = (*made.statement.nullifiers(), *made.statement.commitments());
    Some(Record { nullifiers, commitments, sealed: made.sealed })
}

fn filled(notes: u64) -> Wallet {
    let mut wallet = Wallet::new(VIEWING.clone());
    for value in 1..=notes {
        let taken = made(&wallet, value).map(|record| wallet.scan(&[record]));
        assert!(taken.is_some_and(|taken| taken.is_ok()), "a seed can't be made");
    }
    wallet
}

/// A record that decodes has only these bytes, and any wallet can scan it.
pub fn record(bytes: &[u8]) {
    let Some(first) = bytes.first_chunk::<RECORD_BYTES>() else { return };
    if let Ok(record) = Record::from_bytes(first) {
        assert!(record.to_bytes() == *first, "a second encoding of a record");
        let look = VIEWING.look(&record);
        let own = look.received.iter().flatten().any(|opened| opened.note.owner != KEY.address().owner);
        assert!(!own, "a note of another's was taken for one's own");
    }
}

pub fn records() -> Vec<Vec<u8>> {
    let wallet = Wallet::new(VIEWING.clone());
    [5, 6].iter().filter_map(|value| Some(made(&wallet, *value)?.to_bytes().to_vec())).collect()
}

/// A wallet that decodes has only these bytes.
pub fn wallet(bytes: &[u8]) {
    if let Ok(wallet) = Wallet::from_bytes(VIEWING.clone(), bytes) {
        assert!(wallet.to_bytes().as_slice() == bytes, "a second encoding of a wallet");
    }
}

pub fn wallets() -> Vec<Vec<u8>> {
    [0, 3].map(|notes| filled(notes).to_bytes().to_vec()).to_vec()
}

/// Only sealed data opens.
pub fn wallet_file(bytes: &[u8]) {
    if let Some(plain) = open_file(SECRET, &POOL, bytes) {
        assert!(wallet_files().iter().any(|sealed| sealed == bytes), "{} bytes that nobody sealed", plain.len());
    }
}

pub fn wallet_files() -> Vec<Vec<u8>> {
    [&b"some notes"[..], b""].iter().filter_map(|plain| seal_file(SECRET, &POOL, plain, &[9; 32]).ok()).collect()
}

/// A tree's frontier that decodes has only these bytes.
pub fn frontier(bytes: &[u8]) {
    if let Ok(tree) = Tree::from_bytes(bytes) {
        assert!(tree.to_bytes() == bytes, "a second encoding of a frontier");
    }
}

pub fn frontiers() -> Vec<Vec<u8>> {
    let wallet = filled(3).to_bytes();
    // It follows its length.
    let length = wallet.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    vec![Tree::default().to_bytes(), wallet.get(4..4 + length).map(<[u8]>::to_vec).unwrap_or_default()]
}

/// Addresses and viewing keys have one text each, except for capitals.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let same = |again: &str| assert!(again == text.to_ascii_lowercase(), "a second spelling");
    if let Ok(address) = Address::parse(text) {
        same(&address.to_string());
    }
    if let Ok(revealed) = FullViewingKey::parse(text).and_then(|key| key.reveal()) {
        same(&revealed);
    }
    if let Ok(revealed) = IncomingViewingKey::parse(text).and_then(|key| key.reveal()) {
        same(&revealed);
    }
}

pub fn texts() -> Vec<Vec<u8>> {
    let keys = [KEY.viewing().reveal(), KEY.viewing().incoming().reveal()];
    let keys = keys.into_iter().flatten().map(|text| text.as_bytes().to_vec());
    std::iter::once(KEY.address().to_string().into_bytes()).chain(keys).collect()
}
