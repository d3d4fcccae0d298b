//! Operations of version 1 from JSON.
//!
//! *Invariants:* a view that only version 2 can say is refused, never read as something else.

use super::fields::{amount_64, bytes, list, prefixes_of};
use super::operation::OperationView;
use super::scalar::Hex;
use super::view_error::ViewError;
use rustorium_types::{Epoch, NamedInput, Operation, Validator};

impl TryFrom<OperationView> for Operation {
    type Error = ViewError;

    fn try_from(view: OperationView) -> Result<Self, ViewError> {
        Ok(match view {
            OperationView::Later { .. }
            | OperationView::SetAuthority { .. }
            | OperationView::CancelAuthority {}
            | OperationView::ApproveAuthority { .. }
            | OperationView::Recover { .. }
            | OperationView::WithdrawRecovery { .. }
            | OperationView::Propose { .. }
            | OperationView::Approve { .. }
            | OperationView::Withdraw { .. }
            | OperationView::SetOwner { .. }
            | OperationView::RecoverOperators { .. }
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
