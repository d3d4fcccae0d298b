//! A chain of four validators and some funded accounts.

#[path = "../../../execution/tests/common/chain.rs"]
mod made;

use made::genesis_of;
pub use made::{START_MS, account, signer};
use rustorium_crypto::{Addressed, Admitted, KnownSignatures, SigningKey, Verified, admit, transaction_id};
use rustorium_shard::ExecutionJob;
use rustorium_shard::context::Context;
use rustorium_txpool::home_lane;
use rustorium_types::*;
use std::sync::Arc;

pub const N: usize = made::VALIDATORS as usize;
pub const ACCOUNTS: usize = 24;
/// Expiry of transactions, unless a test sets another.
pub const EXPIRES_AT_MS: u64 = START_MS + 3_600_000;

pub fn v(index: usize) -> ValidatorIndex {
    ValidatorIndex(index as u16)
}

pub fn validator_key(index: usize) -> SigningKey {
    made::validator_key(index as u8)
}

/// An account whose home is this lane.
pub fn account_of_lane(lane: usize) -> usize {
    (0..ACCOUNTS).find(|number| home_lane(&account(*number), Epoch(0), &[0; N]) == v(lane)).unwrap()
}

pub fn genesis() -> Genesis {
    genesis_with(Parameters::default())
}

pub fn genesis_with(parameters: Parameters) -> Genesis {
    genesis_of(ACCOUNTS, 1_000_000, parameters)
}

pub fn context(genesis: &Genesis, index: usize) -> Arc<Context> {
    Arc::new(Context::new(genesis, ShardId::ROOT, validator_key(index)).led_by_place())
}

/// A put of account `number` with this nonce.
pub fn put(genesis: &Genesis, number: usize, nonce: u64) -> Verified<Transaction> {
    put_until(genesis, number, nonce, EXPIRES_AT_MS)
}

/// Same as `put`, with an expiry.
pub fn put_until(genesis: &Genesis, number: usize, nonce: u64, expires_at_ms: u64) -> Verified<Transaction> {
    let operation = Operation::Put {
        namespace: account(number),
        key: BoundedBytes::new(format!("key-{nonce}").into_bytes()).unwrap(),
        value: BoundedBytes::new(vec![nonce as u8; 32]).unwrap(),
    };
    sign_until(genesis, number, nonce, vec![operation], expires_at_ms)
}

/// A transaction of account `number` with this nonce.
pub fn sign(genesis: &Genesis, number: usize, nonce: u64, operations: Vec<Operation>) -> Verified<Transaction> {
    sign_until(genesis, number, nonce, operations, EXPIRES_AT_MS)
}

fn sign_until(
    genesis: &Genesis,
    number: usize,
    nonce: u64,
    operations: Vec<Operation>,
    expires_at_ms: u64,
) -> Verified<Transaction> {
    let body = TransactionBody {
        version: TRANSACTION_VERSION,
        chain: rustorium_crypto::chain_id(genesis),
        sender: account(number),
        public_key: signer(number).public(),
        nonce,
        expires_at_ms,
        work_limit: 100_000,
        shard_hint: None,
        location: None,
        data: BoundedVec::new(operations).unwrap(),
    };
    signer(number).sign_transaction(body)
}

pub fn id_of(transaction: &Transaction) -> TxId {
    transaction_id(&transaction.first().unwrap().body)
}

/// Returns a transaction of account `number` in the form of version 2, which puts a key. Its authority has the account's
/// key and those of the others, and all of them sign.
pub fn second(genesis: &Genesis, number: usize, others: &[usize], nonce: u64) -> Transaction {
    let numbers: Vec<usize> = [number].iter().chain(others).copied().collect();
    let key = BoundedBytes::new(format!("key-{nonce}").into_bytes()).unwrap();
    let put = Operation2::Put { namespace: None, key, value: BoundedBytes::default() };
    second_of(genesis, (&numbers, &numbers), account(number), nonce, vec![put])
}

/// Returns the keys of some accounts, ascending.
fn keys_of(numbers: &[usize]) -> Vec<SigningKey> {
    let mut keys: Vec<SigningKey> = numbers.iter().map(|number| signer(*number)).collect();
    keys.sort_unstable_by_key(SigningKey::public);
    keys
}

/// Returns the authority of these accounts' keys of which so many must sign.
pub fn authority_of(threshold: usize, numbers: &[usize]) -> Authority {
    let public = numbers.iter().map(|number| SignerKey::Ed25519(signer(*number).public()));
    Authority::of_keys(threshold as u8, public.collect()).unwrap()
}

/// Returns a transaction in the form of version 2. Its authority has the keys of some accounts, as many of which must sign
/// as do.
pub fn second_of(
    genesis: &Genesis,
    (numbers, signers): (&[usize], &[usize]),
    sender: AccountId,
    nonce: u64,
    operations: Vec<Operation2>,
) -> Transaction {
    let body = TransactionBody2 {
        authority: authority_of(signers.len(), numbers),
        sender,
        nonce,
        expires_at_ms: EXPIRES_AT_MS,
        work_limit: 100_000,
        shard_hint: None,
        location: None,
        data: BoundedVec::new(operations).unwrap(),
    };
    let chain = rustorium_crypto::chain_id(genesis);
    let signs = |key: &SigningKey| signers.iter().any(|number| signer(*number).public() == key.public());
    let keys = keys_of(numbers);
    let signed = (0u8..).zip(&keys).filter(|(_, key)| signs(key));
    let signatures = signed.map(|(place, key)| (place, key.sign_body2(&chain, &body))).collect();
    Transaction2::new(body, signatures).unwrap().into()
}

/// Makes the transaction's signature false.
pub fn forge_signature(transaction: &mut Transaction) {
    let Transaction::V1(first) = transaction else { panic!("made in the form of version 1") };
    first.signature[3] ^= 1;
}

/// Returns the transaction as a client of its own chain submits it.
pub fn admitted(transaction: &Verified<Transaction>) -> Admitted {
    verified(transaction.first().unwrap().body.chain, vec![(**transaction).clone()]).remove(0)
}

pub fn verified(chain: ChainId, transactions: Vec<Transaction>) -> Vec<Admitted> {
    let ours = transactions.into_iter().filter_map(|transaction| Addressed::check(&chain, transaction).ok());
    admit(ours.collect(), &KnownSignatures::default()).into_iter().flatten().collect()
}

pub fn copy(job: &ExecutionJob) -> ExecutionJob {
    ExecutionJob {
        digest: job.digest,
        block: job.block.clone(),
        payload: job.payload.clone(),
        finalization: job.finalization.clone(),
        end: job.end.clone(),
    }
}
