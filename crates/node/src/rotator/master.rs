//! Replacement of the storage key of a running node: the new key's file, the rows, the table files, the journal, and last the
//! old key's file.
//!
//! *Invariants:* what is begun is begun by the two files alone, so that a kill at any step leaves what the next start goes on
//! with; the old key's file goes when nothing of this home is sealed under it any more, and no backup is being made of it.

use super::{RotationStep, Rotator};
use parking_lot::Mutex;
use rustix::fs::FlockOperation;
use rustorium_crypto::keystore::{self, KeystoreError, Passphrase, StorageKeys};
use rustorium_crypto::seal::AtRest;
use rustorium_stages::NodeError;
use rustorium_storage::Journal;
use rustorium_types::ChainId;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

const STORAGE_KEY: &str = "storage.key";
/// Lock that a backup of the home holds.
const BACKUP_LOCK: &str = "run/backup.lock";
/// Interval at which the journal and the lock are checked.
const WAIT: Duration = Duration::from_millis(250);

/// The parts that a replacement of the storage key changes.
pub(super) struct Master {
    home: PathBuf,
    chain: ChainId,
    state: Mutex<MasterState>,
}

#[derive(Default)]
struct MasterState {
    /// The key before is there.
    unfinished: bool,
    /// The new key is in the files, but the store or the journal doesn't use it yet.
    not_taken_over: bool,
    journal: Weak<Journal>,
}

impl Master {
    /// Returns true if the previous key still exists.
    pub(super) fn unfinished(&self) -> bool {
        self.state.lock().unfinished
    }

    fn key_file(&self) -> PathBuf {
        self.home.join(STORAGE_KEY)
    }
}

impl Rotator {
    /// Adds replacements of the storage key of this home, which was opened with these keys.
    pub(crate) fn at(mut self, home: &Path, at_rest: &AtRest) -> Self {
        let state = MasterState { unfinished: at_rest.before().is_some(), ..MasterState::default() };
        self.master = Some(Master { home: home.to_owned(), chain: at_rest.chain(), state: Mutex::new(state) });
        self
    }

    /// Goes on with what was under way before the start.
    pub(crate) fn resume(self: &Arc<Self>, journal: &Arc<Journal>) -> Result<(), NodeError> {
        if let Some(master) = &self.master {
            master.state.lock().journal = Arc::downgrade(journal);
            // A key before that came since this node opened its keys is for the next start.
            if !master.unfinished() && !keystore::before_file(&master.key_file()).exists() {
                // What a cut left of a destroyed key.
                let swept = keystore::discard_before(&master.key_file());
                swept.map_err(|error| NodeError::new("key-invalid", error.to_string()))?;
            }
        }
        self.go_on()
    }

    pub(super) fn go_on(self: &Arc<Self>) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        if self.left() && !state.status.running { self.run(&mut state) } else { Ok(()) }
    }

    /// Makes the new key's file and has store and journal go over to it.
    pub(super) fn begin_master(&self, passphrase: &Passphrase) -> Result<(), String> {
        let Some(master) = &self.master else {
            let why = "the storage key of a node that hosts several shards can't be replaced: host shard 0 alone";
            return Err(why.to_owned());
        };
        let keys = keystore::replace_storage(&master.key_file(), passphrase).map_err(|error| error.to_string())?;
        let journal = {
            let mut state = master.state.lock();
            (state.unfinished, state.not_taken_over) = (true, true);
            state.journal.upgrade()
        };
        self.note("storage key drawn", None);
        let StorageKeys { newest, before } = keys;
        let at_rest = AtRest::rekeyed(newest, before, master.chain);
        let rotation = self.store.rekey(&at_rest).map_err(|error| error.to_string())?;
        if let Some(journal) = journal {
            journal.rekey(&at_rest).map_err(|error| error.to_string())?;
        }
        master.state.lock().not_taken_over = false;
        self.show(&rotation);
        Ok(())
    }

    /// Does the remaining work when all rows are sealed again. Returns true if it is finished, false if the node is
    /// stopping.
    pub(super) fn finish_master(&self) -> Result<bool, String> {
        let Some(master) = self.master.as_ref().filter(|master| master.unfinished()) else { return Ok(true) };
        if master.state.lock().not_taken_over || self.store.rekeying() {
            return Err("the node has not gone over to the new storage key: restart it, which goes on".to_owned());
        }
        self.at_step(RotationStep::Files);
        let mut progress = |files, files_all| {
            let status = &mut self.state.lock().status;
            (status.files, status.files_all) = (files, files_all);
            !self.stopping.load(Ordering::Acquire)
        };
        if !self.store.write_files_anew(&mut progress).map_err(|error| error.to_string())? {
            return Ok(false);
        }
        self.at_step(RotationStep::Journal);
        let under_old =
            || master.state.lock().journal.upgrade().map_or(0, |journal| journal.reader().of_the_key_before());
        if !self.wait_until(|| Ok(under_old() == 0))? {
            return Ok(false);
        }
        self.at_step(RotationStep::Key);
        let mut held = None;
        let lock = || {
            held = lock_backups(&master.home).map_err(|error| format!("run/backup.lock can't be locked: {error}"))?;
            Ok(held.is_some())
        };
        if !self.wait_until(lock)? {
            return Ok(false);
        }
        let destroyed = keystore::discard_before(&master.key_file());
        destroyed.map_err(|error: KeystoreError| error.to_string())?;
        drop(held);
        master.state.lock().unfinished = false;
        Ok(true)
    }

    fn at_step(&self, step: RotationStep) {
        self.state.lock().status.step = step;
    }

    /// False where the node is stopping.
    fn wait_until(&self, mut done: impl FnMut() -> Result<bool, String>) -> Result<bool, String> {
        while !self.stopping.load(Ordering::Acquire) {
            if done()? {
                return Ok(true);
            }
            std::thread::park_timeout(WAIT);
        }
        Ok(false)
    }
}

/// The lock that keeps backups from being made; none where one is.
fn lock_backups(home: &Path) -> std::io::Result<Option<File>> {
    let path = home.join(BACKUP_LOCK);
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
