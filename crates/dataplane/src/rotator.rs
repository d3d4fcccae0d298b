//! Rotation of the storage keys, on a thread of its own that takes turns with commits.
//!
//! *Invariants:* one rotation at a time; one that a stop or a kill interrupted goes on at the next start; what it can't do
//! stops the rotation, never the node.

use crate::guarded::{PANICKED, contained};
use crate::node::NodeError;
use parking_lot::Mutex;
use rustorium_storage::{AuditSink, RocksStore, Rotation, StoreError};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A step is followed by a pause as long as itself, within these.
const PAUSE_MIN: Duration = Duration::from_micros(200);
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// How far a rotation has come, for the operator.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct RotationStatus {
    /// Whether rows are being sealed anew.
    pub running: bool,
    /// Rows looked at.
    pub rows: u64,
    /// About as many there were when it began.
    pub rows_about: u64,
    /// Why it stopped short, until the next one begins.
    pub failed: Option<String>,
}

/// Runs rotations.
pub struct Rotator {
    store: Arc<RocksStore>,
    audit: Arc<AuditSink>,
    stopping: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    status: RotationStatus,
    /// A new key version is to be drawn.
    wanted: bool,
    thread: Option<JoinHandle<()>>,
}

impl Rotator {
    pub(crate) fn new(store: Arc<RocksStore>, audit: Arc<AuditSink>, stopping: Arc<AtomicBool>) -> Self {
        Self { store, audit, stopping, state: Mutex::default() }
    }

    /// Has a new key version drawn and all older ones replaced, without waiting: `status` tells what becomes of it. One
    /// that is under way starts over.
    pub fn rotate(self: &Arc<Self>) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        state.wanted = true;
        self.run(&mut state)
    }

    /// Goes on with what was under way before the start.
    pub(crate) fn resume(self: &Arc<Self>) -> Result<(), NodeError> {
        if self.store.rotation().is_some() { self.run(&mut self.state.lock()) } else { Ok(()) }
    }

    /// How far it has come.
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
        if !state.status.running {
            let own = self.clone();
            let work = move || {
                if contained("rotation", || own.steps()).is_none() {
                    let mut state = own.state.lock();
                    (state.status.running, state.status.failed) = (false, Some(PANICKED.to_owned()));
                }
            };
            let spawned = std::thread::Builder::new().name("rotate".into()).spawn(work);
            let failed = |error| NodeError::new("system", format!("can't start the rotation's thread: {error}"));
            state.thread = Some(spawned.map_err(failed)?);
        }
        state.status = RotationStatus { running: true, ..RotationStatus::default() };
        Ok(())
    }

    fn step(&self) -> Result<Option<Rotation>, StoreError> {
        let wanted = std::mem::take(&mut self.state.lock().wanted);
        if wanted { self.store.rotate().map(Some) } else { self.store.rotate_step() }
    }

    fn steps(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            let start = Instant::now();
            let step = self.step();
            let mut state = self.state.lock();
            match step {
                Ok(Some(Rotation { rows, rows_about, .. })) => {
                    state.status = RotationStatus { running: true, rows, rows_about, failed: None };
                }
                Ok(None) if state.wanted => {}
                Ok(None) => {
                    state.status.running = false;
                    drop(state);
                    return self.note("keys rotated", None);
                }
                Err(error) => {
                    state.status.running = false;
                    state.status.failed = Some(error.to_string());
                    drop(state);
                    return self.note("key rotation failed", Some(&error));
                }
            }
            drop(state);
            std::thread::park_timeout(start.elapsed().clamp(PAUSE_MIN, PAUSE_MAX));
        }
    }

    fn note(&self, event: &str, error: Option<&StoreError>) {
        let reason = error.map(ToString::to_string);
        tracing::info!(event, reason);
        if let Err(error) = self.audit.record(event, serde_json::json!({ "reason": reason })) {
            tracing::error!(event = "audit_failed", reason = %error);
        }
    }
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
            rotator.rotate().unwrap();
            assert!(rotator.status().running);
            wait(&rotator);
            let status = rotator.status();
            assert!(!status.running && status.failed.is_none() && status.rows >= 5000, "{status:?}");
            assert_eq!(store.rotation(), None);
        }
        let row = store.tree_rows(&[vec![0, 9]]).unwrap();
        assert_eq!(row, [Some(vec![7; 100])]);
    }

    #[test]
    fn a_stop_interrupts_it_and_the_next_start_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (store, rotator) = opened(folder.path());
        fill(&store);
        store.rotate().unwrap();
        rotator.stopping.store(true, Ordering::Release);
        rotator.resume().unwrap();
        rotator.join();
        assert!(store.rotation().is_some());
        drop((store, rotator));
        let (store, rotator) = opened(folder.path());
        rotator.resume().unwrap();
        wait(&rotator);
        assert_eq!((store.rotation(), rotator.status().running), (None, false));
        rotator.resume().unwrap();
        assert!(rotator.state.lock().thread.is_none(), "nothing was left to do");
    }
}
