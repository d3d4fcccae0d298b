//! Protocol versions: which rules a chain follows.
//!
//! *Invariants:* all that differs between versions is asked here or matched on `Rules`; what is hashed, signed or stored
//! under a version never changes after its release.

use crate::transaction::{Operation, PublicKey};

/// The newest protocol version that this build speaks.
pub const PROTOCOL_VERSION: u16 = Rules::NEWEST.version();

/// The version that transactions carry, under all rules.
pub const TRANSACTION_VERSION: u16 = 1;

/// The rules of a chain, which the version in its genesis and its headers names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rules {
    /// Version 1: chains of releases up to 0.2.0.
    V1,
    /// Version 2: lanes are permuted (R50), epochs have a least age (R45), new keys prove possession (R46).
    V2,
}

impl Rules {
    /// What new chains follow.
    pub const NEWEST: Self = Self::V2;

    /// The rules of a version; none where this build doesn't know it.
    pub const fn of(version: u16) -> Option<Self> {
        match version {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// The version that headers carry.
    pub const fn version(self) -> u16 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// Whether transactions may have this operation. Releases that know older rules alone can't read it.
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
