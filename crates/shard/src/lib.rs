//! One shard's replica as a machine: block rules, lanes, votes, epochs and recovery; events in, calls on `Ports` out.
//!
//! *Invariants:* no thread, clock, socket or file: time is an argument, and everything outside is behind `Ports`; it names
//! neither links nor the clients' servers.

pub mod context;
pub mod fair;
pub mod log_marks;
pub mod periods;
pub mod port;
pub mod rules;
pub mod senders;
mod shard;
pub mod turns;

pub use shard::{
    BlockAhead, CheckedCertificate, EndReason, EndedEpoch, Event, Executed, ExecutionJob, FalseBatch, Floor, Holdings,
    JournalSizes, Journaled, LiveRecords, Now, Ports, Records, Shard, SignerEvent, SkippedHome, Stage, WorkConfig,
};
