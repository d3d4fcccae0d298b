//! The HTTP listener: limits on connections, slow heads and stalled readers, and a clean end.
//!
//! *Invariants:* at most `connections_max` connections are open, and fewer of one address; none outlives `close`.

use super::app::App;
use super::connection::ConnectionContext;
use super::limits::{CLOSE_GRACE, HttpLimits};
use super::params::Caller;
use super::problem::Problem;
use super::routes::{metrics_router, router};
use super::secured::Secured;
use crate::backend::Backend;
use crate::gate::Gate;
use crate::limit::{ConnectionsBySite, CountedConnection};
use crate::metrics::{GatewayMetrics, HTTP, OpenCount};
use crate::panic_alarm::PanicAlarm;
use crate::tls::{LOOK, Tls};
use rustorium_api::Code;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Reason why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another process has the port.
    #[error("{address} is in use; stop the other process or set another port in config.toml")]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// Another failure to listen.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Error of the system.
        error: io::Error,
    },
}

impl StartError {
    pub(crate) fn listen(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { address },
            _ => Self::Listen { address, error },
        }
    }
}

/// Settings of the HTTP server.
#[derive(Clone)]
pub struct HttpConfig {
    /// The API.
    pub listen: SocketAddr,
    /// Address of the metrics. `None` for no metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// Bounds.
    pub limits: HttpLimits,
    /// Access control.
    pub gate: Arc<Gate>,
    /// TLS of the API; `None` for plain HTTP. Metrics always use plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

/// The running HTTP server.
pub struct HttpServer {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    closing: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Number of connections that an address may always hold. Beyond it, an address may hold half as many as are free, so
/// that a few addresses that hold idle connections leave some to others.
const SHARE_MIN: usize = 8;
/// Returns the answer to a connection over the limit, which is then closed.
fn too_many() -> String {
    let detail = "Too many connections are open; close some or try another node.";
    Problem::new(Code::Busy, detail).retry_after(1_000).to_http_1()
}

impl HttpServer {
    /// Listens and serves on the current tokio runtime.
    pub async fn start(
        config: HttpConfig,
        backend: Arc<dyn Backend>,
        metrics: GatewayMetrics,
    ) -> Result<Self, StartError> {
        let (closing, closed) = watch::channel(false);
        let listener = bind(config.listen).await?;
        let metrics_listener = match config.metrics_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let address = local(&listener, config.listen)?;
        let mut server = Self { address, metrics_address: None, closing, tasks: JoinSet::new() };
        let app = App::new(backend, config.gate, config.limits, metrics, closed.clone());
        if let Some(listener) = metrics_listener {
            server.metrics_address = listener.local_addr().ok();
            let within = server.metrics_address.is_some_and(|address| address.ip().is_loopback());
            let router = metrics_router(app.clone(), within);
            let served =
                ConnectionContext { router, limits: app.limits.clone(), secured: None, closed: closed.clone() };
            server.tasks.spawn(accept(listener, served, app.clone()));
        }
        let secured = config.tls.map(|tls| {
            server.tasks.spawn(look(tls.clone(), app.metrics.clone(), closed.clone()));
            Arc::new(Secured::new(tls, &app))
        });
        let served = ConnectionContext { router: router(app.clone()), limits: app.limits.clone(), secured, closed };
        server.tasks.spawn(accept(listener, served, app));
        Ok(server)
    }

    /// Returns the API's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of the metrics listener.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Ends event streams, lets requests in progress end, and stops.
    pub async fn close(mut self) {
        // Without receivers there is nobody to tell.
        let _ = self.closing.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::listen(address, error))
}

fn local(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::listen(asked, error))
}

/// Counts of an open connection.
struct ConnectionCounts {
    _permit: OwnedSemaphorePermit,
    _address: CountedConnection,
    _open: OpenCount,
}

/// Checks the files of TLS at regular times.
async fn look(tls: Arc<Tls>, metrics: GatewayMetrics, mut closed: watch::Receiver<bool>) {
    metrics.certificate(tls.state().validity);
    loop {
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        let looking = tls.clone();
        // If this look panics, the next one may not.
        let _ = tokio::task::spawn_blocking(move || looking.look()).await;
        metrics.certificate(tls.state().validity);
    }
}

async fn accept(listener: TcpListener, served: ConnectionContext, app: Arc<App>) {
    let backend = app.backend.clone();
    let _fuse = PanicAlarm(move || backend.panicked("HTTP port"));
    let mut closed = served.closed.clone();
    let total = Arc::new(Semaphore::new(app.limits.connections_max));
    let addresses = Arc::new(ConnectionsBySite::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = closed.wait_for(|closed| *closed) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The process is probably out of file descriptors. Those of ending connections come back.
                tracing::warn!(event = "accept_failed", %error, "could not accept a connection");
                sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let share = (total.available_permits() / 2).max(SHARE_MIN).min(app.limits.connections_per_address_max);
        let permit = total.clone().try_acquire_owned().ok();
        let address = addresses.enter(peer.ip(), share);
        match (permit, address) {
            (Some(permit), Some(address)) => {
                let held = ConnectionCounts { _permit: permit, _address: address, _open: app.metrics.connection(HTTP) };
                let (served, caller) = (served.clone(), Caller(peer.ip()));
                connections.spawn(async move {
                    served.connection(stream, caller).await;
                    drop(held);
                });
            }
            _ => {
                app.metrics.refused_connection(HTTP);
                if served.secured.is_none() {
                    // An empty socket buffer takes the whole answer. Otherwise the connection just ends.
                    let _ = stream.try_write(too_many().as_bytes());
                }
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // Connections that have not ended by then are dropped with the set.
    let _ = tokio::time::timeout(CLOSE_GRACE, all).await;
}
