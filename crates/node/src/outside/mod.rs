//! Answers to other nodes' requests from the store, and everything that nodes outside the committee may do: send
//! requests, and forward transactions.
//!
//! *Invariants:* nothing here waits in a queue of the shard or of the checks that consensus needs. Requests are
//! answered only from the store, one of each requester in turn, and answers have a rate. A signature of an outsider is
//! checked only after all cheaper checks, at a separate rate.

pub(crate) mod budget;
pub(crate) mod following;
pub(crate) mod intake;
pub mod questions;
pub mod request_queue;
pub(crate) mod routing;
pub mod server;

#[cfg(test)]
#[allow(dead_code, clippy::unwrap_used)]
// The tests of `backend` load it, too, below their own modules.
#[allow(clippy::duplicate_mod)]
#[path = "../../../execution/tests/common/chain.rs"]
pub(crate) mod made;

pub use questions::Questions;
pub use request_queue::{Question, RequestQueue, Work};
pub use routing::Standing;
pub use server::Server;
