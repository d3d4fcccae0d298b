//! Operations of version 2 as JSON, both ways.
//!
//! *Invariants:* an operation that version 1 has, too, has the same JSON in both versions.

use super::change::keys_of;
use super::fields::{digits_of, prefixes_of};
use super::operation::OperationView;
use super::scalar::Hex;
use super::schema::ToSchema;
use super::view_error::ViewError;
use rustorium_types::{AccountId, Authority, AuthoritySettings, Operation, Operation2, Rights, encode};
use serde::{Deserialize, Serialize};

/// A kind of write that a grant allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RightView {
    /// Setting keys.
    Put,
    /// Removing keys.
    Delete,
}

impl RightView {
    /// Returns the kinds of writes of a grant, in order.
    pub fn of(rights: Rights) -> Vec<Self> {
        let both = [(rights.put, Self::Put), (rights.delete, Self::Delete)];
        both.into_iter().filter_map(|(given, right)| given.then_some(right)).collect()
    }
}

/// Tells if a field may be left out.
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Tells if a field may be left out.
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

impl OperationView {
    /// Returns the view of an operation of version 2 that this account sends.
    pub(crate) fn of_second(sender: &AccountId, operation: &Operation2) -> Self {
        if let Some(first) = operation.as_first(sender) {
            return (&first).into();
        }
        match operation {
            Operation2::CreateAccount { region, authority, storage_bytes } => Self::CreateAccount {
                region: *region,
                public_key: None,
                authority: Some(authority.into()),
                storage_bytes: *storage_bytes,
            },
            Operation2::Grant { to, rights, prefixes, until_ms } => Self::Grant {
                to: *to,
                prefixes_hex: digits_of(prefixes.iter()),
                rights: Some(RightView::of(*rights)),
                until_ms: *until_ms,
            },
            Operation2::SetAuthority { settings, void_grants } => Self::SetAuthority {
                authority: (&settings.authority).into(),
                delay_ms: settings.delay_ms,
                recovery: settings.recovery.map(Into::into),
                void_grants: *void_grants,
            },
            Operation2::CancelAuthority => Self::CancelAuthority {},
            Operation2::ApproveAuthority { account, change } => {
                Self::ApproveAuthority { account: *account, change: *change }
            }
            Operation2::Recover { account, authority } => {
                Self::Recover { account: *account, authority: authority.into() }
            }
            Operation2::WithdrawRecovery { account } => Self::WithdrawRecovery { account: *account },
            Operation2::Propose { change, until_ms } => {
                Self::Propose { change: Box::new((&**change).into()), until_ms: *until_ms }
            }
            Operation2::Approve { number, change } => Self::Approve { number: *number, change: *change },
            Operation2::Withdraw { number } => Self::Withdraw { number: *number },
            Operation2::SetOwner { validator_key, new_owner_key, possession } => Self::SetOwner {
                validator_key: Hex(*validator_key),
                new_owner_key: Hex(*new_owner_key),
                possession: Hex(*possession),
            },
            Operation2::RecoverOperators { base, operators, quorum } => Self::RecoverOperators {
                base: *base,
                operators: operators.iter().copied().map(Hex).collect(),
                quorum: *quorum,
            },
            _ => Self::Later { bytes_hex: hex::encode(encode(operation)) },
        }
    }

    /// Returns the operation in the form of version 2, as this account sends it.
    ///
    /// # Errors
    /// [`ViewError`]: the view is no operation, or none that version 2 has.
    pub fn into_second(self, sender: &AccountId) -> Result<Operation2, ViewError> {
        match self {
            Self::CreateAccount { region, public_key: None, authority: Some(given), storage_bytes } => {
                Ok(Operation2::CreateAccount { region, authority: (&given).try_into()?, storage_bytes })
            }
            Self::CreateAccount { region, public_key: Some(key), authority: None, storage_bytes } => {
                let authority = Authority::of_key(key.0).map_err(ViewError::Authority)?;
                Ok(Operation2::CreateAccount { region, authority, storage_bytes })
            }
            Self::CreateAccount { public_key: Some(_), authority: Some(_), .. } => {
                Err(ViewError::Both("public_key", "authority"))
            }
            Self::SetAuthority { authority, delay_ms, recovery, void_grants } => {
                let (authority, recovery) = ((&authority).try_into()?, recovery.map(Into::into));
                let settings = AuthoritySettings { authority, delay_ms, recovery };
                Ok(Operation2::SetAuthority { settings, void_grants })
            }
            Self::CancelAuthority {} => Ok(Operation2::CancelAuthority),
            Self::ApproveAuthority { account, change } => Ok(Operation2::ApproveAuthority { account, change }),
            Self::Recover { account, authority } => {
                Ok(Operation2::Recover { account, authority: (&authority).try_into()? })
            }
            Self::WithdrawRecovery { account } => Ok(Operation2::WithdrawRecovery { account }),
            Self::Grant { to, prefixes_hex, rights, until_ms } => {
                let has = |wanted| rights.as_ref().is_none_or(|given| given.contains(&wanted));
                let rights = Rights { put: has(RightView::Put), delete: has(RightView::Delete) };
                Ok(Operation2::Grant { to, rights, prefixes: prefixes_of(prefixes_hex)?, until_ms })
            }
            Self::Propose { change, until_ms } => {
                Ok(Operation2::Propose { change: Box::new((*change).try_into()?), until_ms })
            }
            Self::Approve { number, change } => Ok(Operation2::Approve { number, change }),
            Self::Withdraw { number } => Ok(Operation2::Withdraw { number }),
            Self::SetOwner { validator_key, new_owner_key, possession } => Ok(Operation2::SetOwner {
                validator_key: validator_key.0,
                new_owner_key: new_owner_key.0,
                possession: possession.0,
            }),
            Self::RecoverOperators { base, operators, quorum } => {
                Ok(Operation2::RecoverOperators { base, operators: keys_of(operators)?, quorum })
            }
            other => Operation2::of_first(Operation::try_from(other)?, sender).ok_or(ViewError::Unproven),
        }
    }
}
