//! Blocks, votes and certificates.

use crate::codec::BoundedVec;
use crate::ids::{BatchDigest, BlockDigest, ChainId, Epoch, Hash, Height, ShardId, ValidatorIndex, View};
use crate::limits::*;
use crate::rules::Rules;
use crate::transaction::{Signature, Transaction};
use borsh::{BorshDeserialize, BorshSerialize};

/// How far a block's ancestry, itself included, has listed a lane.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Cursor {
    /// Batches listed so far: the seq that comes next.
    pub next_seq: u64,
    /// Digest of the last listed batch; zero where none is.
    pub tip: BatchDigest,
}

/// A header's claim on execution: certifies every height up to it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct ResultClaim {
    /// The newest executed height that is claimed.
    pub height: Height,
    /// The result root there.
    pub root: Hash,
}

/// A header's claim on the state tree.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub enum StateClaim {
    /// No state root is made by this protocol version.
    #[default]
    NoneYet,
    /// The root of the state after the root period that ended at `height`.
    Rooted {
        /// Last height of the period.
        height: Height,
        /// First height of the period.
        first: Height,
        /// The Verkle root.
        root: Hash,
    },
}

/// What a header says of the end of its epoch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub enum End {
    /// The epoch goes on.
    #[default]
    GoesOn,
    /// The chain of the epoch ends with this block, its boundary.
    Boundary,
    /// This block only helps to finalize the boundary, which it names: however many of its kind lie between, one header
    /// and its finalization show that the boundary is final.
    Closing(BlockDigest),
}

/// What is hashed into a block's digest.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Protocol version.
    pub version: u16,
    /// Genesis hash; zero in the genesis header itself.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The committee's term.
    pub epoch: Epoch,
    /// The view it was proposed in.
    pub view: View,
    /// The parent's plus one.
    pub height: Height,
    /// The parent's digest.
    pub parent: BlockDigest,
    /// The parent's view.
    pub parent_view: View,
    /// The view's leader.
    pub proposer: ValidatorIndex,
    /// Unix ms, above the parent's.
    pub time_ms: u64,
    /// Root over the inline transactions and the lane ranges.
    pub payload_root: Hash,
    /// One per lane, in validator order.
    pub cursors: BoundedVec<Cursor, VALIDATORS_MAX>,
    /// Transactions listed by this block, inline and in lanes.
    pub transactions: u32,
    /// Declared work of the listed transactions.
    pub declared_work: u64,
    /// One bit per load window, the newest lowest (section 8 of the design).
    pub load_history: u64,
    /// Hash of the committee.
    pub validator_set: Hash,
    /// Whether the epoch's chain ends here.
    pub end: End,
    /// Hash of the next epoch's committee where the epoch ends; else of this one.
    pub next_validator_set: Hash,
    /// Hash of the chain parameters.
    pub parameters: Hash,
    /// Hash of the shard map.
    pub shard_map: Hash,
    /// Execution claimed.
    pub result: ResultClaim,
    /// State claimed.
    pub state: StateClaim,
}

impl Header {
    /// The rules that its version names; the newest where this build doesn't know it: no node takes such a header.
    pub fn rules(&self) -> Rules {
        Rules::of(self.version).unwrap_or(Rules::NEWEST)
    }

    /// Whether it is an epoch's boundary or above it.
    pub fn ends_epoch(&self) -> bool {
        self.end != End::GoesOn
    }

    /// The newest block below it that its own finalization makes final: the parent, of a closing block the boundary.
    pub fn finalizes(&self) -> BlockDigest {
        match self.end {
            End::Closing(boundary) => boundary,
            End::GoesOn | End::Boundary => self.parent,
        }
    }
}

/// The kinds of vote, and of certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum VoteKind {
    /// For one block of a view.
    Notarize = 0,
    /// For going on without a block of the view.
    Nullify = 1,
    /// For the view's notarized block being final.
    Finalize = 2,
}

/// What a validator signs when it votes (after the domain string).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, BorshSerialize, BorshDeserialize)]
pub struct VoteBody {
    /// The chain.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// The kind.
    pub kind: VoteKind,
    /// The block; zero for a nullify.
    pub block: BlockDigest,
}

/// A signed vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct SignedVote {
    /// What is signed.
    pub body: VoteBody,
    /// Who signed.
    pub signer: ValidatorIndex,
    /// Ed25519 over domain string and body.
    pub signature: Signature,
}

/// A quorum's signatures on one vote body, by ascending signer.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// What was voted.
    pub body: VoteBody,
    /// Signers and their signatures, strictly ascending by signer.
    pub signatures: BoundedVec<(ValidatorIndex, Signature), VALIDATORS_MAX>,
}

/// Shows that a block is final: the certificate is of the last header's block, or of the block itself where there is none.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct BlockProof {
    /// Headers from the block's child to the certified descendant.
    pub descendants: BoundedVec<Header, PROOF_HEADERS_MAX>,
    /// A finalization.
    pub finalization: Certificate,
}

/// A leader's message: the block as it proposes it, with what a voter needs to accept it.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The block's header.
    pub header: Header,
    /// Its inline transactions.
    pub inline: BoundedVec<Transaction, INLINE_TRANSACTIONS_MAX>,
    /// The proposer's notarize vote.
    pub signature: Signature,
    /// The parent's notarization; none where the parent is genesis.
    pub notarization: Option<Certificate>,
    /// Nullifications of the views between; where some are missing the voter fetches them.
    pub nullifications: BoundedVec<Certificate, CARRIED_NULLIFICATIONS_MAX>,
}

/// A header with its inline transactions: what peers keep and serve of a block.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Inline transactions; those in lanes are named by the header's cursors.
    pub inline: BoundedVec<Transaction, INLINE_TRANSACTIONS_MAX>,
}

/// Quorum arithmetic of a committee of `n`: n ≥ 3f + 1.
pub fn faults_tolerated(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// Votes that make a certificate: n − f.
pub fn quorum(n: usize) -> usize {
    n - faults_tolerated(n)
}
