//! Values and their one encoding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod strategies;

mod address;
mod authority;
mod codec;
mod quorum;
