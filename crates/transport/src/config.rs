//! What a node's transport is told, and the errors of starting it and of sending.

use crate::Shaper;
use crate::address::PeerAddress;
use crate::framing::Versions;
use crate::tls::TlsError;
use rustorium_crypto::SigningKey;
use rustorium_types::limits::VALIDATORS_MAX;
use rustorium_types::{ChainId, PublicKey, ValidatorIndex};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Nodes that may be dialed besides a committee.
pub const SEEDS_MAX: usize = 16;

/// A validator of the committee, or a node that is dialed besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its index in the committee, or one that no committee has.
    pub index: ValidatorIndex,
    /// The key that it must prove.
    pub node_key: PublicKey,
    /// Where it listens; none: it is the one that dials.
    pub address: Option<PeerAddress>,
}

/// Limits on nodes outside the committee: *guests*, whose keys the owner names, and strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerLimits {
    /// Strangers at once. Zero: keys that are neither a member's nor a guest's are refused in the handshake.
    pub strangers_max: usize,
    /// Strangers of one network (a /24 or /48) at once. Loopback counts as no network.
    pub strangers_per_network_max: usize,
    /// A stranger that has sent nothing for so long gives way to another one.
    pub idle: Duration,
    /// Frames that are read from each in a second.
    pub frames_per_s: u32,
    /// Bytes that are read from each in a second.
    pub read_bytes_per_s: u32,
    /// Bytes that are sent in a second to all guests together.
    pub guests_sent_bytes_per_s: u32,
    /// Bytes that are sent in a second to all strangers together.
    pub strangers_sent_bytes_per_s: u32,
}

impl FollowerLimits {
    /// Guests, and nobody else.
    pub const CLOSED: Self = Self {
        strangers_max: 0,
        strangers_per_network_max: 2,
        idle: Duration::from_secs(60),
        frames_per_s: 200,
        read_bytes_per_s: 2 * 1024 * 1024,
        guests_sent_bytes_per_s: 64 * 1024 * 1024,
        strangers_sent_bytes_per_s: 4 * 1024 * 1024,
    };

    /// Guests, and so many strangers.
    pub const fn open(strangers_max: usize) -> Self {
        Self { strangers_max, ..Self::CLOSED }
    }

    /// (frames, bytes) per class and follower that wait to be sent or to be processed.
    pub(crate) const QUEUES: ([usize; 3], [usize; 3]) =
        ([256, 64, 64], [1024 * 1024, 2 * 1024 * 1024, 8 * 1024 * 1024]);
}

/// A node's place on the network.
pub struct Config {
    /// This node's index; none where it is in no committee and follows.
    pub me: Option<ValidatorIndex>,
    /// Where to listen (UDP); port 0 takes a free one.
    pub listen: SocketAddr,
    /// This node's identity.
    pub identity: SigningKey,
    /// The chain; a peer on another one is refused.
    pub chain: ChainId,
    /// The versions of the protocol that it speaks; a peer with none of them is refused.
    pub versions: Versions,
    /// The committee; an entry for this node itself is checked and skipped.
    pub peers: Vec<Peer>,
    /// Per class and peer: frames that wait to be sent, and frames read and not yet processed.
    pub queue_frames: [usize; 3],
    /// Per class and peer: bytes that wait to be sent, and bytes read and not yet processed. One frame always fits.
    pub queue_bytes: [usize; 3],
    /// Keys outside the committee that are let in, at the start; `Transport::set_guests` changes them.
    pub guests: BTreeSet<PublicKey>,
    /// What nodes outside the committee may take.
    pub followers: FollowerLimits,
    /// A pretend network, for tests.
    pub shaper: Option<Arc<Shaper>>,
}

impl Config {
    /// Queue sizes that suit a committee: (frames, bytes) per class and peer.
    pub const QUEUES: ([usize; 3], [usize; 3]) =
        ([4_096, 1_024, 1_024], [16 * 1024 * 1024, 32 * 1024 * 1024, 16 * 1024 * 1024]);

    /// What stays the same while committees come and go. Errors: what can't work.
    pub(crate) fn checked(&self) -> Result<Checks, TransportError> {
        if self.queue_frames.contains(&0) || self.queue_bytes.contains(&0) {
            return Err(TransportError::EmptyQueue);
        }
        Ok(Checks { identity: self.identity.public(), listen: self.listen })
    }
}

/// Checks committees against what a node is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checks {
    pub identity: PublicKey,
    pub listen: SocketAddr,
}

impl Checks {
    /// The peers to link with. Errors: what can't work.
    pub fn peers(&self, me: Option<ValidatorIndex>, peers: &[Peer]) -> Result<Vec<Peer>, TransportError> {
        if peers.len() > VALIDATORS_MAX + SEEDS_MAX {
            return Err(TransportError::TooManyPeers { got: peers.len() });
        }
        for (position, peer) in peers.iter().enumerate() {
            let earlier = &peers[..position];
            if earlier.iter().any(|other| other.index == peer.index || other.node_key == peer.node_key) {
                return Err(TransportError::DuplicatePeer { index: peer.index });
            }
            if (Some(peer.index) == me) != (peer.node_key == self.identity) {
                return Err(TransportError::WrongIdentity { index: peer.index, me });
            }
            if let Some(address) = peer.address.as_ref().and_then(PeerAddress::fixed)
                && Some(peer.index) != me
                && (address.port() == 0 || self.listen.is_ipv4() && address.is_ipv6())
            {
                return Err(TransportError::Unreachable { index: peer.index, address, listen: self.listen });
            }
        }
        Ok(peers.iter().filter(|peer| Some(peer.index) != me).cloned().collect())
    }
}

/// Why the transport could not start or take a committee.
#[derive(Debug, Error)]
pub enum TransportError {
    /// Another process has the port.
    #[error("UDP port {} on {} is in use; stop the process that has it or change the P2P listen address", address.port(), address.ip())]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address can't be bound for another reason.
    #[error("can't listen on UDP {address}: {source}; check the P2P listen address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// The identity key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// More peers than a committee has.
    #[error("{got} peers are more than a committee's {VALIDATORS_MAX} and {SEEDS_MAX} others")]
    TooManyPeers {
        /// Peers given.
        got: usize,
    },
    /// Two peers with one index or key.
    #[error("validator {index} or its node key is listed twice; each validator needs an index and a key of its own")]
    DuplicatePeer {
        /// The second one.
        index: ValidatorIndex,
    },
    /// This node's key and index don't belong together.
    #[error(
        "the entry of validator {index} doesn't agree with this node's key and index ({}); check the node key file and the genesis",
        me.map_or("none".to_owned(), |me| me.to_string())
    )]
    WrongIdentity {
        /// The entry.
        index: ValidatorIndex,
        /// This node, where it is in the committee.
        me: Option<ValidatorIndex>,
    },
    /// A peer's address that can't be dialed from here.
    #[error(
        "validator {index} at {address} can't be reached from {listen}; give it a port and an address of the same family"
    )]
    Unreachable {
        /// The peer.
        index: ValidatorIndex,
        /// Its address.
        address: SocketAddr,
        /// Where this node listens.
        listen: SocketAddr,
    },
    /// A queue without room.
    #[error("every queue needs room for at least one frame and one byte")]
    EmptyQueue,
}

/// Why a frame was not taken. It was not and will not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The queue of that class is full: the peer is slower than the sender.
    #[error("the queue to this peer is full; send again when it has drained")]
    Full,
    /// No link to this peer at the moment.
    #[error("there is no link to this peer at the moment; it is dialed until it answers")]
    Down,
    /// Longer than any peer would accept.
    #[error("a frame of {bytes} bytes is over the limit of {}", rustorium_types::limits::FRAME_BYTES_MAX)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// This node itself, an index outside the committee, or a key that is neither a validator's nor a follower's.
    #[error("there is no such peer")]
    NoSuchPeer,
}
