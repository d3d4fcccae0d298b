//! A connection's session: it greets, carries frames on three streams each way and shard, and ends with a reason.
//!
//! *Invariants:* a link is up only when both sides have greeted on the root shard's three streams; the handler gets `up` before the
//! connection's first frame and `down` after its last; a stream that ends, ends the
//! connection.

use crate::framing::{CLASSES, Decoder, HELLO_BYTES, Hello, Step, gather};
use crate::link::{Frame, Link};
use crate::refusal::{CloseCode, Refusal};
use crate::shard_queues::ShardQueues;
use crate::shard_streams::{self, ShardStreams};
use crate::{Handler, Shared};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use rustorium_types::Class;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Time in which a connection must greet. After it, the connection is closed.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Approximate bytes of frames written with one call: enough to fill segmented datagrams, few enough to let others in.
const WRITE_BYTES: usize = 256 * 1024;
/// Number of packets' payloads read with one call.
const READ_CHUNKS: usize = 32;

/// Reason why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// This side closed it.
    Closed(CloseCode),
    /// Either side refused the other.
    Refused(Refusal),
    /// The peer has a newer connection with this node's key, which another process made.
    Replaced,
    /// The connection is gone.
    Lost(String),
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        match (Refusal::of(&error), error) {
            (Some(refusal), _) => Self::Refused(refusal),
            // Report nothing: the peer dials in a moment.
            (None, ConnectionError::ApplicationClosed(close)) if close.error_code == CloseCode::NotDialer.wire() => {
                Self::Closed(CloseCode::NotDialer)
            }
            (None, ConnectionError::ApplicationClosed(close)) if close.error_code == CloseCode::Replaced.wire() => {
                Self::Replaced
            }
            (None, ConnectionError::ApplicationClosed(close)) => {
                Self::Lost(format!("the peer closed it: {}", CloseCode::from_wire(close.error_code)))
            }
            (None, ConnectionError::Reset) => Self::Lost("the peer restarted (reset by peer)".into()),
            (None, error) => Self::Lost(error.to_string()),
        }
    }
}

impl From<WriteError> for End {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            other => Self::Lost(other.to_string()),
        }
    }
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => error.into(),
            other => Self::Lost(other.to_string()),
        }
    }
}

/// An end while the greeting is read.
impl From<ReadExactError> for End {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::FinishedEarly(_) => Refusal::BadHello("it ends early").into(),
            ReadExactError::ReadError(error) => error.into(),
        }
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

struct Streams {
    outgoing: [SendStream; 3],
    incoming: [RecvStream; 3],
    /// The version that both sides speak.
    version: u8,
}

/// Runs `connection` until it ends or `stop` asks to close it. Returns whether the link was up.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    connection: &Connection,
    stop: impl Future<Output = CloseCode>,
) -> bool {
    tokio::pin!(stop);
    let greeted = tokio::select! {
        biased;
        code = &mut stop => Err(End::Closed(code)),
        greeted = timeout(HELLO_TIMEOUT, greet(shared, connection)) => {
            greeted.unwrap_or(Err(End::Refused(Refusal::BadHello("it didn't come in time"))))
        }
    };
    match greeted {
        Ok(streams) => {
            carry(shared, link, connection, streams, stop).await;
            true
        }
        Err(end) => {
            finish(shared, link, connection, end);
            false
        }
    }
}

fn finish(shared: &Shared, link: &Link, connection: &Connection, end: End) {
    match end {
        End::Closed(code) => connection.close(code.wire(), code.to_string().as_bytes()),
        End::Refused(refusal) => {
            connection.close(refusal.close_code().wire(), refusal.to_string().as_bytes());
            link.note(refusal.to_string());
            shared.refused(connection.remote_address(), &refusal);
        }
        End::Replaced => link.note("another process took it over, with this node's key".into()),
        End::Lost(why) => {
            connection.close(CloseCode::StreamEnded.wire(), why.as_bytes());
            link.note(why);
        }
    }
}

async fn greet(shared: &Shared, connection: &Connection) -> Result<Streams, End> {
    let [consensus, data, sync] = CLASSES;
    let mut outgoing =
        [open(connection, consensus).await?, open(connection, data).await?, open(connection, sync).await?];
    for (class, stream) in CLASSES.into_iter().zip(&mut outgoing) {
        stream.write_all(&shared.hello(class).to_bytes()).await?;
    }
    let (mut incoming, mut spoken) = ([None, None, None], None);
    for _ in CLASSES {
        let mut stream = connection.accept_uni().await?;
        let mut bytes = [0; HELLO_BYTES];
        stream.read_exact(&mut bytes).await?;
        let (hello, version) = Hello::parse(&bytes, &shared.chain, shared.versions)?;
        if *spoken.get_or_insert(version) != version {
            return Err(Refusal::BadHello("its streams differ in their versions").into());
        }
        if incoming[hello.class as usize].replace(stream).is_some() {
            return Err(Refusal::BadHello("two streams of one class").into());
        }
    }
    let ([Some(consensus), Some(data), Some(sync)], Some(version)) = (incoming, spoken) else {
        return Err(Refusal::BadHello("a class has no stream").into());
    };
    Ok(Streams { outgoing, incoming: [consensus, data, sync], version })
}

pub(crate) async fn open(connection: &Connection, class: Class) -> Result<SendStream, End> {
    let stream = connection.open_uni().await?;
    // This fails only for a closed stream, which the next write reports.
    let _ = stream.set_priority(priority(class));
    Ok(stream)
}

/// Returns the priority of a class's streams.
pub(crate) fn priority(class: Class) -> i32 {
    -i32::from(class as u8)
}

async fn carry(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    connection: &Connection,
    streams: Streams,
    stop: impl Future<Output = CloseCode>,
) {
    // The last session of this node key may still be ending. The handler's reports about a key must alternate.
    let turn = shared.turn(&link.node_key);
    let _held = turn.lock().await;
    link.raise(connection.clone(), streams.version);
    shared.handler.link(&link.node_key, true);
    let mut tasks = JoinSet::new();
    for (class, stream) in CLASSES.into_iter().zip(streams.outgoing) {
        tasks.spawn(send(link.clone(), class, stream));
    }
    for (class, stream) in CLASSES.into_iter().zip(streams.incoming) {
        tasks.spawn(read(link.clone(), shared.handler.clone(), class, stream));
    }
    let further = ShardStreams::new(link, connection, streams.version);
    for queues in further.of(link) {
        for class in CLASSES {
            tasks.spawn(shard_streams::send(link.clone(), queues.clone(), class, connection.clone()));
        }
    }
    let end = until_the_end(shared, link, connection, further, &mut tasks, stop).await;
    let replaced = matches!(end, End::Replaced);
    // Close before the streams are dropped, which would end them without a reason. Note the reason before anyone asks.
    finish(shared, link, connection, end);
    tasks.shutdown().await;
    if replaced {
        shared.handler.replaced(&link.node_key);
    }
    link.lower();
    shared.handler.link(&link.node_key, false);
}

/// Takes the peer's further streams, until something ends the session.
async fn until_the_end(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    connection: &Connection,
    further: Arc<ShardStreams>,
    tasks: &mut JoinSet<Result<(), End>>,
    stop: impl Future<Output = CloseCode>,
) -> End {
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            code = &mut stop => return End::Closed(code),
            // The connection's error comes first: its streams have the same error, but this one has the reason.
            error = connection.closed() => return error.into(),
            end = tasks.join_next() => match end {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(end))) => return end,
                _ => return End::Lost("handling a frame failed".into()),
            },
            stream = connection.accept_uni() => match stream {
                Ok(stream) => _ = tasks.spawn(further.clone().read(shared.clone(), link.clone(), stream)),
                Err(error) => return error.into(),
            },
        }
    }
}

/// Sends the root shard's frames of one class.
async fn send(link: Arc<Link>, class: Class, mut stream: SendStream) -> Result<(), End> {
    Err(write(&link, &link.root, class, &mut stream).await.into())
}

/// Writes a shard's frames of one class, until the stream fails.
pub(crate) async fn write(link: &Link, queues: &ShardQueues, class: Class, stream: &mut SendStream) -> WriteError {
    let counters = &link.counters[class as usize];
    let (mut frames, mut chunks) = (Vec::new(), Vec::new());
    loop {
        link.take(queues, class, WRITE_BYTES, &mut frames).await;
        if let Some(pace) = &link.bounds.sent {
            pace.pass(frames.iter().map(Bytes::len).sum()).await;
        }
        counters.sent_frames.fetch_add(frames.len() as u64, Relaxed);
        counters.sent_bytes.fetch_add(frames.iter().map(|frame| frame.len() as u64).sum(), Relaxed);
        gather(&mut frames, &mut chunks);
        if let Err(error) = stream.write_all_chunks(&mut chunks).await {
            return error;
        }
        chunks.clear();
    }
}

async fn read(link: Arc<Link>, handler: Arc<dyn Handler>, class: Class, mut stream: RecvStream) -> Result<(), End> {
    read_frames(&link, &*handler, (&link.root, class), &mut stream).await?;
    Err(End::Lost("the peer ended a stream".into()))
}

/// Hands up a shard's frames of one class, until the stream ends.
pub(crate) async fn read_frames(
    link: &Link,
    handler: &dyn Handler,
    (queues, class): (&ShardQueues, Class),
    stream: &mut RecvStream,
) -> Result<(), End> {
    let counters = &link.counters[class as usize];
    let mut chunks: [Bytes; READ_CHUNKS] = Default::default();
    let mut decoder = Decoder::default();
    let mut credit = None;
    while let Some(count) = stream.read_chunks(&mut chunks).await? {
        for chunk in &mut chunks[..count] {
            loop {
                match decoder.step(chunk)? {
                    Step::More => break,
                    Step::Announced(bytes) => {
                        if let Some(pace) = &link.bounds.read {
                            pace.pass(bytes).await;
                        }
                        if class == Class::Consensus {
                            queues.consensus.pass(bytes).await;
                        }
                        credit = Some(queues.credit(class, bytes).await);
                    }
                    Step::Complete(bytes) => {
                        counters.received_frames.fetch_add(1, Relaxed);
                        counters.received_bytes.fetch_add(bytes.len() as u64, Relaxed);
                        link.hear();
                        let credit = credit.take().unwrap_or_default();
                        handler.frame(Frame { from: link.node_key, shard: queues.shard, class, bytes, credit });
                    }
                }
            }
            *chunk = Bytes::new();
        }
    }
    Ok(())
}
