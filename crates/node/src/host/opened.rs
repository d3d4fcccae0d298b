//! A shard's start: the store at its tip, the journal's records, then the threads.
//!
//! *Invariants:* nothing that a peer says is handled before the journal was read.

use super::{Host, Running};
use crate::backend::NodeBackend;
use crate::certificate_server::CertificateServer;
use crate::codes::journal_code;
use crate::collector::{OfRoot, OfShard, Scraped};
use crate::config::DurabilitySetting;
use crate::copier::Copier;
use crate::guarded::Threads;
use crate::guests::Guests;
use crate::inbound::Inlet;
use crate::links::Links;
use crate::notices::Notices;
use crate::opening::{
    Folders, address_book, open_decisions, open_notices, refuse_missing_journal, seed_book, threads_for, work_config,
};
use crate::outside::intake::Intake;
use crate::outside::{Questions, Server};
use crate::process::Process;
use crate::remote_signer::RemoteSigner;
use crate::rotator::Rotator;
use crate::shard_thread::{ShardGauges, ThreadPorts, run_shard};
use crate::statesync::Offers;
use crate::vitals::Vitals;
use parking_lot::{Mutex, RwLock};
use rustorium_gateway::ChainInfo;
use rustorium_shard::{Event, ExecutionJob, Journaled, Shard};
use rustorium_stages::clock::now;
use rustorium_stages::contained::Closes;
use rustorium_stages::decisions::Decisions;
use rustorium_stages::durability::DurabilityThread;
use rustorium_stages::executor::store_code;
use rustorium_stages::mark::Mark;
use rustorium_stages::proofs::{ProofLimits, ProofMetrics, ProofPool};
use rustorium_stages::queue::Queue;
use rustorium_stages::room::Room;
use rustorium_stages::verifier::Verifier;
use rustorium_stages::{NodeError, Replica};
use rustorium_storage::{Durability, Journal, JournalError, JournalRecord, Lsn, RocksStore, StoreError, SyncStore};
use rustorium_transport::Transport;
use rustorium_txpool::PoolConfig;
use rustorium_types::{Genesis, Rules, ShardId, encode};
use std::sync::Arc;

/// Cores a thread that checks signatures: more of them only contend, and check smaller batches.
const CORES_PER_VERIFIER: usize = 2;

/// Returns the description of a shard's chain for the gateway.
pub(crate) fn chain_info(genesis: &Arc<Genesis>, shard: ShardId) -> ChainInfo {
    ChainInfo {
        id: rustorium_crypto::chain_id(genesis),
        genesis_bytes: encode(&**genesis).into(),
        genesis: genesis.clone(),
        shard,
        name: String::from_utf8_lossy(genesis.name.as_slice()).into_owned(),
    }
}

/// An opened shard, before its threads run.
pub(crate) struct Opened {
    pub(crate) replica: Replica,
    pub(crate) links: Arc<Links>,
    pub(crate) backend: Arc<NodeBackend>,
    notices: Arc<Notices>,
    gauges: Arc<ShardGauges>,
    proofs: Option<Arc<ProofPool>>,
    offers: Arc<Offers>,
    questions: Arc<Questions>,
    rotator: Arc<Rotator>,
    copier: Arc<Copier>,
    verifier: Arc<Verifier>,
    journal: Arc<Journal>,
    journaled: Journaled,
}

impl Opened {
    /// Opens a shard on its store. Errors: a code and a sentence.
    pub(crate) fn open(process: &Process, shard: ShardId, store: Arc<RocksStore>) -> Result<Self, NodeError> {
        let (config, genesis) = (&process.config, &process.genesis);
        let unreadable = |error: StoreError| NodeError::new(store_code(&error), error.to_string());
        if store.syncing().map_err(unreadable)?.is_some() {
            let sentence = format!(
                "the store of shard {shard} is half filled from a snapshot, and no peer is named that could fill it: name \
                 peers or seeds in config.toml"
            );
            return Err(NodeError::new("sync-unfinished", sentence));
        }
        let folders = Folders::of(&config.home, shard);
        let elsewhere = config.signer.as_ref().map(|signer| signer.key_hex.0);
        let keys = (process.validator_key.clone(), elsewhere);
        let replica = Replica::open(genesis, shard, store.clone(), keys, || process.tables())?;
        let context = &replica.context;
        // Before the mark is read: what is found from now on waits in the queue.
        process.shared_key.watch(&replica.events);
        let notices = open_notices(config, process.audit.clone(), process.shared_key.clone())?;
        notices.begin_epoch(&context.validators);
        let guests = Guests::named(config.followers.iter().map(|key| key.0).collect()).with_validators_of(genesis);
        guests.read_former(&*store, &genesis.committee(shard), context.epoch()).map_err(unreadable)?;
        let book = address_book(config, genesis);
        let links = Links::new(context.clone(), process.node_key.public(), book).with_seeds(seed_book(config));
        let links = Arc::new(links.with_guests(guests));
        let proofs = context.parameters.state_roots.then(|| {
            let figures = replica.metrics.with_shard(|registry| ProofMetrics::default().register(registry));
            Arc::new(ProofPool::new(store.clone(), ProofLimits::default(), figures))
        });
        let offers = Arc::new(Offers::new(store.clone(), config.snapshot_interval_ms));
        let rotator = Rotator::new(store.clone(), process.audit.clone(), replica.stopping.clone());
        let rotator = rotator.at(&process.master, shard);
        let (journal, records) = open_journal(process, &folders, &replica, notices.retired().is_some())?;
        let journaled = replica.journaled(records, notices.retired().is_some())?;
        let verifier = replica.verifier(replica.events.clone());
        let (notices, gauges) = (Arc::new(notices), Arc::<ShardGauges>::default());
        let backend = NodeBackend {
            chain: chain_info(genesis, shard),
            name: config.name.clone(),
            links: links.clone(),
            notices: notices.clone(),
            durability: config.durability.name(),
            room: Room::new(config.pool_transactions_max),
            store: store.clone(),
            verifier: verifier.clone(),
            waiters: replica.waiters.clone(),
            gauges: gauges.clone(),
            progress: replica.progress.clone(),
            metrics: replica.metrics.clone(),
            proofs: proofs.clone(),
            inbox: replica.inbox.clone(),
            stopping: replica.stopping.clone(),
            findings: RwLock::default(),
        };
        Ok(Self {
            copier: Arc::new(Copier::new(store, &folders.base)),
            rotator: Arc::new(rotator),
            questions: Arc::default(),
            backend: Arc::new(backend),
            replica,
            links,
            notices,
            gauges,
            proofs,
            offers,
            verifier,
            journal,
            journaled,
        })
    }

    /// Returns the way in of frames and links.
    pub(crate) fn inlet(&self) -> Inlet {
        Inlet {
            events: self.replica.events.clone(),
            links: self.links.clone(),
            questions: self.questions.clone(),
            inbox: self.replica.inbox.clone(),
        }
    }

    /// Starts the threads. Errors: a code and a sentence.
    pub(crate) fn start(mut self, process: &Process, transport: Transport) -> Result<Host, NodeError> {
        let (events, jobs) = (self.replica.events.clone(), Arc::<Queue<ExecutionJob>>::default());
        let certificates = Arc::new(CertificateServer::new(self.journal.reader().clone(), transport.clone()));
        let signer = process.config.signer.as_ref();
        let signer =
            signer.map(|setting| RemoteSigner::of(setting, process.session, events.clone(), &self.replica.metrics));
        let ports = ThreadPorts {
            transport: transport.clone(),
            journal: self.journal.clone(),
            verifier: self.verifier.clone(),
            executor: jobs.clone(),
            clients: self.replica.clients(),
            notices: self.notices.clone(),
            links: self.links.clone(),
            questions: self.questions.clone(),
            metrics: self.replica.metrics.clone(),
            gauges: self.gauges.clone(),
            certificates: certificates.clone(),
            signer: signer.clone(),
        };
        self.show(process, &jobs);
        let mut vitals = Vitals::new(
            process.start,
            (events, jobs.clone()),
            self.journal.clone(),
            self.replica.store.clone(),
            self.gauges.clone(),
            self.links.clone(),
            self.replica.progress.clone(),
        )
        // The gateway serves the root shard.
        .with_tls(process.tls.clone().filter(|_| self.backend.chain.shard == ShardId::ROOT));
        let context = &self.replica.context;
        let settings = work_config(&process.config, context.rules, &context.parameters);
        let journaled = std::mem::take(&mut self.journaled);
        let shard = self.replica.shard(settings, ports, now(process.start), journaled);
        let mut threads = self.spawn_replica(process, shard, jobs, &mut vitals)?;
        self.spawn_servers(process, &transport, &certificates, (&mut threads, &mut vitals))?;
        if let Some(signer) = signer.clone() {
            vitals.watch_signer(&signer);
            threads.spawn("signer", move || signer.run())?;
        }
        self.rotator.resume(&self.journal)?;
        let Self { replica, verifier, .. } = self;
        let running = Running { transport, verifier, certificates, store: replica.store, threads, vitals, signer };
        Ok(Host {
            inbox: replica.inbox,
            events: replica.events,
            backend: self.backend,
            rotator: self.rotator,
            copier: self.copier,
            offers: self.offers,
            questions: self.questions,
            links: self.links,
            metrics: replica.metrics,
            stopping: replica.stopping,
            running: Mutex::new(Some(running)),
        })
    }

    /// Lets scrapes read what the threads share.
    fn show(&self, process: &Process, jobs: &Arc<Queue<ExecutionJob>>) {
        let scraped = Scraped {
            name: process.config.name.clone(),
            capacity: process.config.pool_transactions_max,
            journal: Arc::downgrade(&self.journal),
            store: self.replica.store.clone(),
            gauges: self.gauges.clone(),
            progress: self.replica.progress.clone(),
            links: self.links.clone(),
            notices: self.notices.clone(),
            waiters: self.replica.waiters.clone(),
            verifier: self.verifier.clone(),
            events: self.replica.events.clone(),
            jobs: jobs.clone(),
            rotator: self.rotator.clone(),
        };
        let scraped = Arc::new(scraped);
        if self.backend.chain.shard == ShardId::ROOT {
            let of_root = Box::new(OfRoot(scraped.clone()));
            self.replica.metrics.with_registry(|registry| registry.register_collector(of_root));
        }
        self.replica.metrics.with_shard(|registry| {
            self.replica.waiters.register_metrics(registry);
            registry.register_collector(Box::new(OfShard(scraped)));
            self.verifier.register_metrics(registry);
        });
    }

    /// Starts the threads of the replica and of its stages.
    fn spawn_replica(
        &self,
        process: &Process,
        shard: Shard<ThreadPorts>,
        jobs: Arc<Queue<ExecutionJob>>,
        vitals: &mut Vitals,
    ) -> Result<Threads, NodeError> {
        let roots = self.replica.roots(|| process.tables())?;
        let mut executor = self.replica.executor(roots.as_ref(), threads_for(1))?;
        // Seats govern in the root shard. The log's lines name no shard.
        if self.backend.chain.shard == ShardId::ROOT {
            let decisions = open_decisions(&process.config, process.audit.clone())?;
            executor.decided = Some(Arc::new(move |found: &Decisions| decisions.note(found)));
        }
        let (events, gauges, start) = (self.replica.events.clone(), self.gauges.clone(), process.start);
        let keeping = self.replica.keeping(process.config.keep_heights);
        let mark = Arc::<Mark>::default();
        let keeper = DurabilityThread { keeping, inbox: self.replica.inbox.clone(), mark: mark.clone() };
        vitals.watch("keep", move || mark.busy_for());
        let (mut threads, ends) = (Threads::new(self.replica.inbox.clone()), Closes(jobs.clone()));
        threads.spawn("shard", move || {
            let _ends = ends;
            run_shard(shard, &events, &gauges, start);
        })?;
        threads.spawn("execute", move || executor.run(&jobs))?;
        threads.spawn("keep", move || keeper.run())?;
        if let Some((rooter, jobs)) = roots {
            let asked = jobs.clone();
            vitals.watch("root", move || asked.busy_for());
            threads.spawn("root", move || rooter.run(&jobs))?;
        }
        if let Some(proofs) = self.proofs.clone() {
            let pool = proofs.clone();
            vitals.watch("prove", move || pool.busy_for());
            threads.spawn("prove", move || proofs.run())?;
        }
        Ok(threads)
    }

    /// Starts the threads that check signatures and answer peers.
    fn spawn_servers(
        &self,
        process: &Process,
        transport: &Transport,
        certificates: &Arc<CertificateServer>,
        (threads, vitals): (&mut Threads, &mut Vitals),
    ) -> Result<(), NodeError> {
        for _ in 0..threads_for(CORES_PER_VERIFIER) {
            let verifier = self.verifier.clone();
            threads.spawn("verify", move || verifier.run())?;
        }
        let (checks, asked) = (self.verifier.clone(), self.questions.clone());
        vitals.watch("verify", move || checks.busy_for());
        vitals.watch("snapshots", move || asked.busy_for());
        let (offers, questions) = (self.offers.clone(), self.questions.clone());
        let intake = Intake {
            chain: self.replica.context.chain(),
            // The shard's own pool knows the epoch's rules.
            pool: PoolConfig::of_chain(Rules::NEWEST, &self.replica.context.parameters),
            capacity: process.config.pool_transactions_max,
            store: self.replica.store.clone(),
            gauges: self.gauges.clone(),
            parameters: self.replica.parameters.clone(),
        };
        let server = Server::new(offers, questions, transport.clone(), self.replica.store.clone());
        let server = server.with_intake(intake, self.replica.events.clone());
        threads.spawn("snapshots", move || server.run())?;
        let (server, asked) = (certificates.clone(), certificates.clone());
        vitals.watch("certificates", move || asked.questions.busy_for());
        threads.spawn("certificates", move || server.run())
    }
}

fn open_journal(
    process: &Process,
    folders: &Folders,
    replica: &Replica,
    retired: bool,
) -> Result<(Arc<Journal>, Vec<JournalRecord>), NodeError> {
    let config = &process.config;
    let durability = match config.durability {
        DurabilitySetting::Vote => Durability::Vote,
        DurabilitySetting::Os => Durability::Os,
    };
    let (events, inbox) = (replica.events.clone(), replica.inbox.clone());
    let done = Box::new(move |result: Result<Lsn, JournalError>| match result {
        Ok(position) => {
            events.push(Event::Durable(position.0));
        }
        Err(error) => inbox.fail(journal_code(&error), &error.to_string()),
    });
    if !retired {
        refuse_missing_journal(folders, replica.tip.height.0, config.signer.is_some())?;
    }
    let (journal, records) = Journal::open(&folders.journal, durability, &process.master.at_rest(), done)
        .map_err(|error| NodeError::new(journal_code(&error), error.to_string()))?;
    Ok((Arc::new(journal), records))
}
