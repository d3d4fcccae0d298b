//! The queues and credits of one shard's frames on a link.
//!
//! *Invariants:* frames read and not yet processed are bounded per class, also across reconnects; no shard uses the room of
//! another one.

use crate::framing::CLASSES;
use crate::link::{Bounds, Credit};
use crate::outbox::Outbox;
use crate::pace::Pace;
use rustorium_types::{Class, ShardId};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Frames and bytes of consensus that may be read from a peer and not yet processed.
const CONSENSUS_READ: (usize, usize) = (512, 4 * 1024 * 1024);

/// Frames of consensus that are read from a peer in a second. An honest member sends about 2.6 a block, so this is no
/// limit below 1,500 blocks a second. Above that rate it slows both sides down alike.
pub(crate) const CONSENSUS_FRAMES_PER_S: u32 = 4_000;

#[derive(Debug)]
pub(crate) struct ShardQueues {
    pub shard: ShardId,
    pub outboxes: [Outbox; 3],
    /// Rate of consensus frames that are read.
    pub consensus: Pace,
    credits: [Arc<Semaphore>; 3],
    credit_units: [usize; 3],
    credit_max: [usize; 3],
}

impl ShardQueues {
    pub fn new(shard: ShardId, bounds: &Bounds) -> Self {
        let (mut read_frames, mut read_bytes) = (bounds.queue_frames, bounds.queue_bytes);
        let consensus = Class::Consensus as usize;
        read_frames[consensus] = read_frames[consensus].min(CONSENSUS_READ.0);
        read_bytes[consensus] = read_bytes[consensus].min(CONSENSUS_READ.1);
        let credit_max = read_bytes.map(|bytes| bytes.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS));
        // A frame costs its bytes, but at least a fixed share, so that the number of frames is bounded too.
        let credit_units = CLASSES.map(|c| credit_max[c as usize].div_ceil(read_frames[c as usize]));
        Self {
            shard,
            outboxes: CLASSES.map(|c| Outbox::new(bounds.queue_frames[c as usize], bounds.queue_bytes[c as usize])),
            consensus: Pace::new(CONSENSUS_FRAMES_PER_S, 0),
            credits: credit_max.map(|max| Arc::new(Semaphore::new(max))),
            credit_units,
            credit_max,
        }
    }

    /// Waits until a frame of `bytes` may be read.
    pub async fn credit(&self, class: Class, bytes: usize) -> Credit {
        let class = class as usize;
        let cost = bytes.max(self.credit_units[class]).min(self.credit_max[class]);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        // The semaphore is never closed. If it were, there would only be no bound.
        Credit::of(self.credits[class].clone().acquire_many_owned(cost).await.ok())
    }

    pub fn open(&self) {
        self.outboxes.iter().for_each(Outbox::open);
    }

    pub fn close(&self) {
        self.outboxes.iter().for_each(Outbox::close);
    }
}
