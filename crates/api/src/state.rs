//! Questions about the state, and their answers.

use crate::answers::At;
use rustorium_crypto::pool_account;
use rustorium_execution::PoolRow;
use rustorium_types::{BoundedBytes, Hash, Height, LeafValue, ReadProof, Subject};
use std::ops::Range;

/// State that a read refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadAt {
    /// After the newest executed height.
    Latest,
    /// After the newest height whose root a final header claims.
    Proven,
    /// After this height.
    Height(Height),
}

/// Values of some subjects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateValues {
    /// The bytes of each subject's leaf, in the question's order.
    pub values: Vec<LeafValue>,
    /// Height and root at which the values hold.
    pub at: At,
}

/// State root that a proof is made under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProveAt {
    /// The newest root that a final header claims; the node waits until it is at this height or above.
    Newest {
        /// The least height.
        from: Height,
    },
    /// The newest root; the node waits until it covers everything executed at the time of the request.
    Current,
    /// The root after this height.
    Height(Height),
}

/// Values of some subjects, with their proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proven {
    /// The proof; its entries are the answer, ascending by subject.
    pub proof: Box<ReadProof>,
    /// Height with a state root, and the result root there.
    pub at: At,
    /// The state root that the proof's header claims.
    pub state_root: Hash,
}

/// Returns the subjects of a pool of shielded value: its head, then the records of these transfers.
pub fn pool_subjects(pool: u32, transfers: Range<u64>) -> Vec<Subject> {
    let account = pool_account(pool);
    // A pool's keys are far shorter than a key may be.
    let subject = |row: PoolRow| Subject::Value(account, BoundedBytes::new(row.bytes()).unwrap_or_default());
    std::iter::once(PoolRow::Head).chain(transfers.map(PoolRow::Record)).map(subject).collect()
}
