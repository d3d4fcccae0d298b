//! Serves and fetches blocks, batches, certificates and the state, and refuses every answer that doesn't fit the request.
//!
//! *Invariants:* sans-IO, time is an argument; decides nothing about what to fetch; wants, requests in flight and
//! answers are bounded; every want is requested from one peer at a time, and from the next when that one fails.

pub mod answer;
pub mod chain;
pub mod fetcher;
pub mod gap;
pub mod named_work;
mod needed;
pub mod pushes;
mod runs;
pub mod state;
mod want;

pub use answer::{ANSWER_BYTES_MAX, Source, answer, certificates_within, fits, for_link, size};
pub use chain::{FinalBlocksRefused, FinalChain, check_final_blocks, check_final_chain};
pub use fetcher::{FetchConfig, Fetcher, WrongAnswer};
pub use gap::{GapConfig, GapFetcher};
pub use named_work::{Ask, NamedWork, Peers};
pub use needed::{OwnedWant, Owner};
pub use pushes::{BEHIND_MAX, Push, Pushes};
pub use want::Want;
