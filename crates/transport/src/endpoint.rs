//! The one UDP socket of a node and how QUIC uses it.
//!
//! *Invariants:* a restarted node derives from its identity all that it needs to tell peers that old connections are
//! gone, so that they learn it at their next packet, not by a time-out.

use crate::config::{Config, Peer, TransportError};
use crate::tls::{self, KnownKeys, TlsError};
use crate::tuning;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ClientConfig, ConnectionIdGenerator, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use quinn_proto::HashedConnectionIdGenerator;
use rustix::net::sockopt;
use rustorium_crypto::{SigningKey, hash::domain, hash::hash};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

/// Buffer size requested from the system, which gives as much as its limits allow: a burst of all peers' batches at
/// once.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Connections that may wait for their handshake to start.
const INCOMING_MAX: usize = 256;
/// Bytes of early packets kept for each of those, and for all together.
const INCOMING_BYTES: u64 = 16 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 1024 * 1024;

/// Configurations for accepting connections, by the peer's address.
pub(crate) struct Servers {
    loopback: Kinds,
    other: Kinds,
}

struct Kinds {
    peer: Arc<ServerConfig>,
    stranger: Arc<ServerConfig>,
}

impl Servers {
    pub fn new(identity: &SigningKey, keys: Arc<KnownKeys>) -> Result<Self, TlsError> {
        let mut base = tls::peer_server_config(identity, keys)?;
        base.migration(false)
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
        let with = |transport| {
            let mut config = base.clone();
            config.transport_config(Arc::new(transport));
            Arc::new(config)
        };
        let kinds = |address| Kinds { peer: with(tuning::peer(address)), stranger: with(tuning::stranger(address)) };
        Ok(Self { loopback: kinds(IpAddr::V4(Ipv4Addr::LOCALHOST)), other: kinds(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) })
    }

    pub fn of(&self, address: IpAddr, known: bool) -> Arc<ServerConfig> {
        let kinds = if address.is_loopback() { &self.loopback } else { &self.other };
        if known { kinds.peer.clone() } else { kinds.stranger.clone() }
    }
}

/// Configuration for dialing a peer.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    config: ClientConfig,
}

impl Dialer {
    pub fn new(identity: &SigningKey, peer: &Peer) -> Result<Self, TlsError> {
        Ok(Self { config: tls::peer_client_config(identity, &peer.node_key)? })
    }

    /// Returns the configuration for the peer at this address.
    pub fn client(&self, address: IpAddr) -> ClientConfig {
        let mut config = self.config.clone();
        config.transport_config(Arc::new(tuning::peer(address)));
        config
    }
}

pub(crate) fn bind(address: SocketAddr) -> Result<UdpSocket, TransportError> {
    UdpSocket::bind(address).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => TransportError::PortInUse { address },
        _ => TransportError::Bind { address, source },
    })
}

pub(crate) fn open(
    socket: UdpSocket,
    config: &Config,
    servers: &Servers,
    runtime: &Handle,
) -> Result<Endpoint, TransportError> {
    // Smaller buffers only cost speed.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let bind = |source| TransportError::Bind { address: config.listen, source };
    let mut quic = EndpointConfig::new(Arc::new(ResetKey::new(&config.identity)));
    let id_key = connection_id_key(&config.identity);
    quic.cid_generator(move || -> Box<dyn ConnectionIdGenerator> {
        Box::new(HashedConnectionIdGenerator::from_key(id_key))
    });
    // Never fails: the limit is 1200 to 65527.
    let _ = quic.max_udp_payload_size(tuning::LOOPBACK_MTU);
    let _context = runtime.enter();
    Endpoint::new(quic, Some((*servers.other.stranger).clone()), socket, Arc::new(TokioRuntime)).map_err(bind)
}

/// Returns the key that marks this node's connection ids. An id without the mark is junk; an id with it belongs to a
/// connection that ended.
fn connection_id_key(identity: &SigningKey) -> u64 {
    let bytes = hash(domain::LINK, &[b"connection ids", &identity.public()]);
    bytes[..8].iter().fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// Key of the stateless reset tokens, which prove to a peer that an old connection is gone: a secret function of the
/// connection's id.
struct ResetKey(Zeroizing<[u8; 32]>);

impl ResetKey {
    fn new(identity: &SigningKey) -> Self {
        Self(identity.derived(domain::LINK, b"stateless reset"))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let signature = hash(domain::LINK, &[&self.0[..], data]);
        let len = signature_out.len().min(signature.len());
        signature_out[..len].copy_from_slice(&signature[..len]);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = hash(domain::LINK, &[&self.0[..], data]);
        let differences = expected.iter().zip(signature).fold(0, |seen, (a, b)| seen | (a ^ b));
        if signature.len() == expected.len() && differences == 0 { Ok(()) } else { Err(CryptoError) }
    }
}
