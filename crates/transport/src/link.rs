//! A link: the queues, credits and counters of a peer. They outlive its connections.
//!
//! *Invariants:* at most one connection at a time; frames read and not yet processed are bounded per class, also across
//! reconnects; a link belongs to one node key for ever, while the key's place in the committee may change.

use crate::address::PeerAddress;
use crate::config::SendError;
use crate::framing::CLASSES;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::refusal::CloseCode;
use crate::shaper::LinkShaper;
use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Connection, PathStats};
use rustorium_types::{Class, PublicKey, ValidatorIndex};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

/// Connections of one peer that wait for the previous one to end. A node makes one at a time.
const ACCEPTED_MAX: usize = 4;

/// Frames and bytes of consensus that may be read from a peer and not yet processed.
const CONSENSUS_READ: (usize, usize) = (512, 4 * 1024 * 1024);

/// Frames of consensus that are read from a peer in a second. An honest member sends about 2.6 a block, so this is no
/// limit below 1,500 blocks a second. Above that rate it slows both sides down alike.
pub(crate) const CONSENSUS_FRAMES_PER_S: u32 = 4_000;

/// A received frame. Dropping it (or its `credit`) lets the peer send more.
#[derive(Debug)]
pub struct Frame {
    /// The node key that the sender proved. The key's role depends on the epoch: look it up at the time of use.
    pub from: PublicKey,
    /// Class of the stream on which the frame came.
    pub class: Class,
    /// The frame, without its length.
    pub bytes: Bytes,
    /// The frame's share of what may be read and not yet processed. Hold it until the frame is processed.
    pub credit: Credit,
}

/// Share of the bytes that may be read from a peer and not yet processed. It is returned when dropped.
#[derive(Debug, Default)]
pub struct Credit(#[expect(dead_code, reason = "held for what its drop does")] Option<OwnedSemaphorePermit>);

/// State of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The peer's key.
    pub node_key: PublicKey,
    /// The peer's place in the committee; `None` if the peer follows.
    pub index: Option<ValidatorIndex>,
    /// True if frames can be sent.
    pub up: bool,
    /// The smoothed round trip, while the link is up.
    pub rtt_us: Option<u64>,
    /// The version of the protocol that both sides speak, once the link has been up.
    pub version: Option<u8>,
    /// Bytes of frames handed to the network since the start.
    pub sent_bytes: u64,
    /// Bytes of frames received since the start.
    pub received_bytes: u64,
    /// Frames that wait to be sent, per class.
    pub queue_frames: [usize; 3],
    /// Bytes that wait to be sent, per class.
    pub queue_bytes: [usize; 3],
    /// Number of times that the link came up again after it had been up.
    pub reconnects: u64,
    /// Reason of the last time that the link went down or could not come up.
    pub last_error: Option<String>,
}

/// Counters of one class' streams.
#[derive(Debug, Default)]
pub(crate) struct ClassCounters {
    pub sent_frames: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub received_frames: AtomicU64,
    pub received_bytes: AtomicU64,
    pub full: AtomicU64,
}

/// Limits on queues and rates of a link.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bounds {
    pub queue_frames: [usize; 3],
    pub queue_bytes: [usize; 3],
    /// Rate of reading.
    pub read: Option<Arc<Pace>>,
    /// Rate of sending, which may be shared with other links.
    pub sent: Option<Arc<Pace>>,
}

/// The committee's data about a link. They change with the committee.
#[derive(Debug, Clone, Default)]
struct Place {
    index: Option<ValidatorIndex>,
    address: Option<PeerAddress>,
    /// Result of the last resolution of the address.
    resolved: Option<SocketAddr>,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub node_key: PublicKey,
    pub outboxes: [Outbox; 3],
    pub counters: [ClassCounters; 3],
    pub ups: AtomicU64,
    /// Signals that the peer, which this node dials, has shown that it is there.
    pub knock: Notify,
    pub bounds: Bounds,
    /// Rate of consensus frames that are read.
    pub consensus: Pace,
    place: Mutex<Place>,
    ended: watch::Sender<Option<CloseCode>>,
    accepted: Mutex<Option<mpsc::Sender<Connection>>>,
    credits: [Arc<Semaphore>; 3],
    credit_units: [usize; 3],
    credit_max: [usize; 3],
    shaper: Option<Mutex<LinkShaper>>,
    connection: Mutex<Option<Connection>>,
    version: Mutex<Option<u8>>,
    /// Time of the last frame, or of the link's creation.
    heard: Mutex<Instant>,
    last_error: Mutex<Option<String>>,
}

impl Link {
    pub fn new(node_key: PublicKey, bounds: Bounds, shaper: Option<LinkShaper>) -> Self {
        let (mut read_frames, mut read_bytes) = (bounds.queue_frames, bounds.queue_bytes);
        let consensus = Class::Consensus as usize;
        read_frames[consensus] = read_frames[consensus].min(CONSENSUS_READ.0);
        read_bytes[consensus] = read_bytes[consensus].min(CONSENSUS_READ.1);
        let credit_max = read_bytes.map(|bytes| bytes.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS));
        // A frame costs its bytes, but at least a fixed share, so that the number of frames is bounded too.
        let units = CLASSES.map(|c| credit_max[c as usize].div_ceil(read_frames[c as usize]));
        Self {
            node_key,
            outboxes: CLASSES.map(|c| Outbox::new(bounds.queue_frames[c as usize], bounds.queue_bytes[c as usize])),
            counters: Default::default(),
            ups: AtomicU64::new(0),
            knock: Notify::new(),
            bounds,
            consensus: Pace::new(CONSENSUS_FRAMES_PER_S, 0),
            place: Mutex::default(),
            ended: watch::Sender::new(None),
            accepted: Mutex::new(None),
            credits: credit_max.map(|max| Arc::new(Semaphore::new(max))),
            credit_units: units,
            credit_max,
            shaper: shaper.map(Mutex::new),
            connection: Mutex::new(None),
            version: Mutex::new(None),
            heard: Mutex::new(Instant::now()),
            last_error: Mutex::new(None),
        }
    }

    /// Sets the peer's place in a committee, for the first time or again.
    pub fn set_place(&self, index: ValidatorIndex, address: Option<PeerAddress>) {
        let mut place = self.place.lock();
        let resolved = if place.address == address { place.resolved } else { None };
        let resolved = resolved.or(address.as_ref().and_then(PeerAddress::fixed));
        *place = Place { index: Some(index), address, resolved };
    }

    pub fn index(&self) -> Option<ValidatorIndex> {
        self.place.lock().index
    }

    pub fn address(&self) -> Option<PeerAddress> {
        self.place.lock().address.clone()
    }

    pub fn resolved(&self) -> Option<SocketAddr> {
        self.place.lock().resolved
    }

    pub fn note_resolved(&self, address: SocketAddr) {
        self.place.lock().resolved = Some(address);
    }

    /// Returns a receiver of all connections that the peer makes from now on.
    pub fn take_accepted(&self) -> mpsc::Receiver<Connection> {
        let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
        *self.accepted.lock() = Some(sender);
        receiver
    }

    /// Passes on a connection that the peer made.
    pub fn accept(&self, connection: Connection) {
        let sender = self.accepted.lock().clone();
        let refused = match sender {
            Some(sender) => sender.try_send(connection).err().map(mpsc::error::TrySendError::into_inner),
            None => Some(connection),
        };
        if let Some(connection) = refused {
            connection.close(CloseCode::Replaced.wire(), b"too many connections of one node");
        }
    }

    /// Ends the link for good.
    pub fn end(&self, code: CloseCode) {
        self.ended.send_replace(Some(code));
    }

    /// Waits until the link ends for good.
    pub async fn ended(&self) -> CloseCode {
        let mut ended = self.ended.subscribe();
        // The sender lives as long as the link, so this doesn't fail.
        ended.wait_for(Option::is_some).await.ok().and_then(|code| *code).unwrap_or(CloseCode::Shutdown)
    }

    pub fn send(&self, class: Class, frame: Bytes) -> Result<(), SendError> {
        let release = |bytes| {
            let shaper = self.shaper.as_ref()?;
            Some(shaper.lock().release(Instant::now(), class, bytes))
        };
        let result = self.outboxes[class as usize].push(frame, release);
        if result == Err(SendError::Full) {
            self.counters[class as usize].full.fetch_add(1, Relaxed);
        }
        result
    }

    /// Waits until a frame of `bytes` may be read.
    pub async fn credit(&self, class: Class, bytes: usize) -> Credit {
        let class = class as usize;
        let cost = bytes.max(self.credit_units[class]).min(self.credit_max[class]);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        // The semaphore is never closed. If it were, there would only be no bound.
        Credit(self.credits[class].clone().acquire_many_owned(cost).await.ok())
    }

    pub fn raise(&self, connection: Connection, version: u8) {
        *self.version.lock() = Some(version);
        *self.connection.lock() = Some(connection);
        self.ups.fetch_add(1, Relaxed);
        self.outboxes.iter().for_each(Outbox::open);
    }

    pub fn lower(&self) {
        self.outboxes.iter().for_each(Outbox::close);
        *self.connection.lock() = None;
    }

    /// Notes that a frame came.
    pub fn hear(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// Returns the time since the last frame.
    pub fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.heard.lock())
    }

    /// Tells if less than half of this class's queue is in use; `None` if the link is down.
    pub fn has_room(&self, class: Class) -> Option<bool> {
        self.connection.lock().as_ref()?;
        Some(self.outboxes[class as usize].is_half_empty())
    }

    pub fn note(&self, error: String) {
        *self.last_error.lock() = Some(error);
    }

    pub fn rtt_us(&self) -> Option<u64> {
        let connection = self.connection.lock().clone()?;
        Some(u64::try_from(connection.rtt().as_micros()).unwrap_or(u64::MAX))
    }

    /// Returns QUIC's counters of the present connection.
    pub fn path(&self) -> Option<PathStats> {
        let connection = self.connection.lock().clone()?;
        Some(connection.stats().path)
    }

    pub fn version(&self) -> Option<u8> {
        *self.version.lock()
    }

    pub fn status(&self) -> LinkStatus {
        let depths = CLASSES.map(|class| self.outboxes[class as usize].depth());
        let rtt_us = self.rtt_us();
        LinkStatus {
            node_key: self.node_key,
            index: self.index(),
            up: rtt_us.is_some(),
            rtt_us,
            version: self.version(),
            sent_bytes: self.counters.iter().map(|c| c.sent_bytes.load(Relaxed)).sum(),
            received_bytes: self.counters.iter().map(|c| c.received_bytes.load(Relaxed)).sum(),
            queue_frames: depths.map(|(frames, _)| frames),
            queue_bytes: depths.map(|(_, bytes)| bytes),
            reconnects: self.ups.load(Relaxed).saturating_sub(1),
            last_error: self.last_error.lock().clone(),
        }
    }
}
