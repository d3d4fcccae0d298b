//! Signing keys of a node: opened and passed on in Rust, so that Python never has their bytes.

use crate::errors::detached;
use crate::ledger::keystore_error;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_crypto::SigningKey as Inner;
use rustorium_crypto::keystore;
use std::path::Path;

/// An opened key file of a node or a validator, in locked memory.
#[pyclass(frozen, module = "rustorium._native")]
pub struct SigningKey {
    inner: Inner,
}

impl SigningKey {
    pub fn shared(&self) -> Inner {
        self.inner.clone()
    }
}

#[pymethods]
impl SigningKey {
    /// Opens a sealed file of this kind.
    #[staticmethod]
    fn open(py: Python<'_>, path: &str, kind: &str, passphrase: &[u8]) -> PyResult<Self> {
        let opened = detached(py, || keystore::open_signing_key(Path::new(path), kind, passphrase))?;
        Ok(Self { inner: opened.map_err(keystore_error)? })
    }

    /// The public key.
    #[getter]
    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.public())
    }

    fn __repr__(&self) -> &'static str {
        "SigningKey(..)"
    }
}
