//! A chain of four validators and some funded accounts.

use rustorium_crypto::{SigningKey, Verified, account_id, transaction_id, verify_transactions};
use rustorium_dataplane::context::Context;
use rustorium_txpool::home_lane;
use rustorium_types::*;
use std::sync::Arc;

pub const N: usize = 4;
pub const ACCOUNTS: usize = 24;
pub const START_MS: u64 = 1_800_000_000_000;
const REGION: u8 = 3;

pub fn v(index: usize) -> ValidatorIndex {
    ValidatorIndex(index as u16)
}

pub fn validator_key(index: usize) -> SigningKey {
    SigningKey::from_seed(&[100 + index as u8; 32])
}

pub fn signer(number: usize) -> SigningKey {
    SigningKey::from_seed(&[number as u8 + 1; 32])
}

pub fn account(number: usize) -> AccountId {
    account_id(REGION, &signer(number).public())
}

/// An account whose home is this lane.
pub fn account_of_lane(lane: usize) -> usize {
    (0..ACCOUNTS).find(|number| home_lane(&account(*number), Epoch(0), N) == v(lane)).unwrap()
}

pub fn genesis() -> Genesis {
    genesis_with(Parameters::default())
}

pub fn genesis_with(parameters: Parameters) -> Genesis {
    let validators = (0..N).map(|i| Validator {
        name: BoundedBytes::new(vec![b'a' + i as u8]).unwrap(),
        validator_key: validator_key(i).public(),
        node_key: SigningKey::from_seed(&[110 + i as u8; 32]).public(),
        owner_key: SigningKey::from_seed(&[120 + i as u8; 32]).public(),
        region: REGION,
    });
    let account = |number| GenesisAccount {
        region: REGION,
        public_key: signer(number).public(),
        storage_bytes: 1_000_000,
        balances: BoundedVec::new(vec![(AssetId([7; 32]), 1000)]).unwrap(),
    };
    let mut accounts: Vec<_> = (0..ACCOUNTS).map(account).collect();
    accounts.sort_by_key(|account| account.public_key);
    Genesis {
        version: PROTOCOL_VERSION,
        name: BoundedBytes::new(b"test".to_vec()).unwrap(),
        time_ms: START_MS,
        parameters,
        validators: BoundedVec::new(validators.collect()).unwrap(),
        accounts: BoundedVec::new(accounts).unwrap(),
    }
}

pub fn context(genesis: &Genesis, index: usize) -> Arc<Context> {
    Arc::new(Context::new(genesis, v(index), validator_key(index)))
}

/// A put of account `number` with this nonce.
pub fn put(genesis: &Genesis, number: usize, nonce: u64) -> Verified<Transaction> {
    let operation = Operation::Put {
        namespace: account(number),
        key: BoundedBytes::new(format!("key-{nonce}").into_bytes()).unwrap(),
        value: BoundedBytes::new(vec![nonce as u8; 32]).unwrap(),
    };
    let body = TransactionBody {
        version: PROTOCOL_VERSION,
        chain: rustorium_crypto::chain_id(genesis),
        sender: account(number),
        public_key: signer(number).public(),
        nonce,
        expires_at_ms: START_MS + 3_600_000,
        work_limit: 100_000,
        shard_hint: None,
        location: None,
        data: BoundedVec::new(vec![operation]).unwrap(),
    };
    signer(number).sign_transaction(body)
}

pub fn id_of(transaction: &Transaction) -> TxId {
    transaction_id(&transaction.body)
}

pub fn admitted(transaction: &Verified<Transaction>) -> (TxId, Arc<Verified<Transaction>>) {
    (id_of(transaction), Arc::new(transaction.clone()))
}

pub fn verified(transactions: Vec<Transaction>) -> Vec<(TxId, Arc<Verified<Transaction>>)> {
    let good = verify_transactions(transactions).into_iter().flatten();
    good.map(|(id, transaction)| (id, Arc::new(transaction))).collect()
}
