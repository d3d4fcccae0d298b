//! Links between validators over QUIC: pinned identities, framing, priorities, bounded queues and the delay shaper of tests.
//!
//! *Invariants:* knows no message's meaning; the peer of a link has proved the pinned key of its index; frames of one
//! class arrive in order, and none waits behind a less urgent class; everything that waits is bounded. A frame that was
//! taken is lost only with its link: when a link goes down, what waited for it is dropped, and the owner sends again.

mod config;
mod connect;
mod endpoint;
mod framing;
mod link;
mod metrics;
mod outbox;
mod refusal;
mod session;
mod shaper;
pub mod tls;
mod tuning;

#[cfg(test)]
mod tests;

pub use config::{Config, Peer, SendError, TransportError};
pub use framing::PROTOCOL_VERSION;
pub use link::{Credit, Frame, LinkStatus};
pub use metrics::TransportMetrics;
pub use refusal::{CloseCode, Refusal};
pub use shaper::{LinkShaper, Shaper, ShaperError, ShaperOptions};

use bytes::Bytes;
use framing::Hello;
use link::Link;
use parking_lot::Mutex;
use quinn::{Connection, Endpoint};
use refusal::RefusalCounters;
use rustorium_types::{ChainId, Class, PublicKey, ValidatorIndex};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What `close` waits for the last packets at most.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections of one peer that wait for the one before to end; a node makes one at a time.
const ACCEPTED_MAX: usize = 4;

/// What comes from the network. Called on the runtime's threads: it must not block.
pub trait Handler: Send + Sync + 'static {
    /// A frame came. While its credit is kept, less is read from that peer and class.
    fn frame(&self, frame: Frame);
    /// A link came up or went down; alternates per peer, starting with up.
    fn link(&self, peer: ValidatorIndex, up: bool);
    /// A connection was refused, by this side or the other.
    fn refused(&self, address: SocketAddr, why: &Refusal) {
        let _ = (address, why);
    }
}

/// What all tasks of a transport share.
pub(crate) struct Shared {
    pub me: ValidatorIndex,
    pub chain: ChainId,
    pub endpoint: Endpoint,
    pub handler: Arc<dyn Handler>,
    pub links: Vec<Arc<Link>>,
    positions: BTreeMap<ValidatorIndex, usize>,
    keys: BTreeMap<PublicKey, usize>,
    acceptors: BTreeMap<ValidatorIndex, mpsc::Sender<Connection>>,
    servers: endpoint::Servers,
    refusals: Arc<RefusalCounters>,
}

impl Shared {
    pub fn hello(&self, class: Class) -> Hello {
        Hello { chain: self.chain, sender: self.me, class }
    }

    pub fn server_config(&self, address: IpAddr) -> Arc<quinn::ServerConfig> {
        self.servers.of(address)
    }

    pub fn count_refusal(&self, why: &Refusal) {
        self.refusals[why.label_index()].fetch_add(1, Relaxed);
    }

    pub fn refused(&self, address: SocketAddr, why: &Refusal) {
        self.count_refusal(why);
        self.handler.refused(address, why);
    }

    /// A handshake is done: to the link of the proven key, or a knock if this node is the one that dials.
    pub fn accepted(&self, connection: Connection) {
        let key = tls::proven_key(&connection);
        let Some(link) = key.and_then(|key| self.keys.get(&key)).map(|position| &self.links[*position]) else {
            // The handshake let only pinned keys through.
            return connection.close(CloseCode::Unknown.wire(), b"no key");
        };
        match self.acceptors.get(&link.peer.index) {
            Some(acceptor) => {
                if let Err(refused) = acceptor.try_send(connection) {
                    refused.into_inner().close(CloseCode::Replaced.wire(), b"too many connections of one node");
                }
            }
            None => {
                connection.close(CloseCode::NotDialer.wire(), CloseCode::NotDialer.to_string().as_bytes());
                link.knock.notify_one();
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("me", &self.me).field("links", &self.links.len()).finish_non_exhaustive()
    }
}

/// A node's links. Clones are the same transport; it ends with `close` or with the last clone.
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
    lifeline: Arc<Lifeline>,
}

#[derive(Debug)]
struct Lifeline {
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Transport {
    /// Listens, and links with every peer for as long as the transport lives.
    pub fn start(config: Config, handler: Arc<dyn Handler>, runtime: &Handle) -> Result<Self, TransportError> {
        let socket = endpoint::bind(config.listen)?;
        Self::start_on(socket, config, handler, runtime)
    }

    /// The same on a socket that is bound already; `config.listen` says only which family it is of.
    pub fn start_on(
        socket: UdpSocket,
        config: Config,
        handler: Arc<dyn Handler>,
        runtime: &Handle,
    ) -> Result<Self, TransportError> {
        let peers = config.checked_peers()?;
        let keys: Vec<PublicKey> = peers.iter().map(|peer| peer.node_key).collect();
        let servers = endpoint::Servers::new(&config.identity, &keys)?;
        let clients = peers.iter().map(|peer| endpoint::client(&config.identity, peer));
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        let endpoint = endpoint::open(socket, &config, &servers, runtime)?;
        let links: Vec<_> = peers.into_iter().map(|peer| Arc::new(Link::new(peer, &config))).collect();
        let awaited = links.iter().map(|link| link.peer.index).filter(|index| *index < config.me);
        let (acceptors, mut inboxes): (BTreeMap<_, _>, BTreeMap<_, _>) = awaited
            .map(|index| {
                let (sender, receiver) = mpsc::channel(ACCEPTED_MAX);
                ((index, sender), (index, receiver))
            })
            .unzip();
        let shared = Arc::new(Shared {
            me: config.me,
            chain: config.chain,
            endpoint,
            handler,
            positions: links.iter().enumerate().map(|(i, link)| (link.peer.index, i)).collect(),
            keys: links.iter().enumerate().map(|(i, link)| (link.peer.node_key, i)).collect(),
            links,
            acceptors,
            servers,
            refusals: Default::default(),
        });
        let (stop, stopping) = watch::channel(false);
        let mut tasks = vec![runtime.spawn(connect::accept(shared.clone(), stopping.clone()))];
        for (link, client) in shared.links.iter().zip(clients) {
            let (shared, link, stopping) = (shared.clone(), link.clone(), stopping.clone());
            tasks.push(match inboxes.remove(&link.peer.index) {
                Some(inbox) => runtime.spawn(connect::await_dialer(shared, link, client, inbox, stopping)),
                None => runtime.spawn(connect::dial(shared, link, client, stopping)),
            });
        }
        Ok(Self { shared, lifeline: Arc::new(Lifeline { stop, tasks: Mutex::new(tasks) }) })
    }

    fn link(&self, index: ValidatorIndex) -> Option<&Arc<Link>> {
        self.shared.positions.get(&index).map(|position| &self.shared.links[*position])
    }

    /// Queues a frame. From any thread; never blocks.
    pub fn send(&self, to: ValidatorIndex, class: Class, frame: Bytes) -> Result<(), SendError> {
        self.link(to).ok_or(SendError::NoSuchPeer)?.send(class, frame)
    }

    /// Queues a frame for every peer whose link is up and has room; returns how many.
    pub fn broadcast(&self, class: Class, frame: Bytes) -> usize {
        self.shared.links.iter().filter(|link| link.send(class, frame.clone()).is_ok()).count()
    }

    /// How every link is doing, by the order of the configuration.
    pub fn status(&self) -> Vec<LinkStatus> {
        self.shared.links.iter().map(|link| link.status()).collect()
    }

    /// Where this node listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.endpoint.local_addr().ok()
    }

    /// Figures for the node's registry.
    pub fn metrics(&self) -> TransportMetrics {
        TransportMetrics::new(self.shared.links.clone(), self.shared.refusals.clone())
    }

    /// Ends all links, tells the peers, and returns when both have happened. The port is free soon after the last clone
    /// is gone.
    pub async fn close(&self) {
        self.lifeline.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.lifeline.tasks.lock());
        for task in tasks {
            // A task that panicked has ended too.
            let _ = task.await;
        }
        self.shared.endpoint.close(CloseCode::Shutdown.wire(), CloseCode::Shutdown.to_string().as_bytes());
        let _ = timeout(CLOSE_TIMEOUT, self.shared.endpoint.wait_idle()).await;
    }
}
