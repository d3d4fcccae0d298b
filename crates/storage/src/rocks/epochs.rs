//! Rows of epochs and of the committee record in RocksDB.

use super::RocksStore;
use crate::epochs::EpochStore;
use crate::rows::{self, Table};
use crate::store::StoreError;
use rocksdb::{Direction, IteratorMode, WriteBatch};
use rustorium_types::{Epoch, EpochTransition, Height, encode};

pub(super) const EPOCH_PREFIX: &[u8] = b"epoch-end/";
pub(super) const RECORD_PREFIX: &[u8] = b"committee/";

pub(super) fn row_key(prefix: &[u8], number: u64) -> Vec<u8> {
    [prefix, &number.to_be_bytes()].concat()
}

impl EpochStore for RocksStore {
    fn epoch(&self, epoch: Epoch) -> Result<Option<EpochTransition>, StoreError> {
        let key = row_key(EPOCH_PREFIX, epoch.0);
        self.disk.get(Table::Meta, &key)?.map(|row| rows::decode_row(Table::Meta, &key, &row)).transpose()
    }

    fn put_epoch(&self, change: &EpochTransition) -> Result<(), StoreError> {
        self.put_row(&row_key(EPOCH_PREFIX, change.epoch().0), &encode(change))
    }

    fn committee_record(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        let key = row_key(RECORD_PREFIX, height.0);
        let mode = IteratorMode::From(&key, Direction::Reverse);
        let newest = self.disk.db.iterator_cf(self.disk.family(Table::Meta)?, mode).next();
        let Some(found) = newest else { return Ok(None) };
        let (key, row) = found.map_err(|error| self.disk.row_failure(Table::Meta, &key, &error))?;
        if !key.starts_with(RECORD_PREFIX) {
            return Ok(None);
        }
        self.disk.keys.open_row(Table::Meta, &key, &row).map(Some)
    }

    fn put_committee_record(&self, height: Height, record: &[u8]) -> Result<(), StoreError> {
        self.put_row(&row_key(RECORD_PREFIX, height.0), record)
    }
}

impl RocksStore {
    fn put_row(&self, key: &[u8], contents: &[u8]) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let mut batch = WriteBatch::default();
        self.disk.put_sealed(&mut batch, Table::Meta, key, contents)?;
        self.disk.write(batch)
    }
}
