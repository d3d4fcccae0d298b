//! `Node`: a validator's data plane as Python sees it.

use crate::convert::{Vocabulary, effect};
use crate::errors::{detached, native_error};
use crate::storage_key::StorageKey;
use pyo3::prelude::*;
use pyo3::types::PyList;
use rustorium_crypto::seal::MasterKey;
use rustorium_dataplane::config::NodeConfig;
use rustorium_dataplane::statesync::OfferNote;
use rustorium_dataplane::{Node as Inner, NodeError, StartStopper};
use rustorium_gateway::Backend;
use rustorium_gateway::json::StatusAnswer;
use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often signals are looked for while the node starts.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// A validator's data plane: store, journal, links, gateway, and the threads that run them.
#[pyclass(frozen, module = "rustorium._native")]
pub struct Node {
    inner: Inner,
    vocabulary: Vocabulary,
}

fn node_error(error: NodeError) -> PyErr {
    native_error(error.code, error.sentence)
}

fn snapshot_json(note: &OfferNote) -> serde_json::Value {
    serde_json::json!({ "height": note.height.0, "time_ms": note.time_ms })
}

/// Starts on a thread of its own, so that Python's signal handlers run meanwhile: filling an empty store takes its time.
/// Errors: what a handler raised, once the start has ended.
fn start(py: Python<'_>, config: NodeConfig, storage_key: Arc<MasterKey>) -> PyResult<Inner> {
    let stopper = StartStopper::default();
    let (theirs, (done, ended)) = (stopper.clone(), sync_channel(1));
    let work = move || {
        // Nobody waits for it only where a signal ended the wait; then the node is dropped, which closes it.
        let _ = done.send(Inner::start(config, storage_key, &theirs));
    };
    let thread = std::thread::Builder::new().name("start".into()).spawn(work);
    let thread = thread
        .map_err(|error| native_error("system", format!("can't start the thread that starts the node: {error}")))?;
    let ended = Mutex::new(ended);
    loop {
        let waited = detached(py, || match ended.lock() {
            Ok(ended) => ended.recv_timeout(SIGNALS_EVERY),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        })?;
        match waited {
            Ok(started) => return started.map_err(node_error),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(native_error(
                    "internal",
                    "the node's start failed an internal check; report it with its log",
                ));
            }
        }
        if let Err(raised) = py.check_signals() {
            stopper.stop();
            // How it ended doesn't matter any more.
            let _ = detached(py, || thread.join());
            return Err(raised);
        }
    }
}

#[pymethods]
impl Node {
    #[new]
    fn new(py: Python<'_>, config_json: &str, storage_key: &StorageKey) -> PyResult<Self> {
        let config: NodeConfig = serde_json::from_str(config_json)
            .map_err(|error| native_error("config-invalid", format!("the node's settings are not usable: {error}")))?;
        let vocabulary = Vocabulary::load(py)?;
        let storage_key = storage_key.shared();
        Ok(Self { inner: start(py, config, storage_key)?, vocabulary })
    }

    fn fileno(&self) -> i32 {
        self.inner.fd()
    }

    fn drain<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let inputs = self.inner.inbox().drain(limit).map_err(|(code, sentence)| native_error(&code, sentence))?;
        let objects: Vec<_> = inputs.iter().map(|input| self.vocabulary.input(py, input)).collect::<PyResult<_>>()?;
        PyList::new(py, objects)
    }

    fn submit(&self, effects: &Bound<'_, PyAny>) -> PyResult<()> {
        let effects: Vec<_> = effects.try_iter()?.map(|item| effect(&item?)).collect::<PyResult<_>>()?;
        self.inner.submit(effects);
        Ok(())
    }

    fn status(&self, py: Python<'_>) -> PyResult<String> {
        let backend = self.inner.backend();
        detached(py, || {
            let chain = backend.chain();
            serde_json::to_string(&StatusAnswer::new(chain.id, chain.shard, backend.status())).unwrap_or_default()
        })
    }

    fn addresses(&self) -> BTreeMap<&'static str, String> {
        self.inner.addresses().clone()
    }

    fn observe_step(&self, input_kind: &str, cpu_ns: u64, wall_ns: u64) {
        self.inner.metrics().step(input_kind, Duration::from_nanos(cpu_ns), Duration::from_nanos(wall_ns));
    }

    fn audit(&self, py: Python<'_>, event: &str, fields_json: &str) -> PyResult<()> {
        let fields = serde_json::from_str(fields_json).map_err(|error| {
            native_error("audit-failed", format!("the audit record's fields are not JSON: {error}"))
        })?;
        let audit = self.inner.audit();
        detached(py, || audit.record(event, fields))?
            .map_err(|error| native_error("audit-failed", error.to_string()))?;
        Ok(())
    }

    fn rotate_keys(&self, py: Python<'_>) -> PyResult<()> {
        let rotator = self.inner.rotator();
        detached(py, || rotator.rotate())?.map_err(node_error)
    }

    fn rotation(&self) -> String {
        serde_json::to_string(&self.inner.rotator().status()).unwrap_or_default()
    }

    /// The snapshots that are offered, newest first: JSON, heights and block times.
    fn snapshots(&self) -> String {
        let notes = self.inner.offers().list();
        serde_json::Value::Array(notes.iter().map(snapshot_json).collect()).to_string()
    }

    /// Offers the newest certified state now; JSON of its snapshot.
    fn create_snapshot(&self, py: Python<'_>) -> PyResult<String> {
        let made = detached(py, || self.inner.offers().create())?;
        let made = made.map_err(|error| native_error("store-failed", error.to_string()))?;
        let none = "there is no certified state yet; make one transaction, wait until its state root is certified, and try again";
        made.map(|note| snapshot_json(&note).to_string()).ok_or_else(|| native_error("no-state-root", none.to_owned()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.inner.close())
    }
}
