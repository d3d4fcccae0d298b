//! The one order of a block's transactions: inline first, then lanes, each by seq.
//!
//! *Invariants:* follows from the block's header and the root that its parent claims; under version 2 whoever proposes the
//! block chooses neither (R50).

use rustorium_crypto::{CheckedBatch, domain, hash};
use rustorium_types::{Hash, Header, Rules, Transaction, TxId, View, seeded};
use std::borrow::Borrow;

/// A block's `n` lanes in execution order; `parent_root` is the result root that its parent claims.
pub fn order(header: &Header, parent_root: &Hash, n: usize) -> Vec<usize> {
    match header.rules() {
        Rules::V1 => rotated(header.view, n),
        Rules::V2 => permuted(header, parent_root, n),
    }
}

/// Version 1: the view's leader first.
fn rotated(view: View, n: usize) -> Vec<usize> {
    let first = view.0.checked_rem(n as u64).unwrap_or(0) as usize;
    (first..n).chain(0..first).collect()
}

/// Version 2: permuted by what was claimed before the view began, then the proposer's lane last.
fn permuted(header: &Header, parent_root: &Hash, n: usize) -> Vec<usize> {
    let mut lanes = permutation(lane_seed(header, parent_root), n);
    let own = usize::from(header.proposer.0);
    if let Some(place) = lanes.iter().position(|lane| *lane == own).filter(|_| !seeded::bug("own-lane-anywhere")) {
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

/// The numbers below `n`, permuted: Fisher–Yates from the last place down, on splitmix64.
pub fn permutation(seed: u64, n: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    let mut state = seed;
    for last in (1..n).rev() {
        let other = (split_mix(&mut state) % (last as u64 + 1)) as usize;
        places.swap(last, other);
    }
    places
}

/// The generator's next number.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The transactions of a block in execution order; `lanes` holds each lane's listed batches, ascending by seq.
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

    #[test]
    fn a_permutation_has_each_number_once_and_is_the_generators() {
        // The generator's own reference values, of seed 1234567.
        let mut state = 1_234_567;
        assert_eq!(split_mix(&mut state), 6_457_827_717_110_365_317);
        assert_eq!(split_mix(&mut state), 3_203_168_211_198_807_973);
        for n in 0..40 {
            let mut places = permutation(n as u64, n);
            places.sort_unstable();
            assert!(places.into_iter().eq(0..n));
        }
    }
}
