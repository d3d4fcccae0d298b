//! Reasons why a connection is refused or ended, in words for the operator and in codes for the peer.

use crate::framing::Versions;
use quinn::{ConnectionError, TransportErrorCode, VarInt};
use rustorium_types::ChainId;
use std::fmt;
use std::sync::atomic::AtomicU64;
use thiserror::Error;

/// The code with which a side closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// The node stops.
    Shutdown = 0,
    /// A newer connection of the same pair took over.
    Replaced = 1,
    /// The peer is on another chain.
    WrongChain = 2,
    /// The peer speaks another version of the protocol.
    WrongVersion = 3,
    /// A greeting could not be read.
    BadHello = 4,
    /// A frame was over the limit.
    FrameTooLarge = 5,
    /// The other side is the one that dials in this pair. It has been told to.
    NotDialer = 6,
    /// A stream ended or failed.
    StreamEnded = 7,
    /// A code that this version doesn't know.
    Unknown = 8,
    /// All places for followers are taken.
    FollowersFull = 9,
    /// The committee or the guests changed, and with it the roles of the two nodes towards each other.
    Changed = 10,
    /// The peer sent something that no honest node sends, and is refused for some time.
    Barred = 11,
}

const CODES: [CloseCode; 12] = [
    CloseCode::Shutdown,
    CloseCode::Replaced,
    CloseCode::WrongChain,
    CloseCode::WrongVersion,
    CloseCode::BadHello,
    CloseCode::FrameTooLarge,
    CloseCode::NotDialer,
    CloseCode::StreamEnded,
    CloseCode::Unknown,
    CloseCode::FollowersFull,
    CloseCode::Changed,
    CloseCode::Barred,
];

impl CloseCode {
    pub(crate) fn wire(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    pub(crate) fn from_wire(code: VarInt) -> Self {
        let index = usize::try_from(code.into_inner()).unwrap_or(usize::MAX);
        CODES.get(index).copied().unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shutdown => "it stops",
            Self::Replaced => "a newer connection took over",
            Self::WrongChain => "it is on another chain",
            Self::WrongVersion => "it speaks another version of the protocol",
            Self::BadHello => "it could not read this node's greeting",
            Self::FrameTooLarge => "this node's frame was too large",
            Self::NotDialer => "it dials this node",
            Self::StreamEnded => "a stream ended",
            Self::FollowersFull => "it has as many followers as it takes",
            Self::Changed => "the committee or who may follow changed",
            Self::Barred => "this node sent false signatures",
            Self::Unknown => "of a reason that this version doesn't know",
        })
    }
}

/// A connection was refused, by either side.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The other end proved no key that this node accepts there: it is no validator, or not the one that was dialed.
    #[error(
        "the other end isn't the validator expected ({0}); check its node key in the validator set and the address"
    )]
    UnknownKey(String),
    /// The other end doesn't accept this node's key.
    #[error(
        "the other end doesn't know this node's key ({0:?}); check that both use the same genesis and that the key file is this validator's"
    )]
    UnknownHere(String),
    /// The other end is on another chain. The watch in Python finds both chains in this sentence.
    #[error("the other end is on chain {theirs}, this node on {ours}; use the same genesis on both")]
    WrongChain {
        /// The peer's chain.
        theirs: ChainId,
        /// This node's chain.
        ours: ChainId,
    },
    /// There is no version of the protocol that both speak.
    #[error(
        "the other end speaks {theirs} of the peer protocol and this node {ours}: install the newer release on the older one, one version after the other"
    )]
    WrongVersion {
        /// The peer's versions.
        theirs: Versions,
        /// This node's versions.
        ours: Versions,
    },
    /// The greeting can't be read.
    #[error("the other end's greeting is malformed: {0}")]
    BadHello(&'static str),
    /// The frame is over the limit.
    #[error("the other end announced a frame of {bytes} bytes; at most {limit} are allowed")]
    FrameTooLarge {
        /// The announced length.
        bytes: usize,
        /// The allowed length.
        limit: usize,
    },
    /// The other end closed the connection and gave a reason.
    #[error("the other end closed the connection because {code} ({reason:?})")]
    ByPeer {
        /// The close code.
        code: CloseCode,
        /// The reason that came with it.
        reason: String,
    },
    /// The handshake failed in another way: another protocol, no certificate, a bad signature.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// There are too many handshakes at once.
    #[error("there are too many connection attempts at once, so this one was refused; try again later")]
    TooMany,
    /// All places for strangers, or all those for strangers of one network, are taken.
    #[error(
        "a follower was refused, because {0} unnamed followers are connected already; name its key in [p2p] followers, or raise followers_max"
    )]
    FollowersFull(usize),
    /// The key is barred for some time.
    #[error("the node key {key} is refused for some minutes, because it sent false signatures; check that node")]
    Barred {
        /// The key, hex.
        key: String,
    },
}

impl Refusal {
    /// Returns a short name for metrics.
    pub fn label(&self) -> &'static str {
        REFUSAL_LABELS[self.label_index()]
    }

    pub(crate) fn label_index(&self) -> usize {
        match self {
            Self::UnknownKey(_) => 0,
            Self::UnknownHere(_) => 1,
            Self::WrongChain { .. } => 2,
            Self::WrongVersion { .. } => 3,
            Self::BadHello(_) => 4,
            Self::FrameTooLarge { .. } => 5,
            Self::ByPeer { .. } => 6,
            Self::Handshake(_) => 7,
            Self::TooMany => 8,
            Self::FollowersFull(_) => 9,
            Self::Barred { .. } => 10,
        }
    }

    pub(crate) fn close_code(&self) -> CloseCode {
        match self {
            Self::WrongChain { .. } => CloseCode::WrongChain,
            Self::WrongVersion { .. } => CloseCode::WrongVersion,
            Self::BadHello(_) => CloseCode::BadHello,
            Self::FrameTooLarge { .. } => CloseCode::FrameTooLarge,
            Self::FollowersFull(_) => CloseCode::FollowersFull,
            Self::Barred { .. } => CloseCode::Barred,
            _ => CloseCode::Unknown,
        }
    }

    /// Returns the refusal that a connection's end shows; `None` if the peer is just gone or stops.
    pub(crate) fn of(error: &ConnectionError) -> Option<Self> {
        match error {
            ConnectionError::TransportError(error) if is_certificate_refused(error.code) => {
                Some(Self::UnknownKey(sentence(&error.reason)))
            }
            ConnectionError::TransportError(error) => Some(Self::Handshake(error.to_string())),
            ConnectionError::ConnectionClosed(close) if is_certificate_refused(close.error_code) => {
                Some(Self::UnknownHere(sentence(&String::from_utf8_lossy(&close.reason))))
            }
            ConnectionError::ConnectionClosed(close) => Some(Self::Handshake(close.to_string())),
            ConnectionError::ApplicationClosed(close) => Self::of_code(close.error_code, &close.reason),
            ConnectionError::VersionMismatch => Some(Self::Handshake(error.to_string())),
            _ => None,
        }
    }

    fn of_code(code: VarInt, reason: &[u8]) -> Option<Self> {
        let code = CloseCode::from_wire(code);
        let quiet = [
            CloseCode::Shutdown,
            CloseCode::Replaced,
            CloseCode::NotDialer,
            CloseCode::StreamEnded,
            CloseCode::Changed,
        ];
        (!quiet.contains(&code)).then(|| Self::ByPeer { code, reason: String::from_utf8_lossy(reason).into_owned() })
    }
}

/// Names of the kinds of refusal, for metrics.
pub(crate) const REFUSAL_LABELS: [&str; 11] = [
    "unknown-key",
    "unknown-here",
    "wrong-chain",
    "wrong-version",
    "bad-hello",
    "frame-too-large",
    "by-peer",
    "handshake",
    "too-many",
    "followers-full",
    "barred",
];

/// Numbers of refusals by kind, in the order of their names.
pub(crate) type RefusalCounters = [AtomicU64; REFUSAL_LABELS.len()];

/// The alert of `tls::CertificateRefused` (certificate_unknown, 46), as QUIC carries it.
const CERTIFICATE_REFUSED: u64 = 0x100 + 46;

fn is_certificate_refused(code: TransportErrorCode) -> bool {
    u64::from(code) == CERTIFICATE_REFUSED
}

/// Returns the verifier's sentence without rustls' wrapping.
fn sentence(reason: &str) -> String {
    let inner = reason.strip_prefix("invalid peer certificate: Other(OtherError(");
    inner.and_then(|inner| inner.strip_suffix("))")).unwrap_or(reason).to_owned()
}
