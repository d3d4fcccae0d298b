//! Changes that the operators' seats decide, and the ids of the system's own senders.
//!
//! *Invariants:* an account's id is a hash behind its region's byte, so none is a system sender's; every change is bounded
//! by its type.

use crate::address::AccountId;
use crate::codec::BoundedVec;
use crate::genesis::{Parameters, Validator};
use crate::ids::{Epoch, Hash};
use crate::limits::OPERATORS_MAX;
use crate::listed::Transaction;
use crate::operation2::Operation2;
use crate::transaction::{Operation, Possession, PublicKey, Signature};
use borsh::{BorshDeserialize, BorshSerialize};

/// Zero bytes at the beginning of a system sender's id.
const ZEROS: usize = 23;
/// The byte behind them that says that the sender is an operator's seat.
const SEAT: u8 = 4;
/// The byte of a validator's owner.
const OWNER: u8 = 5;

/// A sender of the system's own: it governs, and holds nothing (V36).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SystemSender {
    /// The operator's seat with this number.
    Seat(u32),
    /// The owner of the validator with this number.
    Owner(u32),
}

impl SystemSender {
    /// Returns the sender's id: 23 zero bytes, the kind, the shard (0) and the number, big-endian.
    pub fn id(self) -> AccountId {
        let (kind, number) = match self {
            Self::Seat(number) => (SEAT, number),
            Self::Owner(number) => (OWNER, number),
        };
        let mut id = [0; 32];
        id[ZEROS] = kind;
        id[28..].copy_from_slice(&number.to_be_bytes());
        AccountId(id)
    }

    /// Returns the system sender that has this id; `None` if it is an account's.
    pub fn of(id: &AccountId) -> Option<Self> {
        let (zeros, rest) = id.0.split_at(ZEROS);
        let [kind, 0, 0, 0, 0, number @ ..] = rest else { return None };
        if zeros.iter().any(|byte| *byte != 0) {
            return None;
        }
        let number = u32::from_be_bytes(number.try_into().ok()?);
        match *kind {
            SEAT => Some(Self::Seat(number)),
            OWNER => Some(Self::Owner(number)),
            _ => None,
        }
    }
}

/// The senders whom a pause stops (V43).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, BorshSerialize, BorshDeserialize)]
pub enum PauseScope {
    /// All accounts.
    All,
    /// One account: its own transactions, and all writes under its id, which may be a verifier's or a pool's.
    Account(AccountId),
}

/// A change that a quorum of the seats makes (V41).
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum GovernanceChange {
    /// A validator joins the committee with the next epoch.
    AddValidator {
        /// The validator.
        validator: Validator,
        /// Proof of possession of the validator's keys.
        possession: Possession,
    },
    /// A validator leaves the committee with the next epoch.
    RemoveValidator {
        /// The validator's key.
        validator_key: PublicKey,
    },
    /// A validator has other keys from the next epoch on.
    ReplaceKey {
        /// The validator's present key.
        validator_key: PublicKey,
        /// The key that signs votes and batches from then on.
        new_validator_key: PublicKey,
        /// The key that proves the node's identity from then on; may be the present one.
        new_node_key: PublicKey,
        /// Proof of possession of the new keys.
        possession: Possession,
    },
    /// The epoch ends as soon as it can.
    EndEpoch {
        /// The present epoch.
        epoch: Epoch,
    },
    /// The chain has other parameters from the next epoch on (V12). Operators and quorum stay.
    SetParameters {
        /// Hash of the parameters that are wanted now.
        base: Hash,
        /// The new parameters, whole.
        parameters: Parameters,
    },
    /// The chain has other operators from the next epoch on. A key that stays keeps its seat, and any other gets a new one.
    SetOperators {
        /// Hash of the parameters that are wanted now.
        base: Hash,
        /// The operators' keys, each the first key of its seat.
        operators: BoundedVec<PublicKey, OPERATORS_MAX>,
        /// Number of seats that must approve a change.
        quorum: u8,
    },
    /// Stops accounts' transactions at once, up to a time (V43). A second pause of a scope replaces the first.
    Pause {
        /// The accounts.
        scope: PauseScope,
        /// Header time from which they go on, Unix ms.
        until_ms: u64,
    },
    /// Ends a pause.
    Resume {
        /// The scope of the pause.
        scope: PauseScope,
    },
    /// Gives the account's own sponsor these shares at once, or makes a sponsor for it (V58).
    SetSponsor {
        /// The account.
        account: AccountId,
        /// Share of the chain's work, in millionths.
        work_ppm: u32,
        /// Share of the chain's history, in millionths.
        history_ppm: u32,
        /// Header time from which what was before holds again, Unix ms (V63); `None` if the shares have no end.
        until_ms: Option<u64>,
    },
    /// Has the account draw from another sponsor at once (V58).
    AssignSponsor {
        /// The account.
        account: AccountId,
        /// The sponsor's number; 0 is the common one.
        sponsor: u32,
    },
    /// A validator has another owner from the next epoch on.
    SetOwner {
        /// The validator's present key.
        validator_key: PublicKey,
        /// The key of the owner from then on.
        new_owner_key: PublicKey,
        /// The new owner's signature of [`OwnerPossessionBody`].
        ///
        /// [`OwnerPossessionBody`]: crate::OwnerPossessionBody
        possession: Signature,
    },
    /// The chain goes on by the next protocol version from the first boundary on at which enough members speak it (V11).
    Upgrade {
        /// The next version. The present one recalls an upgrade that is wanted.
        version: u16,
        /// Header time before which no boundary takes it, Unix ms.
        not_before_ms: u64,
    },
}

impl GovernanceChange {
    /// Returns the public keys that the change brings onto the chain.
    pub fn new_keys(&self) -> Vec<&PublicKey> {
        match self {
            Self::AddValidator { validator, .. } => {
                vec![&validator.validator_key, &validator.node_key, &validator.owner_key]
            }
            Self::ReplaceKey { new_validator_key, new_node_key, .. } => vec![new_validator_key, new_node_key],
            Self::SetOperators { operators, .. } => operators.iter().collect(),
            Self::SetOwner { new_owner_key, .. } => vec![new_owner_key],
            _ => Vec::new(),
        }
    }
}

impl Operation {
    /// Tells if the operation changes the committee, or asks for the epoch's end.
    pub fn changes_the_committee(&self) -> bool {
        matches!(
            self,
            Self::AddValidator { .. }
                | Self::RemoveValidator { .. }
                | Self::ReplaceKey { .. }
                | Self::EndEpoch { .. }
                | Self::AddProven { .. }
                | Self::ReplaceProven { .. }
        )
    }
}

impl Operation2 {
    /// Tells if only seats send the operation.
    pub fn is_of_seats(&self) -> bool {
        matches!(self, Self::Propose { .. } | Self::Approve { .. } | Self::Withdraw { .. })
    }

    /// Tells if only owners send the operation.
    pub fn is_of_owners(&self) -> bool {
        matches!(self, Self::SetOwner { .. } | Self::RecoverOperators { .. })
    }

    /// Tells if the operation changes the committee, or asks for the epoch's end.
    pub fn changes_the_committee(&self) -> bool {
        matches!(
            self,
            Self::AddValidator { .. } | Self::RemoveValidator { .. } | Self::ReplaceKey { .. } | Self::EndEpoch { .. }
        )
    }
}

impl Transaction {
    /// Tells if the transaction changes the committee and does nothing else. No pause stops it (V43).
    pub fn changes_the_committee(&self) -> bool {
        match self {
            Self::V1(one) => !one.body.data.is_empty() && one.body.data.iter().all(Operation::changes_the_committee),
            Self::V2(one) => {
                let data = &one.body().data;
                !data.is_empty() && data.iter().all(Operation2::changes_the_committee)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_sender_has_one_id_and_nothing_else_has_it() {
        for number in [0, 1, 256, u32::MAX] {
            for sender in [SystemSender::Seat(number), SystemSender::Owner(number)] {
                let id = sender.id();
                assert_eq!(SystemSender::of(&id), Some(sender));
                for place in 0..28 {
                    let mut other = id;
                    // The lowest bit of the kind tells owners from seats.
                    other.0[place] ^= if place == 23 { 2 } else { 1 };
                    assert_eq!(SystemSender::of(&other), None, "byte {place}");
                }
            }
        }
        assert_eq!(SystemSender::of(&crate::SYSTEM_ACCOUNT), None);
    }
}
