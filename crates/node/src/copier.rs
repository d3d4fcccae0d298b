//! Copies of the store for backups, on a thread of its own: the node goes on meanwhile.
//!
//! *Invariants:* one copy at a time; what it can't do stops the copy, never the node.

use crate::guarded::PANICKED;
use parking_lot::Mutex;
use rustorium_stages::NodeError;
use rustorium_stages::contained::contained;
use rustorium_storage::RocksStore;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Path of the copy within a home.
const COPY: &str = "checkpoint";

/// Status of the newest copy.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct CopyStatus {
    /// True while the copy is being made.
    pub running: bool,
    /// Reason why there is no copy.
    pub failed: Option<String>,
}

/// Makes copies.
pub struct Copier {
    store: Arc<RocksStore>,
    to: PathBuf,
    state: Mutex<(CopyStatus, Option<JoinHandle<()>>)>,
}

impl Copier {
    pub(crate) fn new(store: Arc<RocksStore>, home: &std::path::Path) -> Self {
        Self { store, to: home.join(COPY), state: Mutex::default() }
    }

    /// Has the store copied to the home's folder `checkpoint`, which must not exist, without waiting: `status` tells what
    /// becomes of it. Errors: a copy is being made, or the system has no thread.
    pub fn copy(self: &Arc<Self>) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        if state.0.running {
            return Err(NodeError::new("busy", "the store is being copied: wait for the end of that, then try again"));
        }
        let own = self.clone();
        let work = move || {
            let copied = contained("copy", || own.store.checkpoint(&own.to));
            let failed = copied.map_or_else(|| Some(PANICKED.to_owned()), |done| done.err().map(|e| e.to_string()));
            tracing::info!(event = "store_copied", failed);
            own.state.lock().0 = CopyStatus { running: false, failed };
        };
        let failed = |error| NodeError::new("system", format!("can't start the copy's thread: {error}"));
        state.1 = Some(std::thread::Builder::new().name("copy".into()).spawn(work).map_err(failed)?);
        state.0 = CopyStatus { running: true, failed: None };
        Ok(())
    }

    /// Returns the status of the newest copy.
    pub fn status(&self) -> CopyStatus {
        self.state.lock().0.clone()
    }

    /// Waits for the thread.
    pub(crate) fn join(&self) {
        let thread = self.state.lock().1.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(event = "thread_panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_crypto::seal::{AtRest, MasterKey};
    use rustorium_storage::StoreConfig;
    use rustorium_types::ChainId;

    #[test]
    fn a_copy_is_made_once_and_a_failure_is_said() {
        let home = tempfile::tempdir().unwrap();
        let keys = AtRest::new(Arc::new(MasterKey::from_secret(&[1; 32]).unwrap()), ChainId::ZERO);
        let store = Arc::new(RocksStore::open(&home.path().join("db"), &StoreConfig::default(), &keys).unwrap());
        let copier = Arc::new(Copier::new(store, home.path()));
        assert_eq!(copier.status(), CopyStatus::default());
        copier.copy().unwrap();
        copier.join();
        assert_eq!(copier.status(), CopyStatus::default());
        assert!(home.path().join("checkpoint/CURRENT").exists());
        copier.copy().unwrap();
        copier.join();
        assert!(copier.status().failed.is_some(), "the folder is there already");
    }
}
