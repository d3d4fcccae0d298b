//! A node: its start, the shards that it hosts, and its end.
//!
//! *Invariants:* hosts the root shard; a failure of one hosted shard is told to that shard's core alone; a shard ends and
//! starts again while the links and the other shards go on.

use crate::backend::stateless::StatelessBackend;
use crate::config::{NodeConfig, NodeKeys};
use crate::guarded;
use crate::host::{Host, Opened};
use crate::hosts::{HostEnd, Hosts};
use crate::inbound::Inbound;
use crate::process::Process;
use crate::served::Served;
use crate::start_up;
use crate::statesync::JoinEvent;
use parking_lot::Mutex;
use rustorium_gateway::gate::Rules;
use rustorium_gateway::http::HttpServer;
use rustorium_gateway::quic::QuicServer;
use rustorium_gateway::{Backend, Gate};
use rustorium_stages::NodeError;
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
    pub(crate) early: Arc<OnceLock<EarlyNode>>,
    gate: Arc<Gate>,
}

/// What there is of a node while its store is filled.
pub(crate) struct EarlyNode {
    pub(crate) backend: Arc<StatelessBackend>,
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
        self.early.get().map(|early| &*early.backend as &dyn Backend)
    }

    /// The audit log; none before the store is open, or where it needs no filling.
    pub fn audit(&self) -> Option<&AuditSink> {
        self.early.get().map(|early| &*early.audit)
    }
}

/// A running data plane: the process, and the shards that it hosts.
pub struct Node {
    process: Process,
    hosts: Arc<Hosts>,
    inbound: Arc<Inbound>,
    served: Arc<Served>,
    gate: Arc<Gate>,
    addresses: BTreeMap<&'static str, String>,
    /// The followers that are admitted by name, if they were changed since the start.
    followers: Mutex<Option<BTreeSet<PublicKey>>>,
    /// Held while a shard is ended or started; `None` once the node is closed.
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
    /// Opens everything and starts. With several shards, one that can't be opened is noted as ended. Errors: a stable code
    /// and one sentence.
    pub fn start(config: NodeConfig, keys: NodeKeys, handle: &StartHandle) -> Result<Self, NodeError> {
        start_up::start(config, keys, handle)
    }

    pub(crate) fn of(
        process: Process,
        hosts: Arc<Hosts>,
        (inbound, served): (Arc<Inbound>, Arc<Served>),
        gate: Arc<Gate>,
        addresses: BTreeMap<&'static str, String>,
        running: Running,
    ) -> Self {
        let (followers, running) = (Mutex::default(), Mutex::new(Some(running)));
        Self { process, hosts, inbound, served, gate, addresses, followers, running }
    }

    /// Returns a hosted shard; `None` if this node doesn't host it, or it ended.
    pub fn host(&self, shard: ShardId) -> Option<Arc<Host>> {
        self.hosts.of(shard)
    }

    /// Returns the reason why a hosted shard does not run; `None` if it runs, or is not hosted.
    pub fn end_of(&self, shard: ShardId) -> Option<HostEnd> {
        self.hosts.end_of(shard)
    }

    /// Returns the hosted shards, in order.
    pub fn shards(&self) -> Vec<ShardId> {
        self.hosts.shards()
    }

    /// Ends a hosted shard: its threads are joined, its store and journal synced and released. The links and the other
    /// shards go on. A second call does nothing.
    pub fn end_host(&self, shard: ShardId, end: HostEnd) {
        let running = self.running.lock();
        if running.is_none() || self.hosts.of(shard).is_none() {
            return;
        }
        self.inbound.detach(shard);
        if let Some(host) = self.hosts.ended(shard, end) {
            host.close();
        }
    }

    /// Starts a hosted shard that ended. Does nothing if it runs. Errors: a stable code and one sentence, which are then
    /// the reason why it does not run. Its store may still be locked for a moment by a question that is being answered.
    pub fn start_host(&self, shard: ShardId) -> Result<(), NodeError> {
        let running = self.running.lock();
        let Some(running) = &*running else { return Err(NodeError::new("stopped", "the node was stopped")) };
        if self.hosts.end_of(shard).is_none() {
            return Ok(());
        }
        self.open_host(running, shard).inspect_err(|error| {
            let (code, sentence) = (error.code.to_owned(), error.sentence.clone());
            self.inbound.detach(shard);
            self.hosts.ended(shard, HostEnd { code, sentence });
        })
    }

    fn open_host(&self, running: &Running, shard: ShardId) -> Result<(), NodeError> {
        if let Some(part) = self.inbound.panicked() {
            return Err(NodeError::new(guarded::PROCESS_CODE, guarded::sentence(part)));
        }
        let store = self.process.open_store(shard)?;
        let opened = Opened::open(&self.process, shard, store)?;
        // Until the shard is among those that run, so that it misses no change.
        let followers = self.followers.lock();
        if let Some(keys) = &*followers {
            opened.links.guests().set_named(keys.clone());
        }
        let transport = running.transport.for_shard(shard);
        start_up::link_shard(&transport, &opened)?;
        self.inbound.attach(shard, opened.inlet());
        let host = opened.start(&self.process, transport)?;
        self.hosts.began(shard, host);
        Ok(())
    }

    /// Returns the gateway's view of the process: the root shard while it runs, otherwise the reason why it does not.
    pub fn backend(&self) -> &dyn Backend {
        &*self.served
    }

    /// Returns the access rules of the gateway.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Admits these followers from now on, besides the guests that the committees make; others' links end.
    pub fn set_followers(&self, keys: BTreeSet<PublicKey>) {
        let mut followers = self.followers.lock();
        self.hosts.running().iter().for_each(|(_, host)| host.set_followers(keys.clone()));
        *followers = Some(keys);
    }

    /// Returns the audit log.
    pub fn audit(&self) -> &AuditSink {
        &self.process.audit
    }

    /// Returns the addresses that are listened at, by face.
    pub fn addresses(&self) -> &BTreeMap<&'static str, String> {
        &self.addresses
    }

    /// Stops: no new work, threads joined, stores and journals synced, locks released. A second call does nothing.
    pub fn close(&self) {
        let Some(running) = self.running.lock().take() else { return };
        let hosts = self.hosts.running();
        hosts.iter().for_each(|(_, host)| host.stop_soon());
        running.clients.block_on(async {
            running.http.close().await;
            running.quic.close().await;
        });
        running.runtime.block_on(running.transport.close());
        hosts.iter().for_each(|(_, host)| host.close());
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
