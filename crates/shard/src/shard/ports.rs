//! What a shard is told, and what it does to the world.

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
    AccountId, Batch, Block, BlockDigest, BlockProof, Certificate, Class, Epoch, EpochChange, Hash, Height, Message,
    PublicKey, Request, SignedVote, Transaction, TxId, ValidatorIndex,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The two clocks, read once an event.
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

/// What happens to a shard.
pub enum Event {
    /// A peer's message and the frame that it was decoded from.
    Peer {
        /// The node key that its link proved; whose place that is, is looked up when the message is dealt with.
        from: PublicKey,
        /// The message.
        message: Message,
        /// Its bytes.
        frame: Bytes,
        /// Given back when the message is dealt with: bounds what is read and not processed.
        credit: Credit,
    },
    /// A link came up or went down.
    Link {
        /// The peer's node key.
        node_key: PublicKey,
        /// Whether it is up.
        up: bool,
    },
    /// A peer took another process' link with this node's key for this one's.
    Replaced {
        /// The peer's node key.
        node_key: PublicKey,
    },
    /// A peer's certificate was checked.
    CertificateChecked {
        /// Who sent it.
        peer: ValidatorIndex,
        /// The certificate.
        checked: CheckedCertificate,
    },
    /// Votes were checked; `None`: the signature doesn't hold.
    VotesChecked(Vec<(SignedVote, Option<Verified<SignedVote>>)>),
    /// A batch's signatures were checked.
    BatchChecked {
        /// Who sent it.
        peer: ValidatorIndex,
        /// The batch, or what is false in it.
        checked: Result<CheckedBatch, FalseBatch>,
        /// Its canonical bytes.
        bytes: Bytes,
        /// Whether it was asked for.
        wanted: bool,
    },
    /// The signatures of a block's inline transactions were checked.
    InlineChecked {
        /// The block.
        digest: BlockDigest,
        /// Whether all are good.
        good: bool,
    },
    /// Verified transactions, from clients of this node or from a peer.
    Transactions {
        /// The transactions.
        transactions: Vec<Admitted>,
        /// Whether a client sent them here.
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
    /// The time that the shard asked for has come.
    Tick,
    /// The node stops.
    Stop,
}

/// An event of the process that signs for a shard.
pub enum SignerEvent {
    /// The signer listens, and must be shown the journal first.
    Connected,
    /// Requests that it has not answered will not be.
    Lost,
    /// Its answer to the request of this number.
    Answer(u64, Answer),
}

/// A batch whose signatures don't hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FalseBatch {
    /// Its epoch, by whose committee it was checked.
    pub epoch: Epoch,
    /// Its author's place there.
    pub author: ValidatorIndex,
    /// The part whose single check failed, if one did.
    pub fault: Option<BatchFault>,
}

/// What the shard needs to know of an execution.
pub struct Executed {
    /// The height.
    pub height: Height,
    /// Its time.
    pub time_ms: u64,
    /// The result root there.
    pub root: Hash,
    /// Accounts whose nonce moved, with their next one.
    pub touched: Vec<(AccountId, u64)>,
    /// Listed transactions that execution skipped.
    pub skipped: Vec<(TxId, Skip)>,
    /// The committee record, where the height wrote it.
    pub committee: Option<CommitteeRecord>,
    /// Where this was the epoch's boundary, and is on disk: how the epoch ended.
    pub ended: Option<Box<Ended>>,
}

/// An epoch that is over.
pub struct Ended {
    /// What the next one follows from.
    pub change: EpochChange,
    /// The newest height up to the boundary that had a payload.
    pub payload_height: Height,
}

/// A final block on its way to execution.
pub struct ExecutionJob {
    /// Its digest.
    pub digest: BlockDigest,
    /// The block.
    pub block: Arc<Block>,
    /// Listed batches per lane, by seq.
    pub payload: crate::rules::Payload,
    /// The finalization, where it is of this very block.
    pub finalization: Option<Verified<Certificate>>,
    /// Where it is its epoch's boundary: shows that it is final, whatever certificate makes it so.
    pub end: Option<BlockProof>,
}

/// Why a node can't go on, though nothing failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Another process runs with its keys, and this one has signed nothing yet.
    Rival,
    /// A quorum certified a block of a protocol version that this release doesn't follow on this chain.
    Version {
        /// Its version.
        version: u16,
        /// Its height.
        height: Height,
    },
}

/// What a shard does to the world: the threads of a node, or a test.
pub trait Ports {
    /// An epoch begins: to its committee's members is sent from now on, and their keys are checked against.
    fn begin_epoch(&mut self, context: &Arc<Context>);
    /// Sends a frame to one peer.
    fn send(&mut self, to: ValidatorIndex, class: Class, frame: Bytes);
    /// Sends a frame to whoever has this node key, in the committee or not.
    fn send_to(&mut self, node_key: &PublicKey, class: Class, frame: Bytes);
    /// Sends a frame to all who follow without being in the committee.
    fn tell_followers(&mut self, class: Class, frame: Bytes);
    /// The version of the links' protocol that a peer and this node both speak (`link_version`).
    fn link_version(&self, peer: ValidatorIndex) -> u8;
    /// The round trip to a peer; none where it isn't measured.
    fn rtt_us(&self, _peer: ValidatorIndex) -> Option<u64> {
        None
    }

    /// Sends a frame to all peers.
    fn broadcast(&mut self, class: Class, frame: Bytes);
    /// Appends to the journal; returns the record's position.
    fn append(&mut self, kind: RecordKind, payload: &[u8]) -> u64;
    /// Appends the record at `of`, with a payload of this length, once more; returns the copy's position.
    fn append_again(&mut self, of: u64, payload_bytes: usize) -> u64;
    /// Below this position the journal is complete in whole segments, which can be freed.
    fn sealed_below(&self) -> u64 {
        u64::MAX
    }

    /// What is needed of the records below this position is to be appended once more, however little that saves.
    fn leave_below(&self) -> u64 {
        0
    }

    /// Asks for `Durable` once the journal is on disk up to `position`.
    fn sync(&mut self, position: u64);
    /// Frees the journal below `position`.
    fn release(&mut self, position: u64);
    /// Asks for `BatchChecked`.
    fn check_batch(&mut self, peer: ValidatorIndex, batch: Batch, bytes: Bytes, wanted: bool, credit: Credit);
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
    /// Tells the core all that one turn brought, in order, with one wake; or without one, if `wakes` isn't set: then the
    /// core takes it with the next input that wakes it, or at its deadline.
    fn inputs(&mut self, inputs: Vec<Input>, wakes: bool);
    /// The pool holds these transactions.
    fn admitted(&mut self, ids: &[TxId]);
    /// The pool held this one before.
    fn duplicate(&mut self, id: &TxId);
    /// These expired in the pool, by an executed header's time.
    fn expired(&mut self, ids: &[TxId]);
    /// The pool let these go; they may still be executed.
    fn given_up(&mut self, ids: &[TxId]);
    /// A transaction will not be pooled.
    fn refused(&mut self, id: &TxId, refused: Refused);
    /// An account as executed so far.
    fn account(&self, account: &AccountId) -> Option<AccountView>;
    /// Answers a member's question for certificates with these, of which some are still to be read from the journal.
    fn answer_certificates(&mut self, to: &PublicKey, id: u64, kept: Vec<KeptCertificate>);
    /// Has a question of whoever has this node key answered from the store.
    fn serve(&mut self, to: &PublicKey, id: u64, request: Request, credit: Credit);
    /// Has transactions of a node outside the committee checked, which come as `Transactions`.
    fn take_from_outside(&mut self, from: &PublicKey, transactions: Vec<Transaction>, credit: Credit);
    /// The committee that operators want has members with these node keys.
    fn target(&mut self, node_keys: &BTreeSet<PublicKey>);
    /// A final block, from the store.
    fn stored_block(&self, digest: &BlockDigest) -> Option<Block>;
    /// How an epoch ended, from the store.
    fn epoch_end(&self, epoch: Epoch) -> Option<EpochChange>;
    /// Asks the process that signs for this node, which answers with `Event::Signer`. Only a shard without a key of its own asks.
    fn ask_signer(&mut self, _request: SignRequest) {}
    /// The round trip to a member, as its link measures it. None: nobody measures, or it isn't connected.
    fn rtt_ms(&self, _member: ValidatorIndex) -> Option<u64> {
        None
    }

    /// A stage took so long. Only a node shows it.
    fn measured(&mut self, _stage: Stage, _us: u64) {}
    /// A validator's proposal came so long after there was something to propose. Only a node shows it.
    fn proposed(&mut self, _proposer: ValidatorIndex, _us: u64) {}
    /// Keeps and shows evidence of a validator's misbehaviour.
    fn evidence(&mut self, evidence: Evidence);
    /// Makes known, now and after every restart, that this node's key signs nothing more. `lacks`: what it signed and
    /// the journal doesn't hold, such as "batch 7 of its lane".
    fn retire(&mut self, lacks: &str);
    /// Ends the node.
    fn end(&mut self, why: Ending);
}
