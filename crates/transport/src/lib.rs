//! Links between nodes over QUIC: proven identities, a committee that may change, followers, framing, priorities, bounded queues and the delay shaper of tests.
//!
//! *Invariants:* knows no message's meaning; each peer on a link has proved its node key, and its frames are handed up
//! under that key alone: the key's place depends on the epoch; frames of one class arrive in order, and none waits
//! behind a less urgent class; everything that waits is bounded, and followers' resources are separate from those of
//! validators. An accepted frame is lost only with its link: when a link goes down, the frames that waited for it are
//! dropped, and the owner sends again.

mod address;
mod alarm;
pub mod authority;
mod config;
mod connect;
mod endpoint;
pub mod framing;
pub mod handshakes;
mod link;
mod metrics;
mod outbox;
mod pace;
mod refusal;
mod roster;
mod session;
mod shaper;
mod shard_queues;
mod shard_streams;
mod slots;
pub mod tls;
mod tuning;

#[cfg(test)]
mod tests;

pub use address::{ADDRESS_BYTES_MAX, BadAddress, PeerAddress};
pub use config::{Config, FollowerLimits, Peer, SEEDS_MAX, SendError, TransportError};
pub use framing::{SPOKEN, Versions};
pub use link::{Credit, Frame, LinkStatus};
pub use metrics::TransportMetrics;
pub use refusal::{CloseCode, Refusal};
pub use shaper::{LinkShaper, Shaper, ShaperError, ShaperOptions};

use alarm::Alarm;
use bytes::Bytes;
use config::Checks;
use framing::Hello;
use handshakes::HandshakeLimiter;
use link::{Bounds, Delay, Link};
use parking_lot::Mutex;
use quinn::Endpoint;
use refusal::RefusalCounters;
use roster::Roster;
use rustorium_crypto::SigningKey;
use rustorium_types::{ChainId, Class, PublicKey, ShardId, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Time that `close` waits at most for the last packets.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Receiver of network events. Its methods are called on the runtime's threads and must not block.
pub trait Handler: Send + Sync + 'static {
    /// Receives a frame. While its credit is held, less is read from that peer and class.
    fn frame(&self, frame: Frame);
    /// Reports that a validator's or follower's link came up or went down. Reports alternate per key, starting with up.
    fn link(&self, node_key: &PublicKey, up: bool);
    /// Reports that a peer ended its link, which was up, for another connection with this node's key. A process has
    /// only one connection to each peer at a time, so another process has the key too.
    fn replaced(&self, node_key: &PublicKey) {
        let _ = node_key;
    }
    /// Reports that this side or the other refused a connection.
    fn refused(&self, address: SocketAddr, why: &Refusal) {
        let _ = (address, why);
    }
    /// Reports that a loop that keeps or accepts links panicked. The loop is gone.
    fn panicked(&self, part: &'static str) {
        let _ = part;
    }
}

/// Reports a panic of the task that holds it to the handler.
pub(crate) struct Fuse {
    pub handler: Arc<dyn Handler>,
    pub part: &'static str,
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.handler.panicked(self.part);
        }
    }
}

/// The limiters of incoming connections: one for addresses of validators, one for all others.
#[derive(Clone, Debug)]
pub(crate) struct HandshakeLimiters {
    pub members: Arc<HandshakeLimiter>,
    pub strangers: Arc<HandshakeLimiter>,
}

/// The delays of all links of a node, in tests and in `devnet --regions`, and the clock that keeps them.
struct Delays {
    shaper: Arc<Shaper>,
    alarm: Arc<Alarm>,
}

/// State shared by all tasks of a transport.
pub(crate) struct Shared {
    pub identity: SigningKey,
    pub chain: ChainId,
    pub versions: Versions,
    pub endpoint: Endpoint,
    pub handler: Arc<dyn Handler>,
    pub roster: Arc<Roster>,
    /// True if only IPv4 addresses can be dialed.
    pub only_v4: bool,
    keys: Arc<tls::KnownKeys>,
    servers: endpoint::Servers,
    checks: Checks,
    bounds: Bounds,
    delays: Option<Delays>,
    turns: Mutex<BTreeMap<PublicKey, Weak<AsyncMutex<()>>>>,
    pub limiters: HandshakeLimiters,
    refusals: Arc<RefusalCounters>,
    /// Streams refused because this node doesn't host their shard.
    pub unhosted: Arc<AtomicU64>,
}

impl Shared {
    pub fn hello(&self, class: Class) -> Hello {
        Hello { chain: self.chain, class, versions: self.versions }
    }

    pub fn server_config(&self, address: SocketAddr) -> Arc<quinn::ServerConfig> {
        self.servers.of(address.ip(), self.roster.knows(address))
    }

    pub fn count_refusal(&self, why: &Refusal) {
        self.refusals[why.label_index()].fetch_add(1, Relaxed);
    }

    pub fn refused(&self, address: SocketAddr, why: &Refusal) {
        self.count_refusal(why);
        self.handler.refused(address, why);
    }

    /// Returns the lock that the session of this key holds.
    pub fn turn(&self, key: &PublicKey) -> Arc<AsyncMutex<()>> {
        let mut turns = self.turns.lock();
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(*key, Arc::downgrade(&turn));
        turn
    }

    /// Tells if this node's connections are the ones that count between the two. Those of the lower key do.
    pub fn dials(&self, link: &Link) -> bool {
        self.checks.identity < link.node_key && link.address().is_some()
    }

    fn make_link(&self, me: Option<ValidatorIndex>, peer: &Peer) -> Arc<Link> {
        let delay = self.delays.as_ref().zip(me).map(|(delays, me)| Delay {
            shaper: Mutex::new(delays.shaper.link(me, peer.index)),
            alarm: delays.alarm.clone(),
        });
        Arc::new(Link::new(peer.node_key, self.bounds.clone(), delay))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("roster", &self.roster).finish_non_exhaustive()
    }
}

/// A node's links, as one of its shards uses them: frames and places are that shard's. Clones share one transport. It ends
/// with `close` or with the last clone.
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
    shard: ShardId,
    stop_on_drop: Arc<StopOnDrop>,
}

#[derive(Debug)]
struct StopOnDrop {
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    runtime: Handle,
}

impl Transport {
    /// Starts to listen, and to link with every peer for as long as the transport lives. Peers and guests are the root
    /// shard's, and so is what is returned.
    pub fn start(config: Config, handler: Arc<dyn Handler>, runtime: &Handle) -> Result<Self, TransportError> {
        let socket = endpoint::bind(config.listen)?;
        Self::start_on(socket, config, handler, runtime)
    }

    /// Does what `start` does, on a socket that is already bound. `config.listen` only gives the socket's address
    /// family.
    pub fn start_on(
        socket: UdpSocket,
        config: Config,
        handler: Arc<dyn Handler>,
        runtime: &Handle,
    ) -> Result<Self, TransportError> {
        let checks = config.checked()?;
        checks.peers(config.me, &config.peers)?;
        let keys = tls::KnownKeys::new([], config.followers.strangers_max > 0);
        let servers = endpoint::Servers::new(&config.identity, keys.clone())?;
        let endpoint = endpoint::open(socket, &config, &servers, runtime)?;
        let delays = config.shaper.map(|shaper| -> Result<_, TransportError> {
            let alarm = Alarm::start().map_err(|source| TransportError::Alarm { source })?;
            Ok(Delays { shaper, alarm: Arc::new(alarm) })
        });
        let delays = delays.transpose()?;
        let shards = Arc::new(config.shards);
        let (queue_frames, queue_bytes) = (config.queue_frames, config.queue_bytes);
        let bounds = Bounds { queue_frames, queue_bytes, shards: shards.clone(), ..Bounds::default() };
        let shared = Arc::new(Shared {
            identity: config.identity,
            chain: config.chain,
            versions: config.versions,
            endpoint,
            handler,
            roster: Arc::new(Roster::new(config.followers, keys.clone(), shards)),
            only_v4: config.listen.is_ipv4(),
            keys,
            servers,
            checks,
            bounds,
            delays,
            turns: Mutex::default(),
            limiters: HandshakeLimiters {
                members: HandshakeLimiter::new(connect::MEMBERS),
                strangers: HandshakeLimiter::new(connect::STRANGERS),
            },
            refusals: Default::default(),
            unhosted: Arc::default(),
        });
        let (stop, stopping) = watch::channel(false);
        let stop_on_drop = StopOnDrop { stop, tasks: Mutex::default(), runtime: runtime.clone() };
        let transport = Self { shared: shared.clone(), shard: ShardId::ROOT, stop_on_drop: Arc::new(stop_on_drop) };
        transport.set_guests(config.guests);
        transport.set_peers(config.me, &config.peers)?;
        transport.stop_on_drop.tasks.lock().push(runtime.spawn(connect::accept(shared, stopping)));
        Ok(transport)
    }

    /// Returns the same links as another hosted shard uses them.
    pub fn for_shard(&self, shard: ShardId) -> Self {
        Self { shard, ..self.clone() }
    }

    /// Sets another committee of the shard, while everything runs. Links of node keys that stay, or are in another shard's
    /// committee, keep their connections and queues; others end, and new ones are dialed. When it returns, indices mean
    /// places in this committee. Frames of removed members may still be handed up for a moment, under their keys.
    pub fn set_peers(&self, me: Option<ValidatorIndex>, peers: &[Peer]) -> Result<(), TransportError> {
        let shared = &self.shared;
        let peers = shared.checks.peers(me, peers)?;
        let dialers = peers.iter().map(|peer| Ok((peer.node_key, endpoint::Dialer::new(&shared.identity, peer)?)));
        let mut dialers: BTreeMap<_, _> = dialers.collect::<Result<_, TransportError>>()?;
        // Another shard's thread may do the same.
        let mut tasks = self.stop_on_drop.tasks.lock();
        let others = shared.roster.keys_besides(self.shard);
        shared.keys.set(peers.iter().map(|peer| peer.node_key).chain(others));
        let new = shared.roster.set(self.shard, me, &peers, |peer| shared.make_link(me, peer));
        tasks.retain(|task| !task.is_finished());
        for (link, peer) in new {
            let Some(dialer) = dialers.remove(&peer.node_key) else { continue };
            let accepted = link.take_accepted();
            let stop = self.stop_on_drop.stop.subscribe();
            let task = connect::keep(shared.clone(), link, dialer, accepted, stop);
            tasks.push(self.stop_on_drop.runtime.spawn(task));
        }
        Ok(())
    }

    /// Sets other guests of the shard: keys outside the committee that are admitted by name, each with a place that
    /// strangers can't take. Links of former guests end.
    pub fn set_guests(&self, guests: BTreeSet<PublicKey>) {
        self.shared.roster.set_guests(self.shard, guests);
    }

    /// Ends the link of a node outside the committee, and refuses its key for `time`.
    pub fn bar(&self, node_key: &PublicKey, time: Duration) {
        self.shared.roster.bar(node_key, Instant::now() + time);
    }

    /// Tells if less than half of a class's send queue to this node key is in use; `None` if the key isn't linked.
    pub fn has_room(&self, node_key: &PublicKey, class: Class) -> Option<bool> {
        self.shared.roster.of(node_key)?.has_room(self.shard, class)
    }

    /// Queues a frame for a member of the committee. Callable from any thread; never blocks.
    pub fn send(&self, to: ValidatorIndex, class: Class, frame: Bytes) -> Result<(), SendError> {
        self.shared.roster.at(self.shard, to).ok_or(SendError::NoSuchPeer)?.send(self.shard, class, frame)
    }

    /// Queues a frame for the node with this key, a validator or a follower.
    pub fn send_to(&self, node_key: &PublicKey, class: Class, frame: Bytes) -> Result<(), SendError> {
        self.shared.roster.of(node_key).ok_or(SendError::NoSuchPeer)?.send(self.shard, class, frame)
    }

    /// Queues a frame for every validator whose link is up and has room. Returns their number.
    pub fn broadcast(&self, class: Class, frame: Bytes) -> usize {
        self.shared.roster.each_member(self.shard, |link| link.send(self.shard, class, frame.clone()).is_ok())
    }

    /// Queues a frame for every follower that has room. Returns their number.
    pub fn broadcast_followers(&self, class: Class, frame: Bytes) -> usize {
        self.shared.roster.each_follower(|link| link.send(self.shard, class, frame.clone()).is_ok())
    }

    /// Returns the version of the peer protocol that both ends of the link to the node with this key speak, or spoke
    /// last; the oldest one if they never greeted.
    pub fn version(&self, node_key: &PublicKey) -> u8 {
        let version = self.shared.roster.of(node_key).and_then(|link| link.version());
        version.unwrap_or(SPOKEN.oldest)
    }

    /// Returns the state of the links to the committee, in the order in which it was given.
    pub fn status(&self) -> Vec<LinkStatus> {
        self.shared.roster.links(self.shard).iter().map(|link| link.status()).collect()
    }

    /// Returns the state of the links to followers.
    pub fn followers(&self) -> Vec<LinkStatus> {
        self.shared.roster.followers().iter().map(|link| link.status()).collect()
    }

    /// Returns the address at which this node listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.endpoint.local_addr().ok()
    }

    /// Returns a collector of the transport's metrics for the node's registry.
    pub fn metrics(&self) -> TransportMetrics {
        TransportMetrics {
            roster: self.shared.roster.clone(),
            limiters: self.shared.limiters.clone(),
            refusals: self.shared.refusals.clone(),
            unhosted: self.shared.unhosted.clone(),
            late: self.shared.delays.as_ref().map(|delays| delays.alarm.late.clone()),
        }
    }

    /// Ends all links and tells the peers. Returns when both are done. The port is free soon after the last clone is
    /// gone.
    pub async fn close(&self) {
        self.stop_on_drop.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.stop_on_drop.tasks.lock());
        for task in tasks {
            // A task that panicked has also ended.
            let _ = task.await;
        }
        self.shared.endpoint.close(CloseCode::Shutdown.wire(), CloseCode::Shutdown.to_string().as_bytes());
        let _ = timeout(CLOSE_TIMEOUT, self.shared.endpoint.wait_idle()).await;
    }
}
