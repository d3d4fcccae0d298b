//! The work beside a shard's replica, one turn per call: checks signatures, executes blocks, roots the state, keeps commits, answers questions, makes proofs.
//!
//! *Invariants:* a stage starts no thread and decides nothing that validators agree on; whoever feeds the queues in
//! front of the stages closes them; nothing here knows a link between nodes.

pub mod activating;
pub mod block_proofs;
pub mod clients;
pub mod clock;
pub mod contained;
pub mod decisions;
pub mod durability;
mod epoch_ends;
pub mod error;
pub mod executor;
pub mod inbox;
pub mod journal_records;
pub mod lane_junk;
pub mod mark;
pub mod metrics;
pub mod owner_wishes;
pub mod owners_end;
pub mod proofs;
pub mod proving;
pub mod queue;
pub mod replica;
pub mod room;
pub mod rooter;
pub mod rooting;
pub mod serving;
pub mod tables;
pub mod tree_rows;
pub mod verifier;
pub mod waiters;

pub use error::NodeError;
pub use replica::Replica;
