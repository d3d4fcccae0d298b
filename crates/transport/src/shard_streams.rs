//! The streams of other shards than the root, on a connection whose sides have greeted (`link_version::SHARDS`).
//!
//! *Invariants:* a stream of a shard that this side doesn't host is refused and counted, and the link stays; a peer has as
//! many streams at a time as this side's shards need, and three more.

use crate::framing::{SHARD_HELLO_BYTES, ShardHello};
use crate::link::Link;
use crate::pace::Pace;
use crate::refusal::Refusal;
use crate::session::{End, HELLO_TIMEOUT, priority, read_frames, write};
use crate::shard_queues::ShardQueues;
use crate::{Shared, tuning};
use parking_lot::Mutex;
use quinn::{Connection, RecvStream, VarInt, WriteError};
use rustorium_types::{Class, ShardId, link_version};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::timeout;

/// Code of a stream that is refused because this side doesn't host its shard.
const NOT_HOSTED: VarInt = VarInt::from_u32(1);
/// Streams that a peer opens in a second.
const STREAMS_PER_S: u32 = 64;

/// The further streams of one connection.
pub(crate) struct ShardStreams {
    speaks: bool,
    pace: Pace,
    greeted: Mutex<BTreeSet<(ShardId, Class)>>,
}

impl ShardStreams {
    /// Lets the peer open its streams if it speaks of shards.
    pub fn new(link: &Link, connection: &Connection, version: u8) -> Arc<Self> {
        let speaks = version >= link_version::SHARDS;
        if speaks {
            tuning::widen(connection, link.others.len(), link.index().is_some());
        }
        Arc::new(Self { speaks, pace: Pace::new(STREAMS_PER_S, 0), greeted: Mutex::default() })
    }

    /// Returns the queues that have streams of their own.
    pub fn of<'a>(&self, link: &'a Link) -> &'a [Arc<ShardQueues>] {
        if self.speaks { &link.others } else { &[] }
    }

    /// Reads a stream that the peer opened. Returns without an error if it was refused.
    pub async fn read(
        self: Arc<Self>,
        shared: Arc<Shared>,
        link: Arc<Link>,
        mut stream: RecvStream,
    ) -> Result<(), End> {
        if !self.speaks {
            return Err(Refusal::BadHello("it opened a stream too many").into());
        }
        self.pace.pass(0).await;
        let mut bytes = [0; SHARD_HELLO_BYTES];
        let late = Refusal::BadHello("a stream's greeting didn't come in time");
        let read = timeout(HELLO_TIMEOUT, stream.read_exact(&mut bytes)).await.map_err(|_| End::from(late))?;
        read?;
        let ShardHello { shard, class } = ShardHello::parse(&bytes)?;
        let Some(queues) = link.others.iter().find(|queues| queues.shard == shard) else {
            shared.unhosted.fetch_add(1, Relaxed);
            // This fails only for a stream that the peer has ended.
            let _ = stream.stop(NOT_HOSTED);
            return Ok(());
        };
        if !self.greeted.lock().insert((shard, class)) {
            return Err(Refusal::BadHello("two streams of one shard and class").into());
        }
        let queues = queues.clone();
        read_frames(&link, &*shared.handler, (&queues, class), &mut stream).await?;
        Err(End::Lost("the peer ended a stream".into()))
    }
}

/// Sends a shard's frames of one class. Returns without an error if the peer doesn't host the shard; frames are not
/// accepted then until the next connection.
pub(crate) async fn send(
    link: Arc<Link>,
    queues: Arc<ShardQueues>,
    class: Class,
    connection: Connection,
) -> Result<(), End> {
    // The greeting goes at the default priority: behind the frames of other classes it might come too late.
    let mut stream = connection.open_uni().await?;
    let hello = ShardHello { shard: queues.shard, class }.to_bytes();
    let stopped = stream.stopped();
    let sent = async {
        match stream.write_all(&hello).await {
            Ok(()) => {
                // This fails only for a stream that has ended, and then writing does, too.
                let _ = stream.set_priority(priority(class));
                write(&link, &queues, class, &mut stream).await
            }
            Err(error) => error,
        }
    };
    let error = tokio::select! {
        error = sent => error,
        code = stopped => match code {
            Ok(Some(code)) => WriteError::Stopped(code),
            // The stream is only ended by its writer; the connection's end comes to it, too.
            _ => WriteError::ClosedStream,
        },
    };
    match error {
        WriteError::Stopped(_) => {
            queues.outboxes[class as usize].close();
            Ok(())
        }
        error => Err(error.into()),
    }
}
