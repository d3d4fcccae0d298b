//! The only PyO3 crate: wraps the Rust rooms for Python, converts, detaches from the interpreter while they work.
//!
//! *Invariants:* decides nothing; every call that may take longer than a conversion detaches in `detached`, which also
//! contains panics; Rust threads never take the interpreter's lock.

mod audit;
mod backup;
mod ceremony;
mod convert;
mod errors;
mod journal;
mod ledger;
mod light;
mod load;
mod logging;
mod node;
mod openapi;
mod restart;
mod rollup;
mod signer;
mod signing_key;
mod sim;
mod sim_forge;
mod storage_key;
mod tls;
mod versions;
mod wallet;
mod zk;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("NativeError", module.py().get_type::<errors::NativeError>())?;
    module.add_class::<node::Node>()?;
    module.add_class::<node::Starting>()?;
    module.add_class::<signing_key::SigningKey>()?;
    module.add_class::<storage_key::StorageKey>()?;
    module.add_function(wrap_pyfunction!(storage_key::forbid_core_dumps, module)?)?;
    module.add_class::<tls::TlsAuthority>()?;
    module.add_function(wrap_pyfunction!(tls::check_tls, module)?)?;
    module.add_class::<backup::Backups>()?;
    module.add_class::<backup::Restoring>()?;
    module.add_function(wrap_pyfunction!(backup::new_backup_key, module)?)?;
    module.add_function(wrap_pyfunction!(backup::replace_backup_key, module)?)?;
    module.add_function(wrap_pyfunction!(backup::copy_store, module)?)?;
    module.add_function(wrap_pyfunction!(journal::read_journal, module)?)?;
    module.add_function(wrap_pyfunction!(audit::audit_record, module)?)?;
    module.add_function(wrap_pyfunction!(audit::audit_record_by, module)?)?;
    module.add_function(wrap_pyfunction!(audit::audit_verify, module)?)?;
    ledger::register(module)?;
    module.add_function(wrap_pyfunction!(versions::versions, module)?)?;
    module.add_function(wrap_pyfunction!(openapi::openapi, module)?)?;
    module.add_class::<light::Light>()?;
    module.add_function(wrap_pyfunction!(light::wrap_proof, module)?)?;
    module.add_function(wrap_pyfunction!(light::describe_change, module)?)?;
    module.add_function(wrap_pyfunction!(light::boundary_of, module)?)?;
    module.add_function(wrap_pyfunction!(light::signed_header, module)?)?;
    module.add_function(wrap_pyfunction!(light::genesis_state, module)?)?;
    module.add_function(wrap_pyfunction!(load::load_run, module)?)?;
    module.add_function(wrap_pyfunction!(logging::tracing_init, module)?)?;
    sim::register(module)?;
    sim_forge::register(module)?;
    zk::register(module)?;
    wallet::register(module)?;
    ceremony::register(module)?;
    restart::register(module)?;
    signer::register(module)?;
    rollup::register(module)?;
    Ok(())
}
