//! Signatures, and the conformance vectors of what is hashed and signed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../vector_cases/mod.rs"]
mod vector_cases;

mod second_vectors;
mod signatures;
mod transactions2;
mod vectors;
