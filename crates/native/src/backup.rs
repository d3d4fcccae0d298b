//! Backups in Python. Each call works until its end on the thread that called it; other threads read its progress and
//! stop it.

use crate::errors::{detached, native_error};
use crate::ledger::keystore_error;
use crate::storage_key::StorageKey;
use parking_lot::Mutex;
use pyo3::prelude::*;
use rustorium_backup::{
    BackupError, BackupId, Backups as Inner, Destination, DestinationOptions, Home, Restoring as Staged, Work,
};
use rustorium_crypto::keystore;
use rustorium_crypto::seal::{AtRest, BackupKey, MasterKey, SealError};
use rustorium_stages::executor::store_code;
use rustorium_storage::{RocksStore, StoreConfig};
use rustorium_types::{ChainId, Height, ShardId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The kind of a backup key's file.
const KIND: &str = "backup";

fn backup_error(error: BackupError) -> PyErr {
    native_error(error.code(), error.to_string())
}

fn json<T: Serialize>(value: &T) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| native_error("internal", format!("no JSON: {error}")))
}

pub(crate) fn at_rest(key: &StorageKey, chain: &str) -> PyResult<AtRest> {
    let chain = ChainId::from_hex(chain).map_err(|error| native_error("chain-invalid", error.to_string()))?;
    Ok(key.at_rest(chain))
}

/// Seals a new random backup key into a file that must not exist.
#[pyfunction]
pub fn new_backup_key(py: Python<'_>, path: &str, passphrase: &[u8]) -> PyResult<()> {
    let failed = |error: SealError| native_error("key-invalid", error.to_string());
    let secret = MasterKey::draw().map_err(failed)?;
    detached(py, || keystore::seal(Path::new(path), &*secret, KIND, passphrase))?.map_err(keystore_error)
}

/// Draws a new backup key that replaces the one in a file. The old key stays beside it, since it opens the backups made
/// until then.
#[pyfunction]
pub fn replace_backup_key(py: Python<'_>, path: &str, passphrase: &[u8]) -> PyResult<()> {
    detached(py, || keystore::replace_backup(Path::new(path), passphrase))?.map_err(keystore_error)
}

fn open_key(py: Python<'_>, file: &str, passphrase: &[u8]) -> PyResult<BackupKey> {
    let opened = detached(py, || keystore::open(Path::new(file), KIND, passphrase))?.map_err(keystore_error)?;
    BackupKey::from_secret(&opened).map_err(|error| native_error("key-invalid", error.to_string()))
}

/// Copies the store of a node that doesn't run to a new folder on the same disk.
#[pyfunction]
pub fn copy_store(py: Python<'_>, store: &str, to: &str, chain: &str, key: &StorageKey) -> PyResult<()> {
    let at_rest = at_rest(key, chain)?;
    let copy = || RocksStore::open(Path::new(store), &StoreConfig::default(), &at_rest)?.checkpoint(Path::new(to));
    detached(py, copy)?.map_err(|error| native_error(store_code(&error), error.to_string()))
}

/// The backups at one destination.
#[pyclass(frozen, module = "rustorium._native")]
pub struct Backups {
    inner: Inner,
    work: Arc<Work>,
}

#[pymethods]
impl Backups {
    /// Opens a folder or `s3://BUCKET/PREFIX`, with the key in a file. `older`: file and passphrase of the previous
    /// key, under which some of the backups may be.
    #[new]
    #[pyo3(signature = (destination, key_file, passphrase, *, older=None, endpoint=None, region=None, allow_http=false,
                        make=false))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        destination: &str,
        key_file: &str,
        passphrase: &[u8],
        older: Option<(String, Vec<u8>)>,
        endpoint: Option<String>,
        region: Option<String>,
        allow_http: bool,
        make: bool,
    ) -> PyResult<Self> {
        let options = DestinationOptions { endpoint, region, allow_http, make };
        let work = Arc::<Work>::default();
        let key = open_key(py, key_file, passphrase)?;
        let older = older.map(|(file, passphrase)| open_key(py, &file, &Zeroizing::new(passphrase))).transpose()?;
        let place = detached(py, || Destination::open(destination, &options))?.map_err(backup_error)?;
        Ok(Self { inner: Inner::new(place, key, work.clone()).with_older(older), work })
    }

    /// Creates a backup from copies of the shards' stores. Returns its description as JSON.
    #[allow(clippy::too_many_arguments)]
    fn create(
        &self,
        py: Python<'_>,
        home: PathBuf,
        stores: BTreeMap<u32, PathBuf>,
        node: String,
        node_key: [u8; 32],
        validator: bool,
        chain: &str,
        key: &StorageKey,
    ) -> PyResult<String> {
        let at_rest = at_rest(key, chain)?;
        let program = env!("CARGO_PKG_VERSION").to_owned();
        let stores = stores.into_iter().map(|(shard, store)| (ShardId(shard), store)).collect();
        let home = Home { folder: home, stores, node, node_key, validator, program };
        json(&detached(py, || self.inner.create(&home, &at_rest))?.map_err(backup_error)?)
    }

    /// Returns JSON of all backups, the newest last.
    fn list(&self, py: Python<'_>) -> PyResult<String> {
        json(&detached(py, || self.inner.list())?.map_err(backup_error)?)
    }

    /// Checks all backups. Returns JSON of the damaged objects with their faults.
    fn verify(&self, py: Python<'_>) -> PyResult<String> {
        json(&detached(py, || self.inner.verify())?.map_err(backup_error)?)
    }

    /// Returns the number of backups sealed under the previous key.
    fn under_older(&self, py: Python<'_>) -> PyResult<u64> {
        detached(py, || self.inner.under_older())?.map_err(backup_error)
    }

    /// Keeps the newest `keep` backups. Returns JSON of the removed ones.
    fn retain(&self, py: Python<'_>, keep: u64) -> PyResult<String> {
        json(&detached(py, || self.inner.retain(keep))?.map_err(backup_error)?)
    }

    /// Fetches a backup's files to a folder beside the home.
    #[pyo3(signature = (home, height=None, backup=None))]
    fn fetch(&self, py: Python<'_>, home: PathBuf, height: Option<u64>, backup: Option<&str>) -> PyResult<Restoring> {
        let wrong = || native_error("usage", "a backup is named by 32 hex digits, as `backup list` prints them");
        let backup = backup.map(|text| BackupId::from_hex(text).ok_or_else(wrong)).transpose()?;
        let staged = detached(py, || self.inner.fetch(&home, height.map(Height), backup))?.map_err(backup_error)?;
        Ok(Restoring { staged: Mutex::new(Some(staged)) })
    }

    /// Returns the progress as JSON: the stage, the work done, and all work.
    fn progress(&self) -> PyResult<String> {
        json(&self.work.progress())
    }

    /// Stops the running work at its next step.
    fn stop(&self) {
        self.work.stop();
    }
}

/// A home that was fetched and isn't in place yet.
#[pyclass(frozen, module = "rustorium._native")]
pub struct Restoring {
    staged: Mutex<Option<Staged>>,
}

fn settled() -> PyErr {
    native_error("internal", "it is in place already")
}

#[pymethods]
impl Restoring {
    /// Returns the folder of its files until they are put in place.
    fn folder(&self) -> PyResult<PathBuf> {
        self.staged.lock().as_ref().map(|staged| staged.folder().to_owned()).ok_or_else(settled)
    }

    /// Checks everything, rolls the store back to the height, and retires a validator's key. Returns JSON of what was
    /// restored.
    fn prove(&self, py: Python<'_>, chain: &str, key: &StorageKey) -> PyResult<String> {
        let at_rest = at_rest(key, chain)?;
        let prove = || self.staged.lock().as_ref().map(|staged| staged.prove(&at_rest));
        json(&detached(py, prove)?.ok_or_else(settled)?.map_err(backup_error)?)
    }

    /// Puts the home in place.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        let staged = self.staged.lock().take().ok_or_else(settled)?;
        detached(py, || staged.settle())?.map_err(backup_error)
    }
}
