//! State sync: snapshots that this node offers, and how an empty store is filled from its peers' ones.
//!
//! *Invariants:* a snapshot is the state at a kept root, which stays kept while it is offered; every node offers the same
//! heights, by rules on headers alone; a store that is being filled has no tip, and gets one in a single write.

mod committees;
mod fill;
pub(crate) mod filling;
pub mod join;
mod offered;
pub mod offers;
mod progress;
mod view;

pub use join::{JoinEvent, JoinOutcome, Joiner};
pub use offers::{OfferNote, Offers, fits_a_frame};
pub use progress::FillProgress;
