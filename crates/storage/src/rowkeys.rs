//! The keys that seal and open rows: the key versions of one store, and the keyed hash that names are looked up by.
//!
//! *Invariants:* everything sealed here has its key version on disk; a row that doesn't open is an error that names it.

use crate::keyfile::KeyFile;
use crate::rows::{self, Table};
use crate::store::StoreError;
use parking_lot::{Mutex, RwLock};
use rustorium_crypto::seal::{AtRest, FreshSalt, KeyedHash, Opener, Place, Sealer};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The keys of an open store.
pub(crate) struct RowKeys {
    at_rest: Mutex<AtRest>,
    names: KeyedHash,
    opener: Opener,
    file: Mutex<KeyFile>,
    /// Drawn with the first row that this process seals: a process that writes nothing adds no version.
    sealer: RwLock<Option<Arc<Sealer>>>,
    /// The first row that was found damaged.
    damage: OnceLock<StoreError>,
}

impl RowKeys {
    /// Opens the keys of the store in this folder. `new`: the store has no rows yet.
    pub(crate) fn open(folder: &Path, at_rest: &AtRest, new: bool) -> Result<Self, StoreError> {
        let file = KeyFile::open(folder, at_rest, new)?;
        let opener = at_rest.row_opener();
        file.tell(&opener);
        let (names, at_rest) = (file.names()?, Mutex::new(file.at_rest().clone()));
        let (file, sealer, damage) = (Mutex::new(file), RwLock::default(), OnceLock::new());
        Ok(Self { at_rest, names, opener, file, sealer, damage })
    }

    /// True if the newest master key is not adopted yet.
    pub(crate) fn behind(&self) -> bool {
        self.file.lock().behind()
    }

    /// Returns the first version of the newest master key, if rows of the previous one may be left.
    pub(crate) fn first_of_newest(&self) -> Option<u32> {
        self.file.lock().first_of_newest()
    }

    /// Switches to another master key, and draws a version of it that seals everything from now on. Rows sealed under
    /// the previous key still open.
    pub(crate) fn adopt(&self, at_rest: &AtRest) -> Result<u32, StoreError> {
        let mut sealer = self.sealer.write();
        let fresh = FreshSalt::draw()?;
        let salt = fresh.salt();
        let version = self.file.lock().adopt(at_rest, &self.names, &fresh)?;
        self.opener.add_of(at_rest, version, salt);
        *self.at_rest.lock() = at_rest.clone();
        *sealer = Some(Arc::new(at_rest.row_sealer(fresh, version)?));
        Ok(version)
    }

    /// Returns the keyed hash that names are looked up by.
    pub(crate) fn names(&self) -> &KeyedHash {
        &self.names
    }

    /// Returns the present sealer of rows.
    pub(crate) fn sealer(&self) -> Result<RowSealer, StoreError> {
        if let Some(sealer) = &*self.sealer.read() {
            return Ok(RowSealer(sealer.clone()));
        }
        let mut sealer = self.sealer.write();
        if let Some(sealer) = &*sealer {
            return Ok(RowSealer(sealer.clone()));
        }
        Ok(RowSealer(sealer.insert(self.draw()?).clone()))
    }

    /// Draws a new key version, which seals everything from now on.
    pub(crate) fn renew(&self) -> Result<u32, StoreError> {
        let mut sealer = self.sealer.write();
        Ok(sealer.insert(self.draw()?).version())
    }

    /// Removes versions that no row has any more from the file. Rows that were read before still open.
    pub(crate) fn drop_below(&self, version: u32) -> Result<(), StoreError> {
        self.file.lock().drop_below(version)
    }

    /// Key versions in the file.
    #[cfg(test)]
    pub(crate) fn versions(&self) -> Vec<u32> {
        self.file.lock().versions().iter().map(|(version, _)| *version).collect()
    }

    fn draw(&self) -> Result<Arc<Sealer>, StoreError> {
        let fresh = FreshSalt::draw()?;
        let salt = fresh.salt();
        let version = self.file.lock().add(&fresh)?;
        let at_rest = self.at_rest.lock().clone();
        self.opener.add_of(&at_rest, version, salt);
        Ok(Arc::new(at_rest.row_sealer(fresh, version)?))
    }

    /// Opens a row and returns its contents.
    pub(crate) fn open_row(&self, table: Table, key: &[u8], row: &[u8]) -> Result<Vec<u8>, StoreError> {
        let sealed = rows::sealed_part(table, key, row)?;
        let place = place(table, key);
        let opened = self.opener.open(&place, sealed);
        opened.map_err(|error| self.note(rows::corrupt(table, key, error.to_string())))
    }

    /// Remembers the first damage: its reader may be a client that leaves again.
    pub(crate) fn note(&self, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Corrupt { .. }) {
            self.damage.get_or_init(|| error.clone());
        }
        error
    }

    /// The first row that was found damaged since the store was opened.
    pub(crate) fn damage(&self) -> Option<StoreError> {
        self.damage.get().cloned()
    }
}

/// Seals rows under one key version.
#[derive(Clone)]
pub(crate) struct RowSealer(Arc<Sealer>);

impl RowSealer {
    /// Seals a row that `rows::start_row` began, in place.
    pub(crate) fn seal(&self, table: Table, key: &[u8], row: &mut Vec<u8>) -> Result<(), StoreError> {
        Ok(self.0.seal(&place(table, key), row, rows::SEAL_AT)?)
    }
}

fn place(table: Table, key: &[u8]) -> Place<'_> {
    Place { table: table as u8, format: rows::ROW_VERSION, key }
}
