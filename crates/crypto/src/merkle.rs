//! A binary BLAKE3 Merkle tree over leaf hashes (the shape of RFC 6962, section 2.1): roots, paths, checks.

use crate::hash::{domain, hash};
use rustorium_types::Hash;

fn node(left: &Hash, right: &Hash) -> Hash {
    Hash(hash(domain::NODE, &[&left.0, &right.0]))
}

fn split(n: usize) -> usize {
    // The largest power of two below n; n is at least 2.
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// Returns the root over `leaves`, which are hashes made under a leaf domain; zero if there are none.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::ZERO,
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node(&root(left), &root(right))
        }
    }
}

/// Returns the sibling hashes from the leaf at `index` up to the root, nearest first; `None` if there is no such leaf.
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut low, mut high) = (0, leaves.len());
    let mut siblings = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            siblings.push(root(&leaves[middle..high]));
            high = middle;
        } else {
            siblings.push(root(&leaves[low..middle]));
            low = middle;
        }
    }
    siblings.reverse();
    Some(siblings)
}

/// Returns the least number of leaves for which the leaf at `index` has a path of the same form as with `count`. A path
/// doesn't show more about the number, so this is the one to write beside a path.
pub fn least_count(index: usize, count: usize) -> usize {
    if count < 2 {
        return count;
    }
    let middle = split(count);
    if index < middle { middle + 1 } else { middle + least_count(index - middle, count - middle) }
}

/// Returns the root for `leaf` at `index` of `count` leaves with these siblings; `None` if their number is wrong.
pub fn root_from_path(leaf: Hash, index: usize, count: usize, siblings: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let (mut low, mut high) = (0, count);
    let mut right_turns = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        right_turns.push(index >= middle);
        if index < middle { high = middle } else { low = middle }
    }
    if siblings.len() != right_turns.len() {
        return None;
    }
    let climb = right_turns.iter().rev().zip(siblings);
    Some(climb.fold(leaf, |at, (right, sibling)| if *right { node(sibling, &at) } else { node(&at, sibling) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_path_leads_to_the_root_and_no_other_leaf_does(count in 1usize..70, index in 0usize..70, other in 0u8..=255) {
            let leaves: Vec<Hash> = (0..count).map(|i| Hash([i as u8; 32])).collect();
            let siblings = path(&leaves, index);
            prop_assert_eq!(siblings.is_some(), index < count);
            if let Some(siblings) = siblings {
                prop_assert_eq!(root_from_path(leaves[index], index, count, &siblings), Some(root(&leaves)));
                if usize::from(other) != index {
                    prop_assert_ne!(root_from_path(Hash([other; 32]), index, count, &siblings), Some(root(&leaves)));
                }
                let least = least_count(index, count);
                let same = |other: &usize| root_from_path(leaves[index], index, *other, &siblings) == Some(root(&leaves));
                prop_assert_eq!(Some(least), (index + 1..=count).find(same));
                prop_assert_eq!(least_count(index, least), least);
                let mut longer = siblings.clone();
                longer.push(Hash::ZERO);
                prop_assert_eq!(root_from_path(leaves[index], index, count, &longer), None);
            }
        }
    }
}
