//! Operations as JSON, both ways.

use super::condition::ConditionView;
use super::fields::{amount_64, bytes, digits_of, list, pair, prefixes_of};
use super::governance::ChangeView;
use super::pool::PoolTransferView;
use super::scalar::{Amount, Hex, once};
use super::schema::ToSchema;
use super::second::RightView;
use super::signers::{AuthorityView, PossessionView};
use super::view_error::ViewError;
use rustorium_types::{
    AccountId, AssetId, Epoch, Hash, NamedInput, Operation, Operation2, Possession, Validator, VerifierId, encode,
};
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
    /// Gives the sender another authority, at once. Needs a transaction of version 2.
    SetAuthority {
        /// The keys that act for the sender from then on, and how many of them must sign.
        authority: AuthorityView,
    },
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
            Operation2::SetAuthority { settings, .. } if operation.is_built() => {
                Self::SetAuthority { authority: (&settings.authority).into() }
            }
            Operation2::Propose { change, until_ms } => {
                Self::Propose { change: Box::new((&**change).into()), until_ms: *until_ms }
            }
            Operation2::Approve { number, change } => Self::Approve { number: *number, change: *change },
            Operation2::Withdraw { number } => Self::Withdraw { number: *number },
            _ => Self::Later { bytes_hex: hex::encode(encode(operation)) },
        }
    }

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

impl TryFrom<OperationView> for Operation {
    type Error = ViewError;

    fn try_from(view: OperationView) -> Result<Self, ViewError> {
        Ok(match view {
            OperationView::Later { .. }
            | OperationView::SetAuthority { .. }
            | OperationView::Propose { .. }
            | OperationView::Approve { .. }
            | OperationView::Withdraw { .. }
            | OperationView::CreateAccount { authority: Some(_), .. }
            | OperationView::Grant { rights: Some(_), .. }
            | OperationView::Grant { until_ms: Some(_), .. } => return Err(ViewError::Later),
            OperationView::CreateAccount { region, public_key, authority: None, storage_bytes } => {
                let Hex(public_key) = public_key.ok_or(ViewError::Required("public_key"))?;
                Self::CreateAccount { region, public_key, storage_bytes }
            }
            OperationView::Put { namespace, key, key_hex, value, value_hex } => {
                Self::Put { namespace, key: bytes("key", key, key_hex)?, value: bytes("value", value, value_hex)? }
            }
            OperationView::Delete { namespace, key, key_hex } => {
                Self::Delete { namespace, key: bytes("key", key, key_hex)? }
            }
            OperationView::Require { condition } => Self::Require(condition.try_into()?),
            OperationView::Transfer { to, asset, amount } => Self::Transfer { to, asset, amount: amount.0 },
            OperationView::Issue { symbol, symbol_hex, to, amount } => {
                Self::Issue { symbol: bytes("symbol", symbol, symbol_hex)?, to, amount: amount.0 }
            }
            OperationView::Grant { to, prefixes_hex, .. } => Self::Grant { to, prefixes: prefixes_of(prefixes_hex)? },
            OperationView::AddValidator {
                name,
                name_hex,
                validator_key,
                node_key,
                owner_key,
                region,
                address,
                address_hex,
                possession,
            } => {
                let validator = Validator {
                    name: bytes("name", name, name_hex)?,
                    validator_key: validator_key.0,
                    node_key: node_key.0,
                    owner_key: owner_key.0,
                    region,
                    address: bytes("address", address, address_hex)?,
                };
                match possession {
                    None => Self::AddValidator { validator },
                    Some(possession) => Self::AddProven { validator, possession: possession.into() },
                }
            }
            OperationView::RemoveValidator { validator_key } => {
                Self::RemoveValidator { validator_key: validator_key.0 }
            }
            OperationView::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
                let (validator_key, new_validator_key) = (validator_key.0, new_validator_key.0);
                let (new_node_key, possession) = (new_node_key.0, possession.map(Into::into));
                match possession {
                    None => Self::ReplaceKey { validator_key, new_validator_key, new_node_key },
                    Some(possession) => {
                        Self::ReplaceProven { validator_key, new_validator_key, new_node_key, possession }
                    }
                }
            }
            OperationView::EndEpoch { epoch } => Self::EndEpoch { epoch: Epoch(epoch) },
            OperationView::RegisterVerifier { key_hex, named } => Self::RegisterVerifier {
                key: bytes("key", None, Some(key_hex))?,
                named: list(
                    "named",
                    named.into_iter().map(|input| NamedInput { index: input.index, once: input.once }),
                )?,
            },
            OperationView::VerifyProof { verifier, inputs, proof_hex } => Self::VerifyProof {
                verifier,
                inputs: list("inputs", inputs.into_iter().map(|input| input.0))?,
                proof: bytes("proof", None, Some(proof_hex))?,
            },
            OperationView::Shield { pool, asset, amount, transfer } => {
                Self::Shield { pool, asset, amount: amount_64(amount)?, transfer: (*transfer).into() }
            }
            OperationView::ShieldedTransfer { pool, transfer } => {
                Self::ShieldedTransfer { pool, transfer: (*transfer).into() }
            }
            OperationView::Unshield { pool, asset, amount, to, transfer } => {
                Self::Unshield { pool, asset, amount: amount_64(amount)?, to, transfer: (*transfer).into() }
            }
        })
    }
}
