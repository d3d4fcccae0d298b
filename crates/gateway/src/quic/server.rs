//! The server side: connections, their limits, and one session each.

use super::wire::{
    CLIENT_FRAME_BYTES_MAX, ClientFrame, FACE_VERSION, LENGTH_BYTES, RESULTS_MAX, RESULTS_TAG, ResultItem, ServerFrame,
    SubmitHead, WireOutcome, write_frame, write_length,
};
use crate::backend::{Backend, Submitted};
use crate::http::server::StartError;
use crate::limit::Addresses;
use crate::metrics::{GatewayMetrics, QUIC};
use crate::screen::{Screened, screen};
use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, TokioRuntime, VarInt};
use rustorium_types::{decode, encode_into};
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bounds of the QUIC face.
#[derive(Clone, Debug)]
pub struct QuicLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Open connections of one address.
    pub connections_per_address_max: usize,
    /// Transactions that one connection may have outstanding.
    pub credit: u32,
    /// Bytes of unread results of a connection beyond which certified results go without their proof.
    pub proof_bytes_waiting_max: usize,
    /// A client must have said hello within this time.
    pub hello_timeout: Duration,
    /// A client that reads none of its results for this long is disconnected.
    pub write_stall_timeout: Duration,
}

impl Default for QuicLimits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_address_max: 256,
            credit: 32_768,
            proof_bytes_waiting_max: 1024 * 1024,
            hello_timeout: Duration::from_secs(5),
            write_stall_timeout: Duration::from_secs(20),
        }
    }
}

/// Why the server ends a connection; the number and the text travel in QUIC's close frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Violation {
    /// More transactions than credit.
    #[error("over_credit: more transactions are outstanding than the credit allows; wait for results")]
    OverCredit,
    /// Not a frame of this protocol.
    #[error("malformed_frame: a frame is too large or isn't a canonical encoding")]
    Malformed,
    /// Another version.
    #[error("unsupported_version: this node speaks version 1 of the client face")]
    Version,
    /// No hello in time, or results were not read.
    #[error("too_slow: the client said or read nothing for too long")]
    TooSlow,
    /// The node stops.
    #[error("closing: the node is closing; connect to another")]
    Closing,
}

impl Violation {
    /// The number in the close frame.
    pub fn code(self) -> u32 {
        match self {
            Self::OverCredit => 1,
            Self::Malformed => 2,
            Self::Version => 3,
            Self::TooSlow => 4,
            Self::Closing => 5,
        }
    }

    fn close(self, connection: &Connection) {
        connection.close(VarInt::from_u32(self.code()), self.to_string().as_bytes());
    }
}

/// What all sessions share.
struct Face {
    backend: Arc<dyn Backend>,
    limits: QuicLimits,
    metrics: GatewayMetrics,
    total: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

/// The running QUIC face.
pub struct QuicFace {
    endpoint: Endpoint,
    address: SocketAddr,
    accepting: JoinSet<()>,
}

/// Bytes that a client hasn't acknowledged and that are kept for it.
const SEND_WINDOW_BYTES: u64 = 2 * 1024 * 1024;

impl QuicFace {
    /// Listens and serves on the current tokio runtime; `config` comes from `transport::tls::client_face_server`.
    pub fn start(
        listen: SocketAddr,
        mut config: quinn::ServerConfig,
        backend: Arc<dyn Backend>,
        limits: QuicLimits,
        metrics: GatewayMetrics,
    ) -> Result<Self, StartError> {
        if let Some(transport) = Arc::get_mut(&mut config.transport) {
            transport.send_window(SEND_WINDOW_BYTES);
        }
        let failed = |error| StartError::listen(listen, error);
        let socket = UdpSocket::bind(listen).map_err(failed)?;
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime));
        let endpoint = endpoint.map_err(failed)?;
        let address = endpoint.local_addr().map_err(failed)?;
        let total = Arc::new(Semaphore::new(limits.connections_max));
        let face = Arc::new(Face { backend, limits, metrics, total, addresses: Arc::default() });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(endpoint.clone(), face));
        Ok(Self { endpoint, address, accepting })
    }

    /// The face's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Tells every client and stops.
    pub async fn close(mut self) {
        let closing = Violation::Closing;
        self.endpoint.close(VarInt::from_u32(closing.code()), closing.to_string().as_bytes());
        // Clients that don't acknowledge the end aren't waited for.
        let _ = timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await;
        self.accepting.shutdown().await;
    }
}

async fn accept(endpoint: Endpoint, face: Arc<Face>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => admit(incoming, &face, &mut connections),
                None => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Takes a connection in, or refuses it before anything is spent on it.
fn admit(incoming: Incoming, face: &Arc<Face>, connections: &mut JoinSet<()>) {
    let crowded = face.total.available_permits() <= face.limits.connections_max / 2;
    if crowded && !incoming.remote_address_validated() {
        // Costs a sender of forged addresses a round trip, and us nothing.
        if let Err(refused) = incoming.retry() {
            refused.into_incoming().refuse();
        }
        return;
    }
    let permit = face.total.clone().try_acquire_owned().ok();
    let address = face.addresses.enter(incoming.remote_address().ip(), face.limits.connections_per_address_max);
    let (Some(permit), Some(address)) = (permit, address) else {
        face.metrics.refused_connection(QUIC);
        incoming.refuse();
        return;
    };
    let face = face.clone();
    connections.spawn(async move {
        let _held = (permit, address, face.metrics.connection(QUIC));
        match incoming.await {
            Ok(connection) => serve(&connection, &face).await,
            Err(error) => tracing::debug!(event = "client_handshake_failed", %error, "a client did not connect"),
        }
    });
}

async fn serve(connection: &Connection, face: &Arc<Face>) {
    let streams = timeout(face.limits.hello_timeout, open(connection, face)).await;
    let (send, recv) = match streams {
        Ok(Ok(Some(streams))) => streams,
        Ok(Ok(None)) => return,
        Ok(Err(violation)) => return violation.close(connection),
        Err(_) => return Violation::TooSlow.close(connection),
    };
    let session = Arc::new(Session::new(face.limits.credit, face.limits.proof_bytes_waiting_max));
    let ended = tokio::select! {
        ended = read(recv, face, &session) => ended,
        ended = write(send, &session, face.limits.write_stall_timeout) => ended,
    };
    session.close();
    if let Err(violation) = ended {
        tracing::debug!(event = "client_closed", peer = %connection.remote_address(), %violation, "a client was disconnected");
        violation.close(connection);
    }
}

/// Waits for the stream and the hello, and answers it; none where the client is gone.
async fn open(connection: &Connection, face: &Face) -> Result<Option<(SendStream, RecvStream)>, Violation> {
    let Ok((mut send, mut recv)) = connection.accept_bi().await else { return Ok(None) };
    let mut buffer = Vec::new();
    if !read_frame(&mut recv, &mut buffer).await? {
        return Ok(None);
    }
    match decode::<ClientFrame>(&buffer, CLIENT_FRAME_BYTES_MAX) {
        Ok(ClientFrame::Hello { version: FACE_VERSION }) => {}
        Ok(ClientFrame::Hello { .. }) => return Err(Violation::Version),
        _ => return Err(Violation::Malformed),
    }
    let hello =
        ServerFrame::Hello { version: FACE_VERSION, chain: face.backend.chain().id, credit: face.limits.credit };
    let mut out = Vec::new();
    write_frame(&hello, &mut out);
    Ok(send.write_all(&out).await.is_ok().then_some((send, recv)))
}

/// Reads one frame into `buffer`; false at the end of the stream.
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

async fn read(mut recv: RecvStream, face: &Face, session: &Arc<Session>) -> Result<(), Violation> {
    let mut buffer = Vec::new();
    while read_frame(&mut recv, &mut buffer).await? {
        submit(face, session, &buffer)?;
    }
    Ok(())
}

/// One `Submit` frame: credit, then the busy check, and only then is anything decoded.
fn submit(face: &Face, session: &Arc<Session>, frame: &[u8]) -> Result<(), Violation> {
    let head = SubmitHead::peek(frame).ok_or(Violation::Malformed)?;
    session.take_credit(head.count)?;
    if let Some(retry_after_ms) = face.backend.busy() {
        face.metrics.busy(QUIC, head.count as usize);
        session.push_busy(head.number, 0, head.count, retry_after_ms);
        return Ok(());
    }
    let Ok(ClientFrame::Submit { number, wait, transactions }) = decode(frame, CLIENT_FRAME_BYTES_MAX) else {
        return Err(Violation::Malformed);
    };
    face.metrics.submitted(QUIC, transactions.len());
    let Screened { good, places, refused } = screen(face.backend.as_ref(), transactions.into_vec().into_iter().map(Ok));
    for (place, why) in refused {
        session.push(number, place, Submitted::Refused(why));
    }
    if good.is_empty() {
        return Ok(());
    }
    let (session, metrics) = (session.clone(), face.metrics.clone());
    let done = move |index: usize, submitted: Submitted| {
        if matches!(&submitted, Submitted::Refused(refused) if refused.busy) {
            metrics.busy(QUIC, 1);
        }
        let place = places.as_ref().map_or(Some(index), |places| places.get(index).copied());
        if let Some(place) = place {
            session.push(number, place, submitted);
        }
    };
    face.backend.submit_streaming(good, wait.into(), Arc::new(done));
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

/// A `Results` frame that is being filled.
struct Segment {
    bytes: Vec<u8>,
    items: usize,
}

/// Bytes after which another frame is begun.
const SEGMENT_BYTES: usize = 256 * 1024;
/// Length, tag, count.
const SEGMENT_HEAD_BYTES: usize = LENGTH_BYTES + 1 + 4;

impl Segment {
    fn new() -> Self {
        let mut bytes = Vec::with_capacity(2 * 1024);
        bytes.extend_from_slice(&[0; SEGMENT_HEAD_BYTES]);
        bytes[LENGTH_BYTES] = RESULTS_TAG;
        Self { bytes, items: 0 }
    }

    fn has_room(&self) -> bool {
        self.bytes.len() < SEGMENT_BYTES && self.items < RESULTS_MAX
    }

    fn finish(mut self) -> Bytes {
        write_length(&mut self.bytes, 0);
        let items = u32::try_from(self.items).unwrap_or(u32::MAX);
        self.bytes[LENGTH_BYTES + 1..SEGMENT_HEAD_BYTES].copy_from_slice(&items.to_le_bytes());
        self.bytes.into()
    }
}

/// A run of busy results.
#[derive(Clone, Copy)]
struct BusyRun {
    number: u64,
    first: u32,
    count: u32,
    retry_after_ms: u32,
}

/// Results that wait to be written.
struct Outbox {
    credit: u32,
    used: u32,
    waiting_bytes: usize,
    segments: VecDeque<Segment>,
    busy: VecDeque<BusyRun>,
    closed: bool,
}

/// One connection's credit and results. Pushed to from any thread.
struct Session {
    outbox: Mutex<Outbox>,
    ready: Notify,
    proof_bytes_waiting_max: usize,
}

impl Session {
    fn new(credit: u32, proof_bytes_waiting_max: usize) -> Self {
        let outbox =
            Outbox { credit, used: 0, waiting_bytes: 0, segments: VecDeque::new(), busy: VecDeque::new(), closed: false };
        Self { outbox: Mutex::new(outbox), ready: Notify::new(), proof_bytes_waiting_max }
    }

    fn take_credit(&self, count: u32) -> Result<(), Violation> {
        let mut outbox = self.outbox.lock();
        outbox.credit = outbox.credit.checked_sub(count).ok_or(Violation::OverCredit)?;
        Ok(())
    }

    fn give_credit(&self, count: u32) {
        self.outbox.lock().credit += count;
    }

    fn close(&self) {
        let mut outbox = self.outbox.lock();
        outbox.closed = true;
        outbox.segments.clear();
        outbox.busy.clear();
    }

    fn push(&self, number: u64, place: usize, submitted: Submitted) {
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        if let Submitted::Refused(refused) = &submitted
            && refused.busy
        {
            return self.push_busy(number, index, 1, refused.retry_after_ms.unwrap_or(0));
        }
        let mut outbox = self.outbox.lock();
        if outbox.closed {
            return;
        }
        let was_empty = outbox.used == 0;
        let lean = outbox.waiting_bytes > self.proof_bytes_waiting_max;
        let item = ResultItem { number, index, outcome: WireOutcome::new(submitted, lean) };
        if !outbox.segments.back().is_some_and(Segment::has_room) {
            outbox.segments.push_back(Segment::new());
        }
        if let Some(segment) = outbox.segments.back_mut() {
            let before = segment.bytes.len();
            encode_into(&item, &mut segment.bytes);
            segment.items += 1;
            let added = segment.bytes.len() - before;
            outbox.waiting_bytes += added;
        }
        outbox.used += 1;
        drop(outbox);
        // Whoever fills an empty outbox wakes the writer; the writer leaves only an empty one.
        if was_empty {
            self.ready.notify_one();
        }
    }

    fn push_busy(&self, number: u64, first: u32, count: u32, retry_after_ms: u64) {
        let retry_after_ms = u32::try_from(retry_after_ms).unwrap_or(u32::MAX);
        let mut outbox = self.outbox.lock();
        if outbox.closed {
            return;
        }
        let was_empty = outbox.used == 0;
        match outbox.busy.back_mut() {
            Some(run) if run.number == number && run.first + run.count == first => run.count += count,
            _ => outbox.busy.push_back(BusyRun { number, first, count, retry_after_ms }),
        }
        outbox.used += count;
        drop(outbox);
        if was_empty {
            self.ready.notify_one();
        }
    }

    /// All that waits, as frames, with the credit that they give back; none where nothing does.
    fn take(&self) -> Option<(Vec<Bytes>, u32)> {
        let mut outbox = self.outbox.lock();
        let used = std::mem::take(&mut outbox.used);
        if used == 0 {
            return None;
        }
        let segments = std::mem::take(&mut outbox.segments);
        let busy = std::mem::take(&mut outbox.busy);
        outbox.waiting_bytes = 0;
        drop(outbox);
        let mut chunks: Vec<Bytes> = segments.into_iter().map(Segment::finish).collect();
        let mut tail = Vec::with_capacity(64);
        for BusyRun { number, first, count, retry_after_ms } in busy {
            write_frame(&ServerFrame::Busy { number, first, count, retry_after_ms }, &mut tail);
        }
        write_frame(&ServerFrame::Credit(used), &mut tail);
        chunks.push(tail.into());
        Some((chunks, used))
    }
}
