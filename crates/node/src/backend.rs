//! Answers to the gateway's questions to a node, from store, pool and gauges, without the core.

mod governance;
mod grants;
mod history;
mod holdings;
mod listing;
mod state;
pub(crate) mod stateless;

use crate::guarded;
use crate::links::Links;
use crate::notices::Notices;
use crate::shard_thread::ShardGauges;
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use rustorium_api::json::{Finding, Severity};
use rustorium_api::{
    At, BackendError, BalanceListing, BlockRef, BlockView, ClientSession, Committee, FinalBlock, Governance,
    GrantListing, History, InForce, KeyHistory, ListedBalances, ListedGrants, ListedKeys, Listing, Newest, Place,
    ProofStatus, ProveAt, Proven, ReadAt, Refused, StateValues, Status, Submitted, SubmittedSink, TransactionStatus,
    Wait,
};
use rustorium_crypto::Addressed;
use rustorium_execution::CommitteeRecord;
use rustorium_gateway::{Backend, ChainInfo};
use rustorium_stages::block_proofs::{block_proof, receipt_proof, storage};
use rustorium_stages::clock::wall_ms;
use rustorium_stages::executor::{Progress, StoredState};
use rustorium_stages::inbox::Inbox;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::proofs::ProofPool;
use rustorium_stages::room::Room;
use rustorium_stages::verifier::{Submission, Verifier};
use rustorium_stages::waiters::Waiters;
use rustorium_storage::{Store, StoredBlock};
use rustorium_types::{AccountId, Epoch, EpochTransition, Height, Subject, TxId, View};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Time after which a refused client should try again.
const RETRY_AFTER_MS: u64 = 100;
/// A wait for a transaction ends after this time at the latest, whether or not blocks come.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// A wait ends this long after its transaction has expired by the machine's clock: the chain's time may be behind.
const WAIT_AFTER_EXPIRY: Duration = Duration::from_secs(5);
/// A node as its gateway sees it.
pub struct NodeBackend {
    pub(crate) chain: ChainInfo,
    pub(crate) name: String,
    pub(crate) links: Arc<Links>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) durability: &'static str,
    pub(crate) room: Arc<Room>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) gauges: Arc<ShardGauges>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) metrics: Arc<NodeMetrics>,
    /// None where the chain makes no state roots.
    pub(crate) proofs: Option<Arc<ProofPool>>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) stopping: Arc<AtomicBool>,
    /// Findings of the node's self-monitoring.
    pub(crate) findings: RwLock<Vec<Finding>>,
}

/// The core comes for its inputs at once; it is what watches all others, so that nobody else says that it hangs.
const CORE_MAX: Duration = Duration::from_secs(15);

impl NodeBackend {
    /// Sets the findings of the self-monitoring, and the phi of each peer by its name, that are shown from now on.
    pub fn tell_health(&self, findings: Vec<Finding>, suspicion: &BTreeMap<String, f64>) {
        self.metrics.health(findings.iter().map(|finding| finding.code.as_str()), suspicion);
        *self.findings.write() = findings;
    }

    /// Shows in the metrics whether the shard is ready, and what operators' seats have to do.
    pub(crate) fn note_for_scrape(&self) {
        self.metrics.ready.set(i64::from(self.ready().is_ok()));
        if let Some(note) = governance::note(&*self.store, &self.links.context()) {
            let counts = [note.seats, usize::from(note.quorum), note.proposals.len(), note.pauses.len()];
            self.metrics.governed(counts);
        }
    }

    fn busy_refusal(&self, id: Option<TxId>) -> Refused {
        self.metrics.busy.inc();
        Refused {
            id,
            busy: true,
            retry_after_ms: Some(RETRY_AFTER_MS),
            ..Refused::new("busy", "the node holds as many transactions as it may; send it again a little later")
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("the node is stopping".into());
        }
        if let Some(reason) = self.inbox.failure() {
            return Err(reason);
        }
        if let Some(waited) = self.inbox.waiting_for().filter(|waited| *waited > CORE_MAX) {
            return Err(format!(
                "wedged: the consensus core has taken no input for {} s; restart the node",
                waited.as_secs()
            ));
        }
        if !self.inbox.is_visited() {
            return Err("the node is starting: its consensus core hasn't begun; wait a moment".into());
        }
        let committee = self.links.context().committee.clone();
        let own = usize::from(committee.me.is_some());
        let up = self.links.peers() + own - self.links.unreachable().len();
        // Who only follows needs no quorum of links: what one peer hands on is checked.
        let wanted = if own == 1 { committee.quorum() } else { 1 };
        if up < wanted {
            return Err(format!(
                "only {up} of the {} validators that a quorum needs are connected: can't reach {}; check that they run \
                 and that config.toml has their addresses",
                wanted,
                self.links.unreachable_text()
            ));
        }
        let findings = self.findings.read();
        let worst = findings.iter().find(|finding| finding.severity == Severity::NotReady);
        if let Some(Finding { code, evidence, advice, .. }) = worst {
            return Err(format!("{code}: {evidence}; {advice}"));
        }
        if !self.gauges.synced.load(Ordering::Relaxed) {
            return Err(format!(
                "the node is catching up: it has executed height {}",
                self.progress.executed.load(Ordering::Relaxed)
            ));
        }
        Ok(())
    }

    fn block_view(&self, stored: StoredBlock) -> Result<BlockView, BackendError> {
        let proof = block_proof(&*self.store, stored.block.header.height).map_err(storage)?;
        Ok(BlockView {
            block: stored.block,
            digest: stored.digest,
            result_root: stored.result_root,
            link: stored.link,
            batches: stored.batches,
            receipts: stored.receipts,
            proof,
        })
    }
}

/// The waits of one request. They are taken back when it is dropped: answered, late, or left by its client.
struct Waiting {
    waiters: Arc<Waiters>,
    ids: Vec<TxId>,
    visit: Arc<ClientSession>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waiters.forget(&self.ids, &self.visit);
    }
}

impl Backend for NodeBackend {
    fn chain(&self) -> &ChainInfo {
        &self.chain
    }

    fn panicked(&self, part: &'static str) {
        guarded::stop_process(&self.inbox, part);
    }

    fn submit(
        &self,
        mut transactions: Vec<Addressed>,
        wait: Wait,
        deadline: Instant,
        visit: &Arc<ClientSession>,
    ) -> BoxFuture<'static, Vec<Submitted>> {
        let ids: Vec<TxId> = transactions.iter_mut().map(Addressed::id).collect();
        let (sender, mut ended) = mpsc::unbounded_channel();
        let done: SubmittedSink = Arc::new(move |index, how| {
            // A client that went away has no use for the answer.
            let _ = sender.send((index, how));
        });
        let waiting = Waiting { waiters: self.waiters.clone(), ids, visit: visit.clone() };
        self.submit_streaming(transactions, wait, visit, done);
        Box::pin(async move {
            let mut answers: Vec<Option<Submitted>> = vec![None; waiting.ids.len()];
            let mut missing = waiting.ids.len();
            while missing > 0 {
                let Ok(Some((index, how))) = tokio::time::timeout_at(deadline, ended.recv()).await else { break };
                if let Some(slot) = answers.get_mut(index) {
                    missing -= usize::from(slot.is_none());
                    *slot = Some(how);
                }
            }
            let answer = |(answer, id): (Option<Submitted>, &TxId)| answer.unwrap_or(Submitted::TimedOut(*id));
            answers.into_iter().zip(&waiting.ids).map(answer).collect()
        })
    }

    fn submit_streaming(
        &self,
        transactions: Vec<Addressed>,
        wait: Wait,
        visit: &Arc<ClientSession>,
        done: SubmittedSink,
    ) {
        let mut places = self.room.enter(visit.site(), transactions.len()).into_iter();
        let (now, wall_ms) = (std::time::Instant::now(), wall_ms());
        let mut taken = Vec::with_capacity(places.len());
        for (index, transaction) in transactions.into_iter().enumerate() {
            let Some(place) = places.next() else {
                done(index, Submitted::Refused(self.busy_refusal(None)));
                continue;
            };
            let left = Duration::from_millis(transaction.expires_at_ms().saturating_sub(wall_ms));
            let until = now + left.saturating_add(WAIT_AFTER_EXPIRY).min(WAIT_MAX);
            let (visit, done) = (visit.clone(), done.clone());
            taken.push(Submission { transaction, wait, index, until, visit, place: Some(place), done });
        }
        self.verifier.submissions(taken.into_iter());
    }

    fn left(&self, visit: &ClientSession) {
        self.waiters.left(visit);
    }

    fn busy(&self, site: Option<IpAddr>) -> Option<u64> {
        self.room.is_full_for(site).then_some(RETRY_AFTER_MS)
    }

    fn transaction(&self, id: &TxId) -> Result<TransactionStatus, BackendError> {
        let Some(stored) = self.store.transaction(id).map_err(storage)? else {
            let pending = self.waiters.holds(id);
            return Ok(if pending { TransactionStatus::Pending } else { TransactionStatus::Unknown });
        };
        let certified = stored.receipt.height.0 <= self.progress.claimed.load(Ordering::Acquire);
        let transaction = Box::new(stored.transaction);
        Ok(TransactionStatus::Final { transaction, receipt: stored.receipt, certified })
    }

    fn read(&self, subjects: &[Subject], at: ReadAt) -> Result<StateValues, BackendError> {
        state::read(self, subjects, at)
    }

    fn prove(
        &self,
        subjects: Vec<Subject>,
        at: ProveAt,
        deadline: Instant,
        address: IpAddr,
    ) -> BoxFuture<'static, Result<Proven, BackendError>> {
        state::prove(self, subjects, at, deadline, address)
    }

    fn epoch_changes(&self, from: Epoch, limit: usize) -> Result<Vec<EpochTransition>, BackendError> {
        let epochs = (from.0..).take(limit).map(|epoch| self.store.epoch(Epoch(epoch)).map_err(storage));
        epochs.map_while(Result::transpose).collect()
    }

    fn keys(&self, asked: &Listing) -> Result<ListedKeys, BackendError> {
        listing::keys(&*self.store, asked).map_err(storage)
    }

    fn grants(&self, asked: &GrantListing) -> Result<ListedGrants, BackendError> {
        grants::grants(&*self.store, asked)
    }

    fn balances(&self, asked: &BalanceListing) -> Result<ListedBalances, BackendError> {
        holdings::balances(&*self.store, asked)
    }

    fn history(&self, asked: &History) -> Result<KeyHistory, BackendError> {
        history::history(&*self.store, asked).map_err(storage)
    }

    fn block(&self, which: BlockRef) -> Result<Option<BlockView>, BackendError> {
        let height = match which {
            BlockRef::Latest => self.store.tip().map(|tip| tip.height),
            BlockRef::Height(height) => Some(height),
            BlockRef::Digest(digest) => self.store.height_of(&digest).map_err(storage)?,
        };
        let Some(height) = height else { return Ok(None) };
        self.store.block(height).map_err(storage)?.map(|stored| self.block_view(stored)).transpose()
    }

    fn final_block(&self, height: Height) -> Result<Option<FinalBlock>, BackendError> {
        let stored = self.store.block(height).map_err(storage)?;
        Ok(stored.map(|stored| FinalBlock::new(height, stored.block.header.time_ms, stored.digest, stored.receipts)))
    }

    fn account_transactions(
        &self,
        id: &AccountId,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, BackendError> {
        self.store.account_transactions(id, before, limit).map_err(storage)
    }

    fn receipt_proof(&self, id: &TxId) -> Result<ProofStatus, BackendError> {
        receipt_proof(&*self.store, id)
    }

    fn in_force(&self) -> Option<InForce> {
        let context = self.links.context();
        let (version, since) = (context.rules.version(), context.parameters_since);
        Some(InForce { version, parameters: context.parameters.clone(), since })
    }

    fn committee(&self) -> Result<Committee, BackendError> {
        let context = self.links.context();
        let record = CommitteeRecord::read(&StoredState(&*self.store));
        let next = record.map_err(|error| BackendError::Storage(error.to_string()))?.target;
        Ok(Committee { epoch: context.epoch(), validators: context.validators.clone(), next })
    }

    fn governance(&self) -> Result<Governance, BackendError> {
        governance::read(&*self.store, &self.links.context())
    }

    fn status(&self) -> Status {
        let tip = self.store.tip();
        let executed = tip.as_ref().map_or(At::default(), |t| At { height: t.height, root: t.result_root });
        let claim = tip.map(|tip| tip.header.result).unwrap_or_default();
        let unreachable: Vec<String> = self.links.unreachable().into_iter().map(|peer| peer.name).collect();
        Status {
            node: self.name.clone(),
            validator: self.links.context().me(),
            version: env!("CARGO_PKG_VERSION").into(),
            height: executed.height,
            view: View(self.gauges.view.load(Ordering::Relaxed)),
            epoch: self.links.context().epoch(),
            executed,
            claimed: At { height: claim.height, root: claim.root },
            peers_up: self.links.peers() - unreachable.len(),
            peers: self.links.peers(),
            unreachable,
            protocol: self.links.context().rules.version(),
            older: self.links.older(),
            round_trips_us: self.links.round_trips_us(),
            pool_transactions: self.gauges.pool_transactions.load(Ordering::Relaxed),
            pool_bytes: usize::try_from(self.gauges.pool_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
            durability: self.durability,
            ready: self.ready(),
            filling: None,
            findings: self.findings.read().clone(),
            retired: self.notices.retired(),
            evidence: self.notices.evidence_notes(),
            governance: governance::note(&*self.store, &self.links.context()),
        }
    }

    fn subscribe(&self) -> watch::Receiver<Newest> {
        self.progress.newest.subscribe()
    }

    fn metrics(&self) -> String {
        self.note_for_scrape();
        self.metrics.encode()
    }
}

#[cfg(test)]
mod tests;
