//! A copy of an open store at one instant: hard links to its table files, made while the store is written to.
//!
//! *Invariants:* a copy holds a height as a whole or not at all, and the key version of every row in it; the copied
//! store waits for nothing.

use super::RocksStore;
use super::disk::failure;
use crate::files;
use crate::keyfile;
use crate::store::StoreError;
use rocksdb::checkpoint::Checkpoint;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Attempts at a copy. One is repeated if key versions were added or removed meanwhile.
const TRIES: usize = 3;

impl RocksStore {
    /// Copies the store to a folder that must not exist, on the same disk. Errors: a full or failing disk; then the
    /// folder doesn't exist.
    pub fn checkpoint(&self, to: &Path) -> Result<(), StoreError> {
        let failed = |error: io::Error| {
            let path = to.display().to_string();
            let reason = error.to_string();
            if files::is_full(&error) { StoreError::DiskFull { path } } else { StoreError::Io { path, reason } }
        };
        for _ in 0..TRIES {
            let keys = fs::read(self.disk.path.join(keyfile::FILE_NAME)).map_err(failed)?;
            let made = Checkpoint::new(&self.disk.db).and_then(|checkpoint| checkpoint.create_checkpoint(to));
            made.map_err(|error| failure(to, error.as_ref()))?;
            // A version that was added or removed between the two reads may be that of rows in the copy.
            let after = fs::read(self.disk.path.join(keyfile::FILE_NAME)).map_err(failed)?;
            if keys == after {
                return put_keys(to, &keys).map_err(failed);
            }
            fs::remove_dir_all(to).map_err(failed)?;
        }
        let reason = "its keys were replaced again and again; try again".to_owned();
        Err(StoreError::Io { path: to.display().to_string(), reason })
    }
}

fn put_keys(to: &Path, keys: &[u8]) -> io::Result<()> {
    files::private_folder(to)?;
    let mut file = files::private_file().write(true).create_new(true).open(to.join(keyfile::FILE_NAME))?;
    file.write_all(keys)?;
    file.sync_all()?;
    files::sync_folder(to)
}
