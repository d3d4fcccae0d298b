//! A running data plane: the way up and down, and its end.

use crate::backend::NodeBackend;
use crate::config::NodeConfig;
use crate::inbox::Inbox;
use crate::metrics::NodeMetrics;
use crate::port::Effect;
use crate::queue::Queue;
use crate::rotator::Rotator;
use crate::shard::Event;
use crate::starting::Starting;
use crate::statesync::{JoinEvent, Offers, Question};
use crate::verifier::Verifier;
use parking_lot::Mutex;
use rustorium_crypto::seal::MasterKey;
use rustorium_gateway::http::HttpServer;
use rustorium_gateway::quic::QuicFace;
use rustorium_storage::{AuditSink, Store};
use rustorium_transport::Transport;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Runtime;

/// Why a node did not start, or stopped.
#[derive(Debug, Error)]
#[error("{sentence}")]
pub struct NodeError {
    /// Stable name.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub sentence: String,
}

impl NodeError {
    pub(crate) fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

/// Ends a start that is filling an empty store, which may take hours; what is stored by then is gone on with.
#[derive(Clone, Default)]
pub struct StartStopper(pub(crate) Arc<Queue<JoinEvent>>);

impl StartStopper {
    /// The start ends with the code `stopped`, unless the store is filled already.
    pub fn stop(&self) {
        self.0.push(JoinEvent::Stop);
    }
}

/// A running data plane.
pub struct Node {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) events: Arc<Queue<Event>>,
    pub(crate) backend: Arc<NodeBackend>,
    pub(crate) audit: Arc<AuditSink>,
    pub(crate) rotator: Arc<Rotator>,
    pub(crate) offers: Arc<Offers>,
    pub(crate) questions: Arc<Queue<Question>>,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) addresses: BTreeMap<&'static str, String>,
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) running: Mutex<Option<Running>>,
}

pub(crate) struct Running {
    pub(crate) runtime: Runtime,
    pub(crate) transport: Transport,
    pub(crate) http: HttpServer,
    pub(crate) quic: QuicFace,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

impl Node {
    /// Opens everything and starts. Errors: a stable code and one sentence.
    pub fn start(config: NodeConfig, storage_key: Arc<MasterKey>, stopper: &StartStopper) -> Result<Self, NodeError> {
        Starting::new(config, storage_key, stopper)?.start()
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

    /// The audit log.
    pub fn audit(&self) -> &AuditSink {
        &self.audit
    }

    /// Rotation of the storage keys.
    pub fn rotator(&self) -> &Arc<Rotator> {
        &self.rotator
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
        running.runtime.block_on(async {
            running.http.close().await;
            running.quic.close().await;
            running.transport.close().await;
        });
        running.verifier.stop();
        if let Some(proofs) = &self.backend.proofs {
            proofs.close();
        }
        self.events.push(Event::Stop);
        self.questions.close();
        for thread in running.threads {
            if thread.join().is_err() {
                tracing::error!(event = "thread_panicked");
            }
        }
        self.rotator.join();
        if let Err(error) = running.store.sync() {
            tracing::error!(event = "store_sync_failed", reason = %error);
        }
        running.runtime.shutdown_timeout(Duration::from_secs(2));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}
