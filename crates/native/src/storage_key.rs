//! The key of what a node keeps on disk: made, opened and handed on in Rust, so that Python never holds its bytes.

use crate::errors::{detached, native_error};
use crate::ledger::{keystore_error, origin};
use pyo3::prelude::*;
use rustorium_crypto::seal::{MasterKey, SealError};
use rustorium_crypto::{keystore, locked};
use std::path::Path;
use std::sync::Arc;

/// The kind of its key file.
const KIND: &str = "storage";

/// An opened `storage.key`, in locked memory.
#[pyclass(frozen, module = "rustorium._native")]
pub struct StorageKey {
    inner: Arc<MasterKey>,
}

impl StorageKey {
    pub fn shared(&self) -> Arc<MasterKey> {
        self.inner.clone()
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
        let secret = detached(py, || keystore::open(Path::new(path), KIND, passphrase))?.map_err(keystore_error)?;
        let inner = MasterKey::from_secret(&secret).map_err(seal_error)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    fn __repr__(&self) -> &'static str {
        "StorageKey(..)"
    }
}

/// Forbids core dumps of this process, and others of its user to look into its memory.
#[pyfunction]
pub fn forbid_core_dumps() -> PyResult<()> {
    locked::forbid_core_dumps().map_err(|error| {
        native_error(
            "system",
            format!("core dumps can't be forbidden ({error}): check what the service manager allows"),
        )
    })
}
