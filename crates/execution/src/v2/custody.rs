//! The settings of an account under version 2, by which its keys change, and the change that waits (V28 to V33).
//!
//! *Invariants:* an account has this leaf only if it has a delay, a recovery account or a waiting change; a change takes
//! effect at its time by header time and not before, except if the recovery account approves it; what is in effect
//! depends on the two leaves and the time alone, whether it was written down or not.

use super::record::{AccountRecord2, CustodyState};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_crypto::{settings_hash, signer};
use rustorium_types::limits::AUTHORITY_KEYS_MAX;
use rustorium_types::{Authority, AuthoritySettings, DecodeError, Hash, Recovery, Signer, decode, encode};

/// Bytes of an authority's largest encoding.
const AUTHORITY_BYTES: usize = 2 + AUTHORITY_KEYS_MAX * 33;
/// Bytes of the largest settings: authority, delay, recovery account.
const SETTINGS_BYTES: usize = AUTHORITY_BYTES + 8 + 1 + 32 + 8 + 1;
/// Bytes of the largest leaf: settings, and others that wait with their maker, their time and what they do to grants.
pub const CUSTODY_BYTES_MAX: usize = SETTINGS_BYTES + 1 + 1 + SETTINGS_BYTES + 1 + 8;

/// Maker of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum ChangedBy {
    /// The account's own keys.
    Keys,
    /// The recovery account.
    Recovery,
}

/// A change of an account's settings that waits for its time.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct PendingChange {
    /// Maker of the change.
    pub by: ChangedBy,
    /// The settings from its effect on.
    pub settings: AuthoritySettings,
    /// True if all grants that the account made before its effect become void with it (V33).
    pub void_grants: bool,
    /// Header time of its effect, Unix ms.
    pub due_ms: u64,
}

/// An account's custody leaf.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct CustodyRecord {
    /// The settings in effect before the change that waits.
    pub settings: AuthoritySettings,
    /// The change that waits.
    pub pending: Option<PendingChange>,
}

impl CustodyRecord {
    /// Encodes the leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a leaf's value. Errors: no leaf has such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, CUSTODY_BYTES_MAX)
    }

    /// Returns the header time until which the account is frozen, Unix ms: that of the effect of a final recovery (V31).
    /// `None` if no final recovery waits.
    pub fn frozen_until_ms(&self) -> Option<u64> {
        let recovered = self.pending.as_ref().filter(|pending| pending.by == ChangedBy::Recovery);
        let is_final = |recovery: Recovery| recovery.is_final;
        recovered.filter(|_| self.settings.recovery.is_some_and(is_final)).map(|pending| pending.due_ms)
    }

    /// Returns the change that is in effect at header time `now_ms` and isn't written down.
    fn due(&self, now_ms: u64) -> Option<&PendingChange> {
        self.pending.as_ref().filter(|pending| pending.due_ms <= now_ms)
    }

    /// Returns the change that its keys began and that has this hash.
    fn of_keys(&self, change: &Hash) -> Option<&PendingChange> {
        let named = |pending: &&PendingChange| {
            pending.by == ChangedBy::Keys && settings_hash(&pending.settings, pending.void_grants) == *change
        };
        self.pending.as_ref().filter(named)
    }
}

/// An account's record with its custody leaf, as they are in effect.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) record: AccountRecord2,
    pub(crate) custody: Option<CustodyRecord>,
}

impl Held {
    /// Returns what is in effect at header time `now_ms`: a change whose time has come, or what the leaves say.
    pub(crate) fn at(record: AccountRecord2, custody: Option<CustodyRecord>, now_ms: u64) -> Self {
        let held = Self { record, custody };
        match held.custody.as_ref().and_then(|custody| custody.due(now_ms)).cloned() {
            Some(due) => held.with(due.settings, due.void_grants),
            None => held,
        }
    }

    /// Returns the account after a change of its settings took effect.
    fn with(self, settings: AuthoritySettings, void_grants: bool) -> Self {
        let grants_era = self.record.grants_era.saturating_add(u32::from(void_grants));
        let record = AccountRecord2 { signer: signer(&settings.authority), grants_era, ..self.record };
        let custody = (!settings.change_at_once()).then_some(CustodyRecord { settings, pending: None });
        Self { record, custody }
    }

    /// Returns the account with a change that waits, in place of the one that waited.
    fn waiting(mut self, pending: Option<PendingChange>) -> Self {
        if let Some(custody) = &mut self.custody {
            custody.pending = pending;
        }
        self
    }

    /// Returns what the record says of the custody leaf.
    pub(crate) fn state(&self) -> CustodyState {
        match &self.custody {
            None => CustodyState::Absent,
            Some(CustodyRecord { pending: None, .. }) => CustodyState::Settled,
            Some(_) => CustodyState::Pending,
        }
    }

    /// Changes the settings by the keys: at once, or after the time that the present settings ask for (V29).
    pub(crate) fn set(self, settings: AuthoritySettings, void_grants: bool, now_ms: u64) -> Self {
        let Some(custody) = &self.custody else { return self.with(settings, void_grants) };
        let due_ms = now_ms.saturating_add(custody.settings.wait_ms());
        self.waiting(Some(PendingChange { by: ChangedBy::Keys, settings, void_grants, due_ms }))
    }

    /// Cancels the change that waits. `None` if there is none, or if only its maker can.
    pub(crate) fn cancel(self) -> Option<Self> {
        let waits = self.custody.as_ref().is_some_and(|custody| custody.pending.is_some());
        waits.then(|| self.waiting(None))
    }

    /// Lets the change of the keys that has this hash take effect. `None` if no such change waits.
    pub(crate) fn approve(self, change: &Hash) -> Option<Self> {
        let approved = self.custody.as_ref()?.of_keys(change)?.clone();
        Some(self.with(approved.settings, approved.void_grants))
    }

    /// Begins a recovery, whatever waited (V31).
    pub(crate) fn recover(self, recovery: Recovery, authority: Authority, now_ms: u64) -> Self {
        let Some(custody) = &self.custody else { return self };
        let settings = AuthoritySettings { authority, ..custody.settings.clone() };
        let due_ms = now_ms.saturating_add(recovery.delay_ms);
        self.waiting(Some(PendingChange { by: ChangedBy::Recovery, settings, void_grants: true, due_ms }))
    }

    /// Withdraws the recovery that waits. `None` if there is none.
    pub(crate) fn withdraw(self) -> Option<Self> {
        let custody = self.custody.as_ref()?;
        let waits = custody.pending.as_ref().is_some_and(|pending| pending.by == ChangedBy::Recovery);
        waits.then(|| self.waiting(None))
    }

    /// Returns the account's recovery account.
    pub(crate) fn recovery(&self) -> Option<Recovery> {
        self.custody.as_ref()?.settings.recovery
    }
}

/// An authority that acts for an account from a header time on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextSigner {
    /// The authority.
    pub signer: Signer,
    /// Header time of the change's effect, Unix ms.
    pub due_ms: u64,
    /// True if nobody acts for the account before (V31).
    pub is_frozen: bool,
}

impl NextSigner {
    /// Returns the authority that the change in a custody leaf brings; `None` if none waits.
    pub fn of(custody: &CustodyRecord) -> Option<Self> {
        let pending = custody.pending.as_ref()?;
        let signer = signer(&pending.settings.authority);
        Some(Self { signer, due_ms: pending.due_ms, is_frozen: custody.frozen_until_ms().is_some() })
    }
}
