//! The open-loop load generator: signed puts at intended times over HTTP or QUIC, and a client of the QUIC API.
//!
//! *Invariants:* a transaction that is due is sent whether or not earlier answers came; every slot ends in exactly one
//! of finalized, failed, rejected and lost.

mod book;
pub mod client;
mod http;
mod plan;
mod quic;
mod report;
mod run;

pub use client::{ClientError, QuicClient, Results, Submitter};
pub use report::LoadReport;
pub use run::{LoadAccount, LoadConfig, LoadError, LoadTarget, Protocol, run};
