//! A node's way up: opens store and journal, starts the threads, joins the peers.

use crate::backend::NodeBackend;
use crate::certificate_server::CertificateServer;
use crate::clients::{Clients, prover};
use crate::clock::now;
use crate::codes::{journal_code, start_code, transport_code};
use crate::config::{DurabilitySetting, NodeConfig, NodeKeys};
use crate::contained::Closes;
use crate::context::Context;
use crate::copier::Copier;
use crate::error::NodeError;
use crate::executor::{Executor, Progress, store_code};
use crate::guarded::Threads;
use crate::guests::Guests;
use crate::inbound::Inbound;
use crate::inbox::Inbox;
use crate::keeper::{Keeper, Keeping};
use crate::links::Links;
use crate::mark::Mark;
use crate::metrics::NodeMetrics;
use crate::node::{Node, Running, StartHandle};
use crate::notices::Notices;
use crate::opening::{
    address_book, network_threads, open_notices, open_tls, read_genesis, refuse_missing_journal, seed_book, shaper,
    threads_for, work_config,
};
use crate::outside::intake::Intake;
use crate::outside::{Question, Server};
use crate::proofs::{ProofLimits, ProofMetrics, ProofPool};
use crate::proving::Scoped;
use crate::queue::Queue;
use crate::recover;
use crate::remote_signer::RemoteSigner;
use crate::room::Room;
use crate::rooter::{RootMetrics, Rooter};
use crate::rooting::RootJob;
use crate::rotator::Rotator;
use crate::scraped::Scraped;
use crate::shard::{Event, ExecutionJob, Shard};
use crate::statesync::Offers;
use crate::statesync::early::Early;
use crate::tables::open_tables;
use crate::threads::{ShardGauges, ThreadPorts, run_shard};
use crate::verifier::Verifier;
use crate::vitals::Vitals;
use crate::waiters::Waiters;
use parking_lot::{Mutex, RwLock};
use rustorium_api::{Newest, Submitted};
use rustorium_crypto::keystore::StorageKeys;
use rustorium_crypto::seal::AtRest;
use rustorium_crypto::{SigningKey, locked};
use rustorium_execution::Keys;
use rustorium_gateway::gate::Access;
use rustorium_gateway::http::server::{HttpConfig, StartError};
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::quic::{QuicFace, QuicLimits};
use rustorium_gateway::{Backend, ChainInfo, Gate, GatewayMetrics, Tls};
use rustorium_storage::{AuditSink, Durability, Journal, RocksStore, Store, StoreConfig, StoreError};
use rustorium_transport::{FollowerLimits, Transport};
use rustorium_txpool::PoolConfig;
use rustorium_types::{Genesis, ShardId, TxId, encode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    context: Arc<Context>,
    node_key: SigningKey,
    store: Arc<dyn Store>,
    at_rest: AtRest,
    audit: Arc<AuditSink>,
    rotator: Arc<Rotator>,
    copier: Arc<Copier>,
    notices: Arc<Notices>,
    links: Arc<Links>,
    metrics: Arc<NodeMetrics>,
    inbox: Arc<Inbox>,
    waiters: Arc<Waiters>,
    progress: Arc<Progress>,
    gauges: Arc<ShardGauges>,
    events: Arc<Queue<Event>>,
    proofs: Option<Arc<ProofPool>>,
    stopping: Arc<AtomicBool>,
    offers: Arc<Offers>,
    questions: Arc<Queue<Question>>,
    gate: Arc<Gate>,
    tls: Option<Arc<Tls>>,
    start: Instant,
}

/// The chain as the gateway shows it.
pub(crate) fn chain_info(genesis: &Arc<Genesis>) -> ChainInfo {
    ChainInfo {
        id: rustorium_crypto::chain_id(genesis),
        genesis_bytes: encode(&**genesis).into(),
        genesis: genesis.clone(),
        shard: ShardId(0),
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
        let (audit, store, stopping) = (Arc::new(audit), Arc::new(store), Arc::<AtomicBool>::default());
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
        let store_failed = |error: StoreError| NodeError::new(store_code(&error), error.to_string());
        let tip = recover::tip_of(&*store, &genesis).map_err(store_failed)?;
        let context = Context::at(&genesis, validator_key, &*store, &tip.header).map_err(store_failed)?;
        let context = Arc::new(context.signed_elsewhere(config.signer.as_ref().map(|signer| signer.key_hex.0)));
        let notices = open_notices(&config, audit.clone())?;
        notices.begin_epoch(&context.validators);
        let book = address_book(&config, &genesis);
        let guests = Guests::named(config.followers.iter().map(|key| key.0).collect());
        guests.read_former(&*store, &genesis, context.epoch()).map_err(store_failed)?;
        let links = Links::new(context.clone(), node_key.public(), book).with_seeds(seed_book(&config));
        let links = links.with_guests(guests);
        let inbox = Inbox::new().map_err(|error| NodeError::new("system", format!("no eventfd: {error}")))?;
        let metrics = Arc::new(NodeMetrics::new());
        let proofs = context.parameters.state_roots.then(|| {
            let figures = metrics.with_registry(|registry| ProofMetrics::default().register(registry));
            Arc::new(ProofPool::new(store.clone(), ProofLimits::default(), figures))
        });
        let offers = Arc::new(Offers::new(store.clone(), config.snapshot_interval_ms));
        Ok(Self {
            context,
            genesis,
            node_key,
            rotator: Arc::new(Rotator::new(store.clone(), audit.clone(), stopping.clone()).at(&config.home, &at_rest)),
            copier: Arc::new(Copier::new(store.clone(), &config.home)),
            store,
            at_rest,
            audit,
            notices: Arc::new(notices),
            links: Arc::new(links),
            metrics,
            proofs,
            inbox: Arc::new(inbox),
            waiters: Arc::default(),
            progress: Arc::default(),
            gauges: Arc::default(),
            events: Arc::default(),
            stopping,
            offers,
            gate: handle.gate().clone(),
            tls,
            questions: Arc::default(),
            start: Instant::now(),
            config,
        })
    }

    pub(crate) fn start(self) -> Result<Node, NodeError> {
        let store_failed = |error: StoreError| NodeError::new(store_code(&error), error.to_string());
        let tip = recover::tip_of(&*self.store, &self.genesis).map_err(store_failed)?;
        self.progress.executed.store(tip.height.0, Ordering::Release);
        self.progress.claimed.store(tip.header.result.height.0, Ordering::Release);
        self.progress.newest.send_replace(Newest { height: tip.height, block: None });
        let (journal, records) = self.open_journal(tip.height.0)?;
        if locked::refused() {
            let advice = "raise the memlock limit (ulimit -l) to 1024 KiB or more: keys may reach swap until then";
            tracing::warn!(event = "memory_not_locked", advice);
        }
        let mut journaled = recover::decode_journal(&self.context, &*self.store, &tip, records)
            .map_err(|sentence| NodeError::new("journal-corrupt", sentence))?;
        journaled.retired = self.notices.retired().is_some();
        let runtime = network_threads("network", 1)?;
        let clients = network_threads("gateway", READ_THREADS_MAX)?;
        let transport = self.start_transport(&runtime)?;
        let committee = self.context.committee.clone();
        let verifier = Arc::new(Verifier::new(committee, self.waiters.clone(), self.events.clone()));
        let backend = Arc::new(self.backend(verifier.clone()));
        let (http, quic) = self.start_gateway(&clients, backend.clone())?;
        let jobs: Arc<Queue<ExecutionJob>> = Arc::default();
        let certificates = Arc::new(CertificateServer::new(journal.reader().clone(), transport.clone()));
        let signer = self.config.signer.as_ref();
        let signer = signer.map(|setting| RemoteSigner::of(setting, self.events.clone(), &self.metrics));
        let ports = ThreadPorts {
            transport: transport.clone(),
            journal: journal.clone(),
            verifier: verifier.clone(),
            executor: jobs.clone(),
            clients: Clients {
                store: self.store.clone(),
                waiters: self.waiters.clone(),
                inbox: self.inbox.clone(),
                prove: self.prover(),
            },
            notices: self.notices.clone(),
            links: self.links.clone(),
            questions: self.questions.clone(),
            metrics: self.metrics.clone(),
            gauges: self.gauges.clone(),
            certificates: certificates.clone(),
            signer: signer.clone(),
        };
        self.show(&journal, &verifier, &jobs);
        let mut vitals = Vitals::new(
            self.start,
            (self.events.clone(), jobs.clone()),
            journal.clone(),
            self.store.clone(),
            self.gauges.clone(),
            self.links.clone(),
        )
        .with_tls(self.tls.clone());
        let at = now(self.start);
        let (context, settings) = (self.context.clone(), work_config(&self.config, &self.context.parameters));
        let shard = Shard::recover(context, settings, ports, at, (tip.digest, tip.header), journaled);
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
        let store = self.store.clone();
        self.rotator.resume(&journal)?;
        Ok(Node {
            inbox: self.inbox,
            events: self.events,
            backend,
            audit: self.audit,
            rotator: self.rotator,
            copier: self.copier,
            offers: self.offers,
            questions: self.questions,
            links: self.links,
            metrics: self.metrics,
            gate: self.gate,
            addresses,
            stopping: self.stopping,
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
        let (events, inbox) = (self.events.clone(), self.inbox.clone());
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
            store: self.store.clone(),
            gauges: self.gauges.clone(),
            progress: self.progress.clone(),
            links: self.links.clone(),
            notices: self.notices.clone(),
            waiters: self.waiters.clone(),
            verifier: verifier.clone(),
            events: self.events.clone(),
            jobs: jobs.clone(),
            rotator: self.rotator.clone(),
        };
        self.metrics.with_registry(|registry| {
            registry.register_collector(Box::new(scraped));
            self.waiters.register_metrics(registry);
            verifier.register_metrics(registry);
        });
    }

    fn start_transport(&self, runtime: &Runtime) -> Result<Transport, NodeError> {
        let shaper = self.config.shaper.as_ref().map(shaper).transpose()?;
        let (queue_frames, queue_bytes) = rustorium_transport::Config::QUEUES;
        let config = rustorium_transport::Config {
            me: self.context.me(),
            listen: self.config.p2p_listen,
            identity: self.node_key.clone(),
            chain: self.context.chain(),
            versions: rustorium_transport::SPOKEN,
            peers: self.links.to_dial(),
            queue_frames,
            queue_bytes,
            guests: self.links.guests().keys(),
            followers: FollowerLimits::open(self.config.strangers_max),
            shaper,
        };
        let handler = Arc::new(Inbound {
            events: self.events.clone(),
            links: self.links.clone(),
            questions: self.questions.clone(),
            open: self.config.gateway.submit == Access::Open,
            inbox: self.inbox.clone(),
        });
        let transport = Transport::start(config, handler, runtime.handle())
            .map_err(|error| NodeError::new(transport_code(&error), error.to_string()))?;
        self.metrics.with_registry(|registry| transport.metrics().register(registry));
        Ok(transport)
    }

    fn server(&self, transport: &Transport) -> Server {
        let intake = Intake {
            chain: self.context.chain(),
            pool: PoolConfig::for_parameters(&self.context.parameters),
            capacity: self.config.pool_transactions_max,
            store: self.store.clone(),
            gauges: self.gauges.clone(),
        };
        let (offers, questions) = (self.offers.clone(), self.questions.clone());
        Server::new(offers, questions, transport.clone(), self.store.clone()).with_intake(intake, self.events.clone())
    }

    fn backend(&self, verifier: Arc<Verifier>) -> NodeBackend {
        NodeBackend {
            chain: chain_info(&self.genesis),
            name: self.config.name.clone(),
            links: self.links.clone(),
            notices: self.notices.clone(),
            durability: self.config.durability.name(),
            room: Room::new(self.config.pool_transactions_max),
            store: self.store.clone(),
            verifier,
            waiters: self.waiters.clone(),
            gauges: self.gauges.clone(),
            progress: self.progress.clone(),
            metrics: self.metrics.clone(),
            proofs: self.proofs.clone(),
            inbox: self.inbox.clone(),
            stopping: self.stopping.clone(),
            findings: RwLock::default(),
        }
    }

    fn start_gateway(&self, runtime: &Runtime, backend: Arc<NodeBackend>) -> Result<(HttpServer, QuicFace), NodeError> {
        let metrics = GatewayMetrics::default();
        self.metrics.with_registry(|registry| metrics.register(registry));
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

    fn prover(&self) -> Arc<dyn Fn(&TxId) -> Submitted + Send + Sync> {
        prover(self.store.clone())
    }

    fn spawn_threads(
        &self,
        shard: Shard<ThreadPorts>,
        jobs: Arc<Queue<ExecutionJob>>,
        vitals: &mut Vitals,
    ) -> Result<Threads, NodeError> {
        let roots = self.context.parameters.state_roots.then(|| self.rooter()).transpose()?;
        let executor = Executor {
            context: self.context.clone(),
            store: self.store.clone(),
            waiters: self.waiters.clone(),
            events: self.events.clone(),
            inbox: self.inbox.clone(),
            progress: self.progress.clone(),
            metrics: self.metrics.clone(),
            roots: roots.as_ref().map(|(_, jobs)| jobs.clone()),
            keys: Keys::default(),
            provers: Scoped(threads_for(1)),
            prove: self.prover(),
        };
        let (events, gauges, start) = (self.events.clone(), self.gauges.clone(), self.start);
        let keeping = Keeping {
            store: self.store.clone(),
            progress: self.progress.clone(),
            waiters: self.waiters.clone(),
            events: self.events.clone(),
            stopping: self.stopping.clone(),
            keep_heights: self.config.keep_heights,
        };
        let mark = Arc::<Mark>::default();
        let keeper = Keeper { keeping, inbox: self.inbox.clone(), mark: mark.clone() };
        vitals.watch("keep", move || mark.busy_for());
        let (mut threads, ends) = (Threads::new(self.inbox.clone()), Closes(jobs.clone()));
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

    /// The state tree goes on from its base; its tables are shared by all nodes of this machine.
    fn rooter(&self) -> Result<(Rooter, Arc<Queue<RootJob>>), NodeError> {
        let tables = open_tables(&self.config.home)?;
        let rooter = Rooter::new(
            self.store.clone(),
            Arc::new(tables),
            &self.context.parameters,
            self.events.clone(),
            self.inbox.clone(),
            RootMetrics::new(&self.metrics),
        );
        let mut rooter = rooter.map_err(|(code, sentence)| NodeError::new(code, sentence))?;
        rooter.moved = self.progress.moved.clone();
        Ok((rooter, Arc::default()))
    }
}
