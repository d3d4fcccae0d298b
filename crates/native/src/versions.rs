//! The versions that this build reads and writes, by name.

use crate::errors::{detached, native_error};
use pyo3::prelude::*;
use rustorium_stages::executor::store_code;
use rustorium_storage::{STORE_FORMAT_1, first_of_version_2};
use std::collections::BTreeMap;
use std::path::Path;

/// Returns versions by name: those of the parts of a home that Rust writes, `backup`, `peer protocol` (the newest),
/// `protocol`.
#[pyfunction]
pub fn versions() -> BTreeMap<&'static str, u32> {
    let others = [
        ("backup", rustorium_backup::FORMAT_MAX),
        ("peer protocol", u32::from(rustorium_transport::SPOKEN.newest)),
        ("protocol", u32::from(rustorium_types::NEWEST_VERSION)),
    ];
    rustorium_storage::FORMATS.into_iter().chain(others).collect()
}

/// Returns the format of the store in a folder, and the first height of version 2 in it. A folder without a store has the
/// format that a new store begins with.
#[pyfunction]
pub fn store_format(py: Python<'_>, folder: &str) -> PyResult<(u32, Option<u64>)> {
    let folder = Path::new(folder);
    if !folder.join("CURRENT").is_file() {
        return Ok((STORE_FORMAT_1, None));
    }
    let first = detached(py, || first_of_version_2(folder))?;
    let first = first.map_err(|error| native_error(store_code(&error), error.to_string()))?;
    let newest = rustorium_storage::FORMATS.iter().find(|(name, _)| *name == "store");
    let newest = newest.map_or(STORE_FORMAT_1, |(_, format)| *format);
    Ok((if first.is_some() { newest } else { STORE_FORMAT_1 }, first.map(|height| height.0)))
}
