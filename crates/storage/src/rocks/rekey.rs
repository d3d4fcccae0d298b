//! Replacement of the master key while the store is in use: a rotation to the new key, and then new table files.
//!
//! *Invariants:* rows of the previous key open until the last of them is sealed again; after a kill between any two
//! writes, the next open continues; after `write_files_anew` no table file and no write-ahead log is in use that was
//! there before it.

use super::RocksStore;
use super::disk::failure;
use super::rotation::Rotation;
use crate::rows::Table;
use crate::store::StoreError;
use rocksdb::{BottommostLevelCompaction, CompactOptions, FlushOptions, LiveFile};
use rustorium_crypto::seal::AtRest;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Passes over all table files: a file that is being compacted otherwise may be left out.
const TRIES: usize = 3;
/// After each file the thread pauses this many times as long as the file took, up to `PAUSE_MAX`.
const PAUSE_TIMES: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl RocksStore {
    /// Switches to another master key, under which everything is sealed from now on. Begins to replace all that is
    /// sealed under the previous one; `rotate_step` does that. Errors: rows of a key before the previous one are left;
    /// the disk.
    pub fn rekey(&self, at_rest: &AtRest) -> Result<Rotation, StoreError> {
        let _writer = self.writer.lock();
        let version = self.disk.keys.adopt(at_rest)?;
        self.begin_rotation(version)
    }

    /// Begins the replacement that a change of `storage.key` asks for, or continues one that a kill interrupted.
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

    /// True if rows of the previous master key may be left.
    pub fn rekeying(&self) -> bool {
        self.disk.keys.first_of_newest().is_some()
    }

    /// Makes RocksDB write all of its files again, so that none of them contains rows that a rotation replaced.
    /// `progress` gets the number of finished files and of all files; `false` stops the work. Returns whether the work
    /// was completed. Errors: the disk, or a file can't be replaced.
    pub fn write_files_anew(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<bool, StoreError> {
        let families = Table::ALL.map(|table| self.disk.family(table)).into_iter().collect::<Result<Vec<_>, _>>()?;
        // The write-ahead log is removed with the rows that it was kept for.
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
                // Compaction of another file may have removed it.
                if files.iter().any(|left| left.name == file.name) {
                    let began = Instant::now();
                    self.write_anew(&file);
                    // One file at a time, with pauses most of the time: commits come first.
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
