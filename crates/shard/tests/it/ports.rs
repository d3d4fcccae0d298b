//! `Ports` in memory. Each frame that leaves is compared with the journal's data on disk, and each release with what a
//! restart would need.

use crate::chain::{copy, verified};
use crate::signer::Signer;
use crate::witness::Witness;
use borsh::BorshDeserialize;
use bytes::Bytes;
use rustorium_api::Submitted;
use rustorium_crypto::{
    batch_fault, false_signers, verify_batch, verify_certificate, verify_transactions, verify_votes,
};
use rustorium_execution::Keys;
use rustorium_quorum::{Evidence, KeptCertificate};
use rustorium_shard::context::Context;
use rustorium_shard::port::Input;
use rustorium_shard::senders::Credit;
use rustorium_shard::senders::Payer;
use rustorium_shard::{EndReason, Event, ExecutionJob, FalseBatch, Ports};
use rustorium_signer::protocol::Request as SignRequest;
use rustorium_stages::activating::Activating;
use rustorium_stages::clients::account_view;
use rustorium_stages::decisions::Decisions;
use rustorium_stages::executor::{Executor, Progress};
use rustorium_stages::inbox::Inbox;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::proving::Scoped;
use rustorium_stages::queue::Queue;
use rustorium_stages::rooting::{RootJob, Rooting};
use rustorium_stages::serving::{Serving, answer_certificates, due_pushes};
use rustorium_stages::tree_rows::Tree;
use rustorium_stages::waiters::Waiters;
use rustorium_state::tables::Tables;
use rustorium_state::workers::Serial;
use rustorium_storage::{EpochStore, JournalRecord, Lsn, MemStore, RecordKind, Store, TreeStore};
use rustorium_sync::{Pushes, Source};
use rustorium_txpool::{AccountView, Refused};
use rustorium_types::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// The smallest tables, made once; the roots don't depend on their size.
fn tables() -> Arc<Tables> {
    static TABLES: OnceLock<Arc<Tables>> = OnceLock::new();
    TABLES.get_or_init(|| Arc::new(Tables::build(4).unwrap())).clone()
}

pub struct TestPorts {
    pub context: Arc<Context>,
    pub store: Arc<MemStore>,
    pub waiters: Arc<Waiters>,
    pub witness: Rc<RefCell<Witness>>,
    /// Frames to one peer, or to all.
    pub sent: VecDeque<(Option<ValidatorIndex>, Class, Bytes)>,
    /// Messages to nodes outside the committee: to one, or to all of them.
    pub told_outside: Vec<(Option<PublicKey>, Message)>,
    /// The same messages until they leave, with the epoch in which they were sent.
    pub outside: Vec<(Option<PublicKey>, Message, Arc<Context>)>,
    pub journal: Vec<JournalRecord>,
    pub next: u64,
    pub wanted: u64,
    pub synced: u64,
    pub released: u64,
    release_after: u64,
    /// The newest header that the store has on disk.
    pub durable: Header,
    /// View up to which a lost store held data that votes rest on.
    pub lost: View,
    pub events: VecDeque<Event>,
    pub jobs: VecDeque<ExecutionJob>,
    pub executed: Vec<ExecutionJob>,
    pub inputs: Vec<Input>,
    pub turns: Vec<Vec<Input>>,
    pub admitted: Vec<TxId>,
    pub duplicates: Vec<TxId>,
    pub expired: Vec<TxId>,
    pub given_up: Vec<TxId>,
    pub used: Vec<(TxId, Refused)>,
    pub refused: Vec<(TxId, Refused)>,
    pub evidence: Vec<Evidence>,
    /// Batches whose signatures were checked.
    pub batch_checks: usize,
    /// Members whose unchecked batches and transactions were dropped.
    pub dropped: Vec<ValidatorIndex>,
    /// The state tree, from genesis on.
    rooting: Rooting<Tree<Arc<dyn Store>>, Serial>,
    pub roots: Arc<Queue<RootJob>>,
    /// The loss that was found in the journal.
    pub retired: Option<String>,
    /// True if this test removes something that the node had signed.
    pub may_retire: bool,
    /// Reason for which the shard ended the node.
    pub ended: Option<EndReason>,
    /// The node keys of the committee that operators want.
    pub target: BTreeSet<PublicKey>,
    /// The process that signs for it, where it has no key itself.
    pub signer: Option<Signer>,
    /// Peers of an older release, by the version of the link.
    pub link_versions: BTreeMap<ValidatorIndex, u8>,
    /// The peers that blocks are pushed to.
    pub pushes: Pushes,
    /// What operators' seats decided.
    pub decided: Arc<Mutex<Vec<Decisions>>>,
    /// The newest protocol version that the node's release speaks.
    pub newest: u16,
    /// True if the executor may end the node.
    pub may_end: bool,
    /// Why the executor ended the node. From then on it executes nothing.
    pub end: Option<String>,
}

impl TestPorts {
    pub fn new(context: Arc<Context>, store: Arc<MemStore>, witness: Rc<RefCell<Witness>>) -> Self {
        let durable = context.genesis_header.clone();
        let base = Tree(store.clone() as Arc<dyn Store>);
        let rooting = Rooting::new(tables(), Serial, Arc::new(context.parameters.clone()), base, Height(0));
        Self {
            context,
            store,
            waiters: Arc::default(),
            witness,
            sent: VecDeque::new(),
            told_outside: Vec::new(),
            outside: Vec::new(),
            journal: Vec::new(),
            next: 1,
            wanted: 0,
            synced: 0,
            released: 0,
            release_after: 0,
            durable,
            lost: View(0),
            events: VecDeque::new(),
            jobs: VecDeque::new(),
            executed: Vec::new(),
            inputs: Vec::new(),
            turns: Vec::new(),
            admitted: Vec::new(),
            duplicates: Vec::new(),
            expired: Vec::new(),
            given_up: Vec::new(),
            used: Vec::new(),
            refused: Vec::new(),
            evidence: Vec::new(),
            batch_checks: 0,
            dropped: Vec::new(),
            rooting,
            roots: Arc::default(),
            retired: None,
            may_retire: false,
            ended: None,
            target: BTreeSet::new(),
            signer: None,
            link_versions: BTreeMap::new(),
            pushes: Pushes::default(),
            decided: Arc::default(),
            newest: NEWEST_VERSION,
            may_end: false,
            end: None,
        }
    }

    fn outside(&mut self, to: Option<PublicKey>, message: Message) {
        self.told_outside.push((to, message.clone()));
        self.outside.push((to, message, self.context.clone()));
    }

    /// Executes one job with the node's own executor.
    pub fn execute_one(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        let Some(job) = self.jobs.pop_front() else { return false };
        let (jobs, events) = (Queue::default(), Arc::<Queue<Event>>::default());
        let (digest, height) = (job.digest, job.block.header.height);
        if job.end.is_some() {
            // R32: the executor syncs the store.
            self.durable = job.block.header.clone();
        }
        self.executed.push(copy(&job));
        jobs.push(job);
        jobs.close();
        let inbox = Arc::<Inbox>::default();
        let decided = self.decided.clone();
        let executor = Executor {
            context: self.context.clone(),
            store: self.store.clone(),
            waiters: self.waiters.clone(),
            events: events.clone(),
            inbox: inbox.clone(),
            progress: Arc::<Progress>::default(),
            metrics: Arc::new(NodeMetrics::new(ShardId::ROOT)),
            roots: Some(self.roots.clone()),
            parameters: Arc::new((&self.context.parameters).into()),
            activating: self.activating(),
            keys: Keys::default(),
            provers: Scoped(2),
            prove: Arc::new(|id| Submitted::TimedOut(*id)),
            decided: Some(Arc::new(move |decisions: &Decisions| decided.lock().unwrap().push(decisions.clone()))),
        };
        executor.execute_all(&jobs);
        self.end = inbox.failure();
        assert!(self.end.is_none() || self.may_end, "{:?}", self.end);
        if self.end.is_some() {
            return false;
        }
        let root = self.store.tip().unwrap().result_root;
        self.witness.borrow_mut().executed(height, digest, root);
        let mut told = VecDeque::new();
        events.take(Some(Duration::ZERO), &mut told);
        self.events.append(&mut told);
        true
    }

    /// Reads again which leaves may end version 1, as a start does.
    fn activating(&self) -> Option<Activating> {
        let parameters = &self.context.parameters;
        let first = self.context.rules == Rules::V1;
        first.then(|| Activating::new(&*self.store, parameters, tables()).unwrap()).flatten()
    }

    /// Reads the whole store once more, as a restart does.
    pub fn reload_roots(&mut self) {
        self.roots = Arc::default();
        let base = Tree(self.store.clone() as Arc<dyn Store>);
        let folded = self.store.tree_base().unwrap();
        let parameters = Arc::new(self.context.parameters.clone());
        self.rooting = Rooting::new(tables(), Serial, parameters, base, folded.unwrap_or_default());
        for height in (folded.map_or(0, |base| base.0 + 1)..=self.store.tip().unwrap().height.0).map(Height) {
            let header = self.store.bare_block(height).unwrap().unwrap().header;
            let diff = self.store.tree_writes(height).unwrap().unwrap();
            let parameters = Arc::new(self.context.parameters_of(&*self.store, &header).unwrap());
            self.roots.push(RootJob { header, diff, parameters });
        }
    }

    /// Roots executed heights; also ahead, if there is nothing else to do and it is time.
    pub fn root(&mut self, wall_ms: u64) -> bool {
        let mut jobs = VecDeque::new();
        self.roots.take(Some(Duration::ZERO), &mut jobs);
        let mut rooted: Vec<_> = jobs.into_iter().filter_map(|job| self.rooting.take(job).unwrap()).collect();
        if rooted.is_empty() && self.rooting.ahead_from_ms().is_some_and(|at| at <= wall_ms) {
            rooted.extend(self.rooting.root_ahead().unwrap());
        }
        for rooted in &rooted {
            self.witness.borrow_mut().rooted(rooted.period.end, rooted.root);
            self.events.push_back(Event::Rooted(*rooted));
        }
        !rooted.is_empty()
    }

    /// Frees the records that the shard released. The journal frees nothing before it has synced everything appended
    /// until then.
    pub fn free(&mut self) {
        if self.synced >= self.release_after {
            self.journal.retain(|record| record.lsn.0 >= self.released);
        }
    }

    pub fn on_disk(&self) -> impl Iterator<Item = &JournalRecord> {
        self.journal.iter().filter(|record| record.lsn.0 <= self.synced)
    }

    /// Returns true if a restart with the store's durable tip needs the record.
    fn needed(&self, record: &JournalRecord, position: u64) -> bool {
        let now = if self.durable.ends_epoch() { self.durable.epoch.next() } else { self.durable.epoch };
        let epoch = match record.kind {
            RecordKind::Vote => from::<SignedVote>(&record.payload).body.epoch,
            RecordKind::Proposal => from::<Block>(&record.payload).header.epoch,
            RecordKind::Certificate => from::<Certificate>(&record.payload).body.epoch,
            RecordKind::Batch => from::<Batch>(&record.payload).body.epoch,
            RecordKind::Floor => now,
        };
        // R36: the newest copy counts.
        let again = |other: &JournalRecord| {
            other.lsn.0 >= position && other.kind == record.kind && other.payload == record.payload
        };
        if epoch < now || self.journal.iter().any(again) {
            return false;
        }
        match record.kind {
            RecordKind::Vote => from::<SignedVote>(&record.payload).body.view > self.durable.view,
            RecordKind::Proposal => from::<Block>(&record.payload).header.view > self.durable.view,
            RecordKind::Certificate => from::<Certificate>(&record.payload).body.view > self.durable.view,
            RecordKind::Batch => {
                let batch: Batch = from(&record.payload);
                let listed =
                    self.durable.cursors.get(usize::from(batch.body.author.0)).map_or(0, |cursor| cursor.next_seq);
                let listed = if self.durable.ends_epoch() { 0 } else { listed };
                batch.body.seq >= listed
            }
            RecordKind::Floor => {
                let later = |other: &JournalRecord| other.lsn.0 >= position && other.kind == RecordKind::Floor;
                !self.journal.iter().any(later)
            }
        }
    }
}

pub fn from<T: BorshDeserialize>(bytes: &[u8]) -> T {
    decode(bytes, limits::FRAME_BYTES_MAX).unwrap()
}

impl Ports for TestPorts {
    fn begin_epoch(&mut self, context: &Arc<Context>) {
        self.context = context.clone();
    }

    fn stored_block(&self, digest: &BlockDigest) -> Option<Block> {
        Serving { memory: None, store: &*self.store }.block(digest)
    }

    fn epoch_end(&self, epoch: Epoch) -> Option<EpochTransition> {
        self.store.epoch(epoch).unwrap()
    }

    fn send(&mut self, to: ValidatorIndex, class: Class, frame: Bytes) {
        self.leaves(class, &frame);
        self.sent.push_back((Some(to), class, frame));
    }

    fn send_to(&mut self, node_key: &PublicKey, class: Class, frame: Bytes) {
        match self.context.place(node_key) {
            Some(place) => self.send(place, class, frame),
            None => self.outside(Some(*node_key), Message::from_frame(class, &frame).unwrap()),
        }
    }

    fn tell_followers(&mut self, class: Class, frame: Bytes) {
        self.leaves(class, &frame);
        self.outside(None, Message::from_frame(class, &frame).unwrap());
    }

    fn link_version(&self, node_key: &PublicKey) -> u8 {
        let older = self.context.place(node_key).and_then(|peer| self.link_versions.get(&peer));
        older.copied().unwrap_or(link_version::DIGESTS)
    }

    fn broadcast(&mut self, class: Class, frame: Bytes) {
        self.leaves(class, &frame);
        self.sent.push_back((None, class, frame));
    }

    fn append(&mut self, kind: RecordKind, payload: &[u8]) -> u64 {
        let lsn = Lsn(self.next);
        self.next += 1;
        self.journal.push(JournalRecord { kind, lsn, payload: Bytes::copy_from_slice(payload) });
        lsn.0
    }

    fn append_again(&mut self, of: u64, payload_bytes: usize) -> u64 {
        let original = self.journal.iter().find(|record| record.lsn.0 == of).expect("what is copied was kept").clone();
        assert_eq!(original.payload.len(), payload_bytes);
        self.append(original.kind, &original.payload)
    }

    fn sync(&mut self, position: u64) {
        assert!(position < self.next);
        self.wanted = self.wanted.max(position);
    }

    fn release(&mut self, position: u64) {
        for record in self.journal.iter().filter(|record| record.lsn.0 < position) {
            assert!(!self.needed(record, position), "a {:?} that is still needed was released", record.kind);
        }
        self.released = self.released.max(position);
        self.release_after = self.wanted;
        self.free();
    }

    fn check_batch(&mut self, peer: ValidatorIndex, batch: Batch, bytes: Bytes, wanted: bool, _: Credit) {
        assert_eq!(from::<Batch>(&bytes), batch);
        self.batch_checks += 1;
        let author = self.context.committee.keys.get(usize::from(batch.body.author.0));
        let Some(author) = author else { return };
        let checked = verify_batch(author, batch.clone()).ok_or_else(|| {
            let (epoch, by, fault) = (batch.body.epoch, batch.body.author, batch_fault(author, &batch));
            FalseBatch { epoch, author: by, fault }
        });
        self.events.push_back(Event::BatchChecked { peer, checked, bytes, wanted });
    }

    fn drop_unchecked(&mut self, peer: ValidatorIndex) {
        self.dropped.push(peer);
    }

    fn check_certificate(&mut self, peer: ValidatorIndex, certificate: Certificate) {
        let keys = &self.context.committee.keys;
        let checked = verify_certificate(keys, certificate.clone());
        let checked = checked.ok_or_else(|| (certificate.clone(), !false_signers(keys, &certificate).is_empty()));
        self.events.push_back(Event::CertificateChecked { peer, checked });
    }

    fn check_votes(&mut self, votes: Vec<SignedVote>) {
        let results = verify_votes(&self.context.committee.keys, &votes);
        self.events.push_back(Event::VotesChecked(votes.into_iter().zip(results).collect()));
    }

    fn check_transactions(&mut self, _: Payer, transactions: Vec<Transaction>, _: Credit) {
        let transactions = verified(self.context.chain(), transactions);
        self.events.push_back(Event::Transactions { transactions, from_client: false });
    }

    fn check_inline(&mut self, digest: BlockDigest, block: Arc<Block>) {
        let good = verify_transactions(&block.header.chain, block.inline.as_slice().to_vec()).iter().all(Result::is_ok);
        self.events.push_back(Event::InlineChecked { digest, good });
    }

    fn execute(&mut self, job: ExecutionJob) {
        self.jobs.push_back(job);
    }

    fn inputs(&mut self, inputs: Vec<Input>, _wakes: bool) {
        self.turns.push(inputs.clone());
        self.inputs.extend(inputs);
    }

    fn admitted(&mut self, ids: &[TxId]) {
        self.admitted.extend(ids);
    }

    fn duplicate(&mut self, id: &TxId) {
        self.duplicates.push(*id);
    }

    fn expired(&mut self, ids: &[TxId]) {
        self.expired.extend(ids);
    }

    fn given_up(&mut self, ids: &[TxId]) {
        self.given_up.extend(ids);
    }

    fn used(&mut self, transactions: &[(TxId, Refused)]) {
        self.used.extend_from_slice(transactions);
    }

    fn refused(&mut self, id: &TxId, refused: Refused) {
        self.refused.push((*id, refused));
    }

    fn account(&self, account: &AccountId) -> Option<AccountView> {
        account_view(&*self.store, &(&self.context.parameters).into(), account)
    }

    fn answer_certificates(&mut self, to: &PublicKey, id: u64, kept: Vec<KeptCertificate>) {
        let journaled = |lsn: &Lsn| self.journal.iter().find(|record| record.lsn == *lsn).cloned();
        let response = answer_certificates(kept, |places| places.iter().filter_map(journaled).collect());
        self.send_to(to, Class::Sync, Message::Response { id, response }.to_frame().into());
    }

    fn serve(&mut self, to: &PublicKey, id: u64, request: Request, _: Credit) {
        if let Request::Follow(first) = request {
            self.pushes.follow(*to, id, first);
            return self.stored();
        }
        let response = rustorium_sync::answer(&Serving { memory: None, store: &*self.store }, &request);
        let response = rustorium_sync::for_link(response, self.link_version(to));
        self.send_to(to, Class::Sync, Message::Response { id, response }.to_frame().into());
    }

    fn stored(&mut self) {
        for (peer, id, response) in due_pushes(&*self.store, &mut self.pushes) {
            self.send_to(&peer, Class::Sync, Message::Response { id, response }.to_frame().into());
        }
    }

    fn take_from_outside(&mut self, from: &PublicKey, transactions: Vec<Transaction>, credit: Credit) {
        self.check_transactions(Payer::Outsider(*from), transactions, credit);
    }

    fn target(&mut self, node_keys: &BTreeSet<PublicKey>) {
        self.target.clone_from(node_keys);
    }

    fn ask_signer(&mut self, request: SignRequest) {
        let answer = self.signer.as_mut().unwrap().answer(request);
        self.events.extend(answer);
    }

    fn evidence(&mut self, evidence: Evidence) {
        self.evidence.push(evidence);
    }

    fn retire(&mut self, lacks: &str) {
        assert!(self.may_retire, "{:?} lost nothing, and is said to lack {lacks}", self.context.me());
        assert!(self.retired.replace(lacks.to_owned()).is_none(), "retired twice");
    }

    fn end(&mut self, why: EndReason) {
        self.ended = Some(why);
    }
}
