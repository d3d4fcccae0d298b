//! Proofs from the store that a block is final, and that a block has a receipt.

use rustorium_api::{BackendError, ProofStatus};
use rustorium_execution::prove_receipt;
use rustorium_storage::{Store, StoreError};
use rustorium_types::limits::PROOF_HEADERS_MAX;
use rustorium_types::{BlockProof, BoundedVec, Header, Height, TxId};

/// Maximum number of heights searched for the header that claims a receipt. Claims lag by less.
const CLAIM_SEARCH_MAX: u64 = 4096;

/// Returns the clients' error for a store's error.
pub fn storage(error: StoreError) -> BackendError {
    match error {
        StoreError::Pruned { height, oldest } => BackendError::Pruned { height, oldest },
        StoreError::ProofPruned { height, nearest } => BackendError::ProofPruned { height, nearest },
        StoreError::Ahead { height, tip } => BackendError::Ahead { height, tip: tip.unwrap_or_default() },
        other => BackendError::Storage(other.to_string()),
    }
}

/// Returns a proof that the block at `height` is final: the next stored finalization of its epoch, and the headers up
/// to that block. If that finalization is of a later epoch, whose committee may differ, the proof is that of the
/// epoch's boundary. `None` if the block isn't stored.
pub fn block_proof(store: &dyn Store, height: Height) -> Result<Option<BlockProof>, StoreError> {
    let Some(block) = store.bare_block(height)? else { return Ok(None) };
    let epoch = block.header.epoch;
    let next = store.finalization_at_or_above(height)?.filter(|(_, certificate)| certificate.body.epoch == epoch);
    let (certified, closing, finalization) = match next {
        Some((certified, finalization)) => (certified, Vec::new(), finalization),
        None => match store.epoch(epoch)? {
            Some(change) => {
                let (boundary, proof) = change.into_boundary();
                (boundary.height, proof.descendants.into_vec(), proof.finalization)
            }
            None => return Ok(None),
        },
    };
    if certified.0.saturating_sub(height.0) + closing.len() as u64 > PROOF_HEADERS_MAX as u64 {
        return Ok(None);
    }
    let mut headers: Vec<Header> = Vec::new();
    for next in height.0 + 1..=certified.0 {
        let Some(block) = store.bare_block(Height(next))? else { return Ok(None) };
        headers.push(block.header);
    }
    headers.extend(closing);
    Ok(BoundedVec::new(headers).ok().map(|descendants| BlockProof { descendants, finalization }))
}

/// Returns a receipt's proof from the lowest final header that claims its height.
pub fn receipt_proof(store: &dyn Store, id: &TxId) -> Result<ProofStatus, BackendError> {
    let Some(found) = store.transaction(id).map_err(storage)? else { return Ok(ProofStatus::NotFound) };
    let (height, index) = (found.receipt.height, found.receipt.index as usize);
    let tip = store.tip().map_or(Height(0), |tip| tip.height);
    let last = tip.0.min(height.0 + CLAIM_SEARCH_MAX);
    let mut claiming = None;
    for above in height.0 + 1..=last {
        let block = store.bare_block(Height(above)).map_err(storage)?;
        if let Some(block) = block.filter(|block| block.header.result.height >= height) {
            claiming = Some(block.header);
            break;
        }
    }
    let Some(header) = claiming else { return Ok(ProofStatus::NotCertifiedYet) };
    let Some(proof) = block_proof(store, header.height).map_err(storage)? else {
        return Ok(ProofStatus::NotCertifiedYet);
    };
    let links = store.links(Height(height.0 - 1), header.result.height).map_err(storage)?;
    let Some(stored) = store.block(height).map_err(storage)? else { return Ok(ProofStatus::NotFound) };
    let Some((before, links)) = links.split_first() else { return Ok(ProofStatus::NotCertifiedYet) };
    let links = links.iter().map(|stored| stored.link).collect();
    prove_receipt(&stored.receipts, index, before.result_root, links, header, proof)
        .map(|proof| ProofStatus::Proof(Box::new(proof)))
        .map_err(|unprovable| BackendError::Unavailable(unprovable.to_string()))
}
