//! One node's release stages without threads, over a clock, links and a disk that a simulation moves.
//!
//! *Invariants:* nothing is modelled but time, links and disk: shard, checks, execution, roots and keeping are the data
//! plane's own; what takes time in a node is a stage that ends when the simulation says so; the same calls give the same
//! answers to the last bit.

mod calls;
mod chain;
mod disk;
pub mod forge;
mod journal;
mod node;
mod ports;

pub use calls::Calls;
pub use chain::Chain;
pub use disk::SimDisk;
pub use journal::SimJournal;
pub use node::{Answer, Keys, Outcome, SimNode, Stage};
pub use ports::Sent;
