//! The interface between the gateway and its node: one trait.
//!
//! *Invariants:* the gateway knows the node only through this trait.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rustorium_api::{
    BackendError, BalanceListing, BlockRef, BlockView, ClientSession, Committee, FinalBlock, Governance, GrantListing,
    History, InForce, KeyHistory, ListedBalances, ListedGrants, ListedKeys, Listing, Newest, Place, ProofStatus,
    ProveAt, Proven, ReadAt, StateValues, Status, Submitted, SubmittedSink, TransactionStatus, Wait,
};
use rustorium_crypto::Addressed;
use rustorium_types::{AccountId, ChainId, Epoch, EpochTransition, Genesis, Height, ShardId, Subject, TxId};
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
    /// Canonical bytes of the genesis.
    pub genesis_bytes: Bytes,
    /// The shard served.
    pub shard: ShardId,
    /// A name for people.
    pub name: String,
}

impl ChainInfo {
    /// Returns the error about an account of another shard, which names that shard (S17).
    pub fn elsewhere(&self, account: &AccountId) -> BackendError {
        BackendError::Elsewhere { account: *account, shard: self.genesis.shard_of(account), asked: self.shard }
    }
}

/// The node behind the gateway. `block` and `final_block` can read a block before `subscribe` announces it.
pub trait Backend: Send + Sync + 'static {
    /// The chain served.
    fn chain(&self) -> &ChainInfo;

    /// Submits transactions. Returns one answer per item, in order, by `deadline`.
    fn submit(
        &self,
        transactions: Vec<Addressed>,
        wait: Wait,
        deadline: Instant,
        visit: &Arc<ClientSession>,
    ) -> BoxFuture<'static, Vec<Submitted>>;

    /// Submits transactions. Calls `done` once per item when its outcome is known, or when the session ends.
    fn submit_streaming(
        &self,
        transactions: Vec<Addressed>,
        wait: Wait,
        visit: &Arc<ClientSession>,
        done: SubmittedSink,
    );

    /// Ends the session and its waits. Nothing is reported.
    fn left(&self, visit: &ClientSession) {
        visit.end();
    }

    /// Returns the shards that the process hosts, in order.
    fn hosted(&self) -> Vec<ShardId> {
        vec![self.chain().shard]
    }

    /// Returns the other shards that the process hosts, each with what answers for it.
    fn others(&self) -> Vec<(ShardId, Arc<dyn Backend>)> {
        Vec::new()
    }

    /// Reports that a loop that accepts clients has panicked and ended.
    fn panicked(&self, part: &'static str) {
        let _ = part;
    }

    /// Returns how many ms to wait if no transaction of `site` would be taken now. Without a site, answers for a site
    /// that has none waiting. The gateway then refuses before it decodes anything.
    fn busy(&self, site: Option<IpAddr>) -> Option<u64> {
        let _ = site;
        None
    }

    /// Returns the state of a transaction.
    fn transaction(&self, id: &TxId) -> Result<TransactionStatus, BackendError>;

    /// Reads the values of subjects, all at the same height.
    fn read(&self, subjects: &[Subject], at: ReadAt) -> Result<StateValues, BackendError>;

    /// Reads the values of subjects (1 to `PROOF_KEYS_MAX`, ascending, each once) by `deadline`, with one proof of them
    /// all. Clients are distinguished by their address.
    fn prove(
        &self,
        subjects: Vec<Subject>,
        at: ProveAt,
        deadline: Instant,
        address: IpAddr,
    ) -> BoxFuture<'static, Result<Proven, BackendError>>;

    /// Returns the changes that ended the epochs from `from` on, in order: `limit`, or fewer if there are no more.
    fn epoch_changes(&self, from: Epoch, limit: usize) -> Result<Vec<EpochTransition>, BackendError>;

    /// Reads a page of a namespace's keys.
    fn keys(&self, listing: &Listing) -> Result<ListedKeys, BackendError>;

    /// Reads a page of the grants that an account gave.
    fn grants(&self, listing: &GrantListing) -> Result<ListedGrants, BackendError>;
    /// Reads a page of an account's balances.
    fn balances(&self, listing: &BalanceListing) -> Result<ListedBalances, BackendError>;

    /// Reads a page of a key's versions.
    fn history(&self, history: &History) -> Result<KeyHistory, BackendError>;

    /// Reads a final, executed block.
    fn block(&self, which: BlockRef) -> Result<Option<BlockView>, BackendError>;

    /// Lists an account's transactions below `before`, newest first, at most `limit`.
    fn account_transactions(
        &self,
        id: &AccountId,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, BackendError>;

    /// Makes a receipt's proof.
    fn receipt_proof(&self, id: &TxId) -> Result<ProofStatus, BackendError>;

    /// Returns the node's condition.
    fn status(&self) -> Status;

    /// Returns the rules of the current epoch; `None` if the node has no state yet.
    fn in_force(&self) -> Option<InForce>;

    /// Returns the current epoch and committee, and the committee that operators want next.
    fn committee(&self) -> Result<Committee, BackendError>;

    /// Returns the operators' seats, their open proposals and the pauses. Under version 1 no seat acts yet.
    fn governance(&self) -> Result<Governance, BackendError>;

    /// Reads a final, executed block for event streams; `None` if it was pruned.
    fn final_block(&self, height: Height) -> Result<Option<FinalBlock>, BackendError>;

    /// Subscribes to the newest final, executed block. Some blocks may be skipped.
    fn subscribe(&self) -> watch::Receiver<Newest>;

    /// Returns all metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;
}
