//! The versions that this build reads and writes, by name.

use pyo3::prelude::*;
use std::collections::BTreeMap;

/// Returns versions by name: those of the parts of a home that Rust writes, `backup`, `peer protocol` (the newest),
/// `protocol`.
#[pyfunction]
pub fn versions() -> BTreeMap<&'static str, u32> {
    let others = [
        ("backup", rustorium_backup::FORMAT),
        ("peer protocol", u32::from(rustorium_transport::SPOKEN.newest)),
        ("protocol", u32::from(rustorium_types::NEWEST_VERSION)),
    ];
    rustorium_storage::FORMATS.into_iter().chain(others).collect()
}
