//! Protocol versions: the rules that a chain follows.
//!
//! *Invariants:* every difference between versions is a method here or a match on `Rules`; what is hashed, signed or
//! stored under a version never changes after its release.

use crate::operation2::Operation2;
use crate::transaction::{Operation, PublicKey};

/// The newest protocol version that this build speaks.
pub const NEWEST_VERSION: u16 = Rules::NEWEST.version();

/// The version that transactions carry, under all rules.
pub const TRANSACTION_VERSION: u16 = 1;

/// The rules of a chain, named by the version in its genesis and its headers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rules {
    /// Version 1: chains of releases up to 0.2.0.
    V1,
    /// Version 2: lanes are permuted (R50), epochs have a least age (R45), new keys prove possession (R46).
    V2,
}

impl Rules {
    /// The rules of new chains.
    pub const NEWEST: Self = Self::V2;

    /// Returns the rules of a version; `None` if this build doesn't know the version.
    pub const fn of(version: u16) -> Option<Self> {
        match version {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// Returns the version in headers.
    pub const fn version(self) -> u16 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// Tells if the leaders of an epoch stand in an order that is drawn (R1), and not in that of their places.
    pub const fn draws_leaders(self) -> bool {
        match self {
            Self::V1 => false,
            Self::V2 => true,
        }
    }

    /// Tells if the chain's parameters have the least age of an epoch (R45).
    pub const fn has_epoch_age(self) -> bool {
        match self {
            Self::V1 => false,
            Self::V2 => true,
        }
    }

    /// Tells if accounts have sponsors, and history counts (V57, V58).
    pub const fn has_sponsors(self) -> bool {
        match self {
            Self::V1 => false,
            Self::V2 => true,
        }
    }

    /// Tells if boundaries name the next epoch's term, and not only its committee.
    pub const fn has_terms(self) -> bool {
        match self {
            Self::V1 => false,
            Self::V2 => true,
        }
    }

    /// Tells if a genesis may have no key of small order (R51).
    pub const fn refuses_small_keys(self) -> bool {
        match self {
            Self::V1 => false,
            Self::V2 => true,
        }
    }

    /// Tells if each block may list transactions beside the lanes, and not only one of owners that end an epoch (R33).
    pub const fn lists_beside_lanes(self) -> bool {
        match self {
            Self::V1 => true,
            Self::V2 => false,
        }
    }

    /// Tells if transactions may contain this operation. Releases that know only older rules can't decode it.
    pub fn know(self, operation: &Operation) -> bool {
        let second = matches!(operation, Operation::AddProven { .. } | Operation::ReplaceProven { .. });
        !second || self >= Self::V2
    }
}

impl Operation {
    /// Returns the public keys that the operation brings onto the chain.
    pub fn new_keys(&self) -> Vec<&PublicKey> {
        match self {
            Self::CreateAccount { public_key, .. } => vec![public_key],
            Self::AddValidator { validator } | Self::AddProven { validator, .. } => {
                vec![&validator.validator_key, &validator.node_key, &validator.owner_key]
            }
            Self::ReplaceKey { new_validator_key, new_node_key, .. }
            | Self::ReplaceProven { new_validator_key, new_node_key, .. } => vec![new_validator_key, new_node_key],
            _ => Vec::new(),
        }
    }
}

impl Operation2 {
    /// Returns the public keys that the operation brings onto the chain, besides those of accounts: an [`Authority`] has
    /// none of small order.
    ///
    /// [`Authority`]: crate::Authority
    pub fn new_keys(&self) -> Vec<&PublicKey> {
        match self {
            Self::AddValidator { validator, .. } => {
                vec![&validator.validator_key, &validator.node_key, &validator.owner_key]
            }
            Self::ReplaceKey { new_validator_key, new_node_key, .. } => vec![new_validator_key, new_node_key],
            Self::SetOwner { new_owner_key, .. } => vec![new_owner_key],
            Self::RecoverOperators { operators, .. } => operators.iter().collect(),
            _ => Vec::new(),
        }
    }
}
