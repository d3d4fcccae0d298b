//! What the gateway asks of the node behind it: one trait.
//!
//! *Invariants:* the gateway knows the node only through this trait.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rustorium_api::{
    BackendError, BlockRef, BlockView, Committee, FinalBlock, ListedKeys, Listing, Newest, Place, ProofStatus, ProveAt,
    Proven, ReadAt, StateValues, Status, Submitted, SubmittedSink, TransactionStatus, Visit, Wait,
};
use rustorium_types::{AccountId, ChainId, Epoch, EpochChange, Genesis, Height, ShardId, Subject, Transaction, TxId};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// The chain that a node serves.
#[derive(Clone, Debug)]
pub struct ChainInfo {
    /// Hash of the genesis.
    pub id: ChainId,
    /// The genesis.
    pub genesis: Arc<Genesis>,
    /// Its canonical bytes.
    pub genesis_bytes: Bytes,
    /// The shard served.
    pub shard: ShardId,
    /// A name for people.
    pub name: String,
}

/// The node behind the gateway. Blocks become readable by `block` and `final_block` before `subscribe` tells of them.
pub trait Backend: Send + Sync + 'static {
    /// The chain served.
    fn chain(&self) -> &ChainInfo;

    /// Takes transactions; one answer per item, in order, at the latest at `deadline`.
    fn submit(
        &self,
        transactions: Vec<Transaction>,
        wait: Wait,
        deadline: Instant,
        visit: &Arc<Visit>,
    ) -> BoxFuture<'static, Vec<Submitted>>;

    /// Takes transactions and calls `done` once per item as each ends, at the latest with the session.
    fn submit_streaming(&self, transactions: Vec<Transaction>, wait: Wait, visit: &Arc<Visit>, done: SubmittedSink);

    /// The session is over: ends what it waits for, without a word.
    fn left(&self, visit: &Visit) {
        visit.end();
    }

    /// A loop that accepts clients panicked, and is gone.
    fn panicked(&self, part: &'static str) {
        let _ = part;
    }

    /// Some(retry after, ms) while nothing of this site would be taken, or of one that waits for nothing: lets the gateway
    /// refuse before it decodes anything.
    fn busy(&self, site: Option<IpAddr>) -> Option<u64> {
        let _ = site;
        None
    }

    /// What is known of a transaction.
    fn transaction(&self, id: &TxId) -> Result<TransactionStatus, BackendError>;

    /// What subjects hold, all at the same height.
    fn read(&self, subjects: &[Subject], at: ReadAt) -> Result<StateValues, BackendError>;

    /// What subjects (1 to `PROOF_KEYS_MAX`, ascending, each once) hold, with one proof of them all, at the latest at
    /// `deadline`. Clients are told apart by their address.
    fn prove(
        &self,
        subjects: Vec<Subject>,
        at: ProveAt,
        deadline: Instant,
        address: IpAddr,
    ) -> BoxFuture<'static, Result<Proven, BackendError>>;

    /// The changes that ended the epochs from `from` on, in order, at most `limit`; fewer where these are all.
    fn epoch_changes(&self, from: Epoch, limit: usize) -> Result<Vec<EpochChange>, BackendError>;

    /// A page of a namespace's keys.
    fn keys(&self, listing: &Listing) -> Result<ListedKeys, BackendError>;

    /// A final, executed block.
    fn block(&self, which: BlockRef) -> Result<Option<BlockView>, BackendError>;

    /// An account's transactions below `before`, newest first, at most `limit`.
    fn account_transactions(
        &self,
        id: &AccountId,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, BackendError>;

    /// A receipt's proof.
    fn receipt_proof(&self, id: &TxId) -> Result<ProofStatus, BackendError>;

    /// The node's condition.
    fn status(&self) -> Status;

    /// The epoch that goes on, its committee, and the one that operators want next.
    fn committee(&self) -> Result<Committee, BackendError>;

    /// A final, executed block as streams tell it; none where it was pruned.
    fn final_block(&self, height: Height) -> Result<Option<FinalBlock>, BackendError>;

    /// The newest block, as blocks become final and executed; some may be left out.
    fn subscribe(&self) -> watch::Receiver<Newest>;

    /// All metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;
}
