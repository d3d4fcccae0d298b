//! The one order of a block's transactions: inline first, then lanes rotated by view, each by seq.

use rustorium_crypto::CheckedBatch;
use rustorium_types::{Transaction, TxId, View};
use std::borrow::Borrow;

/// The lanes of a block of `view`, in execution order.
pub fn order(view: View, n: usize) -> impl Iterator<Item = usize> {
    let first = view.0.checked_rem(n as u64).unwrap_or(0) as usize;
    (first..n).chain(0..first)
}

/// The transactions of a block of `view` in execution order; `lanes` holds each lane's listed batches, ascending by seq.
pub fn arrange<'a, B: Borrow<CheckedBatch>>(
    view: View,
    inline: impl IntoIterator<Item = (TxId, &'a Transaction)>,
    lanes: &'a [Vec<B>],
) -> Vec<(TxId, &'a Transaction)> {
    let listed = order(view, lanes.len()).flat_map(|lane| &lanes[lane]).map(Borrow::borrow);
    let in_lanes = listed.flat_map(|batch| batch.ids.iter().copied().zip(batch.batch.body.transactions.as_slice()));
    inline.into_iter().chain(in_lanes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_rotated_by_view() {
        let lanes = |view, n| order(View(view), n).collect::<Vec<_>>();
        assert_eq!(lanes(0, 4), [0, 1, 2, 3]);
        assert_eq!(lanes(6, 4), [2, 3, 0, 1]);
        assert_eq!(lanes(u64::MAX, 3), [0, 1, 2]);
        assert_eq!(lanes(5, 0), [0usize; 0]);
    }
}
