//! The order of a block's lanes: drawn.
//!
//! *Invariants:* the block's proposer can't choose it (R50).

use rustorium_crypto::{domain, hash};
use rustorium_types::{Hash, Header, permutation};

/// Returns `n` lanes, permuted by a root that was claimed before the view began. The proposer's lane is moved to the end.
pub(crate) fn permuted(header: &Header, parent_root: &Hash, n: usize) -> Vec<usize> {
    let mut lanes = permutation(lane_seed(header, parent_root), n);
    let own = usize::from(header.proposer.0);
    if let Some(place) = lanes.iter().position(|lane| *lane == own) {
        lanes.remove(place);
        lanes.push(own);
    }
    lanes
}

fn lane_seed(header: &Header, parent_root: &Hash) -> u64 {
    let (epoch, view) = (header.epoch.0.to_le_bytes(), header.view.0.to_le_bytes());
    let digest = hash(domain::LANE_ORDER, &[&epoch, &view, &parent_root.0]);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}
