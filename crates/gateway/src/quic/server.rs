//! The QUIC server: connections, their limits, and one session each.

use super::session::Session;
use super::violation::Violation;
use crate::backend::Backend;
use crate::gate::{AccessDenied, Gate, Permission, Scope};
use crate::http::server::StartError;
use crate::limit::ConnectionsBySite;
use crate::metrics::{GatewayMetrics, QUIC};
use crate::panic_alarm::PanicAlarm;
use crate::screen::{ScreenedItems, Senders, screen};
use quinn::{Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, TokioRuntime, VarInt};
use rustorium_api::frames::{
    CLIENT_FRAME_BYTES_MAX, ClientFrame, FACE_VERSION, LENGTH_BYTES, ServerFrame, SubmitHead, write_frame,
};
use rustorium_api::{ClientSession, Submitted};
use rustorium_transport::handshakes::{HandshakeLimiter, HandshakeLimits, Verdict, site};
use rustorium_types::{BoundedBytes, decode};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Limits of the QUIC API.
#[derive(Clone, Debug)]
pub struct QuicLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Open connections of one site.
    pub connections_per_address_max: usize,
    /// Handshakes.
    pub handshakes: HandshakeLimits,
    /// Transactions that one connection may have outstanding.
    pub credit: u32,
    /// Bytes of a connection's unread results beyond which certified results are sent without their proof.
    pub proof_bytes_waiting_max: usize,
    /// Time limit for a client's hello.
    pub hello_timeout: Duration,
    /// Time after which a client that reads none of its results is disconnected.
    pub write_stall_timeout: Duration,
}

impl Default for QuicLimits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_address_max: 256,
            handshakes: HandshakeLimits { open_max: 256, open_per_site_max: 64, per_site_per_s: 64, burst: 256 },
            credit: 32_768,
            proof_bytes_waiting_max: 1024 * 1024,
            hello_timeout: Duration::from_secs(5),
            write_stall_timeout: Duration::from_secs(20),
        }
    }
}

/// State that all sessions share.
struct QuicContext {
    backend: Arc<dyn Backend>,
    gate: Arc<Gate>,
    limits: QuicLimits,
    metrics: GatewayMetrics,
    total: Arc<Semaphore>,
    addresses: Arc<ConnectionsBySite>,
    limiter: Arc<HandshakeLimiter>,
}

/// The running QUIC server.
pub struct QuicServer {
    endpoint: Endpoint,
    address: SocketAddr,
    accepting: JoinSet<()>,
}

/// Number of connections that may wait to be looked at. `INCOMING_BYTES` and `INCOMING_BYTES_TOTAL` bound the early
/// packets kept for each of them and for all.
const INCOMING_MAX: usize = 256;
const INCOMING_BYTES: u64 = 16 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 1024 * 1024;
/// Bytes kept for a client because it hasn't acknowledged them.
const SEND_WINDOW_BYTES: u64 = 2 * 1024 * 1024;

impl QuicServer {
    /// Listens and serves on the current tokio runtime; `config` comes from `transport::tls::client_api_server`.
    pub fn start(
        listen: SocketAddr,
        mut config: quinn::ServerConfig,
        backend: Arc<dyn Backend>,
        gate: Arc<Gate>,
        limits: QuicLimits,
        metrics: GatewayMetrics,
    ) -> Result<Self, StartError> {
        config.max_incoming(INCOMING_MAX).incoming_buffer_size(INCOMING_BYTES);
        config.incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
        if let Some(transport) = Arc::get_mut(&mut config.transport) {
            transport.send_window(SEND_WINDOW_BYTES);
        }
        let failed = |error| StartError::listen(listen, error);
        let socket = UdpSocket::bind(listen).map_err(failed)?;
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime));
        let endpoint = endpoint.map_err(failed)?;
        let address = endpoint.local_addr().map_err(failed)?;
        let total = Arc::new(Semaphore::new(limits.connections_max));
        let limiter = HandshakeLimiter::new(limits.handshakes);
        let context =
            Arc::new(QuicContext { backend, gate, limits, metrics, total, addresses: Arc::default(), limiter });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(endpoint.clone(), context));
        Ok(Self { endpoint, address, accepting })
    }

    /// Returns the server's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Tells every client that the server closes, and stops.
    pub async fn close(mut self) {
        let closing = Violation::Closing;
        self.endpoint.close(VarInt::from_u32(closing.code()), closing.to_string().as_bytes());
        // Clients that don't acknowledge the end are not waited for.
        let _ = timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await;
        self.accepting.shutdown().await;
    }
}

async fn accept(endpoint: Endpoint, context: Arc<QuicContext>) {
    let backend = context.backend.clone();
    let _fuse = PanicAlarm(move || backend.panicked("client port"));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => admit(incoming, &context, &mut connections),
                None => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Accepts a connection, or refuses it before anything is spent on it.
fn admit(incoming: Incoming, context: &Arc<QuicContext>, connections: &mut JoinSet<()>) {
    let (address, proved) = (incoming.remote_address().ip(), incoming.remote_address_validated());
    let slot = match context.limiter.decide(Instant::now(), address, proved) {
        Verdict::Enter(slot) => slot,
        Verdict::Prove => {
            context.metrics.address_proof();
            // This fails only for a validated address, and those never get here.
            let _ = incoming.retry();
            return;
        }
        Verdict::Refuse => {
            context.metrics.refused_connection(QUIC);
            return incoming.refuse();
        }
    };
    let permit = context.total.clone().try_acquire_owned().ok();
    let address = context.addresses.enter(address, context.limits.connections_per_address_max);
    let (Some(permit), Some(address)) = (permit, address) else {
        context.metrics.refused_connection(QUIC);
        return incoming.refuse();
    };
    let context = context.clone();
    connections.spawn(async move {
        let _held = (permit, address, context.metrics.connection(QUIC));
        // A handshake that never ends would keep its place.
        let connected = timeout(context.limits.hello_timeout, incoming).await;
        drop(slot);
        match connected {
            Ok(Ok(connection)) => serve(&connection, &context).await,
            Err(_) => tracing::debug!(event = "client_handshake_slow", "a client's handshake took too long"),
            Ok(Err(error)) => tracing::debug!(event = "client_handshake_failed", %error, "a client did not connect"),
        }
    });
}

async fn serve(connection: &Connection, context: &Arc<QuicContext>) {
    let streams = timeout(context.limits.hello_timeout, open(connection, context)).await;
    let (send, recv, pass) = match streams {
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return,
        Ok(Err(violation)) => return refuse(violation, connection, context),
        Err(_) => return Violation::TooSlow.close(connection),
    };
    let session = Arc::new(Session::new(context.limits.credit, context.limits.proof_bytes_waiting_max));
    let visit = ClientSession::of(site(connection.remote_address().ip()));
    let _leaving = EndOnDrop { context, visit: &visit };
    let ended = tokio::select! {
        ended = read(recv, context, &session, &visit, &pass) => ended,
        ended = write(send, &session, context.limits.write_stall_timeout) => ended,
    };
    session.close();
    if let Err(violation) = ended {
        tracing::debug!(event = "client_closed", peer = %connection.remote_address(), %violation, "a client was disconnected");
        refuse(violation, connection, context);
    }
}

/// Ends the session's waits when it is dropped, however the session ends.
struct EndOnDrop<'a> {
    context: &'a QuicContext,
    visit: &'a ClientSession,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.context.backend.left(self.visit);
    }
}

fn refuse(violation: Violation, connection: &Connection, context: &QuicContext) {
    if let Violation::Denied(denied) = violation {
        context.metrics.unauthorized(QUIC, denied.code());
    }
    violation.close(connection);
}

/// Both halves of a session's stream, and the permission to submit.
type Opened = (SendStream, RecvStream, Permission);

/// Waits for the stream and the hello, and answers it. `None` if the client is gone.
async fn open(connection: &Connection, context: &QuicContext) -> Result<Option<Opened>, Violation> {
    let Ok((mut send, mut recv)) = connection.accept_bi().await else { return Ok(None) };
    let mut buffer = Vec::new();
    if !read_frame(&mut recv, &mut buffer).await? {
        return Ok(None);
    }
    let (version, token) = match decode::<ClientFrame>(&buffer, CLIENT_FRAME_BYTES_MAX) {
        Ok(ClientFrame::Hello { version }) => (version, None),
        Ok(ClientFrame::HelloWithToken { version, token }) => (version, Some(token)),
        _ => return Err(Violation::Malformed),
    };
    if version != FACE_VERSION {
        return Err(Violation::Version);
    }
    let token = token.as_ref().map(BoundedBytes::as_slice);
    let pass = context.gate.check(Scope::Submit, token).map_err(Violation::Denied)?;
    let hello =
        ServerFrame::Hello { version: FACE_VERSION, chain: context.backend.chain().id, credit: context.limits.credit };
    let mut out = Vec::new();
    write_frame(&hello, &mut out);
    Ok(send.write_all(&out).await.is_ok().then_some((send, recv, pass)))
}

/// Reads one frame into `buffer`. Returns false at the end of the stream.
async fn read_frame(recv: &mut RecvStream, buffer: &mut Vec<u8>) -> Result<bool, Violation> {
    let mut length = [0; LENGTH_BYTES];
    if recv.read_exact(&mut length).await.is_err() {
        return Ok(false);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > CLIENT_FRAME_BYTES_MAX {
        return Err(Violation::Malformed);
    }
    buffer.resize(length, 0);
    Ok(recv.read_exact(buffer).await.is_ok())
}

async fn read(
    mut recv: RecvStream,
    context: &QuicContext,
    session: &Arc<Session>,
    visit: &Arc<ClientSession>,
    pass: &Permission,
) -> Result<(), Violation> {
    let mut buffer = Vec::new();
    while read_frame(&mut recv, &mut buffer).await? {
        if !context.gate.holds(pass) {
            return Err(Violation::Denied(AccessDenied::Unknown));
        }
        submit(context, session, visit, &buffer)?;
    }
    Ok(())
}

/// Handles one `Submit` frame: first the credit, then the busy check, and only then the decoding.
fn submit(
    context: &QuicContext,
    session: &Arc<Session>,
    visit: &Arc<ClientSession>,
    frame: &[u8],
) -> Result<(), Violation> {
    let head = SubmitHead::peek(frame).ok_or(Violation::Malformed)?;
    session.take_credit(head.count)?;
    if let Some(retry_after_ms) = context.backend.busy(Some(visit.site())) {
        context.metrics.busy(QUIC, head.count as usize);
        session.push_busy(head.number, 0, head.count, retry_after_ms);
        return Ok(());
    }
    let Ok(ClientFrame::Submit { number, wait, transactions }) = decode(frame, CLIENT_FRAME_BYTES_MAX) else {
        return Err(Violation::Malformed);
    };
    context.metrics.submitted(QUIC, transactions.len());
    let ScreenedItems { good, places, refused } =
        screen(context.backend.as_ref(), Senders::OfAllShards, transactions.into_vec().into_iter().map(Ok));
    for (place, why) in refused {
        session.push(number, place, Submitted::Refused(why));
    }
    if good.is_empty() {
        return Ok(());
    }
    let (session, metrics) = (session.clone(), context.metrics.clone());
    let done = move |index: usize, submitted: Submitted| {
        if matches!(&submitted, Submitted::Refused(refused) if refused.busy) {
            metrics.busy(QUIC, 1);
        }
        let place = places.as_ref().map_or(Some(index), |places| places.get(index).copied());
        if let Some(place) = place {
            session.push(number, place, submitted);
        }
    };
    context.backend.submit_streaming(good, wait.into(), visit, Arc::new(done));
    Ok(())
}

async fn write(mut send: SendStream, session: &Session, stall: Duration) -> Result<(), Violation> {
    loop {
        session.ready.notified().await;
        while let Some((mut chunks, credit)) = session.take() {
            match timeout(stall, send.write_all_chunks(&mut chunks)).await {
                Ok(Ok(())) => session.give_credit(credit),
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err(Violation::TooSlow),
            }
        }
    }
}
