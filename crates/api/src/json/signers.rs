//! Keys and signatures as JSON: authorities of accounts, and proofs of possession.
//!
//! *Invariants:* a view holds what the value holds.

use super::scalar::Hex;
use super::schema::ToSchema;
use super::view_error::ViewError;
use rustorium_types::{AccountId, Authority, Hash, Possession, Recovery, Signer, SignerKey};
use serde::{Deserialize, Serialize};

/// The keys that may act for an account, and how many of them must sign.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorityView {
    /// Number of keys that must sign.
    pub threshold: u8,
    /// The Ed25519 keys, ascending.
    #[schema(value_type = Vec<String>)]
    pub keys: Vec<Hex<32>>,
}

impl From<&Authority> for AuthorityView {
    fn from(authority: &Authority) -> Self {
        let keys = authority.keys().iter().map(|SignerKey::Ed25519(key)| Hex(*key)).collect();
        Self { threshold: authority.threshold(), keys }
    }
}

impl TryFrom<&AuthorityView> for Authority {
    type Error = ViewError;

    /// Returns the authority of keys in any order.
    fn try_from(view: &AuthorityView) -> Result<Self, ViewError> {
        let keys = view.keys.iter().map(|key| SignerKey::Ed25519(key.0)).collect();
        Self::of_keys(view.threshold, keys).map_err(ViewError::Authority)
    }
}

/// Returns the key of an authority of one key alone, or else the hash of the authority: a record has one of them.
pub(super) fn key_or_hash(signer: Signer) -> (Option<Hex<32>>, Option<Hash>) {
    match signer {
        Signer::Single(key) => (Some(Hex(key)), None),
        Signer::Many(hash) => (None, Some(hash)),
    }
}

/// The account that may replace another one's keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryView {
    /// The recovery account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// Time between a recovery and its effect, ms.
    pub delay_ms: u64,
    /// `true` if the account's keys can't cancel a recovery, and the account is frozen until it takes effect.
    #[serde(rename = "final")]
    pub is_final: bool,
}

impl From<Recovery> for RecoveryView {
    fn from(recovery: Recovery) -> Self {
        let Recovery { account, delay_ms, is_final } = recovery;
        Self { account, delay_ms, is_final }
    }
}

impl From<RecoveryView> for Recovery {
    fn from(view: RecoveryView) -> Self {
        let RecoveryView { account, delay_ms, is_final } = view;
        Self { account, delay_ms, is_final }
    }
}

/// A signature of one of an authority's keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SignatureView {
    /// Place of the key in the authority, from 0.
    pub key: u8,
    /// The signature.
    #[schema(value_type = String)]
    pub signature: Hex<64>,
}

/// Signatures by a validator's new keys, for its owner and one chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PossessionView {
    /// The validator key's signature.
    #[schema(value_type = String)]
    pub validator: Hex<64>,
    /// The node key's signature.
    #[schema(value_type = String)]
    pub node: Hex<64>,
}

impl From<&Possession> for PossessionView {
    fn from(possession: &Possession) -> Self {
        Self { validator: Hex(possession.validator), node: Hex(possession.node) }
    }
}

impl From<PossessionView> for Possession {
    fn from(view: PossessionView) -> Self {
        Self { validator: view.validator.0, node: view.node.0 }
    }
}
