//! The pool of transactions, and the lanes of batches.
#![allow(clippy::unwrap_used)]

mod common;

mod authorities;
mod lanes;
mod pool;
mod seats;
mod shares;
