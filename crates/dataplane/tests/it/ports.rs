//! `Ports` in memory. Each frame that leaves is held against what the journal has on disk, and each release against what
//! a restart would need.

use crate::chain::verified;
use borsh::BorshDeserialize;
use bytes::Bytes;
use rustorium_crypto::{
    batch_digest, batch_fault, block_digest, false_signers, verify_batch, verify_certificate, verify_transactions,
    verify_votes,
};
use rustorium_dataplane::context::Context;
use rustorium_dataplane::executor::{Executor, Progress};
use rustorium_dataplane::inbox::Inbox;
use rustorium_dataplane::metrics::NodeMetrics;
use rustorium_dataplane::port::Input;
use rustorium_dataplane::proving::Scoped;
use rustorium_dataplane::queue::Queue;
use rustorium_dataplane::rooting::{RootJob, Rooting};
use rustorium_dataplane::serving::Serving;
use rustorium_dataplane::shard::{Ending, Event, ExecutionJob, FalseBatch, Ports};
use rustorium_dataplane::tree_rows::Tree;
use rustorium_dataplane::verifier::Payer;
use rustorium_dataplane::waiters::Waiters;
use rustorium_execution::{AccountRecord, Keys, account_key};
use rustorium_gateway::Submitted;
use rustorium_quorum::Evidence;
use rustorium_state::tables::Tables;
use rustorium_state::workers::Serial;
use rustorium_storage::{EpochStore, JournalRecord, Lsn, MemStore, RecordKind, Store, TreeStore};
use rustorium_sync::Source;
use rustorium_transport::Credit;
use rustorium_txpool::{AccountView, Refused};
use rustorium_types::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What all incarnations of all nodes have shown to others.
#[derive(Default)]
pub struct Witness {
    votes: BTreeMap<(Epoch, ValidatorIndex, View, VoteKind), BlockDigest>,
    batches: BTreeMap<(Epoch, ValidatorIndex, u64), BatchDigest>,
    headers: BTreeMap<BlockDigest, Header>,
    roots: BTreeMap<Height, (BlockDigest, Hash)>,
    state_roots: BTreeMap<Height, Hash>,
}

impl Witness {
    fn vote(&mut self, signer: ValidatorIndex, body: &VoteBody) {
        let epoch = body.epoch;
        let known = *self.votes.entry((epoch, signer, body.view, body.kind)).or_insert(body.block);
        assert_eq!(known, body.block, "{signer:?} voted twice in {:?}", body.view);
        let both = [VoteKind::Nullify, VoteKind::Finalize]
            .map(|kind| self.votes.contains_key(&(epoch, signer, body.view, kind)));
        assert_ne!(both, [true, true], "{signer:?} nullified and finalized {:?}", body.view);
    }

    /// Whether it was shown before.
    fn batch(&mut self, body: &BatchBody, digest: BatchDigest) -> bool {
        let (author, seq) = (body.author, body.seq);
        let known = self.batches.insert((body.epoch, author, seq), digest);
        assert!(known.is_none_or(|known| known == digest), "{author:?} sent two batches at {seq}");
        known.is_some()
    }

    fn rooted(&mut self, height: Height, root: Hash) {
        assert_eq!(*self.state_roots.entry(height).or_insert(root), root, "two state roots at {height:?}");
    }

    fn executed(&mut self, height: Height, digest: BlockDigest, root: Hash) {
        let known = *self.roots.entry(height).or_insert((digest, root));
        assert_eq!(known, (digest, root), "two results at {height:?}");
    }
}

/// The smallest tables: made once, and the same roots come out.
fn tables() -> Arc<Tables> {
    static TABLES: OnceLock<Arc<Tables>> = OnceLock::new();
    TABLES.get_or_init(|| Arc::new(Tables::build(4).unwrap())).clone()
}

pub struct TestPorts {
    pub context: Arc<Context>,
    pub store: Arc<MemStore>,
    pub waiters: Arc<Waiters>,
    pub witness: Rc<RefCell<Witness>>,
    /// To one peer, or to all.
    pub sent: VecDeque<(Option<ValidatorIndex>, Class, Bytes)>,
    /// To nodes outside the committee: one, or all of them.
    pub told_outside: Vec<(Option<PublicKey>, Message)>,
    /// The same, until it is on its way.
    pub outside: Vec<(Option<PublicKey>, Message)>,
    pub journal: Vec<JournalRecord>,
    pub next: u64,
    pub wanted: u64,
    pub synced: u64,
    pub released: u64,
    release_after: u64,
    /// The newest header that the store has on disk.
    pub durable: Header,
    /// Up to this view a store held what votes rest on, and is gone.
    pub lost: View,
    pub events: VecDeque<Event>,
    pub jobs: VecDeque<ExecutionJob>,
    pub executed: Vec<ExecutionJob>,
    pub inputs: Vec<Input>,
    pub turns: Vec<Vec<Input>>,
    pub admitted: Vec<TxId>,
    pub duplicates: Vec<TxId>,
    pub expired: Vec<TxId>,
    pub refused: Vec<(TxId, Refused)>,
    pub evidence: Vec<Evidence>,
    /// The state tree, from genesis on.
    rooting: Rooting<Tree<Arc<dyn Store>>, Serial>,
    pub roots: Arc<Queue<RootJob>>,
    /// What the journal was found to lack, once.
    pub retired: Option<String>,
    /// Whether this test takes something away that the node had signed.
    pub may_retire: bool,
    /// Whether it ended for another process with its keys.
    pub ended: Option<Ending>,
}

impl TestPorts {
    pub fn new(context: Arc<Context>, store: Arc<MemStore>, witness: Rc<RefCell<Witness>>) -> Self {
        let durable = context.genesis_header.clone();
        let base = Tree(store.clone() as Arc<dyn Store>);
        let rooting = Rooting::new(tables(), Serial, context.parameters.clone(), base, Height(0));
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
            refused: Vec::new(),
            evidence: Vec::new(),
            rooting,
            roots: Arc::default(),
            retired: None,
            may_retire: false,
            ended: None,
        }
    }

    fn outside(&mut self, to: Option<PublicKey>, message: Message) {
        self.told_outside.push((to, message.clone()));
        self.outside.push((to, message));
    }

    /// Executes one job with the node's own executor.
    pub fn execute_one(&mut self) -> bool {
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
        let inbox = Arc::new(Inbox::new().unwrap());
        let executor = Executor {
            context: self.context.clone(),
            store: self.store.clone(),
            waiters: self.waiters.clone(),
            events: events.clone(),
            inbox: inbox.clone(),
            progress: Arc::<Progress>::default(),
            metrics: Arc::<NodeMetrics>::default(),
            roots: Some(self.roots.clone()),
            keys: Keys::default(),
            provers: Scoped(2),
            prove: Arc::new(|id| Submitted::TimedOut(*id)),
        };
        executor.execute_all(&jobs);
        assert_eq!(inbox.failure(), None);
        let root = self.store.tip().unwrap().result_root;
        self.witness.borrow_mut().executed(height, digest, root);
        let mut told = VecDeque::new();
        events.take(Some(Duration::ZERO), &mut told);
        self.events.append(&mut told);
        true
    }

    /// Goes through all that the store has once more, as a restart does.
    pub fn reload_roots(&mut self) {
        self.roots = Arc::default();
        let base = Tree(self.store.clone() as Arc<dyn Store>);
        let folded = self.store.tree_base().unwrap();
        let parameters = self.context.parameters.clone();
        self.rooting = Rooting::new(tables(), Serial, parameters, base, folded.unwrap_or_default());
        for height in (folded.map_or(0, |base| base.0 + 1)..=self.store.tip().unwrap().height.0).map(Height) {
            let header = self.store.bare_block(height).unwrap().unwrap().header;
            let diff = self.store.tree_writes(height).unwrap().unwrap();
            self.roots.push(RootJob { header, diff });
        }
    }

    /// Roots what was executed; ahead, where nothing else is to be done and it is time.
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

    /// The journal frees nothing before it has synced what was appended by then.
    pub fn free(&mut self) {
        if self.synced >= self.release_after {
            self.journal.retain(|record| record.lsn.0 >= self.released);
        }
    }

    pub fn on_disk(&self) -> impl Iterator<Item = &JournalRecord> {
        self.journal.iter().filter(|record| record.lsn.0 <= self.synced)
    }

    fn has(&self, kind: RecordKind, fits: impl Fn(&[u8]) -> bool) -> bool {
        self.on_disk().any(|record| record.kind == kind && fits(&record.payload))
    }

    fn block_on_disk(&self, digest: &BlockDigest) -> Option<Block> {
        let blocks = self.on_disk().filter(|record| record.kind == RecordKind::Proposal);
        blocks.map(|record| from::<Block>(&record.payload)).find(|block| block_digest(&block.header) == *digest)
    }

    fn batch_on_disk(&self, digest: &BatchDigest) -> Option<Batch> {
        let batches = self.on_disk().filter(|record| record.kind == RecordKind::Batch);
        let journaled = batches.map(|record| from::<Batch>(&record.payload)).find(|b| batch_digest(&b.body) == *digest);
        journaled.or_else(|| self.store.batch(digest).unwrap())
    }

    /// R21: what a vote rests on is on disk.
    fn vote_leaves(&self, vote: &SignedVote) {
        if !self.context.is_me(vote.signer) {
            return;
        }
        let body = &vote.body;
        self.witness.borrow_mut().vote(vote.signer, body);
        if body.view <= self.durable.view.max(self.lost) {
            return;
        }
        assert!(self.has(RecordKind::Vote, |bytes| from::<SignedVote>(bytes) == *vote), "a vote left before its sync");
        match body.kind {
            VoteKind::Notarize => {
                let block = self.block_on_disk(&body.block).expect("a notarize left before its block was on disk");
                let parents = self.parent_cursors(&block.header);
                for (cursor, parent) in block.header.cursors.iter().zip(parents.unwrap_or_default()) {
                    self.lane_on_disk(cursor.tip, parent.tip);
                }
            }
            VoteKind::Finalize => {
                let notarizes = |bytes: &[u8]| {
                    let certificate: Certificate = from(bytes);
                    certificate.body.kind == VoteKind::Notarize && certificate.body.block == body.block
                };
                assert!(self.has(RecordKind::Certificate, notarizes), "a finalize left before its notarization");
            }
            VoteKind::Nullify => {}
        }
    }

    /// R6: only its own payload; its ancestors' is with those who notarized them.
    fn parent_cursors(&self, header: &Header) -> Option<Vec<Cursor>> {
        let stored = |height| self.store.bare_block(height).unwrap().map(|block| block.header);
        let stored = self.store.height_of(&header.parent).unwrap().and_then(stored);
        let known = stored.or_else(|| self.witness.borrow().headers.get(&header.parent).cloned());
        let same = |parent: &Header| parent.epoch == header.epoch;
        let cursors = |parent: Header| if same(&parent) { parent.cursors.into_vec() } else { Vec::new() };
        known.map(cursors)
    }

    fn lane_on_disk(&self, mut tip: BatchDigest, parent: BatchDigest) {
        while tip != parent && self.store.batch(&tip).unwrap().is_none() {
            let batch = self.batch_on_disk(&tip).expect("a notarize left before its payload was on disk");
            tip = batch.body.previous;
        }
    }

    fn batch_leaves(&self, batch: &Batch) {
        let digest = batch_digest(&batch.body);
        if self.context.is_me(batch.body.author) {
            // One that left before a store was lost, and was fetched back, may be served from memory.
            let known = self.witness.borrow_mut().batch(&batch.body, digest);
            assert!(known || self.batch_on_disk(&digest).is_some(), "an own batch left before its sync");
        }
    }

    fn leaves(&self, class: Class, frame: &Bytes) {
        match Message::from_frame(class, frame).expect("a frame that its receiver can read") {
            Message::Vote(message) => self.vote_leaves(&message.vote),
            Message::Heartbeat(heartbeat) => heartbeat.votes.iter().for_each(|vote| self.vote_leaves(vote)),
            Message::Proposal(proposal) => {
                let header = &proposal.header;
                self.witness.borrow_mut().headers.insert(block_digest(header), header.clone());
                let body = self.notarize_of(header);
                self.vote_leaves(&SignedVote { body, signer: header.proposer, signature: proposal.signature });
            }
            Message::Batch(batch) | Message::Response { response: Response::Batch(batch), .. } => {
                self.batch_leaves(&batch);
            }
            _ => {}
        }
    }

    pub fn notarize_of(&self, header: &Header) -> VoteBody {
        let (view, kind, block) = (header.view, VoteKind::Notarize, block_digest(header));
        VoteBody { chain: header.chain, shard: header.shard, epoch: header.epoch, view, kind, block }
    }

    /// Whether a restart with the store's durable tip needs the record.
    fn needed(&self, record: &JournalRecord, position: u64) -> bool {
        let now = if self.durable.ends_epoch() { self.durable.epoch.next() } else { self.durable.epoch };
        let epoch = match record.kind {
            RecordKind::Vote => from::<SignedVote>(&record.payload).body.epoch,
            RecordKind::Proposal => from::<Block>(&record.payload).header.epoch,
            RecordKind::Certificate => from::<Certificate>(&record.payload).body.epoch,
            RecordKind::Batch => from::<Batch>(&record.payload).body.epoch,
            RecordKind::Floor => now,
        };
        if epoch < now {
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
                let again = |other: &JournalRecord| other.lsn.0 >= position && other.payload == record.payload;
                batch.body.seq >= listed && !self.journal.iter().any(again)
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

pub fn copy(job: &ExecutionJob) -> ExecutionJob {
    ExecutionJob {
        digest: job.digest,
        block: job.block.clone(),
        payload: job.payload.clone(),
        finalization: job.finalization.clone(),
        end: job.end.clone(),
    }
}

impl Ports for TestPorts {
    fn begin_epoch(&mut self, context: &Arc<Context>) {
        self.context = context.clone();
    }

    fn epoch_end(&self, epoch: Epoch) -> Option<EpochChange> {
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
        let author = self.context.committee.keys.get(usize::from(batch.body.author.0));
        let Some(author) = author else { return };
        let checked = verify_batch(author, batch.clone()).ok_or_else(|| {
            let (epoch, by, fault) = (batch.body.epoch, batch.body.author, batch_fault(author, &batch));
            FalseBatch { epoch, author: by, fault }
        });
        self.events.push_back(Event::BatchChecked { peer, checked, bytes, wanted });
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
        let transactions = verified(transactions);
        self.events.push_back(Event::Transactions { transactions, from_client: false });
    }

    fn check_inline(&mut self, digest: BlockDigest, block: Arc<Block>) {
        let good = verify_transactions(block.inline.as_slice().to_vec()).iter().all(Result::is_ok);
        self.events.push_back(Event::InlineChecked { digest, good });
    }

    fn execute(&mut self, job: ExecutionJob) {
        self.jobs.push_back(job);
    }

    fn inputs(&mut self, inputs: Vec<Input>) {
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

    fn refused(&mut self, id: &TxId, refused: Refused) {
        self.refused.push((*id, refused));
    }

    fn account(&self, account: &AccountId) -> Option<AccountView> {
        let record = AccountRecord::from_bytes(&self.store.state(&account_key(*account)).unwrap()?).unwrap();
        Some(AccountView { nonce: record.nonce, public_key: record.public_key })
    }

    fn answer(&self, request: &Request, memory: &dyn Source) -> Response {
        rustorium_sync::answer(&Serving { memory, store: &*self.store }, request)
    }

    fn evidence(&mut self, evidence: Evidence) {
        self.evidence.push(evidence);
    }

    fn retire(&mut self, lacks: &str) {
        assert!(self.may_retire, "{:?} lost nothing, and is said to lack {lacks}", self.context.me());
        assert!(self.retired.replace(lacks.to_owned()).is_none(), "retired twice");
    }

    fn end(&mut self, why: Ending) {
        self.ended = Some(why);
    }
}
