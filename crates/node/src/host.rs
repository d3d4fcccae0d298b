//! A hosted shard: the store, journal, inbox, queues and threads of one shard in a node's process.
//!
//! *Invariants:* knows no other shard of the process; a part that fails stops its own core and no other's; what the shards of
//! a process share comes from `Process` and from the transport.

mod opened;

use crate::backend::NodeBackend;
use crate::certificate_server::CertificateServer;
use crate::copier::Copier;
use crate::guarded::Threads;
use crate::links::Links;
use crate::outside::Questions;
use crate::remote_signer::RemoteSigner;
use crate::rotator::Rotator;
use crate::statesync::Offers;
use crate::vitals::{Vitals, VitalsNote};
pub(crate) use opened::{Opened, chain_info};
use parking_lot::Mutex;
use rustorium_shard::Event;
use rustorium_shard::port::Effect;
use rustorium_stages::inbox::Inbox;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::queue::Queue;
use rustorium_stages::verifier::Verifier;
use rustorium_storage::Store;
use rustorium_transport::Transport;
use rustorium_types::PublicKey;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A running shard.
pub struct Host {
    inbox: Arc<Inbox>,
    events: Arc<Queue<Event>>,
    backend: Arc<NodeBackend>,
    rotator: Arc<Rotator>,
    copier: Arc<Copier>,
    offers: Arc<Offers>,
    questions: Arc<Questions>,
    links: Arc<Links>,
    metrics: Arc<NodeMetrics>,
    stopping: Arc<AtomicBool>,
    running: Mutex<Option<Running>>,
}

struct Running {
    transport: Transport,
    verifier: Arc<Verifier>,
    certificates: Arc<CertificateServer>,
    store: Arc<dyn Store>,
    threads: Threads,
    vitals: Vitals,
    signer: Option<Arc<RemoteSigner>>,
}

impl Host {
    /// Returns the inbox of the shard's core. Its descriptor is readable while inputs wait.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Applies the core's effects, in order.
    pub fn submit(&self, effects: Vec<Effect>) {
        self.events.push(Event::Effects(effects));
    }

    /// Returns the gateway's view of the shard.
    pub fn backend(&self) -> &NodeBackend {
        &self.backend
    }

    /// Returns the shard's figures.
    pub fn metrics(&self) -> &NodeMetrics {
        &self.metrics
    }

    /// Returns the health of the shard's parts; `None` after `close`.
    pub fn vitals(&self) -> Option<VitalsNote> {
        self.running.lock().as_ref().map(|running| running.vitals.read(&running.transport.status()))
    }

    /// Returns the rotation of the store's keys.
    pub fn rotator(&self) -> &Arc<Rotator> {
        &self.rotator
    }

    /// Returns the copies of the store for backups.
    pub fn copier(&self) -> &Arc<Copier> {
        &self.copier
    }

    /// Returns the snapshots that are offered.
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Admits these followers from now on, besides the guests that the committee makes; others' links end.
    pub(crate) fn set_followers(&self, keys: BTreeSet<PublicKey>) {
        self.links.guests().set_named(keys);
        if let Some(running) = self.running.lock().as_ref() {
            running.transport.set_guests(self.links.guests().keys());
        }
    }

    /// Tells the shard's parts that the node stops.
    pub(crate) fn stop_soon(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Ends the shard: threads joined, store and journal synced, locks released. A second call does nothing.
    pub(crate) fn close(&self) {
        let Some(running) = self.running.lock().take() else { return };
        self.stop_soon();
        running.verifier.stop();
        if let Some(proofs) = &self.backend.proofs {
            proofs.close();
        }
        // The vitals hold the journal, which closes with its last holder.
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
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.close();
    }
}
