//! The execution order of a block's transactions: inline first, then lanes, each by seq.
//!
//! *Invariants:* the order follows from the block's header and the root that its parent claims.

use crate::{v1, v2};
use rustorium_crypto::CheckedBatch;
use rustorium_types::{Hash, Header, Rules, Transaction, TxId};
use std::borrow::Borrow;

/// Returns a block's `n` lanes in execution order. `parent_root` is the result root that its parent claims.
pub fn order(header: &Header, parent_root: &Hash, n: usize) -> Vec<usize> {
    match header.rules() {
        Rules::V1 => v1::order::rotated(header.view, n),
        Rules::V2 => v2::order::permuted(header, parent_root, n),
    }
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
