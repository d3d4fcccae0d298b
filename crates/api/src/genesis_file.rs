//! The genesis as a JSON file for people; its canonical bytes are what is hashed.

use rustorium_crypto::hash::value_hash;
use rustorium_types::{
    AccountId, AssetId, BoundedBytes, BoundedVec, Genesis, GenesisAccount, GenesisPool, GenesisShard, GenesisSponsor,
    Hash, Parameters, PublicKey, Rules, UNRELEASED, Validator,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Reason why a genesis file was refused.
#[derive(Debug, Error)]
#[error("the genesis is not usable: {0}")]
pub struct GenesisFileError(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidatorView {
    name: String,
    validator_key: String,
    node_key: String,
    owner_key: String,
    region: u8,
    #[serde(default)]
    address: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BalanceView {
    asset: AssetId,
    amount: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountView {
    region: u8,
    public_key: String,
    storage_bytes: u64,
    #[serde(default)]
    balances: Vec<BalanceView>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolView {
    number: u32,
    /// BLAKE3 of the key, for people to compare; written always, checked where it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_hash: Option<Hash>,
    key_hex: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisView {
    #[serde(default = "first_version")]
    version: u16,
    name: String,
    time_ms: u64,
    parameters: Option<Parameters>,
    validators: Vec<ValidatorView>,
    accounts: Vec<AccountView>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pools: Vec<PoolView>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sponsors: Vec<GenesisSponsor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shards: Vec<ShardView>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardView {
    /// The lowest account; left out for the root shard.
    #[serde(default, skip_serializing_if = "is_lowest")]
    from: AccountId,
    members: Vec<u16>,
}

fn is_lowest(from: &AccountId) -> bool {
    *from == AccountId::default()
}

/// Version of a file that names none: that of the first release.
fn first_version() -> u16 {
    Rules::V1.version()
}

fn refuse(what: impl std::fmt::Display) -> GenesisFileError {
    GenesisFileError(what.to_string())
}

fn key(text: &str) -> Result<PublicKey, GenesisFileError> {
    Hash::from_hex(text).map(|hash| hash.0).map_err(refuse)
}

fn bounded<const MAX: usize>(text: &str) -> Result<BoundedBytes<MAX>, GenesisFileError> {
    BoundedBytes::new(text.as_bytes().to_vec()).map_err(refuse)
}

/// Reads a genesis from JSON. Accounts are sorted, so their order in the file doesn't matter.
pub fn from_json(text: &str) -> Result<Genesis, GenesisFileError> {
    let unread = |error| if is_unreleased(text) { refuse(UNRELEASED) } else { refuse(error) };
    let view: GenesisView = serde_json::from_str(text).map_err(unread)?;
    let validators: Result<Vec<_>, _> = view.validators.iter().map(validator).collect();
    let accounts: Result<Vec<_>, _> = view.accounts.iter().map(account).collect();
    let pools: Result<Vec<_>, _> = view.pools.iter().map(pool).collect();
    let shards: Result<Vec<_>, _> = view.shards.iter().map(shard).collect();
    let mut accounts = accounts?;
    let rules = Rules::of(view.version).unwrap_or(Rules::NEWEST);
    let mut parameters = view.parameters.unwrap_or_else(|| Parameters::of(rules));
    if rules.has_epoch_age() {
        parameters.min_epoch_ms.get_or_insert(Parameters::epoch_age_of(parameters.epoch_ms));
    }
    if rules.has_sponsors() {
        parameters.capacity.get_or_insert_default();
    }
    if rules.has_terms() {
        parameters.operators_delay_ms.get_or_insert(0);
        parameters.owners_recover_ms.get_or_insert(0);
    }
    accounts.sort_by_key(|account| (account.region, account.public_key));
    let genesis = Genesis {
        version: view.version,
        name: bounded(&view.name)?,
        time_ms: view.time_ms,
        parameters,
        validators: BoundedVec::new(validators?).map_err(refuse)?,
        accounts: BoundedVec::new(accounts).map_err(refuse)?,
        pools: BoundedVec::new(pools?).map_err(refuse)?,
        sponsors: BoundedVec::new(view.sponsors).map_err(refuse)?,
        shards: BoundedVec::new(shards?).map_err(refuse)?,
    };
    rustorium_execution::check_genesis(&genesis).map_err(refuse)?;
    Ok(genesis)
}

/// V13: tells if a file has the parameters by which builds before the release of version 2 named that version.
fn is_unreleased(text: &str) -> bool {
    let second = |file: serde_json::Value| {
        file["version"] == Rules::V2.version() && file["parameters"].get("epoch_age_min_ms").is_some()
    };
    serde_json::from_str(text).is_ok_and(second)
}

fn validator(view: &ValidatorView) -> Result<Validator, GenesisFileError> {
    Ok(Validator {
        name: bounded(&view.name)?,
        validator_key: key(&view.validator_key)?,
        node_key: key(&view.node_key)?,
        owner_key: key(&view.owner_key)?,
        region: view.region,
        address: bounded(&view.address)?,
    })
}

fn shard(view: &ShardView) -> Result<GenesisShard, GenesisFileError> {
    Ok(GenesisShard { from: view.from, members: BoundedVec::new(view.members.clone()).map_err(refuse)? })
}

fn account(view: &AccountView) -> Result<GenesisAccount, GenesisFileError> {
    let balance = |b: &BalanceView| b.amount.parse().map(|amount| (b.asset, amount)).map_err(refuse);
    let balances: Result<Vec<(AssetId, u128)>, _> = view.balances.iter().map(balance).collect();
    Ok(GenesisAccount {
        region: view.region,
        public_key: key(&view.public_key)?,
        storage_bytes: view.storage_bytes,
        balances: BoundedVec::new(balances?).map_err(refuse)?,
    })
}

fn pool(view: &PoolView) -> Result<GenesisPool, GenesisFileError> {
    let key = hex::decode(&view.key_hex).map_err(|_| refuse("a pool's key_hex is not hex digits"))?;
    let found = value_hash(&key);
    if let Some(pinned) = view.key_hash.filter(|pinned| *pinned != found) {
        return Err(refuse(format!(
            "pool {}'s key has the BLAKE3 hash {found} and key_hash pins {pinned}: one of the two was changed, ask who \
             made the genesis",
            view.number
        )));
    }
    Ok(GenesisPool { number: view.number, key: BoundedBytes::new(key).map_err(refuse)? })
}

/// The JSON form of a genesis.
pub fn to_json(genesis: &Genesis) -> String {
    let digits = |key: &PublicKey| Hash(*key).to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let validators = genesis.validators.iter().map(|v| ValidatorView {
        name: text(v.name.as_slice()),
        validator_key: digits(&v.validator_key),
        node_key: digits(&v.node_key),
        owner_key: digits(&v.owner_key),
        region: v.region,
        address: text(v.address.as_slice()),
    });
    let balances = |account: &GenesisAccount| {
        let pairs = account.balances.iter();
        pairs.map(|(asset, amount)| BalanceView { asset: *asset, amount: amount.to_string() }).collect()
    };
    let accounts = genesis.accounts.iter().map(|a| AccountView {
        region: a.region,
        public_key: digits(&a.public_key),
        storage_bytes: a.storage_bytes,
        balances: balances(a),
    });
    let pools = genesis.pools.iter();
    let pools = pools.map(|pool| PoolView {
        number: pool.number,
        key_hash: Some(value_hash(pool.key.as_slice())),
        key_hex: hex::encode(pool.key.as_slice()),
    });
    let view = GenesisView {
        version: genesis.version,
        name: text(genesis.name.as_slice()),
        time_ms: genesis.time_ms,
        parameters: Some(genesis.parameters.clone()),
        validators: validators.collect(),
        accounts: accounts.collect(),
        pools: pools.collect(),
        sponsors: genesis.sponsors.to_vec(),
        shards: genesis.shards.iter().map(|s| ShardView { from: s.from, members: s.members.to_vec() }).collect(),
    };
    serde_json::to_string_pretty(&view).unwrap_or_default()
}
