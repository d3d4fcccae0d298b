//! Genesis: computes the state, header and roots at height 0 that follow from a genesis, the same on every machine.

use crate::committee::CommitteeRecord;
use crate::keys::Name;
use crate::parameters::check_parameters;
use crate::v1::execute::diff_root;
use crate::v1::pools::{first_rows, is_pool_key};
use crate::v1::record::{AccountRecord, LEAF_KEY_BYTES, RECORD_BYTES, encode_amount};
use crate::v2::record::AccountRecord2;
use crate::v2::sponsors::SponsorRecord;
use rustorium_crypto::{
    account_id, block_digest, chain_id, charter_hash, domain, hash_value, is_small_order, payload_root, pool_account,
    result_root, set_hash,
};
use rustorium_types::{
    AccountId, BlockDigest, BoundedVec, ChainId, Charter, Cursor, End, Epoch, Genesis, GenesisAccount, GenesisSponsor,
    Hash, Header, Height, LeafWrite, NEWEST_VERSION, PublicKey, ResultClaim, ResultLink, Rules, SYSTEM_ACCOUNT,
    ShardId, StateClaim, StateKey, ValidatorIndex, View, WHOLE_PPM,
};
use std::collections::BTreeSet;
use thiserror::Error;

/// Hashes of the chain's settings that headers contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHashes {
    /// The chain's id.
    pub chain: ChainId,
    /// Hash of the first committee.
    pub validator_set: Hash,
    /// Hash of the parameters.
    pub parameters: Hash,
    /// Hash of the map of one shard, or, from version 2 on, of the shard's charter.
    pub shard_map: Hash,
}

/// The state at height 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisState {
    /// All leaves, ascending by key.
    pub diff: Vec<LeafWrite>,
    /// The header: view 0, height 0, chain id zero.
    pub header: Header,
    /// Digest of the header: the first block's parent.
    pub digest: BlockDigest,
    /// The link from the chain id to the result root.
    pub link: ResultLink,
    /// The result root at height 0, which the header claims.
    pub result_root: Hash,
}

/// A genesis can't start a chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GenesisRefused {
    /// The protocol version is unknown.
    #[error(
        "the genesis has protocol version {0}, this build speaks {NEWEST_VERSION} at most; use a build of that version"
    )]
    Version(u16),
    /// There are no validators.
    #[error("the genesis has no validators; name at least one")]
    NoValidators,
    /// Two validators have the same key.
    #[error("validators {0} and {1} share a key; each needs its own")]
    SharedKey(usize, usize),
    /// A key of small order, under which anybody can sign (R51).
    #[error("{0} {1} has a key of small order, under which anybody can sign; take a key that `keys new` made")]
    SmallOrder(&'static str, usize),
    /// A name or an address can't be read by people or by nodes.
    #[error("the name of validator {0} is not UTF-8, or its address is not printable ASCII; write it as host:port")]
    Unreadable(usize),
    /// Accounts are out of order or repeated.
    #[error("genesis account {0} is not above the one before it; sort accounts by region and key, each once")]
    AccountOrder(usize),
    /// A balance is zero, out of order or repeated.
    #[error("the balances of genesis account {0} are not ascending by asset with amounts above 0")]
    Balances(usize),
    /// The sum of storage bytes is too large.
    #[error("the storage balances and records of all accounts add up to more than 2^64 bytes; give less")]
    Storage,
    /// The sum of an asset's balances is too large.
    #[error("the balances of one asset add up to more than 2^128; give less")]
    Supply,
    /// Pools are out of order or repeated.
    #[error("pool {0} is not above the one before it; sort pools by number, each once")]
    PoolOrder(u32),
    /// A pool's key is not a possible one.
    #[error("the key of pool {0} is not a verifying key of shielded transfers; take the one that the ceremony made")]
    PoolKey(u32),
    /// A sponsor isn't an account of the genesis, is named twice, or has no share or more than the whole.
    #[error(
        "sponsor {0} is no account of the genesis, or named before, or its shares aren't 1 to 1000000 millionths; \
         name each sponsor's account once, with its shares"
    )]
    Sponsor(usize),
    /// The shards can't divide the accounts, or have no usable committees.
    #[error("the shards of the genesis aren't usable: {0}")]
    Shards(&'static str),
    /// A parameter is looser than the formats, or contradicts another.
    #[error("the parameter {0} is out of range; see the reference of chain parameters")]
    Parameter(&'static str),
}

/// Returns the hashes of the chain's settings that headers of one of its shards contain.
pub fn hashes(genesis: &Genesis, shard: ShardId) -> ChainHashes {
    ChainHashes {
        chain: chain_id(genesis),
        validator_set: set_hash(&genesis.committee(shard)),
        parameters: Hash(hash_value(domain::PARAMETERS, &genesis.parameters)),
        shard_map: shard_map(genesis.rules(), &genesis.charter(shard)),
    }
}

/// Returns the field `shard_map` of a shard's headers: under version 1 the hash of the map with one shard, then that of the
/// shard's charter (S3).
pub fn shard_map(rules: Rules, charter: &Charter) -> Hash {
    if rules.has_terms() { charter_hash(charter) } else { Hash(hash_value(domain::SHARD_MAP, &vec![ShardId::ROOT])) }
}

impl GenesisState {
    /// Returns a leaf's value at height 0.
    pub fn value(&self, key: &StateKey) -> Option<&[u8]> {
        let place = self.diff.binary_search_by_key(key, |leaf| leaf.key).ok()?;
        self.diff[place].value.as_deref()
    }
}

/// Returns the state at height 0 of one of the chain's shards: the leaves of what its charter has.
pub fn genesis(genesis: &Genesis, shard: ShardId) -> GenesisState {
    let (hashes, charter, committee) = (hashes(genesis, shard), genesis.charter(shard), genesis.committee(shard));
    let own = genesis.accounts.iter().map(|account| (genesis_account_id(account), account));
    let own = own.filter(|(id, _)| charter.has(id));
    let mut diff: Vec<_> = own.flat_map(|(id, account)| leaves(genesis, id, account)).collect();
    let members = committee.len();
    let record = CommitteeRecord::first(genesis.rules(), committee);
    diff.push(first_write(SYSTEM_ACCOUNT, Name::Committee, record.to_bytes()));
    for pool in &genesis.pools {
        let place = pool_account(pool.number);
        if !charter.has(&place) {
            continue;
        }
        diff.extend(first_rows(pool).into_iter().map(|(row, value)| first_write(place, Name::Pool(row), value)));
    }
    let sponsors = (1..).zip(&genesis.sponsors).filter(|(_, sponsor)| charter.has(&sponsor.account));
    diff.extend(sponsors.map(|(number, sponsor)| {
        let record = SponsorRecord::new(sponsor.account, sponsor.work_ppm, sponsor.history_ppm);
        first_write(SYSTEM_ACCOUNT, Name::Sponsor(number), record.to_bytes())
    }));
    diff.sort_unstable_by_key(|write| write.key);
    let link = ResultLink { receipts: Hash::ZERO, diff: diff_root(&diff), outbox: Hash::ZERO };
    let root = result_root(&Hash(hashes.chain.0), &link.receipts, &link.diff, &link.outbox);
    let cursors = vec![Cursor::default(); members];
    let header = Header {
        version: genesis.version,
        chain: ChainId::ZERO,
        shard,
        epoch: Epoch(0),
        view: View(0),
        height: Height(0),
        parent: BlockDigest::ZERO,
        parent_view: View(0),
        proposer: ValidatorIndex(0),
        time_ms: genesis.time_ms,
        payload_root: payload_root(&[], &cursors, &cursors),
        // The committee has the same bound as the lanes, so the fallback is never used.
        cursors: BoundedVec::new(cursors).unwrap_or_default(),
        transactions: 0,
        declared_work: 0,
        speaks: 0,
        validator_set: hashes.validator_set,
        end: End::GoesOn,
        next_validator_set: hashes.validator_set,
        parameters: hashes.parameters,
        shard_map: hashes.shard_map,
        result: ResultClaim { height: Height(0), root },
        state: StateClaim::NoneYet,
    };
    GenesisState { diff, digest: block_digest(&header), header, link, result_root: root }
}

/// Returns the id of the account that a genesis entry creates.
pub fn genesis_account_id(account: &GenesisAccount) -> AccountId {
    account_id(account.region, &account.public_key)
}

fn leaves(genesis: &Genesis, id: AccountId, account: &GenesisAccount) -> Vec<LeafWrite> {
    let first = AccountRecord {
        public_key: account.public_key,
        nonce: 0,
        quota_left: genesis.parameters.quota_work_max,
        quota_at_ms: genesis.time_ms,
        storage_bytes_left: account.storage_bytes,
    };
    // Most chains have few sponsors.
    let record = match (1..).zip(&genesis.sponsors).find(|(_, sponsor)| sponsor.account == id) {
        Some((sponsor, _)) => AccountRecord2 { sponsor, ..first.into() }.to_bytes(),
        None => first.to_bytes(),
    };
    let balances = account.balances.iter();
    let balances = balances.map(|(asset, amount)| first_write(id, Name::Balance(*asset), encode_amount(*amount)));
    std::iter::once(first_write(id, Name::Account, record)).chain(balances).collect()
}

fn first_write(account: AccountId, name: Name<'_>, value: Vec<u8>) -> LeafWrite {
    LeafWrite { key: name.key(account), name: name.to_bytes(), value: Some(value) }
}

/// Checks that a decoded genesis can start a chain.
pub fn check_genesis(genesis: &Genesis) -> Result<(), GenesisRefused> {
    let rules = Rules::of(genesis.version).ok_or(GenesisRefused::Version(genesis.version))?;
    check_validators(genesis)?;
    check_accounts(genesis)?;
    check_pools(genesis)?;
    check_sponsors(genesis)?;
    check_shards(genesis, rules).map_err(GenesisRefused::Shards)?;
    if rules.refuses_small_keys() {
        check_keys(genesis)?;
    }
    check_parameters(&genesis.parameters, rules).map_err(GenesisRefused::Parameter)
}

/// Checks the list of shards. Errors: what is wrong with it, and what to do.
fn check_shards(genesis: &Genesis, rules: Rules) -> Result<(), &'static str> {
    let ensure = |holds: bool, part| if holds { Ok(()) } else { Err(part) };
    let shards = genesis.shards.as_slice();
    if shards.is_empty() {
        return Ok(());
    }
    ensure(rules.has_terms(), "protocol version 1 has one shard; take version 2")?;
    ensure(shards.len() > 1, "one shard is what a genesis without a list has; leave the list out")?;
    ensure(genesis.parameters.state_roots, "a chain of several shards makes state roots; set state_roots")?;
    ensure(shards[0].from == AccountId::default(), "shard 0 begins with the lowest account; give it the id zero")?;
    let ascending = shards.windows(2).all(|pair| pair[0].from < pair[1].from && !pair[1].from.is_system());
    ensure(ascending, "each shard begins above the one before it, and above the system's ids; sort the cuts")?;
    let validators = genesis.validators.len();
    let mut placed = vec![false; validators];
    for shard in shards {
        let mut members: Vec<usize> = shard.members.iter().map(|place| usize::from(*place)).collect();
        ensure(!members.is_empty(), "a shard has no members; name at least one validator for each")?;
        ensure(
            members.iter().all(|place| *place < validators),
            "a member is none of the validators; count them from 0",
        )?;
        members.iter().for_each(|place| placed[*place] = true);
        members.sort_unstable();
        ensure(members.windows(2).all(|pair| pair[0] < pair[1]), "a shard names a member twice; name each once")?;
    }
    ensure(placed.iter().all(|placed| *placed), "a validator is in no shard; make it a member, or leave it out")
}

fn check_sponsors(genesis: &Genesis) -> Result<(), GenesisRefused> {
    let sponsors = genesis.sponsors.as_slice();
    let accounts: BTreeSet<AccountId> = match sponsors {
        [] => BTreeSet::new(),
        _ => genesis.accounts.iter().map(genesis_account_id).collect(),
    };
    let share = 1..=WHOLE_PPM;
    let possible = |place: usize, sponsor: &GenesisSponsor| {
        let earlier = sponsors.iter().take(place).any(|one| one.account == sponsor.account);
        let shares = share.contains(&sponsor.work_ppm) && share.contains(&sponsor.history_ppm);
        genesis.rules().has_sponsors() && !earlier && shares && accounts.contains(&sponsor.account)
    };
    match sponsors.iter().enumerate().find(|(place, sponsor)| !possible(*place, sponsor)) {
        Some((place, _)) => Err(GenesisRefused::Sponsor(place + 1)),
        None => Ok(()),
    }
}

fn check_validators(genesis: &Genesis) -> Result<(), GenesisRefused> {
    let validators = genesis.validators.as_slice();
    if validators.is_empty() {
        return Err(GenesisRefused::NoValidators);
    }
    for (i, a) in validators.iter().enumerate() {
        if std::str::from_utf8(a.name.as_slice()).is_err() || !a.address.as_slice().iter().all(u8::is_ascii_graphic) {
            return Err(GenesisRefused::Unreadable(i));
        }
        for (j, b) in validators.iter().enumerate().skip(i + 1) {
            let shared = a.validator_key == b.validator_key || a.node_key == b.node_key;
            if shared {
                return Err(GenesisRefused::SharedKey(i, j));
            }
        }
    }
    Ok(())
}

/// R51: checks that no key is of small order.
fn check_keys(genesis: &Genesis) -> Result<(), GenesisRefused> {
    let small = |keys: &[&PublicKey]| keys.iter().any(|key| is_small_order(key));
    let validators = genesis.validators.iter();
    let validator =
        validators.map(|own| [&own.validator_key, &own.node_key, &own.owner_key]).position(|own| small(&own));
    let account = genesis.accounts.iter().position(|account| small(&[&account.public_key]));
    let operator = genesis.parameters.operators.iter().position(|key| small(&[key]));
    let found = [("validator", validator), ("account", account), ("operator", operator)];
    match found.into_iter().find_map(|(what, place)| place.map(|place| (what, place))) {
        Some((what, place)) => Err(GenesisRefused::SmallOrder(what, place)),
        None => Ok(()),
    }
}

fn check_accounts(genesis: &Genesis) -> Result<(), GenesisRefused> {
    let accounts = genesis.accounts.as_slice();
    let unsorted = accounts.windows(2).position(|p| (p[0].region, p[0].public_key) >= (p[1].region, p[1].public_key));
    if let Some(index) = unsorted {
        return Err(GenesisRefused::AccountOrder(index + 1));
    }
    let committee = CommitteeRecord::first(genesis.rules(), genesis.validators.clone()).to_bytes().len() as u64;
    let mut storage = u128::from(LEAF_KEY_BYTES + committee);
    let mut amounts = Vec::new();
    for (index, account) in accounts.iter().enumerate() {
        let balances = account.balances.as_slice();
        let ascending = balances.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !ascending || balances.iter().any(|(_, amount)| *amount == 0) {
            return Err(GenesisRefused::Balances(index));
        }
        let leaves = balances.len() as u64 * (LEAF_KEY_BYTES + size_of::<u128>() as u64);
        storage += u128::from(account.storage_bytes) + u128::from(LEAF_KEY_BYTES + RECORD_BYTES as u64 + leaves);
        amounts.extend_from_slice(balances);
    }
    if storage > u128::from(u64::MAX) {
        return Err(GenesisRefused::Storage);
    }
    amounts.sort_unstable();
    let one_asset = amounts.chunk_by(|a, b| a.0 == b.0);
    let mut sums = one_asset.map(|same| same.iter().try_fold(0u128, |sum, (_, amount)| sum.checked_add(*amount)));
    if sums.any(|sum| sum.is_none()) { Err(GenesisRefused::Supply) } else { Ok(()) }
}

fn check_pools(genesis: &Genesis) -> Result<(), GenesisRefused> {
    let pools = genesis.pools.as_slice();
    if let Some(pair) = pools.windows(2).find(|pair| pair[0].number >= pair[1].number) {
        return Err(GenesisRefused::PoolOrder(pair[1].number));
    }
    match pools.iter().find(|pool| !is_pool_key(pool.key.as_slice())) {
        Some(pool) => Err(GenesisRefused::PoolKey(pool.number)),
        None => Ok(()),
    }
}
