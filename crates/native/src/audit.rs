//! The audit log of a node that doesn't run, for whoever acts on its home.

use crate::errors::{detached, native_error};
use pyo3::prelude::*;
use rustorium_crypto::SigningKey;
use rustorium_storage::AuditSink;
use std::path::Path;

/// Appends an event, signed with the node's key, to the audit log in `folder`, which no process has open; on disk when this
/// returns.
#[pyfunction]
pub fn audit_record(py: Python<'_>, folder: &str, node_seed: [u8; 32], event: &str, fields_json: &str) -> PyResult<()> {
    let failed = |why: String| native_error("audit-failed", why);
    let fields = serde_json::from_str(fields_json)
        .map_err(|error| failed(format!("the audit record's fields are not JSON: {error}")))?;
    let write = || {
        let sink = AuditSink::open(Path::new(folder), SigningKey::from_seed(&node_seed))?;
        sink.record(event, fields).map(drop)
    };
    detached(py, write)?.map_err(|error: rustorium_storage::audit::AuditError| failed(error.to_string()))
}
