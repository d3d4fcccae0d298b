//! The stages by themselves, and beside shards in memory on a virtual clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[allow(dead_code)]
#[path = "../../../shard/tests/it/chain.rs"]
mod chain;
#[allow(dead_code)]
#[path = "../../../shard/tests/it/core.rs"]
mod core;
#[allow(dead_code)]
#[path = "../../../shard/tests/it/forge.rs"]
mod forge;
#[allow(dead_code)]
#[path = "../../../shard/tests/it/leaving.rs"]
mod leaving;
#[allow(dead_code)]
#[path = "../../../shard/tests/it/net.rs"]
mod net;
#[allow(dead_code)]
#[path = "../../../shard/tests/it/ports.rs"]
mod ports;
#[allow(dead_code)]
#[path = "../../../shard/tests/it/signer.rs"]
mod signer;
#[allow(dead_code)]
#[path = "../../../shard/tests/it/steps.rs"]
mod steps;
#[allow(dead_code)]
#[path = "../../../shard/tests/it/witness.rs"]
mod witness;

mod accounts;
mod activating;
mod executor;
mod filled;
mod inbox;
mod lane_junk;
mod proof_pool;
mod queue;
mod recover;
mod restart;
mod rooting;
mod verifier;
mod waiters;
