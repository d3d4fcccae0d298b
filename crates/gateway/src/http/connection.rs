//! One connection of a client: the TLS handshake, if the gateway speaks TLS, and then the version of HTTP that it
//! speaks.

use super::limits::HttpLimits;
use super::multiplexed::{self, ended};
use super::params::Caller;
use super::secured::Secured;
use super::stalling::StallGuard;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Bytes of an answer that the system buffers before it can send them. Without a bound it buffers some MiB for each
/// client that reads nothing, which costs work and memory for answers that nobody gets.
const UNSENT_BYTES_MAX: u32 = 64 * 1024;
/// Bytes that are read ahead of an HTTP/1.1 request.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// State that the connections of a listener share.
#[derive(Clone)]
pub(super) struct ConnectionContext {
    pub(super) router: Router,
    pub(super) limits: HttpLimits,
    /// `None` if TLS isn't spoken.
    pub(super) secured: Option<Arc<Secured>>,
    pub(super) closed: watch::Receiver<bool>,
}

impl ConnectionContext {
    /// Serves a connection until it ends.
    pub(super) async fn connection(mut self, stream: TcpStream, caller: Caller) {
        // This affects only latency; the connection works without it.
        let _ = stream.set_nodelay(true);
        // The bound concerns slow readers; others never notice it.
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        let Some(secured) = self.secured.take() else {
            let stream = StallGuard::new(stream, (self.limits.write_stall_timeout, self.limits.write_timeout));
            return self.http_1(stream, caller).await;
        };
        let mut closed = self.closed.clone();
        let connection = tokio::select! {
            connection = secured.accept(stream, caller.0) => connection,
            _ = closed.wait_for(|closed| *closed) => return,
        };
        let Some(connection) = connection else { return };
        match connection.http_2 {
            Some(_place) => {
                multiplexed::serve(connection.stream, caller, self.router, &self.limits, self.closed).await;
            }
            None => self.http_1(connection.stream, caller).await,
        }
    }

    async fn http_1<S>(self, stream: S, caller: Caller)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut closed = self.closed;
        let routes = TowerToHyperService::new(self.router);
        let named = |mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller);
            routes.call(request)
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service_fn(named))
            .with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return ended(result),
            _ = closed.wait_for(|closed| *closed) => connection.as_mut().graceful_shutdown(),
        }
        ended(connection.await);
    }
}
