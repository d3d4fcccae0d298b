//! The state tree's tables, made once per machine and shared by its processes.

use crate::error::NodeError;
use rustorium_state::host::open_table;
use rustorium_state::tables::Tables;
use std::fs;
use std::path::{Path, PathBuf};

/// Width of the state tree's tables, bits. At 10 they take 200 MiB, once per machine and shared.
const TABLE_WIDTH: u32 = 10;

/// Opens the state tree's tables in the user's cache folder (`XDG_CACHE_HOME`), or in `home` for a user without one.
/// Errors: they can be neither read nor made there.
pub fn open_tables(home: &Path) -> Result<Tables, NodeError> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let folder = cache.unwrap_or_else(|| home.to_owned()).join("rustorium");
    let failed = |sentence: String| NodeError::new("state-tables-failed", sentence);
    fs::create_dir_all(&folder)
        .map_err(|error| failed(format!("can't make {} ({error}); name another XDG_CACHE_HOME", folder.display())))?;
    open_table(&folder, TABLE_WIDTH).map_err(|error| failed(error.to_string()))
}
