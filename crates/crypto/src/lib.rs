//! Hashing, domain strings, Ed25519 signatures single and in batches, the keystore, and the only maker of `Verified<T>`.
//!
//! *Invariants:* knows none of the ledger's rules; every hash and signature starts with its purpose's domain string;
//! secrets are wiped when dropped; for wasm32 there is only the code that checks, and none that keeps a secret.

#[cfg(not(target_family = "wasm"))]
pub mod directory;
pub mod hash;
#[cfg(not(target_family = "wasm"))]
pub mod keystore;
#[cfg(not(target_family = "wasm"))]
pub mod locked;
pub mod merkle;
#[cfg(not(target_family = "wasm"))]
pub mod seal;
pub mod sign;
pub mod work;

pub use hash::*;
pub use sign::*;
pub use work::{Work, work_done};
