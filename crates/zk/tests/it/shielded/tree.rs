//! The tree that keeps only its frontier has the same roots as the tree that keeps everything.

use proptest::prelude::*;
use rustorium_zk::shielded::error::ShieldedError;
use rustorium_zk::shielded::field::Element;
use rustorium_zk::shielded::note::Commitment;
use rustorium_zk::shielded::poseidon::hash_node;
use rustorium_zk::shielded::tree::{Frontier, LEVELS, Path, ROOTS_KEPT, Root, RootWindow, Siblings, Tree};

const DEPTH: usize = 3;

fn leaf(number: u64) -> Commitment {
    Commitment(Element::from(number + 1))
}

/// All leaves, hashed level by level.
fn naive(leaves: &[Commitment], depth: usize) -> Root {
    let mut nodes: Vec<Element> = leaves.iter().map(|leaf| leaf.0).collect();
    nodes.resize(4usize.pow(depth as u32), Element::from(0u64));
    while nodes.len() > 1 {
        nodes = nodes.chunks_exact(4).map(|group| hash_node(group.try_into().unwrap())).collect();
    }
    Root(nodes[0])
}

#[test]
fn a_leaf_at_a_time_up_to_the_last() {
    let mut tree = Frontier::<DEPTH>::default();
    let mut leaves = Vec::new();
    let mut paths: Vec<Siblings<DEPTH>> = Vec::new();
    assert_eq!(tree.root(), naive(&leaves, DEPTH));
    for number in 0..Frontier::<DEPTH>::CAPACITY {
        leaves.push(leaf(number));
        paths.push(Siblings::new(number as u32));
        let root = tree.append_following(&[leaf(number)], &mut paths.iter_mut().collect::<Vec<_>>()).unwrap();
        assert_eq!(root, naive(&leaves, DEPTH));
        for (path, leaf) in paths.iter().zip(&leaves) {
            assert_eq!(path.root(leaf), root);
        }
    }
    let before = tree.clone();
    assert_eq!(tree.append(&[leaf(1)]), Err(ShieldedError::TreeFull { wanted: 1, free: 0 }));
    assert_eq!(tree, before);
    assert_eq!(Frontier::<DEPTH>::from_bytes(&tree.to_bytes()).unwrap(), tree);
}

proptest! {
    #[test]
    fn batches_of_any_size(
        sizes in prop::collection::vec(0usize..20, 0..8),
        followed in prop::collection::btree_set(0u32..63, 0..6),
    ) {
        let mut tree = Frontier::<DEPTH>::default();
        let mut leaves = Vec::new();
        let mut paths: Vec<Siblings<DEPTH>> = Vec::new();
        for size in sizes {
            let start = leaves.len() as u64;
            let size = size.min((Frontier::<DEPTH>::CAPACITY - start) as usize) as u64;
            let batch: Vec<_> = (start..start + size).map(leaf).collect();
            leaves.extend_from_slice(&batch);
            paths.extend(followed.iter().filter(|at| (start..start + size).contains(&u64::from(**at))).map(|at| Siblings::new(*at)));
            let root = tree.append_following(&batch, &mut paths.iter_mut().collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(root, naive(&leaves, DEPTH));
            prop_assert_eq!(tree.count(), leaves.len() as u64);
            for path in &paths {
                prop_assert_eq!(path.root(&leaves[path.position() as usize]), root);
            }
            let bytes = tree.to_bytes();
            let again = Frontier::<DEPTH>::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&again, &tree);
            tree = again;
        }
    }

    #[test]
    fn a_frontier_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0u64..70) {
        let framed = [count.to_le_bytes().as_slice(), &bytes].concat();
        for bytes in [bytes, framed] {
            if let Ok(tree) = Frontier::<DEPTH>::from_bytes(&bytes) {
                prop_assert_eq!(tree.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn hashes_are_few(count in 0u64..5_000, more in 1u64..3_000) {
        let mut tree = Tree::default();
        tree.append(&vec![leaf(0); count as usize]).unwrap();
        let hashes = tree.hashes(more);
        // A third of a hash per leaf, and the end of the batch at each level.
        prop_assert!(hashes <= more / 3 + 2 * LEVELS as u64);
        prop_assert!(more < 20 || hashes <= 2 * more);
    }
}

#[test]
fn broken_frontiers_are_refused() {
    let mut tree = Frontier::<DEPTH>::default();
    tree.append(&(0..23).map(leaf).collect::<Vec<_>>()).unwrap();
    let bytes = tree.to_bytes();
    assert_eq!(bytes.len(), 8 + 32 * (3 + 1 + 1));
    for end in 0..bytes.len() {
        assert!(Frontier::<DEPTH>::from_bytes(&bytes[..end]).is_err(), "cut to {end}");
    }
    assert!(Frontier::<DEPTH>::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert!(Frontier::<DEPTH>::from_bytes(&64u64.to_le_bytes()).is_err());
    let mut high = bytes;
    high[8..40].fill(0xff);
    assert_eq!(Frontier::<DEPTH>::from_bytes(&high), Err(ShieldedError::NotAnElement));
}

#[test]
fn the_pools_tree_has_32_bits_of_leaves() {
    assert_eq!(Tree::CAPACITY, u64::from(u32::MAX));
    let mut tree = Tree::default();
    let mut path = Path::new(2);
    let root = tree.append_following(&(0..5).map(leaf).collect::<Vec<_>>(), &mut [&mut path]).unwrap();
    assert_eq!(path.root(&leaf(2)), root);
    assert_ne!(path.root(&leaf(3)), root);
    // Five leaves: two nodes above them, one above those, and one a level from there.
    assert_eq!(Tree::default().hashes(5), 2 + (LEVELS as u64 - 1));
}

#[test]
fn the_window_keeps_the_newest_roots() {
    let mut window = RootWindow::default();
    let empty = Tree::default().root();
    assert!(window.contains(&empty));
    for number in 1..ROOTS_KEPT as u64 {
        assert_eq!(window.push(Root(Element::from(number))), None);
    }
    assert!(window.contains(&empty));
    assert_eq!(window.push(Root(Element::from(7_000u64))), Some(empty));
    assert!(!window.contains(&empty));
    assert_eq!(window.roots().len(), ROOTS_KEPT);
    let mut one = RootWindow::new(0);
    assert_eq!(one.push(Root(Element::from(1u64))), Some(empty));
    assert!(one.contains(&Root(Element::from(1u64))));
}
