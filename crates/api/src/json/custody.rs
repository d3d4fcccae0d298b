//! An account's settings and the change of them that waits, as JSON.
//!
//! *Invariants:* a view holds what the leaf holds; what is in effect follows from it and the time.

use super::schema::ToSchema;
use super::signers::{AuthorityView, RecoveryView};
use rustorium_crypto::settings_hash;
use rustorium_execution::{ChangedBy, CustodyRecord, CustodyState, PendingChange};
use rustorium_types::{AuthoritySettings, Hash};
use serde::Serialize;

/// The state of an account's settings, as its record says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CustodyStateView {
    /// There is a delay or a recovery account, and no change waits.
    Settled,
    /// A change waits, or took effect and isn't written down yet.
    Pending,
}

impl CustodyStateView {
    /// Returns the view; `None` for an account without such settings.
    pub fn of(state: CustodyState) -> Option<Self> {
        match state {
            CustodyState::Absent => None,
            CustodyState::Settled => Some(Self::Settled),
            CustodyState::Pending => Some(Self::Pending),
        }
    }
}

/// The keys of an account, and how they can change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SettingsView {
    /// The keys that act for the account, and how many of them must sign.
    pub authority: AuthorityView,
    /// Time between a change by the keys and its effect, ms. With a recovery account, its delay counts if it is longer.
    pub delay_ms: u64,
    /// The account that may replace the keys, if any.
    pub recovery: Option<RecoveryView>,
}

impl From<&AuthoritySettings> for SettingsView {
    fn from(settings: &AuthoritySettings) -> Self {
        Self {
            authority: (&settings.authority).into(),
            delay_ms: settings.delay_ms,
            recovery: settings.recovery.map(Into::into),
        }
    }
}

/// Maker of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangedByView {
    /// The account's own keys.
    Keys,
    /// The recovery account.
    Recovery,
}

/// A change of an account's settings that waits for its time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct PendingView {
    /// Maker of the change.
    pub by: ChangedByView,
    /// The settings from its effect on.
    #[serde(flatten)]
    pub settings: SettingsView,
    /// `true` if all grants that the account made before become void.
    pub void_grants: bool,
    /// Block time of its effect, Unix ms. From then on it counts, whether it is written down or not.
    pub due_ms: u64,
    /// Hash of the change, which `approve_authority` names.
    #[schema(value_type = String)]
    pub change: Hash,
}

impl From<&PendingChange> for PendingView {
    fn from(pending: &PendingChange) -> Self {
        Self {
            by: match pending.by {
                ChangedBy::Keys => ChangedByView::Keys,
                ChangedBy::Recovery => ChangedByView::Recovery,
            },
            settings: (&pending.settings).into(),
            void_grants: pending.void_grants,
            due_ms: pending.due_ms,
            change: settings_hash(&pending.settings, pending.void_grants),
        }
    }
}

/// The settings of an account that has a delay or a recovery account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct CustodyView {
    /// The settings, before the change that waits.
    #[serde(flatten)]
    pub settings: SettingsView,
    /// The change that waits, if any.
    pub pending: Option<PendingView>,
}

impl From<&CustodyRecord> for CustodyView {
    fn from(custody: &CustodyRecord) -> Self {
        Self { settings: (&custody.settings).into(), pending: custody.pending.as_ref().map(Into::into) }
    }
}
