//! The data plane without threads: four shards in memory on a virtual clock, and the small parts by themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod chain;
mod core;
mod forge;
mod net;
mod ports;

mod catch_up;
mod closing;
mod cut_off;
mod durability;
mod epochs;
mod executor;
mod finality;
mod genesis_file;
mod inbox;
mod lanes;
mod leaders;
mod notices;
mod outsiders;
mod peers;
mod proof_pool;
mod queue;
mod recover;
mod recovery;
mod release;
mod restart;
mod rivals;
mod rooting;
mod rules;
mod seeds;
mod shielded;
mod stale;
mod state_claims;
mod state_sync;
mod turns;
mod validity;
mod verifier;
mod versions;
mod waiters;
