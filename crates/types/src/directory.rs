//! The record that a node signs about itself for the directory: where it stands, and where clients reach it.
//!
//! *Invariants:* a record names its chain and is signed by the node's own key, so nobody speaks for another's node; it
//! grants nothing: who uses a record checks the node's answers as any other's.

use crate::codec::{BoundedBytes, BoundedVec};
use crate::ids::ChainId;
use crate::transaction::{GeoLocation, PublicKey, Signature};
use borsh::{BorshDeserialize, BorshSerialize};

/// The key of an owner's account under which its nodes' records are kept.
pub const DIRECTORY_KEY: &[u8] = b"rustorium/nodes";
/// The first byte of that key's value.
pub const DIRECTORY_VERSION: u8 = 1;
/// Records in one account.
pub const NODE_RECORDS_MAX: usize = 8;
/// Bytes of a node's URL.
pub const NODE_URL_BYTES_MAX: usize = 128;
/// The longest time for which a record speaks, ms: 90 days.
pub const NODE_RECORD_MS_MAX: u64 = 90 * 24 * 3_600 * 1_000;

/// The signed part of a record.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct NodeRecord {
    /// The chain.
    pub chain: ChainId,
    /// The key that proves the node's identity on its links, and signs this.
    pub node_key: PublicKey,
    /// Home region's byte.
    pub region: u8,
    /// The place where the node stands; `None` if the region alone says it.
    pub place: Option<GeoLocation>,
    /// The URL of its HTTP API: UTF-8.
    pub url: BoundedBytes<NODE_URL_BYTES_MAX>,
    /// When it was signed, Unix ms. Of two records of a node the later counts.
    pub made_ms: u64,
    /// The record says nothing from this time on, Unix ms.
    pub until_ms: u64,
}

/// A record with the node's signature.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct SignedNodeRecord {
    /// The signed part.
    pub record: NodeRecord,
    /// Ed25519 over domain string and record.
    pub signature: Signature,
}

/// The value under [`DIRECTORY_KEY`].
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct NodeRecords {
    /// [`DIRECTORY_VERSION`].
    pub version: u8,
    /// The nodes for which the account's owner answers.
    pub records: BoundedVec<SignedNodeRecord, NODE_RECORDS_MAX>,
}

impl GeoLocation {
    /// Tells if both are within their ranges.
    pub fn is_on_earth(&self) -> bool {
        self.latitude_e7.unsigned_abs() <= 900_000_000 && self.longitude_e7.unsigned_abs() <= 1_800_000_000
    }
}

impl NodeRecord {
    /// Tells if the record's fields are within their limits, whoever signed it.
    pub fn is_sound(&self) -> bool {
        let lasts = self.until_ms.checked_sub(self.made_ms);
        lasts.is_some_and(|ms| ms <= NODE_RECORD_MS_MAX)
            && self.place.as_ref().is_none_or(GeoLocation::is_on_earth)
            && std::str::from_utf8(self.url.as_slice()).is_ok_and(|url| url.bytes().all(|byte| byte.is_ascii_graphic()))
    }
}
