//! `Node` and `Host`: a node's data plane, and that of one hosted shard, in Python.

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
use rustorium_node::{Host as RunningHost, HostEnd, Node as Inner, StartHandle};
use rustorium_stages::NodeError;
use rustorium_storage::AuditSink;
use rustorium_types::{Hash, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A node's data plane: links, gateway, and the shards that it hosts.
#[pyclass(frozen, module = "rustorium._native")]
pub struct Node {
    inner: Arc<Inner>,
    vocabulary: Arc<Vocabulary>,
}

/// One hosted shard of a node: its store, journal and threads, in each of its lives.
#[pyclass(frozen, module = "rustorium._native")]
pub struct Host {
    node: Arc<Inner>,
    shard: ShardId,
    vocabulary: Arc<Vocabulary>,
}

/// Returns a shard that runs. Errors: NativeError with the code that it ended with.
fn running(node: &Inner, shard: ShardId) -> PyResult<Arc<RunningHost>> {
    node.host(shard).ok_or_else(|| match node.end_of(shard) {
        Some(HostEnd { code, sentence }) => native_error(&code, sentence),
        None => native_error("not-hosted", format!("this node does not host shard {}", shard.0)),
    })
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
        let vocabulary = Arc::new(Vocabulary::load(py)?);
        let inner = detached(py, || Inner::start(config, keys, &self.handle))?.map_err(node_error)?;
        Ok(Node { inner: Arc::new(inner), vocabulary })
    }

    /// Stops the filling of a store.
    fn stop(&self) {
        self.handle.stop();
    }

    /// Returns the same as a node's `status`, while its store is filled. Errors: NativeError `not-ready` before that.
    fn status(&self) -> PyResult<String> {
        Ok(status_json(self.handle.backend().ok_or_else(not_yet)?))
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

fn status_of(backend: &dyn Backend) -> serde_json::Value {
    let chain = backend.chain();
    serde_json::to_value(StatusAnswer::new(chain.id, chain.shard, backend.status())).unwrap_or_default()
}

fn status_json(backend: &dyn Backend) -> String {
    status_of(backend).to_string()
}

/// Returns how another hosted shard than the root does, for the node's status.
fn other_shard(node: &Inner, shard: ShardId) -> serde_json::Value {
    let Some(host) = node.host(shard) else {
        let mut status = serde_json::json!({ "shard": shard.0, "ready": false });
        if let (Some(HostEnd { code, sentence }), Some(fields)) = (node.end_of(shard), status.as_object_mut()) {
            let because = format!("it ended with {code}: {sentence}");
            fields.insert("not_ready_because".to_owned(), because.into());
            fields.insert("ended".to_owned(), serde_json::json!({ "code": code, "sentence": sentence }));
        }
        return status;
    };
    let status = host.backend().status();
    serde_json::json!({
        "shard": shard.0,
        "height": status.height.0,
        "view": status.view.0,
        "epoch": status.epoch.0,
        "ready": status.ready.is_ok(),
        "not_ready_because": status.ready.err(),
        "findings": status.findings,
    })
}

fn record(py: Python<'_>, audit: &AuditSink, event: &str, fields_json: &str) -> PyResult<()> {
    let fields = serde_json::from_str(fields_json)
        .map_err(|error| native_error("audit-failed", format!("the audit record's fields are not JSON: {error}")))?;
    detached(py, || audit.record(event, fields))?.map_err(|error| native_error("audit-failed", error.to_string()))?;
    Ok(())
}

#[pymethods]
impl Node {
    /// Returns the numbers of the hosted shards, in order.
    fn shards(&self) -> Vec<u32> {
        self.inner.shards().iter().map(|shard| shard.0).collect()
    }

    /// Returns a hosted shard. Errors: NativeError `not-hosted`.
    fn host(&self, shard: u32) -> PyResult<Host> {
        let shard = ShardId(shard);
        if !self.inner.shards().contains(&shard) {
            running(&self.inner, shard)?;
        }
        Ok(Host { node: self.inner.clone(), shard, vocabulary: self.vocabulary.clone() })
    }

    /// Returns the root shard's status, which the gateway shows. With several shards, `shards` lists how the others do.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || {
            let mut status = status_of(self.inner.backend());
            let others = self.inner.shards().into_iter().filter(|shard| *shard != ShardId::ROOT);
            let others: Vec<_> = others.map(|shard| other_shard(&self.inner, shard)).collect();
            if let (false, Some(fields)) = (others.is_empty(), status.as_object_mut()) {
                fields.insert("shards".to_owned(), others.into());
            }
            status.to_string()
        })
    }

    fn addresses(&self) -> BTreeMap<&'static str, String> {
        self.inner.addresses().clone()
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

    /// Requests that all rows are sealed anew, without waiting. Errors: NativeError `several-shards`.
    fn rotate_keys(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse_several()?;
        let root = self.root()?;
        detached(py, || root.rotator().rotate())?.map_err(node_error)
    }

    /// Requests a replacement of the storage key whose file this passphrase opens, without waiting.
    fn replace_storage_key(&self, py: Python<'_>, passphrase: &[u8]) -> PyResult<()> {
        self.refuse_several()?;
        let (root, passphrase) = (self.root()?, Passphrase::of(passphrase));
        detached(py, || root.rotator().replace_master(passphrase))?.map_err(node_error)
    }

    fn rotation(&self) -> PyResult<String> {
        Ok(serde_json::to_string(&self.root()?.rotator().status()).unwrap_or_default())
    }

    /// Requests a copy of the store in the home's folder `checkpoint`, without waiting.
    fn copy_store(&self, py: Python<'_>) -> PyResult<()> {
        let root = self.root()?;
        detached(py, || root.copier().copy())?.map_err(node_error)
    }

    /// Returns the state of the copy: JSON.
    fn copying(&self) -> PyResult<String> {
        Ok(serde_json::to_string(&self.root()?.copier().status()).unwrap_or_default())
    }

    /// Returns the offered snapshots, newest first: JSON, heights and block times.
    fn snapshots(&self) -> PyResult<String> {
        let notes = self.root()?.offers().list();
        Ok(serde_json::Value::Array(notes.iter().map(snapshot_json).collect()).to_string())
    }

    /// Offers the newest certified state now. Returns JSON of its snapshot.
    fn create_snapshot(&self, py: Python<'_>) -> PyResult<String> {
        let root = self.root()?;
        let made = detached(py, || root.offers().create())?;
        let made = made.map_err(|error| native_error("store-failed", error.to_string()))?;
        let none = "there is no certified state yet; make one transaction, wait until its state root is certified, and try again";
        made.map(|note| snapshot_json(&note).to_string()).ok_or_else(|| native_error("no-state-root", none.to_owned()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.inner.close())
    }
}

impl Node {
    fn root(&self) -> PyResult<Arc<RunningHost>> {
        running(&self.inner, ShardId::ROOT)
    }

    /// Refuses what would be done for the root shard alone where the node hosts others.
    fn refuse_several(&self) -> PyResult<()> {
        let sentence = "this node hosts several shards, and only the rows of shard 0 would be sealed anew: stop the node and \
                        remove the `db` folder of one shard after the other, which is filled again from the other validators";
        if self.inner.shards().len() > 1 { Err(native_error("several-shards", sentence.to_owned())) } else { Ok(()) }
    }
}

/// Errors of the calls: NativeError with the code that the shard ended with, unless they say more.
#[pymethods]
impl Host {
    #[getter]
    fn shard(&self) -> u32 {
        self.shard.0
    }

    /// Carries out the effects of the previous turn, which may have included a tick, waits for inputs or for the
    /// deadline, and returns the inputs of the next turn: none at the deadline, `None` once `stop` was called.
    fn turn<'py>(
        &self,
        py: Python<'py>,
        effects: &Bound<'py, PyList>,
        deadline_ns: Option<u64>,
        ticked: bool,
        limit: usize,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let host = self.running()?;
        let effects: Vec<_> = effects.iter().map(|item| self.vocabulary.effect(&item)).collect::<PyResult<_>>()?;
        let taken = detached(py, || {
            if !effects.is_empty() {
                host.submit(effects);
            }
            host.inbox().wait(deadline_ns, limit)
        })?;
        let Some(inputs) = taken.map_err(|(code, sentence)| native_error(&code, sentence))? else { return Ok(None) };
        host.metrics().stepped(&inputs, ticked);
        let objects: Vec<_> = inputs.iter().map(|input| self.vocabulary.input(py, input)).collect::<PyResult<_>>()?;
        PyList::new(py, objects).map(Some)
    }

    /// Ends the waits of `turn`, the present one and all later ones of this life of the shard.
    fn stop(&self) {
        if let Some(host) = self.node.host(self.shard) {
            host.inbox().stop();
        }
    }

    fn observe_step(&self, cpu_ns: u64, wall_ns: u64) -> PyResult<()> {
        self.running()?.metrics().step(Duration::from_nanos(cpu_ns), Duration::from_nanos(wall_ns));
        Ok(())
    }

    /// Returns the shard's status: JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        let host = self.running()?;
        detached(py, || status_json(host.backend()))
    }

    /// Returns the health of its parts: JSON, `null` if it does not run.
    fn vitals(&self, py: Python<'_>) -> PyResult<String> {
        let host = self.node.host(self.shard);
        let vitals = detached(py, || host.and_then(|host| host.vitals()))?;
        Ok(serde_json::to_string(&vitals).unwrap_or_default())
    }

    /// Sets the findings of the shard's watch, and the phi of each peer, for display: both JSON.
    fn tell_health(&self, findings_json: &str, suspicion_json: &str) -> PyResult<()> {
        let failed = |error: serde_json::Error| native_error("internal", format!("findings are not as JSON: {error}"));
        let findings: Vec<Finding> = serde_json::from_str(findings_json).map_err(failed)?;
        let suspicion: BTreeMap<String, f64> = serde_json::from_str(suspicion_json).map_err(failed)?;
        self.running()?.backend().tell_health(findings, &suspicion);
        Ok(())
    }

    /// Returns code and sentence of the fault that the shard ended with; `None` while it runs.
    fn ended(&self) -> Option<(String, String)> {
        self.node.end_of(self.shard).map(|end| (end.code, end.sentence))
    }

    /// Ends the shard, for this reason. The links and other shards go on.
    fn end(&self, py: Python<'_>, code: String, sentence: String) -> PyResult<()> {
        detached(py, || self.node.end_host(self.shard, HostEnd { code, sentence }))
    }

    /// Starts the shard again. Errors: NativeError with the reason why it does not start.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.node.start_host(self.shard))?.map_err(node_error)
    }
}

impl Host {
    fn running(&self) -> PyResult<Arc<RunningHost>> {
        running(&self.node, self.shard)
    }
}
