//! The vocabulary of clients and nodes: questions, answers, their JSON and frames, problem codes, and the genesis as JSON.
//!
//! *Invariants:* the crate knows no socket, clock, disk or runtime, and compiles to WebAssembly; it has no floats; every
//! decoder is bounded.

pub mod answers;
mod event_id;
mod final_block;
pub mod frames;
pub mod genesis_file;
pub mod json;
pub mod listing;
pub mod problem;
pub mod state;

pub use answers::*;
pub use event_id::{EventId, parse_digits};
pub use final_block::{FinalBlock, Newest};
pub use listing::{
    BalanceListing, FoundKey, GrantListing, History, KeyCursor, KeyHistory, KeyVersion, ListFrom, ListedBalances,
    ListedGrants, ListedKeys, Listing,
};
pub use problem::Code;
pub use state::{ProveAt, Proven, ReadAt, StateValues, pool_subjects};
