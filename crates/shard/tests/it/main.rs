//! Shards without threads, with their stages beside them: four nodes in memory on a virtual clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod chain;
mod core;
mod forge;
mod leaving;
mod net;
mod ports;
mod steps;
mod witness;

mod activation;
mod ages;
mod catch_up;
mod certificates;
mod clocks;
mod closing;
mod cut_off;
mod digests;
mod durability;
mod epochs;
mod extremes;
mod finality;
mod homes;
mod journal;
mod lanes;
mod late;
mod leaders;
mod one_account;
mod outsiders;
mod peers;
mod recovery;
mod release;
mod rivals;
mod rules;
mod second_form;
mod seeds;
mod shared_account;
mod signer;
mod signing;
mod stale;
mod state_claims;
mod terms;
mod turns;
mod validity;
mod versions;
mod wants;
