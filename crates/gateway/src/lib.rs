//! HTTP and QUIC servers over the API: decoding, access, limits, errors, event streams, OpenAPI.
//!
//! *Invariants:* the crate knows the node only through `Backend`; everything that a client sends is bounded before it
//! is kept or decoded; bad input gives a typed answer, never a 500 and never a panic; a slow reader is told so and
//! disconnected, and no event of its stream is skipped.

pub mod backend;
mod final_block;
pub mod gate;
pub mod http;
mod limit;
pub mod metrics;
mod panic_alarm;
pub mod quic;
mod screen;
mod shares;
pub mod tls;

pub use backend::{Backend, ChainInfo};
pub use gate::Gate;
pub use metrics::GatewayMetrics;
pub use tls::Tls;
