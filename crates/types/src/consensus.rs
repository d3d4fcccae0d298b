//! Blocks, votes and certificates.

use crate::codec::BoundedVec;
use crate::ids::{BatchDigest, BlockDigest, ChainId, Epoch, Hash, Height, ShardId, ValidatorIndex, View};
use crate::limits::*;
use crate::listed::{Inline, read_inline};
use crate::rules::Rules;
use crate::transaction::Signature;
use borsh::io::{Read, Result as IoResult};
use borsh::{BorshDeserialize, BorshSerialize};

/// Position in a lane up to which a block's ancestry, including the block, has listed batches.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Cursor {
    /// Number of batches listed so far, which is the seq of the next one.
    pub next_seq: u64,
    /// Digest of the last listed batch; zero if there is none.
    pub tip: BatchDigest,
}

/// A header's claim on execution. It certifies every height up to the claimed one.
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
    /// The chain makes no state roots, or claims none yet.
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

/// A header's statement about the end of its epoch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub enum End {
    /// The epoch continues.
    #[default]
    GoesOn,
    /// The epoch's chain ends with this block, its boundary.
    Boundary,
    /// This block only helps to finalize the boundary, which it names. However many such blocks lie between, one header
    /// and its finalization prove that the boundary is final.
    Closing(BlockDigest),
}

/// A block's header. The block's digest is its hash.
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
    /// The view in which the block was proposed.
    pub view: View,
    /// The parent's height plus one.
    pub height: Height,
    /// The parent's digest.
    pub parent: BlockDigest,
    /// The parent's view.
    pub parent_view: View,
    /// The view's leader.
    pub proposer: ValidatorIndex,
    /// Unix ms, above the parent's time.
    pub time_ms: u64,
    /// Root over the inline transactions and the lane ranges.
    pub payload_root: Hash,
    /// One cursor per lane, in validator order.
    pub cursors: BoundedVec<Cursor, VALIDATORS_MAX>,
    /// Transactions listed by this block, inline and in lanes.
    pub transactions: u32,
    /// Declared work of the listed transactions.
    pub declared_work: u64,
    /// The newest protocol version that the proposer's release speaks, if it is above `version`. Otherwise zero, as always
    /// under version 1 (V11).
    pub speaks: u64,
    /// Hash of the committee.
    pub validator_set: Hash,
    /// Statement about the end of the epoch.
    pub end: End,
    /// If the epoch ends, hash of the next epoch's committee, or from version 2 on of its term; otherwise hash of this
    /// epoch's committee.
    pub next_validator_set: Hash,
    /// Hash of the chain parameters.
    pub parameters: Hash,
    /// Hash of the shard map, or from version 2 on of the shard's charter.
    pub shard_map: Hash,
    /// The claim on execution.
    pub result: ResultClaim,
    /// The claim on the state tree.
    pub state: StateClaim,
}

impl Header {
    /// Returns the rules of the header's version. If this build doesn't know the version, returns the newest rules: no
    /// node accepts such a header.
    pub fn rules(&self) -> Rules {
        Rules::of(self.version).unwrap_or(Rules::NEWEST)
    }

    /// Tells if the proposer says nothing of later versions, or names one that there can be (V11).
    pub fn speaks_well(&self) -> bool {
        let later = u64::from(self.version) + 1..=u64::from(u16::MAX);
        self.speaks == 0 || (self.rules().has_terms() && later.contains(&self.speaks))
    }

    /// True for an epoch's boundary and for the closing blocks above it.
    pub fn ends_epoch(&self) -> bool {
        self.end != End::GoesOn
    }

    /// Returns the newest ancestor that this block's finalization makes final: the parent, or, for a closing block, the
    /// boundary.
    pub fn finalizes(&self) -> BlockDigest {
        match self.end {
            End::Closing(boundary) => boundary,
            End::GoesOn | End::Boundary => self.parent,
        }
    }
}

/// The kind of a vote or certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum VoteKind {
    /// A vote for one block of a view.
    Notarize = 0,
    /// A vote to continue without a block of the view.
    Nullify = 1,
    /// A vote that the view's notarized block becomes final.
    Finalize = 2,
}

/// The part of a vote that the validator signs (after the domain string).
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
    /// The signed part.
    pub body: VoteBody,
    /// The validator that signed.
    pub signer: ValidatorIndex,
    /// Ed25519 over domain string and body.
    pub signature: Signature,
}

/// A quorum's signatures on one vote body, by ascending signer.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// The body that was voted on.
    pub body: VoteBody,
    /// Signers and their signatures, strictly ascending by signer.
    pub signatures: BoundedVec<(ValidatorIndex, Signature), VALIDATORS_MAX>,
}

/// A proof that a block is final. The certificate is for the last header's block, or for the block itself if there are
/// no headers.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct BlockProof {
    /// Headers from the block's child to the certified descendant.
    pub descendants: BoundedVec<Header, PROOF_HEADERS_MAX>,
    /// A finalization.
    pub finalization: Certificate,
}

/// A leader's proposal: the block, with everything that a voter needs to accept it.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize)]
pub struct Proposal {
    /// The block's header.
    pub header: Header,
    /// The block's inline transactions.
    pub inline: Inline,
    /// The proposer's notarize vote.
    pub signature: Signature,
    /// The parent's notarization; `None` if the parent is genesis.
    pub notarization: Option<Certificate>,
    /// Nullifications of the views between. The voter fetches missing ones.
    pub nullifications: BoundedVec<Certificate, CARRIED_NULLIFICATIONS_MAX>,
}

impl BorshDeserialize for Proposal {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let Block { header, inline } = Block::deserialize_reader(reader)?;
        Ok(Self {
            header,
            inline,
            signature: BorshDeserialize::deserialize_reader(reader)?,
            notarization: BorshDeserialize::deserialize_reader(reader)?,
            nullifications: BorshDeserialize::deserialize_reader(reader)?,
        })
    }
}

/// A header with its inline transactions: the part of a block that peers store and serve.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Inline transactions. The header's cursors name those in lanes.
    pub inline: Inline,
}

impl BorshDeserialize for Block {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let header = Header::deserialize_reader(reader)?;
        let inline = read_inline(header.version, reader)?;
        Ok(Self { header, inline })
    }
}

/// Returns f for a committee of `n`, the number of faulty validators that it tolerates: n ≥ 3f + 1.
pub fn faults_tolerated(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// Returns the number of votes that make a certificate: n − f.
pub fn quorum(n: usize) -> usize {
    n - faults_tolerated(n)
}
