//! TLS on accepted TCP connections: handshakes are bounded in time, in number, and in rate for each address.
//!
//! *Invariants:* a client that doesn't finish its handshake holds a connection for at most `handshake_timeout`; an
//! address at its limit of HTTP/2 connections is offered HTTP/1.1.

use super::app::App;
use super::limits::HttpLimits;
use super::problem::Problem;
use super::stalling::StallGuard;
use crate::limit::{ConnectionsBySite, CountedConnection};
use crate::metrics::GatewayMetrics;
use crate::tls::{HandshakeFailure, Tls, is_http_2};
use rustorium_api::Code;
use rustorium_transport::handshakes::{HandshakeLimiter, Verdict};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The first byte of a TLS connection: a record of the handshake.
const HANDSHAKE: u8 = 22;
/// Bytes that are read from a client whose handshake failed. A connection that is closed before it is read is reset,
/// and the client gets no reason.
const REST_BYTES_MAX: u64 = 64 * 1024;
/// Time limit for reading them.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// A TLS connection. Its client has shown a valid certificate, if the gateway requires one.
pub(super) struct Connection {
    pub(super) stream: TlsStream<StallGuard<TcpStream>>,
    /// Place of a connection that speaks HTTP/2.
    pub(super) http_2: Option<Http2Place>,
}

/// Place of one HTTP/2 connection.
pub(super) struct Http2Place {
    _permit: OwnedSemaphorePermit,
    _address: CountedConnection,
}

/// State that all connections of a listener share.
pub(super) struct Secured {
    tls: Arc<Tls>,
    limiter: Arc<HandshakeLimiter>,
    places: Arc<Semaphore>,
    addresses: Arc<ConnectionsBySite>,
    limits: HttpLimits,
    metrics: GatewayMetrics,
}

impl Secured {
    pub(super) fn new(tls: Arc<Tls>, app: &App) -> Self {
        let limits = app.limits.clone();
        Self {
            tls,
            limiter: HandshakeLimiter::new(limits.handshakes),
            places: Arc::new(Semaphore::new(limits.http_2.connections_max)),
            addresses: Arc::default(),
            metrics: app.metrics.clone(),
            limits,
        }
    }

    /// Performs the handshake. `None` if it fails, which is counted.
    pub(super) async fn accept(&self, stream: TcpStream, address: IpAddr) -> Option<Connection> {
        // TCP has proved the address.
        let Verdict::Enter(_slot) = self.limiter.decide(Instant::now(), address, true) else {
            return self.failed(HandshakeFailure::Crowded);
        };
        match timeout(self.limits.handshake_timeout, self.shake(stream, address)).await {
            Ok(Ok(connection)) => Some(connection),
            Ok(Err(failure)) => self.failed(failure),
            Err(_) => self.failed(HandshakeFailure::Late),
        }
    }

    fn failed<T>(&self, failure: HandshakeFailure) -> Option<T> {
        self.metrics.handshake_failed(failure);
        tracing::debug!(event = "handshake_failed", reason = failure.name());
        None
    }

    async fn shake(&self, mut stream: TcpStream, address: IpAddr) -> Result<Connection, HandshakeFailure> {
        let mut first = [0];
        let count = stream.peek(&mut first).await.map_err(|_| HandshakeFailure::Broken)?;
        if count > 0 && first[0] != HANDSHAKE {
            tell(&mut stream).await;
            return Err(HandshakeFailure::Plain);
        }
        let place = self.place(address);
        let acceptor = TlsAcceptor::from(self.tls.config(place.is_some()));
        let stream = StallGuard::new(stream, (self.limits.write_stall_timeout, self.limits.write_timeout));
        let stream = match acceptor.accept(stream).into_fallible().await {
            Ok(stream) => stream,
            Err((error, mut stream)) => {
                leave(&mut stream).await;
                return Err(HandshakeFailure::of(&error));
            }
        };
        let http_2 = place.filter(|_| is_http_2(stream.get_ref().1.alpn_protocol()));
        Ok(Connection { stream, http_2 })
    }

    fn place(&self, address: IpAddr) -> Option<Http2Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let address = self.addresses.enter(address, self.limits.http_2.connections_per_address_max)?;
        Some(Http2Place { _permit: permit, _address: address })
    }
}

/// Answers a client that speaks no TLS in plain HTTP.
async fn tell(stream: &mut TcpStream) {
    let detail = "This node speaks TLS here, and the request could be read on its way; ask it by https://.";
    let answer = Problem::new(Code::TlsNeeded, detail).to_http_1();
    // If the client is gone, there is nobody to tell.
    let _ = stream.write_all(answer.as_bytes()).await;
    leave(stream).await;
}

/// Ends the stream, and waits for the client to do the same.
async fn leave<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let rest = async {
        stream.shutdown().await?;
        let mut stream = stream.take(REST_BYTES_MAX);
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // The connection ends, whatever the outcome.
    let _ = timeout(REST_TIMEOUT, rest).await;
}
