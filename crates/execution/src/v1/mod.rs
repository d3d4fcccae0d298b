//! The ledger's rules under version 1.

pub mod committee;
pub mod execute;
pub(crate) mod ledger;
pub(crate) mod operations;
pub mod order;
pub(crate) mod pools;
pub mod record;
pub(crate) mod verifiers;
pub mod work;
