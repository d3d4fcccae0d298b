//! The bytes by which a key shows that somebody holds it before it becomes a validator's owner.
//!
//! *Invariants:* the bytes name the chain, the validator and its present owner, so a proof serves one change.

use crate::ids::ChainId;
use crate::transaction::PublicKey;
use borsh::{BorshDeserialize, BorshSerialize};

/// The body that a new owner's key signs (after the domain string).
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct OwnerPossessionBody {
    /// The chain.
    pub chain: ChainId,
    /// The validator's present key.
    pub validator_key: PublicKey,
    /// The present owner's key.
    pub owner_key: PublicKey,
    /// The new owner's key.
    pub new_owner_key: PublicKey,
}
