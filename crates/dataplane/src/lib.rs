//! Wires transport, pool, quorum, execution, storage and gateway on threads; the one place that knows them all.
//!
//! *Invariants:* composition only, no rule of the ledger lives here that another room could own; the shard is a machine
//! without threads behind `Ports`; no thread of this crate ever takes the interpreter's lock.

#[cfg(test)]
extern crate self as rustorium_dataplane;

pub mod backend;
mod certificate_server;
mod codes;
pub mod config;
pub mod copier;
mod guarded;
pub mod guests;
mod inbound;
pub mod links;
pub mod node;
pub mod notices;
mod opening;
pub mod outside;
pub mod remote_signer;
pub mod rotator;
mod scraped;
mod starting;
pub mod statesync;
pub mod threads;
pub mod vitals;

pub use codes::journal_code;
pub use rustorium_shard::{context, fair, landmarks, periods, port, rules, senders, shard, turns};
pub use rustorium_stages::NodeError;
pub use rustorium_stages::tables::open_tables;
pub use rustorium_stages::{
    block_proofs, clients, clock, contained, error, executor, inbox, keeper, mark, metrics, proofs, proving, queue,
    recover, restart, room, rooter, rooting, serving, tables, tree_rows, verifier, waiters,
};

pub use node::{Node, StartHandle};
