//! Filling of a hosted shard whose store is empty, over the node's own links, while other shards run.
//!
//! *Invariants:* what is asked about the shard meanwhile is answered with "not held"; only peers that are asked are heard, and
//! what they send and nobody has read yet is bounded; a safety journal is there before its store has a height, so that its
//! absence is noticed ever after.

use super::join::{JoinEvent, JoinOutcome, Joiner, ban_reason};
use super::progress::FillProgress;
use crate::codes::{journal_code, transport_code};
use crate::links::seed_peers;
use crate::opening::{Folders, address_book, refuse_missing_journal, seed_book};
use crate::process::Process;
use rustorium_shard::context::Context;
use rustorium_stages::NodeError;
use rustorium_stages::queue::Queue;
use rustorium_storage::{Durability, Journal, Store};
use rustorium_sync::state::Ban;
use rustorium_transport::{Frame, Peer, Transport};
use rustorium_types::{Class, Hash, Message, PublicKey, Response, ShardId, Validator, ValidatorIndex};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Code of a filling that was told to stop.
pub(crate) const STOPPED: &str = "stopped";

/// A shard that is being filled: its peers, its way in, and its progress.
pub(crate) struct Filling {
    shard: ShardId,
    place: Option<ValidatorIndex>,
    peers: Vec<Peer>,
    asked: BTreeSet<PublicKey>,
    transport: Transport,
    pub(crate) events: Arc<Queue<JoinEvent>>,
    progress: Arc<FillProgress>,
}

/// Tells if an empty store is to be filled from peers, as far as is known before they are asked.
pub(crate) fn is_fillable(process: &Process, store: &dyn Store) -> bool {
    let config = &process.config;
    let knows_peers = !config.peers.is_empty() || !config.seeds.is_empty();
    store.tip().is_none() && process.genesis.parameters.state_roots && knows_peers
}

impl Filling {
    /// Creates it for a shard, over the shard's links of this transport. It asks the members of the shard's first committee
    /// whose addresses the node knows, and the seeds.
    pub(crate) fn new(process: &Process, shard: ShardId, transport: Transport, progress: Arc<FillProgress>) -> Self {
        let (place, peers) = peers_of(process, shard);
        let asked = peers.iter().map(|peer| peer.node_key).collect();
        Self { shard, place, peers, asked, transport, events: Arc::default(), progress }
    }

    /// Takes a frame of a peer.
    pub(crate) fn frame(&self, frame: Frame) {
        if !self.asked.contains(&frame.from) {
            return;
        }
        let Frame { from, class, bytes, credit, .. } = frame;
        match Message::from_frame(class, &bytes) {
            Ok(Message::Response { id, response }) => {
                self.events.push(JoinEvent::Response { from, id, response, credit });
            }
            Ok(Message::Request { id, .. }) => {
                let answer = Message::Response { id, response: Response::NotHeld }.to_frame();
                // Asked again where it finds no room.
                let _ = self.transport.send_to(&from, Class::Sync, answer.into());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(event = "frame_refused", peer = %Hash(from), reason = %error),
        }
    }

    /// Takes the news that a link came up or went down.
    pub(crate) fn link(&self, node_key: &PublicKey, up: bool) {
        if self.asked.contains(node_key) {
            self.events.push(JoinEvent::Link { node_key: *node_key, up });
        }
    }

    /// Ends `run`: a shared part panicked.
    pub(crate) fn panicked(&self) {
        self.events.push(JoinEvent::Panicked);
    }

    /// Ends `run`. What is stored by then is gone on with next time.
    pub(crate) fn stop(&self) {
        self.events.push(JoinEvent::Stop);
    }

    /// Fills the store, unless its chain is better replayed. Errors: a code and a sentence, `stopped` after `stop`.
    pub(crate) fn run(&self, process: &Process, store: Arc<dyn Store>) -> Result<(), NodeError> {
        let linked = self.transport.set_peers(self.place, &self.peers);
        linked.map_err(|error| NodeError::new(transport_code(&error), error.to_string()))?;
        let joiner = Joiner {
            store,
            transport: self.transport.clone(),
            events: self.events.clone(),
            tables: process.tables()?,
            context: Arc::new(Context::new(&process.genesis, self.shard, None)),
            peers: self.peers.len(),
            beyond_heights: process.config.state_sync_beyond_heights,
            banned: self.ban_hook(process),
            progress: self.progress.clone(),
        };
        have_journal(process, self.shard)?;
        match joiner.run() {
            Ok(JoinOutcome::Filled(height)) => {
                let mut fields = serde_json::json!({ "height": height.0 });
                if !process.hosts_one() {
                    fields["shard"] = self.shard.0.into();
                }
                if let Err(error) = process.audit.record("state synced", fields) {
                    tracing::error!(event = "audit_failed", reason = %error);
                }
                Ok(())
            }
            Ok(JoinOutcome::NotNeeded) => Ok(()),
            Ok(JoinOutcome::Stopped) => Err(NodeError::new(STOPPED, "the node was stopped while it synced the state")),
            Err((code, sentence)) => Err(NodeError::new(code, sentence)),
        }
    }

    /// Names whoever lied, in log and audit log.
    fn ban_hook(&self, process: &Process) -> Box<dyn Fn(&Ban) + Send> {
        let name = |v: &Validator| (v.node_key, String::from_utf8_lossy(v.name.as_slice()).into_owned());
        let names: Vec<(PublicKey, String)> = process.genesis.validators.iter().map(name).collect();
        let (audit, progress) = (process.audit.clone(), self.progress.clone());
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
}

/// Returns this node's place in a shard's first committee, and the nodes to link with before it knows the shard's state.
pub(crate) fn peers_of(process: &Process, shard: ShardId) -> (Option<ValidatorIndex>, Vec<Peer>) {
    let (config, genesis) = (&process.config, &process.genesis);
    let (committee, own) = (genesis.committee(shard), process.node_key.public());
    let place = |key: &PublicKey| {
        let mut members = committee.iter().zip(0..);
        members.find(|(member, _)| member.node_key == *key).map(|(_, place)| ValidatorIndex(place))
    };
    let members = address_book(config, genesis)
        .into_iter()
        .filter_map(|(node_key, address)| Some(Peer { index: place(&node_key)?, node_key, address: Some(address) }));
    let seeds = seed_book(config);
    let others = seed_peers(seeds.iter().filter(|(seed, _)| **seed != own && place(seed).is_none()));
    (place(&own), members.chain(others).collect())
}

/// A home without store and journal is new, or was wiped: from now on it has a journal.
fn have_journal(process: &Process, shard: ShardId) -> Result<(), NodeError> {
    let folders = Folders::of(&process.config.home, shard);
    refuse_missing_journal(&folders, 0, false)?;
    let failed = |error: rustorium_storage::JournalError| NodeError::new(journal_code(&error), error.to_string());
    Journal::open(&folders.journal, Durability::Vote, &process.master.at_rest(), Box::new(|_| {}))
        .map(drop)
        .map_err(failed)
}
