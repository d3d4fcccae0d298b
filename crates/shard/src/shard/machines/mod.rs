//! The machines of a shard. Each owns its part of the state, takes notes of events, and returns what it asks for.
//!
//! *Invariants:* no machine sees `Ports`; fields are private to their file; a machine reads other machines only as
//! arguments.

pub(crate) mod batches;
pub(crate) mod blocks;
pub(crate) mod checks;
pub(crate) mod clocks;
pub(crate) mod core_link;
pub(crate) mod digests;
pub(crate) mod epoch_end;
pub(crate) mod fetching;
pub(crate) mod finality;
pub(crate) mod homes;
pub(crate) mod journal;
pub(crate) mod key_standing;
pub(crate) mod live_records;
pub(crate) mod liveness;
pub(crate) mod open_votes;
pub(crate) mod own_lane;
pub(crate) mod passed_over;
pub(crate) mod pushed;
pub(crate) mod results;
pub(crate) mod retained;
pub(crate) mod round_trips;
pub(crate) mod signer;
#[cfg(test)]
mod testing;
pub(crate) mod timing;
pub(crate) mod validity;
pub(crate) mod votes;
