//! This node's open votes: votes of views above the last final one that no certificate of their kind has made needless.
//!
//! *Invariants:* a finalize vote of a nullified view isn't open; one frame has the votes of the current view, and those
//! of the other views in turns from old to new, so that each vote is sent again however many there are (R18, R19).

use rustorium_types::{SignedVote, View, VoteKind, limits::HEARTBEAT_VOTES_MAX};
use std::collections::BTreeMap;

/// Open votes that are on disk.
#[derive(Default)]
pub(crate) struct OpenVotes {
    votes: BTreeMap<View, Vec<SignedVote>>,
    /// Newest of the older views whose votes the last frame had.
    told: View,
}

impl OpenVotes {
    /// Adds a vote that has left, or may have left before a restart.
    pub(crate) fn insert(&mut self, vote: SignedVote) {
        self.votes.entry(vote.body.view).or_default().push(vote);
    }

    /// Returns the number of views with open votes.
    pub(crate) fn len(&self) -> usize {
        self.votes.len()
    }

    /// Notes that a certificate of this kind and view exists.
    pub(crate) fn close(&mut self, kind: VoteKind, view: View) {
        let Some(votes) = self.votes.get_mut(&view) else { return };
        let nullified = |vote: &SignedVote| kind == VoteKind::Nullify && vote.body.kind == VoteKind::Finalize;
        votes.retain(|vote| vote.body.kind != kind && !nullified(vote));
        if votes.is_empty() {
            self.votes.remove(&view);
        }
    }

    /// Forgets views up to this one, which are final.
    pub(crate) fn forget_through(&mut self, view: View) {
        self.votes = self.votes.split_off(&view.next());
    }

    /// Returns the votes of this view and later ones.
    pub(crate) fn from(&self, view: View) -> impl Iterator<Item = &SignedVote> {
        self.votes.range(view..).flat_map(|(_, votes)| votes)
    }

    /// Returns the votes for the next heartbeat: those of the current view, and the next ones of the other views.
    pub(crate) fn frame(&mut self, current: View) -> Vec<SignedVote> {
        let mut frame: Vec<SignedVote> = self.from(current).copied().take(HEARTBEAT_VOTES_MAX).collect();
        let newer = self.votes.range(self.told.next()..).take_while(|(view, _)| **view < current);
        let older = self.votes.range(..=self.told).take_while(|(view, _)| **view < current);
        let mut told = self.told;
        for (view, votes) in newer.chain(older) {
            if frame.len() + votes.len() > HEARTBEAT_VOTES_MAX {
                break;
            }
            frame.extend(votes);
            told = *view;
        }
        self.told = told;
        frame
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustorium_types::{BlockDigest, ChainId, Epoch, ShardId, ValidatorIndex, VoteBody};
    use std::collections::BTreeSet;

    fn vote(kind: VoteKind, view: u64) -> SignedVote {
        let (chain, shard, epoch) = (ChainId([1; 32]), ShardId(0), Epoch(0));
        let body = VoteBody { chain, shard, epoch, view: View(view), kind, block: BlockDigest::ZERO };
        SignedVote { body, signer: ValidatorIndex(0), signature: [0; 64] }
    }

    fn views(frame: &[SignedVote]) -> Vec<u64> {
        frame.iter().map(|vote| vote.body.view.0).collect()
    }

    #[test]
    fn each_of_a_thousand_is_told_in_turn_and_the_current_view_always() {
        let mut open = OpenVotes::default();
        (1..=1000).for_each(|view| open.insert(vote(VoteKind::Finalize, view)));
        open.insert(vote(VoteKind::Notarize, 1001));
        open.insert(vote(VoteKind::Nullify, 1001));
        let mut told = BTreeSet::new();
        for _ in 0..17 {
            let frame = open.frame(View(1001));
            assert_eq!((frame.len(), &views(&frame)[..2]), (HEARTBEAT_VOTES_MAX, [1001, 1001].as_slice()));
            told.extend(views(&frame));
        }
        assert_eq!(told.len(), 1001);
        open.forget_through(View(999));
        assert_eq!(views(&open.frame(View(1001))), [1001, 1001, 1000]);
        assert_eq!(views(&open.frame(View(1001))), [1001, 1001, 1000], "from the start again");
    }

    #[test]
    fn a_certificate_closes_votes_of_its_kind_and_a_nullification_those_to_finalize() {
        let mut open = OpenVotes::default();
        for kind in [VoteKind::Notarize, VoteKind::Finalize] {
            open.insert(vote(kind, 5));
        }
        open.close(VoteKind::Notarize, View(4));
        open.close(VoteKind::Notarize, View(5));
        assert_eq!(open.frame(View(9)), [vote(VoteKind::Finalize, 5)]);
        open.close(VoteKind::Nullify, View(5));
        assert!(open.frame(View(9)).is_empty());
    }

    #[test]
    fn those_in_front_of_the_core_are_told_as_the_current_ones() {
        let mut open = OpenVotes::default();
        open.insert(vote(VoteKind::Nullify, 7));
        assert_eq!(views(&open.frame(View(3))), [7]);
        assert_eq!(open.from(View(8)).count(), 0);
    }
}
