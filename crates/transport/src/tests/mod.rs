//! Test nodes on loopback. Every wait is for an event; the one time limit only turns a hang into a failure.

mod changing;
mod flow;
mod identity;
mod lifecycle;
mod shaping;
mod shards;

use crate::framing::{CLASSES, Hello};
use crate::*;
use quinn::{ClientConfig, Connection, Endpoint, SendStream};
use rustorium_crypto::SigningKey;
use std::future::Future;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub const CHAIN: ChainId = ChainId([1; 32]);

#[derive(Debug)]
pub enum Event {
    Frame(Frame),
    Link(PublicKey, bool),
    Refused(Refusal),
}

struct Recorder(UnboundedSender<Event>);

impl Handler for Recorder {
    fn frame(&self, frame: Frame) {
        let _ = self.0.send(Event::Frame(frame));
    }

    fn link(&self, node_key: &PublicKey, up: bool) {
        let _ = self.0.send(Event::Link(*node_key, up));
    }

    fn refused(&self, _address: SocketAddr, why: &Refusal) {
        let _ = self.0.send(Event::Refused(why.clone()));
    }
}

pub struct Node {
    pub transport: Transport,
    pub events: UnboundedReceiver<Event>,
}

/// Keys, sockets and addresses of a committee whose nodes can be started one by one.
pub struct Committee {
    pub keys: Vec<SigningKey>,
    pub addresses: Vec<SocketAddr>,
    sockets: Vec<Option<UdpSocket>>,
}

impl Committee {
    /// Creates a committee with ascending keys, so that of two nodes the one with the lower number dials.
    pub fn new(n: u8) -> Self {
        let sockets: Vec<_> = (0..n).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let mut keys: Vec<_> = (0..n).map(|i| SigningKey::from_seed(&[i + 1; 32])).collect();
        keys.sort_by_key(SigningKey::public);
        Self {
            keys,
            addresses: sockets.iter().map(|socket| socket.local_addr().unwrap()).collect(),
            sockets: sockets.into_iter().map(Some).collect(),
        }
    }

    pub fn key(&self, i: u16) -> PublicKey {
        self.keys[usize::from(i)].public()
    }

    /// Returns a committee of some of the nodes, in this order.
    pub fn peers(&self, nodes: &[u16]) -> Vec<Peer> {
        let peer = |(place, node): (usize, &u16)| Peer {
            index: index(place as u16),
            node_key: self.key(*node),
            address: Some(self.addresses[usize::from(*node)].into()),
        };
        nodes.iter().enumerate().map(peer).collect()
    }

    pub fn config(&self, me: u16) -> Config {
        let all: Vec<u16> = (0..self.keys.len() as u16).collect();
        Config {
            me: Some(index(me)),
            listen: self.addresses[usize::from(me)],
            identity: self.keys[usize::from(me)].clone(),
            shards: Default::default(),
            chain: CHAIN,
            versions: SPOKEN,
            peers: self.peers(&all),
            queue_frames: Config::QUEUES.0,
            queue_bytes: Config::QUEUES.1,
            guests: Default::default(),
            followers: FollowerLimits::CLOSED,
            shaper: None,
        }
    }

    pub fn start(&mut self, me: u16) -> Node {
        let config = self.config(me);
        self.start_with(config)
    }

    pub fn start_with(&mut self, config: Config) -> Node {
        let (sender, events) = unbounded_channel();
        let place = self.addresses.iter().position(|address| *address == config.listen).unwrap();
        let socket = self.sockets[place].take();
        let socket = socket.unwrap_or_else(|| endpoint::bind(config.listen).unwrap());
        let transport = Transport::start_on(socket, config, Arc::new(Recorder(sender)), &Handle::current()).unwrap();
        Node { transport, events }
    }
}

pub fn index(i: u16) -> ValidatorIndex {
    ValidatorIndex(i)
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("the event never came")
}

impl Node {
    pub async fn next(&mut self) -> Event {
        within(self.events.recv()).await.unwrap()
    }

    pub async fn frame(&mut self) -> Frame {
        loop {
            if let Event::Frame(frame) = self.next().await {
                return frame;
            }
        }
    }

    pub async fn link(&mut self, expected: bool) {
        while !matches!(self.next().await, Event::Link(_, up) if up == expected) {}
    }

    /// Checks that this is the next event of a link.
    pub async fn link_of(&mut self, key: &PublicKey, expected: bool) {
        loop {
            if let Event::Link(of, up) = self.next().await {
                assert_eq!((of, up), (*key, expected));
                return;
            }
        }
    }

    pub async fn refusal(&mut self) -> Refusal {
        loop {
            if let Event::Refused(refusal) = self.next().await {
                return refusal;
            }
        }
    }

    pub fn send(&self, to: u16, class: Class, bytes: impl Into<Bytes>) {
        self.transport.send(index(to), class, bytes.into()).unwrap();
    }
}

/// Starts two nodes and waits until their link is up.
pub async fn pair() -> (Node, Node) {
    let mut committee = Committee::new(2);
    let (mut a, mut b) = (committee.start(0), committee.start(1));
    a.link(true).await;
    b.link(true).await;
    (a, b)
}

/// A handmade peer, which may misbehave.
pub struct RawPeer {
    pub connection: Connection,
    pub streams: Vec<SendStream>,
    _endpoint: Endpoint,
}

pub async fn raw_connect(
    client: ClientConfig,
    to: SocketAddr,
) -> Result<(Endpoint, Connection), quinn::ConnectionError> {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connection = within(endpoint.connect_with(client, to, tls::SERVER_NAME).unwrap()).await?;
    Ok((endpoint, connection))
}

impl RawPeer {
    /// Connects to node 1 as node 0 and sends the given greetings.
    pub async fn greet(committee: &Committee, hellos: impl Fn(Class) -> Vec<u8>) -> Self {
        let client = tls::peer_client_config(&committee.keys[0], &committee.keys[1].public()).unwrap();
        let (endpoint, connection) = raw_connect(client, committee.addresses[1]).await.unwrap();
        let mut streams = Vec::new();
        for class in CLASSES {
            // A refused peer may find its connection closed at any point here.
            let Ok(mut stream) = connection.open_uni().await else { break };
            let _ = stream.write_all(&hellos(class)).await;
            streams.push(stream);
        }
        Self { connection, streams, _endpoint: endpoint }
    }

    pub async fn greet_well(committee: &Committee) -> Self {
        let hello = |class| Hello { chain: CHAIN, class, versions: SPOKEN }.to_bytes().to_vec();
        Self::greet(committee, hello).await
    }

    pub async fn closed_with(&self) -> (CloseCode, String) {
        match within(self.connection.closed()).await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                (CloseCode::from_wire(close.error_code), String::from_utf8_lossy(&close.reason).into_owned())
            }
            other => panic!("closed otherwise: {other:?}"),
        }
    }
}
