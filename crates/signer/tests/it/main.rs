//! The signer's guard, its record on disk and its socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod guard;
mod record;
mod server;
mod words;
