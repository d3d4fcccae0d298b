//! Owners of validators as senders, as JSON.
//!
//! *Invariants:* an owner's number is that of its validator.

use super::fields::pair;
use super::scalar::Hex;
use super::schema::ToSchema;
use rustorium_execution::{CommitteeRecord, OwnerRecord};
use rustorium_types::{AccountId, Epoch, SystemSender};
use serde::Serialize;

/// A validator's owner as a sender of transactions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct OwnerView {
    /// The validator's number.
    pub number: u32,
    /// The address of the owner as a sender of transactions.
    #[schema(value_type = String)]
    pub sender: AccountId,
    /// The validator's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name as hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_hex: Option<String>,
    /// The validator's key, which changes name.
    #[schema(value_type = String)]
    pub validator_key: Hex<32>,
    /// The key that acts for the owner.
    #[schema(value_type = String)]
    pub owner_key: Hex<32>,
    /// The nonce of the owner's next transaction.
    pub nonce: u64,
    /// Number of operations that the owner may do now.
    pub room: u64,
    /// `true` if the owner already set another one in this epoch.
    pub changed: bool,
}

impl OwnerView {
    /// Returns the owners of the wanted committee's validators.
    pub(super) fn all(
        committee: &CommitteeRecord,
        records: &[OwnerRecord],
        (epoch, now_ms): (Epoch, u64),
    ) -> Vec<Self> {
        let owners = committee.numbered();
        let each = committee.target.iter().zip(owners.numbers.iter()).zip(records);
        each.map(|((validator, number), record)| {
            let (name, name_hex) = pair(validator.name.as_slice());
            Self {
                number: *number,
                sender: SystemSender::Owner(*number).id(),
                name,
                name_hex,
                validator_key: Hex(validator.validator_key),
                owner_key: Hex(validator.owner_key),
                nonce: record.nonce,
                room: record.room(now_ms),
                changed: owners.was_changed(epoch, *number),
            }
        })
        .collect()
    }
}
