//! The operations of transactions of version 2.
//!
//! *Invariants:* an operation that version 1 has, too, has the same tag here; one encoding per operation.

use crate::address::AccountId;
use crate::authority::Authority;
use crate::codec::{BoundedBytes, BoundedVec};
use crate::genesis::Validator;
use crate::governance::GovernanceChange;
use crate::ids::{AssetId, Epoch, Hash, VerifierId};
use crate::limits::*;
use crate::transaction::{
    Condition, Key, NamedInput, Operation, PoolTransfer, Possession, PublicInput, PublicKey, Signature, Symbol, Value,
};
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};

/// The kinds of writes that a grant allows. A grant of neither takes the right back.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rights {
    /// Setting keys.
    pub put: bool,
    /// Removing keys.
    pub delete: bool,
}

impl Rights {
    /// All kinds of writes.
    pub const ALL: Self = Self { put: true, delete: true };
}

impl BorshSerialize for Rights {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        (u8::from(self.put) | u8::from(self.delete) << 1).serialize(writer)
    }
}

impl BorshDeserialize for Rights {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        match u8::deserialize_reader(reader)? {
            bits @ 0..=3 => Ok(Self { put: bits & 1 != 0, delete: bits & 2 != 0 }),
            bits => Err(Error::new(ErrorKind::InvalidData, format!("no rights have the bits {bits}"))),
        }
    }
}

/// The account that may replace the keys of another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Recovery {
    /// The recovery account.
    pub account: AccountId,
    /// Time between a recovery and its effect.
    pub delay_ms: u64,
    /// True if the account's keys can't cancel a recovery. The account is frozen until the recovery takes effect.
    pub is_final: bool,
}

/// The authority of an account, and how it can change.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct AuthoritySettings {
    /// The keys that act for the account.
    pub authority: Authority,
    /// Time between a change of these settings by the keys and its effect.
    pub delay_ms: u64,
    /// The account that may replace the keys, if any.
    pub recovery: Option<Recovery>,
}

impl AuthoritySettings {
    /// Tells if the keys can change these settings without a wait.
    pub fn change_at_once(&self) -> bool {
        self.delay_ms == 0 && self.recovery.is_none()
    }

    /// Returns the time between a change of these settings by the keys and its effect, ms (V29).
    pub fn wait_ms(&self) -> u64 {
        self.recovery.map_or(0, |recovery| recovery.delay_ms).max(self.delay_ms)
    }

    /// Tells if an account may have these settings: its delays are within the bounds, and another account recovers it.
    pub fn are_allowed_to(&self, account: &AccountId) -> bool {
        let fits = |recovery: &Recovery| {
            (RECOVERY_DELAY_MS_MIN..=RECOVERY_DELAY_MS_MAX).contains(&recovery.delay_ms) && recovery.account != *account
        };
        self.delay_ms <= AUTHORITY_DELAY_MS_MAX && self.recovery.as_ref().is_none_or(fits)
    }
}

/// An operation: one step of a transaction of version 2.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Operation2 {
    /// Creates the account that `region` and `authority` name. The sender gives it `storage_bytes` of its own balance.
    CreateAccount {
        /// Home region's byte.
        region: u8,
        /// The account's first authority.
        authority: Authority,
        /// Storage balance handed over, bytes.
        storage_bytes: u64,
    },
    /// Sets a key.
    Put {
        /// An account that granted the sender the key; `None` for the sender's own namespace.
        namespace: Option<AccountId>,
        /// The key.
        key: Key,
        /// The new value.
        value: Value,
    },
    /// Removes a key; its bytes return to the namespace's storage balance. Fails if there is no such key.
    Delete {
        /// An account that granted the sender the key; `None` for the sender's own namespace.
        namespace: Option<AccountId>,
        /// The key.
        key: Key,
    },
    /// Continues only if the condition holds.
    Require(Condition),
    /// Moves an amount of an asset from the sender.
    Transfer {
        /// The receiver; it must exist.
        to: AccountId,
        /// The asset.
        asset: AssetId,
        /// Smallest units, above 0.
        amount: u128,
    },
    /// Creates an amount of the sender's own asset.
    Issue {
        /// The asset's symbol. The asset's id is derived from the sender and the symbol.
        symbol: Symbol,
        /// The receiver; it must exist.
        to: AccountId,
        /// Smallest units, above 0.
        amount: u128,
    },
    /// Lets another account write keys under these prefixes of the sender's namespace, in place of what it was allowed.
    Grant {
        /// The account that may write.
        to: AccountId,
        /// The kinds of writes.
        rights: Rights,
        /// Key prefixes; an empty prefix is the whole namespace.
        prefixes: BoundedVec<Key, GRANT_PREFIXES_MAX>,
        /// Header time from which the grant has no effect, Unix ms; `None` if it has no end.
        until_ms: Option<u64>,
    },
    /// For operators: a validator joins the committee with the next epoch.
    AddValidator {
        /// The validator.
        validator: Validator,
        /// Proof of possession of the validator's keys.
        possession: Possession,
    },
    /// For operators: a validator leaves the committee with the next epoch.
    RemoveValidator {
        /// The validator's key.
        validator_key: PublicKey,
    },
    /// For operators, or, once an epoch, for the validator's owner key alone: the validator has other keys from the next
    /// epoch on.
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
    /// For operators: the epoch ends as soon as it can.
    EndEpoch {
        /// The present epoch.
        epoch: Epoch,
    },
    /// Registers a Groth16 verifying key, whose statements can be proved from then on.
    RegisterVerifier {
        /// Canonical bytes (`rustorium_zk::Key`).
        key: BoundedBytes<VERIFYING_KEY_BYTES_MAX>,
        /// The inputs that a `Require` can ask for, ascending.
        named: BoundedVec<NamedInput, NAMED_INPUTS_MAX>,
    },
    /// Continues only if the proof holds, and records its statement. Recording a statement again changes nothing.
    VerifyProof {
        /// The verifier.
        verifier: VerifierId,
        /// The statement's public inputs, all of them, in order.
        inputs: BoundedVec<PublicInput, PUBLIC_INPUTS_MAX>,
        /// Canonical bytes of the proof.
        proof: BoundedBytes<GROTH16_PROOF_BYTES_MAX>,
    },
    /// Moves an amount of an asset from the sender into a pool's notes.
    Shield {
        /// The pool's number.
        pool: u32,
        /// The asset.
        asset: AssetId,
        /// Smallest units, above 0.
        amount: u64,
        /// The transfer.
        transfer: Box<PoolTransfer>,
    },
    /// Turns notes into new notes, inside a pool.
    ShieldedTransfer {
        /// The pool's number.
        pool: u32,
        /// The transfer.
        transfer: Box<PoolTransfer>,
    },
    /// Moves an amount of an asset out of a pool's notes.
    Unshield {
        /// The pool's number.
        pool: u32,
        /// The asset.
        asset: AssetId,
        /// Smallest units, above 0.
        amount: u64,
        /// The receiver; it must exist.
        to: AccountId,
        /// The transfer.
        transfer: Box<PoolTransfer>,
    },
    /// Changes the sender's authority and how it can change (V29).
    SetAuthority {
        /// The settings from the change's effect on.
        settings: AuthoritySettings,
        /// True if all grants that the sender made before become void with the change (V33).
        void_grants: bool,
    },
    /// Cancels the change of the sender's authority that waits: one that its keys began (V30), or a recovery that isn't
    /// final (V31).
    CancelAuthority,
    /// For the recovery account: a change that the account's keys began takes effect at once (V30).
    ApproveAuthority {
        /// The account whose change waits.
        account: AccountId,
        /// The hash of the change that is approved (`settings_hash`). Another one that took its place isn't.
        change: Hash,
    },
    /// For the recovery account: the account gets this authority after the recovery delay (V31).
    Recover {
        /// The account.
        account: AccountId,
        /// Its next authority.
        authority: Authority,
    },
    /// For the recovery account: cancels the recovery that it began (V31).
    WithdrawRecovery {
        /// The account.
        account: AccountId,
    },
    /// For seats: proposes a change, and approves it.
    Propose {
        /// The change.
        change: Box<GovernanceChange>,
        /// Header time from which the proposal is void, Unix ms.
        until_ms: u64,
    },
    /// For seats: approves a proposed change. The approval that makes the quorum makes the change.
    Approve {
        /// The proposal's number.
        number: u64,
        /// Hash of the change, so that nobody approves another one than was shown.
        change: Hash,
    },
    /// For seats: takes the sender's approval back. The proposal goes if the sender proposed it, or nobody else approves it.
    Withdraw {
        /// The proposal's number.
        number: u64,
    },
    /// For a validator's owner as a system sender, once an epoch: the validator has another owner from the next epoch on.
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
    /// For a validator's owner as a system sender: wishes for other operators in place of lost ones. A quorum of the
    /// validators' owners that wishes the same decides it.
    RecoverOperators {
        /// Hash of the parameters that are wanted now.
        base: Hash,
        /// The operators' keys, each the first key of its seat.
        operators: BoundedVec<PublicKey, OPERATORS_MAX>,
        /// Number of seats that must approve a change.
        quorum: u8,
    },
}

impl Operation2 {
    /// Returns the operation of version 1 that has the same effect if this account sends it; `None` if there is none.
    pub fn as_first(&self, sender: &AccountId) -> Option<Operation> {
        let space = |namespace: &Option<AccountId>| namespace.unwrap_or(*sender);
        Some(match self.clone() {
            Self::CreateAccount { region, authority, storage_bytes } => {
                Operation::CreateAccount { region, public_key: *authority.only_key()?, storage_bytes }
            }
            Self::Put { namespace, key, value } => Operation::Put { namespace: space(&namespace), key, value },
            Self::Delete { namespace, key } => Operation::Delete { namespace: space(&namespace), key },
            Self::Require(condition) => Operation::Require(condition),
            Self::Transfer { to, asset, amount } => Operation::Transfer { to, asset, amount },
            Self::Issue { symbol, to, amount } => Operation::Issue { symbol, to, amount },
            Self::Grant { to, rights: Rights::ALL, prefixes, until_ms: None } => Operation::Grant { to, prefixes },
            Self::AddValidator { validator, possession } => Operation::AddProven { validator, possession },
            Self::RemoveValidator { validator_key } => Operation::RemoveValidator { validator_key },
            Self::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
                Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession }
            }
            Self::EndEpoch { epoch } => Operation::EndEpoch { epoch },
            Self::RegisterVerifier { key, named } => Operation::RegisterVerifier { key, named },
            Self::VerifyProof { verifier, inputs, proof } => Operation::VerifyProof { verifier, inputs, proof },
            Self::Shield { pool, asset, amount, transfer } => Operation::Shield { pool, asset, amount, transfer },
            Self::ShieldedTransfer { pool, transfer } => Operation::ShieldedTransfer { pool, transfer },
            Self::Unshield { pool, asset, amount, to, transfer } => {
                Operation::Unshield { pool, asset, amount, to, transfer }
            }
            Self::Grant { .. }
            | Self::SetAuthority { .. }
            | Self::CancelAuthority
            | Self::ApproveAuthority { .. }
            | Self::Recover { .. }
            | Self::WithdrawRecovery { .. }
            | Self::Propose { .. }
            | Self::Approve { .. }
            | Self::Withdraw { .. }
            | Self::SetOwner { .. }
            | Self::RecoverOperators { .. } => return None,
        })
    }

    /// Returns the operation of version 2 that has the same effect as one of version 1 if this account sends it; `None` if
    /// there is none: a change of the committee without proofs of possession, or a key of small order.
    pub fn of_first(operation: Operation, sender: &AccountId) -> Option<Self> {
        let space = |namespace: AccountId| (namespace != *sender).then_some(namespace);
        Some(match operation {
            Operation::CreateAccount { region, public_key, storage_bytes } => {
                Self::CreateAccount { region, authority: Authority::of_key(public_key).ok()?, storage_bytes }
            }
            Operation::Put { namespace, key, value } => Self::Put { namespace: space(namespace), key, value },
            Operation::Delete { namespace, key } => Self::Delete { namespace: space(namespace), key },
            Operation::Require(condition) => Self::Require(condition),
            Operation::Transfer { to, asset, amount } => Self::Transfer { to, asset, amount },
            Operation::Issue { symbol, to, amount } => Self::Issue { symbol, to, amount },
            Operation::Grant { to, prefixes } => Self::Grant { to, rights: Rights::ALL, prefixes, until_ms: None },
            Operation::AddProven { validator, possession } => Self::AddValidator { validator, possession },
            Operation::RemoveValidator { validator_key } => Self::RemoveValidator { validator_key },
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
                Self::ReplaceKey { validator_key, new_validator_key, new_node_key, possession }
            }
            Operation::EndEpoch { epoch } => Self::EndEpoch { epoch },
            Operation::RegisterVerifier { key, named } => Self::RegisterVerifier { key, named },
            Operation::VerifyProof { verifier, inputs, proof } => Self::VerifyProof { verifier, inputs, proof },
            Operation::Shield { pool, asset, amount, transfer } => Self::Shield { pool, asset, amount, transfer },
            Operation::ShieldedTransfer { pool, transfer } => Self::ShieldedTransfer { pool, transfer },
            Operation::Unshield { pool, asset, amount, to, transfer } => {
                Self::Unshield { pool, asset, amount, to, transfer }
            }
            Operation::AddValidator { .. } | Operation::ReplaceKey { .. } => return None,
        })
    }
}
