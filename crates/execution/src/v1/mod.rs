//! The ledger's rules under version 1, as release 0.2.0 executes them.
//!
//! *Invariants:* this code never changes: chains depend on each root and each receipt that it makes, and `just
//! golden-replay` compares them.

pub(crate) mod committee;
pub(crate) mod execute;
pub(crate) mod ledger;
pub(crate) mod operations;
pub(crate) mod order;
pub(crate) mod pools;
pub mod record;
pub(crate) mod verifiers;
pub mod work;
