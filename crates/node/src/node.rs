//! A node: its start, the shards that it hosts, and its end.
//!
//! *Invariants:* hosts the root shard; a failure of one hosted shard is told to that shard's core alone.

use crate::backend::NodeBackend;
use crate::config::{NodeConfig, NodeKeys};
use crate::copier::Copier;
use crate::host::Host;
use crate::rotator::Rotator;
use crate::start_up;
use crate::statesync::face::FillFace;
use crate::statesync::{JoinEvent, Offers};
use crate::vitals::VitalsNote;
use parking_lot::Mutex;
use rustorium_gateway::gate::Rules;
use rustorium_gateway::http::HttpServer;
use rustorium_gateway::quic::QuicServer;
use rustorium_gateway::{Backend, Gate};
use rustorium_shard::port::Effect;
use rustorium_stages::NodeError;
use rustorium_stages::inbox::Inbox;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::queue::Queue;
use rustorium_storage::AuditSink;
use rustorium_transport::Transport;
use rustorium_types::{PublicKey, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A hand on a start that may fill an empty store, which can take hours.
#[derive(Clone, Default)]
pub struct StartHandle {
    pub(crate) events: Arc<Queue<JoinEvent>>,
    pub(crate) early: Arc<OnceLock<EarlyFace>>,
    gate: Arc<Gate>,
}

/// What there is of a node while its store is filled.
pub(crate) struct EarlyFace {
    pub(crate) face: Arc<FillFace>,
    pub(crate) audit: Arc<AuditSink>,
}

impl StartHandle {
    /// With what of the node's gateway needs a token.
    pub fn new(rules: Rules) -> Self {
        Self { gate: Gate::with(rules), ..Self::default() }
    }

    /// Who may read and submit, now and when the node runs.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The start ends with the code `stopped`, unless the store is filled already; the next one goes on with what is
    /// stored by then.
    pub fn stop(&self) {
        self.events.push(JoinEvent::Stop);
    }

    /// What the gateway sees meanwhile; none before the store is open, or where it needs no filling.
    pub fn backend(&self) -> Option<&dyn Backend> {
        self.early.get().map(|early| &*early.face as &dyn Backend)
    }

    /// The audit log; none before the store is open, or where it needs no filling.
    pub fn audit(&self) -> Option<&AuditSink> {
        self.early.get().map(|early| &*early.audit)
    }
}

/// A running data plane: the process, and the shards that it hosts.
pub struct Node {
    root: Arc<Host>,
    /// All of them, by their shards.
    hosts: BTreeMap<ShardId, Arc<Host>>,
    audit: Arc<AuditSink>,
    gate: Arc<Gate>,
    addresses: BTreeMap<&'static str, String>,
    running: Mutex<Option<Running>>,
}

/// Parts of a running process that belong to no shard.
pub(crate) struct Running {
    /// The threads of peers' links.
    pub(crate) runtime: Runtime,
    /// The threads of clients' connections.
    pub(crate) clients: Runtime,
    pub(crate) transport: Transport,
    pub(crate) http: HttpServer,
    pub(crate) quic: QuicServer,
}

impl Node {
    /// Opens everything and starts. Errors: a stable code and one sentence.
    pub fn start(config: NodeConfig, keys: NodeKeys, handle: &StartHandle) -> Result<Self, NodeError> {
        start_up::start(config, keys, handle)
    }

    pub(crate) fn of(
        root: Arc<Host>,
        hosts: BTreeMap<ShardId, Arc<Host>>,
        audit: Arc<AuditSink>,
        gate: Arc<Gate>,
        addresses: BTreeMap<&'static str, String>,
        running: Running,
    ) -> Self {
        Self { root, hosts, audit, gate, addresses, running: Mutex::new(Some(running)) }
    }

    /// Returns a hosted shard; `None` if this node doesn't host it.
    pub fn host(&self, shard: ShardId) -> Option<&Host> {
        self.hosts.get(&shard).map(|host| &**host)
    }

    /// Returns the hosted shards, in order.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.hosts.keys().copied()
    }

    /// Returns the descriptor that is readable while inputs of the root shard's core wait.
    pub fn fd(&self) -> i32 {
        self.root.inbox().fd()
    }

    /// Returns the inbox of the root shard's core.
    pub fn inbox(&self) -> &Inbox {
        self.root.inbox()
    }

    /// Applies the effects of the root shard's core, in order.
    pub fn submit(&self, effects: Vec<Effect>) {
        self.root.submit(effects);
    }

    /// Returns the gateway's view of the root shard.
    pub fn backend(&self) -> &NodeBackend {
        self.root.backend()
    }

    /// Returns the figures of the process and of the root shard.
    pub fn metrics(&self) -> &NodeMetrics {
        self.root.metrics()
    }

    /// Returns the access rules of the gateway.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Admits these followers from now on, besides the guests that the committees make; others' links end.
    pub fn set_followers(&self, keys: BTreeSet<PublicKey>) {
        self.hosts.values().for_each(|host| host.set_followers(keys.clone()));
    }

    /// Returns the audit log.
    pub fn audit(&self) -> &AuditSink {
        &self.audit
    }

    /// Returns the health of the root shard's parts; `None` after `close`.
    pub fn vitals(&self) -> Option<VitalsNote> {
        self.root.vitals()
    }

    /// Returns the rotation of the storage keys.
    pub fn rotator(&self) -> &Arc<Rotator> {
        self.root.rotator()
    }

    /// Returns the copies of the root shard's store for backups.
    pub fn copier(&self) -> &Arc<Copier> {
        self.root.copier()
    }

    /// Returns the snapshots that the root shard offers.
    pub fn offers(&self) -> &Offers {
        self.root.offers()
    }

    /// Returns the addresses that are listened at, by face.
    pub fn addresses(&self) -> &BTreeMap<&'static str, String> {
        &self.addresses
    }

    /// Stops: no new work, threads joined, stores and journals synced, locks released. A second call does nothing.
    pub fn close(&self) {
        let Some(running) = self.running.lock().take() else { return };
        self.hosts.values().for_each(|host| host.stop_soon());
        running.clients.block_on(async {
            running.http.close().await;
            running.quic.close().await;
        });
        running.runtime.block_on(running.transport.close());
        self.hosts.values().for_each(|host| host.close());
        running.clients.shutdown_timeout(Duration::from_secs(2));
        running.runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
