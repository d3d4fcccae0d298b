//! A node in memory: executes puts at once, one block per submission.

use crate::headers::{chain, header, proof};
use crate::key_pages::{
    Nonces, Values, balance_page, governance, governance_note, grant_page, key_page, leaf, version_page,
};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use rustorium_api::json::Finding;
use rustorium_api::*;
use rustorium_crypto::{Addressed, SigningKey, account_id, block_digest};
use rustorium_gateway::{Backend, ChainInfo};
use rustorium_types::*;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::{net::IpAddr, sync::Arc};
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Default)]
struct Inner {
    blocks: Vec<BlockView>,
    transactions: HashMap<TxId, (Transaction, Receipt)>,
    pending: HashSet<TxId>,
    nonces: Nonces,
    values: Values,
}

pub struct World {
    chain: ChainInfo,
    inner: Mutex<Inner>,
    events: watch::Sender<Newest>,
    /// If above 0, refuse everything before the pool.
    pub busy_ms: AtomicU64,
    /// Refuse everything, in the pool.
    pub pool_full: AtomicBool,
    /// Take transactions and never finalize them.
    pub hold: AtomicBool,
    /// Answer with certified proofs or not yet.
    pub certified: AtomicBool,
    pub ready: AtomicBool,
    pub unreachable: Mutex<Vec<String>>,
    pub retired: Mutex<Option<String>>,
    pub filling: Mutex<Option<Filling>>,
    pub findings: Mutex<Vec<Finding>>,
    pub evidence: Mutex<Vec<EvidenceNote>>,
    /// Heights below it are pruned.
    pub pruned_below: AtomicU64,
    /// Number of ended epochs.
    pub ended_epochs: AtomicU64,
    /// The height whose state is proven; 0 if the chain makes no state roots.
    pub proven_height: AtomicU64,
    /// Sessions whose end was reported.
    pub left: AtomicUsize,
    /// Calls of `submit_streaming`.
    pub streaming_calls: AtomicUsize,
    /// Calls of `final_block`.
    pub stored_reads: AtomicUsize,
    /// Fail a check of the node's own state at each request or submission.
    pub panics: AtomicBool,
    /// Calls of `keys`, and the number of first calls that are delayed.
    pub listings: AtomicUsize,
    pub listings_held: AtomicUsize,
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub fn address(seed: u8) -> AccountId {
    account_id(0, &key(seed).public())
}

impl World {
    pub fn new(accounts: impl IntoIterator<Item = u8>) -> Arc<Self> {
        Self::of_shard(ShardId(0), accounts)
    }

    pub fn of_shard(shard: ShardId, accounts: impl IntoIterator<Item = u8>) -> Arc<Self> {
        let chain = chain(shard);
        let nonces = accounts.into_iter().map(|seed| (address(seed), (0, key(seed).public()))).collect();
        let world = Arc::new(Self {
            chain,
            inner: Mutex::new(Inner { nonces, ..Inner::default() }),
            events: watch::Sender::default(),
            busy_ms: AtomicU64::new(0),
            pool_full: AtomicBool::new(false),
            hold: AtomicBool::new(false),
            certified: AtomicBool::new(true),
            ready: AtomicBool::new(true),
            unreachable: Mutex::default(),
            retired: Mutex::default(),
            filling: Mutex::default(),
            findings: Mutex::default(),
            evidence: Mutex::default(),
            pruned_below: AtomicU64::new(0),
            ended_epochs: AtomicU64::new(0),
            proven_height: AtomicU64::new(0),
            left: AtomicUsize::new(0),
            streaming_calls: AtomicUsize::new(0),
            stored_reads: AtomicUsize::new(0),
            panics: AtomicBool::new(false),
            listings: AtomicUsize::new(0),
            listings_held: AtomicUsize::new(0),
        });
        world.add_block(&mut world.inner.lock(), Vec::new());
        world
    }

    /// A signed put.
    pub fn put(&self, seed: u8, nonce: u64, name: &[u8], value: &[u8]) -> Transaction {
        let (key, value) = (BoundedBytes::new(name.to_vec()).unwrap(), BoundedBytes::new(value.to_vec()).unwrap());
        self.transaction_of(seed, nonce, vec![Operation::Put { namespace: address(seed), key, value }])
    }

    pub fn transaction_of(&self, seed: u8, nonce: u64, operations: Vec<Operation>) -> Transaction {
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            chain: self.chain.id,
            sender: address(seed),
            public_key: key(seed).public(),
            nonce,
            expires_at_ms: u64::MAX,
            work_limit: 1_000,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(operations).unwrap(),
        };
        key(seed).sign_transaction(body).into_inner()
    }

    /// Makes a block of puts by account `seed`.
    pub fn finalize(&self, transactions: Vec<Transaction>) {
        let ours = |one| Addressed::check(&self.chain.id, one).unwrap();
        let ends = self.take(transactions.into_iter().map(ours).collect());
        assert!(ends.iter().all(|end| matches!(end, Submitted::Final(..))), "{ends:?}");
    }

    pub fn tip(&self) -> u64 {
        self.inner.lock().blocks.len() as u64 - 1
    }

    fn check(&self) {
        assert!(!self.panics.load(Ordering::Relaxed), "a fault that a test asked for");
    }

    fn add_block(&self, inner: &mut Inner, receipts: Vec<Receipt>) {
        let header = header(inner.blocks.len() as u64);
        let digest = block_digest(&header);
        let told = FinalBlock::new(header.height, header.time_ms, digest, receipts.clone());
        inner.blocks.push(BlockView {
            proof: Some(proof(&header)),
            block: Block { header, inline: BoundedVec::default() },
            digest,
            result_root: Hash([told.height.0 as u8; 32]),
            link: ResultLink::default(),
            batches: vec![(ValidatorIndex(1), BatchDigest([9; 32]))],
            receipts,
        });
        self.events.send_replace(Newest { height: told.height, block: Some(Arc::new(told)) });
    }

    fn take(&self, transactions: Vec<Addressed>) -> Vec<Submitted> {
        self.check();
        if self.pool_full.load(Ordering::Relaxed) {
            let refused = Refused { busy: true, retry_after_ms: Some(50), ..Refused::new("pool-full", "Full.") };
            return transactions.iter().map(|_| Submitted::Refused(refused.clone())).collect();
        }
        let mut inner = self.inner.lock();
        let height = inner.blocks.len() as u64;
        let (mut receipts, mut ends) = (Vec::new(), Vec::new());
        for mut transaction in transactions {
            let id = transaction.id();
            if let Some((_, receipt)) = inner.transactions.get(&id) {
                ends.push(Submitted::Final(id, receipt.clone()));
                continue;
            }
            if self.hold.load(Ordering::Relaxed) {
                inner.pending.insert(id);
                ends.push(Submitted::Accepted(id));
                continue;
            }
            let body = &transaction.first().unwrap().body;
            let refused = match inner.nonces.get(&body.sender) {
                None => Some("unknown-account"),
                Some((next, _)) if body.nonce < *next => Some("nonce-used"),
                Some((next, _)) if body.nonce > *next => Some("nonce-too-far"),
                Some(_) => None,
            };
            if let Some(code) = refused {
                ends.push(Submitted::Refused(Refused { id: Some(id), ..Refused::new(code, "No.") }));
                continue;
            }
            let receipt = self.execute(&mut inner, &transaction, id, height, receipts.len() as u32);
            ends.push(Submitted::Final(id, receipt.clone()));
            receipts.push(receipt);
        }
        if !receipts.is_empty() {
            self.add_block(&mut inner, receipts);
        }
        ends
    }

    fn execute(&self, inner: &mut Inner, transaction: &Transaction, id: TxId, height: u64, index: u32) -> Receipt {
        let body = &transaction.first().unwrap().body;
        let mut outcome = Outcome::Ok;
        for operation in &body.data {
            match operation {
                Operation::Put { namespace, key, value } => {
                    inner.values.insert((*namespace, key.as_slice().to_vec()), value.as_slice().to_vec());
                }
                _ => outcome = Outcome::Failed { code: FailureCode::NotAllowed, operation: 0 },
            }
        }
        inner.nonces.get_mut(&body.sender).unwrap().0 += 1;
        let receipt = Receipt {
            transaction: id,
            sender: body.sender,
            nonce: body.nonce,
            height: Height(height),
            index,
            time_ms: 1_000 + height,
            work: 3,
            outcome,
        };
        inner.transactions.insert(id, (transaction.clone(), receipt.clone()));
        receipt
    }

    fn at(&self, inner: &Inner) -> At {
        let block = inner.blocks.last().unwrap();
        At { height: block.block.header.height, root: block.result_root }
    }

    fn receipt_proof_of(&self, receipt: &Receipt) -> Box<ReceiptProof> {
        let (receipt, header) = (receipt.clone(), header(receipt.height.0 + 1));
        Box::new(ReceiptProof {
            receipt,
            receipts: 1,
            siblings: BoundedVec::default(),
            previous_root: Hash::ZERO,
            links: BoundedVec::default(),
            proof: proof(&header),
            header,
        })
    }

    fn upgrade(&self, end: Submitted, wait: Wait) -> Submitted {
        match (wait, end) {
            (Wait::Accepted, Submitted::Final(id, _)) => Submitted::Accepted(id),
            (Wait::Certified, Submitted::Final(id, end)) => Submitted::Certified(id, self.receipt_proof_of(&end)),
            (Wait::Final | Wait::Certified, Submitted::Accepted(id)) => Submitted::TimedOut(id),
            (_, end) => end,
        }
    }
}

impl World {
    fn proven(&self) -> Result<At, BackendError> {
        match self.proven_height.load(Ordering::Relaxed) {
            0 => Err(BackendError::NoStateRoots),
            height => Ok(At { height: Height(height), root: Hash([height as u8; 32]) }),
        }
    }

    fn prove_now(&self, subjects: Vec<Subject>, asked: ProveAt) -> Result<Proven, BackendError> {
        let at = self.proven()?;
        match asked {
            ProveAt::Newest { from } if from > at.height => {
                return Err(BackendError::NotProvenYet { from, newest: at.height });
            }
            ProveAt::Height(height) if height != at.height => {
                return Err(BackendError::ProofPruned { height, nearest: Some(at.height) });
            }
            ProveAt::Newest { .. } | ProveAt::Current | ProveAt::Height(_) => {}
        }
        let inner = self.inner.lock();
        let entries = subjects
            .into_iter()
            .map(|subject| (subject.clone(), leaf(&subject, &inner.nonces, &inner.values)))
            .collect();
        let header = header(at.height.0 + 1);
        let proof = ReadProof {
            entries: BoundedVec::new(entries).unwrap(),
            others: BoundedVec::default(),
            state: BoundedBytes::new(vec![7; 9]).unwrap(),
            proof: proof(&header),
            header,
        };
        Ok(Proven { proof: Box::new(proof), at, state_root: Hash([8; 32]) })
    }
}

impl Backend for World {
    fn chain(&self) -> &ChainInfo {
        &self.chain
    }

    fn submit(
        &self,
        transactions: Vec<Addressed>,
        wait: Wait,
        _: Instant,
        _: &Arc<ClientSession>,
    ) -> BoxFuture<'static, Vec<Submitted>> {
        let ends = self.take(transactions).into_iter().map(|end| self.upgrade(end, wait)).collect();
        async move { ends }.boxed()
    }

    fn submit_streaming(&self, transactions: Vec<Addressed>, wait: Wait, _: &Arc<ClientSession>, done: SubmittedSink) {
        self.streaming_calls.fetch_add(1, Ordering::Relaxed);
        for (index, end) in self.take(transactions).into_iter().enumerate() {
            // A delayed transaction never ends, as on a chain without a quorum.
            if wait == Wait::Accepted || !matches!(end, Submitted::Accepted(_)) {
                done(index, self.upgrade(end, wait));
            }
        }
    }

    fn left(&self, visit: &ClientSession) {
        visit.end();
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    fn busy(&self, _: Option<IpAddr>) -> Option<u64> {
        Some(self.busy_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }

    fn transaction(&self, id: &TxId) -> Result<TransactionStatus, BackendError> {
        let inner = self.inner.lock();
        if id.0[0] == 0xEE {
            return Err(BackendError::Busy { retry_after_ms: 2_500 });
        }
        Ok(match inner.transactions.get(id) {
            Some((transaction, receipt)) => TransactionStatus::Final {
                transaction: Box::new(transaction.clone()),
                receipt: receipt.clone(),
                certified: self.certified.load(Ordering::Relaxed),
            },
            None if inner.pending.contains(id) => TransactionStatus::Pending,
            None => TransactionStatus::Unknown,
        })
    }

    fn read(&self, subjects: &[Subject], at: ReadAt) -> Result<StateValues, BackendError> {
        let inner = self.inner.lock();
        let newest = self.at(&inner);
        let at = match at {
            ReadAt::Latest => newest,
            ReadAt::Proven => self.proven()?,
            ReadAt::Height(height) if height > newest.height => {
                return Err(BackendError::Ahead { height, tip: newest.height });
            }
            ReadAt::Height(height) if height.0 < self.pruned_below.load(Ordering::Relaxed) => {
                return Err(BackendError::Pruned { height, oldest: Height(self.pruned_below.load(Ordering::Relaxed)) });
            }
            ReadAt::Height(height) => At { height, root: Hash([height.0 as u8; 32]) },
        };
        Ok(StateValues {
            values: subjects.iter().map(|subject| leaf(subject, &inner.nonces, &inner.values)).collect(),
            at,
        })
    }

    fn prove(
        &self,
        subjects: Vec<Subject>,
        at: ProveAt,
        _: Instant,
        _: IpAddr,
    ) -> BoxFuture<'static, Result<Proven, BackendError>> {
        std::future::ready(self.prove_now(subjects, at)).boxed()
    }

    fn epoch_changes(&self, from: Epoch, limit: usize) -> Result<Vec<EpochTransition>, BackendError> {
        let change = |epoch: u64| {
            let height = 10 * (epoch + 1);
            let boundary = Header { version: 1, epoch: Epoch(epoch), end: End::Boundary, ..header(height) };
            EpochChange { proof: proof(&boundary), boundary, next: BoundedVec::default() }.into()
        };
        Ok((from.0..self.ended_epochs.load(Ordering::Relaxed)).take(limit).map(change).collect())
    }

    fn keys(&self, listing: &Listing) -> Result<ListedKeys, BackendError> {
        self.check();
        let number = self.listings.fetch_add(1, Ordering::SeqCst);
        while number < self.listings_held.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let inner = self.inner.lock();
        let oldest = Height(self.pruned_below.load(Ordering::Relaxed));
        key_page(&inner.values, self.at(&inner), oldest, listing)
    }

    fn grants(&self, listing: &GrantListing) -> Result<ListedGrants, BackendError> {
        Ok(grant_page(self.at(&self.inner.lock()), listing))
    }

    fn balances(&self, listing: &BalanceListing) -> Result<ListedBalances, BackendError> {
        Ok(balance_page(self.at(&self.inner.lock()), listing))
    }

    fn history(&self, asked: &History) -> Result<KeyHistory, BackendError> {
        let inner = self.inner.lock();
        Ok(version_page(inner.transactions.values(), self.at(&inner), asked))
    }

    fn block(&self, which: BlockRef) -> Result<Option<BlockView>, BackendError> {
        let inner = self.inner.lock();
        let found = match which {
            BlockRef::Latest => inner.blocks.last(),
            BlockRef::Height(height) => inner.blocks.get(usize::try_from(height.0).unwrap_or(usize::MAX)),
            BlockRef::Digest(digest) => inner.blocks.iter().find(|block| block.digest == digest),
        };
        let kept = self.pruned_below.load(Ordering::Relaxed);
        Ok(found.filter(|block| block.block.header.height.0 >= kept).cloned())
    }

    fn account_transactions(
        &self,
        id: &AccountId,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, BackendError> {
        let inner = self.inner.lock();
        let receipts = inner.blocks.iter().rev().flat_map(|block| block.receipts.iter().rev());
        let own = receipts.filter(|r| r.sender == *id && before.is_none_or(|place| (r.height, r.index) < place));
        Ok(own.take(limit).map(|r| (r.height, r.index, r.transaction)).collect())
    }

    fn receipt_proof(&self, id: &TxId) -> Result<ProofStatus, BackendError> {
        let inner = self.inner.lock();
        Ok(match inner.transactions.get(id) {
            None => ProofStatus::NotFound,
            Some(_) if !self.certified.load(Ordering::Relaxed) => ProofStatus::NotCertifiedYet,
            Some((_, receipt)) => ProofStatus::Proof(self.receipt_proof_of(receipt)),
        })
    }

    fn in_force(&self) -> Option<InForce> {
        let genesis = &self.chain.genesis;
        Some(InForce { version: genesis.version, parameters: genesis.parameters.clone(), since: Epoch(0) })
    }

    fn committee(&self) -> Result<Committee, BackendError> {
        let validators = self.chain.genesis.validators.clone();
        Ok(Committee { epoch: Epoch(0), validators: Arc::new(validators), next: ValidatorSet::default() })
    }

    fn governance(&self) -> Result<Governance, BackendError> {
        governance(&self.chain.genesis)
    }

    fn status(&self) -> Status {
        let at = self.at(&self.inner.lock());
        let ready = if self.ready.load(Ordering::Relaxed) { Ok(()) } else { Err("no quorum was seen yet".to_owned()) };
        let unreachable = self.unreachable.lock().clone();
        Status {
            node: "memory".to_owned(),
            validator: Some(ValidatorIndex(0)),
            version: "0.1.0".to_owned(),
            height: at.height,
            view: View(at.height.0),
            epoch: Epoch(0),
            executed: at,
            claimed: At::default(),
            peers_up: 3 - unreachable.len(),
            peers: 3,
            unreachable,
            protocol: 1,
            older: Vec::new(),
            round_trips_us: [("node-1".to_owned(), 70_400)].into(),
            pool_transactions: self.inner.lock().pending.len(),
            pool_bytes: 0,
            durability: "vote",
            ready,
            filling: self.filling.lock().clone(),
            findings: self.findings.lock().clone(),
            retired: self.retired.lock().clone(),
            evidence: self.evidence.lock().clone(),
            governance: Some(governance_note(&self.chain.genesis)),
        }
    }

    fn final_block(&self, height: Height) -> Result<Option<FinalBlock>, BackendError> {
        self.stored_reads.fetch_add(1, Ordering::Relaxed);
        let found = self.block(BlockRef::Height(height))?;
        Ok(found.map(|found| FinalBlock::new(height, found.block.header.time_ms, found.digest, found.receipts)))
    }

    fn subscribe(&self) -> watch::Receiver<Newest> {
        self.events.subscribe()
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }
}
