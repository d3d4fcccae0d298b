//! Operations of version 2 from JSON.
//!
//! *Invariants:* an operation that version 1 has, too, has the same JSON in both versions.

use super::fields::prefixes_of;
use super::operation::OperationView;
use super::schema::ToSchema;
use super::signers::AuthorityView;
use super::view_error::ViewError;
use rustorium_types::{AccountId, Authority, AuthoritySettings, Operation, Operation2, Rights, SignerKey};
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

/// Returns the authority of keys in any order.
fn authority_of(view: &AuthorityView) -> Result<Authority, ViewError> {
    let mut keys: Vec<_> = view.keys.iter().map(|key| SignerKey::Ed25519(key.0)).collect();
    keys.sort_unstable();
    Authority::new(view.threshold, keys).map_err(ViewError::Authority)
}

impl OperationView {
    /// Returns the operation in the form of version 2, as this account sends it.
    ///
    /// # Errors
    /// [`ViewError`]: the view is no operation, or none that version 2 has.
    pub fn into_second(self, sender: &AccountId) -> Result<Operation2, ViewError> {
        match self {
            Self::CreateAccount { region, public_key: None, authority: Some(given), storage_bytes } => {
                Ok(Operation2::CreateAccount { region, authority: authority_of(&given)?, storage_bytes })
            }
            Self::CreateAccount { region, public_key: Some(key), authority: None, storage_bytes } => {
                let authority = Authority::of_key(key.0).map_err(ViewError::Authority)?;
                Ok(Operation2::CreateAccount { region, authority, storage_bytes })
            }
            Self::CreateAccount { public_key: Some(_), authority: Some(_), .. } => {
                Err(ViewError::Both("public_key", "authority"))
            }
            Self::SetAuthority { authority } => {
                let settings = AuthoritySettings { authority: authority_of(&authority)?, delay_ms: 0, recovery: None };
                Ok(Operation2::SetAuthority { settings, void_grants: false })
            }
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
            other => Operation2::of_first(Operation::try_from(other)?, sender).ok_or(ViewError::Unproven),
        }
    }
}
