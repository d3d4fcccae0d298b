//! The messages of state sync: offers of snapshots, and parts of a snapshot.

use crate::address::AccountId;
use crate::codec::{BoundedBytes, BoundedVec};
use crate::consensus::{Certificate, Header};
use crate::ids::{Hash, Height};
use crate::limits::*;
use crate::proof::ResultLink;
use borsh::{BorshDeserialize, BorshSerialize};

/// The state after one height as the chain certified it, with everything that a node needs to continue from there.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Snapshot {
    /// The height of the state: the end of a root period.
    pub height: Height,
    /// Consecutive headers. They begin after the height that the header at `height` claims as rooted, so that root
    /// periods can be continued. They contain one that claims the root at `height`, and end with the header of
    /// `finalization`.
    pub headers: BoundedVec<Header, SNAPSHOT_HEADERS_MAX>,
    /// A finalization that makes the last header final, and thereby all of them.
    pub finalization: Certificate,
    /// The result root at `height`.
    pub result_root: Hash,
    /// Links of the heights above, up to one whose result root a header claims.
    pub links: BoundedVec<ResultLink, SNAPSHOT_HEADERS_MAX>,
}

/// A leaf of the state with its value.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct StateLeaf {
    /// The account of the leaf.
    pub account: AccountId,
    /// The leaf's name. The leaf's key contains its hash.
    pub name: BoundedBytes<LEAF_NAME_BYTES_MAX>,
    /// The leaf's value.
    pub value: BoundedBytes<VALUE_BYTES_MAX>,
}

/// A question of state sync.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum StateRequest {
    /// The newest snapshot above this height.
    Newest {
        /// The height.
        above: Height,
    },
    /// The inner node with this prefix: its slots, or all leaves below it if they are few.
    Node {
        /// The snapshot's height.
        root: Height,
        /// The prefix.
        prefix: BoundedBytes<NODE_PREFIX_BYTES_MAX>,
    },
    /// The values of the leaves in a node's slots, from one slot on, as many as fit.
    Values {
        /// The snapshot's height.
        root: Height,
        /// The node's prefix.
        prefix: BoundedBytes<NODE_PREFIX_BYTES_MAX>,
        /// The first slot.
        from: u8,
    },
}

/// The answer to a `StateRequest`.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum StateAnswer {
    /// A snapshot.
    Snapshot(Snapshot),
    /// The filled slots of a node, as the crate `state` encodes a chunk.
    Slots(BoundedBytes<NODE_SLOTS_BYTES_MAX>),
    /// All leaves below a node, ascending by key.
    Subtree(BoundedVec<StateLeaf, SUBTREE_LEAVES_MAX>),
    /// Leaves of a node's slots, ascending by slot.
    Values(BoundedVec<StateLeaf, NODE_LEAVES_MAX>),
}
