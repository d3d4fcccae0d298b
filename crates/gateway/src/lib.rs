//! HTTP and QUIC faces for clients: decode, limits, errors, streams, OpenAPI.
//!
//! *Invariants:* knows the node only through `Backend`; everything a client sends is bounded before it is kept or decoded;
//! bad input is a typed answer, never a 500 and never a panic; a slow reader is told and disconnected, never skipped.

pub mod backend;
mod final_block;
mod fuse;
pub mod gate;
pub mod http;
mod limit;
pub mod metrics;
pub mod quic;
mod screen;
mod shares;
pub mod tls;

pub use backend::{Backend, ChainInfo};
pub use gate::Gate;
pub use metrics::GatewayMetrics;
pub use tls::Tls;
