//! What clients and nodes say to each other: questions, answers, their JSON, frames, problem codes, and the genesis as JSON.
//!
//! *Invariants:* knows no socket, clock, disk or runtime, and compiles to WebAssembly; no floats; every decoder is bounded.

pub mod answers;
mod final_block;
pub mod frames;
pub mod genesis_file;
pub mod json;
pub mod listing;
pub mod problem;
pub mod state;

pub use answers::*;
pub use final_block::{FinalBlock, Newest};
pub use listing::{FoundKey, KeyCursor, ListFrom, ListedKeys, Listing};
pub use problem::Code;
pub use state::{ProveAt, Proven, ReadAt, StateValues};
