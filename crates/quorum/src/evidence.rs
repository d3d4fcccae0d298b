//! Evidence of signatures that no honest validator makes.

use crate::committee::Committee;
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_crypto::{CheckedBatch, Verified, verify_votes};
use rustorium_types::{BatchDigest, Epoch, Signature, SignedVote, ValidatorIndex, View, VoteKind};

/// Two signatures of one validator that exclude each other. Both were verified.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two blocks notarized in one view.
    TwoNotarizes(SignedVote, SignedVote),
    /// Two blocks finalized in one view.
    TwoFinalizes(SignedVote, SignedVote),
    /// A view both nullified (first) and finalized (second).
    NullifyAndFinalize(SignedVote, SignedVote),
    /// Two batches at one position of a lane.
    TwoBatches {
        /// The epoch.
        epoch: Epoch,
        /// The lane's author.
        author: ValidatorIndex,
        /// The position.
        seq: u64,
        /// Digest and the author's signature on it.
        first: (BatchDigest, Signature),
        /// Digest and the author's signature on it.
        second: (BatchDigest, Signature),
    },
}

impl Evidence {
    /// Returns the validator that signed both.
    pub fn offender(&self) -> ValidatorIndex {
        match self {
            Self::TwoNotarizes(vote, _) | Self::TwoFinalizes(vote, _) | Self::NullifyAndFinalize(vote, _) => {
                vote.signer
            }
            Self::TwoBatches { author, .. } => *author,
        }
    }

    /// Returns the view in which two votes exclude each other; `None` for batches.
    pub fn view(&self) -> Option<View> {
        match self {
            Self::TwoNotarizes(vote, _) | Self::TwoFinalizes(vote, _) | Self::NullifyAndFinalize(vote, _) => {
                Some(vote.body.view)
            }
            Self::TwoBatches { .. } => None,
        }
    }

    /// Returns evidence of two verified votes, if they exclude each other.
    pub fn two_votes(first: &Verified<SignedVote>, second: &Verified<SignedVote>) -> Option<Self> {
        exclude(first, second).then(|| match (first.body.kind, second.body.kind) {
            (VoteKind::Notarize, _) => Self::TwoNotarizes(**first, **second),
            (VoteKind::Finalize, VoteKind::Finalize) => Self::TwoFinalizes(**first, **second),
            (VoteKind::Nullify, _) => Self::NullifyAndFinalize(**first, **second),
            (VoteKind::Finalize, _) => Self::NullifyAndFinalize(**second, **first),
        })
    }

    /// Returns evidence of two checked batches, if they differ and have the same position of the same lane.
    pub fn two_batches(first: &CheckedBatch, second: &CheckedBatch) -> Option<Self> {
        let (a, b) = (&first.batch.body, &second.batch.body);
        let same_place = (a.chain, a.shard, a.epoch, a.author, a.seq) == (b.chain, b.shard, b.epoch, b.author, b.seq);
        (same_place && first.digest != second.digest).then(|| Self::TwoBatches {
            epoch: a.epoch,
            author: a.author,
            seq: a.seq,
            first: (first.digest, first.batch.signature),
            second: (second.digest, second.batch.signature),
        })
    }

    /// Tells if this evidence convinces somebody who trusts only the committee's keys. Always false for batches, which
    /// would need their bodies for that.
    pub fn convicts(&self, committee: &Committee) -> bool {
        let (Self::TwoNotarizes(a, b) | Self::TwoFinalizes(a, b) | Self::NullifyAndFinalize(a, b)) = self else {
            return false;
        };
        let votes = verify_votes(&committee.keys, &[*a, *b]);
        let [Some(a), Some(b)] = votes.as_slice() else { return false };
        committee.owns(&a.body) && Self::two_votes(a, b).as_ref() == Some(self)
    }
}

/// Tells if an honest validator signs at most one of the two.
fn exclude(a: &SignedVote, b: &SignedVote) -> bool {
    let same_signer = a.signer == b.signer;
    let same_view = (a.body.chain, a.body.shard, a.body.epoch, a.body.view)
        == (b.body.chain, b.body.shard, b.body.epoch, b.body.view);
    let clash = match (a.body.kind, b.body.kind) {
        (VoteKind::Notarize, VoteKind::Notarize) | (VoteKind::Finalize, VoteKind::Finalize) => {
            a.body.block != b.body.block
        }
        (VoteKind::Nullify, VoteKind::Finalize) | (VoteKind::Finalize, VoteKind::Nullify) => true,
        _ => false,
    };
    same_signer && same_view && clash
}
