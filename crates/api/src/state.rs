//! Questions about the state, and what a node answers.

use crate::answers::At;
use rustorium_types::{Hash, Height, LeafValue, ReadProof};

/// The state that is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadAt {
    /// After the newest executed height.
    Latest,
    /// After the newest height whose root a final header claims.
    Proven,
    /// After this height.
    Height(Height),
}

/// What some subjects hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateValues {
    /// The bytes of each subject's leaf, in the question's order.
    pub values: Vec<LeafValue>,
    /// Where this holds.
    pub at: At,
}

/// The root under which something is to be proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProveAt {
    /// The newest that a final header claims, waited for until it is of this height or above.
    Newest {
        /// The least height.
        from: Height,
    },
    /// The newest, waited for until it holds all that the node has executed when it is asked.
    Current,
    /// The root after this height.
    Height(Height),
}

/// What some subjects hold, with its proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proven {
    /// The proof; its entries are the answer, ascending by subject.
    pub proof: Box<ReadProof>,
    /// Where this holds: the rooted height and the result root there.
    pub at: At,
    /// The state root that the proof's header claims.
    pub state_root: Hash,
}
