//! What peers ask of this node's store, and all that nodes outside the committee may do: ask, and hand transactions on.
//!
//! *Invariants:* nothing here waits in a queue of the shard or of the checks that consensus needs; questions are answered from
//! the store alone, one of each asker in turn, and what is sent for it has a rate; a signature of an outsider is checked only
//! after all that is cheaper to check, at a rate of its own.

pub(crate) mod budget;
pub mod desk;
pub(crate) mod intake;
pub(crate) mod routing;
pub mod server;

#[cfg(test)]
#[allow(dead_code, clippy::unwrap_used)]
// The tests of `backend` load it, too, below their own modules.
#[allow(clippy::duplicate_mod)]
#[path = "../../../execution/tests/common/chain.rs"]
pub(crate) mod made;

pub use desk::{Desk, Question, Work};
pub use routing::Standing;
pub use server::Server;
