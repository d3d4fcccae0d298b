//! The load generator against the servers over a small node in memory.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests and their helpers")]

mod quic;
mod run;

#[allow(dead_code, reason = "the gateway's own tests use the rest")]
#[path = "../../../gateway/tests/it/headers.rs"]
mod headers;
#[path = "../../../gateway/tests/it/key_pages.rs"]
mod key_pages;
#[allow(dead_code, reason = "the gateway's own tests use the rest")]
#[path = "../../../gateway/tests/it/world.rs"]
mod world;
