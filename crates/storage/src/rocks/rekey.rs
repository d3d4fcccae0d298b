//! Replacement of the master key while the store is in use: a rotation under the new key, and then new table files.
//!
//! *Invariants:* rows of the key before open until the last of them is sealed anew; a kill between any two writes is gone on
//! from by the next open; after `write_files_anew` no table file and no log of writes is in use that was there before it.

use super::RocksStore;
use super::disk::failure;
use super::rotation::Rotation;
use crate::rows::Table;
use crate::store::StoreError;
use rocksdb::{BottommostLevelCompaction, CompactOptions, FlushOptions, LiveFile};
use rustorium_crypto::seal::AtRest;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Times that all table files are gone through: one that is being compacted otherwise may be passed over.
const TRIES: usize = 3;
/// A file is followed by a pause so many times as long as it took, up to this.
const PAUSE_TIMES: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl RocksStore {
    /// Goes over to another master key, under which everything is sealed from now on, and begins to replace all that is
    /// sealed under the one before; `rotate_step` does that. Errors: rows of a key before that one are left, the disk.
    pub fn rekey(&self, at_rest: &AtRest) -> Result<Rotation, StoreError> {
        let _writer = self.writer.lock();
        let version = self.disk.keys.adopt(at_rest)?;
        self.begin_rotation(version)
    }

    /// Begins what a change of `storage.key` asks for, or what a kill cut off.
    pub(super) fn go_on_rekeying(&self, at_rest: &AtRest) -> Result<(), StoreError> {
        if self.disk.keys.behind() {
            return self.rekey(at_rest).map(drop);
        }
        let Some(first) = self.disk.keys.first_of_newest() else { return Ok(()) };
        if self.rotation().is_none_or(|rotation| rotation.version < first) {
            let _writer = self.writer.lock();
            self.begin_rotation(first)?;
        }
        Ok(())
    }

    /// Whether rows of the master key before may be left.
    pub fn rekeying(&self) -> bool {
        self.disk.keys.first_of_newest().is_some()
    }

    /// Has RocksDB write all of its files anew, so that rows that a rotation replaced are in none of them. `progress` is
    /// told the files that are done and how many there are; false ends the work. Whether it was done to its end. Errors:
    /// the disk, or a file stays.
    pub fn write_files_anew(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<bool, StoreError> {
        let families = Table::ALL.map(|table| self.disk.family(table)).into_iter().collect::<Result<Vec<_>, _>>()?;
        // The log of writes goes with the rows that it was kept for.
        let flushed = self.disk.db.flush_cfs_opt(&families, &FlushOptions::default());
        flushed.map_err(|error| failure(&self.disk.path, error.as_ref()))?;
        let old: BTreeSet<String> = self.live_files()?.into_iter().map(|file| file.name).collect();
        let left = || -> Result<Vec<LiveFile>, StoreError> {
            Ok(self.live_files()?.into_iter().filter(|file| old.contains(&file.name)).collect())
        };
        for _ in 0..TRIES {
            for file in left()? {
                let files = left()?;
                if !progress((old.len() - files.len()) as u64, old.len() as u64) {
                    return Ok(false);
                }
                // It may have gone together with another one.
                if files.iter().any(|left| left.name == file.name) {
                    let began = Instant::now();
                    self.write_anew(&file);
                    // One at a time, and most of the time none: commits come first.
                    std::thread::park_timeout((PAUSE_TIMES * began.elapsed()).min(PAUSE_MAX));
                }
            }
        }
        if left()?.is_empty() {
            return Ok(true);
        }
        let reason = "table files with replaced rows stay in use, perhaps by a backup that is being made".to_owned();
        Err(StoreError::Io { path: self.disk.path.display().to_string(), reason })
    }

    fn live_files(&self) -> Result<Vec<LiveFile>, StoreError> {
        self.disk.db.live_files().map_err(|error| failure(&self.disk.path, error.as_ref()))
    }

    fn write_anew(&self, file: &LiveFile) {
        let Some(family) = self.disk.db.cf_handle(&file.column_family_name) else { return };
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        let (from, to) = (file.start_key.as_deref(), file.end_key.as_deref());
        self.disk.db.compact_range_cf_opt(family, from, to, &options);
    }
}
