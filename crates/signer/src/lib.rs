//! A signer process: holds keys apart from the node, and signs nothing that contradicts its record of earlier signatures.
//!
//! *Invariants:* everything is parsed before it is signed, and is of a kind and a chain that the signer was started
//! for; a vote or batch is on the signer's disk before its signature leaves; a record that can't be written ends all
//! signing; one node at a time has a validator key; frames, connections, memory and waits are bounded.

pub mod client;
mod frames;
pub mod guard;
pub mod keys;
pub mod pkcs11;
pub mod protocol;
pub mod record;
pub mod server;

pub use client::{Client, ClientError};
pub use guard::Guard;
pub use keys::{Key, Role};
pub use pkcs11::{TokenFault, TokenKey, TokenUri};
pub use protocol::{Answer, JournalSummary, Newest, Refusal, RequestSubject};
pub use record::{Record, StateError, StateFile};
pub use server::{Server, ServerError, Settings};
