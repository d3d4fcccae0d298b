//! Attacks a node's UDP ports as an outsider can: `flood MODE peer|client ADDRESS NODE_KEY_HEX COUNT`, one JSON line at its
//! end. Tests of real nodes run it; it knows no secret of theirs.
//!
//! - `garbage`: COUNT datagrams of random bytes and of what looks like QUIC, as fast as they go.
//! - `silent`: COUNT good first packets, each from a port of its own, and no answer to any answer.
//! - `handshakes`: COUNT handshakes, each ended when it is done.
//! - `hold`: COUNT connections, with as many streams as the node lets open and one byte on each, kept until standard input
//!   ends.
//! - `fill`: the same, and connections until COUNT of them were refused.
//! - `follow`: COUNT nodes that follow, each with a key of its own, and ask for history and send transactions of accounts that
//!   don't exist as fast as they are read, until standard input ends. `FLOOD_CHAIN`: the chain's id, hex.
//!
//! `refused` counts connections that the node turned away (QUIC's CONNECTION_REFUSED), `failed` those that ended otherwise:
//! on a busy machine a handshake may time out on either side, which no counter of refusals shows.

use bytes::Bytes;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TransportErrorCode};
use rustorium_crypto::SigningKey;
use rustorium_transport::{Config, FollowerLimits, Frame, Handler, Peer, SPOKEN, SendError, Transport, tls};
use rustorium_types::{
    AccountId, BoundedVec, ChainId, Class, Hash, Height, Message, PublicKey, Request, Transaction, Transaction1,
    TransactionBody, ValidatorIndex,
};
use std::error::Error;
use std::io::{ErrorKind, Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::time::timeout;

type Fault = Box<dyn Error + Send + Sync>;

/// What nobody has answered by then is not answered.
const PATIENCE: Duration = Duration::from_secs(8);
/// A node repeats an answer at most this long after the one before, while it waits for a handshake to end.
const QUIET: Duration = Duration::from_secs(3);
/// Connections whose streams are counted.
const SAMPLES: usize = 4;
/// Connections that `fill` tries for each that is to be refused.
const TRIES: usize = 64;
/// Ports that garbage comes from.
const SOCKETS: usize = 64;

struct Attack {
    mode: String,
    peer: bool,
    address: SocketAddr,
    node_key: [u8; 32],
    count: usize,
}

impl Attack {
    fn parse() -> Option<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [mode, port, address, node_key, count] = words.as_slice() else { return None };
        let mut key = [0; 32];
        for (byte, digits) in key.iter_mut().zip(node_key.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self {
            mode: mode.clone(),
            peer: port == "peer",
            address: address.parse().ok()?,
            node_key: key,
            count: count.parse().ok()?,
        })
    }

    /// A client of the port, with a key that no validator has.
    fn client(&self) -> Result<ClientConfig, Fault> {
        Ok(if self.peer {
            tls::peer_client_config(&SigningKey::generate(), &self.node_key)?
        } else {
            tls::client_api_client(&self.node_key)?
        })
    }
}

/// SplitMix64.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn socket() -> Result<UdpSocket, Fault> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Bytes that wait on a socket.
fn drain(socket: &UdpSocket, buffer: &mut [u8]) -> Result<u64, Fault> {
    let mut received = 0;
    loop {
        match socket.recv(buffer) {
            Ok(bytes) => received += bytes as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(received),
            // What an earlier datagram met: a port that is closed, when the node has just ended.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn send(socket: &UdpSocket, datagram: &[u8], address: SocketAddr) -> Result<u64, Fault> {
    match socket.send_to(datagram, address) {
        Ok(bytes) => Ok(bytes as u64),
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::ConnectionRefused].contains(&error.kind()) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn garbage(attack: &Attack) -> Result<String, Fault> {
    let sockets = (0..SOCKETS).map(|_| socket()).collect::<Result<Vec<_>, _>>()?;
    let (mut draws, mut buffer) = (Draws(1), vec![0; 65_536]);
    let (mut sent, mut received) = (0, 0);
    for number in 0..attack.count {
        let len = 1 + draws.next() as usize % 1_400;
        let mut datagram = draws.bytes(len);
        if number % 3 == 0 {
            // A first packet of version 1 by its looks, or of a version that nobody has, long enough to be answered.
            datagram.resize(1_200 + len % 200, 7);
            let version = if number % 2 == 0 { [0, 0, 0, 1] } else { [0x1a, 0x2a, 0x3a, 0x4a] };
            datagram[0] = 0xc0 | (datagram[0] & 0x0f);
            datagram[1..5].copy_from_slice(&version);
            datagram[5] = 8;
        }
        let socket = &sockets[number % SOCKETS];
        sent += send(socket, &datagram, attack.address)?;
        received += drain(socket, &mut buffer)?;
    }
    Ok(format!(r#"{{"datagrams": {}, "sent_bytes": {sent}, "received_bytes": {received}}}"#, attack.count))
}

/// A good first packet of a connection of its own.
fn first_packet(client: &ClientConfig, address: SocketAddr, now: Instant) -> Result<Vec<u8>, Fault> {
    let mut endpoint = quinn_proto::Endpoint::new(Arc::default(), None, false, None);
    let (_, mut connection) = endpoint.connect(now, client.clone(), address, tls::SERVER_NAME)?;
    let mut datagram = Vec::new();
    let transmit = connection.poll_transmit(now, 1, &mut datagram).ok_or("no first packet")?;
    datagram.truncate(transmit.size);
    Ok(datagram)
}

/// For as long as answers come: more than three times what was sent to any port is amplification.
fn silent(attack: &Attack) -> Result<String, Fault> {
    let (client, now) = (attack.client()?, Instant::now());
    let (mut ports, mut buffer) = (Vec::new(), vec![0; 65_536]);
    for _ in 0..attack.count {
        let (socket, packet) = (socket()?, first_packet(&client, attack.address, now)?);
        let sent = send(&socket, &packet, attack.address)?;
        ports.push((socket, sent, 0));
    }
    let mut last = Instant::now();
    while last.elapsed() < QUIET {
        for (socket, _, received) in &mut ports {
            let more = drain(socket, &mut buffer)?;
            *received += more;
            if more > 0 {
                last = Instant::now();
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (sent, received) = ports.iter().fold((0, 0), |(a, b), (_, sent, received)| (a + sent, b + received));
    let answered = ports.iter().filter(|(.., received)| *received > 0).count();
    let worst = ports.iter().map(|(_, sent, received)| received * 1_000 / (*sent).max(1)).max().unwrap_or(0);
    Ok(format!(
        r#"{{"ports": {}, "answered": {answered}, "sent_bytes": {sent}, "received_bytes": {received}, "worst_permille": {worst}}}"#,
        ports.len()
    ))
}

/// How an attempt to connect ended.
enum Attempt {
    Connected(Connection),
    Refused,
    Failed,
}

async fn connect(attack: &Attack, endpoint: &Endpoint) -> Result<Attempt, Fault> {
    let connecting = endpoint.connect_with(attack.client()?, attack.address, tls::SERVER_NAME)?;
    Ok(match timeout(PATIENCE, connecting).await {
        Ok(Ok(connection)) => Attempt::Connected(connection),
        Ok(Err(ConnectionError::ConnectionClosed(close)))
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            Attempt::Refused
        }
        _ => Attempt::Failed,
    })
}

async fn handshakes(attack: &Attack) -> Result<String, Fault> {
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let (mut done, mut refused, mut failed) = (0, 0, 0);
    for _ in 0..attack.count {
        match connect(attack, &endpoint).await? {
            Attempt::Connected(connection) => {
                done += 1;
                connection.close(0u32.into(), b"");
            }
            Attempt::Refused => refused += 1,
            Attempt::Failed => failed += 1,
        }
    }
    Ok(format!(r#"{{"done": {done}, "refused": {refused}, "failed": {failed}}}"#))
}

async fn open_streams(connection: &Connection) -> usize {
    let mut streams = Vec::new();
    // As many as are allowed at once: the next would wait for ever.
    while let Ok(Ok(mut stream)) = timeout(Duration::from_millis(100), connection.open_uni()).await {
        let _ = stream.write(&[0]).await;
        streams.push(stream);
    }
    while let Ok(Ok((mut stream, receive))) = timeout(Duration::from_millis(100), connection.open_bi()).await {
        let _ = stream.write(&[0]).await;
        std::mem::forget(receive);
        streams.push(stream);
    }
    let count = streams.len();
    // Dropping a stream would end it.
    std::mem::forget(streams);
    count
}

async fn hold(attack: &Attack, until_refused: bool) -> Result<String, Fault> {
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let (mut held, mut refused, mut failed, mut streams) = (Vec::new(), 0, 0, 0);
    let tries = if until_refused { attack.count * TRIES } else { attack.count };
    for _ in 0..tries {
        match connect(attack, &endpoint).await? {
            Attempt::Connected(connection) => held.push(connection),
            Attempt::Refused => refused += 1,
            Attempt::Failed => failed += 1,
        }
        if until_refused && refused == attack.count {
            break;
        }
    }
    // The newest: the node ends those that say nothing for some seconds.
    for connection in held.iter().rev().take(SAMPLES) {
        streams = streams.max(open_streams(connection).await);
    }
    let connected = held.len();
    writeln!(
        stdout(),
        r#"{{"connected": {connected}, "refused": {refused}, "failed": {failed}, "streams_of_one": {streams}}}"#
    )?;
    stdout().flush()?;
    tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new())).await??;
    let left = held.iter().filter(|connection| connection.close_reason().is_none()).count();
    Ok(format!(r#"{{"left": {left}}}"#))
}

/// What came back.
#[derive(Default)]
struct Heard {
    ups: AtomicU64,
    answers: AtomicU64,
    bytes: AtomicU64,
}

struct FrameCounter(Arc<Heard>);

impl Handler for FrameCounter {
    fn frame(&self, frame: Frame) {
        self.0.answers.fetch_add(1, Relaxed);
        self.0.bytes.fetch_add(frame.bytes.len() as u64, Relaxed);
    }

    fn link(&self, _: &PublicKey, up: bool) {
        self.0.ups.fetch_add(u64::from(up), Relaxed);
    }
}

/// Signed by nobody, of an account that isn't there.
fn transaction(chain: ChainId, draws: &mut Draws) -> Result<Transaction, Fault> {
    let key: [u8; 32] = draws.bytes(32).try_into().map_err(|_| "32 bytes")?;
    let body = TransactionBody {
        version: 1,
        chain,
        sender: AccountId(key),
        public_key: key,
        nonce: 0,
        expires_at_ms: u64::MAX,
        work_limit: 100_000,
        shard_hint: None,
        location: None,
        data: BoundedVec::default(),
    };
    Ok(Transaction1 { body, signature: [7; 64] }.into())
}

fn follower(attack: &Attack, chain: ChainId, heard: Arc<Heard>) -> Result<Transport, Fault> {
    let peer = Peer { index: ValidatorIndex(0), node_key: attack.node_key, address: Some(attack.address.into()) };
    let (queue_frames, queue_bytes) = Config::QUEUES;
    let config = Config {
        me: None,
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        identity: SigningKey::generate(),
        shards: Default::default(),
        chain,
        versions: SPOKEN,
        peers: vec![peer],
        queue_frames,
        queue_bytes,
        guests: Default::default(),
        followers: FollowerLimits::CLOSED,
        shaper: None,
    };
    Ok(Transport::start(config, Arc::new(FrameCounter(heard)), &tokio::runtime::Handle::current())?)
}

async fn follow(attack: &Attack) -> Result<String, Fault> {
    let chain = ChainId(Hash::from_hex(&std::env::var("FLOOD_CHAIN")?)?.0);
    let (mut draws, heard) = (Draws(3), Arc::<Heard>::default());
    let transactions = (0..1_000).map(|_| transaction(chain, &mut draws)).collect::<Result<Vec<_>, _>>()?;
    let transactions = Bytes::from(Message::Transactions(BoundedVec::new(transactions)?).to_frame());
    let question = |id| {
        let request = Request::FinalBlocks { first: Height(1), count: 256 };
        Bytes::from(Message::Request { id, request }.to_frame())
    };
    let followers = (0..attack.count).map(|_| follower(attack, chain, heard.clone())).collect::<Result<Vec<_>, _>>()?;
    while heard.ups.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writeln!(stdout(), r#"{{"linked": {}}}"#, heard.ups.load(Relaxed))?;
    stdout().flush()?;
    let ended = tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new()));
    let (mut sent, mut id) = (0u64, 0u64);
    while !ended.is_finished() {
        for follower in &followers {
            for (class, frame) in [(Class::Sync, question(id)), (Class::Data, transactions.clone())] {
                let bytes = frame.len() as u64;
                match follower.send(ValidatorIndex(0), class, frame) {
                    Ok(()) => sent += bytes,
                    Err(SendError::Full | SendError::Down) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            id += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(format!(
        r#"{{"linked": {}, "sent_bytes": {sent}, "answers": {}, "received_bytes": {}}}"#,
        heard.ups.load(Relaxed),
        heard.answers.load(Relaxed),
        heard.bytes.load(Relaxed)
    ))
}

fn main() -> Result<(), Fault> {
    let attack = Attack::parse().ok_or("usage: flood MODE peer|client ADDRESS NODE_KEY_HEX COUNT")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let said = match attack.mode.as_str() {
        "garbage" => garbage(&attack)?,
        "silent" => silent(&attack)?,
        "handshakes" => runtime.block_on(handshakes(&attack))?,
        "hold" => runtime.block_on(hold(&attack, false))?,
        "fill" => runtime.block_on(hold(&attack, true))?,
        "follow" => runtime.block_on(follow(&attack))?,
        other => return Err(format!("there is no mode {other}").into()),
    };
    writeln!(stdout(), "{said}")?;
    Ok(())
}
