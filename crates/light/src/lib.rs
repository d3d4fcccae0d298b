//! The light client for web pages: takes JSON questions and answers what a proof shows, or why it is refused; compiles to WebAssembly.
//!
//! *Invariants:* knows no clock, network or disk: the page brings the time and the bytes; whatever a page is told comes from
//! the checked part of a proof, never from what stood beside it; no question makes it panic, and each is bounded.

#[cfg(target_family = "wasm")]
mod page;
mod session;

pub use session::{QUESTION_BYTES_MAX, Session};
