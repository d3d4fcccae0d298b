//! The protocol between a node and its signer. Each message is one frame: a length and a canonical encoding.
//!
//! *Invariants:* everything to be signed is given by its parts, never as bytes; the largest frame has room for the
//! largest batch.

use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::BATCH_BYTES_MAX;
use rustorium_types::{
    Batch, BatchBody, BoundedBytes, BoundedVec, ChainId, DecodeError, Epoch, PossessionBody, PublicKey, ShardId,
    Signature, SignedVote, TransactionBody, TransactionBody2, View, VoteBody, decode, encode_into,
};
use std::io::{self, Read, Write};
use thiserror::Error;

/// The newest version of this protocol. Version 2 added transactions of protocol version 2, version 3 the sessions.
pub const VERSION: u8 = 3;
/// The oldest version with transactions of protocol version 2.
pub const VERSION_OF_TRANSACTIONS2: u8 = 2;
/// The oldest version in which a client names its session.
pub const VERSION_OF_SESSIONS: u8 = 3;
/// The oldest version that a signer answers. A client that needs nothing newer says this one, so that nodes and signers of
/// two releases work together, whichever is replaced first.
pub const VERSION_MIN: u8 = 1;
/// Bytes of a frame without its length: a batch, and room for the other parts.
pub const FRAME_BYTES_MAX: usize = BATCH_BYTES_MAX + 128 * 1024;
/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;
/// Bytes of a sentence in an answer.
const SENTENCE_BYTES_MAX: usize = 64 * 1024;
/// Number of votes that a node shows at once.
pub const SHOWN_VOTES_MAX: usize = 256;

/// Name of a node's process, drawn at its start: its connections, one for each shard, share a validator key.
pub type Session = [u8; 16];

/// Draws a session's name from the operating system's randomness.
///
/// # Errors
/// Those of the system.
pub fn new_session() -> io::Result<Session> {
    let mut session = Session::default();
    getrandom::fill(&mut session).map_err(io::Error::from)?;
    Ok(session)
}

/// The first frame of a connection. It names the connection's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The client's version of the protocol.
    pub version: u8,
    /// The key that signs on this connection.
    pub key: PublicKey,
    /// The client's session. It is encoded from `VERSION_OF_SESSIONS` on.
    pub session: Session,
}

impl BorshSerialize for Hello {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        (self.version, self.key).serialize(writer)?;
        if self.version < VERSION_OF_SESSIONS { Ok(()) } else { self.session.serialize(writer) }
    }
}

impl BorshDeserialize for Hello {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let (version, key) = BorshDeserialize::deserialize_reader(reader)?;
        let named = version >= VERSION_OF_SESSIONS;
        let session = if named { BorshDeserialize::deserialize_reader(reader)? } else { Session::default() };
        Ok(Self { version, key, session })
    }
}

/// Subject of a request: something to be signed, with everything that the signature covers; or a preparation for it.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum RequestSubject {
    /// The node's own journal of a shard, for the signer to compare with its record. It comes before every request to
    /// sign in that shard on the same connection.
    Show(Box<JournalSummary>),
    /// A vote. For a proposal it is its leader's notarize vote.
    Vote {
        /// The vote.
        body: VoteBody,
        /// The newest final view that the node knows. The signer forgets older votes, and never signs in those views
        /// again.
        settled: View,
    },
    /// A batch of the validator's lane.
    Batch(Box<BatchBody>),
    /// A transaction of an account.
    Transaction(Box<TransactionBody>),
    /// A proof that a new validator key is held.
    Possession(PossessionBody),
    /// A test that the signer still answers.
    Ping,
    /// A transaction in the form of version 2, one of whose authority's keys this is. Its body doesn't name its chain.
    Transaction2 {
        /// The chain.
        chain: ChainId,
        /// The body.
        body: Box<TransactionBody2>,
    },
}

/// A node's own signatures, as its journal has them.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct JournalSummary {
    /// The chain.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch that the node is in.
    pub epoch: Epoch,
    /// The newest final view.
    pub settled: View,
    /// Seq of the next batch in the node's lane.
    pub next_seq: u64,
    /// Own votes above the newest final view.
    pub votes: BoundedVec<SignedVote, SHOWN_VOTES_MAX>,
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Request {
    /// Number of the request, which its reply repeats.
    pub id: u64,
    /// The subject.
    pub what: RequestSubject,
}

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Reply {
    /// Number of the request.
    pub id: u64,
    /// The answer.
    pub answer: Answer,
}

/// The newest batch that the signer signed for a lane.
pub type Newest = Option<Box<Batch>>;

/// Result of a request.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// The signature.
    Signed(Signature),
    /// The request was refused.
    Refused(Refusal),
    /// Answer to `Show`: votes and batches are signed from now on. The newest batch may be one that the node never
    /// journaled.
    Ready(Newest),
    /// Answer to `Hello` and `Ping`.
    Here,
}

/// Reason why something isn't signed.
#[derive(Clone, PartialEq, Eq, Debug, Error, BorshSerialize, BorshDeserialize)]
pub enum Refusal {
    /// The client has another version of the protocol.
    #[error("the signer speaks version {0} of the protocol: run node and signer of the same release")]
    OtherVersion(u8),
    /// The signer doesn't hold the key.
    #[error("the signer doesn't hold this key: start it with the key's file, or correct signer.key in config.toml")]
    OtherKey,
    /// Another node has the key.
    #[error("another node signs with this key: stop it first, and never run two nodes with one key")]
    InUse,
    /// All places for connections are taken.
    #[error("the signer has its maximum of connections: end one")]
    Busy,
    /// The signer wasn't started for the chain.
    #[error("the signer wasn't started for the chain {0}: name its genesis with --genesis")]
    OtherChain(ChainId),
    /// No chain has the shard.
    #[error("there is no shard {0}: run node and signer of the same release")]
    OtherShard(ShardId),
    /// A key of this role doesn't sign this.
    #[error("a key of this role doesn't sign that: use a validator key for votes and an account key for transactions")]
    OtherRole,
    /// The request names another key than the connection's.
    #[error("the content to sign names another key: use that key")]
    OtherSigner,
    /// The node must send `Show` first.
    #[error("the node has not shown its journal of this shard on this connection: restart the node")]
    NotShown,
    /// The epoch is below the newest one that was signed in.
    #[error("epoch {0} is over for this key")]
    EpochOver(Epoch),
    /// The view is settled, or below the remembered ones.
    #[error("view {view} is not above {floor}: it is final, or its signatures are forgotten")]
    Settled {
        /// The view.
        view: View,
        /// The newest view in which nothing is signed any more.
        floor: View,
    },
    /// The vote excludes one that was signed.
    #[error("it contradicts what this key signed: {0}")]
    Conflict(#[borsh(deserialize_with = "read_sentence")] String),
    /// Another batch was signed for the place.
    #[error("batch {seq} of the lane was signed with another content; the next one is {next_seq}")]
    OtherBatch {
        /// Place of the batch.
        seq: u64,
        /// The lowest free place.
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
    /// The key did not sign.
    #[error("the key gave no signature ({0}): look at the token, and start the signer again")]
    KeyFailed(#[borsh(deserialize_with = "read_sentence")] String),
}

/// Decodes a sentence in the form in which it is written, without allocating for bytes that aren't there.
fn read_sentence<R: Read>(reader: &mut R) -> io::Result<String> {
    let bytes = BoundedBytes::<SENTENCE_BYTES_MAX>::deserialize_reader(reader)?.into_vec();
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

impl Refusal {
    /// Returns a stable code.
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

/// Splits the first frame off received bytes; `None` if it isn't complete yet. Errors: it is too long.
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
/// Those of the stream.
pub fn write_frame<T: BorshSerialize>(stream: &mut impl Write, value: &T) -> io::Result<()> {
    let mut out = Vec::with_capacity(256);
    frame_into(value, &mut out);
    stream.write_all(&out)
}

/// Reads one value.
///
/// # Errors
/// Those of the stream, and `InvalidData` for a frame that is too long or holds no such value.
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

/// Returns an error of the stream, for bytes that are no frame.
pub fn invalid(error: &DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
