//! The tree of all commitments: four children a node, 16 levels, 2³² leaves, appended in batches.
//!
//! Only the frontier is kept: of each level the complete nodes without a parent yet, at most three. The same pass that
//! appends also updates the paths that a wallet follows ([`Path`]).

use std::collections::VecDeque;
use std::sync::LazyLock;

use super::error::ShieldedError;
use super::field::{Element, element_bytes, element_from_bytes};
use super::note::Commitment;
use super::poseidon::hash_node;
use crate::SCALAR_BYTES;

/// Children of a node.
pub const ARITY: usize = 4;

/// Levels between a leaf and the root: 4¹⁶ = 2³² leaves. The last leaf is never used, so that no tree is full and the
/// frontier describes it completely.
pub const LEVELS: usize = 16;

/// Number of newest roots that a proof may refer to.
pub const ROOTS_KEPT: usize = 1024;

/// Bytes of a path.
pub const PATH_BYTES: usize = LEVELS * (ARITY - 1) * SCALAR_BYTES;

/// A root of the tree. A proof states that its spent notes are below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Root(pub Element);

impl Root {
    /// Encodes the root.
    pub fn to_bytes(self) -> [u8; 32] {
        element_bytes(&self.0)
    }
}

/// The node over no leaf at each level, leaves first. An empty leaf is 0; nobody can find a note with this commitment.
static EMPTY: LazyLock<[Element; LEVELS + 1]> = LazyLock::new(|| {
    let mut nodes = [Element::from(0u64); LEVELS + 1];
    for level in 0..LEVELS {
        nodes[level + 1] = hash_node(&[nodes[level]; ARITY]);
    }
    nodes
});

/// The pool's tree.
pub type Tree = Frontier<LEVELS>;

/// A leaf's path to the root of the present tree.
pub type Path = Siblings<LEVELS>;

/// The kept part of a tree of `DEPTH` levels (at most [`LEVELS`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frontier<const DEPTH: usize> {
    count: u64,
    /// The complete nodes of each level without a complete parent. `count` determines their number.
    pending: [Vec<Element>; DEPTH],
    root: Root,
}

/// The siblings of a leaf and of each node above it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Siblings<const DEPTH: usize> {
    position: u32,
    /// For each level, the parent's three other children, in order.
    siblings: [[Element; ARITY - 1]; DEPTH],
}

impl<const DEPTH: usize> Default for Frontier<DEPTH> {
    fn default() -> Self {
        Self { count: 0, pending: std::array::from_fn(|_| Vec::new()), root: Root(EMPTY[DEPTH]) }
    }
}

impl<const DEPTH: usize> Frontier<DEPTH> {
    /// Largest number of leaves.
    pub const CAPACITY: u64 = (1 << (2 * DEPTH)) - 1;

    /// Returns the number of leaves.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the root.
    pub fn root(&self) -> Root {
        self.root
    }

    /// Appends `leaves` and returns the new root. Each node above them is hashed once.
    pub fn append(&mut self, leaves: &[Commitment]) -> Result<Root, ShieldedError> {
        self.append_following(leaves, &mut [])
    }

    /// Appends `leaves` and updates each of `paths`. Their leaves may be there already, or be among these.
    pub fn append_following(
        &mut self,
        leaves: &[Commitment],
        paths: &mut [&mut Siblings<DEPTH>],
    ) -> Result<Root, ShieldedError> {
        let (wanted, free) = (leaves.len() as u64, Self::CAPACITY - self.count);
        if wanted > free {
            return Err(ShieldedError::TreeFull { wanted, free });
        }
        if leaves.is_empty() {
            return Ok(self.root);
        }
        let leaves = leaves.iter().map(|leaf| leaf.0).collect();
        self.root = self.grow(wanted, leaves, paths);
        Ok(self.root)
    }

    /// Returns the number of hashes for appending `wanted` leaves: a third of a hash a leaf, and one or two a level.
    pub fn hashes(&self, wanted: u64) -> u64 {
        let span = |level: usize| {
            let unit = 2 * (level + 1);
            ((self.count + wanted - 1) >> unit) - (self.count >> unit) + 1
        };
        if wanted == 0 { 0 } else { (0..DEPTH).map(span).sum() }
    }

    /// Grows the tree level by level. The new nodes, after the pending ones, make the new or changed nodes above.
    fn grow(&mut self, wanted: u64, mut fresh: Vec<Element>, paths: &mut [&mut Siblings<DEPTH>]) -> Root {
        let after = self.count + wanted;
        for level in 0..DEPTH {
            let first = (self.count >> (2 * level)) & !(ARITY as u64 - 1);
            let mut row = std::mem::take(&mut self.pending[level]);
            row.append(&mut fresh);
            for path in &mut *paths {
                path.follow(level, first, &row);
            }
            fresh = row.chunks(ARITY).map(|group| hash_node(&padded(group, &EMPTY[level]))).collect();
            // The last node may not be complete yet. It counts for the root, and is computed again next time.
            let complete = after >> (2 * level);
            row.truncate((complete - first) as usize);
            row.drain(..((complete & !(ARITY as u64 - 1)) - first) as usize);
            self.pending[level] = row;
        }
        self.count = after;
        Root(fresh.first().copied().unwrap_or(EMPTY[DEPTH]))
    }

    /// Encodes the tree: the count, then the pending nodes, lowest level first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.count.to_le_bytes().to_vec();
        for node in self.pending.iter().flatten() {
            out.extend_from_slice(&element_bytes(node));
        }
        out
    }

    /// Decodes a tree.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ShieldedError> {
        let (count, mut rest) = bytes.split_first_chunk().ok_or(ShieldedError::Frontier("they are too short"))?;
        let count = u64::from_le_bytes(*count);
        if count > Self::CAPACITY {
            return Err(ShieldedError::Frontier("they count more leaves than a tree can have"));
        }
        let mut tree = Self { count, ..Self::default() };
        for level in 0..DEPTH {
            for _ in 0..(count >> (2 * level)) % ARITY as u64 {
                let (node, after) =
                    rest.split_first_chunk::<SCALAR_BYTES>().ok_or(ShieldedError::Frontier("they are too short"))?;
                tree.pending[level].push(element_from_bytes(node)?);
                rest = after;
            }
        }
        if !rest.is_empty() {
            return Err(ShieldedError::Frontier("they go on behind the end"));
        }
        tree.root = tree.grow(0, Vec::new(), &mut []);
        Ok(tree)
    }
}

impl Path {
    /// Encodes the path without the position: the siblings, lowest level first.
    pub fn to_bytes(&self) -> [u8; PATH_BYTES] {
        let mut out = [0; PATH_BYTES];
        for (place, sibling) in out.as_chunks_mut::<SCALAR_BYTES>().0.iter_mut().zip(self.siblings.as_flattened()) {
            *place = element_bytes(sibling);
        }
        out
    }

    /// Decodes a path.
    pub fn from_bytes(position: u32, bytes: &[u8; PATH_BYTES]) -> Result<Self, ShieldedError> {
        let mut path = Self::new(position);
        let places = path.siblings.as_flattened_mut().iter_mut();
        for (place, bytes) in places.zip(bytes.as_chunks::<SCALAR_BYTES>().0) {
            *place = element_from_bytes(bytes)?;
        }
        Ok(path)
    }
}

fn padded(group: &[Element], empty: &Element) -> [Element; ARITY] {
    std::array::from_fn(|at| *group.get(at).unwrap_or(empty))
}

impl<const DEPTH: usize> Siblings<DEPTH> {
    /// Creates the path of leaf number `position`. It must be passed to the append that adds the leaf.
    pub fn new(position: u32) -> Self {
        Self { position, siblings: std::array::from_fn(|level| [EMPTY[level]; ARITY - 1]) }
    }

    /// Returns the leaf's number.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// Returns the root that `leaf` and these siblings lead to.
    pub fn root(&self, leaf: &Commitment) -> Root {
        Root((0..DEPTH).fold(leaf.0, |node, level| hash_node(&self.children(level, node))))
    }

    /// Returns the four children at a level. `node` is the one on the path.
    pub fn children(&self, level: usize, node: Element) -> [Element; ARITY] {
        let own = self.digit(level);
        std::array::from_fn(|at| match at.cmp(&own) {
            std::cmp::Ordering::Less => self.siblings[level][at],
            std::cmp::Ordering::Equal => node,
            std::cmp::Ordering::Greater => self.siblings[level][at - 1],
        })
    }

    fn digit(&self, level: usize) -> usize {
        (self.position >> (2 * level)) as usize % ARITY
    }

    /// Copies the siblings that are in `row`, nodes of `level` from number `first` on.
    fn follow(&mut self, level: usize, first: u64, row: &[Element]) {
        let own = u64::from(self.position) >> (2 * level);
        let group = own & !(ARITY as u64 - 1);
        for (at, sibling) in (0..ARITY as u64).filter(|at| group + at != own).zip(&mut self.siblings[level]) {
            let node = (group + at).checked_sub(first).and_then(|index| row.get(index as usize));
            if let Some(node) = node {
                *sibling = *node;
            }
        }
    }
}

/// The newest roots, oldest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootWindow {
    roots: VecDeque<Root>,
    kept: usize,
}

impl Default for RootWindow {
    /// Creates the window of a new pool, with an empty tree's root.
    fn default() -> Self {
        Self::new(ROOTS_KEPT)
    }
}

impl RootWindow {
    /// Creates a window of the newest `kept` roots (at least one), for a new pool.
    pub fn new(kept: usize) -> Self {
        Self { roots: VecDeque::from([Tree::default().root()]), kept: kept.max(1) }
    }

    /// Adds the root after a block. Returns the root that is too old now.
    pub fn push(&mut self, root: Root) -> Option<Root> {
        self.roots.push_back(root);
        if self.roots.len() > self.kept { self.roots.pop_front() } else { None }
    }

    /// Tells if a proof may refer to this root.
    pub fn contains(&self, root: &Root) -> bool {
        self.roots.contains(root)
    }

    /// Returns the roots, oldest first.
    pub fn roots(&self) -> impl ExactSizeIterator<Item = &Root> {
        self.roots.iter()
    }
}
