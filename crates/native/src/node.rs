//! `Node`: a validator's data plane in Python.

use crate::convert::Vocabulary;
use crate::errors::{detached, native_error};
use crate::signing_key::SigningKey;
use crate::storage_key::StorageKey;
use pyo3::prelude::*;
use pyo3::types::PyList;
use rustorium_api::json::{Finding, StatusAnswer};
use rustorium_crypto::keystore::Passphrase;
use rustorium_gateway::Backend;
use rustorium_gateway::gate::TokenEntry;
use rustorium_node::config::{NodeConfig, NodeKeys};
use rustorium_node::statesync::OfferNote;
use rustorium_node::{Node as Inner, StartHandle};
use rustorium_stages::NodeError;
use rustorium_storage::AuditSink;
use rustorium_types::Hash;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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

/// The start of a node, which may fill an empty store and so take hours: `run` it on one thread, query and stop it on
/// others.
#[pyclass(frozen, module = "rustorium._native")]
pub struct Starting {
    handle: StartHandle,
    /// Taken by `run`.
    with: Mutex<Option<(NodeConfig, NodeKeys)>>,
}

fn not_yet() -> PyErr {
    native_error("not-ready", "the node is only being opened; ask again in a moment")
}

#[pymethods]
impl Starting {
    #[new]
    #[pyo3(signature = (config_json, storage_key, node_key, validator_key = None))]
    fn new(
        config_json: &str,
        storage_key: &StorageKey,
        node_key: &SigningKey,
        validator_key: Option<&SigningKey>,
    ) -> PyResult<Self> {
        let config: NodeConfig = serde_json::from_str(config_json)
            .map_err(|error| native_error("config-invalid", format!("the node's settings are not usable: {error}")))?;
        let handle = StartHandle::new(config.gateway.clone());
        let validator = validator_key.map(SigningKey::shared);
        let keys = NodeKeys { storage: storage_key.shared(), node: node_key.shared(), validator };
        Ok(Self { handle, with: Mutex::new(Some((config, keys))) })
    }

    /// Starts the node, once. Errors: NativeError, `stopped` if it was stopped before its store was filled.
    fn run(&self, py: Python<'_>) -> PyResult<Node> {
        let taken = self.with.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (config, keys) =
            taken.ok_or_else(|| native_error("internal", "a node is started once; make another start"))?;
        let vocabulary = Vocabulary::load(py)?;
        let inner = detached(py, || Inner::start(config, keys, &self.handle))?.map_err(node_error)?;
        Ok(Node { inner, vocabulary })
    }

    /// Stops the filling of a store.
    fn stop(&self) {
        self.handle.stop();
    }

    /// Returns the same as a node's `status`, while its store is filled. Errors: NativeError `not-ready` before that.
    fn status(&self) -> PyResult<String> {
        let backend = self.handle.backend().ok_or_else(not_yet)?;
        let chain = backend.chain();
        Ok(serde_json::to_string(&StatusAnswer::new(chain.id, chain.shard, backend.status())).unwrap_or_default())
    }

    /// Does the same as a node's `set_tokens`.
    fn set_tokens(&self, tokens_json: &str) -> PyResult<()> {
        self.handle.gate().set(tokens(tokens_json)?);
        Ok(())
    }

    fn audit(&self, py: Python<'_>, event: &str, fields_json: &str) -> PyResult<()> {
        record(py, self.handle.audit().ok_or_else(not_yet)?, event, fields_json)
    }
}

fn tokens(tokens_json: &str) -> PyResult<Vec<TokenEntry>> {
    serde_json::from_str(tokens_json)
        .map_err(|error| native_error("internal", format!("the gateway's tokens are not as JSON: {error}")))
}

fn record(py: Python<'_>, audit: &AuditSink, event: &str, fields_json: &str) -> PyResult<()> {
    let fields = serde_json::from_str(fields_json)
        .map_err(|error| native_error("audit-failed", format!("the audit record's fields are not JSON: {error}")))?;
    detached(py, || audit.record(event, fields))?.map_err(|error| native_error("audit-failed", error.to_string()))?;
    Ok(())
}

#[pymethods]
impl Node {
    fn fileno(&self) -> i32 {
        self.inner.fd()
    }

    /// Carries out the effects of the previous turn, which may have included a tick, and takes the inputs for the next
    /// one. If there are none, the descriptor becomes readable with the next input, or at the deadline.
    fn turn<'py>(
        &self,
        py: Python<'py>,
        effects: &Bound<'_, PyList>,
        deadline_ns: Option<u64>,
        ticked: bool,
        limit: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        if !effects.is_empty() {
            self.inner.submit(effects.iter().map(|item| self.vocabulary.effect(&item)).collect::<PyResult<_>>()?);
        }
        let inbox = self.inner.inbox();
        let inputs = inbox.drain(limit).map_err(|(code, sentence)| native_error(&code, sentence))?;
        self.inner.metrics().stepped(&inputs, ticked);
        if inputs.is_empty() {
            inbox.wake_at(deadline_ns);
        }
        let objects: Vec<_> = inputs.iter().map(|input| self.vocabulary.input(py, input)).collect::<PyResult<_>>()?;
        PyList::new(py, objects)
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

    fn observe_step(&self, cpu_ns: u64, wall_ns: u64) {
        self.inner.metrics().step(Duration::from_nanos(cpu_ns), Duration::from_nanos(wall_ns));
    }

    fn audit(&self, py: Python<'_>, event: &str, fields_json: &str) -> PyResult<()> {
        record(py, self.inner.audit(), event, fields_json)
    }

    /// Replaces the tokens that the gateway accepts: a JSON list of id, hash, scope and expires_ms.
    fn set_tokens(&self, tokens_json: &str) -> PyResult<()> {
        self.inner.gate().set(tokens(tokens_json)?);
        Ok(())
    }

    /// Replaces the keys of the followers that are admitted by name: hex.
    fn set_followers(&self, keys: Vec<String>) -> PyResult<()> {
        let mut parsed = BTreeSet::new();
        for key in &keys {
            let bad = || native_error("key-invalid", format!("{key} is no node key of 64 hex digits; correct it"));
            parsed.insert(Hash::from_hex(key).map_err(|_| bad())?.0);
        }
        self.inner.set_followers(parsed);
        Ok(())
    }

    fn rotate_keys(&self, py: Python<'_>) -> PyResult<()> {
        let rotator = self.inner.rotator();
        detached(py, || rotator.rotate())?.map_err(node_error)
    }

    /// Requests a replacement of the storage key whose file this passphrase opens, without waiting.
    fn replace_storage_key(&self, py: Python<'_>, passphrase: &[u8]) -> PyResult<()> {
        let (rotator, passphrase) = (self.inner.rotator(), Passphrase::of(passphrase));
        detached(py, || rotator.replace_master(passphrase))?.map_err(node_error)
    }

    fn rotation(&self) -> String {
        serde_json::to_string(&self.inner.rotator().status()).unwrap_or_default()
    }

    /// Requests a copy of the store in the home's folder `checkpoint`, without waiting.
    fn copy_store(&self, py: Python<'_>) -> PyResult<()> {
        let copier = self.inner.copier();
        detached(py, || copier.copy())?.map_err(node_error)
    }

    /// Returns the state of the copy: JSON.
    fn copying(&self) -> String {
        serde_json::to_string(&self.inner.copier().status()).unwrap_or_default()
    }

    /// Returns the offered snapshots, newest first: JSON, heights and block times.
    fn snapshots(&self) -> String {
        let notes = self.inner.offers().list();
        serde_json::Value::Array(notes.iter().map(snapshot_json).collect()).to_string()
    }

    /// Offers the newest certified state now. Returns JSON of its snapshot.
    fn create_snapshot(&self, py: Python<'_>) -> PyResult<String> {
        let made = detached(py, || self.inner.offers().create())?;
        let made = made.map_err(|error| native_error("store-failed", error.to_string()))?;
        let none = "there is no certified state yet; make one transaction, wait until its state root is certified, and try again";
        made.map(|note| snapshot_json(&note).to_string()).ok_or_else(|| native_error("no-state-root", none.to_owned()))
    }

    /// Returns the health of its parts: JSON, empty after `close`.
    fn vitals(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || serde_json::to_string(&self.inner.vitals()).unwrap_or_default())
    }

    /// Sets the findings of the node's watch, and the phi of each peer, for display: both JSON.
    fn tell_health(&self, findings_json: &str, suspicion_json: &str) -> PyResult<()> {
        let failed = |error: serde_json::Error| native_error("internal", format!("findings are not as JSON: {error}"));
        let findings: Vec<Finding> = serde_json::from_str(findings_json).map_err(failed)?;
        let suspicion: BTreeMap<String, f64> = serde_json::from_str(suspicion_json).map_err(failed)?;
        self.inner.backend().tell_health(findings, &suspicion);
        Ok(())
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.inner.close())
    }
}
