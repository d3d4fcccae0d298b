//! Why a proof shows nothing, or can't be made.

use rustorium_state::proof::{ProofBytesError, VerifyError};
use rustorium_types::{AccountId, Epoch, Height, ShardId};
use std::fmt;
use thiserror::Error;

/// A proof shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofRefused {
    /// The header is of another chain.
    #[error("the proof is of another chain; check that the genesis file is the chain's")]
    OtherChain,
    /// The header is of another protocol version than the trusted block leads to.
    #[error(
        "the header is of protocol version {header}, the trusted committee is one of version {trusted}; ask another node, \
         and install the newest release if others say the same"
    )]
    OtherVersion {
        /// The header's version.
        header: u16,
        /// The version of the epoch.
        trusted: u16,
    },
    /// The header is of another shard than the trusted one, or than the one that has the accounts in question.
    #[error("the proof is of shard {header} instead of shard {expected}; ask a node that serves shard {expected}")]
    OtherShard {
        /// The header's shard.
        header: ShardId,
        /// The shard that can prove it.
        expected: ShardId,
    },
    /// The proof speaks of an account that its shard doesn't have (S16).
    #[error(
        "shard {shard} doesn't have the account {account}, so its proof says nothing about it; ask the shard that has it"
    )]
    Elsewhere {
        /// The account.
        account: AccountId,
        /// The proof's shard.
        shard: ShardId,
    },
    /// The header is of another epoch than the trusted committee's.
    #[error(
        "the header is of epoch {header}, the trusted committee of epoch {trusted}; the changes between are needed"
    )]
    OtherEpoch {
        /// The header's epoch.
        header: Epoch,
        /// The committee's epoch.
        trusted: Epoch,
    },
    /// The header has other settings than the genesis.
    #[error("the header names another committee, parameters or shard map than the trusted ones")]
    OtherSettings,
    /// The header isn't above the block that is already trusted.
    #[error("the header at height {0} is not above the block that is trusted, or not later")]
    Below(Height),
    /// The descendants don't follow each other.
    #[error("header {0} of the proof does not follow the one before it")]
    NotAChain(usize),
    /// The certificate is of another block, or is no finalization.
    #[error("the certificate does not finalize the proof's last header")]
    OtherBlock,
    /// There are too few signatures, or bad ones.
    #[error("the certificate lacks a quorum of good signatures")]
    BadCertificate,
    /// The header doesn't end its epoch.
    #[error("the header at height {0} ends no epoch")]
    NotAnEnd(Height),
    /// The header is that of a closing block.
    #[error("the header at height {0} is of a closing block, which is above its epoch's last one")]
    NotTheFirstEnd(Height),
    /// The committee is not the one that the header names.
    #[error("the next committee is not the one that the epoch's last block names")]
    OtherCommittee,
    /// The term is not the one that the epoch's last block names, or doesn't follow the trusted one.
    #[error("the next term is not the one that the epoch's last block leads to: {0}")]
    OtherTerm(&'static str),
    /// The evidence of a first term of version 2 shows no activation.
    #[error("it does not show that a quorum of the chain's operators activated version 2")]
    NoActivation,
    /// The change has the form of another protocol version than the trusted one.
    #[error("the change of epoch {0} has the form of another protocol version than the trusted block")]
    OtherForm(Epoch),
    /// One epoch has two ends, both final.
    #[error("epoch {0} has two final ends: its committee can't be trusted; ask the chain's operators")]
    TwoEnds(Epoch),
    /// The header is at or above the known end of its epoch, or not earlier than it.
    #[error(
        "the header at height {height} is not below the last block of epoch {epoch}, at height {end}: whoever signed it had \
         retired; don't trust its source, and tell the chain's operators"
    )]
    AboveEnd {
        /// The epoch.
        epoch: Epoch,
        /// The header's height.
        height: Height,
        /// Height of the epoch's last block, or of a later known one.
        end: Height,
    },
    /// The two headers may both be of the chain.
    #[error("the two headers don't contradict each other, so they show nothing against those who signed them")]
    NoConflict,
    /// The header is from the future.
    #[error("the header is {} ahead of this machine's clock; set the clock, or ask another node", Span(*ahead_ms))]
    FromFuture {
        /// Milliseconds between the clock and the header's time.
        ahead_ms: u64,
    },
    /// A committee signed that retired longer ago than the trust period.
    #[error(
        "the committee of epoch {epoch} retired longer ago than the trust period of {}; get a newer checkpoint from \
         somebody whom you trust",
        Span(*period_ms)
    )]
    TooOld {
        /// The committee's epoch.
        epoch: Epoch,
        /// The trust period.
        period_ms: u64,
    },
    /// A header of height 0 isn't the genesis' own.
    #[error("the header at height 0 is not the genesis block's")]
    OtherGenesis,
    /// The receipt is not in its height's receipts tree.
    #[error("the receipt is not under the receipts root of its height")]
    NotInReceipts,
    /// The links don't span from the receipt's height to the claimed one.
    #[error("the proof has {links} links, the heights from receipt to claim need {needed}")]
    LinkCount {
        /// Number of links in the proof.
        links: u64,
        /// Number of links needed.
        needed: u64,
    },
    /// The links lead to another root than the header claims.
    #[error("the links do not lead to the result root that the header claims")]
    OtherRoot,
    /// Transaction and receipt don't belong together.
    #[error("the proof is invalid: its receipt is of another transaction than it shows")]
    OtherTransaction,
    /// The transaction's own key didn't sign it.
    #[error("the transaction is not signed by its key")]
    BadSignature,
    /// There are no subjects or keys, or they are out of order or repeated.
    #[error("the proof's subjects are not ascending, each once, at least one")]
    Unordered,
    /// The header claims no state root.
    #[error("the header claims no state root, so it shows nothing of the state")]
    NoStateClaim,
    /// The bytes of the state proof can't be decoded.
    #[error(transparent)]
    StateBytes(#[from] ProofBytesError),
    /// The state proof doesn't hold under the claimed root.
    #[error(transparent)]
    State(#[from] VerifyError),
    /// The value isn't the leaf's.
    #[error("the proof is invalid: the value of item {0} is not the one that the validators signed")]
    OtherValue(usize),
}

/// A duration in ms, in words.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, minute) = (24 * 3600 * 1000, 60_000);
        match self.0 {
            ms if ms >= 2 * day => write!(f, "{} days", ms / day),
            ms if ms >= 2 * minute => write!(f, "{} minutes", ms / minute),
            ms => write!(f, "{}.{:03} s", ms / 1000, ms % 1000),
        }
    }
}

impl ProofRefused {
    /// Returns the stable code of the refusals that callers distinguish; `proof-refused` for all others.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherEpoch { .. } => "epoch-unknown",
            Self::Below(_) => "below-trusted",
            Self::TwoEnds(_) => "two-ends",
            Self::TooOld { .. } => "trust-expired",
            Self::AboveEnd { .. } => "above-epoch-end",
            Self::FromFuture { .. } => "header-from-future",
            Self::OtherShard { .. } | Self::Elsewhere { .. } => "other-shard",
            _ => "proof-refused",
        }
    }
}

/// A proof can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unprovable {
    /// The height has fewer receipts.
    #[error("there is no receipt {index} among the {receipts} of the height")]
    NoSuchReceipt {
        /// The requested index.
        index: usize,
        /// The number of receipts.
        receipts: usize,
    },
    /// The claim is too far above the receipt.
    #[error("{0} links are too many for one proof; use a header that claims a height nearer to the receipt's")]
    TooManyLinks(usize),
}
