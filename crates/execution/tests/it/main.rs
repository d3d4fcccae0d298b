//! Executing transactions and blocks, the records of accounts and committees, and proofs of what came of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod pool;

mod accounts;
mod activation;
mod committee;
mod custody;
mod custody_model;
mod first_proofs;
mod genesis;
mod governance;
mod grants;
mod light;
mod order;
mod owners;
mod pauses;
mod pools;
mod possession;
mod proof_vectors;
mod proofs;
mod properties;
mod quota;
mod read_proofs;
mod reads;
mod recovering;
mod rules;
mod second_form;
mod shards;
mod sponsors;
mod terms;
mod upgrade;
mod verifiers;
mod waits;
mod ways_on;
