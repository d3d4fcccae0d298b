//! Signature checks outside the shard's thread. Checks that consensus waits for come first, in fair order by sender.
//! Clients' transactions are gathered into batches.

mod order;

use crate::mark::Mark;
use crate::queue::Queue;
use crate::room::Place;
use crate::waiters::{Waiter, Waiters};
use bytes::Bytes;
use order::{Incoming, NextWork, WaitingChecks, Work};
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use rustorium_api::{ClientSession, Refused, Submitted, SubmittedSink, Wait};
use rustorium_crypto::{
    Addressed, Admitted, KnownSignatures, admit, batch_fault, false_signers, verify_batches, verify_certificate,
    verify_transactions, verify_votes,
};
use rustorium_quorum::Committee;
use rustorium_shard::senders::Credit;
use rustorium_shard::senders::Payer;
use rustorium_shard::{Event, FalseBatch};
use rustorium_types::{
    Batch, Block, BlockDigest, Certificate, ChainId, Signature, Signature2, SignedVote, Transaction, ValidatorIndex,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A client's transaction that waits for its check.
pub struct Submission {
    /// The transaction.
    pub transaction: Addressed,
    /// Outcome that the client waits for.
    pub wait: Wait,
    /// The transaction's index in the client's submission.
    pub index: usize,
    /// Time until which the client waits.
    pub until: Instant,
    /// Session that sent it.
    pub visit: Arc<ClientSession>,
    /// Place in the room until the wait ends. `None` if the submission takes no place.
    pub place: Option<Place>,
    /// Sink for the outcome.
    pub done: SubmittedSink,
}

impl Submission {
    /// Creates a submission without a place in the room, for a client whose waits no thread ends.
    pub fn unswept(
        transaction: Addressed,
        wait: Wait,
        index: usize,
        visit: Arc<ClientSession>,
        done: SubmittedSink,
    ) -> Self {
        Self { transaction, wait, index, until: Instant::now(), visit, place: None, done }
    }
}

#[derive(Default)]
struct Queues {
    waiting: WaitingChecks,
    stopped: bool,
}

/// Checked groups that wait for an earlier group, so that a sender's nonces stay in order.
#[derive(Default)]
struct CheckedGroups {
    next: u64,
    early: BTreeMap<u64, Vec<Admitted>>,
}

/// The queue in front of the checking threads.
pub struct Verifier {
    queues: Mutex<Queues>,
    ready: Condvar,
    committee: RwLock<Arc<Committee>>,
    waiters: Arc<Waiters>,
    unverified: AtomicUsize,
    checked: Mutex<CheckedGroups>,
    /// Bytes of the batches that wait or are being checked. A peer's copy of one of them isn't checked as well.
    checking: Mutex<HashSet<Bytes>>,
    /// Known valid signatures of transactions that came here outside batches.
    known: KnownSignatures,
    events: Arc<Queue<Event>>,
    /// One mark per thread.
    marks: Mutex<Vec<Arc<Mark>>>,
    /// Seconds from a submission's arrival to the end of its check.
    time: Histogram,
}

impl Verifier {
    /// Creates a queue. The caller runs `run` on each checking thread.
    pub fn new(committee: Arc<Committee>, waiters: Arc<Waiters>, events: Arc<Queue<Event>>) -> Self {
        let (queues, ready) = (Mutex::default(), Condvar::new());
        let (unverified, checked, checking) = (AtomicUsize::new(0), Mutex::default(), Mutex::default());
        let known = KnownSignatures::default();
        let committee = RwLock::new(committee);
        let marks = Mutex::default();
        let time = Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        Self { queues, ready, committee, waiters, unverified, checked, checking, known, events, marks, time }
    }

    /// Registers the metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let help = "Time from a client's submission to the end of its signature check, which runs in batches";
        registry.register("rustorium_txpool_verify_seconds", help, self.time.clone());
    }

    /// Begins an epoch. Batches of other committees' epochs are void from now on.
    pub fn begin_epoch(&self, committee: Arc<Committee>) {
        *self.committee.write() = committee;
    }

    /// Returns the chain whose transactions are accepted.
    pub fn chain(&self) -> ChainId {
        self.committee.read().chain
    }

    /// Returns the number of submissions that wait for their check.
    pub fn unverified(&self) -> usize {
        self.unverified.load(Ordering::Relaxed)
    }

    fn push(&self, payer: Payer, work: Work) {
        self.queues.lock().waiting.push(payer, work);
        self.ready.notify_one();
    }

    /// Checks a certificate that a peer sent.
    pub fn certificate(&self, peer: ValidatorIndex, certificate: Certificate) {
        self.push(Payer::Member(peer), Work::Certificate { peer, certificate: Box::new(certificate) });
    }

    /// Checks votes that together reach a threshold.
    pub fn votes(&self, votes: Vec<SignedVote>) {
        self.push(Payer::Own, Work::Votes(votes));
    }

    /// Checks a batch.
    pub fn batch(&self, peer: ValidatorIndex, batch: Batch, bytes: Bytes, wanted: bool, credit: Credit) {
        if !self.checking.lock().insert(bytes.clone()) && !wanted {
            return;
        }
        let incoming = Incoming { peer, batch: Box::new(batch), bytes, wanted, credit };
        self.push(Payer::Member(peer), Work::Batch(incoming));
    }

    /// Drops this member's unasked batches and transactions that aren't being checked yet. What consensus waits for
    /// stays.
    pub fn drop_of(&self, peer: ValidatorIndex) {
        let dropped = self.queues.lock().waiting.drop_of(Payer::Member(peer));
        let mut checking = self.checking.lock();
        for incoming in dropped {
            checking.remove(&incoming.bytes);
        }
    }

    /// Checks a block's inline transactions.
    pub fn inline(&self, digest: BlockDigest, block: Arc<Block>) {
        self.push(Payer::Member(block.header.proposer), Work::Inline { digest, block });
    }

    /// Checks transactions that a peer forwarded.
    pub fn forwarded(&self, payer: Payer, transactions: Vec<Transaction>, credit: Credit) {
        self.push(payer, Work::Forwarded(transactions, credit));
    }

    /// Checks clients' transactions.
    pub fn submissions(&self, submissions: impl ExactSizeIterator<Item = Submission>) {
        self.unverified.fetch_add(submissions.len(), Ordering::Relaxed);
        let now = Instant::now();
        let mut queues = self.queues.lock();
        submissions.for_each(|submission| queues.waiting.submissions.push(submission.visit.site(), (now, submission)));
        drop(queues);
        self.ready.notify_one();
    }

    /// Ends the threads.
    pub fn stop(&self) {
        self.queues.lock().stopped = true;
        self.ready.notify_all();
    }

    /// Returns the longest time for which a thread has been checking what it took last.
    pub fn busy_for(&self) -> Option<Duration> {
        self.marks.lock().iter().filter_map(|mark| mark.busy_for()).max()
    }

    /// Checks until `stop`.
    pub fn run(&self) {
        let mark = Arc::<Mark>::default();
        self.marks.lock().push(mark.clone());
        loop {
            mark.end();
            let mut queues = self.queues.lock();
            while !queues.stopped && queues.waiting.is_empty() {
                self.ready.wait(&mut queues);
            }
            if queues.stopped {
                return;
            }
            mark.begin();
            self.take_next(queues);
        }
    }

    /// Checks the next waiting item. Returns false if none waits.
    pub fn turn(&self) -> bool {
        self.take_next(self.queues.lock())
    }

    /// Returns true if nothing waits.
    pub fn is_idle(&self) -> bool {
        self.queues.lock().waiting.is_empty()
    }

    fn take_next(&self, mut queues: MutexGuard<'_, Queues>) -> bool {
        let members = self.committee.read().n();
        let taken = queues.waiting.take(members);
        drop(queues);
        match taken {
            None => return false,
            Some(NextWork::Batches(batches)) => self.check_batches(batches),
            Some(NextWork::One(work)) => self.check_one(work),
            Some(NextWork::Submissions(group, submissions)) => self.check_submissions(group, submissions),
        }
        true
    }

    fn send(&self, event: Event) {
        self.events.push(event);
    }

    fn check_one(&self, work: Work) {
        match work {
            Work::Certificate { peer, certificate } => {
                let keys = &self.committee.read().clone().keys;
                let checked = verify_certificate(keys, (*certificate).clone());
                // Nobody is charged unless a check of a single signature finds it false.
                let checked = checked.ok_or_else(|| {
                    let liars = false_signers(keys, &certificate);
                    self.queues.lock().waiting.charge(Payer::Member(peer), certificate.signatures.len() as u64);
                    (*certificate, !liars.is_empty())
                });
                self.send(Event::CertificateChecked { peer, checked });
            }
            Work::Votes(votes) => {
                let results = verify_votes(&self.committee.read().clone().keys, &votes);
                self.send(Event::VotesChecked(votes.into_iter().zip(results).collect()));
            }
            Work::Batch(incoming) => self.check_batches(vec![incoming]),
            Work::Inline { digest, block } => {
                let results = verify_transactions(&block.header.chain, block.inline.as_slice().to_vec());
                let good = results.iter().all(Result::is_ok);
                self.send(Event::InlineChecked { digest, good });
            }
            Work::Forwarded(transactions, _held) => {
                let chain = self.chain();
                // A foreign transaction in this node's batch would make all others refuse the batch, and its lane with
                // it.
                let ours = transactions.into_iter().filter_map(|one| Addressed::check(&chain, one).ok());
                let transactions = admit(ours.collect(), &self.known).into_iter().flatten().collect();
                self.send(Event::Transactions { transactions, from_client: false });
            }
        }
    }

    /// Checks together the batches that wait together.
    fn check_batches(&self, incoming: Vec<Incoming>) {
        let committee = self.committee.read().clone();
        let mut from = Vec::with_capacity(incoming.len());
        let mut batches = Vec::with_capacity(incoming.len());
        let copies: Vec<Bytes> = incoming.iter().map(|incoming| incoming.bytes.clone()).collect();
        for Incoming { peer, batch, bytes, wanted, credit } in incoming {
            let author = committee.key(batch.body.author).filter(|_| batch.body.epoch == committee.epoch);
            if let Some(author) = author {
                batches.push((*author, *batch));
                from.push((peer, bytes, wanted, credit));
            }
        }
        for ((peer, bytes, wanted, _credit), checked) in from.into_iter().zip(verify_batches(batches, &self.known)) {
            let checked = checked.map_err(|(key, batch)| {
                // The batch was checked a second time alone, and a third time in part.
                let signatures = batch.body.signatures() as u64;
                self.queues.lock().waiting.charge(Payer::Member(peer), signatures);
                let (epoch, author) = (batch.body.epoch, batch.body.author);
                FalseBatch { epoch, author, fault: batch_fault(&key, &batch) }
            });
            self.send(Event::BatchChecked { peer, checked, bytes, wanted });
        }
        let mut checking = self.checking.lock();
        for bytes in &copies {
            checking.remove(bytes);
        }
    }

    fn check_submissions(&self, group: u64, submissions: Vec<(Instant, Submission)>) {
        let count = submissions.len();
        let oldest = submissions.first().map(|(since, _)| *since);
        let (transactions, waits): (Vec<_>, Vec<_>) = submissions.into_iter().map(waited_for).unzip();
        let (distinct, places) = distinct(transactions);
        let checked = admit(distinct, &self.known);
        let mut waiters = Vec::with_capacity(count);
        for (place, waiter) in places.into_iter().zip(waits) {
            match checked.get(place) {
                Some(Some(admitted)) => waiters.push((admitted.id(), waiter)),
                _ => waiter.tell(&Submitted::Refused(bad_signature())),
            }
        }
        if let Some(since) = oldest {
            self.time.observe(since.elapsed().as_secs_f64());
        }
        self.waiters.register(waiters);
        self.unverified.fetch_sub(count, Ordering::Relaxed);
        self.release(group, checked.into_iter().flatten().collect());
    }

    /// Hands over checked groups in the order in which they were taken.
    fn release(&self, group: u64, admitted: Vec<Admitted>) {
        let mut checked = self.checked.lock();
        checked.early.insert(group, admitted);
        loop {
            let next = checked.next;
            let Some(transactions) = checked.early.remove(&next) else { return };
            checked.next += 1;
            self.send(Event::Transactions { transactions, from_client: true });
        }
    }
}

/// Returns the transactions without duplicates, and for each input the place of its original among them.
fn distinct(transactions: Vec<Addressed>) -> (Vec<Addressed>, Vec<usize>) {
    let mut distinct: Vec<Addressed> = Vec::with_capacity(transactions.len());
    let mut by_signature: HashMap<Option<Signature>, usize> = HashMap::with_capacity(transactions.len());
    let mut places = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        let signature = first_signature(&transaction);
        let held = by_signature.get(&signature).copied();
        let held = held.filter(|place| distinct.get(*place).is_some_and(|other| **other == *transaction));
        places.push(held.unwrap_or(distinct.len()));
        if held.is_none() {
            by_signature.insert(signature, distinct.len());
            distinct.push(transaction);
        }
    }
    (distinct, places)
}

fn first_signature(transaction: &Transaction) -> Option<Signature> {
    match transaction {
        Transaction::V1(transaction) => Some(transaction.signature),
        Transaction::V2(transaction) => transaction.signatures().first().map(|(_, Signature2::Ed25519(bytes))| *bytes),
    }
}

fn waited_for((since, submission): (Instant, Submission)) -> (Addressed, Waiter) {
    let Submission { transaction, wait, index, until, visit, place, done } = submission;
    let (expires_at_ms, copies) = (transaction.expires_at_ms(), [(index, done)].into());
    (transaction, Waiter { wait, expires_at_ms, since, until, visit, place, copies })
}

fn bad_signature() -> Refused {
    Refused::new(
        "bad-signature",
        "a signature does not verify under the transaction's key on this chain; sign the canonical bytes with that key",
    )
}
