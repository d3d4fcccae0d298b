//! Votes, certificates and reports of a committee.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

mod guard;
mod reports;
mod tally;
