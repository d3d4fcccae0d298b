//! One process: threads, links, the home's files, metrics and state sync around a shard's replica and its stages.
//!
//! *Invariants:* composition only, no rule of the ledger lives here that another room could own; it is the one place that
//! knows links, clients' servers and the shard; no thread of this crate ever takes the interpreter's lock.

pub mod backend;
mod certificate_server;
mod codes;
mod collector;
pub mod config;
pub mod copier;
mod decision_log;
mod guarded;
pub mod guests;
mod host;
mod hosts;
mod inbound;
pub mod links;
pub mod node;
pub mod notices;
mod opening;
pub mod outside;
mod process;
pub mod remote_signer;
pub mod rotator;
mod scrape;
mod served;
mod shard_thread;
pub mod shared_key;
mod start_up;
pub mod statesync;
pub mod vitals;

pub use codes::journal_code;

pub use host::Host;
pub use hosts::HostEnd;
pub use node::Node;
