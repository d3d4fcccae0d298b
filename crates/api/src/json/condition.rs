//! Conditions as JSON, both ways.

use super::fields::{bytes, pair};
use super::scalar::{Amount, Hex};
use super::schema::ToSchema;
use super::view_error::ViewError;
use rustorium_types::{AccountId, AssetId, Condition, Hash, InputValue, VerifierId};
use serde::{Deserialize, Serialize};

/// A precondition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ConditionView {
    /// The key's value has this BLAKE3 hash.
    ValueHash {
        /// The account whose namespace it is.
        #[schema(value_type = String, example = "rs1…")]
        namespace: AccountId,
        /// The key as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The key as hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_hex: Option<String>,
        /// BLAKE3 of the value.
        #[schema(value_type = String)]
        hash: Hash,
    },
    /// The key has no value.
    Absent {
        /// The account whose namespace it is.
        #[schema(value_type = String)]
        namespace: AccountId,
        /// The key as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The key as hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_hex: Option<String>,
    },
    /// The account's balance is at least this amount.
    BalanceAtLeast {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// The asset.
        #[schema(value_type = String)]
        asset: AssetId,
        /// Amount in smallest units.
        #[schema(value_type = String)]
        amount: Amount,
    },
    /// The verifier has recorded a statement whose named input has this value.
    Proved {
        /// The verifier.
        #[schema(value_type = String)]
        verifier: VerifierId,
        /// The input's index, from 0.
        input: u8,
        /// The input's value, 32 bytes, big-endian. If absent: this transaction's id without its three highest bits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        value: Option<Hex<32>>,
    },
}

impl From<&Condition> for ConditionView {
    fn from(condition: &Condition) -> Self {
        match condition {
            Condition::ValueHash { namespace, key, hash } => {
                let (key, key_hex) = pair(key.as_slice());
                Self::ValueHash { namespace: *namespace, key, key_hex, hash: *hash }
            }
            Condition::Absent { namespace, key } => {
                let (key, key_hex) = pair(key.as_slice());
                Self::Absent { namespace: *namespace, key, key_hex }
            }
            Condition::BalanceAtLeast { account, asset, amount } => {
                Self::BalanceAtLeast { account: *account, asset: *asset, amount: Amount(*amount) }
            }
            Condition::Proved { verifier, input, equals } => {
                let value = match equals {
                    InputValue::Number(number) => Some(Hex(*number)),
                    InputValue::ThisTransaction => None,
                };
                Self::Proved { verifier: *verifier, input: *input, value }
            }
        }
    }
}

impl TryFrom<ConditionView> for Condition {
    type Error = ViewError;

    fn try_from(view: ConditionView) -> Result<Self, ViewError> {
        Ok(match view {
            ConditionView::ValueHash { namespace, key, key_hex, hash } => {
                Self::ValueHash { namespace, key: bytes("key", key, key_hex)?, hash }
            }
            ConditionView::Absent { namespace, key, key_hex } => {
                Self::Absent { namespace, key: bytes("key", key, key_hex)? }
            }
            ConditionView::BalanceAtLeast { account, asset, amount } => {
                Self::BalanceAtLeast { account, asset, amount: amount.0 }
            }
            ConditionView::Proved { verifier, input, value } => {
                let equals = value.map_or(InputValue::ThisTransaction, |number| InputValue::Number(number.0));
                Self::Proved { verifier, input, equals }
            }
        })
    }
}
