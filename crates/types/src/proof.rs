//! What a client checks by itself: a receipt's way to a certified result root, and a block's way to its finalization.

use crate::codec::BoundedVec;
use crate::consensus::{BlockProof, Header};
use crate::ids::Hash;
use crate::transaction::Receipt;
use borsh::{BorshDeserialize, BorshSerialize};

/// What one height adds to the chain of result roots.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct ResultLink {
    /// Merkle root over the height's receipts; zero for none.
    pub receipts: Hash,
    /// Hash of the height's state changes.
    pub diff: Hash,
    /// Root of what leaves for other shards; zero for none.
    pub outbox: Hash,
}

/// Links that a receipt proof may carry: heights between the receipt's and the claim.
pub const RESULT_LINKS_MAX: usize = 4096;

/// Shows that a receipt is what a quorum certified.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReceiptProof {
    /// The receipt.
    pub receipt: Receipt,
    /// Receipts of its height.
    pub receipts: u32,
    /// Sibling hashes in the height's receipts tree, nearest first.
    pub siblings: BoundedVec<Hash, 32>,
    /// The result root before the receipt's height.
    pub previous_root: Hash,
    /// Links of the receipt's height (first) to the claimed height (last).
    pub links: BoundedVec<ResultLink, RESULT_LINKS_MAX>,
    /// The final header that claims the result root of the last link.
    pub header: Header,
    /// Shows that this header is final.
    pub proof: BlockProof,
}
