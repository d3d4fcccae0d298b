//! What a client checks by itself: values and their absence under a certified state root, a receipt's way to a certified
//! result root, a transaction's to its receipt, and a block's to its finalization.

use crate::address::AccountId;
use crate::codec::{BoundedBytes, BoundedVec};
use crate::consensus::{BlockProof, Header};
use crate::genesis::{StateKey, ValidatorSet};
use crate::ids::{AssetId, Hash};
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::transaction::{Receipt, Transaction};
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

/// From one committee to the next: what a light client, a joiner and a node that was away check with the old one.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct EpochChange {
    /// The epoch's boundary block, which names the next committee by hash.
    pub boundary: Header,
    /// Shows that it is final.
    pub proof: BlockProof,
    /// The next epoch's committee.
    pub next: ValidatorSet,
}

/// Links that a receipt proof may carry: heights between the receipt's and the claim.
pub const RESULT_LINKS_MAX: usize = 4096;

/// Shows that a receipt is what a quorum certified.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReceiptProof {
    /// The receipt.
    pub receipt: Receipt,
    /// The least number of receipts of a height in which the place of this one has as many siblings on the same sides: the
    /// true number can't be told from a path, and one proof has one encoding.
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

/// Keys that one proof can be about.
pub const PROOF_KEYS_MAX: usize = 1024;

/// Bytes of an encoded proof of the crate `state`.
pub const STATE_PROOF_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of all values in one read proof: what is larger is asked in parts.
pub const PROOF_VALUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of any encoded proof.
pub const PROOF_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Something in the state that can be asked for by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, BorshSerialize, BorshDeserialize)]
pub enum Subject {
    /// An account's record.
    Account(AccountId),
    /// What an account holds of an asset.
    Balance(AccountId, AssetId),
    /// What a key of an account's namespace holds.
    Value(AccountId, BoundedBytes<KEY_BYTES_MAX>),
}

impl Subject {
    /// Whose state it is.
    pub fn account(&self) -> AccountId {
        match self {
            Self::Account(account) | Self::Balance(account, _) | Self::Value(account, _) => *account,
        }
    }
}

/// What a subject's leaf holds: the bytes of its value, or nothing.
pub type LeafValue = Option<BoundedBytes<VALUE_BYTES_MAX>>;

/// Shows what some subjects hold in the state after a height whose root a quorum certified.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReadProof {
    /// Subjects, strictly ascending, and what they hold.
    pub entries: BoundedVec<(Subject, LeafValue), PROOF_KEYS_MAX>,
    /// Keys that the same state proof is about besides, strictly ascending: others asked for them at the same time.
    pub others: BoundedVec<StateKey, PROOF_KEYS_MAX>,
    /// The proof of the crate `state` under the root that the header claims.
    pub state: BoundedBytes<STATE_PROOF_BYTES_MAX>,
    /// A final header whose claim on the state is this root.
    pub header: Header,
    /// Shows that this header is final.
    pub proof: BlockProof,
}

/// Shows that a signed transaction was executed, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct TransactionProof {
    /// The transaction.
    pub transaction: Transaction,
    /// Its receipt's proof.
    pub receipt: ReceiptProof,
}

/// Shows that a block is part of the final chain.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct HeaderProof {
    /// Its header.
    pub header: Header,
    /// Shows that it is final.
    pub proof: BlockProof,
}

/// A proof that says itself what it is of: what proof files hold.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Proof {
    /// Of values in the state.
    Read(Box<ReadProof>),
    /// Of a receipt.
    Receipt(Box<ReceiptProof>),
    /// Of a transaction with its receipt.
    Transaction(Box<TransactionProof>),
    /// Of a block.
    Block(Box<HeaderProof>),
}

impl Proof {
    /// The name of its kind in files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::Receipt(_) => "receipt",
            Self::Transaction(_) => "transaction",
            Self::Block(_) => "block",
        }
    }
}
