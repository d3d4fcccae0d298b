//! What a node answers: submissions and how they end, blocks, proofs, its condition, and why it could not answer.
//!
//! *Invariants:* every answer about state names the height and root it holds at.

use crate::json::Finding;
use core::net::{IpAddr, Ipv4Addr};
use rustorium_types::{
    BatchDigest, Block, BlockDigest, BlockProof, Epoch, Hash, Height, Receipt, ReceiptProof, ResultLink, Transaction,
    TxId, ValidatorIndex, ValidatorSet, View,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use thiserror::Error;

/// The executed height and its result root at which an answer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct At {
    /// Executed height.
    pub height: Height,
    /// Result root there.
    pub root: Hash,
}

/// How far a submission is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Until the pool holds it.
    Accepted,
    /// Until it is in a final block and executed.
    Final,
    /// Until a final header certifies the result root that covers it.
    Certified,
}

/// Why a transaction was not taken, or has no receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The transaction, where its id is known.
    pub id: Option<TxId>,
    /// Stable name of the reason.
    pub code: &'static str,
    /// One sentence: what is wrong and what to do.
    pub message: String,
    /// Whether trying again later may help.
    pub busy: bool,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

impl Refused {
    /// A refusal for good.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { id: None, code, message: message.into(), busy: false, retry_after_ms: None }
    }
}

/// How the submission of one transaction ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// The pool holds it.
    Accepted(TxId),
    /// It is final and executed.
    Final(TxId, Receipt),
    /// It is certified.
    Certified(TxId, Box<ReceiptProof>),
    /// It was not taken.
    Refused(Refused),
    /// It was taken and its end was not seen before the deadline.
    TimedOut(TxId),
}

/// One client's session, a QUIC connection or an HTTP request: what it waits for ends with it.
#[derive(Debug)]
pub struct Visit {
    site: IpAddr,
    ended: AtomicBool,
    waits: AtomicUsize,
}

impl Visit {
    /// A session that is counted as this site's.
    pub fn of(site: IpAddr) -> Arc<Self> {
        Arc::new(Self { site, ended: AtomicBool::new(false), waits: AtomicUsize::new(0) })
    }

    /// A session of this machine itself.
    pub fn local() -> Arc<Self> {
        Self::of(Ipv4Addr::LOCALHOST.into())
    }

    /// Whom it is counted as: the address, or the IPv6 network that it is in.
    pub fn site(&self) -> IpAddr {
        self.site
    }

    /// Ends the session: nothing waits for it from now on.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Returns true if the session is over.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// The number of its transactions that are waited for. Whoever keeps the waits counts it.
    pub fn waits(&self) -> &AtomicUsize {
        &self.waits
    }
}

/// Called once per transaction of a streamed submission, from any thread; it never blocks.
pub type SubmittedSink = Arc<dyn Fn(usize, Submitted) + Send + Sync>;

/// What a node knows of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransactionStatus {
    /// Neither pooled nor final.
    Unknown,
    /// In the pool, or in a block that isn't final.
    Pending,
    /// Final and executed.
    Final {
        /// The transaction.
        transaction: Box<Transaction>,
        /// Its receipt.
        receipt: Receipt,
        /// Whether a final header's claim covers it.
        certified: bool,
    },
}

/// Names a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockRef {
    /// The newest executed one.
    Latest,
    /// By height.
    Height(Height),
    /// By digest.
    Digest(BlockDigest),
}

/// A final, executed block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockView {
    /// Header and inline transactions.
    pub block: Block,
    /// The header's digest.
    pub digest: BlockDigest,
    /// Result root after it.
    pub result_root: Hash,
    /// What it adds to the chain of result roots.
    pub link: ResultLink,
    /// The batches it lists, in order.
    pub batches: Vec<(ValidatorIndex, BatchDigest)>,
    /// Its receipts, in order.
    pub receipts: Vec<Receipt>,
    /// Shows that it is final; none where this node holds no certificate at or above it.
    pub proof: Option<BlockProof>,
}

/// The answer to a question for a receipt's proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProofStatus {
    /// There is no such receipt.
    NotFound,
    /// No final header claims a result root that covers it yet.
    NotCertifiedYet,
    /// The proof.
    Proof(Box<ReceiptProof>),
}

/// What a validator was seen to sign that no honest one signs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvidenceNote {
    /// Its place in the committee, then.
    pub validator: ValidatorIndex,
    /// Its name, then.
    pub name: String,
    /// Its validator key in hex digits; empty where an earlier release recorded none.
    pub validator_key: String,
    /// Stable name of the offence.
    pub kind: &'static str,
    /// Where it was seen first, such as "view 7".
    pub first: String,
    /// When that was, by this node's clock, Unix ms; 0 where an earlier release recorded none.
    pub first_ms: u64,
    /// How often it was seen.
    pub count: u64,
    /// Whether it is in the committee that goes on.
    pub member: bool,
}

/// How far a node is that fills its empty store from a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filling {
    /// The snapshot's height; none while one is looked for.
    pub height: Option<Height>,
    /// Estimated share of the state that is stored, in millionths.
    pub done_ppm: u64,
    /// Leaves stored since the start.
    pub leaves: u64,
    /// Bytes of their names and values.
    pub bytes: u64,
    /// Parts that are known and not stored yet.
    pub parts: usize,
    /// Peers connected.
    pub peers: usize,
    /// Names of peers that lied and are asked no more.
    pub banned: Vec<String>,
    /// Estimated time that is left.
    pub seconds_left: Option<u64>,
}

impl Filling {
    /// The same as a reason not to be ready.
    pub fn sentence(&self) -> String {
        match self.height {
            Some(height) => format!("filling from snapshot at height {height}: {} %", self.done_ppm / 10_000),
            None => format!("looking for a snapshot to begin with: {} peers are connected", self.peers),
        }
    }
}

/// A node's condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Its position in the committee.
    pub validator: Option<ValidatorIndex>,
    /// The build's version.
    pub version: String,
    /// Newest final height.
    pub height: Height,
    /// Current view.
    pub view: View,
    /// Current epoch.
    pub epoch: Epoch,
    /// Newest executed height and its result root.
    pub executed: At,
    /// The newest claim of a final header.
    pub claimed: At,
    /// Peers connected.
    pub peers_up: usize,
    /// Peers of the committee, without this node.
    pub peers: usize,
    /// Names of the peers that aren't connected.
    pub unreachable: Vec<String>,
    /// Transactions in the pool.
    pub pool_transactions: usize,
    /// Their bytes.
    pub pool_bytes: usize,
    /// `vote` or `os`.
    pub durability: &'static str,
    /// Synced and a quorum seen; or why not.
    pub ready: Result<(), String>,
    /// How far the filling of its store is; none where it isn't being filled.
    pub filling: Option<Filling>,
    /// What the node's watch found wrong.
    pub findings: Vec<Finding>,
    /// Why the validator key signs nothing more; none where it does.
    pub retired: Option<String>,
    /// Evidence against validators, one note for each and kind.
    pub evidence: Vec<EvidenceNote>,
}

/// Why a node could not answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BackendError {
    /// Too much is under way.
    #[error("the node is busy; try again in {retry_after_ms} ms")]
    Busy {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// No header of this chain ever claims a state root.
    #[error(
        "this chain makes no state roots, so nothing of its state can be proven; ask for at=latest, or prove a write by its receipt"
    )]
    NoStateRoots,
    /// Not rooted, or not claimed by a final header, in time.
    #[error(
        "no root at or above height {from} is certified yet, the newest is of height {newest}; ask again in a moment"
    )]
    NotProvenYet {
        /// Asked for.
        from: Height,
        /// The newest provable height.
        newest: Height,
    },
    /// The root of that height isn't kept here, or there never was one.
    #[error("this node keeps no state root of height {height}; {}", nearest_text(*nearest))]
    ProofPruned {
        /// Asked for.
        height: Height,
        /// The kept root that is nearest.
        nearest: Option<Height>,
    },
    /// What was so long ago isn't kept here.
    #[error("this node keeps nothing of height {height}, the oldest that it keeps is {oldest}; ask an archive node")]
    Pruned {
        /// Asked for.
        height: Height,
        /// The oldest that is kept.
        oldest: Height,
    },
    /// Not executed yet.
    #[error("height {height} isn't executed here yet, the newest is {tip}; ask again when it is")]
    Ahead {
        /// Asked for.
        height: Height,
        /// The newest executed height.
        tip: Height,
    },
    /// The values have more bytes than one proof takes.
    #[error("the values have more than {limit} bytes together; ask for fewer keys at a time")]
    ProofTooLarge {
        /// Bytes that all values of a proof may have.
        limit: usize,
    },
    /// A part of it is not running.
    #[error("the node can't answer now ({0}); try another node or again later")]
    Unavailable(String),
    /// Stored data could not be read.
    #[error("stored data could not be read: {0}; see the node's log and run `rustorium-node doctor`")]
    Storage(String),
}

fn nearest_text(nearest: Option<Height>) -> String {
    match nearest {
        Some(nearest) => format!("the nearest that it keeps is of height {nearest}: ask for at={nearest} or at=proven"),
        None => "it keeps none yet: ask again in a moment".to_owned(),
    }
}

/// Names a receipt's place: pages of an account's transactions go on below one.
pub type Place = (Height, u32);

/// A committee, and what becomes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committee {
    /// The epoch that goes on.
    pub epoch: Epoch,
    /// Its committee, in the order of indexes.
    pub validators: Arc<ValidatorSet>,
    /// The committee that operators want next; the same where they want no other.
    pub next: ValidatorSet,
}
