//! Reads of the state, with and without proof.

use super::NodeBackend;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use rustorium_api::{At, BackendError, ProveAt, Proven, ReadAt, StateValues};
use rustorium_execution::subject_key;
use rustorium_stages::block_proofs::storage;
use rustorium_stages::proofs::{CertifiedRoot, ProofPool};
use rustorium_storage::Store;
use rustorium_transport::handshakes::site;
use rustorium_types::{BoundedBytes, Height, LeafValue, StateKey, Subject};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// Time after which a client with an expired request tries again.
const RETRY_AFTER_MS: u64 = 200;
/// A certificate may reach the store without a commit: how often a wait looks again without being told.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The bytes of leaves, in the order of their keys.
type Leaves = Vec<Option<Vec<u8>>>;

/// Returns the contents of subjects, all at one height.
pub(super) fn read(node: &NodeBackend, subjects: &[Subject], at: ReadAt) -> Result<StateValues, BackendError> {
    let keys: Vec<StateKey> = subjects.iter().map(subject_key).collect();
    let (values, at) = match at {
        ReadAt::Latest => {
            let found = node.store.state_at_tip(&keys).map_err(storage)?;
            let at = found.tip.map_or(At::default(), |tip| At { height: tip.height, root: tip.result_root });
            (found.values, at)
        }
        ReadAt::Proven => {
            let newest = node.store.kept().roots.map(|(_, newest)| newest);
            let none = || match &node.proofs {
                Some(_) => BackendError::NotProvenYet { from: Height(0), newest: Height(0) },
                None => BackendError::NoStateRoots,
            };
            values_at(&*node.store, newest.ok_or_else(none)?, &keys)?
        }
        ReadAt::Height(height) => values_at(&*node.store, height, &keys)?,
    };
    let leaf = |value: Option<Vec<u8>>| -> Result<LeafValue, BackendError> {
        value.map(BoundedBytes::new).transpose().map_err(|error| BackendError::Storage(error.to_string()))
    };
    Ok(StateValues { values: values.into_iter().map(leaf).collect::<Result<_, _>>()?, at })
}

fn values_at(store: &dyn Store, height: Height, keys: &[StateKey]) -> Result<(Leaves, At), BackendError> {
    let values = store.values_at(height, keys).map_err(storage)?;
    let links = store.links(height, height).map_err(storage)?;
    let root = links.first().map(|stored| stored.result_root).unwrap_or_default();
    Ok((values, At { height, root }))
}

/// Returns the contents of subjects, with one proof for all.
pub(super) fn prove(
    node: &NodeBackend,
    subjects: Vec<Subject>,
    at: ProveAt,
    deadline: Instant,
    address: IpAddr,
) -> BoxFuture<'static, Result<Proven, BackendError>> {
    let Some(pool) = node.proofs.clone() else { return ready(Err(BackendError::NoStateRoots)).boxed() };
    let moved = node.progress.moved.subscribe();
    let executed = node.store.tip().map_or(Height(0), |tip| tip.payload_height);
    async move {
        let root = match at {
            ProveAt::Height(height) => Some(height),
            ProveAt::Newest { from: Height(0) } => None,
            // Before the first block there is no root to wait for: the client is told at once, and has the genesis.
            ProveAt::Current if executed == Height(0) => None,
            ProveAt::Newest { from } => Some(claimed_from(&pool, from, moved, deadline).await?.height),
            ProveAt::Current => Some(claimed_from(&pool, executed, moved, deadline).await?.height),
        };
        let (sender, answer) = oneshot::channel();
        let sink = Box::new(move |answered| {
            // A client that went away has no use for the answer.
            let _ = sender.send(answered);
        });
        pool.ask(site(address), subjects, root, deadline.into_std(), sink);
        match timeout_at(deadline, answer).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err(BackendError::Unavailable("it is stopping".to_owned())),
            Err(_) => Err(BackendError::Busy { retry_after_ms: RETRY_AFTER_MS }),
        }
    }
    .boxed()
}

/// Waits for a certified root at or above a height.
async fn claimed_from(
    pool: &Arc<ProofPool>,
    from: Height,
    mut moved: watch::Receiver<()>,
    deadline: Instant,
) -> Result<Arc<CertifiedRoot>, BackendError> {
    let mut newest = Height(0);
    while Instant::now() < deadline {
        // Before it is looked up, so that nothing that happens meanwhile is missed.
        moved.mark_unchanged();
        let looked = pool.clone();
        match tokio::task::spawn_blocking(move || looked.claimed(None)).await {
            Ok(Ok(claimed)) if claimed.height >= from => return Ok(claimed),
            Ok(Ok(claimed)) => newest = claimed.height,
            Ok(Err(BackendError::NotProvenYet { .. })) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(BackendError::Unavailable("the wait was interrupted".to_owned())),
        }
        let told = timeout(LOOK_AGAIN, moved.changed());
        if let Ok(Ok(Err(_))) = timeout_at(deadline, told).await {
            return Err(BackendError::Unavailable("it is stopping".to_owned()));
        }
    }
    Err(BackendError::NotProvenYet { from, newest })
}
