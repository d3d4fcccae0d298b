//! The gateway against a small node in memory: every route, every bad input, the streams, the QUIC API.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests and their helpers")]

mod access;
mod answers;
mod caches;
mod client;
mod events;
mod fuzz;
mod governance;
mod headers;
mod http2;
mod key_pages;
mod panics;
mod pools;
mod proofs;
mod quic;
mod reads;
mod server;
mod sites;
mod submit;
mod tls;
mod ui;
mod world;
