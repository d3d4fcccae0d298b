//! Replacement of the storage key of a running node: the new key's file, the rows, the table files, the journals, and last the
//! old key's file. One storage key seals the stores and journals of all hosted shards.
//!
//! *Invariants:* what is begun is begun by the two files alone, so that a kill at any step leaves what the next start goes on
//! with; the old key's file goes when nothing of any shard of this home is sealed under it any more, and no backup is being
//! made of it.

use super::{Ended, RotationStep, Rotator};
use parking_lot::Mutex;
use rustix::fs::FlockOperation;
use rustorium_crypto::keystore::{self, KeystoreError, Passphrase, StorageKeys};
use rustorium_crypto::seal::AtRest;
use rustorium_stages::NodeError;
use rustorium_storage::Journal;
use rustorium_types::ShardId;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
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

/// The storage key of a home, and the shards that its replacement has still to reach.
pub(crate) struct Master {
    home: PathBuf,
    hosted: BTreeSet<ShardId>,
    state: Mutex<MasterState>,
    /// Held while a new key is drawn: one replacement draws one key for all shards.
    drawing: Mutex<()>,
}

struct MasterState {
    /// The keys that open stores and journals.
    at_rest: AtRest,
    /// Hosted shards that may have data under the previous key. Empty if there is no such key.
    left: BTreeSet<ShardId>,
    /// Keys drawn since the start.
    drawn: u32,
}

/// The parts of one shard that a replacement of the storage key changes.
pub(super) struct ShardKeys {
    shard: ShardId,
    master: Arc<Master>,
    state: Mutex<KeysTaken>,
}

#[derive(Default)]
struct KeysTaken {
    /// `MasterState::drawn` when store and journal went over to the newest key.
    taken: u32,
    /// Store or journal failed to go over to the newest key.
    failed: bool,
    journal: Weak<Journal>,
}

impl Master {
    /// Creates the state of a home whose key file was opened, and which hosts these shards.
    pub(crate) fn new(home: &Path, at_rest: AtRest, hosted: BTreeSet<ShardId>) -> Self {
        let left = if at_rest.before().is_some() { hosted.clone() } else { BTreeSet::new() };
        let state = Mutex::new(MasterState { at_rest, left, drawn: 0 });
        Self { home: home.to_owned(), hosted, state, drawing: Mutex::default() }
    }

    /// Returns the keys that open a store or journal now.
    pub(crate) fn at_rest(&self) -> AtRest {
        self.state.lock().at_rest.clone()
    }

    /// Returns the hosted shards that may have data under the previous key.
    pub(crate) fn left(&self) -> BTreeSet<ShardId> {
        self.state.lock().left.clone()
    }

    /// Returns a shard whose store is in the home and that this node doesn't host.
    pub(crate) fn not_hosted(&self) -> Option<ShardId> {
        let entries = fs::read_dir(self.home.join("shards")).ok()?;
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok().map(ShardId);
        entries.flatten().filter_map(number).find(|shard| !self.hosted.contains(shard))
    }

    /// Returns the keys of a replacement under way, or draws a new key and begins one.
    fn draw(&self, passphrase: &Passphrase, note: impl FnOnce()) -> Result<(AtRest, u32), String> {
        let _one = self.drawing.lock();
        let under_way = |state: &MasterState| (state.at_rest.clone(), state.drawn);
        if !self.left().is_empty() {
            return Ok(under_way(&self.state.lock()));
        }
        let keys = keystore::replace_storage(&self.key_file(), passphrase).map_err(|error| error.to_string())?;
        let StorageKeys { newest, before } = keys;
        let begun = {
            let mut state = self.state.lock();
            state.at_rest = AtRest::rekeyed(newest, before, state.at_rest.chain());
            state.left = self.hosted.clone();
            state.drawn += 1;
            under_way(&state)
        };
        note();
        Ok(begun)
    }

    /// Notes that a shard has nothing under the previous key, unless it is the last one: then that key goes first. Returns
    /// true if others are left.
    fn leave(&self, shard: ShardId) -> bool {
        let mut state = self.state.lock();
        let others = state.left.iter().any(|left| *left != shard);
        if others {
            state.left.remove(&shard);
        }
        others
    }

    fn destroyed(&self) {
        let mut state = self.state.lock();
        state.at_rest = state.at_rest.newest();
        state.left.clear();
    }

    fn key_file(&self) -> PathBuf {
        self.home.join(STORAGE_KEY)
    }
}

impl ShardKeys {
    /// Returns true if this shard may have data under the previous key.
    pub(super) fn unfinished(&self) -> bool {
        self.master.state.lock().left.contains(&self.shard)
    }

    /// Returns true if a replacement is under way that store and journal have gone over to, or failed to: then there is
    /// nothing to begin.
    pub(super) fn begun(&self) -> bool {
        let (master, own) = (self.master.state.lock(), self.state.lock());
        master.left.contains(&self.shard) && (own.failed || own.taken == master.drawn)
    }

    /// Returns the shard's number where the node hosts several.
    pub(super) fn numbered(&self) -> Option<u32> {
        (self.master.hosted.len() > 1).then_some(self.shard.0)
    }
}

impl Rotator {
    /// Adds replacements of the storage key of the shard's home.
    pub(crate) fn at(mut self, master: &Arc<Master>, shard: ShardId) -> Self {
        let taken = KeysTaken { taken: master.state.lock().drawn, ..KeysTaken::default() };
        self.keys = Some(ShardKeys { shard, master: master.clone(), state: Mutex::new(taken) });
        self
    }

    /// Goes on with what was under way before the start.
    pub(crate) fn resume(self: &Arc<Self>, journal: &Arc<Journal>) -> Result<(), NodeError> {
        if let Some(keys) = &self.keys {
            keys.state.lock().journal = Arc::downgrade(journal);
            let key_file = keys.master.key_file();
            // A key before that came since this node opened its keys is for the next start.
            if keys.master.left().is_empty() && !keystore::before_file(&key_file).exists() {
                // What a cut left of a destroyed key.
                let swept = keystore::discard_before(&key_file);
                swept.map_err(|error| NodeError::new("key-invalid", error.to_string()))?;
            }
        }
        self.go_on()
    }

    pub(super) fn go_on(self: &Arc<Self>) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        if self.left() && !state.status.running { self.run(&mut state) } else { Ok(()) }
    }

    /// Makes the new key's file, unless another shard has, and has store and journal go over to it.
    pub(super) fn begin_master(&self, passphrase: &Passphrase) -> Result<(), String> {
        let keys = self.keys.as_ref().ok_or("this store has no storage key of its own")?;
        let (at_rest, drawn) = keys.master.draw(passphrase, || self.note("storage key drawn", None))?;
        let journal = {
            let mut state = keys.state.lock();
            state.failed = true;
            state.journal.upgrade()
        };
        let rotation = self.store.rekey(&at_rest).map_err(|error| error.to_string())?;
        if let Some(journal) = journal {
            journal.rekey(&at_rest).map_err(|error| error.to_string())?;
        }
        let mut state = keys.state.lock();
        (state.taken, state.failed) = (drawn, false);
        drop(state);
        self.show(&rotation);
        Ok(())
    }

    /// Does the remaining work when all rows are sealed again. The last shard destroys the previous key.
    pub(super) fn finish_master(&self) -> Result<Ended, String> {
        let Some(keys) = self.keys.as_ref().filter(|keys| keys.unfinished()) else { return Ok(Ended::Rows) };
        if !keys.begun() || keys.state.lock().failed || self.store.rekeying() {
            return Err("the node has not gone over to the new storage key: restart it, which goes on".to_owned());
        }
        self.at_step(RotationStep::Files);
        let mut progress = |files, files_all| {
            let status = &mut self.state.lock().status;
            (status.files, status.files_all) = (files, files_all);
            !self.stopping.load(Ordering::Acquire)
        };
        if !self.store.write_files_anew(&mut progress).map_err(|error| error.to_string())? {
            return Ok(Ended::Stopped);
        }
        self.at_step(RotationStep::Journal);
        let under_old =
            || keys.state.lock().journal.upgrade().map_or(0, |journal| journal.reader().of_the_key_before());
        if !self.wait_until(|| Ok(under_old() == 0))? {
            return Ok(Ended::Stopped);
        }
        if keys.master.leave(keys.shard) {
            return Ok(Ended::Rows);
        }
        self.at_step(RotationStep::Key);
        if let Some(other) = keys.master.not_hosted() {
            return Err(not_hosted(other));
        }
        let mut held = None;
        let lock = || {
            let locked = lock_backups(&keys.master.home);
            held = locked.map_err(|error| format!("run/backup.lock can't be locked: {error}"))?;
            Ok(held.is_some())
        };
        if !self.wait_until(lock)? {
            return Ok(Ended::Stopped);
        }
        let destroyed = keystore::discard_before(&keys.master.key_file());
        destroyed.map_err(|error: KeystoreError| error.to_string())?;
        drop(held);
        keys.master.destroyed();
        Ok(Ended::Key)
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

/// Returns the sentence about data that a replacement of the storage key can't reach.
pub(crate) fn not_hosted(shard: ShardId) -> String {
    format!(
        "the home has data of shard {shard}, which this node doesn't host, and which may need the previous storage key: host \
         that shard, or move shards/{shard} out of the home, then try again"
    )
}

/// The lock that keeps backups from being made; none where one is.
fn lock_backups(home: &Path) -> std::io::Result<Option<File>> {
    let path = home.join(BACKUP_LOCK);
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
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
