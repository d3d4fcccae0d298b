//! The words between a node and its signer: one frame each, a length and a canonical encoding.
//!
//! *Invariants:* everything to be signed is named by its parts, never as bytes; the largest frame holds the largest batch.

use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::BATCH_BYTES_MAX;
use rustorium_types::{
    Batch, BatchBody, BoundedBytes, BoundedVec, ChainId, DecodeError, Epoch, PossessionBody, PublicKey, ShardId,
    Signature, SignedVote, TransactionBody, View, VoteBody, decode, encode_into,
};
use std::io::{self, Read, Write};
use thiserror::Error;

/// The version of these words.
pub const VERSION: u8 = 1;
/// Bytes of a frame without its length: a batch, and room for the parts around it.
pub const FRAME_BYTES_MAX: usize = BATCH_BYTES_MAX + 128 * 1024;
/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;
/// Bytes of a sentence in an answer.
const SENTENCE_BYTES_MAX: usize = 64 * 1024;
/// Votes that a node shows at once.
pub const SHOWN_VOTES_MAX: usize = 256;

/// The first frame of a connection: the key that it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Hello {
    /// The client's version of the words.
    pub version: u8,
    /// The key that is to sign on this connection.
    pub key: PublicKey,
}

/// Something to be signed, with all that the signature covers; or what comes before.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum What {
    /// The node's own journal, for the signer to compare with its record. The first request for a validator key.
    Show(Box<Shown>),
    /// A vote; a proposal is its leader's notarize vote.
    Vote {
        /// The vote.
        body: VoteBody,
        /// The newest final view that the node knows: the signer forgets older votes, and signs no more of them.
        settled: View,
    },
    /// A batch of the validator's lane.
    Batch(Box<BatchBody>),
    /// A transaction of an account.
    Transaction(Box<TransactionBody>),
    /// A proof that a new validator key is held.
    Possession(PossessionBody),
    /// Nothing: shows that the signer still answers.
    Ping,
}

/// A node's own signatures, as its journal has them.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Shown {
    /// The chain.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch that the node is in.
    pub epoch: Epoch,
    /// The newest final view.
    pub settled: View,
    /// Place of the next batch in its lane.
    pub next_seq: u64,
    /// Own votes above the newest final view.
    pub votes: BoundedVec<SignedVote, SHOWN_VOTES_MAX>,
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Request {
    /// Repeated by its reply.
    pub id: u64,
    /// The subject.
    pub what: What,
}

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Reply {
    /// The request's.
    pub id: u64,
    /// The answer.
    pub answer: Answer,
}

/// The newest batch that the signer signed for a lane.
pub type Newest = Option<Box<Batch>>;

/// How a request ended.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// The signature.
    Signed(Signature),
    /// Not signed.
    Refused(Refusal),
    /// To `Show`: votes and batches are signed from now on. The newest batch may be one that the node never journaled.
    Ready(Newest),
    /// To `Hello` and `Ping`.
    Here,
}

/// Why something isn't signed.
#[derive(Clone, PartialEq, Eq, Debug, Error, BorshSerialize, BorshDeserialize)]
pub enum Refusal {
    /// Another version of the words.
    #[error("the signer speaks version {0} of the protocol: run node and signer of one release")]
    OtherVersion(u8),
    /// A key that isn't here.
    #[error("the signer doesn't hold this key: start it with the key's file, or correct signer.key in config.toml")]
    OtherKey,
    /// Another connection has the key.
    #[error("another node signs with this key: stop it first, and never run two nodes with one key")]
    InUse,
    /// Places for connections are taken.
    #[error("the signer has as many connections as it takes: end one")]
    Busy,
    /// A chain that the signer wasn't started for.
    #[error("the signer wasn't started for the chain {0}: name its genesis with --genesis")]
    OtherChain(ChainId),
    /// A shard that no chain has.
    #[error("there is no shard {0}: run node and signer of one release")]
    OtherShard(ShardId),
    /// Something that a key of this role doesn't sign.
    #[error("a key of this role doesn't sign that: use a validator key for votes and an account key for transactions")]
    OtherRole,
    /// Names another key than the connection's.
    #[error("what is to be signed names another key: use the key that it names")]
    OtherSigner,
    /// Before `Show`.
    #[error("the node has not shown its journal on this connection: restart the node")]
    NotShown,
    /// An epoch below the newest that was signed in.
    #[error("epoch {0} is over for this key")]
    EpochOver(Epoch),
    /// A view that is settled, or below what is remembered.
    #[error("view {view} is not above {floor}: it is final, or what was signed there is forgotten")]
    Settled {
        /// The view.
        view: View,
        /// The newest view that is signed no more.
        floor: View,
    },
    /// A vote that excludes one that was signed.
    #[error("it contradicts what this key signed: {0}")]
    Conflict(#[borsh(deserialize_with = "read_sentence")] String),
    /// Another batch than the one that was signed for the place.
    #[error("batch {seq} of the lane was signed with another content; the next one is {next_seq}")]
    OtherBatch {
        /// Its place.
        seq: u64,
        /// The lowest free one.
        next_seq: u64,
    },
    /// The record lacks a vote that the key signed.
    #[error(
        "the signer's record lacks a vote of view {0} that this key signed, so it is an old copy: if no other node used \
         the key since, stop the signer, run `rustorium-node signer adopt`, and start it again"
    )]
    RolledBack(View),
    /// The record can't be written.
    #[error("the signer can't write its record ({0}): free space on its disk, and start the signer again")]
    Unwritten(#[borsh(deserialize_with = "read_sentence")] String),
    /// The key gave no signature.
    #[error("the key gave no signature ({0}): look at the token, and start the signer again")]
    KeyFailed(#[borsh(deserialize_with = "read_sentence")] String),
}

/// Reads a sentence as it is written, without room for bytes that aren't there.
fn read_sentence<R: Read>(reader: &mut R) -> io::Result<String> {
    let bytes = BoundedBytes::<SENTENCE_BYTES_MAX>::deserialize_reader(reader)?.into_vec();
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl Refusal {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherVersion(_) => "signer-version",
            Self::OtherKey => "signer-other-key",
            Self::InUse => "signer-in-use",
            Self::Busy => "signer-busy",
            Self::OtherChain(_) => "signer-other-chain",
            Self::OtherShard(_) => "signer-other-shard",
            Self::OtherRole => "signer-other-role",
            Self::OtherSigner => "signer-other-signer",
            Self::NotShown => "signer-not-shown",
            Self::EpochOver(_) => "signer-epoch-over",
            Self::Settled { .. } => "signer-settled",
            Self::Conflict(_) => "signer-conflict",
            Self::OtherBatch { .. } => "signer-other-batch",
            Self::RolledBack(_) => "signer-rolled-back",
            Self::Unwritten(_) => "signer-unwritten",
            Self::KeyFailed(_) => "signer-key-failed",
        }
    }
}

/// Appends a value as a frame.
pub fn frame_into<T: BorshSerialize>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    encode_into(value, out);
    let length = u32::try_from(out.len() - start - LENGTH_BYTES).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Splits the first frame off bytes that came. `None`: it isn't whole yet. Errors: it is too long.
pub fn split_frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, DecodeError> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(DecodeError::TooLarge { got: length, limit: FRAME_BYTES_MAX });
    }
    let end = LENGTH_BYTES + length;
    Ok(bytes.get(LENGTH_BYTES..end).map(|frame| (frame, end)))
}

/// Writes a value as one frame.
///
/// # Errors
/// The stream's.
pub fn write_frame<T: BorshSerialize>(stream: &mut impl Write, value: &T) -> io::Result<()> {
    let mut out = Vec::with_capacity(256);
    frame_into(value, &mut out);
    stream.write_all(&out)
}

/// Reads one value.
///
/// # Errors
/// The stream's, and `InvalidData` for a frame that is too long or no such value.
pub fn read_frame<T: BorshDeserialize>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; LENGTH_BYTES];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(invalid(&DecodeError::TooLarge { got: length, limit: FRAME_BYTES_MAX }));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    decode(&frame, FRAME_BYTES_MAX).map_err(|error| invalid(&error))
}

/// An error of the stream, for bytes that are no frame.
pub fn invalid(error: &DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
