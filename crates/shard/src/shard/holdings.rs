//! Counts of what a shard keeps in memory, for tests that assert that all of it is bounded.

use super::{Ports, Shard};

/// Counts of the things that a shard keeps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Holdings {
    /// Certificates that are whole in memory.
    pub certificates: usize,
    /// Votes in memory.
    pub votes: usize,
    /// Blocks above the newest one handed to execution.
    pub blocks: usize,
    /// Batches of the lane that has most of them.
    pub lane_batches_max: usize,
    /// Bytes of the lane that has most of them.
    pub lane_bytes_max: u64,
    /// Wants of the fetcher.
    pub wants: usize,
    /// Transactions in the pool.
    pub pool: usize,
    /// Frames that wait for the journal.
    pub outbox: usize,
    /// Views with own votes for which no certificate is known yet.
    pub own_views: usize,
}

impl<P: Ports> Shard<P> {
    /// Counts what this shard keeps.
    pub fn holdings(&self) -> Holdings {
        let (certificates, votes) = self.votes.sizes();
        Holdings {
            certificates,
            votes,
            blocks: self.tree.len(),
            lane_batches_max: self.batches.lanes().held_of_each().map(|(batches, _)| batches).max().unwrap_or(0),
            lane_bytes_max: self.batches.lanes().held_of_each().map(|(_, bytes)| bytes).max().unwrap_or(0),
            wants: self.fetching.len(),
            pool: self.own_lane.pool().len(),
            outbox: self.journal.waiting(),
            own_views: self.votes.open_views(),
        }
    }
}
