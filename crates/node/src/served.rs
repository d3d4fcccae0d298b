//! The gateway's view of a process: each hosted shard while it runs, and otherwise the reason why it does not.
//!
//! *Invariants:* holds no host, so that one that ends releases its store; a scrape shows all hosted shards; a shard answers
//! about its own accounts alone (S17).

use crate::backend::stateless::{NoState, StatelessBackend};
use crate::collector::OfProcess;
use crate::host::{Host, chain_info};
use crate::hosts::{HostEnd, Hosts, OfHosts, Standing};
use crate::inbound::Inbound;
use crate::process::Process;
use crate::scrape::joined;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use rustorium_api::{
    BackendError, BalanceListing, BlockRef, BlockView, ClientSession, Committee, FinalBlock, Governance, GrantListing,
    History, InForce, KeyHistory, ListedBalances, ListedGrants, ListedKeys, Listing, Newest, Place, ProofStatus,
    ProveAt, Proven, ReadAt, Refused, StateValues, Status, Submitted, SubmittedSink, TransactionStatus, Wait,
};
use rustorium_crypto::Addressed;
use rustorium_gateway::{Backend, ChainInfo};
use rustorium_transport::Handler;
use rustorium_types::{AccountId, Charter, Epoch, EpochTransition, Height, ShardId, Subject, TxId};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tokio::time::Instant;

/// One shard of the node behind its gateway. The root's stands for the process, too.
pub(crate) struct Served {
    chain: ChainInfo,
    charter: Charter,
    name: String,
    durability: &'static str,
    hosts: Arc<Hosts>,
    inbound: Arc<Inbound>,
    /// The other hosted shards; none of these has any.
    others: Vec<Arc<Self>>,
    /// Figures of the process that stay while the root shard does not run.
    registry: Mutex<Registry>,
}

impl Served {
    /// The root shard of a process, and with it the others.
    pub(crate) fn new(process: &Process, hosts: Arc<Hosts>, inbound: Arc<Inbound>) -> Self {
        let chain = chain_info(&process.genesis, ShardId::ROOT);
        let of = |shard| {
            let chain = ChainInfo { shard, ..chain.clone() };
            Self::of(process, chain, hosts.clone(), inbound.clone())
        };
        let others = process.shards().filter(|shard| *shard != ShardId::ROOT).map(|shard| Arc::new(of(shard)));
        Self { others: others.collect(), ..of(ShardId::ROOT) }
    }

    fn of(process: &Process, chain: ChainInfo, hosts: Arc<Hosts>, inbound: Arc<Inbound>) -> Self {
        let mut registry = Registry::default();
        let of_process = OfProcess { home: process.config.home.clone(), started: SystemTime::now() };
        registry.register_collector(Box::new(of_process));
        registry.register_collector(Box::new(OfHosts(hosts.clone())));
        Self {
            charter: chain.genesis.charter(chain.shard),
            chain,
            others: Vec::new(),
            name: process.config.name.clone(),
            durability: process.config.durability.name(),
            hosts,
            inbound,
            registry: Mutex::new(registry),
        }
    }

    /// S17: checks that this shard has the accounts.
    fn check(&self, accounts: impl IntoIterator<Item = AccountId>) -> Result<(), BackendError> {
        match accounts.into_iter().find(|account| !self.charter.serves(account)) {
            Some(account) => Err(self.chain.elsewhere(&account)),
            None => Ok(()),
        }
    }

    fn hosted_shard(&self, shard: ShardId) -> Option<&Self> {
        let others = self.others.iter().map(|served| &**served);
        std::iter::once(self).chain(others).find(|served| served.chain.shard == shard)
    }

    /// Lets another crate register its figures of the process.
    pub(crate) fn with_registry(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock());
    }

    fn host(&self) -> Serving {
        let why = match self.hosts.standing(self.chain.shard) {
            Some(Standing::Runs(host)) => return Serving::Running(host),
            Some(Standing::Fills(progress)) => NoState::Filling(progress),
            Some(Standing::Ended(end)) => NoState::Ended(end),
            None => NoState::Ended(starting()),
        };
        Serving::Stateless(Box::new(StatelessBackend {
            chain: self.chain.clone(),
            name: self.name.clone(),
            durability: self.durability,
            why,
        }))
    }
}

fn starting() -> HostEnd {
    HostEnd { code: "not-ready".into(), sentence: "it is being started".into() }
}

/// A shard at the time of a question.
enum Serving {
    Running(Arc<Host>),
    Stateless(Box<StatelessBackend>),
}

impl Serving {
    fn backend(&self) -> &dyn Backend {
        match self {
            Self::Running(host) => host.backend(),
            Self::Stateless(stateless) => &**stateless,
        }
    }
}

impl Backend for Served {
    fn chain(&self) -> &ChainInfo {
        &self.chain
    }

    fn hosted(&self) -> Vec<ShardId> {
        self.hosts.shards()
    }

    fn others(&self) -> Vec<(ShardId, Arc<dyn Backend>)> {
        self.others.iter().map(|served| (served.chain.shard, served.clone() as Arc<dyn Backend>)).collect()
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
        self.host().backend().submit(transactions, wait, deadline, visit)
    }

    fn submit_streaming(
        &self,
        transactions: Vec<Addressed>,
        wait: Wait,
        visit: &Arc<ClientSession>,
        done: SubmittedSink,
    ) {
        if self.charter.is_whole() {
            return self.host().backend().submit_streaming(transactions, wait, visit, done);
        }
        let mut of_shards: BTreeMap<ShardId, (Vec<usize>, Vec<Addressed>)> = BTreeMap::new();
        for (place, transaction) in transactions.into_iter().enumerate() {
            let (places, own) = of_shards.entry(self.chain.genesis.shard_of(transaction.sender())).or_default();
            places.push(place);
            own.push(transaction);
        }
        for (shard, (places, own)) in of_shards {
            match self.hosted_shard(shard) {
                Some(served) => {
                    let done = done.clone();
                    let done = Arc::new(move |index: usize, outcome| done(places[index], outcome));
                    served.host().backend().submit_streaming(own, wait, visit, done);
                }
                None => places.into_iter().zip(own).for_each(|(place, transaction)| {
                    let why = self.chain.elsewhere(transaction.sender()).to_string();
                    done(place, Submitted::Refused(Refused::new("elsewhere", why)));
                }),
            }
        }
    }

    fn left(&self, visit: &ClientSession) {
        self.host().backend().left(visit);
        self.others.iter().for_each(|served| served.host().backend().left(visit));
    }

    fn busy(&self, site: Option<IpAddr>) -> Option<u64> {
        self.host().backend().busy(site)
    }

    fn transaction(&self, id: &TxId) -> Result<TransactionStatus, BackendError> {
        self.host().backend().transaction(id)
    }

    fn read(&self, subjects: &[Subject], at: ReadAt) -> Result<StateValues, BackendError> {
        self.check(subjects.iter().map(Subject::account))?;
        self.host().backend().read(subjects, at)
    }

    fn prove(
        &self,
        subjects: Vec<Subject>,
        at: ProveAt,
        deadline: Instant,
        address: IpAddr,
    ) -> BoxFuture<'static, Result<Proven, BackendError>> {
        if let Err(elsewhere) = self.check(subjects.iter().map(Subject::account)) {
            return ready(Err(elsewhere)).boxed();
        }
        self.host().backend().prove(subjects, at, deadline, address)
    }

    fn epoch_changes(&self, from: Epoch, limit: usize) -> Result<Vec<EpochTransition>, BackendError> {
        self.host().backend().epoch_changes(from, limit)
    }

    fn keys(&self, listing: &Listing) -> Result<ListedKeys, BackendError> {
        self.check([listing.namespace])?;
        self.host().backend().keys(listing)
    }

    fn grants(&self, listing: &GrantListing) -> Result<ListedGrants, BackendError> {
        self.check([listing.account])?;
        self.host().backend().grants(listing)
    }

    fn balances(&self, listing: &BalanceListing) -> Result<ListedBalances, BackendError> {
        self.check([listing.account])?;
        self.host().backend().balances(listing)
    }

    fn history(&self, history: &History) -> Result<KeyHistory, BackendError> {
        self.check([history.namespace])?;
        self.host().backend().history(history)
    }

    fn block(&self, which: BlockRef) -> Result<Option<BlockView>, BackendError> {
        self.host().backend().block(which)
    }

    fn account_transactions(
        &self,
        id: &AccountId,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, BackendError> {
        self.check([*id])?;
        self.host().backend().account_transactions(id, before, limit)
    }

    fn receipt_proof(&self, id: &TxId) -> Result<ProofStatus, BackendError> {
        self.host().backend().receipt_proof(id)
    }

    fn status(&self) -> Status {
        self.host().backend().status()
    }

    fn in_force(&self) -> Option<InForce> {
        self.host().backend().in_force()
    }

    fn committee(&self) -> Result<Committee, BackendError> {
        self.host().backend().committee()
    }

    fn governance(&self) -> Result<Governance, BackendError> {
        self.host().backend().governance()
    }

    fn final_block(&self, height: Height) -> Result<Option<FinalBlock>, BackendError> {
        self.host().backend().final_block(height)
    }

    fn subscribe(&self) -> watch::Receiver<Newest> {
        self.host().backend().subscribe()
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
