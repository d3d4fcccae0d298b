//! Bodies of transactions of version 2 for Python, until they have all the signatures that they need (V25).
//!
//! *Invariants:* what is shown is read from the bytes that are signed; a key signs only a body whose authority names it.

use crate::errors::detached;
use crate::ledger::{key, operations_of, refuse_small_keys, too_large, value_error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_api::json::TransactionView;
use rustorium_crypto::{SigningKey, hash, sign};
use rustorium_execution::{ASSUMED_BYTES, work2};
use rustorium_types::limits::{TRANSACTION_BYTES_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    AccountId, Authority, BoundedVec, ChainId, Hash, Operation, Operation2, Rights, Signature2, SignerKey, Transaction,
    Transaction2, TransactionBody, TransactionBody2, decode, encode,
};

/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// The body of a transaction of version 2, and the chain that its signatures are for.
#[pyclass(frozen, module = "rustorium._native")]
pub struct UnsignedTransaction {
    chain: ChainId,
    body: TransactionBody2,
}

/// Returns the operation of version 2 that has the same effect if this account sends it; `None` if there is none.
fn as_second(operation: Operation, sender: &AccountId) -> Option<Operation2> {
    let space = |namespace: AccountId| (namespace != *sender).then_some(namespace);
    Some(match operation {
        Operation::CreateAccount { region, public_key, storage_bytes } => {
            Operation2::CreateAccount { region, authority: Authority::of_key(public_key).ok()?, storage_bytes }
        }
        Operation::Put { namespace, key, value } => Operation2::Put { namespace: space(namespace), key, value },
        Operation::Delete { namespace, key } => Operation2::Delete { namespace: space(namespace), key },
        Operation::Require(condition) => Operation2::Require(condition),
        Operation::Transfer { to, asset, amount } => Operation2::Transfer { to, asset, amount },
        Operation::Issue { symbol, to, amount } => Operation2::Issue { symbol, to, amount },
        Operation::Grant { to, prefixes } => Operation2::Grant { to, rights: Rights::ALL, prefixes, until_ms: None },
        Operation::AddProven { validator, possession } => Operation2::AddValidator { validator, possession },
        Operation::RemoveValidator { validator_key } => Operation2::RemoveValidator { validator_key },
        Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
            Operation2::ReplaceKey { validator_key, new_validator_key, new_node_key, possession }
        }
        Operation::EndEpoch { epoch } => Operation2::EndEpoch { epoch },
        Operation::RegisterVerifier { key, named } => Operation2::RegisterVerifier { key, named },
        Operation::VerifyProof { verifier, inputs, proof } => Operation2::VerifyProof { verifier, inputs, proof },
        Operation::Shield { pool, asset, amount, transfer } => Operation2::Shield { pool, asset, amount, transfer },
        Operation::ShieldedTransfer { pool, transfer } => Operation2::ShieldedTransfer { pool, transfer },
        Operation::Unshield { pool, asset, amount, to, transfer } => {
            Operation2::Unshield { pool, asset, amount, to, transfer }
        }
        Operation::AddValidator { .. } | Operation::ReplaceKey { .. } => return None,
    })
}

fn authority_of(threshold: u8, keys: &[String]) -> PyResult<Authority> {
    let key = |text: &String| Hash::from_hex(text).map(|hash| SignerKey::Ed25519(hash.0)).map_err(value_error);
    let mut keys = keys.iter().map(key).collect::<PyResult<Vec<_>>>()?;
    keys.sort_unstable();
    Authority::new(threshold, keys).map_err(value_error)
}

impl UnsignedTransaction {
    /// Returns the body in the form of version 2 of a body in that of version 1; `None` if one of its operations has no
    /// such form, or its key is of small order. `work_limit`: as given for the other body.
    pub(crate) fn of_first(first: &TransactionBody, work_limit: Option<u64>) -> Option<Self> {
        let operations = first.data.iter().map(|one| as_second(one.clone(), &first.sender));
        let mut body = TransactionBody2 {
            authority: Authority::of_key(first.public_key).ok()?,
            sender: first.sender,
            nonce: first.nonce,
            expires_at_ms: first.expires_at_ms,
            work_limit: first.work_limit,
            shard_hint: first.shard_hint,
            location: first.location,
            data: BoundedVec::new(operations.collect::<Option<_>>()?).ok()?,
        };
        match work_limit {
            None => body.work_limit = work2::work2(&body, ASSUMED_BYTES),
            Some(u64::MAX) => body.work_limit = work2::work2(&body, VALUE_BYTES_MAX as u64),
            Some(_) => {}
        }
        Some(Self { chain: first.chain, body })
    }

    /// Returns the id and the canonical bytes of the transaction, signed by its only key. Errors: it is too large.
    pub(crate) fn signed_alone<'py>(
        self,
        py: Python<'py>,
        key: &SigningKey,
    ) -> PyResult<(String, Bound<'py, PyBytes>)> {
        let signature = key.sign_body2(&self.chain, &self.body);
        let id = hash::transaction2_id(&self.chain, &self.body).to_string();
        let signed = Transaction2::new(self.body, vec![(0, signature)]).map_err(value_error)?;
        let bytes = encode(&Transaction::V2(signed));
        if bytes.len() > TRANSACTION_BYTES_MAX {
            return Err(too_large(bytes.len()));
        }
        Ok((id, PyBytes::new(py, &bytes)))
    }

    fn checked(chain: &str, body: TransactionBody2) -> PyResult<Self> {
        let signatures = 1 + usize::from(body.authority.threshold()) * (2 + SIGNATURE_BYTES);
        let bytes = encode(&body).len() + signatures;
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(too_large(bytes));
        }
        Ok(Self { chain: ChainId::from_hex(chain).map_err(value_error)?, body })
    }

    fn key_at(&self, place: usize) -> PyResult<&SignerKey> {
        let none = || value_error(format!("the authority has no key number {place}"));
        self.body.authority.keys().get(place).ok_or_else(none)
    }
}

#[pymethods]
impl UnsignedTransaction {
    /// Makes the body of an account's transaction. `keys`: hex digits, in any order. The work limit suffices if no value
    /// that it reads has more than 4 KiB, or with `largest` whatever it reads.
    #[staticmethod]
    #[expect(clippy::too_many_arguments, reason = "the parts of a transaction, by name on the Python side")]
    fn build(
        chain: &str,
        threshold: u8,
        keys: Vec<String>,
        sender: &str,
        nonce: u64,
        expires_at_ms: u64,
        operations_json: &str,
        largest: bool,
    ) -> PyResult<Self> {
        let sender = AccountId::parse(sender).map_err(value_error)?;
        let operations = operations_of(operations_json)?;
        refuse_small_keys(&operations)?;
        let unsaid = || value_error("version 2 asks for proofs of possession of a validator's keys: give `possession`");
        let second = operations.into_iter().map(|one| as_second(one, &sender).ok_or_else(unsaid));
        let data = second.collect::<PyResult<Vec<_>>>()?;
        let mut body = TransactionBody2 {
            authority: authority_of(threshold, &keys)?,
            sender,
            nonce,
            expires_at_ms,
            work_limit: 0,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(data).map_err(value_error)?,
        };
        body.work_limit = work2::work2(&body, if largest { VALUE_BYTES_MAX as u64 } else { ASSUMED_BYTES });
        Self::checked(chain, body)
    }

    /// Reads a body from its canonical bytes.
    #[staticmethod]
    fn read(chain: &str, body: &[u8]) -> PyResult<Self> {
        Self::checked(chain, decode(body, TRANSACTION_BYTES_MAX).map_err(value_error)?)
    }

    /// Returns the body's canonical bytes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &encode(&self.body))
    }

    /// Returns the body as JSON, as the API shows transactions, with the id.
    fn describe(&self) -> PyResult<String> {
        let none = |place| (place, Signature2::Ed25519([0; SIGNATURE_BYTES]));
        let signatures = (0..self.body.authority.threshold()).map(none).collect();
        let shown = Transaction2::new(self.body.clone(), signatures).map_err(value_error)?;
        let mut view = serde_json::to_value(TransactionView::from(&Transaction::V2(shown))).map_err(value_error)?;
        if let Some(fields) = view.as_object_mut() {
            fields.remove("signatures");
            fields.insert("id".into(), hash::transaction2_id(&self.chain, &self.body).to_string().into());
        }
        Ok(view.to_string())
    }

    /// Signs as the key with this seed. Errors: the authority doesn't name the key.
    fn sign<'py>(&self, py: Python<'py>, seed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let key = key(seed)?;
        if !self.body.authority.keys().contains(&SignerKey::Ed25519(key.public())) {
            return Err(value_error("the authority doesn't name this key"));
        }
        let Signature2::Ed25519(signature) = key.sign_body2(&self.chain, &self.body);
        Ok(PyBytes::new(py, &signature))
    }

    /// Tells if a signature of the key at this place of the authority, from 0, holds.
    fn holds(&self, place: usize, signature: [u8; SIGNATURE_BYTES]) -> PyResult<bool> {
        let SignerKey::Ed25519(key) = self.key_at(place)?;
        Ok(sign::verify(key, &hash::transaction2_bytes(&self.chain, &self.body), &signature))
    }

    /// Returns the transaction's id and canonical bytes. Errors: it has not exactly the signatures that it needs.
    fn finish<'py>(
        &self,
        py: Python<'py>,
        signatures: Vec<(u8, [u8; SIGNATURE_BYTES])>,
    ) -> PyResult<(String, Bound<'py, PyBytes>)> {
        let signatures = signatures.into_iter().map(|(place, bytes)| (place, Signature2::Ed25519(bytes))).collect();
        let signed = Transaction2::new(self.body.clone(), signatures).map_err(value_error)?;
        let bytes = detached(py, || encode(&Transaction::V2(signed)))?;
        Ok((hash::transaction2_id(&self.chain, &self.body).to_string(), PyBytes::new(py, &bytes)))
    }
}
