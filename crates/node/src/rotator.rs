//! Rotation of the storage keys, on a thread of its own that takes turns with commits.
//!
//! *Invariants:* one rotation at a time; one that a stop or a kill interrupted goes on at the next start; what it can't do
//! stops the rotation, never the node; a replaced storage key is destroyed last.

mod master;

use crate::guarded::PANICKED;
use master::ShardKeys;
pub(crate) use master::{Master, not_hosted};
use parking_lot::Mutex;
use rustorium_crypto::keystore::Passphrase;
use rustorium_stages::NodeError;
use rustorium_stages::contained::contained;
use rustorium_storage::{AuditSink, RocksStore, Rotation};
use rustorium_types::ShardId;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A step is followed by a pause so many times as long as itself, within these: commits and votes come first.
const PAUSE_TIMES: u32 = 9;
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Stage of a rotation, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotationStep {
    /// Rows are sealed anew.
    #[default]
    Rows,
    /// Table files that have replaced rows are written anew.
    Files,
    /// The safety journal lets go of its segments under the key before, as it moves on.
    Journal,
    /// The key before is destroyed, once no backup is being made that needs it.
    Key,
}

/// Progress of a rotation, for the operator.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct RotationStatus {
    /// True while it runs.
    pub running: bool,
    /// True if the storage key itself is being replaced.
    pub master: bool,
    /// The rotation's stage.
    pub step: RotationStep,
    /// Rows looked at.
    pub rows: u64,
    /// About as many there were when it began.
    pub rows_about: u64,
    /// Table files written anew.
    pub files: u64,
    /// Table files to be written anew.
    pub files_all: u64,
    /// Reason why it stopped early, until the next one begins.
    pub failed: Option<String>,
}

impl RotationStatus {
    /// Returns the status of the rotations of several shards as one: it runs while any of them does, at the stage of the one
    /// that is furthest behind.
    pub(crate) fn of_all(statuses: &[(ShardId, Self)]) -> Self {
        if let [(_, only)] = statuses {
            return only.clone();
        }
        let mut all = Self::default();
        let mut step = None;
        for (shard, status) in statuses {
            if status.running {
                step = Some(step.map_or(status.step, |step: RotationStep| step.min(status.step)));
            }
            all.running |= status.running;
            all.master |= status.master;
            (all.rows, all.rows_about) = (all.rows + status.rows, all.rows_about + status.rows_about);
            (all.files, all.files_all) = (all.files + status.files, all.files_all + status.files_all);
            let failed = status.failed.as_ref().map(|why| format!("shard {shard}: {why}"));
            all.failed = all.failed.or(failed);
        }
        Self { step: step.unwrap_or_default(), ..all }
    }
}

/// Runs rotations.
pub struct Rotator {
    store: Arc<RocksStore>,
    audit: Arc<AuditSink>,
    stopping: Arc<AtomicBool>,
    keys: Option<ShardKeys>,
    state: Mutex<State>,
}

/// The end of a rotation that didn't fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The node is stopping.
    Stopped,
    /// The shard's part is done.
    Rows,
    /// All is done, and the previous storage key is destroyed.
    Key,
}

#[derive(Default)]
struct State {
    status: RotationStatus,
    wanted: Option<RotationOrder>,
    thread: Option<JoinHandle<()>>,
}

/// The rotation to begin.
enum RotationOrder {
    /// A new key version.
    Rows,
    /// A new storage key, in a file under this passphrase.
    Master(Passphrase),
}

impl Rotator {
    pub(crate) fn new(store: Arc<RocksStore>, audit: Arc<AuditSink>, stopping: Arc<AtomicBool>) -> Self {
        Self { store, audit, stopping, keys: None, state: Mutex::default() }
    }

    /// Has a new key version drawn and all older ones replaced, without waiting: `status` tells what becomes of it. Errors:
    /// a rotation is under way.
    pub fn rotate(self: &Arc<Self>) -> Result<(), NodeError> {
        self.begin(RotationOrder::Rows)
    }

    /// Has the storage key replaced, without waiting. One that stopped short is gone on with. Errors: a rotation is under
    /// way, or the node didn't take over the last new key.
    pub fn replace_master(self: &Arc<Self>, passphrase: Passphrase) -> Result<(), NodeError> {
        self.begin(RotationOrder::Master(passphrase))
    }

    fn begin(self: &Arc<Self>, wanted: RotationOrder) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        refuse_second(&state.status)?;
        let begun = self.keys.as_ref().is_some_and(ShardKeys::begun);
        if !matches!(wanted, RotationOrder::Master(_)) || !begun {
            state.wanted = Some(wanted);
        }
        self.run(&mut state)
    }

    /// Errors: a rotation is under way.
    pub(crate) fn refuse_second(&self) -> Result<(), NodeError> {
        refuse_second(&self.state.lock().status)
    }

    /// Returns true if a rotation of an earlier start, or one that stopped early, is unfinished.
    fn left(&self) -> bool {
        self.store.rotation().is_some() || self.keys.as_ref().is_some_and(ShardKeys::unfinished)
    }

    /// Returns the progress.
    pub fn status(&self) -> RotationStatus {
        self.state.lock().status.clone()
    }

    /// Waits for the thread, which ends after its step once the node is stopping.
    pub(crate) fn join(&self) {
        let thread = self.state.lock().thread.take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!(event = "thread_panicked");
            }
        }
    }

    fn run(self: &Arc<Self>, state: &mut State) -> Result<(), NodeError> {
        let own = self.clone();
        let work = move || {
            if contained("rotation", || own.work()).is_none() {
                let mut state = own.state.lock();
                (state.status.running, state.status.failed) = (false, Some(PANICKED.to_owned()));
            }
        };
        let spawned = std::thread::Builder::new().name("rotate".into()).spawn(work);
        let failed = |error| NodeError::new("system", format!("can't start the rotation's thread: {error}"));
        state.thread = Some(spawned.map_err(failed)?);
        let master = matches!(state.wanted, Some(RotationOrder::Master(_)))
            || self.keys.as_ref().is_some_and(ShardKeys::unfinished);
        state.status = RotationStatus { running: true, master, ..RotationStatus::default() };
        Ok(())
    }

    fn work(&self) {
        let ended = self.rotate_all();
        let mut state = self.state.lock();
        state.status.running = false;
        let event = match &ended {
            Ok(Ended::Stopped) => return,
            Ok(Ended::Key) => "storage key replaced",
            Ok(Ended::Rows) => "keys rotated",
            Err(_) => "key rotation failed",
        };
        state.status.failed = ended.err();
        let reason = state.status.failed.clone();
        drop(state);
        self.note(event, reason.as_deref());
    }

    fn rotate_all(&self) -> Result<Ended, String> {
        let wanted = self.state.lock().wanted.take();
        match wanted {
            Some(RotationOrder::Rows) => self.show(&self.store.rotate().map_err(|error| error.to_string())?),
            Some(RotationOrder::Master(passphrase)) => self.begin_master(&passphrase)?,
            None => {}
        }
        while !self.stopping.load(Ordering::Acquire) {
            let start = Instant::now();
            let Some(rotation) = self.store.rotate_step().map_err(|error| error.to_string())? else {
                return self.finish_master();
            };
            self.show(&rotation);
            std::thread::park_timeout((PAUSE_TIMES * start.elapsed()).clamp(PAUSE_MIN, PAUSE_MAX));
        }
        Ok(Ended::Stopped)
    }

    fn show(&self, rotation: &Rotation) {
        let status = &mut self.state.lock().status;
        (status.rows, status.rows_about) = (rotation.rows, rotation.rows_about);
    }

    fn note(&self, event: &str, reason: Option<&str>) {
        tracing::info!(event, reason);
        let mut fields = serde_json::json!({ "reason": reason });
        if let Some(shard) = self.keys.as_ref().and_then(ShardKeys::numbered) {
            fields["shard"] = shard.into();
        }
        if let Err(error) = self.audit.record(event, fields) {
            tracing::error!(event = "audit_failed", reason = %error);
        }
    }
}

fn refuse_second(status: &RotationStatus) -> Result<(), NodeError> {
    if !status.running {
        return Ok(());
    }
    let RotationStatus { rows, rows_about, .. } = status;
    let said = format!(
        "a rotation is under way ({rows} rows of about {rows_about}): wait for its end, which `rustorium-node keys rotation` \
         shows, then try again"
    );
    Err(NodeError::new("rotation-running", said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_crypto::SigningKey;
    use rustorium_crypto::seal::{AtRest, MasterKey};
    use rustorium_storage::{StoreConfig, TreeStore};
    use rustorium_types::{ChainId, Height};

    fn opened(folder: &std::path::Path) -> (Arc<RocksStore>, Arc<Rotator>) {
        let keys = AtRest::new(Arc::new(MasterKey::from_secret(&[1; 32]).unwrap()), ChainId::ZERO);
        let store = Arc::new(RocksStore::open(&folder.join("db"), &StoreConfig::default(), &keys).unwrap());
        let audit = AuditSink::open(&folder.join("audit"), SigningKey::from_seed(&[2; 32])).unwrap();
        (store.clone(), Arc::new(Rotator::new(store, Arc::new(audit), Arc::default())))
    }

    fn fill(store: &RocksStore) {
        let rows: Vec<_> = (0..5000u16).map(|n| (n.to_be_bytes().to_vec(), Some(vec![7; 100]))).collect();
        store.fold_tree(Height(0), &rows).unwrap();
    }

    /// Until the thread has nothing left to do: it ends by itself.
    fn wait(rotator: &Rotator) {
        let thread = rotator.state.lock().thread.take();
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn it_runs_to_its_end_and_can_run_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, rotator) = opened(folder.path());
        fill(&store);
        assert_eq!(rotator.status(), RotationStatus::default());
        for _ in 0..2 {
            rotator.rotate().unwrap();
            wait(&rotator);
            let status = rotator.status();
            assert!(!status.running && status.failed.is_none() && status.rows >= 5000, "{status:?}");
            assert_eq!(store.rotation(), None);
        }
        let row = store.tree_rows(&[vec![0, 9]]).unwrap();
        assert_eq!(row, [Some(vec![7; 100])]);
    }

    #[test]
    fn a_second_one_is_refused_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let (_, rotator) = opened(folder.path());
        rotator.state.lock().status.running = true;
        let refused = [rotator.rotate(), rotator.replace_master(Passphrase::of(b"p"))].map(|r| r.unwrap_err());
        for error in refused {
            assert_eq!(error.code, "rotation-running");
            assert!(error.sentence.contains("wait for its end"), "{}", error.sentence);
        }
    }

    #[test]
    fn a_stop_interrupts_it_and_the_next_start_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (store, rotator) = opened(folder.path());
        fill(&store);
        store.rotate().unwrap();
        rotator.stopping.store(true, Ordering::Release);
        rotator.go_on().unwrap();
        rotator.join();
        assert!(store.rotation().is_some());
        drop((store, rotator));
        let (store, rotator) = opened(folder.path());
        rotator.go_on().unwrap();
        wait(&rotator);
        assert_eq!((store.rotation(), rotator.status().running), (None, false));
        rotator.go_on().unwrap();
        assert!(rotator.state.lock().thread.is_none(), "nothing was left to do");
    }
}
