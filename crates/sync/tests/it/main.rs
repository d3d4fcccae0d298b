//! Fetching blocks, batches and the state from peers, and answering them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

mod answers;
mod fetcher;
mod gap;
mod needed;
mod older_links;
mod state_sync;
