//! A node's way up: opens store and journal, starts the threads, joins the peers.

use crate::backend::NodeBackend;
use crate::certificate_server::CertificateServer;
use crate::codes::{journal_code, start_code, transport_code};
use crate::collector::Scraped;
use crate::config::{DurabilitySetting, NodeConfig, NodeKeys};
use crate::copier::Copier;
use crate::guarded::Threads;
use crate::guests::Guests;
use crate::shard_thread::{ShardGauges, ThreadPorts, run_shard};
use crate::inbound::Inbound;
use crate::links::Links;
use crate::node::{Node, Running, StartHandle};
use crate::notices::Notices;
use crate::opening::{
    address_book, network_threads, open_notices, open_tls, read_genesis, refuse_missing_journal, seed_book, shaper,
    threads_for, work_config,
};
use crate::outside::intake::Intake;
use crate::outside::{Question, Server};
use crate::remote_signer::RemoteSigner;
use crate::rotator::Rotator;
use crate::statesync::Offers;
use crate::statesync::early::Early;
use crate::vitals::Vitals;
use parking_lot::{Mutex, RwLock};
use rustorium_crypto::keystore::StorageKeys;
use rustorium_crypto::seal::AtRest;
use rustorium_crypto::{SigningKey, locked};
use rustorium_gateway::gate::Access;
use rustorium_gateway::http::server::{HttpConfig, StartError};
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::quic::{QuicFace, QuicLimits};
use rustorium_gateway::{Backend, ChainInfo, Gate, GatewayMetrics, Tls};
use rustorium_shard::{Event, ExecutionJob, Shard};
use rustorium_stages::clock::now;
use rustorium_stages::contained::Closes;
use rustorium_stages::durability::Keeper;
use rustorium_stages::executor::store_code;
use rustorium_stages::mark::Mark;
use rustorium_stages::proofs::{ProofLimits, ProofMetrics, ProofPool};
use rustorium_stages::queue::Queue;
use rustorium_stages::room::Room;
use rustorium_stages::tables::open_tables;
use rustorium_stages::verifier::Verifier;
use rustorium_stages::{NodeError, Replica};
use rustorium_storage::{AuditSink, Durability, Journal, RocksStore, StoreConfig};
use rustorium_transport::{FollowerLimits, Transport};
use rustorium_txpool::PoolConfig;
use rustorium_types::{Genesis, ShardId, encode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::runtime::Runtime;

/// Cores a thread that checks signatures: more of them only contend, and check smaller batches.
const CORES_PER_VERIFIER: usize = 2;
/// Threads for clients' reads: the gateway lets fewer reads run at once.
const READ_THREADS_MAX: usize = 32;

/// What is open before the threads run.
pub(crate) struct Starting {
    config: NodeConfig,
    genesis: Arc<Genesis>,
    replica: Replica,
    node_key: SigningKey,
    at_rest: AtRest,
    audit: Arc<AuditSink>,
    rotator: Arc<Rotator>,
    copier: Arc<Copier>,
    notices: Arc<Notices>,
    links: Arc<Links>,
    gauges: Arc<ShardGauges>,
    proofs: Option<Arc<ProofPool>>,
    offers: Arc<Offers>,
    questions: Arc<Queue<Question>>,
    gate: Arc<Gate>,
    tls: Option<Arc<Tls>>,
    start: Instant,
}

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

impl Starting {
    pub(crate) fn new(config: NodeConfig, keys: NodeKeys, handle: &StartHandle) -> Result<Self, NodeError> {
        let genesis = Arc::new(read_genesis(&config.genesis_path)?);
        let tls = open_tls(&config)?;
        let NodeKeys { storage: storage_keys, node: node_key, validator: validator_key } = keys;
        let store_config =
            StoreConfig { cache_bytes: config.cache_bytes, roots_kept: config.proofs_kept, ..StoreConfig::default() };
        let StorageKeys { newest, before } = storage_keys;
        let at_rest = AtRest::rekeyed(newest, before, rustorium_crypto::chain_id(&genesis));
        let store = RocksStore::open(&config.home.join("db"), &store_config, &at_rest)
            .map_err(|error| NodeError::new(store_code(&error), error.to_string()))?;
        let audit = AuditSink::open(&config.home.join("audit"), node_key.clone())
            .map_err(|error| NodeError::new("audit-failed", error.to_string()))?;
        let (audit, store) = (Arc::new(audit), Arc::new(store));
        let (early_store, early_audit) = (store.clone(), audit.clone());
        Early {
            config: &config,
            genesis: &genesis,
            node_key: &node_key,
            at_rest: &at_rest,
            store: early_store,
            audit: early_audit,
            tls: tls.clone(),
            handle,
        }
        .run()?;
        let elsewhere = config.signer.as_ref().map(|signer| signer.key_hex.0);
        let replica = Replica::open(&genesis, ShardId::ROOT, store.clone(), validator_key, elsewhere)?;
        let context = &replica.context;
        let notices = open_notices(&config, audit.clone())?;
        notices.begin_epoch(&context.validators);
        let book = address_book(&config, &genesis);
        let guests = Guests::named(config.followers.iter().map(|key| key.0).collect());
        guests
            .read_former(&*store, &genesis, context.epoch())
            .map_err(|error| NodeError::new(store_code(&error), error.to_string()))?;
        let links = Links::new(context.clone(), node_key.public(), book).with_seeds(seed_book(&config));
        let links = links.with_guests(guests);
        let proofs = context.parameters.state_roots.then(|| {
            let figures = replica.metrics.with_registry(|registry| ProofMetrics::default().register(registry));
            Arc::new(ProofPool::new(store.clone(), ProofLimits::default(), figures))
        });
        let offers = Arc::new(Offers::new(store.clone(), config.snapshot_interval_ms));
        let stopping = replica.stopping.clone();
        Ok(Self {
            genesis,
            node_key,
            rotator: Arc::new(Rotator::new(store.clone(), audit.clone(), stopping).at(&config.home, &at_rest)),
            copier: Arc::new(Copier::new(store, &config.home)),
            at_rest,
            audit,
            notices: Arc::new(notices),
            links: Arc::new(links),
            proofs,
            gauges: Arc::default(),
            offers,
            gate: handle.gate().clone(),
            tls,
            questions: Arc::default(),
            start: Instant::now(),
            replica,
            config,
        })
    }

    pub(crate) fn start(self) -> Result<Node, NodeError> {
        let (journal, records) = self.open_journal(self.replica.tip.height.0)?;
        if locked::refused() {
            let advice = "raise the memlock limit (ulimit -l) to 1024 KiB or more: keys may reach swap until then";
            tracing::warn!(event = "memory_not_locked", advice);
        }
        let journaled = self.replica.journaled(records, self.notices.retired().is_some())?;
        let runtime = network_threads("network", 1)?;
        let clients = network_threads("gateway", READ_THREADS_MAX)?;
        let transport = self.start_transport(&runtime)?;
        let verifier = self.replica.verifier(self.replica.events.clone());
        let backend = Arc::new(self.backend(verifier.clone()));
        let (http, quic) = self.start_gateway(&clients, backend.clone())?;
        let jobs: Arc<Queue<ExecutionJob>> = Arc::default();
        let certificates = Arc::new(CertificateServer::new(journal.reader().clone(), transport.clone()));
        let signer = self.config.signer.as_ref();
        let signer =
            signer.map(|setting| RemoteSigner::of(setting, self.replica.events.clone(), &self.replica.metrics));
        let ports = ThreadPorts {
            transport: transport.clone(),
            journal: journal.clone(),
            verifier: verifier.clone(),
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
        self.show(&journal, &verifier, &jobs);
        let mut vitals = Vitals::new(
            self.start,
            (self.replica.events.clone(), jobs.clone()),
            journal.clone(),
            self.replica.store.clone(),
            self.gauges.clone(),
            self.links.clone(),
        )
        .with_tls(self.tls.clone());
        let at = now(self.start);
        let settings = work_config(&self.config, &self.replica.context.parameters);
        let shard = self.replica.shard(settings, ports, at, journaled);
        let mut threads = self.spawn_threads(shard, jobs, &mut vitals)?;
        for _ in 0..threads_for(CORES_PER_VERIFIER) {
            let verifier = verifier.clone();
            threads.spawn("verify", move || verifier.run())?;
        }
        let (checks, asked) = (verifier.clone(), self.questions.clone());
        vitals.watch("verify", move || checks.busy_for());
        vitals.watch("snapshots", move || asked.busy_for());
        if let Some(signer) = signer.clone() {
            vitals.watch_signer(&signer);
            threads.spawn("signer", move || signer.run())?;
        }
        let server = self.server(&transport);
        threads.spawn("snapshots", move || server.run())?;
        let (server, asked) = (certificates.clone(), certificates.clone());
        vitals.watch("certificates", move || asked.questions.busy_for());
        threads.spawn("certificates", move || server.run())?;
        let mut addresses = BTreeMap::new();
        addresses.insert("p2p", transport.local_addr().map(|a| a.to_string()).unwrap_or_default());
        addresses.insert("http", http.local_addr().to_string());
        addresses.insert("metrics", http.metrics_addr().map(|a| a.to_string()).unwrap_or_default());
        addresses.insert("client", quic.local_addr().to_string());
        let store = self.replica.store.clone();
        self.rotator.resume(&journal)?;
        Ok(Node {
            inbox: self.replica.inbox,
            events: self.replica.events,
            backend,
            audit: self.audit,
            rotator: self.rotator,
            copier: self.copier,
            offers: self.offers,
            questions: self.questions,
            links: self.links,
            metrics: self.replica.metrics,
            gate: self.gate,
            addresses,
            stopping: self.replica.stopping,
            running: Mutex::new(Some(Running {
                runtime,
                clients,
                transport,
                http,
                quic,
                verifier,
                certificates,
                store,
                threads,
                vitals,
                signer,
            })),
        })
    }

    fn open_journal(&self, height: u64) -> Result<(Arc<Journal>, Vec<rustorium_storage::JournalRecord>), NodeError> {
        let durability = match self.config.durability {
            DurabilitySetting::Vote => Durability::Vote,
            DurabilitySetting::Os => Durability::Os,
        };
        let (events, inbox) = (self.replica.events.clone(), self.replica.inbox.clone());
        let done =
            Box::new(move |result: Result<rustorium_storage::Lsn, rustorium_storage::JournalError>| match result {
                Ok(position) => {
                    events.push(Event::Durable(position.0));
                }
                Err(error) => inbox.fail(journal_code(&error), &error.to_string()),
            });
        let folder = self.config.home.join("safety");
        if self.notices.retired().is_none() {
            refuse_missing_journal(&folder, height, self.config.signer.is_some())?;
        }
        let (journal, records) = Journal::open(&folder, durability, &self.at_rest, done)
            .map_err(|error| NodeError::new(journal_code(&error), error.to_string()))?;
        Ok((Arc::new(journal), records))
    }

    /// Lets scrapes read what the threads share.
    fn show(&self, journal: &Arc<Journal>, verifier: &Arc<Verifier>, jobs: &Arc<Queue<ExecutionJob>>) {
        let scraped = Scraped {
            home: self.config.home.clone(),
            name: self.config.name.clone(),
            started: SystemTime::now(),
            capacity: self.config.pool_transactions_max,
            journal: Arc::downgrade(journal),
            store: self.replica.store.clone(),
            gauges: self.gauges.clone(),
            progress: self.replica.progress.clone(),
            links: self.links.clone(),
            notices: self.notices.clone(),
            waiters: self.replica.waiters.clone(),
            verifier: verifier.clone(),
            events: self.replica.events.clone(),
            jobs: jobs.clone(),
            rotator: self.rotator.clone(),
        };
        self.replica.metrics.with_registry(|registry| {
            registry.register_collector(Box::new(scraped));
            self.replica.waiters.register_metrics(registry);
            verifier.register_metrics(registry);
        });
    }

    fn start_transport(&self, runtime: &Runtime) -> Result<Transport, NodeError> {
        let shaper = self.config.shaper.as_ref().map(shaper).transpose()?;
        let (queue_frames, queue_bytes) = rustorium_transport::Config::QUEUES;
        let config = rustorium_transport::Config {
            me: self.replica.context.me(),
            listen: self.config.p2p_listen,
            identity: self.node_key.clone(),
            chain: self.replica.context.chain(),
            versions: rustorium_transport::SPOKEN,
            peers: self.links.to_dial(),
            queue_frames,
            queue_bytes,
            guests: self.links.guests().keys(),
            followers: FollowerLimits::open(self.config.strangers_max),
            shaper,
        };
        let handler = Arc::new(Inbound {
            events: self.replica.events.clone(),
            links: self.links.clone(),
            questions: self.questions.clone(),
            open: self.config.gateway.submit == Access::Open,
            inbox: self.replica.inbox.clone(),
        });
        let transport = Transport::start(config, handler, runtime.handle())
            .map_err(|error| NodeError::new(transport_code(&error), error.to_string()))?;
        self.replica.metrics.with_registry(|registry| transport.metrics().register(registry));
        Ok(transport)
    }

    fn server(&self, transport: &Transport) -> Server {
        let intake = Intake {
            chain: self.replica.context.chain(),
            pool: PoolConfig::for_parameters(&self.replica.context.parameters),
            capacity: self.config.pool_transactions_max,
            store: self.replica.store.clone(),
            gauges: self.gauges.clone(),
        };
        let (offers, questions) = (self.offers.clone(), self.questions.clone());
        Server::new(offers, questions, transport.clone(), self.replica.store.clone())
            .with_intake(intake, self.replica.events.clone())
    }

    fn backend(&self, verifier: Arc<Verifier>) -> NodeBackend {
        NodeBackend {
            chain: chain_info(&self.genesis, self.replica.context.shard()),
            name: self.config.name.clone(),
            links: self.links.clone(),
            notices: self.notices.clone(),
            durability: self.config.durability.name(),
            room: Room::new(self.config.pool_transactions_max),
            store: self.replica.store.clone(),
            verifier,
            waiters: self.replica.waiters.clone(),
            gauges: self.gauges.clone(),
            progress: self.replica.progress.clone(),
            metrics: self.replica.metrics.clone(),
            proofs: self.proofs.clone(),
            inbox: self.replica.inbox.clone(),
            stopping: self.replica.stopping.clone(),
            findings: RwLock::default(),
        }
    }

    fn start_gateway(&self, runtime: &Runtime, backend: Arc<NodeBackend>) -> Result<(HttpServer, QuicFace), NodeError> {
        let metrics = GatewayMetrics::default();
        self.replica.metrics.with_registry(|registry| metrics.register(registry));
        let http = HttpConfig {
            listen: self.config.http_listen,
            metrics_listen: Some(self.config.metrics_listen),
            limits: HttpLimits::default(),
            gate: self.gate.clone(),
            tls: self.tls.clone(),
        };
        let backend: Arc<dyn Backend> = backend;
        let failed = |error: StartError| NodeError::new(start_code(&error), error.to_string());
        let http = runtime.block_on(HttpServer::start(http, backend.clone(), metrics.clone())).map_err(failed)?;
        let _inside = runtime.enter();
        let tls = rustorium_transport::tls::client_face_server(&self.node_key)
            .map_err(|error| NodeError::new("system", error.to_string()))?;
        let quic =
            QuicFace::start(self.config.client_listen, tls, backend, self.gate.clone(), QuicLimits::default(), metrics);
        let quic = quic.map_err(failed)?;
        Ok((http, quic))
    }

    fn spawn_threads(
        &self,
        shard: Shard<ThreadPorts>,
        jobs: Arc<Queue<ExecutionJob>>,
        vitals: &mut Vitals,
    ) -> Result<Threads, NodeError> {
        let roots = self.replica.roots(|| open_tables(&self.config.home).map(Arc::new))?;
        let executor = self.replica.executor(roots.as_ref(), threads_for(1));
        let (events, gauges, start) = (self.replica.events.clone(), self.gauges.clone(), self.start);
        let keeping = self.replica.keeping(self.config.keep_heights);
        let mark = Arc::<Mark>::default();
        let keeper = Keeper { keeping, inbox: self.replica.inbox.clone(), mark: mark.clone() };
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
}
