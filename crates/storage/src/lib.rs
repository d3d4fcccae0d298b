//! RocksDB behind `trait Store`, the state cache, one atomic commit per height, the safety journal and the audit log.
//!
//! *Invariants:* knows nothing of consensus; a height is stored as a whole or not at all; the cache never answers with
//! a value older than the last commit; what the journal called durable is found again at the next start, or the start is
//! refused; no bytes on disk make it panic; nothing of what clients wrote can be read there without the storage key.

pub mod audit;
mod cache;
mod checks;
mod epochs;
mod faulty;
mod files;
pub mod history;
pub mod journal;
mod keyfile;
mod mem;
#[doc(hidden)]
pub mod probe;
pub mod retired;
mod rocks;
mod rowkeys;
mod rows;
mod store;
mod synced;
mod tree;

/// The newest formats that this crate writes in a home. A change of one of them is a new format of homes
/// (docs/adr/0021-upgrades.md). A store has format `STORE_FORMAT_1` until its chain has version 2.
pub const FORMATS: [(&str, u32); 3] =
    [("store", rows::FORMAT), ("safety journal", journal::FORMAT), ("store keys", keyfile::FORMAT)];

/// The format of a store without heights of version 2.
pub const STORE_FORMAT_1: u32 = rows::FORMAT_4;

pub use audit::AuditSink;
pub use cache::StateCache;
pub use epochs::EpochStore;
pub use faulty::{Fault, FaultyStore};
pub use history::{
    HistoryStore, KeptRange, Pruning, StateView, StoredValue, Version, VersionLimits, Versions, Walk, WalkOutcome,
    nearest_root,
};
pub use journal::{
    Durability, Journal, JournalError, JournalReader, JournalRecord, JournalStats, Lsn, RECORD_OVERHEAD, RecordKind,
    SYNC_BUCKETS_US,
};
pub use mem::MemStore;
pub use rocks::{Changes, RocksStore, Rotation, StoreConfig, first_of_version_2};
pub use store::{
    HeightCommit, StateAtTip, Store, StoreError, StoreStats, StoredBlock, StoredLink, StoredTransaction, Tip,
};
pub use synced::{SyncStore, SyncedTip};
pub use tree::{TreeRow, TreeStore, TreeWrites};
