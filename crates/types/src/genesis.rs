//! Genesis: the chain's parameters, first committee and first accounts. The hash of its canonical bytes is the chain
//! id.

use crate::address::AccountId;
use crate::capacity::Capacity;
use crate::codec::{BoundedBytes, BoundedVec};
use crate::ids::AssetId;
use crate::limits::*;
use crate::rules::Rules;
use crate::shards::GenesisShard;
use crate::transaction::PublicKey;
use borsh::io::{Error, ErrorKind, Read, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Refusal of a genesis of version 2 that has version 1's form of parameters (V13).
pub const UNRELEASED: &str =
    "it was made by an unreleased build of protocol version 2: make the chain's genesis again with this release";

/// The default least age of an epoch, for epochs of 24 hours.
const EPOCH_AGE_MS_DEFAULT: u64 = 3600 * 1000;
/// The default least age for chains with short epochs.
const EPOCH_AGE_MS_LEAST: u64 = 600 * 1000;

/// The chain's parameters, which all validators must agree on in addition to the rules. The default is that of the
/// newest rules.
///
/// The bytes of version 2 begin with the version in one byte, a byte of flags and two zeros. Those of version 1 begin with
/// `batch_bytes_max`, which is never that small, so the bytes alone tell the version. The one flag says that
/// `not_leading` follows, which otherwise is empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Bytes of transactions in one batch.
    pub batch_bytes_max: u32,
    /// Transactions in one batch.
    pub batch_transactions_max: u32,
    /// Declared work in one batch.
    pub batch_work_max: u64,
    /// Bytes of payload in one block.
    pub block_bytes_max: u32,
    /// Transactions in one block.
    pub block_transactions_max: u32,
    /// Declared work in one block.
    pub block_work_max: u64,
    /// State writes by one transaction.
    pub transaction_writes_max: u32,
    /// Batches of one lane that peers hold beyond its final cursor.
    pub lane_window_batches: u32,
    /// Bytes of one lane that peers hold beyond its final cursor.
    pub lane_window_bytes: u32,
    /// Longest time by which a header's time may be ahead of a voter's clock.
    pub clock_ahead_ms_max: u64,
    /// Heights that may be final and not claimed before payloads are refused.
    pub claim_lag_max: u64,
    /// True if the chain makes state roots. Only a benchmark's chain makes none.
    pub state_roots: bool,
    /// Header time after which a root period ends.
    pub root_period_ms: u64,
    /// Header time after which an empty block ends a root period that isn't empty.
    pub root_period_idle_ms: u64,
    /// Heights that may lie above the newest claimed state root before payloads are refused.
    pub root_lag_max: u64,
    /// Longest time by which a transaction's expiry may lie ahead of header time.
    pub expiry_ahead_ms_max: u64,
    /// Largest work quota of an account, work units.
    pub quota_work_max: u64,
    /// Work units that an account's quota grows by in a second of header time.
    pub quota_work_per_s: u64,
    /// Header time after which an epoch's end is due.
    pub epoch_ms: u64,
    /// Keys of the operators, whose accounts may change the committee and end an epoch early.
    #[serde(with = "hex_keys")]
    pub operators: BoundedVec<PublicKey, OPERATORS_MAX>,
    /// Operators that must approve exactly the same change; 0 if there are no operators.
    pub operator_quorum: u8,
    /// The age, in header time, that an epoch must have before a wish for another committee ends it. `None` only under
    /// version 1, whose encoding ends before this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_epoch_ms: Option<u64>,
    /// What accounts and sponsors may use over time, in addition to the quota of work. `None` only under version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// The time, in header time, that passes between the decision for other operators and the boundary that may take them
    /// (V46). `None` only under version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operators_delay_ms: Option<u64>,
    /// The time, in header time, that passes between the decision of validators' owners for other operators and the boundary
    /// that may take them (V48); 0 if owners can't decide that. `None` only under version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners_recover_ms: Option<u64>,
    /// Node keys of validators that lead in full cycles alone (R1). None under version 1.
    #[serde(default, with = "hex_keys", skip_serializing_if = "hex_keys::is_empty")]
    pub not_leading: BoundedVec<PublicKey, NOT_LEADING_MAX>,
}

/// The flag in the bytes of version 2 that says that `not_leading` follows.
const NOT_LEADING_FLAG: u32 = 1 << 8;

impl BorshSerialize for Parameters {
    fn serialize<W: Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        let flags = if self.not_leading.is_empty() { 0 } else { NOT_LEADING_FLAG };
        let version = self.min_epoch_ms.map(|_| u32::from(Rules::V2.version()) | flags);
        let batch = (self.batch_bytes_max, self.batch_transactions_max, self.batch_work_max);
        let block = (self.block_bytes_max, self.block_transactions_max, self.block_work_max);
        let lane = (self.transaction_writes_max, self.lane_window_batches, self.lane_window_bytes);
        let times = (self.clock_ahead_ms_max, self.claim_lag_max, self.state_roots, self.root_period_ms);
        let roots = (self.root_period_idle_ms, self.root_lag_max, self.expiry_ahead_ms_max);
        let quota = (self.quota_work_max, self.quota_work_per_s, self.epoch_ms);
        let governing = (&self.operators, self.operator_quorum);
        version.map_or(Ok(()), |version| BorshSerialize::serialize(&version, writer))?;
        BorshSerialize::serialize(&(batch, block, lane, times, roots, quota, governing), writer)?;
        let delays = (self.operators_delay_ms.unwrap_or_default(), self.owners_recover_ms.unwrap_or_default());
        let rest = (self.capacity.unwrap_or_default(), delays);
        let second = |age_ms| BorshSerialize::serialize(&(age_ms, rest), writer);
        self.min_epoch_ms.map_or(Ok(()), second)?;
        if flags == 0 { Ok(()) } else { BorshSerialize::serialize(&self.not_leading, writer) }
    }
}

impl BorshDeserialize for Parameters {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Self> {
        fn next<T: BorshDeserialize, R: Read>(reader: &mut R) -> borsh::io::Result<T> {
            T::deserialize_reader(reader)
        }
        let malformed = |what| Error::new(ErrorKind::InvalidData, what);
        let first: u32 = next(reader)?;
        let second = first & !NOT_LEADING_FLAG == u32::from(Rules::V2.version());
        if !second && (u32::from(Rules::V2.version())..=u32::from(u16::MAX)).contains(&first) {
            return Err(malformed("the parameters are of a newer protocol version"));
        }
        let lists = second && first & NOT_LEADING_FLAG != 0;
        let parameters = Self {
            batch_bytes_max: if second { next(reader)? } else { first },
            batch_transactions_max: next(reader)?,
            batch_work_max: next(reader)?,
            block_bytes_max: next(reader)?,
            block_transactions_max: next(reader)?,
            block_work_max: next(reader)?,
            transaction_writes_max: next(reader)?,
            lane_window_batches: next(reader)?,
            lane_window_bytes: next(reader)?,
            clock_ahead_ms_max: next(reader)?,
            claim_lag_max: next(reader)?,
            state_roots: next(reader)?,
            root_period_ms: next(reader)?,
            root_period_idle_ms: next(reader)?,
            root_lag_max: next(reader)?,
            expiry_ahead_ms_max: next(reader)?,
            quota_work_max: next(reader)?,
            quota_work_per_s: next(reader)?,
            epoch_ms: next(reader)?,
            operators: next(reader)?,
            operator_quorum: next(reader)?,
            min_epoch_ms: if second { Some(next(reader)?) } else { None },
            capacity: if second { Some(next(reader)?) } else { None },
            operators_delay_ms: if second { Some(next(reader)?) } else { None },
            owners_recover_ms: if second { Some(next(reader)?) } else { None },
            not_leading: if lists { next(reader)? } else { BoundedVec::default() },
        };
        if lists && parameters.not_leading.is_empty() {
            return Err(malformed("an empty list of validators that don't lead has a shorter form"));
        }
        Ok(parameters)
    }
}

impl Parameters {
    /// Returns the default parameters of chains that follow these rules.
    pub fn of(rules: Rules) -> Self {
        let min_epoch_ms = rules.has_epoch_age().then_some(EPOCH_AGE_MS_DEFAULT);
        let [operators_delay_ms, owners_recover_ms] = [rules.has_terms().then_some(0); 2];
        let capacity = rules.has_sponsors().then(Capacity::default);
        Self { min_epoch_ms, capacity, operators_delay_ms, owners_recover_ms, ..Self::default() }
    }

    /// Returns who governs under these parameters: the operators' keys, and the number of seats that make a change.
    pub fn governors(&self) -> (&BoundedVec<PublicKey, OPERATORS_MAX>, u8) {
        (&self.operators, self.operator_quorum)
    }

    /// Returns the default of an epoch's least age: a 24th of the epoch's length, at least 10 minutes, at most the
    /// whole length.
    pub fn epoch_age_of(epoch_ms: u64) -> u64 {
        (epoch_ms / 24).max(EPOCH_AGE_MS_LEAST).min(epoch_ms)
    }
}

/// Public keys as hex digits in JSON.
mod hex_keys {
    use super::{BoundedVec, PublicKey};
    use crate::ids::Hash;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn is_empty<const MAX: usize>(keys: &BoundedVec<PublicKey, MAX>) -> bool {
        keys.is_empty()
    }

    pub(super) fn serialize<S: Serializer, const MAX: usize>(
        keys: &BoundedVec<PublicKey, MAX>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(keys.iter().map(|key| Hash(*key)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const MAX: usize>(
        deserializer: D,
    ) -> Result<BoundedVec<PublicKey, MAX>, D::Error> {
        let keys: Vec<Hash> = Vec::deserialize(deserializer)?;
        BoundedVec::new(keys.into_iter().map(|key| key.0).collect()).map_err(D::Error::custom)
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            batch_bytes_max: 512 * 1024,
            batch_transactions_max: 2048,
            batch_work_max: 2_000_000,
            block_bytes_max: 8 * 1024 * 1024,
            block_transactions_max: 16_384,
            block_work_max: 16_000_000,
            transaction_writes_max: 512,
            lane_window_batches: 64,
            lane_window_bytes: 16 * 1024 * 1024,
            clock_ahead_ms_max: 2_000,
            claim_lag_max: 64,
            state_roots: true,
            root_period_ms: 1_000,
            root_period_idle_ms: 20,
            root_lag_max: 4_096,
            expiry_ahead_ms_max: 24 * 3600 * 1000,
            quota_work_max: 1_000_000_000_000,
            quota_work_per_s: 1_000_000_000,
            epoch_ms: 24 * 3600 * 1000,
            operators: BoundedVec::default(),
            operator_quorum: 0,
            min_epoch_ms: Some(EPOCH_AGE_MS_DEFAULT),
            capacity: Some(Capacity::default()),
            operators_delay_ms: Some(0),
            owners_recover_ms: Some(0),
            not_leading: BoundedVec::default(),
        }
    }
}

/// A member of a committee.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// A name for people: UTF-8.
    pub name: BoundedBytes<NAME_BYTES_MAX>,
    /// The key that signs votes and batches.
    pub validator_key: PublicKey,
    /// The key that proves the node's identity on its links.
    pub node_key: PublicKey,
    /// The key that signs the validator's replacement. It is kept off the node.
    pub owner_key: PublicKey,
    /// Home region's byte.
    pub region: u8,
    /// The address at which peers dial the validator, "host:port". If empty, each node's own configuration gives it.
    pub address: BoundedBytes<ADDRESS_BYTES_MAX>,
}

/// A committee, in the order of its members' indexes.
pub type ValidatorSet = BoundedVec<Validator, VALIDATORS_MAX>;

/// An account that exists from the start.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct GenesisAccount {
    /// Home region's byte.
    pub region: u8,
    /// The account's key. Together with the region it determines the account's id.
    pub public_key: PublicKey,
    /// Storage balance, bytes.
    pub storage_bytes: u64,
    /// Balances: asset and amount.
    pub balances: BoundedVec<(AssetId, u128), 16>,
}

/// A pool of shielded value.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct GenesisPool {
    /// The pool's number.
    pub number: u32,
    /// The verifying key of its transfers, in canonical bytes.
    pub key: BoundedBytes<VERIFYING_KEY_BYTES_MAX>,
}

/// An account of the genesis that stands for itself and for the accounts that come from it (V58). Sponsors are numbered by
/// their places, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisSponsor {
    /// The account.
    pub account: AccountId,
    /// Share of the chain's work, in millionths.
    pub work_ppm: u32,
    /// Share of the chain's history, in millionths.
    pub history_ppm: u32,
}

/// The start of a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Genesis {
    /// Protocol version at the start (`Rules`).
    pub version: u16,
    /// A name for people: UTF-8.
    pub name: BoundedBytes<NAME_BYTES_MAX>,
    /// The genesis block's time, Unix ms.
    pub time_ms: u64,
    /// The parameters.
    pub parameters: Parameters,
    /// The first committee.
    pub validators: ValidatorSet,
    /// The first accounts, ascending by (region, public key).
    pub accounts: BoundedVec<GenesisAccount, GENESIS_ACCOUNTS_MAX>,
    /// The pools of shielded value, ascending by number.
    pub pools: BoundedVec<GenesisPool, POOLS_MAX>,
    /// The sponsors. Version 1 has none, and its encoding ends before them.
    pub sponsors: BoundedVec<GenesisSponsor, GENESIS_SPONSORS_MAX>,
    /// The shards, by their numbers. A chain that begins with one shard lists none, and its encoding ends before them.
    pub shards: BoundedVec<GenesisShard, GENESIS_SHARDS_MAX>,
}

impl Genesis {
    /// Returns the rules of the chain. An unknown version gets the rules of version 1; no node starts such a chain.
    pub fn rules(&self) -> Rules {
        Rules::of(self.version).unwrap_or(Rules::V1)
    }
}

impl BorshSerialize for Genesis {
    fn serialize<W: Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        let head = (self.version, &self.name, self.time_ms, &self.parameters);
        BorshSerialize::serialize(&(head, &self.validators, &self.accounts, &self.pools), writer)?;
        if !has_sponsors(self.version) {
            return Ok(());
        }
        BorshSerialize::serialize(&self.sponsors, writer)?;
        if self.shards.is_empty() { Ok(()) } else { BorshSerialize::serialize(&self.shards, writer) }
    }
}

/// Reads the list of shards, which is missing where it is empty. Errors: an empty list that is written down.
fn read_shards<R: Read>(reader: &mut R) -> borsh::io::Result<BoundedVec<GenesisShard, GENESIS_SHARDS_MAX>> {
    let mut first = [0];
    if reader.read(&mut first)? == 0 {
        return Ok(BoundedVec::default());
    }
    let shards = BoundedVec::deserialize_reader(&mut first.as_slice().chain(reader))?;
    if shards.is_empty() {
        return Err(Error::new(ErrorKind::InvalidData, "the genesis has an empty list of shards"));
    }
    Ok(shards)
}

/// Tells if the encoding of a genesis of this version has sponsors.
fn has_sponsors(version: u16) -> bool {
    version >= Rules::V2.version()
}

impl BorshDeserialize for Genesis {
    fn deserialize_reader<R: Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let version = u16::deserialize_reader(reader)?;
        let (name, time_ms) = (BoundedBytes::deserialize_reader(reader)?, u64::deserialize_reader(reader)?);
        let parameters = Parameters::deserialize_reader(reader)?;
        if (version >= Rules::V2.version()) != parameters.min_epoch_ms.is_some() {
            return Err(Error::new(ErrorKind::InvalidData, UNRELEASED));
        }
        let second = has_sponsors(version);
        Ok(Self {
            version,
            name,
            time_ms,
            parameters,
            validators: BoundedVec::deserialize_reader(reader)?,
            accounts: BoundedVec::deserialize_reader(reader)?,
            pools: BoundedVec::deserialize_reader(reader)?,
            sponsors: if second { BoundedVec::deserialize_reader(reader)? } else { BoundedVec::default() },
            shards: if second { read_shards(reader)? } else { BoundedVec::default() },
        })
    }
}

/// The 64-byte key of a state leaf: account id, then BLAKE3 of the leaf's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct StateKey {
    /// The account of the leaf.
    pub account: AccountId,
    /// Hash of the leaf's name.
    pub name: [u8; 32],
}

impl StateKey {
    /// Returns the 64 bytes, account first, so that byte order keeps accounts together.
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.account.0);
        bytes[32..].copy_from_slice(&self.name);
        bytes
    }
}

/// A change of a state leaf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeafWrite {
    /// The leaf.
    pub key: StateKey,
    /// The leaf's name, whose hash is in the key. Not hashed into the state changes; recipients recompute the hash from
    /// the name.
    pub name: Vec<u8>,
    /// The leaf's new value; `None` if the leaf is removed.
    pub value: Option<Vec<u8>>,
}

impl std::fmt::Debug for StateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.account, hex::encode(&self.name[..4]))
    }
}
