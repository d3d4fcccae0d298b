//! The shard's thread, and the outside that it acts on: journal, transport, checking threads, execution, core.

use crate::certificate_server::{CertificateQuestion, CertificateServer};
use crate::codes::transport_code;
use crate::links::Links;
use crate::notices::Notices;
use crate::outside::{Question, Questions, Work};
use crate::remote_signer::RemoteSigner;
use crate::vitals::Arrivals;
use bytes::Bytes;
use parking_lot::Mutex;
use rustorium_quorum::{CutOffMember, Evidence, KeptCertificate};
use rustorium_shard::context::Context;
use rustorium_shard::port::Input;
use rustorium_shard::senders::{Credit, Payer};
use rustorium_shard::turns::Turns;
use rustorium_shard::{BlockAhead, EndReason, Event, ExecutionJob, Now, Ports, Shard, SkippedHome, Stage};
use rustorium_signer::protocol::Request as SignRequest;
use rustorium_stages::clients::Clients;
use rustorium_stages::clock::now;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::queue::Queue;
use rustorium_stages::serving::Serving;
use rustorium_stages::verifier::Verifier;
use rustorium_storage::{Journal, Lsn, RecordKind};
use rustorium_sync::Source;
use rustorium_transport::Transport;
use rustorium_txpool::{AccountView, Refused};
use rustorium_types::{
    AccountId, Batch, Block, BlockDigest, Certificate, Class, Epoch, EpochTransition, PublicKey, Request, SignedVote,
    Transaction, TxId, ValidatorIndex,
};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The longest that the shard's thread sleeps.
const IDLE_US: u64 = 1_000_000;

/// Figures of the shard that other threads may read.
#[derive(Default)]
pub struct ShardGauges {
    /// Current view.
    pub view: AtomicU64,
    /// Transactions in the pool.
    pub pool_transactions: AtomicUsize,
    /// Bytes of the transactions in the pool.
    pub pool_bytes: AtomicU64,
    /// Transactions in the pool that lack neither a nonce before them nor quota.
    pub pool_able: AtomicUsize,
    /// Number of members of the committee that are silent.
    pub missing: AtomicUsize,
    /// True if the node has executed about as far as its peers.
    pub synced: AtomicBool,
    /// Number of blocks and batches that a member pushed to this node and that were used.
    pub pushes_used: AtomicU64,
    /// First height at which a quorum has other results; 0 if there is none.
    pub diverged: AtomicU64,
    /// Next height to execute, if no peer holds it any more; otherwise 0.
    pub unserved: AtomicU64,
    /// The time of the newest certified block, Unix ms.
    pub certified_time_ms: AtomicU64,
    /// The newest block that waited for this node's clock alone.
    pub block_ahead: Mutex<Option<BlockAhead>>,
    /// Number of blocks that waited for this node's clock alone.
    pub blocks_ahead: AtomicU64,
    /// Homes that are passed over because they leave out the transactions that they are sent.
    pub left_out: Mutex<Vec<SkippedHome>>,
    /// Bytes of the journal's records that are still needed.
    pub journal_live_bytes: AtomicU64,
    /// Bytes of the journal from the oldest of them to its end.
    pub journal_held_bytes: AtomicU64,
    /// Time at which the oldest needed record was appended, monotonic microseconds; 0 if there is none.
    pub journal_oldest_us: AtomicU64,
    /// Times at which peers were heard.
    pub arrivals: Arrivals,
    /// Leaders that are passed over.
    pub passed_over: Mutex<Vec<ValidatorIndex>>,
    /// Members whose frames aren't read because they sent false signatures, each with the reason.
    pub cut_off: Mutex<Vec<(PublicKey, String)>>,
    /// True if more members than f sent false signatures lately.
    pub many_liars: AtomicBool,
}

impl ShardGauges {
    fn note_cuts(&self, (cuts, many): (Vec<CutOffMember>, bool), at: Now) {
        self.many_liars.store(many, Ordering::Relaxed);
        let mut shown = self.cut_off.lock();
        if shown.is_empty() && cuts.is_empty() {
            return;
        }
        let sentence = |cut: &CutOffMember| {
            let seconds = cut.until_ms.saturating_sub(at.us / 1000).div_ceil(1000);
            format!("sent {}, {} in all; ignored for {seconds} s", cut.charge.what(), cut.count)
        };
        *shown = cuts.iter().map(|cut| (cut.key, sentence(cut))).collect();
    }
}

/// `Ports` over a node's threads.
pub struct ThreadPorts {
    pub(crate) transport: Transport,
    pub(crate) journal: Arc<Journal>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) executor: Arc<Queue<ExecutionJob>>,
    pub(crate) clients: Clients,
    pub(crate) notices: Arc<Notices>,
    pub(crate) links: Arc<Links>,
    pub(crate) questions: Arc<Questions>,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) gauges: Arc<ShardGauges>,
    pub(crate) certificates: Arc<CertificateServer>,
    /// None: this process has the key, or there is none.
    pub(crate) signer: Option<Arc<RemoteSigner>>,
}

impl ThreadPorts {
    fn ask(&self, from: &PublicKey, work: Work, credit: Credit) {
        self.questions.push(Question { from: *from, standing: self.links.standing(from), work, credit });
    }
}

impl Ports for ThreadPorts {
    fn begin_epoch(&mut self, context: &Arc<Context>) {
        self.links.begin_epoch(context.clone());
        self.verifier.begin_epoch(context.committee.clone());
        self.notices.begin_epoch(&context.validators);
        // First: who leaves the committee stays linked as a former member.
        self.transport.set_guests(self.links.guests().keys());
        if let Err(error) = self.transport.set_peers(context.me(), &self.links.to_dial()) {
            self.clients.inbox.fail(transport_code(&error), &error.to_string());
        }
    }

    fn stored_block(&self, digest: &BlockDigest) -> Option<Block> {
        Serving { memory: None, store: &*self.clients.store }.block(digest)
    }

    fn epoch_end(&self, epoch: Epoch) -> Option<EpochTransition> {
        self.clients.store.epoch(epoch).ok().flatten()
    }

    fn send(&mut self, to: ValidatorIndex, class: Class, frame: Bytes) {
        // Full or down: consensus is level-triggered and says it again with the next heartbeat; data is fetched.
        let _ = self.transport.send(to, class, frame);
    }

    fn send_to(&mut self, node_key: &PublicKey, class: Class, frame: Bytes) {
        if self.links.place(node_key).is_none() {
            // The shard asks others than members for one thing alone.
            self.links.note_asked(node_key);
        }
        // An answer that finds no room is asked for again.
        let _ = self.transport.send_to(node_key, class, frame);
    }

    fn tell_followers(&mut self, class: Class, frame: Bytes) {
        let _ = self.transport.broadcast_followers(class, frame);
    }

    fn link_version(&self, node_key: &PublicKey) -> u8 {
        let version = self.transport.version(node_key);
        self.links.note_version(node_key, version);
        version
    }

    fn broadcast(&mut self, class: Class, frame: Bytes) {
        let _ = self.transport.broadcast(class, frame);
    }

    fn append(&mut self, kind: RecordKind, payload: &[u8]) -> u64 {
        self.journal.append(kind, payload).0
    }

    fn append_again(&mut self, of: u64, payload_bytes: usize) -> u64 {
        self.journal.append_again(Lsn(of), payload_bytes).0
    }

    fn sealed_below(&self) -> u64 {
        self.journal.sealed_below().0
    }
    fn leave_below(&self) -> u64 {
        self.journal.leave_below().0
    }

    fn sync(&mut self, position: u64) {
        self.journal.sync(Lsn(position));
    }

    fn release(&mut self, position: u64) {
        self.journal.release(Lsn(position));
    }

    fn check_batch(&mut self, peer: ValidatorIndex, batch: Batch, bytes: Bytes, wanted: bool, credit: Credit) {
        self.verifier.batch(peer, batch, bytes, wanted, credit);
    }

    fn drop_unchecked(&mut self, peer: ValidatorIndex) {
        self.verifier.drop_of(peer);
    }

    fn check_transactions(&mut self, payer: Payer, transactions: Vec<Transaction>, credit: Credit) {
        self.verifier.forwarded(payer, transactions, credit);
    }

    fn check_certificate(&mut self, peer: ValidatorIndex, certificate: Certificate) {
        self.verifier.certificate(peer, certificate);
    }

    fn check_votes(&mut self, votes: Vec<SignedVote>) {
        self.verifier.votes(votes);
    }

    fn check_inline(&mut self, digest: BlockDigest, block: Arc<Block>) {
        self.verifier.inline(digest, block);
    }

    fn execute(&mut self, job: ExecutionJob) {
        self.executor.push(job);
    }

    fn inputs(&mut self, inputs: Vec<Input>, wakes: bool) {
        let nullifications = inputs.iter().filter(|i| matches!(i, Input::Certificate(name) if name.digest.is_none()));
        self.metrics.nullified.inc_by(nullifications.count() as u64);
        for input in &inputs {
            match input {
                Input::PeerSilence(_, true) => _ = self.metrics.silences.inc(),
                Input::RoundTrips(us) => {
                    self.metrics.round_trips(us);
                    self.links.note_round_trips(us);
                }
                Input::Diverged(height) => self.gauges.diverged.store(height.0.max(1), Ordering::Relaxed),
                _ => {}
            }
        }
        self.clients.inbox.tell(inputs, wakes);
    }

    fn admitted(&mut self, ids: &[TxId]) {
        self.clients.admitted(ids);
    }

    fn duplicate(&mut self, id: &TxId) {
        self.clients.duplicate(id);
    }

    fn expired(&mut self, ids: &[TxId]) {
        self.clients.expired(ids);
    }

    fn given_up(&mut self, ids: &[TxId]) {
        self.clients.given_up(ids);
    }

    fn used(&mut self, transactions: &[(TxId, Refused)]) {
        self.clients.used(transactions);
    }

    fn refused(&mut self, id: &TxId, refused: Refused) {
        tracing::debug!(event = "transaction_refused", transaction = %id, reason = %refused);
        self.clients.refused(id, &refused);
    }

    fn account(&self, account: &AccountId) -> Option<AccountView> {
        self.clients.account(account)
    }

    fn serve(&mut self, to: &PublicKey, id: u64, request: Request, credit: Credit) {
        self.ask(to, Work::Answer { id, request }, credit);
    }

    fn stored(&mut self) {
        self.questions.block_stored();
    }

    fn take_from_outside(&mut self, from: &PublicKey, transactions: Vec<Transaction>, credit: Credit) {
        self.ask(from, Work::Take(transactions.into()), credit);
    }

    fn target(&mut self, node_keys: &BTreeSet<PublicKey>) {
        self.links.guests().set_target(node_keys.clone());
        self.transport.set_guests(self.links.guests().keys());
    }

    fn answer_certificates(&mut self, to: &PublicKey, id: u64, kept: Vec<KeptCertificate>) {
        self.certificates.answer(CertificateQuestion { to: *to, id, kept });
    }

    fn ask_signer(&mut self, request: SignRequest) {
        if let Some(signer) = &self.signer {
            signer.ask(request);
        }
    }

    fn evidence(&mut self, evidence: Evidence) {
        self.notices.evidence(&evidence);
    }

    fn measured(&mut self, stage: Stage, us: u64) {
        self.metrics.stage(stage, us);
    }

    fn proposed(&mut self, proposer: ValidatorIndex, us: u64) {
        self.metrics.proposed(proposer, us);
    }

    fn retire(&mut self, lacks: &str) {
        if let Err(sentence) = self.notices.retire(lacks) {
            self.clients.inbox.fail("journal-retired", &sentence);
        }
    }

    fn end(&mut self, why: EndReason) {
        match why {
            EndReason::Rival => self.clients.inbox.fail("key-in-use", RIVAL),
            EndReason::Version { version, height } => {
                let release = env!("CARGO_PKG_VERSION");
                let sentence = format!(
                    "the chain goes on with protocol version {version} from height {height}, which this release ({release}) \
                     doesn't follow on it: install a newer release, which says whether the home needs `upgrade`"
                );
                self.clients.inbox.fail("protocol-newer", &sentence);
            }
        }
    }
}

const RIVAL: &str = "another process runs with this node's keys, as peers say that it takes over the links: this one signed \
                     nothing and stops; stop the other one first, and never start a copy of a home beside it";

/// Runs the shard until it is told to stop, turn by turn.
pub fn run_shard(mut shard: Shard<ThreadPorts>, events: &Queue<Event>, gauges: &ShardGauges, start: Instant) {
    let (mut turns, mut new) = (Turns::default(), VecDeque::new());
    let clock_ns = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let arrive = |new: &mut VecDeque<Event>| {
        if !events.is_empty() {
            events.take(Some(Duration::ZERO), new);
        }
    };
    shard.end_turn(now(start));
    loop {
        let at = now(start);
        let due_us = shard.next_deadline_us(at).map_or(IDLE_US, |due| due.saturating_sub(at.us).min(IDLE_US));
        let timeout_us = if turns.is_idle() { due_us } else { 0 };
        if !events.take(Some(Duration::from_micros(timeout_us)), &mut new) {
            break;
        }
        new.drain(..).for_each(|event| turns.push(event));
        let at = now(start);
        if !turns.take(&mut shard, at, |_| (), clock_ns, arrive) {
            shard.ports.executor.close();
            return;
        }
        if shard.epoch_is_over() {
            shard = shard.next_epoch(at);
        }
        shard.end_turn(at);
        publish(&mut shard, gauges, at);
    }
}

fn publish(shard: &mut Shard<ThreadPorts>, gauges: &ShardGauges, now: Now) {
    gauges.note_cuts(shard.cuts(now), now);
    let (transactions, bytes) = shard.pool_size();
    let peers = shard.connected().len();
    gauges.view.store(shard.view().0, Ordering::Relaxed);
    gauges.pool_transactions.store(transactions, Ordering::Relaxed);
    gauges.pool_bytes.store(bytes, Ordering::Relaxed);
    let able = shard.pool_able();
    gauges.pool_able.store(able, Ordering::Relaxed);
    gauges.missing.store(shard.missing(), Ordering::Relaxed);
    gauges.synced.store(shard.synced(), Ordering::Relaxed);
    gauges.pushes_used.store(shard.pushes_used(), Ordering::Relaxed);
    gauges.unserved.store(shard.unserved().map_or(0, |height| height.0), Ordering::Relaxed);
    gauges.certified_time_ms.store(shard.certified_time_ms(), Ordering::Relaxed);
    let (block_ahead, blocks_ahead) = shard.blocks_ahead();
    if gauges.blocks_ahead.swap(blocks_ahead, Ordering::Relaxed) != blocks_ahead {
        *gauges.block_ahead.lock() = block_ahead;
    }
    let left_out = shard.homes_left_out(now);
    let mut shown = gauges.left_out.lock();
    if *shown != left_out {
        *shown = left_out;
    }
    drop(shown);
    let journal = shard.journal_sizes();
    gauges.journal_live_bytes.store(journal.live_bytes, Ordering::Relaxed);
    gauges.journal_held_bytes.store(journal.held_bytes, Ordering::Relaxed);
    gauges.journal_oldest_us.store(journal.oldest_us.unwrap_or(0), Ordering::Relaxed);
    let heard = shard.take_arrivals();
    if !heard.is_empty() {
        let context = shard.ports.links.context();
        let key = |peer: ValidatorIndex| context.validators.get(usize::from(peer.0)).map(|member| member.node_key);
        gauges.arrivals.note(key, heard);
    }
    let metrics = &shard.ports.metrics;
    let mut passed_over = gauges.passed_over.lock();
    if *passed_over != shard.passed_over() {
        metrics.pass_over(&passed_over, shard.passed_over());
        shard.passed_over().clone_into(&mut passed_over);
    }
    metrics.backoff.set(i64::from(shard.backoff()));
    metrics.view.set(i64::try_from(shard.view().0).unwrap_or(i64::MAX));
    metrics.pool.set(transactions as i64);
    metrics.pool_able.set(able as i64);
    metrics.peers.set(peers as i64);
}
