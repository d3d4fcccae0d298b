//! The tally counts votes by view and turns a quorum of them into a certificate.
//!
//! *Invariants:* signatures are verified together, once there is a quorum of distinct signers for one body, and never
//! for a certificate that exists; one certificate per kind and view; every certificate above the last final view is
//! kept, in memory or by its position in the journal, and is accepted whatever its view (R10); votes are accepted up to
//! a window above the newest certified view, and more than a window below it they are kept only for views without a
//! certificate.

use crate::committee::{Committee, well_formed};
use crate::evidence::Evidence;
use crate::kept::{KeptCertificate, KeptCertificates};
use crate::view::{Ballot, CheckedVote, Inline, ViewVotes};
use rustorium_crypto::{Verified, verify_certificate};
use rustorium_types::{Certificate, Epoch, SignedVote, ValidatorIndex, View, VoteBody, VoteKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// A result of counting.
// Evidence is the largest variant and the rarest; a vector of events holds one or two.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TallyEvent {
    /// A certificate that is new here: made of votes, or received from a peer.
    Formed(Verified<Certificate>),
    /// At least f + 1 members nullified the view, so at least one honest member did. Reported once per view.
    NullifiesSeen(View),
    /// A proof that a member signed two things that exclude each other. Reported once per member, view and offence.
    Evidence(Evidence),
    /// A vote in this member's name has a bad signature and is dropped. Votes are accepted only on their signer's link,
    /// so the member itself sent it.
    BadSignature(ValidatorIndex),
    /// Votes that would reach a threshold. They must be checked elsewhere and returned to `take_votes`.
    Check(Vec<SignedVote>),
}

/// A certificate was refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CertificateRefused {
    /// The certificate is of another chain or shard.
    #[error("the certificate is of another chain or shard; check that the peer uses the same genesis")]
    OtherChain,
    /// The certificate is of another epoch.
    #[error("the certificate is of epoch {got}, this committee's is {want}")]
    OtherEpoch {
        /// The certificate's epoch.
        got: Epoch,
        /// The committee's epoch.
        want: Epoch,
    },
    /// A nullification has a block, or another kind has none.
    #[error("the certificate names a block though its kind has none, or lacks the block that its kind needs")]
    BlockMismatch,
    /// There are too few signers.
    #[error("the certificate has {got} signers, a quorum is {need}")]
    BelowQuorum {
        /// Number of signers.
        got: usize,
        /// Number of signers needed.
        need: usize,
    },
    /// The signers are not strictly ascending, or not of the committee.
    #[error("the certificate's signers are not distinct members in ascending order")]
    Signers,
    /// A signature does not hold.
    #[error("the certificate has a signature that does not verify")]
    Signature,
}

/// A judgement whether a peer's certificate is useful, made without checking its signatures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateUse {
    /// The certificate is known, or no longer useful: drop it unchecked.
    Known,
    /// The signatures are worth checking: `take` it if they hold.
    ToCheck,
}

/// The votes and certificates of one committee.
pub struct Tally {
    committee: Arc<Committee>,
    window_views: u64,
    votes: BTreeMap<View, ViewVotes>,
    kept: KeptCertificates,
    /// Each member's vote of the newest view, even if the windows have passed it (R26).
    newest: BTreeMap<ValidatorIndex, SignedVote>,
    floor: View,
    head: View,
    best: Option<Verified<Certificate>>,
    /// The notarization of the newest view, which the next block extends.
    notarization: Option<Verified<Certificate>>,
    inline: Inline,
}

impl Tally {
    /// Creates an empty tally that accepts votes at most `window_views` above the newest certified view, and keeps all
    /// certificates in memory.
    pub fn new(committee: Arc<Committee>, window_views: u64) -> Self {
        Self {
            committee,
            window_views,
            votes: BTreeMap::new(),
            kept: KeptCertificates::new(usize::MAX, usize::MAX),
            newest: BTreeMap::new(),
            floor: View(0),
            head: View(0),
            best: None,
            notarization: None,
            inline: Inline { room: usize::MAX, suspects: BTreeSet::new() },
        }
    }

    /// Creates an empty tally above a final view: the last one before the epoch, or before a restart.
    pub fn above(committee: Arc<Committee>, window_views: u64, last_final: View) -> Self {
        Self { floor: last_final, head: last_final, ..Self::new(committee, window_views) }
    }

    /// Sets the bytes of certificates that stay in memory, and their least number.
    pub fn keeping_whole(self, bytes_max: usize, count_min: usize) -> Self {
        Self { kept: KeptCertificates::new(bytes_max, count_min), ..self }
    }

    /// Returns the committee whose votes are counted.
    pub fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// Allows this many signature checks from now on. Checks beyond that are handed out by `TallyEvent::Check`. Without
    /// a call, everything is checked at once.
    pub fn allow(&mut self, signatures: usize) {
        self.inline.room = signatures;
    }

    /// Takes part of the allowed signature checks for a check by the caller. Returns false if too few are left.
    pub fn spend(&mut self, signatures: usize) -> bool {
        let left = self.inline.room.checked_sub(signatures);
        self.inline.room = left.unwrap_or(self.inline.room);
        left.is_some()
    }

    /// Has this member's votes checked elsewhere from now on.
    pub fn suspect(&mut self, member: ValidatorIndex) {
        self.inline.suspects.insert(member);
    }

    /// Takes the results of votes that were handed out by `TallyEvent::Check`.
    pub fn take_votes(&mut self, checked: Vec<CheckedVote>, out: &mut Vec<TallyEvent>) {
        let Some(VoteBody { view, kind, block, .. }) = checked.first().map(|(vote, _)| vote.body) else { return };
        let Some(votes) = self.votes.get_mut(&view) else { return };
        votes.take_checked(kind, checked, out);
        if self.kept.has(kind, view) {
            return;
        }
        if let Some(certificate) = votes.settle((&self.committee, &mut self.inline), view, kind, &block, out) {
            self.kept.insert(certificate.clone());
            self.formed(certificate, out);
        }
    }

    /// Counts a vote that came on its signer's link. A vote outside this committee or the window is dropped.
    pub fn add_vote(&mut self, vote: SignedVote, out: &mut Vec<TallyEvent>) {
        self.add(Ballot::Unchecked(vote), vote, out);
    }

    /// Counts a vote whose signature is known to hold, such as this node's own.
    pub fn add_own_vote(&mut self, vote: Verified<SignedVote>, out: &mut Vec<TallyEvent>) {
        let plain = *vote;
        self.add(Ballot::Checked(vote), plain, out);
    }

    fn add(&mut self, ballot: Ballot, vote: SignedVote, out: &mut Vec<TallyEvent>) {
        let VoteBody { view, kind, block, .. } = vote.body;
        let member = usize::from(vote.signer.0) < self.committee.n();
        if !member || !self.committee.owns(&vote.body) || !well_formed(&vote.body) || !self.in_reach(view) {
            return;
        }
        self.note_newest(vote);
        if !self.is_counted(view) {
            return;
        }
        let votes = self.votes.entry(view).or_default();
        votes.place(&self.committee, ballot, out);
        if self.kept.has(kind, view) {
            return;
        }
        if let Some(certificate) = votes.settle((&self.committee, &mut self.inline), view, kind, &block, out) {
            self.kept.insert(certificate.clone());
            self.formed(certificate, out);
        }
        self.forget_votes();
    }

    /// Tells if the view is not final yet, and at most a window ahead.
    fn in_reach(&self, view: View) -> bool {
        view >= self.floor && view.0 <= self.head.0.saturating_add(self.window_views)
    }

    /// Tells if votes of the view count. Below the window, they count only if they may still make the first certificate
    /// of their view.
    fn is_counted(&self, view: View) -> bool {
        view >= self.window_start() || !self.kept.has_any(view)
    }

    fn window_start(&self) -> View {
        View(self.head.0.saturating_sub(self.window_views))
    }

    fn note_newest(&mut self, vote: SignedVote) {
        let known = self.newest.get(&vote.signer).map(|known| known.body.view);
        if known.is_none_or(|known| known < vote.body.view) {
            self.newest.insert(vote.signer, vote);
        }
    }

    /// Judges a peer's certificate without checking a signature. Certificates of all views above the last final one are
    /// useful, however far from the newest one.
    pub fn judge(&self, certificate: &Certificate) -> Result<CertificateUse, CertificateRefused> {
        self.check_scope(&certificate.body)?;
        if !self.matters(&certificate.body) {
            return Ok(CertificateUse::Known);
        }
        self.check_signers(certificate)?;
        Ok(CertificateUse::ToCheck)
    }

    /// Judges, checks and takes a peer's certificate.
    pub fn add_certificate(
        &mut self,
        certificate: Certificate,
        out: &mut Vec<TallyEvent>,
    ) -> Result<(), CertificateRefused> {
        if self.judge(&certificate)? == CertificateUse::ToCheck {
            let checked = verify_certificate(&self.committee.keys, certificate);
            self.take(checked.ok_or(CertificateRefused::Signature)?, out);
        }
        Ok(())
    }

    /// Keeps a certificate of this node's own journal by its position there. It was checked before it was written, and
    /// isn't checked again.
    pub fn restore(&mut self, body: &VoteBody, position: u64) -> Result<(), CertificateRefused> {
        self.check_scope(body)?;
        if position > 0 && self.matters(body) {
            self.kept.insert_place(body.kind, body.view, position);
            self.head = self.head.max(body.view);
        }
        Ok(())
    }

    /// Takes a certificate whose signatures hold. A new one is reported by `Formed`, and its votes are compared with
    /// the stored ones. One that has become known meanwhile changes nothing.
    pub fn take(&mut self, certificate: Verified<Certificate>, out: &mut Vec<TallyEvent>) {
        if !self.matters(&certificate.body) {
            return;
        }
        let view = certificate.body.view;
        let counted = view >= self.window_start();
        for vote in certificate.votes() {
            self.note_newest(*vote);
            if counted || self.votes.contains_key(&view) {
                self.votes.entry(view).or_default().place(&self.committee, Ballot::Checked(vote), out);
            }
        }
        // A second certificate for another block needs more than f faulty members: only the evidence is kept.
        if self.kept.insert(certificate.clone()) {
            self.formed(certificate, out);
        }
    }

    /// Tells if a certificate would be new, or evidence.
    fn matters(&self, body: &VoteBody) -> bool {
        let VoteBody { view, kind, .. } = *body;
        if self.kept.has(kind, view) {
            let other = self.kept.whole(kind, view).is_some_and(|held| held.body != *body);
            return other && self.votes.contains_key(&view);
        }
        let best = self.best.as_ref().map(|best| best.body.view);
        match kind {
            VoteKind::Finalize => view >= self.floor || best < Some(view),
            VoteKind::Notarize | VoteKind::Nullify => view >= self.floor && best < Some(view),
        }
    }

    fn check_scope(&self, body: &VoteBody) -> Result<(), CertificateRefused> {
        let committee = &self.committee;
        if body.chain != committee.chain || body.shard != committee.shard {
            Err(CertificateRefused::OtherChain)
        } else if body.epoch != committee.epoch {
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

    fn formed(&mut self, certificate: Verified<Certificate>, out: &mut Vec<TallyEvent>) {
        let VoteBody { view, kind, .. } = certificate.body;
        let newer = |known: &Option<Verified<Certificate>>| known.as_ref().is_none_or(|known| known.body.view < view);
        if kind == VoteKind::Finalize && newer(&self.best) {
            self.best = Some(certificate.clone());
        }
        if kind == VoteKind::Notarize && newer(&self.notarization) {
            self.notarization = Some(certificate.clone());
        }
        self.head = self.head.max(view);
        out.push(TallyEvent::Formed(certificate));
        self.forget_votes();
    }

    /// Keeps the votes in the window, and below it those of the newest views without a certificate.
    fn forget_votes(&mut self) {
        while self.votes.first_key_value().is_some_and(|(view, _)| *view < self.floor) {
            self.votes.pop_first();
        }
        let start = self.window_start();
        if self.votes.first_key_value().is_none_or(|(view, _)| *view >= start) {
            return;
        }
        let certified: Vec<View> =
            self.votes.range(..start).map(|(view, _)| *view).filter(|view| self.kept.has_any(*view)).collect();
        certified.iter().for_each(|view| _ = self.votes.remove(view));
        let kept = usize::try_from(self.window_views).unwrap_or(usize::MAX);
        for _ in kept..self.votes.range(..start).count() {
            self.votes.pop_first();
        }
    }

    /// Notes the position at which the journal has a certificate, also after it copied the certificate there. From now
    /// on the certificate may be kept only by its position.
    pub fn journaled(&mut self, kind: VoteKind, view: View, position: u64) {
        self.kept.journaled(kind, view, position);
    }

    /// Returns the certificate of this kind and view, if it is in memory. The best finalization and the newest
    /// notarization always are.
    pub fn certificate(&self, kind: VoteKind, view: View) -> Option<&Verified<Certificate>> {
        let pinned = match kind {
            VoteKind::Finalize => self.best.as_ref(),
            VoteKind::Notarize => self.notarization.as_ref(),
            VoteKind::Nullify => None,
        };
        self.kept.whole(kind, view).or_else(|| pinned.filter(|pinned| pinned.body.view == view))
    }

    /// Tells if there is a certificate of this kind and view, in memory or in the journal.
    pub fn has(&self, kind: VoteKind, view: View) -> bool {
        self.kept.has(kind, view)
    }

    /// Returns the certificates of these views, inclusive, by view and then kind.
    pub fn kept_between(&self, first: View, last: View) -> impl Iterator<Item = KeptCertificate> {
        let lone = self.best.as_ref().filter(|best| !self.kept.has(VoteKind::Finalize, best.body.view));
        let lone = lone.filter(move |best| (first..=last).contains(&best.body.view));
        lone.cloned().map(KeptCertificate::Whole).into_iter().chain(self.kept.between(first, last))
    }

    /// Returns the notarizations above `view` that are in memory, newest first.
    pub fn notarizations_above(&self, view: View) -> impl Iterator<Item = &Verified<Certificate>> {
        let pinned = self.notarization.as_ref().filter(|pinned| pinned.body.view > view);
        let newest = pinned.map_or(View(u64::MAX), |pinned| pinned.body.view);
        let older = self.kept.whole_above(view).filter(move |certificate| certificate.body.view < newest);
        pinned.into_iter().chain(older.filter(|certificate| certificate.body.kind == VoteKind::Notarize))
    }

    /// Tells if this vote of the member is stored, verified or not.
    pub fn has_vote(&self, body: &VoteBody, signer: ValidatorIndex) -> bool {
        self.votes.get(&body.view).is_some_and(|votes| votes.has_vote(body.kind, &body.block, signer))
    }

    /// Returns the numbers of certificates in memory and of votes.
    pub fn sizes(&self) -> (usize, usize) {
        (self.kept.size().1, self.votes.values().map(ViewVotes::votes).sum())
    }

    /// Returns a member's stored votes, newest views first. Not all are verified.
    pub fn votes_of(&self, signer: ValidatorIndex) -> impl Iterator<Item = SignedVote> {
        let newest = self.newest.get(&signer).filter(|vote| !self.votes.contains_key(&vote.body.view)).copied();
        newest.into_iter().chain(self.votes.values().rev().flat_map(move |votes| votes.votes_of(signer)))
    }

    /// Forgets the views below `view`, except the best finalization.
    pub fn prune_below(&mut self, view: View) {
        self.floor = self.floor.max(view);
        self.kept.forget_below(self.floor);
        self.newest.retain(|_, vote| vote.body.view >= self.floor);
        self.notarization.take_if(|known| known.body.view < self.floor);
        self.forget_votes();
    }

    /// Returns the finalization of the newest view.
    pub fn best_finalization(&self) -> Option<&Verified<Certificate>> {
        self.best.as_ref()
    }

    /// Returns the memory in use: views with a certificate, certificates in memory and their bytes, views with votes.
    pub fn size(&self) -> TallySize {
        let (certified_views, whole, whole_bytes) = self.kept.size();
        TallySize { certified_views, whole, whole_bytes, voted_views: self.votes.len() }
    }
}

/// Memory that a tally uses.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TallySize {
    /// Views with a certificate: 32 bytes each.
    pub certified_views: usize,
    /// Certificates in memory.
    pub whole: usize,
    /// Bytes of these certificates.
    pub whole_bytes: usize,
    /// Views with votes.
    pub voted_views: usize,
}
