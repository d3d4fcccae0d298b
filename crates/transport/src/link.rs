//! A link: the queues, credits and counters of a peer. They outlive its connections.
//!
//! *Invariants:* at most one connection at a time; frames read and not yet processed are bounded per class, also across
//! reconnects; a link belongs to one node key for ever, while the key's place in the committee may change.

use crate::address::PeerAddress;
use crate::alarm::Alarm;
use crate::config::SendError;
use crate::framing::CLASSES;
use crate::pace::Pace;
use crate::refusal::CloseCode;
use crate::shaper::LinkShaper;
use crate::shard_queues::ShardQueues;
use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Connection, PathStats};
use rustorium_types::{Class, PublicKey, ShardId, ValidatorIndex, link_version};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;

/// Connections of one peer that wait for the previous one to end. A node makes one at a time.
const ACCEPTED_MAX: usize = 4;

/// A received frame. Dropping it (or its `credit`) lets the peer send more.
#[derive(Debug)]
pub struct Frame {
    /// The node key that the sender proved. The key's role depends on the epoch: look it up at the time of use.
    pub from: PublicKey,
    /// Shard of the stream on which the frame came. This node hosts it.
    pub shard: ShardId,
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

impl Credit {
    /// Returns the permit's bytes when it is dropped.
    pub fn of(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(permit)
    }
}

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
    /// The shards that this side hosts. The root has queues in any case.
    pub shards: Arc<BTreeSet<ShardId>>,
    /// Rate of reading.
    pub read: Option<Arc<Pace>>,
    /// Rate of sending, which may be shared with other links.
    pub sent: Option<Arc<Pace>>,
}

/// The committees' data about a link. They change with the committees.
#[derive(Debug, Clone, Default)]
struct Places {
    by_shard: BTreeMap<ShardId, (ValidatorIndex, Option<PeerAddress>)>,
    /// Result of the last resolution of the address.
    resolved: Option<SocketAddr>,
}

impl Places {
    fn address(&self) -> Option<&PeerAddress> {
        self.by_shard.values().find_map(|(_, address)| address.as_ref())
    }

    /// Applies a change, after which another address has to be resolved.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.address().cloned();
        change(self);
        if self.address() != before.as_ref() {
            self.resolved = None;
        }
        self.resolved = self.resolved.or(self.address().and_then(PeerAddress::fixed));
    }
}

/// The delay of a link's frames, in tests and in `devnet --regions`, and the clock that keeps it.
#[derive(Debug)]
pub(crate) struct Delay {
    pub shaper: Mutex<LinkShaper>,
    pub alarm: Arc<Alarm>,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub node_key: PublicKey,
    /// The root shard's.
    pub root: Arc<ShardQueues>,
    /// Those of the other shards that this side hosts.
    pub others: Vec<Arc<ShardQueues>>,
    pub counters: [ClassCounters; 3],
    pub ups: AtomicU64,
    /// Signals that the peer, which this node dials, has shown that it is there.
    pub knock: Notify,
    pub bounds: Bounds,
    places: Mutex<Places>,
    ended: watch::Sender<Option<CloseCode>>,
    accepted: Mutex<Option<mpsc::Sender<Connection>>>,
    delay: Option<Delay>,
    connection: Mutex<Option<Connection>>,
    version: Mutex<Option<u8>>,
    /// Time of the last frame, or of the link's creation.
    heard: Mutex<Instant>,
    last_error: Mutex<Option<String>>,
}

impl Link {
    pub fn new(node_key: PublicKey, bounds: Bounds, delay: Option<Delay>) -> Self {
        let queues = |shard: &ShardId| Arc::new(ShardQueues::new(*shard, &bounds));
        Self {
            node_key,
            root: queues(&ShardId::ROOT),
            others: bounds.shards.iter().filter(|shard| **shard != ShardId::ROOT).map(queues).collect(),
            counters: Default::default(),
            ups: AtomicU64::new(0),
            knock: Notify::new(),
            bounds,
            places: Mutex::default(),
            ended: watch::Sender::new(None),
            accepted: Mutex::new(None),
            delay,
            connection: Mutex::new(None),
            version: Mutex::new(None),
            heard: Mutex::new(Instant::now()),
            last_error: Mutex::new(None),
        }
    }

    /// Sets the peer's place in a shard's committee, for the first time or again.
    pub fn set_place(&self, shard: ShardId, index: ValidatorIndex, address: Option<PeerAddress>) {
        self.places.lock().change(|places| _ = places.by_shard.insert(shard, (index, address)));
    }

    /// Removes the peer's place in a shard's committee.
    pub fn clear_place(&self, shard: ShardId) {
        self.places.lock().change(|places| _ = places.by_shard.remove(&shard));
    }

    /// Returns the peer's place in the committee of the first shard that has one.
    pub fn index(&self) -> Option<ValidatorIndex> {
        self.places.lock().by_shard.values().next().map(|(index, _)| *index)
    }

    pub fn address(&self) -> Option<PeerAddress> {
        self.places.lock().address().cloned()
    }

    pub fn resolved(&self) -> Option<SocketAddr> {
        self.places.lock().resolved
    }

    pub fn note_resolved(&self, address: SocketAddr) {
        self.places.lock().resolved = Some(address);
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

    /// Returns a shard's queues; `None` if this side doesn't host the shard.
    pub fn queues(&self, shard: ShardId) -> Option<&Arc<ShardQueues>> {
        if shard == ShardId::ROOT {
            return Some(&self.root);
        }
        self.others.iter().find(|queues| queues.shard == shard)
    }

    pub fn send(&self, shard: ShardId, class: Class, frame: Bytes) -> Result<(), SendError> {
        let queues = self.queues(shard).ok_or(SendError::NotHosted)?;
        let outbox = &queues.outboxes[class as usize];
        let release = |bytes| Some(self.delay.as_ref()?.shaper.lock().release(std::time::Instant::now(), class, bytes));
        let result = outbox.push(frame, release);
        if let (Ok(Some(due)), Some(delay)) = (&result, &self.delay) {
            delay.alarm.at(*due, outbox.sender());
        }
        if result == Err(SendError::Full) {
            self.counters[class as usize].full.fetch_add(1, Relaxed);
        }
        result.map(drop)
    }

    /// Waits for frames of a shard and class that may leave, and moves those, up to about `bytes`, into `out`.
    pub async fn take(&self, queues: &ShardQueues, class: Class, bytes: usize, out: &mut Vec<Bytes>) {
        let late = |due, now| {
            if let Some(delay) = &self.delay {
                delay.alarm.went_on(due, now);
            }
        };
        queues.outboxes[class as usize].take(bytes, out, late).await;
    }

    pub fn raise(&self, connection: Connection, version: u8) {
        *self.version.lock() = Some(version);
        *self.connection.lock() = Some(connection);
        self.ups.fetch_add(1, Relaxed);
        self.root.open();
        if version >= link_version::SHARDS {
            self.others.iter().for_each(|queues| queues.open());
        }
    }

    pub fn lower(&self) {
        self.root.close();
        self.others.iter().for_each(|queues| queues.close());
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

    /// Tells if less than half of a shard's queue of this class is in use; `None` if the queue takes nothing, since the link
    /// is down or the peer doesn't host the shard.
    pub fn has_room(&self, shard: ShardId, class: Class) -> Option<bool> {
        self.queues(shard)?.outboxes[class as usize].has_room()
    }

    /// Returns the numbers of frames and bytes of a class that wait to be sent.
    pub fn depth(&self, class: Class) -> (usize, usize) {
        let all = self.others.iter().chain([&self.root]).map(|queues| queues.outboxes[class as usize].depth());
        all.fold((0, 0), |(frames, bytes), (more, larger)| (frames + more, bytes + larger))
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
        let depths = CLASSES.map(|class| self.depth(class));
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
