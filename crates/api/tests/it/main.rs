//! The genesis and operations as JSON.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests and their helpers")]

mod chain;
mod genesis_file;
mod second_operations;
