//! The configuration of a node's transport, and the errors of starting it and of sending.

use crate::Shaper;
use crate::address::PeerAddress;
use crate::framing::Versions;
use crate::tls::TlsError;
use rustorium_crypto::SigningKey;
use rustorium_types::limits::VALIDATORS_MAX;
use rustorium_types::{ChainId, PublicKey, ShardId, ValidatorIndex};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Nodes that can be dialed in addition to a committee.
pub const SEEDS_MAX: usize = 16;

/// A validator of the committee, or another node that is dialed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The peer's index in the committee, or one that no committee has.
    pub index: ValidatorIndex,
    /// The key that the peer must prove.
    pub node_key: PublicKey,
    /// The address at which the peer listens; `None` if only the peer dials.
    pub address: Option<PeerAddress>,
}

/// Limits on nodes outside the committee: *guests*, whose keys the owner names, and strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerLimits {
    /// Number of strangers at once. If 0, the handshake refuses keys that are neither a member's nor a guest's.
    pub strangers_max: usize,
    /// Number of strangers of one network (a /24 or /48) at once. Loopback doesn't count as a network.
    pub strangers_per_network_max: usize,
    /// Time without a frame after which a stranger can lose its place to another one.
    pub idle: Duration,
    /// Frames a second that are read from each.
    pub frames_per_s: u32,
    /// Bytes a second that are read from each.
    pub read_bytes_per_s: u32,
    /// Bytes a second that are sent to all guests together.
    pub guests_sent_bytes_per_s: u32,
    /// Bytes a second that are sent to all strangers together.
    pub strangers_sent_bytes_per_s: u32,
}

impl FollowerLimits {
    /// Limits that admit guests only.
    pub const CLOSED: Self = Self {
        strangers_max: 0,
        strangers_per_network_max: 2,
        idle: Duration::from_secs(60),
        frames_per_s: 200,
        read_bytes_per_s: 2 * 1024 * 1024,
        guests_sent_bytes_per_s: 64 * 1024 * 1024,
        strangers_sent_bytes_per_s: 4 * 1024 * 1024,
    };

    /// Returns limits that admit guests, and this many strangers.
    pub const fn open(strangers_max: usize) -> Self {
        Self { strangers_max, ..Self::CLOSED }
    }

    /// Queue sizes, (frames, bytes), per class and follower: for what waits to be sent, and for what waits to be
    /// processed.
    pub(crate) const QUEUES: ([usize; 3], [usize; 3]) =
        ([256, 64, 64], [1024 * 1024, 2 * 1024 * 1024, 8 * 1024 * 1024]);
}

/// A node's place in the network.
pub struct Config {
    /// This node's index; `None` if it is in no committee and follows.
    pub me: Option<ValidatorIndex>,
    /// The UDP address to listen at. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// This node's identity.
    pub identity: SigningKey,
    /// The hosted shards, as in the settings of a node. The root has streams whether or not it is named: a node that fills its
    /// store hosts no shard yet.
    pub shards: BTreeSet<ShardId>,
    /// The chain. A peer on another chain is refused.
    pub chain: ChainId,
    /// The versions of the peer protocol that this node speaks. A peer that speaks none of them is refused.
    pub versions: Versions,
    /// The committee. An entry for this node itself is checked and skipped.
    pub peers: Vec<Peer>,
    /// Per class and peer: frames that wait to be sent, and frames read and not yet processed.
    pub queue_frames: [usize; 3],
    /// Per class and peer: bytes that wait to be sent, and bytes read and not yet processed. One frame always fits.
    pub queue_bytes: [usize; 3],
    /// Keys outside the committee that are admitted from the start. `Transport::set_guests` changes them.
    pub guests: BTreeSet<PublicKey>,
    /// Limits for nodes outside the committee.
    pub followers: FollowerLimits,
    /// A simulated network, for tests.
    pub shaper: Option<Arc<Shaper>>,
}

impl Config {
    /// Queue sizes that suit a committee: (frames, bytes) per class and peer.
    pub const QUEUES: ([usize; 3], [usize; 3]) =
        ([4_096, 1_024, 1_024], [16 * 1024 * 1024, 32 * 1024 * 1024, 16 * 1024 * 1024]);

    /// Checks the part that stays the same when the committee changes. Errors: a configuration that can't work.
    pub(crate) fn checked(&self) -> Result<Checks, TransportError> {
        if self.queue_frames.contains(&0) || self.queue_bytes.contains(&0) {
            return Err(TransportError::EmptyQueue);
        }
        Ok(Checks { identity: self.identity.public(), listen: self.listen })
    }
}

/// Checks committees against this node's identity and address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checks {
    pub identity: PublicKey,
    pub listen: SocketAddr,
}

impl Checks {
    /// Returns the peers to link with. Errors: a committee that can't work.
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

/// The transport could not start or take a committee.
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
        /// The system's error.
        source: io::Error,
    },
    /// The system has no thread for the delays of links.
    #[error("the links' delays need a thread: {source}; allow this user more processes, or remove \"shaper\"")]
    Alarm {
        /// The system's error.
        source: io::Error,
    },
    /// The identity key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There are more peers than a committee and the other dialed nodes can have.
    #[error("{got} peers are more than a committee's {VALIDATORS_MAX} and {SEEDS_MAX} others")]
    TooManyPeers {
        /// Peers given.
        got: usize,
    },
    /// Two peers have the same index or key.
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
        /// This node's index, if it is in the committee.
        me: Option<ValidatorIndex>,
    },
    /// A peer has an address that can't be dialed from here.
    #[error(
        "validator {index} at {address} can't be reached from {listen}; give it a port and an address of the same family"
    )]
    Unreachable {
        /// The peer.
        index: ValidatorIndex,
        /// The peer's address.
        address: SocketAddr,
        /// The address at which this node listens.
        listen: SocketAddr,
    },
    /// A queue has no room.
    #[error("every queue needs room for at least one frame and one byte")]
    EmptyQueue,
}

/// A frame was not accepted. It was not sent and will not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The queue of that class is full: the peer is slower than the sender.
    #[error("the queue to this peer is full; send again when it has drained")]
    Full,
    /// There is no link to this peer at the moment.
    #[error("there is no link to this peer at the moment; it is dialed until it answers")]
    Down,
    /// This node doesn't host the shard.
    #[error("this node doesn't host the shard; send the frame from a node that does")]
    NotHosted,
    /// The frame is longer than any peer would accept.
    #[error("a frame of {bytes} bytes is over the limit of {}", rustorium_types::limits::FRAME_BYTES_MAX)]
    TooLarge {
        /// Length of the frame.
        bytes: usize,
    },
    /// The target is this node itself, an index outside the committee, or a key that is neither a validator's nor a
    /// follower's.
    #[error("there is no such peer")]
    NoSuchPeer,
}
