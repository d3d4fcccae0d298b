//! Measures the price of a signature in transactions of both versions, checked together and one by one:
//! `just bench-signatures`.

use rustorium_crypto::{SigningKey, authority_account, verify_transactions};
use rustorium_types::{
    Authority, AuthorityFault, BoundedVec, ChainId, Key, Operation, Operation2, SignatureFault, SignerKey, Transaction,
    Transaction2, TransactionBody, TransactionBody2, Value, encode,
};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Each figure is the median of so many rounds.
const ROUNDS: usize = 15;
/// Signatures of a group, in all transactions of it.
const SIGNATURES: usize = 256;
const CHAIN: ChainId = ChainId([1; 32]);

fn main() -> Result<(), Box<dyn Error>> {
    let first = first(SIGNATURES)?;
    let bytes = encode(&first[0]).len();
    report("version 1, one key", bytes, SIGNATURES, || {
        verify_transactions(&CHAIN, black_box(first.clone())).iter().all(Result::is_ok)
    })?;
    for (threshold, keys) in [(1, 1), (1, 3), (2, 3), (4, 8), (8, 8)] {
        let transactions = second(threshold, keys, SIGNATURES / usize::from(threshold))?;
        let bytes = encode(&transactions[0]).len();
        report(&format!("version 2, {threshold} of {keys} keys"), bytes, SIGNATURES, || {
            verify_transactions(&CHAIN, black_box(transactions.clone())).iter().all(Result::is_ok)
        })?;
    }
    let alone = second(1, 1, 1)?;
    let bytes = encode(&alone[0]).len();
    report("version 2, a transaction of one key by itself", bytes, 1, || {
        verify_transactions(&CHAIN, black_box(alone.clone())).iter().all(Result::is_ok)
    })
}

/// Prints the size of a transaction and the time that each signature of a group takes, decoding not included.
fn report(name: &str, bytes: usize, signatures: usize, call: impl Fn() -> bool) -> Result<(), Box<dyn Error>> {
    let repeat = 2048 / signatures;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        if !(0..repeat).all(|_| call()) {
            return Err("a signature doesn't hold".into());
        }
        rounds.push(start.elapsed());
    }
    rounds.sort_unstable();
    let each: Duration = rounds[ROUNDS / 2] / (repeat * signatures) as u32;
    println!("{name:<48} {bytes:>5} bytes {:>7} ns a signature", each.as_nanos());
    Ok(())
}

/// A key of 16 bytes and a value of 256.
fn put() -> Result<(Key, Value), rustorium_types::DecodeError> {
    Ok((Key::new(vec![b'k'; 16])?, Value::new(vec![b'v'; 256])?))
}

fn signers(count: u8) -> Vec<SigningKey> {
    let mut keys: Vec<SigningKey> = (0..count).map(|seed| SigningKey::from_seed(&[seed; 32])).collect();
    keys.sort_unstable_by_key(SigningKey::public);
    keys
}

fn authority(threshold: u8, keys: &[SigningKey]) -> Result<Authority, AuthorityFault> {
    Authority::new(threshold, keys.iter().map(|key| SignerKey::Ed25519(key.public())).collect())
}

fn first(count: usize) -> Result<Vec<Transaction>, Box<dyn Error>> {
    let key = SigningKey::from_seed(&[0; 32]);
    let sender = authority_account(0, &Authority::of_key(key.public())?);
    let mut all = Vec::with_capacity(count);
    for nonce in 0..count as u64 {
        let (name, value) = put()?;
        let body = TransactionBody {
            version: 1,
            chain: CHAIN,
            sender,
            public_key: key.public(),
            nonce,
            expires_at_ms: 1_800_000_000_000,
            work_limit: 10_000,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(vec![Operation::Put { namespace: sender, key: name, value }])?,
        };
        all.push(key.sign_transaction(body).into_inner());
    }
    Ok(all)
}

fn second(threshold: u8, keys: u8, count: usize) -> Result<Vec<Transaction>, Box<dyn Error>> {
    let keys = signers(keys);
    let authority = authority(threshold, &keys)?;
    let mut all = Vec::with_capacity(count);
    for nonce in 0..count as u64 {
        let (name, value) = put()?;
        let body = TransactionBody2 {
            sender: authority_account(0, &authority),
            authority: authority.clone(),
            nonce,
            expires_at_ms: 1_800_000_000_000,
            work_limit: 10_000,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(vec![Operation2::Put { namespace: None, key: name, value }])?,
        };
        all.push(signed(body, &keys)?.into());
    }
    Ok(all)
}

fn signed(body: TransactionBody2, keys: &[SigningKey]) -> Result<Transaction2, SignatureFault> {
    let places = (0..body.authority.threshold()).zip(keys);
    let signatures = places.map(|(place, key)| (place, key.sign_body2(&CHAIN, &body))).collect();
    Transaction2::new(body, signatures)
}
