//! Accounts by number and a genesis of four validators, for the tests of this crate and of those above it.

use rustorium_crypto::{SigningKey, account_id};
use rustorium_types::*;

pub const REGION: u8 = 3;
pub const START_MS: u64 = 1_800_000_000_000;
pub const VALIDATORS: u8 = 4;

pub fn signer(number: usize) -> SigningKey {
    SigningKey::from_seed(&[number as u8 + 1; 32])
}

pub fn account(number: usize) -> AccountId {
    account_id(REGION, &signer(number).public())
}

pub fn gold() -> AssetId {
    AssetId([7; 32])
}

pub fn validator_key(index: u8) -> SigningKey {
    SigningKey::from_seed(&[100 + index; 32])
}

/// A genesis with so many accounts, each with this storage and 1,000 gold.
pub fn genesis_of(accounts: usize, storage_bytes: u64, parameters: Parameters) -> Genesis {
    let validators = (0..VALIDATORS).map(|i| Validator {
        name: BoundedBytes::new(vec![b'a' + i]).unwrap(),
        validator_key: validator_key(i).public(),
        node_key: SigningKey::from_seed(&[110 + i; 32]).public(),
        owner_key: SigningKey::from_seed(&[120 + i; 32]).public(),
        region: REGION,
        address: BoundedBytes::default(),
    });
    let account = |number| GenesisAccount {
        region: REGION,
        public_key: signer(number).public(),
        storage_bytes,
        balances: BoundedVec::new(vec![(gold(), 1000)]).unwrap(),
    };
    let mut accounts: Vec<_> = (0..accounts).map(account).collect();
    accounts.sort_by_key(|account| account.public_key);
    Genesis {
        version: if parameters.min_epoch_ms.is_some() { Rules::V2 } else { Rules::V1 }.version(),
        name: BoundedBytes::new(b"test".to_vec()).unwrap(),
        time_ms: START_MS,
        parameters,
        validators: BoundedVec::new(validators.collect()).unwrap(),
        accounts: BoundedVec::new(accounts).unwrap(),
        pools: BoundedVec::default(),
        sponsors: BoundedVec::default(),
        shards: BoundedVec::default(),
    }
}
