//! A node: its start, the shards that it hosts, and its end.
//!
//! *Invariants:* hosts the root shard; a failure of one hosted shard is told to that shard's core alone; a shard ends, is
//! filled and starts again while the links and the other shards go on.

use crate::config::{NodeConfig, NodeKeys};
use crate::guarded;
use crate::host::{Host, Opened};
use crate::hosts::{HostEnd, Hosts, Standing};
use crate::inbound::Inbound;
use crate::process::Process;
use crate::rotator::{RotationStatus, not_hosted};
use crate::served::Served;
use crate::start_up;
use crate::statesync::FillProgress;
use crate::statesync::filling::{Filling, STOPPED, is_fillable};
use parking_lot::{Mutex, RwLock};
use rustorium_crypto::keystore::Passphrase;
use rustorium_gateway::gate::TokenEntry;
use rustorium_gateway::http::HttpServer;
use rustorium_gateway::quic::QuicServer;
use rustorium_gateway::{Backend, Gate};
use rustorium_stages::NodeError;
use rustorium_storage::{AuditSink, RocksStore};
use rustorium_transport::Transport;
use rustorium_types::{PublicKey, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

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
    /// Read while a shard is started, which can take hours; written to wait until none is.
    starting: RwLock<()>,
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
    /// Opens everything and starts. With several shards, one that can't be opened is noted as ended. A shard whose store is to
    /// be filled waits for `start_host`. `tokens`: those that the gateway accepts. Errors: a stable code and one sentence.
    pub fn start(config: NodeConfig, keys: NodeKeys, tokens: Vec<TokenEntry>) -> Result<Self, NodeError> {
        start_up::start(config, keys, tokens)
    }

    pub(crate) fn of(
        process: Process,
        hosts: Arc<Hosts>,
        (inbound, served): (Arc<Inbound>, Arc<Served>),
        gate: Arc<Gate>,
        addresses: BTreeMap<&'static str, String>,
        running: Running,
    ) -> Self {
        let (followers, running, starting) = (Mutex::default(), Mutex::new(Some(running)), RwLock::default());
        Self { process, hosts, inbound, served, gate, addresses, followers, running, starting }
    }

    /// Returns a hosted shard; `None` if this node doesn't host it, or it ended.
    pub fn host(&self, shard: ShardId) -> Option<Arc<Host>> {
        self.hosts.of(shard)
    }

    /// Returns what ended a hosted shard; `None` if it runs, is being filled, or is not hosted.
    pub fn end_of(&self, shard: ShardId) -> Option<HostEnd> {
        self.hosts.end_of(shard)
    }

    /// Returns a code and a sentence that say why a hosted shard does not run; `None` if it runs, or is not hosted.
    pub fn why_down(&self, shard: ShardId) -> Option<HostEnd> {
        match self.hosts.standing(shard)? {
            Standing::Runs(_) => None,
            Standing::Ended(end) => Some(end),
            Standing::Fills(progress) => {
                let so_far = progress.now().sentence();
                let sentence = format!("shard {shard} has no state yet ({so_far}): try again when it is ready");
                Some(HostEnd { code: "not-ready".to_owned(), sentence })
            }
        }
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

    /// Starts a hosted shard that ended, or that has not begun. If its store is empty, it is filled from peers first, which
    /// can take hours: call it on one thread for each shard. Does nothing if the shard runs, or is not hosted. Errors: a
    /// stable code and one sentence, which are then the reason why it does not run. Its store may still be locked for a
    /// moment by a question that is being answered.
    pub fn start_host(&self, shard: ShardId) -> Result<(), NodeError> {
        let _starting = self.starting.read();
        if self.running.lock().is_none() {
            return Err(stopped());
        }
        if self.hosts.of(shard).is_some() || !self.shards().contains(&shard) {
            return Ok(());
        }
        let started = self.open_store(shard).and_then(|store| {
            self.fill(shard, &store)?;
            let running = self.running.lock();
            self.open_host(running.as_ref().ok_or_else(stopped)?, shard, store)
        });
        started.inspect_err(|error| {
            let (code, sentence) = (error.code.to_owned(), error.sentence.clone());
            self.inbound.detach(shard);
            self.hosts.ended(shard, HostEnd { code, sentence });
        })
    }

    fn open_store(&self, shard: ShardId) -> Result<Arc<RocksStore>, NodeError> {
        if let Some(part) = self.inbound.panicked() {
            return Err(NodeError::new(guarded::PROCESS_CODE, guarded::sentence(part)));
        }
        self.process.open_store(shard)
    }

    /// Fills a shard's store if it is empty, until it has a state or the node is closed.
    fn fill(&self, shard: ShardId, store: &Arc<RocksStore>) -> Result<(), NodeError> {
        if !is_fillable(&self.process, &**store) {
            return Ok(());
        }
        let filling = {
            let running = self.running.lock();
            let transport = running.as_ref().ok_or_else(stopped)?.transport.for_shard(shard);
            let progress = Arc::<FillProgress>::default();
            self.hosts.fills(shard, progress.clone());
            let filling = Arc::new(Filling::new(&self.process, shard, transport, progress));
            // While the node can't be closed: whoever closes it stops what is attached.
            self.inbound.attach_filling(shard, filling.clone());
            filling
        };
        let run = AssertUnwindSafe(|| filling.run(&self.process, store.clone()));
        let panicked = |_| Err(NodeError::new(guarded::CODE, guarded::PANICKED.to_owned()));
        let filled = catch_unwind(run).unwrap_or_else(panicked);
        self.inbound.detach(shard);
        filled
    }

    fn open_host(&self, running: &Running, shard: ShardId, store: Arc<RocksStore>) -> Result<(), NodeError> {
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

    /// Has new data keys drawn in all hosted shards, and everything sealed under older ones sealed anew, without waiting.
    /// Errors: a rotation is under way, or a shard does not run.
    pub fn rotate_keys(&self) -> Result<(), NodeError> {
        self.all_hosts()?.iter().try_for_each(|(_, host)| host.rotator().rotate())
    }

    /// Has the storage key replaced, without waiting. A replacement that stopped short is gone on with. Errors: a rotation is
    /// under way, a shard does not run, or the home has data of a shard that this node doesn't host.
    pub fn replace_storage_key(&self, passphrase: &Passphrase) -> Result<(), NodeError> {
        if let Some(shard) = self.process.master.not_hosted() {
            return Err(NodeError::new("shard-not-hosted", not_hosted(shard)));
        }
        self.all_hosts()?.iter().try_for_each(|(_, host)| host.rotator().replace_master(passphrase.clone()))
    }

    /// Returns the progress of the rotation of all hosted shards.
    pub fn rotation(&self) -> RotationStatus {
        let running = self.hosts.running();
        let statuses: Vec<_> = running.iter().map(|(shard, host)| (*shard, host.rotator().status())).collect();
        let mut all = RotationStatus::of_all(&statuses);
        if let Some(shard) = self.process.master.left().first()
            && !all.running
        {
            let why = format!(
                "the data of shard {shard} isn't all sealed anew, and the previous storage key is kept until it is: when \
                 `status check` says that this shard runs, give the command again"
            );
            all.failed.get_or_insert(why);
        }
        all
    }

    /// Returns all hosted shards. Errors: one doesn't run, or its keys are being rotated.
    fn all_hosts(&self) -> Result<Vec<(ShardId, Arc<Host>)>, NodeError> {
        if let Some(shard) = self.shards().into_iter().find(|shard| self.hosts.of(*shard).is_none()) {
            let sentence = format!("shard {shard} does not run: see `status check`, and try again when all shards run");
            return Err(NodeError::new("shard-not-running", sentence));
        }
        let hosts = self.hosts.running();
        hosts.iter().try_for_each(|(_, host)| host.rotator().refuse_second())?;
        Ok(hosts)
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
        self.inbound.stop_fillings();
        drop(self.starting.write());
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

fn stopped() -> NodeError {
    NodeError::new(STOPPED, "the node was stopped")
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
