//! The messages between validators.

use crate::codec::{BoundedVec, DecodeError, decode, encode_into};
use crate::consensus::{Block, Certificate, Cursor, Proposal, ResultClaim, SignedVote};
use crate::ids::{BatchDigest, BlockDigest, Epoch, Hash, Height, ValidatorIndex, View};
use crate::limits::*;
use crate::listed::{Batch, Transaction};
use crate::snapshot::{StateAnswer, StateRequest};
use crate::term::EpochTransition;
use borsh::{BorshDeserialize, BorshSerialize};
use std::io;

/// Versions of the peer protocol. Both ends of a link speak the newest that both know. Messages of a newer version are
/// never sent on a link with an older one.
pub mod link_version {
    /// The version of 0.2.0.
    pub const FIRST: u8 = 2;
    /// Adds work by digests, and differences of held batches.
    pub const DIGESTS: u8 = 3;
    /// Adds streams of other shards than the root.
    pub const SHARDS: u8 = 4;
    /// Adds probes and their echoes.
    pub const PROBES: u8 = 5;
    /// Adds blocks that a member pushes to a follower.
    pub const PUSHES: u8 = 6;
}

/// Progress of a node's execution and rooting. It is sent beside votes, outside the signed part.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Report {
    /// Newest executed height.
    pub executed: Height,
    /// The result root there.
    pub root: Hash,
    /// Newest height whose state root the node has; 0 if the chain makes none.
    pub rooted: Height,
    /// The state root there.
    pub state_root: Hash,
}

impl Report {
    /// Returns the report's claim on execution.
    pub fn result(&self) -> ResultClaim {
        ResultClaim { height: self.executed, root: self.root }
    }

    /// Returns the report's claim on the state tree.
    pub fn state(&self) -> ResultClaim {
        ResultClaim { height: self.rooted, root: self.state_root }
    }
}

/// A node's vote with further data.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct VoteMessage {
    /// The vote.
    pub vote: SignedVote,
    /// The sender's progress.
    pub report: Report,
    /// Batches that the sender holds.
    pub held: Held,
    /// A certificate that the sender passes on.
    pub carry: Option<Certificate>,
}

/// A sign of life from a consensus core.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Heartbeat {
    /// The epoch that the sender is in.
    pub epoch: Epoch,
    /// The sender's best finalization; `None` at genesis.
    pub finalization: Option<Certificate>,
    /// The certificate by which it entered its current view.
    pub entered_by: Option<Certificate>,
    /// The sender's own votes above its best finalization.
    pub votes: BoundedVec<SignedVote, HEARTBEAT_VOTES_MAX>,
    /// The sender's progress.
    pub report: Report,
    /// Per lane, the number of batches that the sender holds without a gap.
    pub held: BoundedVec<u64, VALIDATORS_MAX>,
}

/// Numbers of batches of each lane that a sender holds without a gap: all numbers, or those that changed since its last
/// vote. The length of a list of changes has its highest bit set, which no other length has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Held {
    /// Numbers by lane; lanes beyond the end are at 0.
    Whole(BoundedVec<u64, VALIDATORS_MAX>),
    /// Lanes and their numbers; the other lanes are unchanged (`link_version::DIGESTS`).
    Changes(BoundedVec<(ValidatorIndex, u64), VALIDATORS_MAX>),
}

const CHANGES_BIT: u32 = 1 << 31;

impl Default for Held {
    fn default() -> Self {
        Self::Whole(BoundedVec::default())
    }
}

impl BorshSerialize for Held {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        match self {
            Self::Whole(counts) => counts.serialize(writer),
            Self::Changes(changes) => {
                (changes.len() as u32 | CHANGES_BIT).serialize(writer)?;
                changes.iter().try_for_each(|change| change.serialize(writer))
            }
        }
    }
}

impl BorshDeserialize for Held {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let length = u32::deserialize_reader(reader)?;
        let too_long = || io::Error::new(io::ErrorKind::InvalidData, "more lanes than a committee has");
        let count = (length & !CHANGES_BIT) as usize;
        if count > VALIDATORS_MAX {
            return Err(too_long());
        }
        if length & CHANGES_BIT == 0 {
            let counts = (0..count).map(|_| u64::deserialize_reader(reader)).collect::<io::Result<_>>()?;
            return BoundedVec::new(counts).map(Self::Whole).map_err(|_| too_long());
        }
        let changes = (0..count).map(|_| BorshDeserialize::deserialize_reader(reader)).collect::<io::Result<_>>()?;
        BoundedVec::new(changes).map(Self::Changes).map_err(|_| too_long())
    }
}

/// The reasons why the sender sees work, by names (`link_version::DIGESTS`).
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Work {
    /// The sender's epoch.
    pub epoch: Epoch,
    /// The ends of lanes beyond the newest certified block.
    pub tips: BoundedVec<(ValidatorIndex, Cursor), VALIDATORS_MAX>,
    /// The newest notarizations above the last finalization.
    pub notarizations: BoundedVec<(View, BlockDigest), WORK_NOTARIZATIONS_MAX>,
    /// The sender's progress.
    pub report: Report,
}

/// A question of the sync protocol.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Request {
    /// A block by digest.
    Block(BlockDigest),
    /// A batch by lane and digest.
    Batch {
        /// The lane.
        lane: ValidatorIndex,
        /// The digest.
        digest: BatchDigest,
    },
    /// Certificates that the peer holds for these views, inclusive, at most `SYNC_ITEMS_MAX` views.
    Certificates {
        /// First view.
        first: View,
        /// Last view.
        last: View,
    },
    /// Final blocks by height, with the finalization that covers the last of them.
    FinalBlocks {
        /// First height.
        first: Height,
        /// Largest number of blocks.
        count: u32,
    },
    /// Votes and batches that the peer holds with the asker's own signature. A node that starts asks for them before it
    /// signs (R26).
    OwnSignatures {
        /// Number of batches of its own lane that the asker knows. The peer's batches are news from this seq on.
        next_seq: u64,
    },
    /// A snapshot of the state, or a part of one.
    State(StateRequest),
    /// The end of an epoch.
    EpochEnd(Epoch),
    /// Batches of a lane by their seqs (`link_version::DIGESTS`).
    Batches {
        /// The lane.
        lane: ValidatorIndex,
        /// Seq of the first batch.
        first: u64,
        /// The seq after the last batch.
        end: u64,
    },
    /// Every final block from this height on, as soon as the peer has stored it: the answers are the block and then each
    /// of its batches, all with the number of this request, and at last `NotHeld` if the peer pushes no more. A later
    /// request replaces an earlier one; `None` ends it (`link_version::PUSHES`).
    Follow(Option<Height>),
}

/// The answer to a `Request`.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Response {
    /// The peer does not hold the requested data.
    NotHeld,
    /// A block.
    Block(Box<Block>),
    /// A batch.
    Batch(Box<Batch>),
    /// Certificates.
    Certificates(BoundedVec<Certificate, SYNC_ITEMS_MAX>),
    /// Consecutive final blocks, and a finalization of the last of them or of a descendant named by the headers after it.
    FinalBlocks {
        /// Blocks in height order.
        blocks: BoundedVec<Block, SYNC_ITEMS_MAX>,
        /// A finalization that covers them all; `None` if the peer has none.
        finalization: Option<Certificate>,
    },
    /// Votes and batches that the asker signed, as far as they can still matter.
    OwnSignatures {
        /// The epoch that the peer is in. The other fields are of this epoch.
        epoch: Epoch,
        /// The peer's best finalization; `None` at genesis.
        finalization: Option<Certificate>,
        /// The asker's votes that the peer holds, newest views first.
        votes: BoundedVec<SignedVote, SYNC_ITEMS_MAX>,
        /// The newest batch of the asker's lane that the asker doesn't know; `None` if there is none.
        batch: Option<Box<Batch>>,
    },
    /// A snapshot of the state, or a part of one.
    State(Box<StateAnswer>),
    /// The end of an epoch; also sent unasked to peers that are still in it.
    EpochEnd(EpochTransition),
    /// Batches of one lane, ascending from the first requested one. They are fewer than requested if not all fit into a
    /// frame (`link_version::DIGESTS`).
    Batches(BoundedVec<Batch, SYNC_ITEMS_MAX>),
}

/// A message between peers. The first byte is its tag.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Message {
    /// Consensus class.
    Proposal(Box<Proposal>),
    /// Consensus class.
    Vote(Box<VoteMessage>),
    /// Consensus class.
    Certificate(Box<Certificate>),
    /// Consensus class.
    Heartbeat(Box<Heartbeat>),
    /// Consensus class: the sender executed further while no vote was due.
    Report(Report),
    /// Data class.
    Batch(Box<Batch>),
    /// Data class: transactions for the receiver's lane, or transactions that the receiver may not have seen.
    Transactions(BoundedVec<Transaction, SUBMISSION_TRANSACTIONS_MAX>),
    /// Sync class.
    Request {
        /// The asker's number of the request.
        id: u64,
        /// The question.
        request: Request,
    },
    /// Sync class.
    Response {
        /// The asker's number of the request.
        id: u64,
        /// The answer.
        response: Response,
    },
    /// Consensus class (`link_version::DIGESTS`).
    Work(Box<Work>),
    /// Consensus class: a number to be echoed at once (`link_version::PROBES`).
    Probe(u64),
    /// Consensus class: the number of a probe (`link_version::PROBES`).
    Echo(u64),
}

/// The stream that a message travels on; lower is more urgent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Class {
    /// Votes, proposals, certificates, heartbeats, probes.
    Consensus = 0,
    /// Batches and forwarded transactions.
    Data = 1,
    /// Questions and answers.
    Sync = 2,
}

impl Message {
    /// The class whose stream carries this message.
    pub fn class(&self) -> Class {
        match self {
            Self::Proposal(_)
            | Self::Vote(_)
            | Self::Certificate(_)
            | Self::Heartbeat(_)
            | Self::Report(_)
            | Self::Work(_)
            | Self::Probe(_)
            | Self::Echo(_) => Class::Consensus,
            Self::Batch(_) | Self::Transactions(_) => Class::Data,
            Self::Request { .. } | Self::Response { .. } => Class::Sync,
        }
    }

    /// Returns the frame's bytes.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        encode_into(self, &mut out);
        out
    }

    /// Decodes a frame that came on `class`'s stream. Errors: it is too large, malformed, or a message of another
    /// class.
    pub fn from_frame(class: Class, frame: &[u8]) -> Result<Self, DecodeError> {
        let message: Self = decode(frame, FRAME_BYTES_MAX)?;
        if message.class() == class {
            Ok(message)
        } else {
            Err(DecodeError::Malformed(format!("a {:?} message on the {class:?} stream", message.class())))
        }
    }
}
