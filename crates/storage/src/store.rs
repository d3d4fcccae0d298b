//! The `Store` trait: the final heights that a node stores, and the typed errors of doing so.

use crate::epochs::EpochStore;
use crate::history::HistoryStore;
use crate::synced::SyncStore;
use crate::tree::TreeStore;
use rustorium_crypto::seal::SealError;
use rustorium_crypto::{CheckedBatch, Verified};
use rustorium_types::{
    AccountId, Batch, BatchDigest, Block, BlockDigest, Certificate, ChainId, Hash, Header, Height, LeafWrite,
    LimitedValue, Receipt, ResultLink, ShardId, StateKey, Transaction, TxId, ValidatorIndex,
};
use std::sync::Arc;
use thiserror::Error;

/// The most entries that one `account_transactions` call returns.
pub const ACCOUNT_TRANSACTIONS_MAX: usize = 1000;

/// The most heights that one `links` call covers.
pub const LINKS_MAX: usize = rustorium_types::RESULT_LINKS_MAX;

/// All results of one final, executed height.
#[derive(Clone, Debug)]
pub struct HeightCommit {
    /// The block's digest.
    pub digest: BlockDigest,
    /// The block.
    pub block: Block,
    /// Ids of the block's inline transactions, in order.
    pub inline_ids: Vec<TxId>,
    /// The batches that this block lists, in execution order (after rotation).
    pub batches: Vec<Arc<CheckedBatch>>,
    /// Receipts in execution order: of inline transactions first, then of the batches'; skipped ones have none.
    pub receipts: Vec<Receipt>,
    /// State changes, each key once.
    pub diff: Vec<LeafWrite>,
    /// This height's link in the chain of result roots.
    pub link: ResultLink,
    /// The result root after this height.
    pub result_root: Hash,
    /// A finalization of exactly this block, if the node has one.
    pub finalization: Option<Verified<Certificate>>,
}

/// The newest stored height.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tip {
    /// Height of the tip.
    pub height: Height,
    /// Digest of the tip's block.
    pub digest: BlockDigest,
    /// Header of the tip's block.
    pub header: Header,
    /// The result root after the tip.
    pub result_root: Hash,
    /// The newest height that listed a transaction or changed state.
    pub payload_height: Height,
}

/// A stored height.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredBlock {
    /// The block.
    pub block: Block,
    /// Digest of the block.
    pub digest: BlockDigest,
    /// The height's link in the chain of result roots.
    pub link: ResultLink,
    /// The result root after the height.
    pub result_root: Hash,
    /// Lane and digest of each batch that it lists, in execution order.
    pub batches: Vec<(ValidatorIndex, BatchDigest)>,
    /// Receipts of the height, in order.
    pub receipts: Vec<Receipt>,
}

/// State leaves and the tip that all of them belong to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateAtTip {
    /// One value for each requested key, in order; `None` for a missing leaf.
    pub values: Vec<Option<Vec<u8>>>,
    /// The tip; `None` in an empty store.
    pub tip: Option<Tip>,
}

/// A height's part in the chain of result roots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredLink {
    /// The link that the height added.
    pub link: ResultLink,
    /// The result root after the height.
    pub result_root: Hash,
}

/// A transaction that has a receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredTransaction {
    /// The transaction.
    pub transaction: Transaction,
    /// The transaction's receipt.
    pub receipt: Receipt,
}

/// Counters of a store, all since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StoreStats {
    /// State reads that the cache answered.
    pub cache_hits: u64,
    /// State reads that went to disk.
    pub cache_misses: u64,
    /// Bytes in the cache.
    pub cache_bytes: u64,
    /// Heights committed.
    pub commits: u64,
    /// Time spent in commits, microseconds.
    pub commit_us: u64,
    /// Bytes of rows committed, before compression.
    pub commit_bytes: u64,
}

/// A store could not answer a query or store something.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StoreError {
    /// The disk has no room left.
    #[error("the disk that holds {path} is full: free space on it, then restart the node; nothing final is lost")]
    DiskFull {
        /// The store's folder.
        path: String,
    },
    /// The store has another shard's blocks.
    #[error(
        "the store has blocks of shard {found}, and its folder is that of shard {wanted}: move it back to its own folder"
    )]
    OtherShard {
        /// Shard of the blocks.
        found: ShardId,
        /// Shard of the folder.
        wanted: ShardId,
    },
    /// Another process has the store open.
    #[error("another process has the store {path} open: stop it before starting this one")]
    Locked {
        /// The store's folder.
        path: String,
    },
    /// A row that this code did not write in this form.
    #[error("the row {key} of table {table} is damaged ({what}): restore the store from a backup or sync it again")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key as hex digits.
        key: String,
        /// Description of the damage.
        what: String,
    },
    /// Files that RocksDB finds damaged.
    #[error("the store {path} is damaged ({reason}): restore it from a backup or sync it again")]
    Damaged {
        /// The store's folder.
        path: String,
        /// RocksDB's message.
        reason: String,
    },
    /// There are rows, but the file that says how they were sealed is missing.
    #[error(
        "the key file {path} is missing, and no row can be read without it: restore it from a backup of this home, or remove its folder and sync the store again"
    )]
    KeysMissing {
        /// The file.
        path: String,
    },
    /// The file that says how rows were sealed is damaged.
    #[error(
        "the key file {path} is damaged ({what}): restore it from a backup of this home, or remove its folder and sync the store again"
    )]
    KeysDamaged {
        /// The file.
        path: String,
        /// Description of the damage.
        what: &'static str,
    },
    /// The store is sealed under another master key.
    #[error(
        "the store's key file {path} was made with another storage.key: put the storage.key that belongs to it back"
    )]
    OtherKey {
        /// The key file.
        path: String,
    },
    /// Some rows are sealed under the previous master key, which is missing.
    #[error(
        "the store of the key file {path} has rows under the previous storage key: put storage.key.old back beside storage.key, for example from a backup of this home"
    )]
    KeyBefore {
        /// The key file.
        path: String,
    },
    /// The store is sealed for another chain.
    #[error("the store's key file {path} belongs to chain {found} and not to {wanted}: use the home of this chain")]
    OtherChain {
        /// The key file.
        path: String,
        /// Chain of the store.
        found: ChainId,
        /// The chain of the genesis.
        wanted: ChainId,
    },
    /// A row can't be sealed.
    #[error("{0}")]
    Seal(#[from] SealError),
    /// The store has the format of another version of this program.
    #[error("{path} has format {found}, and this release reads {supported}: {}", crate::files::other_format(*found, *supported))]
    Format {
        /// The file or folder.
        path: String,
        /// Format on disk.
        found: u32,
        /// Format of this build.
        supported: u32,
    },
    /// The height does not follow the tip.
    #[error("height {got} can't be stored: {expected} comes next, and heights are stored in order, each on its parent")]
    NotNext {
        /// The height that comes next.
        expected: Height,
        /// The height that was given.
        got: Height,
    },
    /// The parts of the commit contradict each other.
    #[error("the commit of height {height} contradicts itself: {what}")]
    Inconsistent {
        /// The height.
        height: Height,
        /// The contradiction.
        what: &'static str,
    },
    /// The height is older than the oldest kept one.
    #[error(
        "height {height} is pruned here, {oldest} is the oldest kept one: ask for a newer height, or an archive node"
    )]
    Pruned {
        /// The height asked for.
        height: Height,
        /// The oldest kept height.
        oldest: Height,
    },
    /// No root is kept at the height.
    #[error("no root is kept at height {height}: ask at {}", .nearest.map_or("no height yet, wait for the first root".into(), |n| format!("{n}, the nearest that is")))]
    ProofPruned {
        /// The height asked for.
        height: Height,
        /// The kept root that is nearest to it.
        nearest: Option<Height>,
    },
    /// The height isn't executed yet.
    #[error("height {height} isn't executed here yet: ask again later, or at a height up to {}", .tip.unwrap_or_default())]
    Ahead {
        /// The height asked for.
        height: Height,
        /// The newest height.
        tip: Option<Height>,
    },
    /// Any other error of the disk or of RocksDB.
    #[error("the store {path} failed: {reason}; check the disk, then restart the node")]
    Io {
        /// The store's folder.
        path: String,
        /// The reason given.
        reason: String,
    },
}

/// A node's storage of final heights. Every answer is as of the last commit that returned.
pub trait Store: TreeStore + HistoryStore + SyncStore + EpochStore {
    /// Stores one height, all or nothing. It survives the end of the process, and a power cut once `sync` returned.
    /// Errors: not the next height, contradictory parts, a full or failing disk; then nothing has changed.
    fn commit(&self, commit: &HeightCommit) -> Result<(), StoreError>;

    /// Makes every committed height survive a power cut. Returns the newest height that does (0 for an empty store).
    fn sync(&self) -> Result<Height, StoreError>;

    /// Returns the newest height; `None` in an empty store.
    fn tip(&self) -> Option<Tip>;

    /// Returns the value of a state leaf.
    fn state(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the value of a state leaf if it has at most `bytes_max` bytes. A longer one is neither decrypted nor
    /// cached, as far as its row's length shows how long it is.
    fn state_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StoreError>;

    /// Returns the values of state leaves, and the one tip that all of them belong to.
    fn state_at_tip(&self, keys: &[StateKey]) -> Result<StateAtTip, StoreError>;

    /// Returns a height with its receipts.
    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError>;

    /// Returns only the block of a height, as peers ask for it. This is cheaper than `block` if there are many
    /// receipts.
    fn bare_block(&self, height: Height) -> Result<Option<Block>, StoreError>;

    /// Returns the links of the heights from `first` to `last` (at most `LINKS_MAX`), up to the first that isn't
    /// stored.
    fn links(&self, first: Height, last: Height) -> Result<Vec<StoredLink>, StoreError>;

    /// Returns the height of a stored block.
    fn height_of(&self, digest: &BlockDigest) -> Result<Option<Height>, StoreError>;

    /// Returns a listed batch.
    fn batch(&self, digest: &BatchDigest) -> Result<Option<Batch>, StoreError>;

    /// Returns a transaction that has a receipt.
    fn transaction(&self, id: &TxId) -> Result<Option<StoredTransaction>, StoreError>;

    /// Returns transactions that the account sent or that successfully named it (transfer, issue, grant, creation).
    /// They come newest first, strictly older than `before`, at most `limit` and `ACCOUNT_TRANSACTIONS_MAX`.
    fn account_transactions(
        &self,
        account: &AccountId,
        before: Option<(Height, u32)>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, StoreError>;

    /// Returns the finalization of the lowest height from `height` on that has one here. Of the newest heights all are in
    /// memory. Of older ones of version 2 only some are stored: the first of each 250 ms of header time and of each 64
    /// heights, at an epoch's end, and where a state root is claimed.
    fn finalization_at_or_above(&self, height: Height) -> Result<Option<(Height, Certificate)>, StoreError>;

    /// Stores a finalization that the node learnt after it stored the height.
    fn put_finalization(&self, height: Height, certificate: &Certificate) -> Result<(), StoreError>;

    /// Returns the store's counters.
    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }

    /// Returns the first row that was found damaged since the store was opened, by any reader.
    fn damaged(&self) -> Option<StoreError> {
        None
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn commit(&self, commit: &HeightCommit) -> Result<(), StoreError> {
        (**self).commit(commit)
    }
    fn sync(&self) -> Result<Height, StoreError> {
        (**self).sync()
    }
    fn tip(&self) -> Option<Tip> {
        (**self).tip()
    }
    fn state(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).state(key)
    }
    fn state_within(&self, key: &StateKey, bytes_max: usize) -> Result<Option<LimitedValue>, StoreError> {
        (**self).state_within(key, bytes_max)
    }
    fn state_at_tip(&self, keys: &[StateKey]) -> Result<StateAtTip, StoreError> {
        (**self).state_at_tip(keys)
    }
    fn block(&self, height: Height) -> Result<Option<StoredBlock>, StoreError> {
        (**self).block(height)
    }
    fn bare_block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        (**self).bare_block(height)
    }
    fn links(&self, first: Height, last: Height) -> Result<Vec<StoredLink>, StoreError> {
        (**self).links(first, last)
    }
    fn height_of(&self, digest: &BlockDigest) -> Result<Option<Height>, StoreError> {
        (**self).height_of(digest)
    }
    fn batch(&self, digest: &BatchDigest) -> Result<Option<Batch>, StoreError> {
        (**self).batch(digest)
    }
    fn transaction(&self, id: &TxId) -> Result<Option<StoredTransaction>, StoreError> {
        (**self).transaction(id)
    }
    fn account_transactions(
        &self,
        account: &AccountId,
        before: Option<(Height, u32)>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, StoreError> {
        (**self).account_transactions(account, before, limit)
    }
    fn finalization_at_or_above(&self, height: Height) -> Result<Option<(Height, Certificate)>, StoreError> {
        (**self).finalization_at_or_above(height)
    }
    fn put_finalization(&self, height: Height, certificate: &Certificate) -> Result<(), StoreError> {
        (**self).put_finalization(height, certificate)
    }
    fn stats(&self) -> StoreStats {
        (**self).stats()
    }
    fn damaged(&self) -> Option<StoreError> {
        (**self).damaged()
    }
}
