//! The QUIC API: transactions in and results out over one stream, paced by credit.
//!
//! *Invariants:* a client has at most as many transactions outstanding as it was given credit for, which also bounds
//! its unread results; results that are ready together leave in one write.

pub mod server;
mod session;
mod violation;

pub use server::{QuicLimits, QuicServer};
pub use violation::Violation;
