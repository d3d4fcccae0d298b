//! The execution order of a block's transactions: inline first, then lanes, each by seq.
//!
//! *Invariants:* the order follows from the block's header and the root that its parent claims; under version 2 the
//! block's proposer can't choose it (R50).

use rustorium_crypto::{CheckedBatch, domain, hash};
use rustorium_types::{Hash, Header, Rules, Transaction, TxId, View, permutation};
use std::borrow::Borrow;

/// Returns a block's `n` lanes in execution order. `parent_root` is the result root that its parent claims.
pub fn order(header: &Header, parent_root: &Hash, n: usize) -> Vec<usize> {
    match header.rules() {
        Rules::V1 => rotated(header.view, n),
        Rules::V2 => permuted(header, parent_root, n),
    }
}

/// Version 1: the view's leader comes first.
fn rotated(view: View, n: usize) -> Vec<usize> {
    let first = view.0.checked_rem(n as u64).unwrap_or(0) as usize;
    (first..n).chain(0..first).collect()
}

/// Version 2: permuted by a root that was claimed before the view began, then the proposer's lane is moved to the end.
fn permuted(header: &Header, parent_root: &Hash, n: usize) -> Vec<usize> {
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

/// Returns the transactions of a block in execution order. `lanes` has each lane's listed batches, ascending by seq.
pub fn arrange<'a, B: Borrow<CheckedBatch>>(
    (header, parent_root): (&Header, &Hash),
    inline: impl IntoIterator<Item = (TxId, &'a Transaction)>,
    lanes: &'a [Vec<B>],
) -> Vec<(TxId, &'a Transaction)> {
    let ordered = order(header, parent_root, lanes.len());
    let listed = ordered.into_iter().flat_map(|lane| &lanes[lane]).map(Borrow::borrow);
    let in_lanes = listed.flat_map(|batch| batch.ids.iter().copied().zip(batch.batch.body.transactions.as_slice()));
    inline.into_iter().chain(in_lanes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_one_rotates_lanes_by_view() {
        assert_eq!(rotated(View(0), 4), [0, 1, 2, 3]);
        assert_eq!(rotated(View(6), 4), [2, 3, 0, 1]);
        assert_eq!(rotated(View(u64::MAX), 3), [0, 1, 2]);
        assert_eq!(rotated(View(5), 0), [0usize; 0]);
    }
}
