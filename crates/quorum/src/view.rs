//! The votes of one view: a place for each kind and signer, checked as late as possible.

use crate::committee::Committee;
use crate::evidence::Evidence;
use crate::tally::TallyEvent;
use rustorium_crypto::{Verified, certify, verify_votes};
use rustorium_types::{BlockDigest, Certificate, SignedVote, ValidatorIndex, View, VoteKind};
use std::collections::BTreeSet;

/// A vote that was checked elsewhere; `None` if its signature doesn't hold.
pub type CheckedVote = (SignedVote, Option<Verified<SignedVote>>);

/// Limits of the checks that are made at once. Further checks are handed out.
pub(crate) struct Inline {
    /// Number of signatures.
    pub(crate) room: usize,
    /// Members whose votes are never checked at once together with others'.
    pub(crate) suspects: BTreeSet<ValidatorIndex>,
}

/// A vote with an unchecked or a verified signature.
#[derive(Clone)]
pub(crate) enum Ballot {
    Unchecked(SignedVote),
    Checked(Verified<SignedVote>),
}

impl Ballot {
    fn vote(&self) -> &SignedVote {
        match self {
            Self::Unchecked(vote) => vote,
            Self::Checked(vote) => vote,
        }
    }

    fn signer(&self) -> ValidatorIndex {
        self.vote().signer
    }

    fn is_for(&self, block: &BlockDigest) -> bool {
        self.vote().body.block == *block
    }

    fn check(&self, committee: &Committee) -> Option<Verified<SignedVote>> {
        match self {
            Self::Unchecked(vote) => verify_votes(&committee.keys, &[*vote]).pop().flatten(),
            Self::Checked(vote) => Some(vote.clone()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offence {
    TwoOf(VoteKind),
    NullifyAndFinalize,
}

/// The votes of one view, and offences found. Memory: at most one ballot per kind and member.
#[derive(Default)]
pub(crate) struct ViewVotes {
    ballots: [Vec<Ballot>; 3],
    /// True for the kinds whose votes were handed out for a check.
    under_check: [bool; 3],
    nullifies_seen: bool,
    reported: Vec<(ValidatorIndex, Offence)>,
}

impl ViewVotes {
    pub(crate) fn has_vote(&self, kind: VoteKind, block: &BlockDigest, signer: ValidatorIndex) -> bool {
        self.ballots[kind as usize].iter().any(|ballot| ballot.signer() == signer && ballot.is_for(block))
    }

    /// Returns the number of stored votes, verified or not.
    pub(crate) fn votes(&self) -> usize {
        self.ballots.iter().map(Vec::len).sum()
    }

    /// Returns a member's votes, verified or not.
    pub(crate) fn votes_of(&self, signer: ValidatorIndex) -> impl Iterator<Item = SignedVote> {
        self.ballots.iter().flatten().filter(move |ballot| ballot.signer() == signer).map(|ballot| *ballot.vote())
    }

    /// Takes a well-formed vote of this view, and reports offences that it proves against its signer.
    pub(crate) fn place(&mut self, committee: &Committee, ballot: Ballot, out: &mut Vec<TallyEvent>) {
        let (kind, signer) = (ballot.vote().body.kind, ballot.signer());
        match self.position(kind, signer) {
            None => self.ballots[kind as usize].push(ballot),
            Some(at) => self.replace(committee, kind, at, ballot, out),
        }
        if kind != VoteKind::Notarize {
            self.cross_check(committee, signer, out);
        }
    }

    fn position(&self, kind: VoteKind, signer: ValidatorIndex) -> Option<usize> {
        self.ballots[kind as usize].iter().position(|ballot| ballot.signer() == signer)
    }

    /// Handles another vote in an occupied place. Only here is a signature checked before a quorum needs it.
    fn replace(&mut self, committee: &Committee, kind: VoteKind, at: usize, new: Ballot, out: &mut Vec<TallyEvent>) {
        let old = self.ballots[kind as usize][at].clone();
        let signer = new.signer();
        let offence = (signer, Offence::TwoOf(kind));
        let known = match &old {
            Ballot::Unchecked(vote) => vote == new.vote() && matches!(new, Ballot::Unchecked(_)),
            Ballot::Checked(vote) => vote.body == new.vote().body,
        };
        if known || self.reported.contains(&offence) {
            return;
        }
        let Some(new) = new.check(committee) else {
            out.push(TallyEvent::BadSignature(signer));
            return;
        };
        match old.check(committee) {
            None => {
                out.push(TallyEvent::BadSignature(signer));
                self.ballots[kind as usize][at] = Ballot::Checked(new);
            }
            Some(old) => {
                let two = Evidence::two_votes(&old, &new);
                if let Some(evidence) = two {
                    self.reported.push(offence);
                    out.push(TallyEvent::Evidence(evidence));
                }
                self.ballots[kind as usize][at] = Ballot::Checked(old);
            }
        }
    }

    /// Reports a nullify and a finalize of one signer, which exclude each other. Both still count: each is a vote that
    /// was cast.
    fn cross_check(&mut self, committee: &Committee, signer: ValidatorIndex, out: &mut Vec<TallyEvent>) {
        let offence = (signer, Offence::NullifyAndFinalize);
        let both = [VoteKind::Nullify, VoteKind::Finalize].map(|kind| self.position(kind, signer).map(|at| (kind, at)));
        let [Some(nullify), Some(finalize)] = both else { return };
        if self.reported.contains(&offence) {
            return;
        }
        let checked = [nullify, finalize].map(|(kind, at)| {
            let checked = self.ballots[kind as usize][at].check(committee);
            match &checked {
                Some(vote) => self.ballots[kind as usize][at] = Ballot::Checked(vote.clone()),
                None => {
                    self.ballots[kind as usize].remove(at);
                    out.push(TallyEvent::BadSignature(signer));
                }
            }
            checked
        });
        if let [Some(nullify), Some(finalize)] = checked {
            self.reported.push(offence);
            out.extend(Evidence::two_votes(&nullify, &finalize).map(TallyEvent::Evidence));
        }
    }

    /// Verifies the votes that a threshold now needs, and returns the certificate that they make. Called for kinds
    /// without a certificate. Votes beyond the limit of `inline` are handed out and come back by `take_checked`.
    pub(crate) fn settle(
        &mut self,
        (committee, inline): (&Committee, &mut Inline),
        view: View,
        kind: VoteKind,
        block: &BlockDigest,
        out: &mut Vec<TallyEvent>,
    ) -> Option<Verified<Certificate>> {
        let some = committee.faults() + 1;
        if kind == VoteKind::Nullify
            && !self.nullifies_seen
            && self.verified((committee, inline), (kind, block, some), out)
        {
            self.nullifies_seen = true;
            out.push(TallyEvent::NullifiesSeen(view));
        }
        if !self.verified((committee, inline), (kind, block, committee.quorum()), out) {
            return None;
        }
        let votes: Vec<_> = self.ballots[kind as usize]
            .iter()
            .filter(|ballot| ballot.is_for(block))
            .filter_map(|ballot| match ballot {
                Ballot::Checked(vote) => Some(vote.clone()),
                Ballot::Unchecked(_) => None,
            })
            .collect();
        certify(committee.n(), &votes)
    }

    /// Tells if at least `threshold` members voted so, verified. Checks nothing while too few claim to.
    fn verified(
        &mut self,
        (committee, inline): (&Committee, &mut Inline),
        (kind, block, threshold): (VoteKind, &BlockDigest, usize),
        out: &mut Vec<TallyEvent>,
    ) -> bool {
        let checked = self.checked(kind, block);
        if checked >= threshold {
            return true;
        }
        let claimed = self.ballots[kind as usize].iter().filter(|ballot| ballot.is_for(block));
        let claimed = claimed.filter_map(|ballot| match ballot {
            Ballot::Unchecked(vote) => Some(*vote),
            Ballot::Checked(_) => None,
        });
        let claimed: Vec<SignedVote> = claimed.collect();
        let trusted = claimed.iter().filter(|vote| !inline.suspects.contains(&vote.signer)).count();
        let without_suspects = checked + trusted >= threshold;
        if checked + claimed.len() < threshold {
            return false;
        }
        let asked = claimed.into_iter().filter(|vote| !without_suspects || !inline.suspects.contains(&vote.signer));
        let asked: Vec<SignedVote> = asked.collect();
        if !without_suspects || asked.len() > inline.room {
            if !std::mem::replace(&mut self.under_check[kind as usize], true) {
                out.push(TallyEvent::Check(asked));
            }
            return false;
        }
        inline.room -= asked.len();
        let results = verify_votes(&committee.keys, &asked);
        self.note_checked(kind, asked.into_iter().zip(results), out);
        self.checked(kind, block) >= threshold
    }

    fn checked(&self, kind: VoteKind, block: &BlockDigest) -> usize {
        let checked = |ballot: &&Ballot| ballot.is_for(block) && matches!(ballot, Ballot::Checked(_));
        self.ballots[kind as usize].iter().filter(checked).count()
    }

    /// Takes the results of votes that were handed out.
    pub(crate) fn take_checked(&mut self, kind: VoteKind, checked: Vec<CheckedVote>, out: &mut Vec<TallyEvent>) {
        self.under_check[kind as usize] = false;
        self.note_checked(kind, checked.into_iter(), out);
    }

    fn note_checked(&mut self, kind: VoteKind, checked: impl Iterator<Item = CheckedVote>, out: &mut Vec<TallyEvent>) {
        let ballots = &mut self.ballots[kind as usize];
        for (vote, checked) in checked {
            let same = |ballot: &Ballot| matches!(ballot, Ballot::Unchecked(claimed) if *claimed == vote);
            let at = ballots.iter().position(same);
            match (at, checked) {
                (Some(at), Some(vote)) => ballots[at] = Ballot::Checked(vote),
                (None, Some(_)) => {}
                (at, None) => {
                    at.map(|at| ballots.remove(at));
                    out.push(TallyEvent::BadSignature(vote.signer));
                }
            }
        }
    }
}
