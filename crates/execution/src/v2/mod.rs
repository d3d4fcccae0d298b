//! The ledger's rules under version 2.
//!
//! *Invariants:* version 2 calls version 1 for what both do alike; a part that is to differ is copied here first, and
//! version 1 stays as it is.

mod actor;
mod approvals;
mod authority;
mod call;
pub(crate) mod committee;
pub(crate) mod custody;
pub(crate) mod execute;
mod first_proofs;
mod governing;
pub(crate) mod grant;
pub mod history;
mod leaf;
pub(crate) mod ledger;
pub(crate) mod operations;
pub(crate) mod order;
mod owners;
pub(crate) mod pace;
mod pauses;
mod places;
mod pools;
pub(crate) mod quota;
pub(crate) mod record;
mod recovering;
mod slots;
mod sponsoring;
pub(crate) mod sponsors;
pub(crate) mod step;
mod turn;
mod values;
pub(crate) mod verifiers;
mod waiting;
pub mod work;
