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
use rustorium_node::{Host as RunningHost, HostEnd, Node as Inner};
use rustorium_stages::NodeError;
use rustorium_storage::AuditSink;
use rustorium_types::{Hash, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
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

/// Returns a shard that runs. Errors: NativeError with the code that it ended with; `not-ready` while it is filled.
fn running(node: &Inner, shard: ShardId) -> PyResult<Arc<RunningHost>> {
    node.host(shard).ok_or_else(|| match node.why_down(shard) {
        Some(HostEnd { code, sentence }) => native_error(&code, sentence),
        None => {
            let hosted = node.shards().iter().map(ShardId::to_string).collect::<Vec<_>>().join(", ");
            native_error("not-hosted", format!("this node does not host shard {shard}: name one of {hosted}"))
        }
    })
}

fn node_error(error: NodeError) -> PyErr {
    native_error(error.code, error.sentence)
}

fn snapshot_json(note: &OfferNote) -> serde_json::Value {
    serde_json::json!({ "height": note.height.0, "time_ms": note.time_ms })
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

/// Returns the report about another hosted shard than the root, with the reason if it ended.
fn other_shard(node: &Inner, shard: ShardId, served: &dyn Backend) -> serde_json::Value {
    let mut status = status_of(served);
    if let (Some(HostEnd { code, sentence }), Some(fields)) = (node.end_of(shard), status.as_object_mut()) {
        fields.insert("ended".to_owned(), serde_json::json!({ "code": code, "sentence": sentence }));
    }
    status
}

fn record(py: Python<'_>, audit: &AuditSink, event: &str, fields_json: &str) -> PyResult<()> {
    let fields = serde_json::from_str(fields_json)
        .map_err(|error| native_error("audit-failed", format!("the audit record's fields are not JSON: {error}")))?;
    detached(py, || audit.record(event, fields))?.map_err(|error| native_error("audit-failed", error.to_string()))?;
    Ok(())
}

#[pymethods]
impl Node {
    /// Opens everything and starts. A shard whose store is to be filled waits for `start` of its host. The tokens are those of
    /// `set_tokens`. Errors: NativeError.
    #[new]
    #[pyo3(signature = (config_json, tokens_json, storage_key, node_key, validator_key = None))]
    fn new(
        py: Python<'_>,
        config_json: &str,
        tokens_json: &str,
        storage_key: &StorageKey,
        node_key: &SigningKey,
        validator_key: Option<&SigningKey>,
    ) -> PyResult<Self> {
        let config: NodeConfig = serde_json::from_str(config_json)
            .map_err(|error| native_error("config-invalid", format!("the node's settings are not usable: {error}")))?;
        let validator = validator_key.map(SigningKey::shared);
        let keys = NodeKeys { storage: storage_key.shared(), node: node_key.shared(), validator };
        let vocabulary = Arc::new(Vocabulary::load(py)?);
        let tokens = tokens(tokens_json)?;
        let inner = detached(py, || Inner::start(config, keys, tokens))?.map_err(node_error)?;
        Ok(Self { inner: Arc::new(inner), vocabulary })
    }

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
            let others = self.inner.backend().others();
            let others: Vec<_> = others.iter().map(|(shard, of)| other_shard(&self.inner, *shard, &**of)).collect();
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

    /// Requests that the rows of all hosted shards are sealed anew, without waiting. Errors: NativeError.
    fn rotate_keys(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.inner.rotate_keys())?.map_err(node_error)
    }

    /// Requests a replacement of the storage key whose file this passphrase opens, without waiting. Errors: NativeError.
    fn replace_storage_key(&self, py: Python<'_>, passphrase: &[u8]) -> PyResult<()> {
        let passphrase = Passphrase::of(passphrase);
        detached(py, || self.inner.replace_storage_key(&passphrase))?.map_err(node_error)
    }

    fn rotation(&self) -> PyResult<String> {
        Ok(serde_json::to_string(&self.inner.rotation()).unwrap_or_default())
    }

    /// Requests a copy of a shard's store in the folder `checkpoint` of the shard, without waiting.
    fn copy_store(&self, py: Python<'_>, shard: u32) -> PyResult<()> {
        let host = running(&self.inner, ShardId(shard))?;
        detached(py, || host.copier().copy())?.map_err(node_error)
    }

    /// Returns the state of the copy of a shard's store: JSON.
    fn copying(&self, shard: u32) -> PyResult<String> {
        let host = running(&self.inner, ShardId(shard))?;
        Ok(serde_json::to_string(&host.copier().status()).unwrap_or_default())
    }

    /// Returns the offered snapshots of a shard, newest first: JSON, heights and block times.
    fn snapshots(&self, shard: u32) -> PyResult<String> {
        let notes = running(&self.inner, ShardId(shard))?.offers().list();
        Ok(serde_json::Value::Array(notes.iter().map(snapshot_json).collect()).to_string())
    }

    /// Offers the newest certified state of a shard now. Returns JSON of its snapshot.
    fn create_snapshot(&self, py: Python<'_>, shard: u32) -> PyResult<String> {
        let host = running(&self.inner, ShardId(shard))?;
        let made = detached(py, || host.offers().create())?;
        let made = made.map_err(|error| native_error("store-failed", error.to_string()))?;
        let none = "there is no certified state yet; make one transaction, wait until its state root is certified, and try again";
        made.map(|note| snapshot_json(&note).to_string()).ok_or_else(|| native_error("no-state-root", none.to_owned()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.inner.close())
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

    /// Tells if the shard runs.
    fn runs(&self) -> bool {
        self.node.host(self.shard).is_some()
    }

    /// Ends the shard, for this reason. The links and other shards go on.
    fn end(&self, py: Python<'_>, code: String, sentence: String) -> PyResult<()> {
        detached(py, || self.node.end_host(self.shard, HostEnd { code, sentence }))
    }

    /// Starts the shard if it does not run. If its store is empty, it is filled from peers first, which can take hours, and
    /// ends when the node is closed. Errors: NativeError with the reason why it does not start.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.node.start_host(self.shard))?.map_err(node_error)
    }
}

impl Host {
    fn running(&self) -> PyResult<Arc<RunningHost>> {
        running(&self.node, self.shard)
    }
}
