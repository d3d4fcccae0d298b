//! Events that a shard handles, and the calls that it makes on the outside.

use crate::context::Context;
use crate::periods::RootedPeriod;
use crate::port::{Effect, Input};
use crate::senders::Credit;
use crate::senders::Payer;
use crate::shard::{CheckedCertificate, Stage};
use bytes::Bytes;
use rustorium_crypto::{Admitted, BatchFault, CheckedBatch, Verified};
use rustorium_execution::{CommitteeRecord, Skip};
use rustorium_quorum::{Evidence, KeptCertificate};
use rustorium_signer::Answer;
use rustorium_signer::protocol::Request as SignRequest;
use rustorium_storage::RecordKind;
use rustorium_txpool::{AccountView, Refused};
use rustorium_types::{
    AccountId, Batch, Block, BlockDigest, BlockProof, Certificate, Class, Epoch, EpochTransition, Hash, Height,
    Message, PublicKey, Request, SignedVote, Transaction, TxId, ValidatorIndex,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The two clocks, read once per event.
#[derive(Clone, Copy, Default, Debug)]
pub struct Now {
    /// Monotonic microseconds.
    pub us: u64,
    /// Unix milliseconds.
    pub wall_ms: u64,
}

impl Now {
    pub(super) fn ms(self) -> u64 {
        self.us / 1000
    }
}

/// Event for a shard.
pub enum Event {
    /// A peer's message and the frame that it was decoded from.
    Peer {
        /// Node key that the sender's link proved. The sender's place is looked up when the message is handled.
        from: PublicKey,
        /// Decoded message.
        message: Message,
        /// Bytes of the message.
        frame: Bytes,
        /// Memory reserved for the frame, released when the message is handled. Bounds the frames that were read and
        /// not handled yet.
        credit: Credit,
    },
    /// A link came up or went down.
    Link {
        /// Node key of the peer.
        node_key: PublicKey,
        /// True if the link is up.
        up: bool,
    },
    /// A peer accepted another process' link with this node's key in place of this process' link.
    Replaced {
        /// Node key of the peer.
        node_key: PublicKey,
    },
    /// The validator key is retired, as another shard of this process found.
    KeyRetired,
    /// A peer's certificate was checked.
    CertificateChecked {
        /// Sender of the certificate.
        peer: ValidatorIndex,
        /// Outcome of the check.
        checked: CheckedCertificate,
    },
    /// Votes were checked. `None` if a signature doesn't verify.
    VotesChecked(Vec<(SignedVote, Option<Verified<SignedVote>>)>),
    /// A batch's signatures were checked.
    BatchChecked {
        /// Sender of the batch.
        peer: ValidatorIndex,
        /// The batch, or what is false in it.
        checked: Result<CheckedBatch, FalseBatch>,
        /// Canonical bytes of the batch.
        bytes: Bytes,
        /// True if the batch was requested.
        wanted: bool,
    },
    /// The signatures of a block's inline transactions were checked.
    InlineChecked {
        /// Digest of the block.
        digest: BlockDigest,
        /// True if all signatures verify.
        good: bool,
    },
    /// Verified transactions from clients of this node or from a peer.
    Transactions {
        /// The transactions.
        transactions: Vec<Admitted>,
        /// True if a client sent them to this node.
        from_client: bool,
    },
    /// The core's effects, in order.
    Effects(Vec<Effect>),
    /// The journal is durable up to this record.
    Durable(u64),
    /// A block was executed and committed to the store.
    Executed(Executed),
    /// The state tree was rooted at a height.
    Rooted(RootedPeriod),
    /// The store is on disk up to this height.
    StoreDurable(Height),
    /// A client waits for this height to be certified.
    ClaimWanted(Height),
    /// The signer answered, came or went.
    Signer(SignerEvent),
    /// The time of the requested wake-up has come.
    Tick,
    /// The node stops.
    Stop,
}

/// Event of the process that signs for a shard.
pub enum SignerEvent {
    /// The signer is connected. It must be shown the journal first.
    Connected,
    /// The signer is gone. It will not answer open requests.
    Lost,
    /// Answer to the request with this number.
    Answer(u64, Answer),
}

/// A batch whose signatures don't hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FalseBatch {
    /// Epoch of the batch. That epoch's committee was used for the check.
    pub epoch: Epoch,
    /// Place of the author in that epoch.
    pub author: ValidatorIndex,
    /// Part whose single check failed, if one did.
    pub fault: Option<BatchFault>,
}

/// Outcome of an execution, as far as the shard needs it.
pub struct Executed {
    /// Height of the block.
    pub height: Height,
    /// Header time of the block.
    pub time_ms: u64,
    /// Result root at the height.
    pub root: Hash,
    /// Accounts whose nonce moved or that got another authority, with their state after the block.
    pub touched: Vec<(AccountId, AccountView)>,
    /// Listed transactions that execution skipped.
    pub skipped: Vec<(TxId, Skip)>,
    /// Committee record, if the height wrote it.
    pub committee: Option<CommitteeRecord>,
    /// The end of the epoch, if this was its boundary and the boundary is on disk.
    pub ended: Option<Box<EndedEpoch>>,
}

/// An epoch that is over.
pub struct EndedEpoch {
    /// Proof of the epoch's end, from which the next epoch follows.
    pub change: EpochTransition,
    /// The newest height up to the boundary that had a payload.
    pub payload_height: Height,
}

/// Final block on its way to execution.
pub struct ExecutionJob {
    /// Digest of the block.
    pub digest: BlockDigest,
    /// The block.
    pub block: Arc<Block>,
    /// Listed batches per lane, by seq.
    pub payload: crate::rules::Payload,
    /// Finalization, if it is of this very block.
    pub finalization: Option<Verified<Certificate>>,
    /// Proof that the block is final, if it is its epoch's boundary. Any certificate may be what makes it final.
    pub end: Option<BlockProof>,
}

/// Reason why a node ends without a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// Another process runs with this node's keys, and this process has signed nothing yet.
    Rival,
    /// A quorum certified a block of a protocol version that this release doesn't know for this chain.
    Version {
        /// Protocol version of the block.
        version: u16,
        /// Height of the block.
        height: Height,
    },
}

/// Calls of a shard on the outside: the threads of a node, or a test.
pub trait Ports {
    /// Begins an epoch. From now on frames go to its committee's members, and signatures are checked with their keys.
    fn begin_epoch(&mut self, context: &Arc<Context>);
    /// Sends a frame to one peer.
    fn send(&mut self, to: ValidatorIndex, class: Class, frame: Bytes);
    /// Sends a frame to the node with this key, a member or not.
    fn send_to(&mut self, node_key: &PublicKey, class: Class, frame: Bytes);
    /// Sends a frame to all followers outside the committee.
    fn tell_followers(&mut self, class: Class, frame: Bytes);
    /// Returns the version of the links' protocol that this node and the node with this key, a member or not, both speak
    /// (`link_version`); the oldest one if there was no link yet.
    fn link_version(&self, node_key: &PublicKey) -> u8;
    /// Sends a frame to all peers.
    fn broadcast(&mut self, class: Class, frame: Bytes);
    /// Appends a record to the journal. Returns the record's position.
    fn append(&mut self, kind: RecordKind, payload: &[u8]) -> u64;
    /// Appends the record at `of`, whose payload has this length, again. Returns the copy's position.
    fn append_again(&mut self, of: u64, payload_bytes: usize) -> u64;
    /// Returns the position below which the journal consists of complete segments, which can be freed.
    fn sealed_below(&self) -> u64 {
        u64::MAX
    }

    /// Returns the position below which all needed records are to be appended again, however little space that frees.
    fn leave_below(&self) -> u64 {
        0
    }

    /// Asks for `Durable` once the journal is on disk up to `position`.
    fn sync(&mut self, position: u64);
    /// Frees the journal below `position`.
    fn release(&mut self, position: u64);
    /// Asks for `BatchChecked`.
    fn check_batch(&mut self, peer: ValidatorIndex, batch: Batch, bytes: Bytes, wanted: bool, credit: Credit);
    /// Drops what this member sent unasked, batches and transactions, and what isn't checked yet.
    fn drop_unchecked(&mut self, peer: ValidatorIndex);
    /// Asks for `Transactions`.
    fn check_transactions(&mut self, payer: Payer, transactions: Vec<Transaction>, credit: Credit);
    /// Asks for `CertificateChecked`.
    fn check_certificate(&mut self, peer: ValidatorIndex, certificate: Certificate);
    /// Asks for `VotesChecked`.
    fn check_votes(&mut self, votes: Vec<SignedVote>);
    /// Asks for `InlineChecked`.
    fn check_inline(&mut self, digest: BlockDigest, block: Arc<Block>);
    /// Hands a final block to execution, which answers `Executed`.
    fn execute(&mut self, job: ExecutionJob);
    /// Passes all inputs of one turn to the core, in order, with one wake-up. Without one if `wakes` isn't set: the core then
    /// takes them with the next input that wakes it, or at its deadline.
    fn inputs(&mut self, inputs: Vec<Input>, wakes: bool);
    /// Reports transactions that the pool took.
    fn admitted(&mut self, ids: &[TxId]);
    /// Reports a transaction that the pool already held.
    fn duplicate(&mut self, id: &TxId);
    /// Reports transactions that expired in the pool, by an executed header's time.
    fn expired(&mut self, ids: &[TxId]);
    /// Reports transactions that the pool dropped. They may still be executed.
    fn given_up(&mut self, ids: &[TxId]);
    /// Reports transactions of the pool whose nonces were used. Each was executed, or is refused so: another
    /// transaction has its nonce.
    fn used(&mut self, transactions: &[(TxId, Refused)]);
    /// Reports a transaction that the pool refused.
    fn refused(&mut self, id: &TxId, refused: Refused);
    /// Returns an account's executed state.
    fn account(&self, account: &AccountId) -> Option<AccountView>;
    /// Answers a member's question for certificates. Some of these are still to be read from the journal.
    fn answer_certificates(&mut self, to: &PublicKey, id: u64, kept: Vec<KeptCertificate>);
    /// Has a question of the node with this key answered from the store.
    fn serve(&mut self, to: &PublicKey, id: u64, request: Request, credit: Credit);
    /// Reports that the store has one more block, which may be pushed to followers.
    fn stored(&mut self) {}
    /// Has transactions of a node outside the committee checked. They come back as `Transactions`.
    fn take_from_outside(&mut self, from: &PublicKey, transactions: Vec<Transaction>, credit: Credit);
    /// Tells the node keys of the committee that operators want.
    fn target(&mut self, node_keys: &BTreeSet<PublicKey>);
    /// Returns a final block from the store.
    fn stored_block(&self, digest: &BlockDigest) -> Option<Block>;
    /// Returns from the store how an epoch ended.
    fn epoch_end(&self, epoch: Epoch) -> Option<EpochTransition>;
    /// Sends a request to the process that signs for this node, which answers with `Event::Signer`. Only a shard
    /// without a key of its own calls it.
    fn ask_signer(&mut self, _request: SignRequest) {}
    /// Reports the duration of a stage. Only a node shows it.
    fn measured(&mut self, _stage: Stage, _us: u64) {}
    /// Reports how long after there was something to propose a validator's proposal came. Only a node shows it.
    fn proposed(&mut self, _proposer: ValidatorIndex, _us: u64) {}
    /// Stores and shows evidence of a validator's misbehaviour.
    fn evidence(&mut self, evidence: Evidence);
    /// Makes known, now and after every restart, that this node's key signs nothing more. `lacks` names what the node
    /// signed and the journal doesn't hold, such as "batch 7 of its lane".
    fn retire(&mut self, lacks: &str);
    /// Ends the node.
    fn end(&mut self, why: EndReason);
}
