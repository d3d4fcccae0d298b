//! The gateway against a small node in memory: every route, every bad input, the streams, the QUIC face, the load generator.
#![allow(missing_docs, clippy::float_arithmetic)]

mod client;
mod events;
mod fuzz;
mod load;
mod quic;
mod reads;
mod server;
mod submit;
mod world;
