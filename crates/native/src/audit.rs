//! A node's audit log, for acting on its home while it doesn't run, and for checking the log.

use crate::errors::{detached, native_error};
use crate::signing_key::SigningKey as OpenedKey;
use pyo3::prelude::*;
use rustorium_crypto::SigningKey;
use rustorium_storage::AuditSink;
use rustorium_storage::audit::{Head, verify_lines};
use rustorium_types::Hash;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Appends an event, signed with the node's key, to the audit log in `folder`, which no process has open. The event is
/// on disk when this returns.
#[pyfunction]
pub fn audit_record(py: Python<'_>, folder: &str, node_seed: [u8; 32], event: &str, fields_json: &str) -> PyResult<()> {
    append(py, folder, SigningKey::from_seed(&node_seed), event, fields_json)
}

/// Does what `audit_record` does, with an opened key.
#[pyfunction]
pub fn audit_record_by(py: Python<'_>, folder: &str, key: &OpenedKey, event: &str, fields_json: &str) -> PyResult<()> {
    append(py, folder, key.shared(), event, fields_json)
}

fn append(py: Python<'_>, folder: &str, key: SigningKey, event: &str, fields_json: &str) -> PyResult<()> {
    let failed = |why: String| native_error("audit-failed", why);
    let fields = serde_json::from_str(fields_json)
        .map_err(|error| failed(format!("the fields of the audit record are not valid JSON: {error}")))?;
    let write = || {
        let sink = AuditSink::open(Path::new(folder), key)?;
        sink.record(event, fields).map(drop)
    };
    detached(py, write)?.map_err(|error: rustorium_storage::audit::AuditError| failed(error.to_string()))
}

/// Checks every line of an audit log under its node's public key, and that it holds the line that `anchor` (seq, hash)
/// names. Returns the number of lines, the hash of the last, and first and last time in Unix ms; zeros for an empty
/// log.
#[pyfunction]
#[pyo3(signature = (path, node_key, anchor=None))]
pub fn audit_verify(
    py: Python<'_>,
    path: &str,
    node_key: [u8; 32],
    anchor: Option<(u64, [u8; 32])>,
) -> PyResult<(u64, [u8; 32], u64, u64)> {
    let anchor = anchor.map(|(seq, hash)| Head { seq, hash: Hash(hash) });
    let check = || {
        let file =
            File::open(path).map_err(|error| native_error("not-found", format!("{path} can't be read: {error}")))?;
        verify_lines(BufReader::new(file), &node_key, anchor.as_ref())
            .map_err(|fault| native_error("audit-refused", format!("{path}: {fault}; keep it as evidence")))
    };
    let summary = detached(py, check)??;
    Ok((summary.head.seq, summary.head.hash.0, summary.first_ts_ms, summary.last_ts_ms))
}
