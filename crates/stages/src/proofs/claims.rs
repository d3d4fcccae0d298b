//! The final header that claims a root, and the proof that it is final.

use crate::block_proofs::{block_proof, storage};
use parking_lot::Mutex;
use rustorium_api::BackendError;
use rustorium_shard::periods::claimed_height;
use rustorium_storage::{Store, StoreError, nearest_root};
use rustorium_types::{BlockProof, Hash, Header, Height, StateClaim};
use std::collections::VecDeque;
use std::sync::Arc;

/// Number of claims kept in memory.
const CLAIMS_MAX: usize = 16;
/// Number of newest roots that are tried: the certificate of the newest claiming header may be a moment late.
const NEWEST_TRIED: usize = 4;

/// Root and the final header that claims it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertifiedRoot {
    /// Rooted height.
    pub height: Height,
    /// State root after that height.
    pub state_root: Hash,
    /// Result root of that height.
    pub result_root: Hash,
    /// Header that claims the root.
    pub header: Header,
    /// Proof that the header is final.
    pub proof: BlockProof,
}

/// Claims that were looked up before.
#[derive(Default)]
pub struct Claims(Mutex<VecDeque<Arc<CertifiedRoot>>>);

impl Claims {
    /// Returns the claim of this root if it was looked up before.
    pub fn known(&self, root: Height) -> Option<Arc<CertifiedRoot>> {
        self.0.lock().iter().find(|claimed| claimed.height == root).cloned()
    }

    /// Returns the claim of a kept root, or (`None`) of the newest certified one.
    ///
    /// # Errors
    /// `ProofPruned` if that root isn't kept, `NotProvenYet` if there is no certificate yet, or the store's.
    pub fn resolve(&self, store: &dyn Store, root: Option<Height>) -> Result<Arc<CertifiedRoot>, BackendError> {
        let roots = store.roots();
        let newest = roots.first().copied().unwrap_or_default();
        let candidates: Vec<Height> = match root {
            None => roots.into_iter().take(NEWEST_TRIED).collect(),
            Some(height) if roots.contains(&height) => vec![height],
            Some(height) => {
                return Err(BackendError::ProofPruned { height, nearest: nearest_root(&roots, height) });
            }
        };
        for height in candidates {
            if let Some(claimed) = self.look_up(store, height).map_err(storage)? {
                return Ok(claimed);
            }
        }
        Err(BackendError::NotProvenYet { from: root.unwrap_or_default(), newest })
    }

    fn look_up(&self, store: &dyn Store, root: Height) -> Result<Option<Arc<CertifiedRoot>>, StoreError> {
        if let Some(known) = self.known(root) {
            return Ok(Some(known));
        }
        let Some(found) = claim_of(store, root)?.map(Arc::new) else { return Ok(None) };
        let mut kept = self.0.lock();
        kept.push_front(found.clone());
        kept.truncate(CLAIMS_MAX);
        Ok(Some(found))
    }
}

/// Returns the first final header that claims the root of exactly this height. `None` if it isn't stored, or nothing
/// proves yet that it is final.
///
/// # Errors
/// The store's.
pub fn claim_of(store: &dyn Store, root: Height) -> Result<Option<CertifiedRoot>, StoreError> {
    let Some(tip) = store.tip().map(|tip| tip.height) else { return Ok(None) };
    // Claims of headers never go back, so this searches by halves for the first header that claims the root.
    let (mut low, mut high) = (root.0.max(store.kept().oldest_height.0.saturating_sub(1)) + 1, tip.0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(block) = store.bare_block(Height(middle))? else { return Ok(None) };
        if claimed_height(&block.header.state) >= root && block.header.state != StateClaim::NoneYet {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let Some(block) = store.bare_block(Height(low))? else { return Ok(None) };
    let StateClaim::Rooted { height, root: state_root, .. } = block.header.state else { return Ok(None) };
    if height != root {
        return Ok(None);
    }
    let Some(proof) = block_proof(store, block.header.height)? else { return Ok(None) };
    let result_root = store.links(root, root)?.first().map_or(Hash::ZERO, |stored| stored.result_root);
    Ok(Some(CertifiedRoot { height, state_root, result_root, header: block.header, proof }))
}
