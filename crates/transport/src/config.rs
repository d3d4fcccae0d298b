//! What a node's transport is told, and the errors of starting it and of sending.

use crate::Shaper;
use crate::tls::TlsError;
use rustorium_crypto::SigningKey;
use rustorium_types::limits::VALIDATORS_MAX;
use rustorium_types::{ChainId, PublicKey, ValidatorIndex};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;

/// Another validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its index in the committee.
    pub index: ValidatorIndex,
    /// The key that it must prove.
    pub node_key: PublicKey,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A node's place on the network.
pub struct Config {
    /// This node's index.
    pub me: ValidatorIndex,
    /// Where to listen (UDP); port 0 takes a free one.
    pub listen: SocketAddr,
    /// This node's identity.
    pub identity: SigningKey,
    /// The chain; a peer on another one is refused.
    pub chain: ChainId,
    /// The committee; an entry for this node itself is checked and skipped.
    pub peers: Vec<Peer>,
    /// Per class and peer: frames that wait to be sent, and frames read and not yet processed.
    pub queue_frames: [usize; 3],
    /// Per class and peer: bytes that wait to be sent, and bytes read and not yet processed. One frame always fits.
    pub queue_bytes: [usize; 3],
    /// A pretend network, for tests.
    pub shaper: Option<Arc<Shaper>>,
}

impl Config {
    /// Queue sizes that suit a committee: (frames, bytes) per class and peer.
    pub const QUEUES: ([usize; 3], [usize; 3]) =
        ([4_096, 1_024, 1_024], [16 * 1024 * 1024, 32 * 1024 * 1024, 16 * 1024 * 1024]);

    /// The peers to link with. Errors: what can't work.
    pub(crate) fn checked_peers(&self) -> Result<Vec<Peer>, TransportError> {
        if self.peers.len() > VALIDATORS_MAX {
            return Err(TransportError::TooManyPeers { got: self.peers.len() });
        }
        if self.queue_frames.contains(&0) || self.queue_bytes.contains(&0) {
            return Err(TransportError::EmptyQueue);
        }
        for (position, peer) in self.peers.iter().enumerate() {
            let earlier = &self.peers[..position];
            if earlier.iter().any(|other| other.index == peer.index || other.node_key == peer.node_key) {
                return Err(TransportError::DuplicatePeer { index: peer.index });
            }
            if (peer.index == self.me) != (peer.node_key == self.identity.public()) {
                return Err(TransportError::WrongIdentity { index: peer.index, me: self.me });
            }
            let unreachable = self.listen.is_ipv4() && peer.address.is_ipv6();
            if peer.index != self.me && (peer.address.port() == 0 || unreachable) {
                return Err(TransportError::Unreachable {
                    index: peer.index,
                    address: peer.address,
                    listen: self.listen,
                });
            }
        }
        Ok(self.peers.iter().filter(|peer| peer.index != self.me).cloned().collect())
    }
}

/// Why the transport could not start.
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
    #[error("{got} peers are more than a committee's {VALIDATORS_MAX}")]
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
        "the entry of validator {index} doesn't agree with this node's key and index {me}; check the node key file and the genesis"
    )]
    WrongIdentity {
        /// The entry.
        index: ValidatorIndex,
        /// This node.
        me: ValidatorIndex,
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
    /// This node itself, or an index outside the committee.
    #[error("there is no such peer")]
    NoSuchPeer,
}
