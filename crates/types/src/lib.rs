//! The ledger's vocabulary: ids, transactions, batches, blocks, votes, certificates, receipts, their canonical codec and limits.
//!
//! *Invariants:* knows no clock, no async runtime and no sibling crate; one encoding per value; every length is checked
//! against its limit before anything is allocated; compiles for wasm32.

pub mod activation;
pub mod address;
pub mod authority;
pub mod capacity;
pub mod codec;
pub mod consensus;
pub mod directory;
pub mod genesis;
pub mod governance;
pub mod ids;
pub mod limited;
pub mod limits;
pub mod listed;
pub mod operation2;
pub mod owners;
pub mod permutation;
pub mod proof;
pub mod rules;
pub mod shards;
pub mod small_order;
pub mod snapshot;
pub mod term;
pub mod transaction;
pub mod transaction2;
pub mod wire;

pub use activation::{ACTIVATION_KEY, Activation, ActivationBody};
pub use address::{AccountId, SYSTEM_ACCOUNT};
pub use authority::{Authority, AuthorityFault, Signature2, Signer, SignerKey};
pub use capacity::{Capacity, WHOLE_PPM};
pub use codec::{BoundedBytes, BoundedVec, DecodeError, decode, encode, encode_into};
pub use consensus::*;
pub use directory::{
    DIRECTORY_KEY, DIRECTORY_VERSION, NODE_RECORD_MS_MAX, NODE_RECORDS_MAX, NODE_URL_BYTES_MAX, NodeRecord,
    NodeRecords, SignedNodeRecord,
};
pub use genesis::*;
pub use governance::{GovernanceChange, PauseScope, SystemSender};
pub use ids::*;
pub use limited::LimitedValue;
pub use listed::{Batch, BatchBody, Inline, Transaction};
pub use operation2::{AuthoritySettings, Operation2, Recovery, Rights};
pub use owners::OwnerPossessionBody;
pub use permutation::permutation;
pub use proof::*;
pub use rules::{NEWEST_VERSION, Rules, TRANSACTION_VERSION};
pub use shards::GenesisShard;
pub use small_order::is_small_order;
pub use snapshot::{Snapshot, StateAnswer, StateLeaf, StateRequest};
pub use term::{Change, Charter, EpochTransition, FirstTerm, Term, TermChange};
pub use transaction::*;
pub use transaction2::{SignatureFault, Transaction2, TransactionBody2};
pub use wire::{Class, Heartbeat, Held, Message, Report, Request, Response, VoteMessage, Work, link_version};
