//! Client of the QUIC API.

use quinn::{ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use rustorium_api::frames::{
    ClientFrame, FACE_VERSION, LENGTH_BYTES, SERVER_FRAME_BYTES_MAX, ServerFrame, WireWait, write_frame, write_submit,
};
use rustorium_transport::tls;
use rustorium_types::{BoundedBytes, ChainId, PublicKey, decode};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// Reason why a connection to a node's QUIC API failed or ended.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No local socket or TLS configuration.
    #[error("can't set up a connection to {address}: {what}")]
    Setup {
        /// The node.
        address: SocketAddr,
        /// The failure.
        what: String,
    },
    /// The node does not answer, or proves another key.
    #[error(
        "no connection to {address}: {why}; check that the node runs and that its node key is the one in the genesis"
    )]
    Connect {
        /// The node.
        address: SocketAddr,
        /// Error of QUIC.
        why: ConnectionError,
    },
    /// The node ended the connection and said why.
    #[error("{address} ended the connection: {reason}")]
    Closed {
        /// The node.
        address: SocketAddr,
        /// The node's reason.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to {address} broke: {what}")]
    Lost {
        /// The node.
        address: SocketAddr,
        /// The failure.
        what: String,
    },
    /// The node says something that isn't this protocol.
    #[error("{address} does not speak version 1 of the QUIC API: use nodes of this release")]
    Protocol {
        /// The node.
        address: SocketAddr,
    },
}

/// A connection to a node's QUIC API.
pub struct QuicClient {
    /// The chain that the node serves.
    pub chain: ChainId,
    /// Sending half.
    pub submitter: Submitter,
    /// Receiving half.
    pub results: Results,
}

/// The sending half.
pub struct Submitter {
    send: SendStream,
    credit: u32,
    next_number: u64,
    buffer: Vec<u8>,
    link: Link,
}

/// The receiving half.
pub struct Results {
    recv: RecvStream,
    buffer: Vec<u8>,
    link: Link,
}

/// Parts that both halves keep alive.
#[derive(Clone)]
struct Link {
    connection: quinn::Connection,
    address: SocketAddr,
    _endpoint: Endpoint,
}

impl Link {
    fn lost(&self, error: impl std::fmt::Display) -> ClientError {
        let address = self.address;
        match self.connection.close_reason() {
            Some(ConnectionError::ApplicationClosed(close)) => {
                ClientError::Closed { address, reason: String::from_utf8_lossy(&close.reason).into_owned() }
            }
            Some(other) => ClientError::Lost { address, what: other.to_string() },
            None => ClientError::Lost { address, what: error.to_string() },
        }
    }
}

fn local_address(remote: SocketAddr) -> SocketAddr {
    match remote {
        SocketAddr::V4(_) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).into(),
        SocketAddr::V6(_) => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0).into(),
    }
}

fn hello(token: Option<&str>) -> Result<Vec<u8>, String> {
    let hello = match token {
        None => ClientFrame::Hello { version: FACE_VERSION },
        Some(text) => {
            let token = BoundedBytes::new(text.as_bytes().to_vec()).map_err(|_| "the token is too long".to_owned())?;
            ClientFrame::HelloWithToken { version: FACE_VERSION, token }
        }
    };
    let mut bytes = Vec::new();
    write_frame(&hello, &mut bytes);
    Ok(bytes)
}

impl QuicClient {
    /// Connects to the node at `address`, which must prove `node_key`. `token` is for a node that requires one.
    pub async fn connect(address: SocketAddr, node_key: &PublicKey, token: Option<&str>) -> Result<Self, ClientError> {
        Self::connect_from(local_address(address), address, node_key, token).await
    }

    /// Connects from the given address of this machine.
    pub async fn connect_from(
        local: SocketAddr,
        address: SocketAddr,
        node_key: &PublicKey,
        token: Option<&str>,
    ) -> Result<Self, ClientError> {
        let setup = |what: String| ClientError::Setup { address, what };
        let hello = hello(token).map_err(setup)?;
        let config = tls::client_api_client(node_key).map_err(|error| setup(error.to_string()))?;
        let endpoint = Endpoint::client(local).map_err(|error| setup(error.to_string()))?;
        let connecting = endpoint.connect_with(config, address, tls::SERVER_NAME);
        let connecting = connecting.map_err(|error| setup(error.to_string()))?;
        let connection = connecting.await.map_err(|why| ClientError::Connect { address, why })?;
        let link = Link { connection, address, _endpoint: endpoint };
        let (mut send, recv) = link.connection.open_bi().await.map_err(|why| ClientError::Connect { address, why })?;
        send.write_all(&hello).await.map_err(|error| link.lost(error))?;
        let mut results = Results { recv, buffer: Vec::new(), link: link.clone() };
        let ServerFrame::Hello { version: FACE_VERSION, chain, credit } = results.next().await? else {
            return Err(ClientError::Protocol { address });
        };
        let submitter = Submitter { send, credit, next_number: 0, buffer: Vec::new(), link };
        Ok(Self { chain, submitter, results })
    }
}

impl Submitter {
    /// Returns the number of transactions that may be sent now.
    pub fn credit(&self) -> u32 {
        self.credit
    }

    /// Returns the number of the next frame.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Adds the credit of a `Credit` frame.
    pub fn add_credit(&mut self, count: u32) {
        self.credit = self.credit.saturating_add(count);
    }

    /// Sends one frame of encoded transactions and returns its number. The caller keeps to `credit`, and to the limits on
    /// the number and bytes of one submission; the node disconnects a client that doesn't.
    pub async fn submit<'a>(
        &mut self,
        wait: WireWait,
        encoded: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<u64, ClientError> {
        let number = self.next_number;
        self.next_number += 1;
        self.credit = self.credit.saturating_sub(u32::try_from(encoded.len()).unwrap_or(u32::MAX));
        self.buffer.clear();
        write_submit(number, wait, encoded, &mut self.buffer);
        self.send.write_all(&self.buffer).await.map_err(|error| self.link.lost(error))?;
        Ok(number)
    }

    /// Ends the connection; results that are still outstanding are not received.
    pub fn close(self) {
        self.link.connection.close(VarInt::from_u32(0), b"done");
    }
}

impl Results {
    /// Returns the next frame. Cancelling it loses the position in the stream, so it needs its own task.
    pub async fn next(&mut self) -> Result<ServerFrame, ClientError> {
        let mut length = [0; LENGTH_BYTES];
        self.recv.read_exact(&mut length).await.map_err(|error| self.link.lost(io::Error::other(error)))?;
        let length = u32::from_le_bytes(length) as usize;
        let address = self.link.address;
        if length > SERVER_FRAME_BYTES_MAX {
            return Err(ClientError::Protocol { address });
        }
        self.buffer.resize(length, 0);
        self.recv.read_exact(&mut self.buffer).await.map_err(|error| self.link.lost(io::Error::other(error)))?;
        decode(&self.buffer, SERVER_FRAME_BYTES_MAX).map_err(|_| ClientError::Protocol { address })
    }
}
