//! Owners of validators as senders, as JSON.
//!
//! *Invariants:* an owner's number is that of its validator.

use super::fields::pair;
use super::scalar::Hex;
use super::schema::ToSchema;
use crate::answers::Governance;
use rustorium_execution::Wish;
use rustorium_types::{AccountId, Hash, SystemSender};
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
    /// Hash of the change to the operators that the owner wishes in place of lost ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub wish: Option<Hash>,
    /// Header time from which the wish counts no more, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wish_until_ms: Option<u64>,
}

impl OwnerView {
    /// Returns the owners of the wanted committee's validators.
    pub(super) fn all(found: &Governance) -> Vec<Self> {
        let (committee, now_ms) = (&found.committee, found.time_ms);
        let owners = committee.numbered();
        let wishes: Vec<&Wish> = found.wishes.counted(committee, now_ms).collect();
        let each = committee.target.iter().zip(owners.numbers.iter()).zip(&found.owners);
        each.map(|((validator, number), record)| {
            let (name, name_hex) = pair(validator.name.as_slice());
            let wish = wishes.iter().find(|wish| wish.number == *number);
            Self {
                number: *number,
                sender: SystemSender::Owner(*number).id(),
                name,
                name_hex,
                validator_key: Hex(validator.validator_key),
                owner_key: Hex(validator.owner_key),
                nonce: record.nonce,
                room: record.room(now_ms),
                changed: owners.was_changed(found.members.epoch, *number),
                wish: wish.map(|wish| wish.change),
                wish_until_ms: wish.map(|wish| wish.until_ms),
            }
        })
        .collect()
    }
}
