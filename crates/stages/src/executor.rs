//! The thread that executes final blocks in height order, commits them, and answers waiting clients.

use crate::activating::Activating;
use crate::clients::account_views;
use crate::contained::Closes;
use crate::decisions::{DecisionSink, ExecutedBlock};
use crate::epoch_ends::end_of_epoch;
use crate::inbox::Inbox;
use crate::lane_junk::LaneJunk;
use crate::metrics::NodeMetrics;
use crate::proving::Scoped;
use crate::queue::Queue;
use crate::rooting::RootJob;
use crate::waiters::Waiters;
use parking_lot::Mutex;
use rustorium_api::{FinalBlock, Newest, Refused, Submitted};
use rustorium_crypto::id_on;
use rustorium_execution::{
    CommitteeRecord, Input, Keys, LimitedRead, Skip, StateRead, StateReadError, arrange, committee_key, execute_with,
    new_parameters, order,
};
use rustorium_shard::context::Context;
use rustorium_shard::log_marks;
use rustorium_shard::{EndedEpoch, Event, Executed, ExecutionJob};
use rustorium_state::workers::Workers;
use rustorium_storage::{HeightCommit, Store, StoreError, TreeWrites};
use rustorium_txpool::AccountView;
use rustorium_types::{
    AccountId, Charter, EpochTransition, Hash, Header, Height, LeafWrite, LimitedValue, Parameters, ResultClaim,
    StateKey, TxId, ValidatorSet,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// State after the last commit.
pub struct StoredState<'a>(pub &'a dyn Store);

impl StateRead for StoredState<'_> {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateReadError> {
        self.0.state(key).map_err(|error| StateReadError(error.to_string()))
    }
}

impl LimitedRead for StoredState<'_> {
    fn get_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StateReadError> {
        self.0.state_within(key, bytes_max).map_err(|error| StateReadError(error.to_string()))
    }
}

/// Reached heights, readable by all threads.
#[derive(Default)]
pub struct Progress {
    /// Newest executed height.
    pub executed: AtomicU64,
    /// Newest height whose result a final header claims.
    pub claimed: AtomicU64,
    /// Newest height whose commit is on disk.
    pub durable: AtomicU64,
    /// Notified when a height is stored and when the base of the state tree has moved, because more can be proven then.
    pub moved: Arc<watch::Sender<()>>,
    /// Newest executed height, and its block if there are event streams.
    pub newest: watch::Sender<Newest>,
    /// Lanes with transactions that execution skipped.
    pub lane_junk: LaneJunk,
}

/// The chain's parameters in the epoch of the next block.
pub struct ParametersInForce(Mutex<Arc<Parameters>>);

impl From<&Parameters> for ParametersInForce {
    fn from(parameters: &Parameters) -> Self {
        Self(Mutex::new(Arc::new(parameters.clone())))
    }
}

impl ParametersInForce {
    /// Returns the parameters.
    pub fn get(&self) -> Arc<Parameters> {
        self.0.lock().clone()
    }
}

/// Parts of the executing thread.
pub struct Executor {
    /// The chain's fixed facts.
    pub context: Arc<Context>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Clients' waits.
    pub waiters: Arc<Waiters>,
    /// Events for the shard.
    pub events: Arc<Queue<Event>>,
    /// Inbox for failures.
    pub inbox: Arc<Inbox>,
    /// Reached heights.
    pub progress: Arc<Progress>,
    /// Counters.
    pub metrics: Arc<NodeMetrics>,
    /// Queue to the state tree's stage. `None` if the chain makes no state roots.
    pub roots: Option<Arc<Queue<RootJob>>>,
    /// The chain's parameters in the epoch of the next block.
    pub parameters: Arc<ParametersInForce>,
    /// The decision whether a boundary ends version 1. `None` if the chain's operators can't end it.
    pub activating: Option<Activating>,
    /// Verifying keys that recent blocks used.
    pub keys: Keys,
    /// Threads that verify a block's proofs.
    pub provers: Scoped,
    /// Makes a certified answer.
    pub prove: Arc<dyn Fn(&TxId) -> Submitted + Send + Sync>,
    /// Takes the decisions of operators' seats. `None` if nobody records them.
    pub decided: Option<Arc<DecisionSink>>,
}

impl Executor {
    /// Executes jobs until the queue closes or the store fails. Then closes the queue of roots too.
    pub fn run(&self, jobs: &Queue<ExecutionJob>) {
        let _roots = self.roots.clone().map(Closes);
        self.execute_all(jobs);
    }

    /// Executes jobs until the queue closes or the store fails.
    pub fn execute_all(&self, jobs: &Queue<ExecutionJob>) {
        let mut waiting = VecDeque::new();
        while jobs.take(None, &mut waiting) {
            if !waiting.drain(..).all(|job| self.execute_next(&job)) {
                return;
            }
        }
    }

    /// Executes the block above the store's tip. Returns false if the store fails; the failure is reported to the
    /// inbox.
    pub fn execute_next(&self, job: &ExecutionJob) -> bool {
        let above = self.store.tip().map(|tip| (tip.result_root, tip.header.result.root, tip.header.time_ms));
        let genesis_root = self.context.genesis_root;
        let done = self.execute(job, above.unwrap_or((genesis_root, genesis_root, 0)));
        if let Err((code, sentence)) = &done {
            tracing::error!(event = "execution_failed", code, reason = %sentence);
            self.inbox.fail(code, sentence);
        }
        done.is_ok()
    }

    /// Executes a block. `previous_root`, `parent_claim` and `above_ms` are the result root of the height below, the
    /// root that its header claims, and its time; 0 if there is none.
    fn execute(
        &self,
        job: &ExecutionJob,
        (previous_root, parent_claim, above_ms): (Hash, Hash, u64),
    ) -> Result<(), (&'static str, String)> {
        let rooted = self.roots.is_some();
        let parameters = self.parameters.get();
        let activating = self.activating.as_ref().map(|activating| (activating, &self.store));
        let first = &*self.context.validators;
        let decided = self.decided.as_deref();
        let charter = &self.context.charter;
        let basis =
            Basis { parameters: &parameters, charter, previous_root, parent_claim, rooted, activating, first, decided };
        let started = Instant::now();
        let stored = execute_and_store(&*self.store, &basis, (&self.keys, &self.provers), job)?;
        let StoredBlock { commit, change, skipped, touched, writes, executed_in } = stored;
        if let Some(new) = change.as_ref().and_then(new_parameters) {
            *self.parameters.0.lock() = Arc::new(new);
        }
        if let (Some(roots), Some(diff)) = (&self.roots, writes) {
            roots.push(RootJob { header: job.block.header.clone(), diff, parameters: parameters.clone() });
        }
        let times = [executed_in, started.elapsed().saturating_sub(executed_in)];
        self.metrics.executed(&commit, above_ms, skipped.len(), times);
        let ids: Vec<TxId> = skipped.iter().map(|(id, _)| *id).collect();
        self.metrics.lanes_skipped(&self.progress.lane_junk.note(&commit, &ids));
        log_marks::executed(&commit, above_ms);
        self.progress.executed.store(job.block.header.height.0, Ordering::Release);
        self.progress.moved.send_replace(());
        let told = Instant::now();
        self.tell(commit, change, skipped, touched);
        self.metrics.notified(told.elapsed());
        Ok(())
    }

    fn tell(
        &self,
        commit: HeightCommit,
        change: Option<EpochTransition>,
        skipped: Vec<(TxId, Skip)>,
        touched: Vec<(AccountId, AccountView)>,
    ) {
        let Header { height, time_ms, result: ResultClaim { height: claimed, .. }, .. } = commit.block.header;
        if self.waiters.executed(height, &commit.receipts) {
            self.events.push(Event::ClaimWanted(height));
        }
        for (id, skip) in &skipped {
            self.waiters.refused(id, &skipped_refusal(skip));
        }
        if claimed.0 > self.progress.claimed.fetch_max(claimed.0, Ordering::AcqRel) {
            self.waiters.certified(claimed, &*self.prove);
        }
        let payload_height = self.store.tip().map_or(Height(0), |tip| tip.payload_height);
        let committee = committee_of(&commit.diff).and_then(|bytes| CommitteeRecord::from_bytes(bytes).ok());
        let ended = change.map(|change| Box::new(EndedEpoch { change, payload_height }));
        let root = commit.result_root;
        self.events.push(Event::Executed(Executed { height, time_ms, root, touched, skipped, committee, ended }));
        let listened = self.progress.newest.receiver_count() > 0;
        let block = listened.then(|| Arc::new(FinalBlock::new(height, time_ms, commit.digest, commit.receipts)));
        self.progress.newest.send_replace(Newest { height, block });
    }
}

/// Inputs of an execution besides the block.
pub struct Basis<'a> {
    /// The chain's parameters.
    pub parameters: &'a Parameters,
    /// The shard's accounts.
    pub charter: &'a Charter,
    /// Result root of the height below.
    pub previous_root: Hash,
    /// Result root that the parent's header claims. The order of lanes follows from it (R50).
    pub parent_claim: Hash,
    /// True if the block's writes are kept for the state tree.
    pub rooted: bool,
    /// The decision whether a boundary ends version 1, and the store that the evidence is read from. `None` if nothing
    /// can end it.
    pub activating: Option<(&'a Activating, &'a Arc<dyn Store>)>,
    /// The committee of the epoch in which this process began. In epoch 0 it is the committee of the genesis, of which
    /// the store has no row.
    pub first: &'a ValidatorSet,
    /// Takes the decisions of operators' seats before the block is stored.
    pub decided: Option<&'a DecisionSink>,
}

/// Executed block that is in the store.
pub struct StoredBlock {
    /// Stored commit.
    pub commit: HeightCommit,
    /// The end of the epoch, if the block is its boundary.
    pub change: Option<EpochTransition>,
    /// Transactions without a receipt.
    pub skipped: Vec<(TxId, Skip)>,
    /// Accounts that used a nonce or got another authority, each with its state after the block.
    pub touched: Vec<(AccountId, AccountView)>,
    /// Writes for the state tree.
    pub writes: Option<TreeWrites>,
    /// Duration of the execution without the store.
    pub executed_in: Duration,
}

/// Executes the block above the store's tip and stores it. Errors: code and sentence.
pub fn execute_and_store(
    store: &dyn Store,
    basis: &Basis<'_>,
    (keys, provers): (&Keys, &impl Workers),
    job: &ExecutionJob,
) -> Result<StoredBlock, (&'static str, String)> {
    let started = Instant::now();
    let block = &job.block;
    let header = &block.header;
    let inline_ids: Vec<TxId> = block.inline.iter().map(|one| id_on(&header.chain, one)).collect();
    let inline = inline_ids.iter().copied().zip(block.inline.as_slice());
    let Basis { parameters, charter, previous_root, parent_claim, rooted, activating, decided, .. } = *basis;
    let transactions = arrange((header, &parent_claim), inline, &job.payload);
    let input = Input { header, parameters, charter, previous_root, transactions };
    let execution = execute_with(&input, &StoredState(store), keys, provers)
        .map_err(|error| read_code(store, "store-failed", &error))?;
    let executed_in = started.elapsed();
    let lanes = order(header, &parent_claim, job.payload.len());
    let listed = lanes.into_iter().flat_map(|lane| job.payload[lane].iter().cloned());
    let commit = HeightCommit {
        digest: job.digest,
        block: (**block).clone(),
        inline_ids,
        batches: listed.collect(),
        receipts: execution.receipts,
        diff: execution.diff,
        link: execution.link,
        result_root: execution.result_root,
        finalization: job.finalization.clone(),
    };
    let failed = |error: StoreError| (store_code(&error), error.to_string());
    let writes = rooted.then(|| tree_writes(&commit.diff));
    if let Some(writes) = &writes {
        store.put_tree_writes(header.height, writes).map_err(failed)?;
    }
    if let Some(record) = committee_of(&commit.diff) {
        store.put_committee_record(header.height, record).map_err(failed)?;
    }
    if let Some((activating, _)) = activating {
        activating.note(&commit.diff);
    }
    let touched = account_views(&execution.touched, &commit.diff, store);
    let change = job.end.as_ref().map(|proof| end_of_epoch(store, basis, header, proof)).transpose()?;
    if let Some(decided) = decided {
        let (transactions, receipts, diff) = (&input.transactions[..], &commit.receipts[..], &commit.diff[..]);
        let executed = ExecutedBlock { header, transactions, receipts, diff, change: change.as_ref() };
        let found = executed.decisions(&StoredState(store), parameters);
        if let Some(decisions) = found.map_err(|error| read_code(store, "store-failed", &error))? {
            decided(&decisions);
        }
    }
    store.commit(&commit).map_err(failed)?;
    if change.is_some() {
        // R32: nothing of the next epoch is signed before a restart would find that it has begun.
        store.sync().map_err(failed)?;
    }
    Ok(StoredBlock { commit, change, skipped: execution.skipped, touched, writes, executed_in })
}

/// Returns the committee record that a diff writes.
pub fn committee_of(diff: &[LeafWrite]) -> Option<&[u8]> {
    let key = committee_key();
    let place = diff.binary_search_by_key(&key, |write| write.key).ok()?;
    diff[place].value.as_deref()
}

/// Returns the part of a diff that the state tree needs.
pub fn tree_writes(diff: &[LeafWrite]) -> TreeWrites {
    diff.iter().map(|write| (write.key, write.value.as_deref().map(rustorium_crypto::hash::value_hash))).collect()
}

/// Returns the stable code of a store's failure.
pub fn store_code(error: &StoreError) -> &'static str {
    match error {
        StoreError::DiskFull { .. } => "disk-full",
        StoreError::Locked { .. } => "home-locked",
        StoreError::Corrupt { .. } | StoreError::Damaged { .. } => "store-corrupt",
        StoreError::Format { .. } => "format-unknown",
        StoreError::OtherKey { .. } | StoreError::KeyBefore { .. } => "wrong-storage-key",
        StoreError::KeysMissing { .. } | StoreError::KeysDamaged { .. } => "store-keys-lost",
        _ => "store-failed",
    }
}

/// Returns code and sentence of a failure that a damaged row may have caused.
pub fn read_code(store: &dyn Store, code: &'static str, error: &dyn std::error::Error) -> (&'static str, String) {
    match store.damaged() {
        Some(damage) => (store_code(&damage), damage.to_string()),
        None => (code, error.to_string()),
    }
}

fn skipped_refusal(skip: &Skip) -> Refused {
    Refused::new("skipped", format!("the transaction was ordered and skipped: {skip}; sign a new one"))
}
