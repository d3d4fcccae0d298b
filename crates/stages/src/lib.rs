//! The work beside a shard's replica, one turn per call: signatures checked, blocks executed, state rooted, commits kept, questions answered, proofs made.
//!
//! *Invariants:* a stage starts no thread and decides nothing that validators agree on; the queues in front of it are
//! closed by whoever feeds it; nothing here knows a link between nodes.

pub mod block_proofs;
pub mod clients;
pub mod clock;
pub mod contained;
pub mod error;
pub mod executor;
pub mod inbox;
pub mod keeper;
pub mod mark;
pub mod metrics;
pub mod proofs;
pub mod proving;
pub mod queue;
pub mod recover;
pub mod restart;
pub mod room;
pub mod rooter;
pub mod rooting;
pub mod serving;
pub mod tables;
pub mod tree_rows;
pub mod verifier;
pub mod waiters;

pub use error::NodeError;
