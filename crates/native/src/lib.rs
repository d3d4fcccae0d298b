//! The only PyO3 crate: wraps the other crates for Python, converts values, and detaches from the interpreter while Rust works.
//!
//! *Invariants:* decides nothing; every call that may take longer than a conversion detaches in `detached`, which also
//! contains panics; Rust threads never take the interpreter's lock; without the feature `node` it links no C++.

mod activation;
mod ceremony;
mod directory;
mod errors;
mod governing;
mod ledger;
mod light;
mod parts;
mod rollup;
mod shards;
#[cfg(feature = "node")]
mod signer;
mod signing_key;
mod storage_key;
mod unsigned;
mod wallet;
mod zk;

#[cfg(feature = "node")]
mod audit;
#[cfg(feature = "node")]
mod backup;
#[cfg(feature = "node")]
mod convert;
#[cfg(feature = "node")]
mod journal;
#[cfg(feature = "node")]
mod load;
#[cfg(feature = "node")]
mod logging;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
mod restart;
#[cfg(feature = "node")]
mod sim;
#[cfg(feature = "node")]
mod sim_forge;
#[cfg(feature = "node")]
mod tls;
#[cfg(feature = "node")]
mod versions;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("NativeError", module.py().get_type::<errors::NativeError>())?;
    module.add_class::<signing_key::SigningKey>()?;
    module.add_class::<storage_key::StorageKey>()?;
    module.add_function(wrap_pyfunction!(storage_key::forbid_core_dumps, module)?)?;
    ledger::register(module)?;
    activation::register(module)?;
    directory::register(module)?;
    module.add_class::<unsigned::UnsignedTransaction>()?;
    module.add_function(wrap_pyfunction!(unsigned::authority_names, module)?)?;
    module.add_function(wrap_pyfunction!(governing::change_hash, module)?)?;
    module.add_function(wrap_pyfunction!(governing::parameters_hash, module)?)?;
    module.add_function(wrap_pyfunction!(governing::seat_number, module)?)?;
    module.add_function(wrap_pyfunction!(governing::system_account, module)?)?;
    module.add_class::<light::Light>()?;
    module.add_class::<shards::Shards>()?;
    module.add_function(wrap_pyfunction!(light::wrap_proof, module)?)?;
    module.add_function(wrap_pyfunction!(light::describe_change, module)?)?;
    module.add_function(wrap_pyfunction!(light::boundary_of, module)?)?;
    module.add_function(wrap_pyfunction!(light::proof_version, module)?)?;
    module.add_function(wrap_pyfunction!(light::signed_header, module)?)?;
    module.add_function(wrap_pyfunction!(light::genesis_state, module)?)?;
    zk::register(module)?;
    wallet::register(module)?;
    ceremony::register(module)?;
    rollup::register(module)?;
    #[cfg(feature = "node")]
    register_node(module)?;
    parts::register(module)?;
    // PyO3 keeps this list of all names, and a stub has to repeat it. Nobody imports `*` from here.
    module.delattr("__all__")
}

/// The names that `parts::NODE` lists.
#[cfg(feature = "node")]
fn register_node(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<node::Host>()?;
    module.add_class::<node::Node>()?;
    signer::register(module)?;
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
    module.add_function(wrap_pyfunction!(versions::versions, module)?)?;
    module.add_function(wrap_pyfunction!(versions::store_format, module)?)?;
    module.add_function(wrap_pyfunction!(load::load_run, module)?)?;
    module.add_function(wrap_pyfunction!(logging::tracing_init, module)?)?;
    module.add_function(wrap_pyfunction!(logging::tracing_write, module)?)?;
    sim::register(module)?;
    sim_forge::register(module)?;
    restart::register(module)
}
