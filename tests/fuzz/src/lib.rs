//! Hostile bytes for every decoder: targets, their corpus, a seeded mutator, and a count of what each input makes allocate.
//!
//! *Invariants:* a target takes any bytes and returns; it panics only where the product has a fault. What it checks is
//! stronger than "no panic" wherever there is more to know: what decodes encodes to the same bytes, what verifies is what
//! was signed. The same seed gives the same inputs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a fuzz target says by a panic that something is wrong")]

pub mod corpus;
#[path = "../../../crates/gateway/tests/it/headers.rs"]
mod headers;
#[path = "../../../crates/gateway/tests/it/key_pages.rs"]
mod key_pages;
pub mod memory;
pub mod mutate;
pub mod run;
#[allow(dead_code, missing_docs, reason = "the ceremonies' own tests use the rest")]
#[path = "../../../crates/zk/tests/it/ceremony/small.rs"]
mod small;
pub mod targets;
#[allow(dead_code, missing_docs, reason = "the gateway's own tests use the rest")]
#[path = "../../../crates/gateway/tests/it/world.rs"]
mod world;

pub use targets::TARGETS;

/// Approximate maximum cost of an input, which determines the number of inputs in the quick form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cost {
    /// Microseconds: decoding and hashing.
    Low,
    /// Tens of microseconds: signatures, a request.
    Middle,
    /// Up to milliseconds: elliptic curves.
    High,
}

/// A decoder under attack.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Good inputs to begin with, besides the stored ones.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Number of inputs in the quick form.
    pub cost: Cost,
    /// Maximum bytes that one input may allocate, besides a multiple of its length.
    pub bytes_max: usize,
}

/// The multiple: memory for a byte of input. A decoded value is larger than its encoding: an operation of 5 bytes takes
/// the room of the largest.
pub const BYTES_PER_BYTE_MAX: usize = 64;

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
