//! The write of a height, and what a store finds of it when it is opened again.
//!
//! *Invariants:* a height's rows, and the note that format 5 begins with it, are one write; what is in memory of it
//! follows after that.

use super::RocksStore;
use super::disk::{opening_failure, row_failure};
use crate::checks::{FINALIZATIONS_RECENT, is_five};
use crate::rows::{self, HeadPlan, Scratch, Table, Trail};
use crate::store::{HeightCommit, StoreError, Tip};
use rocksdb::{DB, Options, WriteBatch};
use rustorium_types::{Certificate, Header, Height, encode_into};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Table files that a look at a store that isn't opened may hold open.
const LOOK_FILES: i32 = 16;

/// Returns the first height of version 2 in the store of a folder; `None` if there is none. No key is needed, and another
/// process may have the store open. Errors: there is no store, or it is damaged.
pub fn first_of_version_2(folder: &Path) -> Result<Option<Height>, StoreError> {
    super::records::check(folder)?;
    let mut options = Options::default();
    options.set_max_open_files(LOOK_FILES); // without a bound, every table file of the store would be opened
    let opened = DB::open_cf_for_read_only(&options, folder, [Table::Meta.name()], false);
    let db = opened.map_err(|e| opening_failure(folder, e.as_ref()))?;
    let row = db.get(rows::FIVE_FROM_PLAIN_KEY);
    let row = row.map_err(|e| row_failure(folder, Table::Meta, rows::FIVE_FROM_PLAIN_KEY, &e))?;
    row.map(|row| rows::decode_plain_height(&row)).transpose()
}

impl RocksStore {
    /// Writes a height's rows. Returns how its first row was written, if they are those of format 5.
    pub(super) fn write(
        &self,
        commit: &HeightCommit,
        (previous, tip): (Option<&Tip>, &Tip),
        scratch: &mut Scratch,
    ) -> Result<Option<HeadPlan>, StoreError> {
        let mut batch = WriteBatch::with_capacity_bytes(expected_bytes(commit));
        let recent = self.recent.read();
        let plan = self.encode(commit, (previous, tip), recent.trail.as_ref(), scratch, &mut batch)?;
        self.commit_bytes.fetch_add(batch.size_in_bytes() as u64, Ordering::Relaxed);
        self.disk.write(batch)?;
        Ok(plan)
    }

    pub(super) fn encode(
        &self,
        commit: &HeightCommit,
        (previous, tip): (Option<&Tip>, &Tip),
        trail: Option<&Trail>,
        scratch: &mut Scratch,
        batch: &mut WriteBatch,
    ) -> Result<Option<HeadPlan>, StoreError> {
        let families = [
            self.disk.family(Table::Meta)?,
            self.disk.family(Table::Log)?,
            self.disk.family(Table::Index)?,
            self.disk.family(Table::State)?,
        ];
        let (sealer, names) = (self.disk.keys.sealer()?, self.disk.keys.names());
        let mut index = IndexRows::default();
        let mut put = |table: Table, key: &[u8], row: &mut Vec<u8>| {
            if table == Table::Index {
                index.push(key, row);
                return Ok(());
            }
            sealer.seal(table, key, row)?;
            batch.put_cf(families[table as usize], key, row);
            Ok(())
        };
        let plan = if is_five(&commit.block.header) {
            let plan = HeadPlan::of(trail, previous.map(|tip| &tip.header), commit);
            rows::encode_height_5(commit, tip, (trail, &plan), names, scratch, &mut put)?;
            Some(plan)
        } else {
            rows::encode_height_4(commit, tip, names, scratch, &mut put)?;
            None
        };
        if plan.is_some() && !self.is_five(tip.height) {
            self.begin_five(batch, tip.height)?;
        }
        index.sorted(|key, row| {
            if !rows::is_plain(Table::Index, key) {
                sealer.seal(Table::Index, key, row)?;
            }
            batch.put_cf(families[Table::Index as usize], key, row);
            Ok(())
        })?;
        Ok(plan)
    }

    /// Notes that format 5 begins at a height, also for older releases, which refuse the store from then on.
    fn begin_five(&self, batch: &mut WriteBatch, height: Height) -> Result<(), StoreError> {
        let mut contents = Vec::new();
        encode_into(&height, &mut contents);
        self.disk.put_sealed(batch, Table::Meta, rows::FIVE_FROM_KEY, &contents)?;
        let meta = self.disk.family(Table::Meta)?;
        batch.put_cf(meta, rows::FIVE_FROM_PLAIN_KEY, rows::plain_height_row(height));
        batch.put_cf(meta, rows::FORMAT_KEY, rows::format_row(rows::FORMAT));
        Ok(())
    }

    /// Notes that no height is in format 5 any more. `forget_five` follows the write.
    pub(super) fn end_five(&self, batch: &mut WriteBatch) -> Result<(), StoreError> {
        let meta = self.disk.family(Table::Meta)?;
        batch.delete_cf(meta, rows::FIVE_FROM_KEY);
        batch.delete_cf(meta, rows::FIVE_FROM_PLAIN_KEY);
        batch.put_cf(meta, rows::FORMAT_KEY, rows::format_row(rows::FORMAT_4));
        Ok(())
    }

    pub(super) fn forget_five(&self) {
        self.five_from.store(u64::MAX, Ordering::Release);
        self.recent.write().begin(None);
        self.walks.lock().clear();
    }

    /// Stores the newest finalization if it is only in memory. Peers that lag are shown it after a restart of all nodes.
    pub(super) fn put_newest_finalization(&self) -> Result<(), StoreError> {
        let Some((height, certificate)) = self.recent.read().unsynced() else { return Ok(()) };
        let _writer = self.writer.lock();
        let (mut batch, mut contents) = (WriteBatch::default(), Vec::new());
        encode_into(&height, &mut contents);
        encode_into(&*certificate, &mut contents);
        self.disk.put_sealed(&mut batch, Table::Meta, rows::NEWEST_FINALIZATION_KEY, &contents)?;
        self.disk.write(batch)?;
        self.recent.write().note_synced(height);
        Ok(())
    }

    fn read_newest_finalization(&self, tip: Height) -> Result<(), StoreError> {
        let key = rows::NEWEST_FINALIZATION_KEY;
        let Some(row) = self.disk.get(Table::Meta, key)? else { return Ok(()) };
        let (height, certificate): (Height, Certificate) = rows::decode_row(Table::Meta, key, &row)?;
        if height <= tip && height.0 + FINALIZATIONS_RECENT > tip.0 {
            self.recent.write().take_synced(height, certificate);
        }
        Ok(())
    }

    /// Takes over a height that was written.
    pub(super) fn follow(&self, commit: &HeightCommit, tip: &Tip, plan: Option<HeadPlan>) {
        let Some(plan) = plan else { return };
        let _ = self.five_from.compare_exchange(u64::MAX, tip.height.0, Ordering::AcqRel, Ordering::Acquire);
        let mut recent = self.recent.write();
        let trail = Trail::commit(recent.trail.take(), commit, tip, &plan);
        recent.add(commit, trail);
    }

    /// Reads the first height in format 5.
    pub(super) fn read_five(&self) -> Result<(), StoreError> {
        let from = match self.disk.get(Table::Meta, rows::FIVE_FROM_KEY)? {
            Some(row) => rows::decode_row::<Height>(Table::Meta, rows::FIVE_FROM_KEY, &row)?.0,
            None => u64::MAX,
        };
        self.five_from.store(from, Ordering::Release);
        Ok(())
    }

    /// Reads the tip of a store with heights in format 5: that of the last first row of a height.
    pub(super) fn read_tip_5(&self) -> Result<Tip, StoreError> {
        let mut keys = self.disk.all_of(Table::Log)?;
        keys.seek_to_last();
        // Rows of the next height's changes may lie above.
        while let Some(key) = keys.key() {
            let height = key.first_chunk().map(|bytes| Height(u64::from_be_bytes(*bytes)));
            let height = height.ok_or_else(|| rows::corrupt(Table::Log, key, "its key's length is wrong".into()))?;
            if let Some(row) = self.head_row(height)? {
                let trail = self.trail_at(height, &row, height)?;
                let (digest, header, result_root) = (trail.digest, Header::clone(&trail.header), trail.result_root());
                let payload_height = trail.payload_height;
                self.recent.write().begin(Some(trail));
                self.read_newest_finalization(height)?;
                return Ok(Tip { height, digest, header, result_root, payload_height });
            }
            keys.seek_for_prev(height.0.to_be_bytes());
        }
        keys.status().map_err(|e| self.disk.row_failure(Table::Log, &[], &e))?;
        let from = Height(self.five_from.load(Ordering::Acquire));
        Err(self.gone(from))
    }
}

/// Unordered rows that are written in the order of their keys: the next row's place in memory is then near.
#[derive(Default)]
struct IndexRows {
    /// Keys and rows, one after the other.
    bytes: Vec<u8>,
    /// For each row: start of its key, start of the row, end of the row.
    places: Vec<[usize; 3]>,
}

impl IndexRows {
    fn push(&mut self, key: &[u8], row: &[u8]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(row);
        self.places.push([at, at + key.len(), self.bytes.len()]);
    }

    fn sorted(mut self, mut put: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.places.sort_unstable_by(|a, b| self.bytes[a[0]..a[1]].cmp(&self.bytes[b[0]..b[1]]));
        let mut row = Vec::new();
        for [key, contents, end] in self.places {
            row.clear();
            row.extend_from_slice(&self.bytes[contents..end]);
            put(&self.bytes[key..contents], &mut row)?;
        }
        Ok(())
    }
}

/// Estimates the bytes of the height's rows, so that the batch grows only once.
fn expected_bytes(commit: &HeightCommit) -> usize {
    let state: usize = commit.diff.iter().map(|w| 112 + w.name.len() + w.value.as_ref().map_or(0, Vec::len)).sum();
    let listed: usize = commit.batches.iter().map(|batch| batch.ids.len()).sum();
    2048 + state + 640 * (listed + commit.inline_ids.len())
}
