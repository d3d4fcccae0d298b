//! Operations as JSON, both ways.

use super::change::ChangeView;
use super::condition::ConditionView;
use super::fields::{digits_of, pair};
use super::pool::PoolTransferView;
use super::scalar::{Amount, Hex, once};
use super::schema::ToSchema;
use super::second::{RightView, is_false, is_zero};
use super::signers::{AuthorityView, PossessionView, RecoveryView};
use rustorium_types::{AccountId, AssetId, Hash, Operation, Possession, Validator, VerifierId};
use serde::{Deserialize, Serialize};

/// A public input by which a verifier's statements can be required.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedInputView {
    /// The input's index, from 0.
    pub index: u8,
    /// `true` for a nullifier: each value can be used only once.
    pub once: bool,
}

/// An operation of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum OperationView {
    /// Creates an account.
    CreateAccount {
        /// Byte of the home region.
        region: u8,
        /// The account's Ed25519 key, if it has one alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        public_key: Option<Hex<32>>,
        /// The account's keys and how many of them must sign, if it has several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<AuthorityView>,
        /// Storage that the sender gives to it, bytes.
        storage_bytes: u64,
    },
    /// Gives the sender other settings: keys, a delay of later changes, a recovery account. They take effect at once if the
    /// present ones have neither a delay nor a recovery account. Needs a transaction of version 2.
    SetAuthority {
        /// The keys that act for the sender from then on, and how many of them must sign.
        authority: AuthorityView,
        /// Time between a later change by the keys and its effect, ms.
        #[serde(default, skip_serializing_if = "is_zero")]
        delay_ms: u64,
        /// The account that may replace the keys, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovery: Option<RecoveryView>,
        /// `true` if all grants that the sender made before become void.
        #[serde(default, skip_serializing_if = "is_false")]
        void_grants: bool,
    },
    /// Cancels the change of the sender's settings that waits, unless it is a final recovery. Needs a transaction of
    /// version 2.
    CancelAuthority {},
    /// For the recovery account: a change that the account's keys began takes effect at once. Needs a transaction of
    /// version 2.
    ApproveAuthority {
        /// The account whose change waits.
        #[schema(value_type = String)]
        account: AccountId,
        /// Hash of the change that is approved.
        #[schema(value_type = String)]
        change: Hash,
    },
    /// For the recovery account: the account gets these keys after the recovery delay, and its grants become void. Needs a
    /// transaction of version 2.
    Recover {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// The account's next keys, and how many of them must sign.
        authority: AuthorityView,
    },
    /// For the recovery account: cancels the recovery that it began. Needs a transaction of version 2.
    WithdrawRecovery {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
    },
    /// An operation of version 2 that this release has no name for.
    /// For seats: proposes a change, and approves it. Needs a transaction of version 2.
    Propose {
        /// The change.
        change: Box<ChangeView>,
        /// Header time from which the proposal is void, Unix ms.
        until_ms: u64,
    },
    /// For seats: approves a proposed change. Needs a transaction of version 2.
    Approve {
        /// The proposal's number.
        number: u64,
        /// Hash of the change.
        #[schema(value_type = String)]
        change: Hash,
    },
    /// For seats: takes the sender's approval back. Needs a transaction of version 2.
    Withdraw {
        /// The proposal's number.
        number: u64,
    },
    /// An operation of version 2 that nodes of this release refuse.
    Later {
        /// Canonical bytes as hex digits.
        bytes_hex: String,
    },
    /// Sets a key.
    Put {
        /// The account whose namespace it is.
        #[schema(value_type = String)]
        namespace: AccountId,
        /// The key as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The key as hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_hex: Option<String>,
        /// The value as text. Answers of a node have this field if the value is text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// The value as hex digits. Answers of a node have this field for all other values.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value_hex: Option<String>,
    },
    /// Removes a key.
    Delete {
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
    /// Fails the transaction unless the condition holds.
    Require {
        /// The condition.
        condition: ConditionView,
    },
    /// Moves an amount from the sender.
    Transfer {
        /// The receiver.
        #[schema(value_type = String)]
        to: AccountId,
        /// The asset.
        #[schema(value_type = String)]
        asset: AssetId,
        /// Amount in smallest units.
        #[schema(value_type = String)]
        amount: Amount,
    },
    /// Creates an amount of the sender's own asset.
    Issue {
        /// The symbol in printable ASCII; use `symbol_hex` for other bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        symbol: Option<String>,
        /// The symbol as hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        symbol_hex: Option<String>,
        /// The receiver.
        #[schema(value_type = String)]
        to: AccountId,
        /// Amount in smallest units.
        #[schema(value_type = String)]
        amount: Amount,
    },
    /// Lets another account write under prefixes of the sender's namespace.
    Grant {
        /// The account that may write.
        #[schema(value_type = String)]
        to: AccountId,
        /// Key prefixes as hex digits; an empty prefix covers the whole namespace. An empty list revokes the grant.
        prefixes_hex: Vec<String>,
        /// The kinds of writes; without this field all. An empty list revokes the grant. Only in version 2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rights: Option<Vec<RightView>>,
        /// Header time from which the grant has no effect, Unix ms; without this field it has no end. Only in version 2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
    },
    /// For operators: adds a validator to the committee from the next epoch on.
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
        /// Proof that somebody holds both keys; required on chains of version 2 and later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        possession: Option<PossessionView>,
    },
    /// For operators: removes a validator from the committee from the next epoch on.
    RemoveValidator {
        /// The current validator key.
        #[schema(value_type = String)]
        validator_key: Hex<32>,
    },
    /// For operators or the validator's owner key: replaces a validator's keys from the next epoch on.
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
        /// Proof that somebody holds both new keys; required on chains of version 2 and later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        possession: Option<PossessionView>,
    },
    /// For a validator's owner as a system sender: gives the validator another owner from the next epoch on. Needs a
    /// transaction of version 2.
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
    /// For a validator's owner as a system sender: wishes for other operators in place of lost ones. If a quorum of the
    /// validators' owners wishes the same, they govern after `owners_recover_ms`, unless seats decide otherwise. Needs a
    /// transaction of version 2.
    RecoverOperators {
        /// Hash of the parameters that are wanted now.
        #[schema(value_type = String)]
        base: Hash,
        /// The operators' keys.
        #[schema(value_type = Vec<String>)]
        operators: Vec<Hex<32>>,
        /// Number of seats that must approve a change.
        quorum: u8,
    },
    /// For operators: ends the current epoch as soon as possible.
    EndEpoch {
        /// The current epoch.
        epoch: u64,
    },
    /// Registers a Groth16 verifying key. Statements can be proved under it from then on.
    RegisterVerifier {
        /// The key's canonical bytes as hex digits.
        key_hex: String,
        /// The inputs that a `require` operation can name, in ascending order.
        named: Vec<NamedInputView>,
    },
    /// Fails the transaction unless the proof is valid, and records its statement.
    VerifyProof {
        /// The verifier.
        #[schema(value_type = String)]
        verifier: VerifierId,
        /// The statement's public inputs, each 32 bytes, big-endian.
        #[schema(value_type = Vec<String>)]
        inputs: Vec<Hex<32>>,
        /// The proof's canonical bytes as hex digits.
        proof_hex: String,
    },
    /// Moves an amount from the sender into a pool, as notes.
    Shield {
        /// The pool's number.
        pool: u32,
        /// The asset.
        #[schema(value_type = String)]
        asset: AssetId,
        /// Amount in smallest units, below 2⁶⁴.
        #[schema(value_type = String)]
        amount: Amount,
        /// The shielded transfer.
        transfer: Box<PoolTransferView>,
    },
    /// Replaces notes by new notes in a pool.
    ShieldedTransfer {
        /// The pool's number.
        pool: u32,
        /// The shielded transfer.
        transfer: Box<PoolTransferView>,
    },
    /// Moves an amount from a pool to an account.
    Unshield {
        /// The pool's number.
        pool: u32,
        /// The asset.
        #[schema(value_type = String)]
        asset: AssetId,
        /// Amount in smallest units, below 2⁶⁴.
        #[schema(value_type = String)]
        amount: Amount,
        /// The receiver.
        #[schema(value_type = String)]
        to: AccountId,
        /// The shielded transfer.
        transfer: Box<PoolTransferView>,
    },
}

impl From<&Operation> for OperationView {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::CreateAccount { region, public_key, storage_bytes } => Self::CreateAccount {
                region: *region,
                public_key: Some(Hex(*public_key)),
                authority: None,
                storage_bytes: *storage_bytes,
            },
            Operation::Put { namespace, key, value } => {
                let ((key, key_hex), (value, value_hex)) = (pair(key.as_slice()), once(value.as_slice()));
                Self::Put { namespace: *namespace, key, key_hex, value, value_hex }
            }
            Operation::Delete { namespace, key } => {
                let (key, key_hex) = pair(key.as_slice());
                Self::Delete { namespace: *namespace, key, key_hex }
            }
            Operation::Require(condition) => Self::Require { condition: condition.into() },
            Operation::Transfer { to, asset, amount } => {
                Self::Transfer { to: *to, asset: *asset, amount: Amount(*amount) }
            }
            Operation::Issue { symbol, to, amount } => {
                let (symbol, symbol_hex) = pair(symbol.as_slice());
                Self::Issue { symbol, symbol_hex, to: *to, amount: Amount(*amount) }
            }
            Operation::Grant { to, prefixes } => {
                Self::Grant { to: *to, prefixes_hex: digits_of(prefixes.iter()), rights: None, until_ms: None }
            }
            Operation::AddValidator { validator } => Self::add_validator(validator, None),
            Operation::AddProven { validator, possession } => Self::add_validator(validator, Some(possession)),
            Operation::RemoveValidator { validator_key } => {
                Self::RemoveValidator { validator_key: Hex(*validator_key) }
            }
            Operation::ReplaceKey { validator_key, new_validator_key, new_node_key } => Self::ReplaceKey {
                validator_key: Hex(*validator_key),
                new_validator_key: Hex(*new_validator_key),
                new_node_key: Hex(*new_node_key),
                possession: None,
            },
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
                Self::ReplaceKey {
                    validator_key: Hex(*validator_key),
                    new_validator_key: Hex(*new_validator_key),
                    new_node_key: Hex(*new_node_key),
                    possession: Some(possession.into()),
                }
            }
            Operation::EndEpoch { epoch } => Self::EndEpoch { epoch: epoch.0 },
            Operation::RegisterVerifier { key, named } => Self::RegisterVerifier {
                key_hex: hex::encode(key.as_slice()),
                named: named.iter().map(|input| NamedInputView { index: input.index, once: input.once }).collect(),
            },
            Operation::VerifyProof { verifier, inputs, proof } => Self::VerifyProof {
                verifier: *verifier,
                inputs: inputs.iter().map(|input| Hex(*input)).collect(),
                proof_hex: hex::encode(proof.as_slice()),
            },
            Operation::Shield { pool, asset, amount, transfer } => Self::Shield {
                pool: *pool,
                asset: *asset,
                amount: Amount((*amount).into()),
                transfer: Box::new((&**transfer).into()),
            },
            Operation::ShieldedTransfer { pool, transfer } => {
                Self::ShieldedTransfer { pool: *pool, transfer: Box::new((&**transfer).into()) }
            }
            Operation::Unshield { pool, asset, amount, to, transfer } => Self::Unshield {
                pool: *pool,
                asset: *asset,
                amount: Amount((*amount).into()),
                to: *to,
                transfer: Box::new((&**transfer).into()),
            },
        }
    }
}

impl OperationView {
    fn add_validator(validator: &Validator, possession: Option<&Possession>) -> Self {
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
            possession: possession.map(Into::into),
        }
    }
}
