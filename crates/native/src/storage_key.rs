//! The key of a node's data on disk: made, opened and passed on in Rust, so that Python never has its bytes.

use crate::errors::{detached, native_error};
use crate::ledger::{keystore_error, origin};
use pyo3::prelude::*;
use rustorium_crypto::keystore::StorageKeys;
use rustorium_crypto::seal::{AtRest, MasterKey, SealError};
use rustorium_crypto::{keystore, locked};
use rustorium_types::ChainId;
use std::path::Path;

/// The kind of its key file.
const KIND: &str = "storage";

/// An opened `storage.key`, in locked memory; with the previous key while a replacement is in progress.
#[pyclass(frozen, module = "rustorium._native")]
pub struct StorageKey {
    inner: StorageKeys,
}

impl StorageKey {
    pub fn shared(&self) -> StorageKeys {
        self.inner.clone()
    }

    pub fn at_rest(&self, chain: ChainId) -> AtRest {
        let StorageKeys { newest, before } = self.shared();
        AtRest::rekeyed(newest, before, chain)
    }
}

fn seal_error(error: SealError) -> PyErr {
    native_error("key-invalid", error.to_string())
}

#[pymethods]
impl StorageKey {
    /// Seals a new random key into a file that must not exist.
    #[staticmethod]
    #[pyo3(signature = (path, passphrase, random_passphrase = false))]
    fn create(py: Python<'_>, path: &str, passphrase: &[u8], random_passphrase: bool) -> PyResult<()> {
        let secret = MasterKey::draw().map_err(seal_error)?;
        let origin = origin(random_passphrase);
        detached(py, || keystore::seal_with_public(Path::new(path), &*secret, KIND, None, passphrase, origin))?
            .map_err(keystore_error)
    }

    /// Opens such a file.
    #[staticmethod]
    fn open(py: Python<'_>, path: &str, passphrase: &[u8]) -> PyResult<Self> {
        let opened = detached(py, || keystore::open_storage(Path::new(path), passphrase))?;
        Ok(Self { inner: opened.map_err(keystore_error)? })
    }

    /// Draws a new key that replaces the one in such a file. The old key stays beside it until nothing is sealed under
    /// it.
    #[staticmethod]
    fn replace(py: Python<'_>, path: &str, passphrase: &[u8]) -> PyResult<()> {
        let replaced = detached(py, || keystore::replace_storage(Path::new(path), passphrase))?;
        replaced.map(drop).map_err(keystore_error)
    }

    /// True if the previous key is there, too.
    #[getter]
    fn replacing(&self) -> bool {
        self.inner.before.is_some()
    }

    fn __repr__(&self) -> &'static str {
        "StorageKey(..)"
    }
}

/// Forbids core dumps of this process, and other processes of its user to read its memory.
#[pyfunction]
pub fn forbid_core_dumps() -> PyResult<()> {
    locked::forbid_core_dumps().map_err(|error| {
        native_error(
            "system",
            format!("core dumps can't be forbidden ({error}): check what the service manager allows"),
        )
    })
}
