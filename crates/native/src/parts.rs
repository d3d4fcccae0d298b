//! The parts that this build of the extension contains, and one sentence for names that it lacks.

use crate::errors::native_error;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Names that only a build with the feature `node` has.
const NODE: [&str; 37] = [
    "Backups",
    "HeldKey",
    "Host",
    "Node",
    "Restoring",
    "SignerProcess",
    "SimChain",
    "SimDisk",
    "SimNode",
    "TlsAuthority",
    "audit_record",
    "audit_record_by",
    "audit_verify",
    "check_tls",
    "copy_store",
    "load_run",
    "new_backup_key",
    "read_journal",
    "replace_backup_key",
    "restart_apply",
    "restart_base",
    "restart_plan",
    "restart_sign",
    "signer_adopt",
    "signer_create",
    "signer_show",
    "signer_signature",
    "signer_transaction",
    "sim_forge_batch",
    "sim_forge_proposal",
    "sim_forge_vote",
    "sim_read_frame",
    "sim_signature_work",
    "store_format",
    "tracing_init",
    "tracing_write",
    "versions",
];

/// Refuses a name that the module lacks: Python calls it after the usual look-up failed (PEP 562).
#[pyfunction]
#[pyo3(name = "__getattr__")]
fn absent(name: &str) -> PyResult<()> {
    if NODE.contains(&name) {
        return Err(native_error(
            "node-missing",
            format!(
                "this needs the node (`{name}`), and this installation is the client alone: on Linux x86-64 or aarch64, \
                 run `RUSTORIUM_BUILD=node pip install .` in a clone, or install the node's wheel"
            ),
        ));
    }
    Err(PyAttributeError::new_err(format!("module 'rustorium._native' has no attribute '{name}'")))
}

/// Adds `has_node`, `node_names`, and the sentence for absent names.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("has_node", cfg!(feature = "node"))?;
    module.add("node_names", PyTuple::new(module.py(), NODE)?)?;
    // `add_function` isn't used, because it would list the function in `__all__`.
    module.setattr("__getattr__", wrap_pyfunction!(absent, module)?)
}
