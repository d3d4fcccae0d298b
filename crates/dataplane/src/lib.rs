//! Wires transport, pool, quorum, execution, storage and gateway on threads; the one place that knows them all.
//!
//! *Invariants:* composition only, no rule of the ledger lives here that another room could own; the shard is a machine
//! without threads behind `Ports`; no thread of this crate ever takes the interpreter's lock.

#[cfg(test)]
extern crate self as rustorium_dataplane;

pub mod backend;
pub mod block_proofs;
mod certificate_server;
pub mod clients;
pub mod clock;
mod codes;
pub mod config;
pub mod contained;
pub mod copier;
pub mod error;
pub mod executor;
pub mod genesis_file;
mod guarded;
pub mod guests;
mod inbound;
pub mod inbox;
pub mod keeper;
pub mod links;
pub mod mark;
pub mod metrics;
pub mod node;
pub mod notices;
mod opening;
pub mod outside;
pub mod proofs;
pub mod proving;
pub mod queue;
pub mod recover;
pub mod remote_signer;
pub mod restart;
pub mod room;
pub mod rooter;
pub mod rooting;
pub mod rotator;
mod scraped;
pub mod serving;
mod starting;
pub mod statesync;
pub mod tables;
pub mod threads;
pub mod tree_rows;
pub mod verifier;
pub mod vitals;
pub mod waiters;

pub use codes::journal_code;
pub use rustorium_shard::{context, fair, landmarks, periods, port, rules, senders, shard, turns};

pub use error::NodeError;
pub use node::{Node, StartHandle};
pub use tables::open_tables;
