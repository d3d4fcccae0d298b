//! State values in RocksDB: a row for each height that wrote a leaf, newest first.
//!
//! *Invariants:* the value after a height is the first row at or after (leaf, height): the newest values, those of a
//! root and those of any kept height are read in the same way.

use super::disk::Disk;
use crate::history::{
    StoredValue, Version, VersionLimits, Versions, Walk, WalkCollector, WalkOutcome, collect_versions,
};
use crate::rows::{self, STATE_KEY_BYTES, Table};
use crate::store::StoreError;
use rocksdb::{DBRawIterator, ReadOptions};
use rustorium_types::{Height, LimitedValue, StateKey};

/// Rows of one leaf that are stepped over before its end is searched: a search costs as much as several steps.
const STEPS_MAX: usize = 4;

impl Disk {
    /// Returns a leaf's contents after a height. The caller checks that the height is kept.
    pub(super) fn leaf(&self, key: &StateKey, height: Height) -> Result<Option<StoredValue>, StoreError> {
        let from = rows::version_key(key, height);
        match self.first(Table::State, STATE_KEY_BYTES, &from)? {
            Some((row, contents)) => rows::decode_leaf(&row, contents),
            None => Ok(None),
        }
    }

    /// Returns a leaf's newest value if it has at most `bytes_max` bytes. The row of a longer one is not opened, unless
    /// only the length of the leaf's name decides.
    pub(super) fn leaf_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StoreError> {
        let from = rows::version_key(key, Height(u64::MAX));
        let found = self.first_sealed(Table::State, STATE_KEY_BYTES, &from, |row, sealed| {
            if rows::value_bytes_least(sealed.len()) > bytes_max {
                return Ok(Some(LimitedValue::Longer));
            }
            let leaf = rows::decode_leaf(row, self.keys.open_row(Table::State, row, sealed)?)?;
            Ok(leaf.map(|leaf| LimitedValue::of(leaf.value, bytes_max)))
        });
        found.map(Option::flatten)
    }

    /// Returns a leaf's versions of the height `from` and below. The caller checks that `from` is kept.
    pub(super) fn versions(&self, key: &StateKey, from: Height, limits: VersionLimits) -> Result<Versions, StoreError> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let mut rows = self.db.raw_iterator_cf_opt(self.family(Table::State)?, options);
        rows.seek(rows::version_key(key, from));
        let next = || -> Option<Result<Version, StoreError>> {
            let version = rows.item().filter(|(row, _)| is_of(row, key)).map(|(row, sealed)| {
                let (_, height) = rows::version_of_leaf(row)?;
                let contents = self.keys.open_row(Table::State, row, sealed)?;
                Ok(Version { height, leaf: rows::decode_leaf(row, contents)? })
            });
            match version {
                Some(version) => {
                    rows.next();
                    Some(version)
                }
                None => rows.status().err().map(|e| Err(self.row_failure(Table::State, &key.to_bytes(), &e))),
            }
        };
        collect_versions(std::iter::from_fn(next), limits, || self.floor())
    }

    /// Returns leaves after a height. The caller checks that the height is kept.
    pub(super) fn walk(&self, height: Height, walk: &Walk<'_>) -> Result<WalkOutcome, StoreError> {
        let mut found = WalkCollector::new(walk);
        let mut rows = self.all_of(Table::State)?;
        rows.seek(rows::version_key(&walk.from, Height(u64::MAX)));
        while let Some(key) = rows.key() {
            let (leaf, newest) = rows::version_of_leaf(key)?;
            if !found.look(&leaf) {
                break;
            }
            if newest > height {
                rows.seek(rows::version_key(&leaf, height));
            }
            if let Some((key, row)) = rows.item().filter(|(key, _)| is_of(key, &leaf)) {
                let contents = self.keys.open_row(Table::State, key, row)?;
                if let Some(value) = rows::decode_leaf(key, contents)? {
                    found.take(leaf, value);
                }
                step_over(&mut rows, &leaf);
            }
        }
        rows.status().map_err(|e| self.row_failure(Table::State, &walk.from.to_bytes(), &e))?;
        Ok(found.end())
    }
}

fn is_of(key: &[u8], leaf: &StateKey) -> bool {
    key.starts_with(&leaf.to_bytes())
}

/// Moves to the first row of the next leaf.
fn step_over(rows: &mut DBRawIterator<'_>, leaf: &StateKey) {
    for _ in 0..STEPS_MAX {
        rows.next();
        if !rows.key().is_some_and(|key| is_of(key, leaf)) {
            return;
        }
    }
    rows.seek(rows::version_key(leaf, Height(0)));
    if rows.key().is_some_and(|key| is_of(key, leaf)) {
        rows.next();
    }
}
