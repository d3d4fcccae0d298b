//! One node's release stages without threads, over a clock, links and a disk that a simulation controls.
//!
//! *Invariants:* only time, links and disk are modelled: shard, checks, execution, roots and keeping are the data
//! plane's own code; everything that takes time in a node is a stage that ends when the simulation says so; the same
//! calls give the same answers to the last bit.

mod calls;
mod chain;
mod checks;
mod costs;
mod decided;
mod disk;
pub mod forge;
mod inbound;
mod journal;
mod node;
mod ports;
mod release;
mod start;

pub use calls::Calls;
pub use chain::Chain;
pub use costs::Costs;
pub use decided::{DecisionNotes, ToldAct};
pub use disk::SimDisk;
pub use inbound::Queues;
pub use journal::SimJournal;
pub use node::{Answer, Keys, Outcome, SimNode, Stage, StageStart, Threads};
pub use ports::Sent;
