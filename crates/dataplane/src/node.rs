//! A running data plane: the way up and down, and its end.

use crate::backend::NodeBackend;
use crate::certificate_server::CertificateServer;
use crate::config::{NodeConfig, NodeKeys};
use crate::copier::Copier;
use crate::error::NodeError;
use crate::guarded::Threads;
use crate::inbox::Inbox;
use crate::links::Links;
use crate::metrics::NodeMetrics;
use crate::outside::Question;
use crate::port::Effect;
use crate::queue::Queue;
use crate::remote_signer::RemoteSigner;
use crate::rotator::Rotator;
use crate::shard::Event;
use crate::starting::Starting;
use crate::statesync::face::FillFace;
use crate::statesync::{JoinEvent, Offers};
use crate::verifier::Verifier;
use crate::vitals::{Vitals, VitalsNote};
use parking_lot::Mutex;
use rustorium_gateway::gate::Rules;
use rustorium_gateway::http::HttpServer;
use rustorium_gateway::quic::QuicFace;
use rustorium_gateway::{Backend, Gate};
use rustorium_storage::{AuditSink, Store};
use rustorium_transport::Transport;
use rustorium_types::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// A running data plane.
pub struct Node {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) events: Arc<Queue<Event>>,
    pub(crate) backend: Arc<NodeBackend>,
    pub(crate) audit: Arc<AuditSink>,
    pub(crate) rotator: Arc<Rotator>,
    pub(crate) copier: Arc<Copier>,
    pub(crate) offers: Arc<Offers>,
    pub(crate) questions: Arc<Queue<Question>>,
    pub(crate) links: Arc<Links>,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) addresses: BTreeMap<&'static str, String>,
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) running: Mutex<Option<Running>>,
}

pub(crate) struct Running {
    /// The threads of peers' links.
    pub(crate) runtime: Runtime,
    /// The threads of clients' connections.
    pub(crate) clients: Runtime,
    pub(crate) transport: Transport,
    pub(crate) http: HttpServer,
    pub(crate) quic: QuicFace,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) certificates: Arc<CertificateServer>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) threads: Threads,
    pub(crate) vitals: Vitals,
    pub(crate) signer: Option<Arc<RemoteSigner>>,
}

impl Node {
    /// Opens everything and starts. Errors: a stable code and one sentence.
    pub fn start(config: NodeConfig, keys: NodeKeys, handle: &StartHandle) -> Result<Self, NodeError> {
        Starting::new(config, keys, handle)?.start()
    }

    /// The descriptor that is readable while inputs wait.
    pub fn fd(&self) -> i32 {
        self.inbox.fd()
    }

    /// The way up.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The way down: effects in order.
    pub fn submit(&self, effects: Vec<Effect>) {
        self.events.push(Event::Effects(effects));
    }

    /// What the gateway sees.
    pub fn backend(&self) -> &NodeBackend {
        &self.backend
    }

    /// The node's figures.
    pub fn metrics(&self) -> &NodeMetrics {
        &self.metrics
    }

    /// Who may read and submit.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Lets these followers in from now on, besides those whom the committee makes guests; others' links end.
    pub fn set_followers(&self, keys: BTreeSet<PublicKey>) {
        self.links.guests().set_named(keys);
        if let Some(running) = self.running.lock().as_ref() {
            running.transport.set_guests(self.links.guests().keys());
        }
    }

    /// The audit log.
    pub fn audit(&self) -> &AuditSink {
        &self.audit
    }

    /// How its parts do; none once it is closed.
    pub fn vitals(&self) -> Option<VitalsNote> {
        self.running.lock().as_ref().map(|running| running.vitals.read())
    }

    /// Rotation of the storage keys.
    pub fn rotator(&self) -> &Arc<Rotator> {
        &self.rotator
    }

    /// Copies of the store for backups.
    pub fn copier(&self) -> &Arc<Copier> {
        &self.copier
    }

    /// The snapshots that it offers.
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Where it listens, by face.
    pub fn addresses(&self) -> &BTreeMap<&'static str, String> {
        &self.addresses
    }

    /// Stops: no new work, threads joined, store and journal synced, locks released. Again: nothing.
    pub fn close(&self) {
        let Some(running) = self.running.lock().take() else { return };
        self.stopping.store(true, Ordering::Release);
        running.clients.block_on(async {
            running.http.close().await;
            running.quic.close().await;
        });
        running.runtime.block_on(running.transport.close());
        running.verifier.stop();
        if let Some(proofs) = &self.backend.proofs {
            proofs.close();
        }
        // It holds the journal, which is closed by the last who does.
        drop(running.vitals);
        self.events.push(Event::Stop);
        self.questions.close();
        running.certificates.questions.close();
        if let Some(signer) = &running.signer {
            signer.close();
        }
        running.threads.join();
        self.rotator.join();
        self.copier.join();
        if let Err(error) = running.store.sync() {
            tracing::error!(event = "store_sync_failed", reason = %error);
        }
        running.clients.shutdown_timeout(Duration::from_secs(2));
        running.runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}
