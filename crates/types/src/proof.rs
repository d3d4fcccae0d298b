//! Proofs that a client checks by itself: of values, of receipts, of transactions with their receipts, and of blocks.
//! Values and their absence are proved under a certified state root, receipts under a certified result root.

use crate::address::{AccountId, SYSTEM_ACCOUNT};
use crate::codec::{BoundedBytes, BoundedVec};
use crate::consensus::{BlockProof, Header};
use crate::genesis::{StateKey, ValidatorSet};
use crate::ids::{AssetId, Hash};
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::listed::Transaction;
use crate::transaction::Receipt;
use borsh::{BorshDeserialize, BorshSerialize};

/// The data that one height adds to the chain of result roots.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct ResultLink {
    /// Merkle root over the height's receipts; zero if there are none.
    pub receipts: Hash,
    /// Hash of the height's state changes.
    pub diff: Hash,
    /// Root of the messages to other shards; zero if there are none.
    pub outbox: Hash,
}

/// A change from one committee to the next. A light client, a joining node and a node that was away check it with the
/// old committee.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct EpochChange {
    /// The epoch's boundary block, which names the next committee by hash.
    pub boundary: Header,
    /// Proof that the boundary is final.
    pub proof: BlockProof,
    /// The next epoch's committee.
    pub next: ValidatorSet,
}

/// Links that a receipt proof may have: the heights from the receipt's to the claimed one.
pub const RESULT_LINKS_MAX: usize = 4096;

/// A proof that a quorum certified a receipt.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReceiptProof {
    /// The receipt.
    pub receipt: Receipt,
    /// The least number of receipts of a height for which this receipt's place has as many siblings on the same sides.
    /// A path doesn't show the true number, and each proof must have only one encoding.
    pub receipts: u32,
    /// Sibling hashes in the height's receipts tree, nearest first.
    pub siblings: BoundedVec<Hash, 32>,
    /// The result root before the receipt's height.
    pub previous_root: Hash,
    /// Links from the receipt's height (first) to the claimed height (last).
    pub links: BoundedVec<ResultLink, RESULT_LINKS_MAX>,
    /// The final header that claims the result root of the last link.
    pub header: Header,
    /// Proof that this header is final.
    pub proof: BlockProof,
}

/// Keys that one proof can be about.
pub const PROOF_KEYS_MAX: usize = 1024;

/// Bytes of an encoded proof of the crate `state`.
pub const STATE_PROOF_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of all values in one read proof. A larger answer must be requested in parts.
pub const PROOF_VALUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of any encoded proof.
pub const PROOF_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A part of the state that can be requested by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, BorshSerialize, BorshDeserialize)]
pub enum Subject {
    /// An account's record.
    Account(AccountId),
    /// An account's balance of an asset.
    Balance(AccountId, AssetId),
    /// The value of a key in an account's namespace.
    Value(AccountId, BoundedBytes<KEY_BYTES_MAX>),
    /// An account's settings and the change of them that waits, from version 2 on.
    Custody(AccountId),
    /// The seats that govern the chain, the places of their proposals and the pauses, from version 2 on.
    Governance,
    /// A proposal of the seats by its number, from version 2 on.
    Proposal(u64),
    /// The rights of the second account to write in the first one's namespace.
    Grant(AccountId, AccountId),
}

impl Subject {
    /// Returns the account that the subject belongs to.
    pub fn account(&self) -> AccountId {
        match self {
            Self::Account(account)
            | Self::Balance(account, _)
            | Self::Value(account, _)
            | Self::Custody(account)
            | Self::Grant(account, _) => *account,
            Self::Governance | Self::Proposal(_) => SYSTEM_ACCOUNT,
        }
    }
}

/// The value of a subject's leaf; `None` if there is no leaf.
pub type LeafValue = Option<BoundedBytes<VALUE_BYTES_MAX>>;

/// A proof of values in the state after a height whose root a quorum certified.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ReadProof {
    /// Subjects, strictly ascending, with their values.
    pub entries: BoundedVec<(Subject, LeafValue), PROOF_KEYS_MAX>,
    /// Further keys of the same state proof, strictly ascending: other clients asked for them at the same time.
    pub others: BoundedVec<StateKey, PROOF_KEYS_MAX>,
    /// The proof of the crate `state` under the root that the header claims.
    pub state: BoundedBytes<STATE_PROOF_BYTES_MAX>,
    /// A final header whose claim on the state is this root.
    pub header: Header,
    /// Proof that this header is final.
    pub proof: BlockProof,
}

/// A proof that a signed transaction was executed, with its result.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct TransactionProof {
    /// The transaction.
    pub transaction: Transaction,
    /// Proof of the transaction's receipt.
    pub receipt: ReceiptProof,
}

/// A proof that a block is part of the final chain.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct HeaderProof {
    /// The block's header.
    pub header: Header,
    /// Proof that the header is final.
    pub proof: BlockProof,
}

/// A proof together with its kind, as proof files hold it.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Proof {
    /// A proof of values in the state.
    Read(Box<ReadProof>),
    /// A proof of a receipt.
    Receipt(Box<ReceiptProof>),
    /// A proof of a transaction with its receipt.
    Transaction(Box<TransactionProof>),
    /// A proof of a block.
    Block(Box<HeaderProof>),
}

impl Proof {
    /// Returns the name of the proof's kind in files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::Receipt(_) => "receipt",
            Self::Transaction(_) => "transaction",
            Self::Block(_) => "block",
        }
    }
}
