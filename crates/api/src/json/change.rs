//! Changes that operators' seats decide, as JSON, both ways.
//!
//! *Invariants:* a change of the committee has the fields that the operation of the same name has.

use super::fields::pair;
use super::operation::OperationView;
use super::scalar::Hex;
use super::schema::ToSchema;
use super::signers::PossessionView;
use super::view_error::ViewError;
use rustorium_types::limits::OPERATORS_MAX;
use rustorium_types::{
    AccountId, BoundedVec, Epoch, GovernanceChange, Hash, Operation, Parameters, PauseScope, PublicKey,
};
use serde::{Deserialize, Serialize};

/// A change that a quorum of the seats makes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangeView {
    /// Adds a validator to the committee from the next epoch on.
    AddValidator {
        /// A name for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The name as hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name_hex: Option<String>,
        /// The key that signs votes and batches.
        #[schema(value_type = String)]
        validator_key: Hex<32>,
        /// The key that proves the node's identity.
        #[schema(value_type = String)]
        node_key: Hex<32>,
        /// The key that may replace the validator's other keys.
        #[schema(value_type = String)]
        owner_key: Hex<32>,
        /// Byte of the home region.
        region: u8,
        /// Address that peers dial, "host:port"; empty if each node configures it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// The address as hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address_hex: Option<String>,
        /// Proof that somebody holds both keys.
        possession: PossessionView,
    },
    /// Removes a validator from the committee from the next epoch on.
    RemoveValidator {
        /// The current validator key.
        #[schema(value_type = String)]
        validator_key: Hex<32>,
    },
    /// Replaces a validator's keys from the next epoch on.
    ReplaceKey {
        /// The current validator key.
        #[schema(value_type = String)]
        validator_key: Hex<32>,
        /// The new key that signs votes and batches.
        #[schema(value_type = String)]
        new_validator_key: Hex<32>,
        /// The new key that proves the node's identity.
        #[schema(value_type = String)]
        new_node_key: Hex<32>,
        /// Proof that somebody holds both new keys.
        possession: PossessionView,
    },
    /// Ends the current epoch as soon as possible.
    EndEpoch {
        /// The current epoch.
        epoch: u64,
    },
    /// Gives the chain other parameters from the next epoch on. Operators and quorum stay.
    SetParameters {
        /// Hash of the parameters that are wanted now.
        #[schema(value_type = String)]
        base: Hash,
        /// The new parameters, whole.
        #[schema(value_type = Object)]
        parameters: Box<Parameters>,
    },
    /// Gives the chain other operators from the next epoch on.
    SetOperators {
        /// Hash of the parameters that are wanted now.
        #[schema(value_type = String)]
        base: Hash,
        /// The operators' keys. A key that stays keeps its seat, and any other gets a new one.
        #[schema(value_type = Vec<String>)]
        operators: Vec<Hex<32>>,
        /// Number of seats that must approve a change.
        quorum: u8,
    },
    /// Stops accounts' transactions up to a time.
    Pause {
        /// The account, verifier or pool; without this field all accounts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        account: Option<AccountId>,
        /// Header time from which they go on, Unix ms.
        until_ms: u64,
    },
    /// Ends a pause.
    Resume {
        /// The account that was paused; without this field all accounts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        account: Option<AccountId>,
    },
    /// Gives a validator another owner from the next epoch on.
    SetOwner {
        /// The current validator key.
        #[schema(value_type = String)]
        validator_key: Hex<32>,
        /// The new owner's key.
        #[schema(value_type = String)]
        new_owner_key: Hex<32>,
        /// The new owner's signature, which proves that somebody holds the key.
        #[schema(value_type = String)]
        possession: Hex<64>,
    },
    /// Gives the account's own sponsor other shares at once, or makes a sponsor for it.
    SetSponsor {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// Share of the chain's work, in millionths.
        work_ppm: u32,
        /// Share of the chain's history, in millionths.
        history_ppm: u32,
        /// Header time from which what was before holds again, Unix ms; without this field the shares have no end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
    },
    /// Has the account draw from another sponsor at once.
    AssignSponsor {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// The sponsor's number; 0 is the common one.
        sponsor: u32,
    },
    /// Has the chain go on by the next protocol version once enough members speak it.
    Upgrade {
        /// The next version; the present one recalls an upgrade that is wanted.
        version: u16,
        /// Header time before which no epoch's end takes it, Unix ms.
        not_before_ms: u64,
    },
}

/// Returns the account whose pause it is; `None` for all.
pub(super) fn account_of(scope: PauseScope) -> Option<AccountId> {
    match scope {
        PauseScope::All => None,
        PauseScope::Account(account) => Some(account),
    }
}

fn scope_of(account: Option<AccountId>) -> PauseScope {
    account.map_or(PauseScope::All, PauseScope::Account)
}

/// Returns operators' keys. Errors: there are too many.
pub(super) fn keys_of(operators: Vec<Hex<32>>) -> Result<BoundedVec<PublicKey, OPERATORS_MAX>, ViewError> {
    let keys = operators.into_iter().map(|key| key.0).collect();
    BoundedVec::new(keys).map_err(|error| ViewError::Bound("operators", error))
}

impl From<&GovernanceChange> for ChangeView {
    fn from(change: &GovernanceChange) -> Self {
        match change {
            GovernanceChange::AddValidator { validator, possession } => {
                let (name, name_hex) = pair(validator.name.as_slice());
                let (address, address_hex) = pair(validator.address.as_slice());
                Self::AddValidator {
                    name,
                    name_hex,
                    validator_key: Hex(validator.validator_key),
                    node_key: Hex(validator.node_key),
                    owner_key: Hex(validator.owner_key),
                    region: validator.region,
                    address,
                    address_hex,
                    possession: possession.into(),
                }
            }
            GovernanceChange::RemoveValidator { validator_key } => {
                Self::RemoveValidator { validator_key: Hex(*validator_key) }
            }
            GovernanceChange::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
                Self::ReplaceKey {
                    validator_key: Hex(*validator_key),
                    new_validator_key: Hex(*new_validator_key),
                    new_node_key: Hex(*new_node_key),
                    possession: possession.into(),
                }
            }
            GovernanceChange::EndEpoch { epoch } => Self::EndEpoch { epoch: epoch.0 },
            GovernanceChange::SetParameters { base, parameters } => {
                Self::SetParameters { base: *base, parameters: Box::new(parameters.clone()) }
            }
            GovernanceChange::SetOperators { base, operators, quorum } => {
                let operators = operators.iter().map(|key| Hex(*key)).collect();
                Self::SetOperators { base: *base, operators, quorum: *quorum }
            }
            GovernanceChange::Pause { scope, until_ms } => {
                Self::Pause { account: account_of(*scope), until_ms: *until_ms }
            }
            GovernanceChange::Resume { scope } => Self::Resume { account: account_of(*scope) },
            GovernanceChange::SetOwner { validator_key, new_owner_key, possession } => Self::SetOwner {
                validator_key: Hex(*validator_key),
                new_owner_key: Hex(*new_owner_key),
                possession: Hex(*possession),
            },
            GovernanceChange::SetSponsor { account, work_ppm, history_ppm, until_ms } => Self::SetSponsor {
                account: *account,
                work_ppm: *work_ppm,
                history_ppm: *history_ppm,
                until_ms: *until_ms,
            },
            GovernanceChange::AssignSponsor { account, sponsor } => {
                Self::AssignSponsor { account: *account, sponsor: *sponsor }
            }
            GovernanceChange::Upgrade { version, not_before_ms } => {
                Self::Upgrade { version: *version, not_before_ms: *not_before_ms }
            }
        }
    }
}

impl TryFrom<ChangeView> for GovernanceChange {
    type Error = ViewError;

    fn try_from(view: ChangeView) -> Result<Self, ViewError> {
        let operation = match view {
            ChangeView::SetParameters { base, parameters } => {
                return Ok(Self::SetParameters { base, parameters: *parameters });
            }
            ChangeView::SetOperators { base, operators, quorum } => {
                return Ok(Self::SetOperators { base, operators: keys_of(operators)?, quorum });
            }
            ChangeView::Pause { account, until_ms } => {
                return Ok(Self::Pause { scope: scope_of(account), until_ms });
            }
            ChangeView::Resume { account } => return Ok(Self::Resume { scope: scope_of(account) }),
            ChangeView::SetOwner { validator_key, new_owner_key, possession } => {
                let (validator_key, new_owner_key) = (validator_key.0, new_owner_key.0);
                return Ok(Self::SetOwner { validator_key, new_owner_key, possession: possession.0 });
            }
            ChangeView::SetSponsor { account, work_ppm, history_ppm, until_ms } => {
                return Ok(Self::SetSponsor { account, work_ppm, history_ppm, until_ms });
            }
            ChangeView::AssignSponsor { account, sponsor } => return Ok(Self::AssignSponsor { account, sponsor }),
            ChangeView::Upgrade { version, not_before_ms } => return Ok(Self::Upgrade { version, not_before_ms }),
            ChangeView::EndEpoch { epoch } => return Ok(Self::EndEpoch { epoch: Epoch(epoch) }),
            ChangeView::RemoveValidator { validator_key } => {
                return Ok(Self::RemoveValidator { validator_key: validator_key.0 });
            }
            ChangeView::AddValidator {
                name,
                name_hex,
                validator_key,
                node_key,
                owner_key,
                region,
                address,
                address_hex,
                possession,
            } => OperationView::AddValidator {
                name,
                name_hex,
                validator_key,
                node_key,
                owner_key,
                region,
                address,
                address_hex,
                possession: Some(possession),
            },
            ChangeView::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
                OperationView::ReplaceKey {
                    validator_key,
                    new_validator_key,
                    new_node_key,
                    possession: Some(possession),
                }
            }
        };
        match Operation::try_from(operation)? {
            Operation::AddProven { validator, possession } => Ok(Self::AddValidator { validator, possession }),
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
                Ok(Self::ReplaceKey { validator_key, new_validator_key, new_node_key, possession })
            }
            _ => Err(ViewError::Unproven),
        }
    }
}

/// Returns the type of a change, such as `set_parameters`.
pub fn change_type(change: &GovernanceChange) -> String {
    let view = serde_json::to_value(ChangeView::from(change)).unwrap_or_default();
    view.get("type").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
