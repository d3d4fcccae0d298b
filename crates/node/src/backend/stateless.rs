//! The answers of a node without a state: they say why it has none, and refuse everything else.

use crate::hosts::HostEnd;
use crate::statesync::FillProgress;
use futures_util::future::{BoxFuture, ready};
use rustorium_api::{
    At, BackendError, BalanceListing, BlockRef, BlockView, ClientSession, Committee, Filling, FinalBlock, Governance,
    GrantListing, History, InForce, KeyHistory, ListedBalances, ListedGrants, ListedKeys, Listing, Newest, Place,
    ProofStatus, ProveAt, Proven, ReadAt, Refused, StateValues, Status, Submitted, SubmittedSink, TransactionStatus,
    Wait,
};
use rustorium_crypto::Addressed;
use rustorium_gateway::{Backend, ChainInfo};
use rustorium_types::{AccountId, Epoch, EpochTransition, Height, Subject, TxId, View};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Time after which a client that asks for more should try again.
const RETRY_AFTER_MS: u64 = 1_000;

/// The reason why there is no state.
#[derive(Clone)]
pub(crate) enum NoState {
    /// The store is being filled.
    Filling(Arc<FillProgress>),
    /// The shard ended, and is started again.
    Ended(HostEnd),
}

impl NoState {
    fn sentence(&self) -> String {
        match self {
            Self::Filling(progress) => progress.now().sentence(),
            Self::Ended(HostEnd { code, sentence }) => {
                format!("the shard ended with {code} ({sentence}) and is started again by itself")
            }
        }
    }

    fn filling(&self) -> Option<Filling> {
        match self {
            Self::Filling(progress) => Some(progress.now()),
            Self::Ended(_) => None,
        }
    }
}

/// The gateway's view of a shard that has no state.
pub(crate) struct StatelessBackend {
    pub(crate) chain: ChainInfo,
    pub(crate) name: String,
    pub(crate) durability: &'static str,
    pub(crate) why: NoState,
}

impl StatelessBackend {
    fn not_yet<T>(&self) -> Result<T, BackendError> {
        Err(BackendError::Unavailable(self.why.sentence()))
    }

    fn refusal(&self) -> Submitted {
        let message = format!("the node has no state now ({}); send it to another node", self.why.sentence());
        Submitted::Refused(Refused {
            busy: true,
            retry_after_ms: Some(RETRY_AFTER_MS),
            ..Refused::new("busy", message)
        })
    }
}

impl Backend for StatelessBackend {
    fn chain(&self) -> &ChainInfo {
        &self.chain
    }

    fn submit(
        &self,
        transactions: Vec<Addressed>,
        _: Wait,
        _: Instant,
        _: &Arc<ClientSession>,
    ) -> BoxFuture<'static, Vec<Submitted>> {
        Box::pin(ready(transactions.iter().map(|_| self.refusal()).collect()))
    }

    fn submit_streaming(&self, transactions: Vec<Addressed>, _: Wait, _: &Arc<ClientSession>, done: SubmittedSink) {
        (0..transactions.len()).for_each(|index| done(index, self.refusal()));
    }

    fn transaction(&self, _: &TxId) -> Result<TransactionStatus, BackendError> {
        self.not_yet()
    }

    fn read(&self, _: &[Subject], _: ReadAt) -> Result<StateValues, BackendError> {
        self.not_yet()
    }

    fn prove(
        &self,
        _: Vec<Subject>,
        _: ProveAt,
        _: Instant,
        _: IpAddr,
    ) -> BoxFuture<'static, Result<Proven, BackendError>> {
        Box::pin(ready(self.not_yet()))
    }

    fn epoch_changes(&self, _: Epoch, _: usize) -> Result<Vec<EpochTransition>, BackendError> {
        self.not_yet()
    }

    fn keys(&self, _: &Listing) -> Result<ListedKeys, BackendError> {
        self.not_yet()
    }

    fn grants(&self, _: &GrantListing) -> Result<ListedGrants, BackendError> {
        self.not_yet()
    }

    fn balances(&self, _: &BalanceListing) -> Result<ListedBalances, BackendError> {
        self.not_yet()
    }

    fn history(&self, _: &History) -> Result<KeyHistory, BackendError> {
        self.not_yet()
    }

    fn block(&self, _: BlockRef) -> Result<Option<BlockView>, BackendError> {
        self.not_yet()
    }

    fn account_transactions(
        &self,
        _: &AccountId,
        _: Option<Place>,
        _: usize,
    ) -> Result<Vec<(Height, u32, TxId)>, BackendError> {
        self.not_yet()
    }

    fn receipt_proof(&self, _: &TxId) -> Result<ProofStatus, BackendError> {
        self.not_yet()
    }

    fn status(&self) -> Status {
        let filling = self.why.filling();
        let peers = filling.as_ref().map_or(0, |filling| filling.peers);
        Status {
            node: self.name.clone(),
            validator: None,
            version: env!("CARGO_PKG_VERSION").into(),
            height: At::default().height,
            view: View(0),
            epoch: Epoch(0),
            executed: At::default(),
            claimed: At::default(),
            peers_up: peers,
            peers,
            unreachable: Vec::new(),
            protocol: 0,
            older: Vec::new(),
            round_trips_us: BTreeMap::new(),
            pool_transactions: 0,
            pool_bytes: 0,
            durability: self.durability,
            ready: Err(self.why.sentence()),
            filling,
            findings: Vec::new(),
            retired: None,
            evidence: Vec::new(),
            governance: None,
        }
    }

    fn in_force(&self) -> Option<InForce> {
        None
    }

    fn committee(&self) -> Result<Committee, BackendError> {
        self.not_yet()
    }

    fn governance(&self) -> Result<Governance, BackendError> {
        self.not_yet()
    }

    fn final_block(&self, _: Height) -> Result<Option<FinalBlock>, BackendError> {
        self.not_yet()
    }

    fn subscribe(&self) -> watch::Receiver<Newest> {
        // Nothing becomes final here; the stream ends at once.
        watch::Sender::default().subscribe()
    }

    fn metrics(&self) -> String {
        "# EOF\n".into()
    }
}
