//! Wires transport, pool, quorum, execution, storage and gateway on threads; the one place that knows them all.
//!
//! *Invariants:* composition only, no rule of the ledger lives here that another room could own; the shard is a machine
//! without threads behind `Ports`; no thread of this crate ever takes the interpreter's lock.

#[cfg(test)]
extern crate self as rustorium_dataplane;

pub mod backend;
mod certificate_server;
pub mod clients;
mod codes;
pub mod config;
pub mod context;
pub mod copier;
pub mod executor;
pub mod fair;
mod guarded;
pub mod guests;
mod inbound;
pub mod inbox;
pub mod keeper;
mod landmarks;
pub mod links;
pub mod metrics;
pub mod node;
pub mod notices;
mod opening;
pub mod outside;
pub mod periods;
pub mod port;
pub mod proofs;
pub mod proving;
pub mod queue;
pub mod recover;
pub mod remote_signer;
pub mod restart;
mod room;
pub mod rooter;
pub mod rooting;
pub mod rotator;
pub mod rules;
mod scraped;
pub mod serving;
pub mod shard;
mod starting;
pub mod statesync;
pub mod threads;
pub mod tree_rows;
pub mod turns;
pub mod verifier;
pub mod vitals;
pub mod waiters;

pub use codes::journal_code;

pub use node::{Node, NodeError, StartHandle};
pub use opening::open_tables;
