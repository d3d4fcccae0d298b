//! Before a node's parts are made: an empty store is filled over links of its own, which end before the node's begin.
//!
//! *Invariants:* what is asked of this node meanwhile is answered with "not held"; a safety journal is there before the
//! store has a height, so that its absence is noticed ever after.

use super::join::{JoinEvent, JoinOutcome, Joiner, ban_reason};
use super::progress::FillProgress;
use crate::backend::stateless::{NoState, StatelessBackend};
use crate::codes::{journal_code, start_code, transport_code};
use crate::host::chain_info;
use crate::links::seed_peers;
use crate::node::{EarlyNode, StartHandle};
use crate::opening::{Folders, refuse_missing_journal, seed_book};
use crate::process::Process;
use parking_lot::Mutex;
use rustorium_gateway::GatewayMetrics;
use rustorium_gateway::http::server::HttpConfig;
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_shard::context::Context;
use rustorium_stages::NodeError;
use rustorium_stages::queue::Queue;
use rustorium_storage::{Durability, Journal, Store};
use rustorium_sync::state::Ban;
use rustorium_transport::{Config, FollowerLimits, Frame, Handler, Peer, SPOKEN, Transport};
use rustorium_types::{Class, Hash, Message, PublicKey, Response, ShardId, ValidatorIndex};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Parts of a node that the filling of an empty store uses.
pub(crate) struct Early<'a> {
    pub(crate) process: &'a Process,
    /// The store of the root shard.
    pub(crate) store: Arc<dyn Store>,
    /// Brings an order to stop, and shows the progress meanwhile.
    pub(crate) handle: &'a StartHandle,
}

/// Hears for the joiner, and tells others that nothing is held here yet.
struct Ear {
    events: Arc<Queue<JoinEvent>>,
    /// The transport that it hears of: taken at the end, since the two would keep each other alive.
    transport: Mutex<Option<Transport>>,
}

impl Handler for Ear {
    fn frame(&self, frame: Frame) {
        match Message::from_frame(frame.class, &frame.bytes) {
            Ok(Message::Response { id, response }) => {
                self.events.push(JoinEvent::Response { from: frame.from, id, response });
            }
            Ok(Message::Request { id, .. }) => {
                let answer = Message::Response { id, response: Response::NotHeld }.to_frame();
                if let Some(transport) = &*self.transport.lock() {
                    // Asked again where it finds no room.
                    let _ = transport.send_to(&frame.from, Class::Sync, answer.into());
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(event = "frame_refused", peer = %Hash(frame.from), reason = %error),
        }
    }

    fn link(&self, node_key: &PublicKey, up: bool) {
        self.events.push(JoinEvent::Link { node_key: *node_key, up });
    }

    fn panicked(&self, _: &'static str) {
        self.events.push(JoinEvent::Panicked);
    }
}

impl Early<'_> {
    /// Fills the store where it is empty and the chain isn't better replayed. Errors: a code and a sentence.
    pub(crate) fn run(self) -> Result<(), NodeError> {
        if self.store.tip().is_some()
            || !self.process.genesis.parameters.state_roots
            || self.process.config.peers.is_empty() && self.process.config.seeds.is_empty()
        {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("join")
            .build()
            .map_err(|error| NodeError::new("system", format!("can't start the network threads: {error}")))?;
        let events = self.handle.events.clone();
        let progress = Arc::<FillProgress>::default();
        let http = self.show(&runtime, self.shown(progress.clone()))?;
        let ear = Arc::new(Ear { events: events.clone(), transport: Mutex::default() });
        let transport = self.link(&runtime, ear.clone())?;
        *ear.transport.lock() = Some(transport.clone());
        let joined = self.join(events, transport.clone(), progress);
        *ear.transport.lock() = None;
        runtime.block_on(async {
            http.close().await;
            transport.close().await;
        });
        drop(transport);
        // The ports are free when the last task is gone.
        runtime.shutdown_timeout(Duration::from_secs(5));
        joined
    }

    /// Returns what clients and the operator see meanwhile.
    fn shown(&self, progress: Arc<FillProgress>) -> Arc<StatelessBackend> {
        let shown = self.handle.early.get_or_init(|| EarlyNode {
            backend: Arc::new(StatelessBackend {
                chain: chain_info(&self.process.genesis, ShardId::ROOT),
                name: self.process.config.name.clone(),
                durability: self.process.config.durability.name(),
                why: NoState::Filling(progress),
            }),
            audit: self.process.audit.clone(),
        });
        shown.backend.clone()
    }

    /// Whoever asks over HTTP is told how far it is.
    fn show(&self, runtime: &Runtime, backend: Arc<StatelessBackend>) -> Result<HttpServer, NodeError> {
        let http = HttpConfig {
            listen: self.process.config.http_listen,
            metrics_listen: None,
            limits: HttpLimits::default(),
            gate: self.handle.gate().clone(),
            tls: self.process.tls.clone(),
        };
        let started = runtime.block_on(HttpServer::start(http, backend, GatewayMetrics::default()));
        started.map_err(|error| NodeError::new(start_code(&error), error.to_string()))
    }

    fn join(
        &self,
        events: Arc<Queue<JoinEvent>>,
        transport: Transport,
        progress: Arc<FillProgress>,
    ) -> Result<(), NodeError> {
        let joiner = Joiner {
            store: self.store.clone(),
            transport,
            events,
            tables: self.process.tables()?,
            context: Arc::new(Context::new(&self.process.genesis, ShardId::ROOT, None)),
            peers: self.process.config.peers.len() + self.process.config.seeds.len(),
            beyond_heights: self.process.config.state_sync_beyond_heights,
            banned: self.ban_hook(progress.clone()),
            progress,
        };
        self.have_journal()?;
        match joiner.run() {
            Ok(JoinOutcome::Filled(height)) => {
                let fields = serde_json::json!({ "height": height.0 });
                if let Err(error) = self.process.audit.record("state synced", fields) {
                    tracing::error!(event = "audit_failed", reason = %error);
                }
                Ok(())
            }
            Ok(JoinOutcome::NotNeeded) => Ok(()),
            Ok(JoinOutcome::Stopped) => {
                Err(NodeError::new("stopped", "the node was stopped while it synced the state"))
            }
            Err((code, sentence)) => Err(NodeError::new(code, sentence)),
        }
    }

    fn link(&self, runtime: &Runtime, ear: Arc<Ear>) -> Result<Transport, NodeError> {
        let validators = &self.process.genesis.validators;
        let key = self.process.node_key.public();
        let me = validators.iter().zip(0..).find(|(v, _)| v.node_key == key).map(|(_, place)| ValidatorIndex(place));
        let peers = self.process.config.peers.iter().filter_map(|peer| {
            let node_key = validators.get(usize::from(peer.index))?.node_key;
            Some(Peer { index: ValidatorIndex(peer.index), node_key, address: Some(peer.address.clone()) })
        });
        let seeds = seed_book(&self.process.config);
        let named = |key: &PublicKey| validators.iter().any(|validator| validator.node_key == *key);
        let others = seed_peers(seeds.iter().filter(|(seed, _)| **seed != key && !named(seed)));
        let (queue_frames, queue_bytes) = Config::QUEUES;
        let config = Config {
            me,
            listen: self.process.config.p2p_listen,
            identity: self.process.node_key.clone(),
            shards: Default::default(),
            chain: rustorium_crypto::chain_id(&self.process.genesis),
            versions: SPOKEN,
            peers: peers.chain(others).collect(),
            queue_frames,
            queue_bytes,
            guests: Default::default(),
            followers: FollowerLimits::CLOSED,
            shaper: None,
        };
        Transport::start(config, ear, runtime.handle())
            .map_err(|error| NodeError::new(transport_code(&error), error.to_string()))
    }

    /// Names whoever lied, in log and audit log.
    fn ban_hook(&self, progress: Arc<FillProgress>) -> Box<dyn Fn(&Ban) + Send> {
        let name =
            |v: &rustorium_types::Validator| (v.node_key, String::from_utf8_lossy(v.name.as_slice()).into_owned());
        let names: Vec<(PublicKey, String)> = self.process.genesis.validators.iter().map(name).collect();
        let audit = self.process.audit.clone();
        Box::new(move |ban| {
            let known = names.iter().find(|(key, _)| *key == ban.peer).map(|(_, name)| name.clone());
            let name = known.unwrap_or_else(|| Hash(ban.peer).to_string());
            let reason = ban_reason(ban.why);
            tracing::warn!(event = "peer_banned", peer = &name, reason);
            progress.banned(name.clone());
            let fields = serde_json::json!({ "name": name, "node_key": Hash(ban.peer).to_string(), "reason": reason });
            if let Err(error) = audit.record("peer banned", fields) {
                tracing::error!(event = "audit_failed", reason = %error);
            }
        })
    }

    /// A home without store and journal is new, or was wiped: from now on it has a journal.
    fn have_journal(&self) -> Result<(), NodeError> {
        let folders = Folders::of(&self.process.config.home, ShardId::ROOT);
        refuse_missing_journal(&folders, 0, false)?;
        let failed = |error: rustorium_storage::JournalError| NodeError::new(journal_code(&error), error.to_string());
        Journal::open(&folders.journal, Durability::Vote, &self.process.at_rest, Box::new(|_| {}))
            .map(drop)
            .map_err(failed)
    }
}
