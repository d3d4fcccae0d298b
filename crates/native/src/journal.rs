//! Reading of a stopped node's journal, for its examination.

use crate::errors::{detached, native_error};
use crate::storage_key::StorageKey;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_dataplane::journal_code;
use rustorium_storage::{Durability, Journal};
use rustorium_types::ChainId;
use std::path::Path;

/// Returns the records of the journal in `folder`, which no process has open: position, kind and payload of each, in
/// order.
#[pyfunction]
pub fn read_journal<'py>(
    py: Python<'py>,
    folder: &str,
    chain: &str,
    key: &StorageKey,
) -> PyResult<Vec<(u64, u8, Bound<'py, PyBytes>)>> {
    let chain = ChainId::from_hex(chain).map_err(|error| native_error("chain-invalid", error.to_string()))?;
    let at_rest = key.at_rest(chain);
    let open = || Journal::open(Path::new(folder), Durability::Os, &at_rest, Box::new(|_| {}));
    let (_journal, records) =
        detached(py, open)?.map_err(|error| native_error(journal_code(&error), error.to_string()))?;
    Ok(records.into_iter().map(|r| (r.lsn.0, r.kind as u8, PyBytes::new(py, &r.payload))).collect())
}
