//! Answers of a node: outcomes of submissions, blocks, proofs, the node's condition, and errors.
//!
//! *Invariants:* every answer about state names the height and root it holds at.

use crate::json::{Finding, GovernanceNote};
use core::net::{IpAddr, Ipv4Addr};
use rustorium_crypto::Foreign;
use rustorium_execution::{CommitteeRecord, GovernanceRecord, OwnerRecord, ProposalRecord, Wishes};
use rustorium_types::{
    AccountId, BatchDigest, Block, BlockDigest, BlockProof, Epoch, Hash, Height, Parameters, Receipt, ReceiptProof,
    ResultLink, ShardId, Transaction, TxId, ValidatorIndex, ValidatorSet, View,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use thiserror::Error;

/// Executed height, with its result root, at which an answer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct At {
    /// Executed height.
    pub height: Height,
    /// Result root there.
    pub root: Hash,
}

/// Stage of a transaction that a submission waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Until the pool holds it.
    Accepted,
    /// Until it is in a final block and executed.
    Final,
    /// Until a final header certifies the result root that covers it.
    Certified,
}

/// Reason why a transaction was not taken, or has no receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The transaction, if its id is known.
    pub id: Option<TxId>,
    /// Stable name of the reason.
    pub code: &'static str,
    /// One sentence: what is wrong and what to do.
    pub message: String,
    /// True if trying again later may help.
    pub busy: bool,
    /// Time to wait before trying again.
    pub retry_after_ms: Option<u64>,
}

impl Refused {
    /// Creates a permanent refusal.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { id: None, code, message: message.into(), busy: false, retry_after_ms: None }
    }
}

impl From<Foreign> for Refused {
    fn from(foreign: Foreign) -> Self {
        Self::new(foreign.code(), foreign.to_string())
    }
}

/// Outcome of one submitted transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
    /// The pool holds it.
    Accepted(TxId),
    /// The transaction is final and executed.
    Final(TxId, Receipt),
    /// A final header certifies the receipt.
    Certified(TxId, Box<ReceiptProof>),
    /// The transaction was not taken.
    Refused(Refused),
    /// The transaction was taken, and its outcome was not seen before the deadline.
    TimedOut(TxId),
}

/// A client's session: a QUIC connection or an HTTP request. Its waits end with the session.
#[derive(Debug)]
pub struct ClientSession {
    site: IpAddr,
    ended: AtomicBool,
    waits: AtomicUsize,
}

impl ClientSession {
    /// Starts a session that counts for `site`.
    pub fn of(site: IpAddr) -> Arc<Self> {
        Arc::new(Self { site, ended: AtomicBool::new(false), waits: AtomicUsize::new(0) })
    }

    /// Starts a session of this machine itself.
    pub fn local() -> Arc<Self> {
        Self::of(Ipv4Addr::LOCALHOST.into())
    }

    /// Site that the session counts for: an address, or an IPv6 network.
    pub fn site(&self) -> IpAddr {
        self.site
    }

    /// Ends the session, and with it everything that waits for it.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Returns true if the session is over.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Number of the session's transactions that are waited for. The owner of the waits counts them.
    pub fn waits(&self) -> &AtomicUsize {
        &self.waits
    }
}

/// Callback for each transaction of a streamed submission. It is called once, from any thread, and never blocks.
pub type SubmittedSink = Arc<dyn Fn(usize, Submitted) + Send + Sync>;

/// State of a transaction on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransactionStatus {
    /// The transaction is neither in the pool nor final.
    Unknown,
    /// The transaction is in the pool, or in a block that isn't final.
    Pending,
    /// The transaction is final and executed.
    Final {
        /// The transaction.
        transaction: Box<Transaction>,
        /// Receipt of the transaction.
        receipt: Receipt,
        /// True if a final header's claim covers it.
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
    /// Link that the block adds to the chain of result roots.
    pub link: ResultLink,
    /// The batches it lists, in order.
    pub batches: Vec<(ValidatorIndex, BatchDigest)>,
    /// Receipts of the block, in order.
    pub receipts: Vec<Receipt>,
    /// Proof that the block is final; `None` if this node holds no certificate at or above it.
    pub proof: Option<BlockProof>,
}

/// Answer to a request for a receipt's proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProofStatus {
    /// There is no such receipt.
    NotFound,
    /// No final header claims a result root that covers it yet.
    NotCertifiedYet,
    /// The proof.
    Proof(Box<ReceiptProof>),
}

/// Evidence of one kind against one validator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvidenceNote {
    /// The validator's index in the committee at that time.
    pub validator: ValidatorIndex,
    /// The validator's name at that time.
    pub name: String,
    /// The validator key in hex digits; empty if an earlier release recorded none.
    pub validator_key: String,
    /// Stable name of the offence.
    pub kind: &'static str,
    /// Place where the offence was first seen, such as "view 7".
    pub first: String,
    /// Time of that, by this node's clock, Unix ms; 0 if an earlier release recorded none.
    pub first_ms: u64,
    /// Number of times that the offence was seen.
    pub count: u64,
    /// True if the validator is in the current committee.
    pub member: bool,
}

/// Progress of a node that fills its empty store from a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filling {
    /// The snapshot's height; `None` while the node looks for one.
    pub height: Option<Height>,
    /// Estimated share of the state that is stored, in millionths.
    pub done_ppm: u64,
    /// Leaves stored since the start.
    pub leaves: u64,
    /// Bytes of their names and values.
    pub bytes: u64,
    /// Known parts that are not stored yet.
    pub parts: usize,
    /// Peers connected.
    pub peers: usize,
    /// Names of peers that lied; they are not asked again.
    pub banned: Vec<String>,
    /// Estimated time left.
    pub seconds_left: Option<u64>,
}

impl Filling {
    /// Describes the progress as a reason why the node isn't ready.
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
    /// The node's position in the committee.
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
    /// Protocol version of the epoch; 0 before the first epoch is known.
    pub protocol: u16,
    /// Names of the peers whose release was linked last and can't run protocol version 2.
    pub older: Vec<String>,
    /// Round trips to the members that are measured, by name, microseconds.
    pub round_trips_us: BTreeMap<String, u64>,
    /// Transactions in the pool.
    pub pool_transactions: usize,
    /// Bytes of these transactions.
    pub pool_bytes: usize,
    /// `vote` or `os`.
    pub durability: &'static str,
    /// `Ok` if the node is synced and has seen a quorum; otherwise the reason.
    pub ready: Result<(), String>,
    /// Progress of filling the store; `None` if the store isn't being filled.
    pub filling: Option<Filling>,
    /// Problems that the node's watch found.
    pub findings: Vec<Finding>,
    /// Reason why the validator key is retired; `None` if it still signs.
    pub retired: Option<String>,
    /// Evidence against validators: one note for each validator and kind.
    pub evidence: Vec<EvidenceNote>,
    /// The open proposals and the pauses. `None` under version 1, which has no seats.
    pub governance: Option<GovernanceNote>,
}

/// Reason why a node could not answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BackendError {
    /// Too many requests are in progress.
    #[error("the node is busy; try again in {retry_after_ms} ms")]
    Busy {
        /// Time to wait before trying again.
        retry_after_ms: u64,
    },
    /// The account is another shard's (S17).
    #[error(
        "the account {account} is in shard {shard}, and this answer would be of shard {asked}; ask under /v1/shards/{shard}, or a node that hosts it"
    )]
    Elsewhere {
        /// The account.
        account: AccountId,
        /// The shard that has it.
        shard: ShardId,
        /// The shard that was asked.
        asked: ShardId,
    },
    /// No header of this chain ever claims a state root.
    #[error(
        "this chain makes no state roots, so nothing of its state can be proven; ask for at=latest, or prove a write by its receipt"
    )]
    NoStateRoots,
    /// The height has no root, or no final header claimed it in time.
    #[error(
        "no root at or above height {from} is certified yet, the newest is of height {newest}; ask again in a moment"
    )]
    NotProvenYet {
        /// Requested height.
        from: Height,
        /// The newest provable height.
        newest: Height,
    },
    /// This node doesn't keep the root of that height, or there never was one.
    #[error("this node keeps no state root of height {height}; {}", nearest_text(*nearest))]
    ProofPruned {
        /// Requested height.
        height: Height,
        /// Height of the nearest root that is kept.
        nearest: Option<Height>,
    },
    /// This node keeps nothing that old.
    #[error("this node keeps nothing of height {height}, the oldest that it keeps is {oldest}; ask an archive node")]
    Pruned {
        /// Requested height.
        height: Height,
        /// Oldest height that is kept.
        oldest: Height,
    },
    /// The height is not executed yet.
    #[error("height {height} isn't executed here yet, the newest is {tip}; ask again when it is")]
    Ahead {
        /// Requested height.
        height: Height,
        /// Newest executed height.
        tip: Height,
    },
    /// The values have more bytes than one proof takes.
    #[error("the values have more than {limit} bytes together; ask for fewer keys at a time")]
    ProofTooLarge {
        /// Maximum bytes of all values of a proof together.
        limit: usize,
    },
    /// A part of the node is not running.
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

/// Position of a receipt: height, and index in the block. Pages of an account's transactions continue below one.
pub type Place = (Height, u32);

/// The rules of a chain's current epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InForce {
    /// Protocol version.
    pub version: u16,
    /// Chain parameters.
    pub parameters: Parameters,
    /// The epoch since which these parameters are in force.
    pub since: Epoch,
}

/// The current committee, and the one that operators want next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committee {
    /// Current epoch.
    pub epoch: Epoch,
    /// Current committee, in the order of indexes.
    pub validators: Arc<ValidatorSet>,
    /// Committee that operators want next; the current one if they want no other.
    pub next: ValidatorSet,
}

/// The members of the present epoch, and the protocol version that they follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Members {
    /// The epoch.
    pub epoch: Epoch,
    /// The protocol version.
    pub protocol: u16,
    /// The members, in the order of their places.
    pub validators: Arc<ValidatorSet>,
}

/// The seats that govern the chain, their open proposals and the pauses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Governance {
    /// The present epoch and its members.
    pub members: Members,
    /// The seats, their open proposals and the pauses.
    pub record: GovernanceRecord,
    /// The committee that is wanted, with the validators' numbers.
    pub committee: CommitteeRecord,
    /// The records of the validators' owners as senders, in the wanted committee's order.
    pub owners: Vec<OwnerRecord>,
    /// The owners' wishes for other operators.
    pub wishes: Wishes,
    /// The open proposals, each with its number.
    pub proposals: Vec<(u64, ProposalRecord)>,
    /// The parameters in force.
    pub in_force: Parameters,
    /// The parameters that seats want; those in force if they want no others.
    pub wanted: Parameters,
    /// Time of the newest executed header, Unix ms.
    pub time_ms: u64,
}
