//! Counts votes by view and turns a quorum of them into a certificate.
//!
//! *Invariants:* signatures are verified together, when a quorum of distinct signers for one body is there, and never for
//! a certificate that exists; one certificate per kind and view; votes reach at most a window above the newest certified
//! view, and views more than a window below it are forgotten (the journal has their certificates).

use crate::committee::{Committee, well_formed};
use crate::evidence::Evidence;
use crate::view::{Ballot, CheckedVote, Inline, ViewVotes};
use rustorium_crypto::{Verified, verify_certificate};
use rustorium_types::{Certificate, Epoch, SignedVote, ValidatorIndex, View, VoteBody, VoteKind, seeded};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// What counting brought to light.
// Evidence is the largest and the rarest; a vector of events holds one or two.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TallyEvent {
    /// A certificate that is new here: made of votes, or taken from a peer.
    Formed(Verified<Certificate>),
    /// f + 1 members nullified the view, so at least one honest one did. Once per view.
    NullifiesSeen(View),
    /// A member signed two things that exclude each other. Once per member, view and offence.
    Evidence(Evidence),
    /// A vote in this member's name has a bad signature; the vote is dropped. Votes come from their signers' links alone,
    /// so the member itself sent it.
    BadSignature(ValidatorIndex),
    /// Votes that would reach a threshold, to be checked elsewhere and given back to `take_votes`.
    Check(Vec<SignedVote>),
}

/// Why a certificate was refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CertificateRefused {
    /// Of another chain or shard.
    #[error("the certificate is of another chain or shard: drop it and look at the peer's genesis")]
    OtherChain,
    /// Of another epoch.
    #[error("the certificate is of epoch {got}, this committee's is {want}")]
    OtherEpoch {
        /// The certificate's.
        got: Epoch,
        /// The committee's.
        want: Epoch,
    },
    /// A nullification with a block, or another kind without one.
    #[error("the certificate names a block where its kind has none, or none where it needs one")]
    BlockMismatch,
    /// Too few signers.
    #[error("the certificate has {got} signers, a quorum is {need}")]
    BelowQuorum {
        /// Signers.
        got: usize,
        /// Signers needed.
        need: usize,
    },
    /// Not strictly ascending, or not of the committee.
    #[error("the certificate's signers are not distinct members in ascending order")]
    Signers,
    /// A signature that does not hold.
    #[error("the certificate has a signature that does not hold")]
    Signature,
}

/// The votes and certificates of one committee.
pub struct Tally {
    committee: Arc<Committee>,
    window_views: u64,
    views: BTreeMap<View, ViewVotes>,
    floor: View,
    head: View,
    best: Option<Verified<Certificate>>,
    inline: Inline,
}

impl Tally {
    /// An empty tally that takes votes at most `window_views` above the newest certified view.
    pub fn new(committee: Arc<Committee>, window_views: u64) -> Self {
        let inline = Inline { room: usize::MAX, suspects: BTreeSet::new() };
        Self { committee, window_views, views: BTreeMap::new(), floor: View(0), head: View(0), best: None, inline }
    }

    /// The same above a view that is final: of the chain before the epoch, or before a restart.
    pub fn above(committee: Arc<Committee>, window_views: u64, last_final: View) -> Self {
        Self { floor: last_final, head: last_final, ..Self::new(committee, window_views) }
    }

    /// The committee whose votes it counts.
    pub fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// Allows so many signature checks from now on; what needs more is handed out by `TallyEvent::Check`. Without a call
    /// all is checked at once.
    pub fn allow(&mut self, signatures: usize) {
        self.inline.room = signatures;
    }

    /// Takes signatures of what is allowed for a check by the caller. False if there aren't as many.
    pub fn spend(&mut self, signatures: usize) -> bool {
        let left = self.inline.room.checked_sub(signatures);
        self.inline.room = left.unwrap_or(self.inline.room);
        left.is_some()
    }

    /// This member's votes are checked elsewhere from now on.
    pub fn suspect(&mut self, member: ValidatorIndex) {
        self.inline.suspects.insert(member);
    }

    /// Takes back votes that were handed out by `TallyEvent::Check`.
    pub fn take_votes(&mut self, checked: Vec<CheckedVote>, out: &mut Vec<TallyEvent>) {
        let Some(VoteBody { view, kind, block, .. }) = checked.first().map(|(vote, _)| vote.body) else { return };
        let Some(votes) = self.views.get_mut(&view) else { return };
        votes.take_checked(kind, checked, out);
        if let Some(certificate) = votes.settle((&self.committee, &mut self.inline), view, kind, &block, out) {
            self.formed(certificate, out);
        }
    }

    /// Counts a vote that came on its signer's link. What is not of this committee and window is dropped.
    pub fn add_vote(&mut self, vote: SignedVote, out: &mut Vec<TallyEvent>) {
        self.add(Ballot::Claimed(vote), vote, out);
    }

    /// Counts a vote whose signature is known to hold, such as this node's own.
    pub fn add_own_vote(&mut self, vote: Verified<SignedVote>, out: &mut Vec<TallyEvent>) {
        let plain = *vote;
        self.add(Ballot::Checked(vote), plain, out);
    }

    fn add(&mut self, ballot: Ballot, vote: SignedVote, out: &mut Vec<TallyEvent>) {
        let VoteBody { view, kind, block, .. } = vote.body;
        let known = usize::from(vote.signer.0) < self.committee.n();
        if !known || !self.committee.owns(&vote.body) || !well_formed(&vote.body) || !self.in_window(view) {
            return;
        }
        let votes = self.views.entry(view).or_default();
        votes.place(&self.committee, ballot, out);
        if let Some(certificate) = votes.settle((&self.committee, &mut self.inline), view, kind, &block, out) {
            self.formed(certificate, out);
        }
    }

    fn in_window(&self, view: View) -> bool {
        seeded::bug("tally-of-any-view")
            || view >= self.lowest() && view.0 <= self.head.0.saturating_add(self.window_views)
    }

    fn lowest(&self) -> View {
        self.floor.max(View(self.head.0.saturating_sub(self.window_views)))
    }

    /// Takes a peer's certificate, of any view from the window's lower end. A known or forgotten one is dropped before
    /// any signature check; a new one is told by `Formed`, and its votes are compared with those held.
    pub fn add_certificate(
        &mut self,
        certificate: Certificate,
        out: &mut Vec<TallyEvent>,
    ) -> Result<(), CertificateRefused> {
        if self.judge(&certificate)? {
            let certificate = verify_certificate(&self.committee.keys, certificate);
            self.take(certificate.ok_or(CertificateRefused::Signature)?, out);
        }
        Ok(())
    }

    /// Whether a certificate is worth a check of its signatures: neither known nor forgotten. Errors: its form is wrong.
    pub fn judge(&self, certificate: &Certificate) -> Result<bool, CertificateRefused> {
        self.check_scope(&certificate.body)?;
        let VoteBody { view, kind, .. } = certificate.body;
        let held = self.certificate(kind, view);
        if held.is_some_and(|held| held.body == certificate.body)
            || (view < self.lowest() && !self.improves(certificate))
        {
            return Ok(false);
        }
        self.check_signers(certificate).map(|()| true)
    }

    /// Takes a certificate that was checked; one that is new is told by `Formed`, and its votes are compared with those held.
    pub fn take(&mut self, certificate: Verified<Certificate>, out: &mut Vec<TallyEvent>) {
        let VoteBody { view, kind, .. } = certificate.body;
        let votes = self.views.entry(view).or_default();
        for vote in certificate.votes() {
            votes.place(&self.committee, Ballot::Checked(vote), out);
        }
        // A second certificate on another block needs more than f liars: the evidence is all there is to keep of it.
        if votes.certificate(kind).is_none() {
            votes.keep(certificate.clone());
            self.formed(certificate, out);
        }
    }

    fn check_scope(&self, body: &VoteBody) -> Result<(), CertificateRefused> {
        let committee = &self.committee;
        if body.chain != committee.chain || body.shard != committee.shard {
            Err(CertificateRefused::OtherChain)
        } else if body.epoch != committee.epoch && !seeded::bug("certificate-of-any-epoch") {
            Err(CertificateRefused::OtherEpoch { got: body.epoch, want: committee.epoch })
        } else if !well_formed(body) {
            Err(CertificateRefused::BlockMismatch)
        } else {
            Ok(())
        }
    }

    fn check_signers(&self, certificate: &Certificate) -> Result<(), CertificateRefused> {
        let signers = certificate.signatures.as_slice();
        let (got, need) = (signers.len(), self.committee.quorum());
        let ascending = signers.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let members = signers.iter().all(|(signer, _)| usize::from(signer.0) < self.committee.n());
        if !ascending || !members {
            Err(CertificateRefused::Signers)
        } else if got < need {
            Err(CertificateRefused::BelowQuorum { got, need })
        } else {
            Ok(())
        }
    }

    fn improves(&self, certificate: &Certificate) -> bool {
        let best = self.best.as_ref().map(|best| best.body.view);
        certificate.body.kind == VoteKind::Finalize && best < Some(certificate.body.view)
    }

    fn formed(&mut self, certificate: Verified<Certificate>, out: &mut Vec<TallyEvent>) {
        if self.improves(&certificate) {
            self.best = Some(certificate.clone());
        }
        self.head = self.head.max(certificate.body.view);
        out.push(TallyEvent::Formed(certificate));
        self.forget();
    }

    fn forget(&mut self) {
        let lowest = self.lowest();
        while self.views.first_key_value().is_some_and(|(view, _)| *view < lowest) {
            self.views.pop_first();
        }
    }

    /// The certificate of this kind and view, where it is held.
    pub fn certificate(&self, kind: VoteKind, view: View) -> Option<&Verified<Certificate>> {
        let held = self.views.get(&view).and_then(|votes| votes.certificate(kind));
        held.or_else(|| self.best.as_ref().filter(|best| kind == VoteKind::Finalize && best.body.view == view))
    }

    /// Held certificates of these views, inclusive, by view and then kind.
    pub fn certificates_between(&self, first: View, last: View) -> impl Iterator<Item = &Verified<Certificate>> {
        let lone = self.best.as_ref().filter(|best| !self.views.contains_key(&best.body.view));
        // BTreeMap's range panics where the views are the wrong way round.
        let held = self.views.range(first..=last.max(first)).flat_map(|(_, votes)| votes.certificates());
        let asked = move |certificate: &&Verified<Certificate>| (first..=last).contains(&certificate.body.view);
        lone.into_iter().chain(held).filter(asked)
    }

    /// Whether this member's vote for this is held, verified or not.
    pub fn has_vote(&self, body: &VoteBody, signer: ValidatorIndex) -> bool {
        self.views.get(&body.view).is_some_and(|votes| votes.has_vote(body.kind, &body.block, signer))
    }

    /// A member's votes that are held, newest views first. Not all are verified.
    pub fn votes_of(&self, signer: ValidatorIndex) -> impl Iterator<Item = SignedVote> {
        self.views.values().rev().flat_map(move |votes| votes.votes_of(signer))
    }

    /// Forgets the views below, but for the best finalization.
    pub fn prune_below(&mut self, view: View) {
        self.floor = self.floor.max(view);
        self.forget();
    }

    /// The finalization of the newest view.
    pub fn best_finalization(&self) -> Option<&Verified<Certificate>> {
        self.best.as_ref()
    }
}
