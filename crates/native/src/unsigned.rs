//! Bodies of transactions of version 2 for Python, until they have all the signatures that they need (V25).
//!
//! *Invariants:* what is shown is read from the bytes that are signed; a key signs only a body whose authority names it.

use crate::errors::detached;
use crate::ledger::{Draft, key, location_of, refuse_small_keys, too_large, value_error, views_of};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_api::json::{TransactionView, ViewError};
use rustorium_crypto::{hash, sign};
use rustorium_execution::{ASSUMED_BYTES, work2};
use rustorium_types::limits::{TRANSACTION_BYTES_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    AccountId, Authority, BoundedVec, ChainId, Hash, Operation2, PublicKey, Signature2, SignerKey, Transaction,
    Transaction2, TransactionBody2, decode, encode,
};

/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// The body of a transaction of version 2, and the chain that its signatures are for.
#[pyclass(frozen, module = "rustorium._native")]
pub struct UnsignedTransaction {
    chain: ChainId,
    body: TransactionBody2,
}

/// Reads operations from JSON, as this account sends them. Errors: it isn't JSON of operations, or one brings a key of small
/// order onto the chain.
fn operations_of(json: &str, sender: &AccountId) -> PyResult<Result<Vec<Operation2>, ViewError>> {
    let read: Result<Vec<Operation2>, _> = views_of(json)?.into_iter().map(|view| view.into_second(sender)).collect();
    if let Ok(read) = &read {
        refuse_small_keys(read.iter().flat_map(Operation2::new_keys))?;
    }
    Ok(read)
}

fn authority_of(threshold: u8, keys: &[String]) -> PyResult<Authority> {
    let key = |text: &String| Hash::from_hex(text).map(|hash| SignerKey::Ed25519(hash.0)).map_err(value_error);
    let keys = keys.iter().map(key).collect::<PyResult<Vec<_>>>()?;
    Authority::of_keys(threshold, keys).map_err(value_error)
}

/// Returns the address of the account that an authority opens in a region, and the authority's hash.
#[pyfunction]
pub fn authority_names(region: u8, threshold: u8, keys: Vec<String>) -> PyResult<(String, String)> {
    let authority = authority_of(threshold, &keys)?;
    let address = hash::authority_account(region, &authority);
    Ok((address.to_string(), hash::authority_hash(&authority).to_string()))
}

impl UnsignedTransaction {
    /// Returns the body of a draft whose account has this key alone; `None` if version 2 has none of it: a change of the
    /// committee without proofs of possession, or a key of small order.
    pub(crate) fn alone(draft: &Draft<'_>, key: PublicKey, location: Option<(f64, f64)>) -> PyResult<Option<Self>> {
        let sender = hash::account_id(draft.region, &key);
        let data = match operations_of(draft.operations_json, &sender)? {
            Err(ViewError::Unproven) => return Ok(None),
            read => read.map_err(value_error)?,
        };
        let Ok(authority) = Authority::of_key(key) else { return Ok(None) };
        let mut body = TransactionBody2 {
            authority,
            sender,
            nonce: draft.nonce,
            expires_at_ms: draft.expires_at_ms,
            work_limit: 0,
            shard_hint: None,
            location: location.map(location_of).transpose()?,
            data: BoundedVec::new(data).map_err(value_error)?,
        };
        body.work_limit = match draft.work_limit {
            None => work2::work2(&body, ASSUMED_BYTES),
            Some(u64::MAX) => work2::work2(&body, VALUE_BYTES_MAX as u64),
            Some(limit) => limit,
        };
        Self::checked(draft.chain, body).map(Some)
    }

    /// Returns the chain that signatures are for.
    pub(crate) fn chain(&self) -> ChainId {
        self.chain
    }

    /// Returns the body to be signed.
    pub(crate) fn body(&self) -> &TransactionBody2 {
        &self.body
    }

    /// Returns the id and the canonical bytes of the transaction with the signature of its only key.
    pub(crate) fn signed_alone(self, py: Python<'_>, signature: Signature2) -> PyResult<(String, Bound<'_, PyBytes>)> {
        let id = hash::transaction2_id(&self.chain, &self.body).to_string();
        let signed = Transaction2::new(self.body, vec![(0, signature)]).map_err(value_error)?;
        Ok((id, PyBytes::new(py, &encode(&Transaction::V2(signed)))))
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
        let data = operations_of(operations_json, &sender)?.map_err(value_error)?;
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
