//! The gateway's view of a process: the root shard while it runs, and otherwise the reason why it does not.
//!
//! *Invariants:* holds no host, so that one that ends releases its store; a scrape shows all hosted shards.

use crate::backend::stateless::{NoState, StatelessBackend};
use crate::collector::OfProcess;
use crate::host::{Host, chain_info};
use crate::hosts::{HostEnd, Hosts, OfHosts};
use crate::inbound::Inbound;
use crate::process::Process;
use crate::scrape::joined;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use rustorium_api::{
    BackendError, BalanceListing, BlockRef, BlockView, ClientSession, Committee, FinalBlock, Governance, GrantListing,
    History, InForce, KeyHistory, ListedBalances, ListedGrants, ListedKeys, Listing, Newest, Place, ProofStatus,
    ProveAt, Proven, ReadAt, StateValues, Status, Submitted, SubmittedSink, TransactionStatus, Wait,
};
use rustorium_crypto::Addressed;
use rustorium_gateway::{Backend, ChainInfo};
use rustorium_transport::Handler;
use rustorium_types::{AccountId, Epoch, EpochTransition, Height, ShardId, Subject, TxId};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::time::Instant;

/// The node behind its gateway.
pub(crate) struct Served {
    chain: ChainInfo,
    name: String,
    durability: &'static str,
    hosts: Arc<Hosts>,
    inbound: Arc<Inbound>,
    /// Figures of the process that stay while the root shard does not run.
    registry: Mutex<Registry>,
}

impl Served {
    pub(crate) fn new(process: &Process, hosts: Arc<Hosts>, inbound: Arc<Inbound>) -> Self {
        let mut registry = Registry::default();
        let of_process = OfProcess { home: process.config.home.clone(), started: SystemTime::now() };
        registry.register_collector(Box::new(of_process));
        registry.register_collector(Box::new(OfHosts(hosts.clone())));
        Self {
            chain: chain_info(&process.genesis, ShardId::ROOT),
            name: process.config.name.clone(),
            durability: process.config.durability.name(),
            hosts,
            inbound,
            registry: Mutex::new(registry),
        }
    }

    /// Lets another crate register its figures of the process.
    pub(crate) fn with_registry(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock());
    }

    fn root(&self) -> Root {
        let stateless = |end| StatelessBackend {
            chain: self.chain.clone(),
            name: self.name.clone(),
            durability: self.durability,
            why: NoState::Ended(end),
        };
        self.hosts.of(ShardId::ROOT).map_or_else(
            || Root::Ended(Box::new(stateless(self.hosts.end_of(ShardId::ROOT).unwrap_or_else(starting)))),
            Root::Running,
        )
    }
}

fn starting() -> HostEnd {
    HostEnd { code: "not-ready".into(), sentence: "it is being started".into() }
}

/// The root shard at the time of a question.
enum Root {
    Running(Arc<Host>),
    Ended(Box<StatelessBackend>),
}

impl Root {
    fn backend(&self) -> &dyn Backend {
        match self {
            Self::Running(host) => host.backend(),
            Self::Ended(stateless) => &**stateless,
        }
    }
}

impl Backend for Served {
    fn chain(&self) -> &ChainInfo {
        &self.chain
    }

    fn panicked(&self, part: &'static str) {
        Handler::panicked(&*self.inbound, part);
    }

    fn submit(
        &self,
        transactions: Vec<Addressed>,
        wait: Wait,
        deadline: Instant,
        visit: &Arc<ClientSession>,
    ) -> BoxFuture<'static, Vec<Submitted>> {
        self.root().backend().submit(transactions, wait, deadline, visit)
    }

    fn submit_streaming(
        &self,
        transactions: Vec<Addressed>,
        wait: Wait,
        visit: &Arc<ClientSession>,
        done: SubmittedSink,
    ) {
        self.root().backend().submit_streaming(transactions, wait, visit, done);
    }

    fn left(&self, visit: &ClientSession) {
        self.root().backend().left(visit);
    }

    fn busy(&self, site: Option<IpAddr>) -> Option<u64> {
        self.root().backend().busy(site)
    }

    fn transaction(&self, id: &TxId) -> Result<TransactionStatus, BackendError> {
        self.root().backend().transaction(id)
    }

    fn read(&self, subjects: &[Subject], at: ReadAt) -> Result<StateValues, BackendError> {
        self.root().backend().read(subjects, at)
    }

    fn prove(
        &self,
        subjects: Vec<Subject>,
        at: ProveAt,
        deadline: Instant,
        address: IpAddr,
    ) -> BoxFuture<'static, Result<Proven, BackendError>> {
        self.root().backend().prove(subjects, at, deadline, address)
    }

    fn epoch_changes(&self, from: Epoch, limit: usize) -> Result<Vec<EpochTransition>, BackendError> {
        self.root().backend().epoch_changes(from, limit)
    }

    fn keys(&self, listing: &Listing) -> Result<ListedKeys, BackendError> {
        self.root().backend().keys(listing)
    }

    fn grants(&self, listing: &GrantListing) -> Result<ListedGrants, BackendError> {
        self.root().backend().grants(listing)
    }

    fn balances(&self, listing: &BalanceListing) -> Result<ListedBalances, BackendError> {
        self.root().backend().balances(listing)
    }

    fn history(&self, history: &History) -> Result<KeyHistory, BackendError> {
        self.root().backend().history(history)
    }

    fn block(&self, which: BlockRef) -> Result<Option<BlockView>, BackendError> {
        self.root().backend().block(which)
    }

    fn account_transactions(
        &self,
        id: &AccountId,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, BackendError> {
        self.root().backend().account_transactions(id, before, limit)
    }

    fn receipt_proof(&self, id: &TxId) -> Result<ProofStatus, BackendError> {
        self.root().backend().receipt_proof(id)
    }

    fn status(&self) -> Status {
        self.root().backend().status()
    }

    fn in_force(&self) -> Option<InForce> {
        self.root().backend().in_force()
    }

    fn committee(&self) -> Result<Committee, BackendError> {
        self.root().backend().committee()
    }

    fn governance(&self) -> Result<Governance, BackendError> {
        self.root().backend().governance()
    }

    fn final_block(&self, height: Height) -> Result<Option<FinalBlock>, BackendError> {
        self.root().backend().final_block(height)
    }

    fn subscribe(&self) -> watch::Receiver<Newest> {
        self.root().backend().subscribe()
    }

    fn metrics(&self) -> String {
        let running = self.hosts.running();
        let mut written = String::new();
        // Writing to a String does not fail.
        let _ = text::encode_registry(&mut written, &self.registry.lock());
        let root = running.iter().find(|(shard, _)| *shard == ShardId::ROOT).map(|(_, host)| host);
        if let Some(root) = root {
            root.backend().note_for_scrape();
            written.push_str(&root.metrics().encode_process());
        }
        let shards: Vec<String> = running.iter().map(|(_, host)| host.metrics().encode_shard()).collect();
        written.push_str(&joined(&shards));
        let _ = text::encode_eof(&mut written);
        written
    }
}
