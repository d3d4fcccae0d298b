//! Accounts, balances and keys as JSON, with their proofs.

use super::answers::AtView;
use super::custody::{CustodyStateView, CustodyView};
use super::fields::bytes;
use super::governance_leaves::{GovernanceRecordView, ProposalRecordView};
use super::listing::GrantView;
use super::scalar::{Amount, Hex, once, text};
use super::schema::ToSchema;
use super::signers::key_or_hash;
use super::view_error::ViewError;
use rustorium_execution::{AccountRecord, AccountRecord2, CustodyRecord, Grant, decode_amount};
use rustorium_types::{
    AccountId, AssetId, BlockDigest, BoundedBytes, DecodeError, Hash, Height, LeafValue, PROOF_KEYS_MAX,
    SYSTEM_ACCOUNT, Subject,
};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// An account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct AccountAnswer {
    /// The account's address.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The account's record.
    #[serde(flatten)]
    pub record: RecordView,
    /// Protocol version of the current epoch, whose prices its transactions declare.
    pub protocol: u16,
    /// With `proof=1`: canonical bytes of the read proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_hex: Option<String>,
    /// The state that the answer describes.
    pub at: AtView,
}

/// An account's record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct RecordView {
    /// The next nonce.
    pub nonce: u64,
    /// The account's key, if it has one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub public_key: Option<Hex<32>>,
    /// Hash of the account's authority, if the account has several keys. The state doesn't have the keys: each of the
    /// account's transactions shows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub authority_hash: Option<Hash>,
    /// Byte of the home region.
    pub region: u8,
    /// Work units that are left: under version 2, those that the account drew and didn't use yet.
    pub quota_left: u64,
    /// Bytes of history that the account drew and didn't use yet.
    pub history_left: u64,
    /// Number of the sponsor that the account draws from; 0 is the common one.
    pub sponsor: u32,
    /// Remaining storage balance, bytes.
    pub storage_bytes_left: u64,
    /// `settled` or `pending` if the account has a delay, a recovery account or a change that waits. While one waits, other
    /// keys may act than these: `authority` of the account tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custody: Option<CustodyStateView>,
    /// Number of times that the account's grants became void; absent if that is 0. A grant of another era allows nothing.
    #[serde(default, skip_serializing_if = "is_first")]
    pub grants_era: u32,
}

/// Tells if an era may be left out.
fn is_first(era: &u32) -> bool {
    *era == 0
}

impl RecordView {
    /// Reads a leaf's value. A record in the form of version 1 says its quota as that version counts it.
    fn read(account: AccountId, value: &[u8]) -> Result<Self, DecodeError> {
        let record = AccountRecord2::from_bytes(value)?;
        let first = AccountRecord::from_bytes(value).ok();
        let (public_key, authority_hash) = key_or_hash(record.signer);
        Ok(Self {
            nonce: record.nonce,
            public_key,
            authority_hash,
            region: account.region(),
            quota_left: first.map_or(record.work.left.into(), |first| first.quota_left),
            history_left: record.history.left.into(),
            sponsor: record.sponsor,
            storage_bytes_left: record.storage_bytes_left,
            custody: CustodyStateView::of(record.custody),
            grants_era: record.grants_era,
        })
    }
}

/// An account's settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct AuthorityAnswer {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// Its settings; absent if its keys change at once and no account recovers it.
    pub custody: Option<CustodyView>,
    /// With `proof=1`: canonical bytes of the read proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_hex: Option<String>,
    /// The state that the answer describes.
    pub at: AtView,
}

/// An account's balance of one asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BalanceAnswer {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The asset.
    #[schema(value_type = String)]
    pub asset: AssetId,
    /// Amount in smallest units; zero if there is none.
    #[schema(value_type = String)]
    pub balance: Amount,
    /// With `proof=1`: canonical bytes of the read proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_hex: Option<String>,
    /// The state that the answer describes.
    pub at: AtView,
}

/// A key's value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ValueAnswer {
    /// The account whose namespace it is.
    #[schema(value_type = String)]
    pub namespace: AccountId,
    /// The key, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key as hex digits.
    pub key_hex: String,
    /// The value, if it is text without control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value as hex digits, if it isn't such text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_hex: Option<String>,
    /// With `proof=1`: canonical bytes of the read proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof_hex: Option<String>,
    /// The state that the answer describes.
    pub at: AtView,
}

/// A subject in the state: an account's record; with `asset` a balance; with `key` or `key_hex` a value; with `authority`
/// the account's settings; of the system's account with `governance` who governs, and with `proposal` a proposal.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectView {
    /// The account.
    #[schema(value_type = String, example = "rs1…")]
    account: AccountId,
    /// An asset's id.
    #[schema(value_type = Option<String>)]
    asset: Option<AssetId>,
    /// The key as text.
    key: Option<String>,
    /// The key as hex digits.
    key_hex: Option<String>,
    /// `true` for the account's settings: its keys, and how they can change.
    #[serde(default)]
    authority: bool,
    /// `true` for the seats that govern, the places of their proposals and the pauses, from version 2 on.
    #[serde(default)]
    governance: bool,
    /// The number of a proposal of the seats, from version 2 on.
    proposal: Option<u64>,
    /// An account that may write in the account's namespace: its grant.
    #[schema(value_type = Option<String>)]
    grant: Option<AccountId>,
}

impl TryFrom<SubjectView> for Subject {
    type Error = ViewError;

    fn try_from(view: SubjectView) -> Result<Self, ViewError> {
        let SubjectView { account, asset, key, key_hex, authority, governance, proposal, grant } = view;
        let kinds = [
            ("asset", asset.is_some()),
            ("key", key.is_some() || key_hex.is_some()),
            ("authority", authority),
            ("grant", grant.is_some()),
            ("governance", governance),
            ("proposal", proposal.is_some()),
        ];
        let mut given = kinds.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
        let kind = given.next();
        match (kind, given.next()) {
            (Some(first), Some(second)) => return Err(ViewError::Both(first, second)),
            (Some(name @ ("governance" | "proposal")), None) if account != SYSTEM_ACCOUNT => {
                return Err(ViewError::OfTheSystem(name));
            }
            _ => {}
        }
        Ok(match (asset, grant, proposal) {
            (Some(asset), ..) => Self::Balance(account, asset),
            (_, Some(to), _) => Self::Grant(account, to),
            (.., Some(number)) => Self::Proposal(number),
            _ if governance => Self::Governance,
            _ if authority => Self::Custody(account),
            _ if kind.is_some() => Self::Value(account, bytes("key", key, key_hex)?),
            _ => Self::Account(account),
        })
    }
}

/// List of subjects, at most as many as one proof takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectViews(pub Vec<SubjectView>);

impl<'de> Deserialize<'de> for SubjectViews {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = SubjectViews;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of 1 to {PROOF_KEYS_MAX} things to prove")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SubjectViews, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == PROOF_KEYS_MAX {
                        return Err(serde::de::Error::invalid_length(PROOF_KEYS_MAX + 1, &self));
                    }
                    items.push(item);
                }
                Ok(SubjectViews(items))
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

/// The content of a subject.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ShownView)]
pub enum ReadAnswer {
    /// An account's record.
    Account {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// The account's record; absent if there is no such account.
        record: Option<RecordView>,
    },
    /// A balance.
    Balance {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// The asset.
        #[schema(value_type = String)]
        asset: AssetId,
        /// Amount in smallest units; zero if there is none.
        #[schema(value_type = String)]
        balance: Amount,
    },
    /// A key's value.
    Value {
        /// The account whose namespace it is.
        #[schema(value_type = String)]
        account: AccountId,
        /// The key, if it is text.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The key as hex digits.
        key_hex: String,
        /// The value, if there is one and it is text without control characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// The value as hex digits, if there is one and `value` doesn't show it. An absent key has neither.
        value_hex: Option<String>,
    },
    /// An account's settings.
    Authority {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// Its settings; absent if its keys change at once and no account recovers it.
        custody: Option<CustodyView>,
    },
    /// The seats that govern, the places of their proposals and the pauses.
    Governance {
        /// The system's account.
        #[schema(value_type = String)]
        account: AccountId,
        /// The record in the state; absent while no seat has acted. Then each operator's key acts for a seat of its own.
        record: Option<GovernanceRecordView>,
    },
    /// A proposal.
    Proposal {
        /// The system's account.
        #[schema(value_type = String)]
        account: AccountId,
        /// The proposal's number.
        number: u64,
        /// The proposal in the state; absent if there is none, or no more.
        proposal: Option<ProposalRecordView>,
    },
    /// The rights of an account to write in another one's namespace.
    Grant {
        /// The account that gave them.
        #[schema(value_type = String)]
        account: AccountId,
        /// The account that may write.
        #[schema(value_type = String)]
        to: AccountId,
        /// The rights; absent if there are none.
        grant: Option<GrantView>,
    },
}

impl ReadAnswer {
    /// Describes the leaf `value` of `subject`, as proof files do: with a value as text and as hex digits.
    ///
    /// # Errors
    /// [`DecodeError`]: no leaf of this kind holds such bytes.
    pub fn new(subject: &Subject, value: &LeafValue) -> Result<Self, DecodeError> {
        let bytes = value.as_ref().map(BoundedBytes::as_slice);
        Ok(match subject {
            Subject::Account(account) => {
                let record = bytes.map(|value| RecordView::read(*account, value)).transpose()?;
                Self::Account { account: *account, record }
            }
            Subject::Custody(account) => {
                let custody = bytes.map(CustodyRecord::from_bytes).transpose()?;
                Self::Authority { account: *account, custody: custody.as_ref().map(Into::into) }
            }
            Subject::Governance => {
                let record = bytes.map(GovernanceRecordView::read).transpose()?;
                Self::Governance { account: SYSTEM_ACCOUNT, record }
            }
            Subject::Proposal(number) => {
                let proposal = bytes.map(ProposalRecordView::read).transpose()?;
                Self::Proposal { account: SYSTEM_ACCOUNT, number: *number, proposal }
            }
            Subject::Grant(account, to) => {
                let grant = bytes.map(Grant::from_bytes).transpose()?;
                Self::Grant { account: *account, to: *to, grant: grant.as_ref().map(GrantView::from) }
            }
            Subject::Balance(account, asset) => {
                let balance = Amount(bytes.map_or(Ok(0), decode_amount)?);
                Self::Balance { account: *account, asset: *asset, balance }
            }
            Subject::Value(account, key) => Self::Value {
                account: *account,
                key: text(key.as_slice()),
                key_hex: hex::encode(key.as_slice()),
                value: bytes.and_then(text),
                value_hex: bytes.map(hex::encode),
            },
        })
    }

    /// Describes the leaf as answers of the API do: with a value once.
    ///
    /// # Errors
    /// [`DecodeError`]: no leaf of this kind holds such bytes.
    pub fn once(subject: &Subject, value: &LeafValue) -> Result<Self, DecodeError> {
        let mut shown = Self::new(subject, value)?;
        if let (Self::Value { value: text, value_hex, .. }, Some(bytes)) = (&mut shown, value) {
            (*text, *value_hex) = once(bytes.as_slice());
        }
        Ok(shown)
    }
}

/// The final header that claims a state root.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ClaimedBy {
    /// The header's height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The header's digest.
    #[schema(value_type = String)]
    pub digest: BlockDigest,
    /// The header's time, Unix ms.
    pub time_ms: u64,
}

/// The content of many subjects, with one proof of them all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ProofAnswer {
    /// The content of each, in ascending order: accounts, then balances, then keys, then settings.
    pub items: Vec<ReadAnswer>,
    /// Canonical bytes of the read proof.
    pub proof_hex: String,
    /// The final header that claims the state root.
    pub claimed_by: ClaimedBy,
    /// The state that the answer describes.
    pub at: AtView,
}
