//! Admission, the bounded pool of transactions, and lanes: batches, which of them this node holds, and which a block can list.
//!
//! *Invariants:* no clock and no I/O: time is an argument; everything is bounded, and the first to be refused is a new
//! transaction, with a typed reason; no cut holds nonce k of a sender unless k − 1 is executed or was cut before it;
//! admission is a filter only: validity is decided by execution.

pub mod batch;
pub mod home;
mod lane;
pub mod lanes;
pub mod pool;
pub mod refused;
mod sender;

pub use batch::{BatchRefused, Weight, check_batch, signatures_fit, weigh};
pub use home::{home_lane, lanes_by_rank};
pub use lanes::{BlockCaps, Extension, InsertOutcome, LOOSE_MS, Lanes, MissingBatch, PayloadFault};
pub use pool::{AccountView, Admission, Clock, CutLimits, DroppedTransactions, Pool, PoolConfig};
pub use refused::Refused;
