//! Votes and certificates: counts members' votes, guards own votes, and tells which views and blocks are certified.
//!
//! *Invariants:* this knows no block, link or journal; the guard checks and records an own vote before anything else
//! sees it; a certificate is kept until a view at or above its own is final and executed (R10).

use super::open_votes::OpenVotes;
use crate::port::CertificateName;
use crate::shard::VIEW_WINDOW;
use rustorium_crypto::Verified;
use rustorium_quorum::{
    CertificateRefused, CertificateUse, CheckedVote, Committee, KeptCertificate, Tally, TallyEvent, VoteGuard,
};
use rustorium_types::limits::CARRIED_NULLIFICATIONS_MAX;
use rustorium_types::{
    BlockDigest, BoundedVec, Certificate, PublicKey, SignedVote, ValidatorIndex, View, VoteBody, VoteKind,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Number of certificates that stay in memory however large they are.
const CERTIFICATES_WHOLE_MIN: usize = 256;

/// The votes and certificates above the last final view.
pub(crate) struct Votes {
    tally: Tally,
    guard: VoteGuard,
    /// Own votes that are sent again until there is a certificate.
    open: OpenVotes,
    /// Newest view of which any certificate is known.
    certified_to: View,
}

impl Votes {
    /// Creates the machine for the views above the last final one.
    pub(crate) fn above(committee: Arc<Committee>, last_final: View, certificates_bytes_max: usize) -> Self {
        let tally = Tally::above(committee, VIEW_WINDOW, last_final);
        Self {
            tally: tally.keeping_whole(certificates_bytes_max, CERTIFICATES_WHOLE_MIN),
            guard: VoteGuard::new(),
            open: OpenVotes::default(),
            certified_to: last_final,
        }
    }

    /// Returns true if the guard lets this node sign the vote.
    pub(crate) fn permits(&self, body: &VoteBody) -> bool {
        self.guard.check(body).is_ok()
    }

    /// Remembers an own vote before it is signed or requested.
    pub(crate) fn record(&mut self, body: &VoteBody) {
        self.guard.record(body);
    }

    /// Returns true if the journal accounts for a vote with this node's signature.
    pub(crate) fn accounts_for(&self, body: &VoteBody) -> bool {
        self.guard.accounts_for(body)
    }

    /// Counts a member's vote.
    pub(crate) fn count(&mut self, vote: SignedVote) -> Vec<TallyEvent> {
        let mut events = Vec::new();
        self.tally.add_vote(vote, &mut events);
        events
    }

    /// Counts votes that another thread has checked.
    pub(crate) fn count_checked(&mut self, checked: Vec<CheckedVote>) -> Vec<TallyEvent> {
        let mut events = Vec::new();
        self.tally.take_votes(checked, &mut events);
        events
    }

    /// Counts an own vote that leaves now, and keeps it open.
    pub(crate) fn count_own(&mut self, vote: Verified<SignedVote>) -> Vec<TallyEvent> {
        self.note_open(*vote);
        let mut events = Vec::new();
        self.tally.add_own_vote(vote, &mut events);
        events
    }

    /// Counts own votes of views before `current` that have no certificate. The tally holds only the newest of them
    /// (R10), so it may have dropped these.
    pub(crate) fn count_again(&mut self, votes: &[SignedVote], current: View) -> Vec<TallyEvent> {
        let mut events = Vec::new();
        for vote in votes.iter().filter(|vote| vote.body.view < current) {
            self.tally.add_vote(*vote, &mut events);
        }
        events
    }

    /// Keeps an own vote open that has left or may have left: it is sent again until there is a certificate.
    pub(crate) fn note_open(&mut self, vote: SignedVote) {
        let VoteBody { kind, view, .. } = vote.body;
        let nullified = kind == VoteKind::Finalize && self.tally.has(VoteKind::Nullify, view);
        if !nullified && !self.tally.has(kind, view) {
            self.open.insert(vote);
        }
    }

    /// Returns the own open votes of this view and later ones.
    pub(crate) fn open_from(&self, view: View) -> impl Iterator<Item = &SignedVote> {
        self.open.from(view)
    }

    /// Returns the own open votes that the next heartbeat carries.
    pub(crate) fn open_frame(&mut self, current: View) -> Vec<SignedVote> {
        self.open.frame(current)
    }

    /// Returns the number of views with own open votes.
    pub(crate) fn open_views(&self) -> usize {
        self.open.len()
    }

    /// Returns the number of whole certificates and of votes in memory.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        self.tally.sizes()
    }

    /// Returns a member's newest votes that are held.
    pub(crate) fn votes_of(&self, signer: ValidatorIndex) -> impl Iterator<Item = SignedVote> {
        self.tally.votes_of(signer)
    }

    /// Returns true if this member's vote of that body is held.
    pub(crate) fn has_vote(&self, body: &VoteBody, signer: ValidatorIndex) -> bool {
        self.tally.has_vote(body, signer)
    }

    /// Returns what a peer's certificate is good for. Errors: what is wrong with its form.
    pub(crate) fn judge(&self, certificate: &Certificate) -> Result<CertificateUse, CertificateRefused> {
        self.tally.judge(certificate)
    }

    /// Takes signatures from this turn's allowance. Returns false if fewer are left.
    pub(crate) fn spend(&mut self, signatures: usize) -> bool {
        self.tally.spend(signatures)
    }

    /// Sets the number of signatures that may be checked on the shard's thread until the next call.
    pub(crate) fn allow(&mut self, signatures: usize) {
        self.tally.allow(signatures);
    }

    /// Has votes of this member checked one by one from now on.
    pub(crate) fn suspect(&mut self, member: ValidatorIndex) {
        self.tally.suspect(member);
    }

    /// Takes a certificate that was checked.
    pub(crate) fn take(&mut self, certificate: Verified<Certificate>) -> Vec<TallyEvent> {
        let mut events = Vec::new();
        self.tally.take(certificate, &mut events);
        events
    }

    /// Checks and takes a certificate.
    pub(crate) fn check_and_take(&mut self, certificate: Certificate) -> Result<Vec<TallyEvent>, CertificateRefused> {
        let mut events = Vec::new();
        self.tally.add_certificate(certificate, &mut events)?;
        Ok(events)
    }

    /// Notes where the journal holds a certificate.
    pub(crate) fn journaled(&mut self, kind: VoteKind, view: View, position: u64) {
        self.tally.journaled(kind, view, position);
    }

    /// Notes that a certificate was formed or found. Own votes that it makes needless aren't open any more.
    pub(crate) fn certified(&mut self, kind: VoteKind, view: View) {
        self.certified_to = self.certified_to.max(view);
        self.open.close(kind, view);
    }

    /// Returns the newest view of which any certificate is known.
    pub(crate) fn certified_to(&self) -> View {
        self.certified_to
    }

    /// Returns true if there is a certificate of this kind and view.
    pub(crate) fn has(&self, kind: VoteKind, view: View) -> bool {
        self.tally.has(kind, view)
    }

    /// Returns the certificate of this kind and view. `None` if there is none in memory.
    pub(crate) fn certificate(&self, kind: VoteKind, view: View) -> Option<&Verified<Certificate>> {
        self.tally.certificate(kind, view)
    }

    /// Returns the finalization of the newest final view.
    pub(crate) fn best_finalization(&self) -> Option<&Verified<Certificate>> {
        self.tally.best_finalization()
    }

    /// Returns the newest view of which a finalization is known; 0 if there is none.
    pub(crate) fn final_view(&self) -> View {
        self.tally.best_finalization().map_or(View(0), |best| best.body.view)
    }

    /// Returns true if there is a notarization or finalization of the block.
    pub(crate) fn is_certified(&self, view: View, digest: &BlockDigest) -> bool {
        let kinds = [VoteKind::Notarize, VoteKind::Finalize];
        let mut held = kinds.iter().filter_map(|kind| self.tally.certificate(*kind, view));
        held.any(|certificate| certificate.body.block == *digest)
    }

    /// Returns true if neither a notarization nor a finalization of the view is known.
    pub(crate) fn lacks_notarization(&self, view: View) -> bool {
        !self.tally.has(VoteKind::Notarize, view) && !self.tally.has(VoteKind::Finalize, view)
    }

    /// Returns a certificate that allows the block of `view` to be a parent.
    pub(crate) fn of_parent(&self, view: View) -> Option<Certificate> {
        let notarization = self.tally.certificate(VoteKind::Notarize, view);
        notarization.or_else(|| self.tally.certificate(VoteKind::Finalize, view)).map(|c| (**c).clone())
    }

    /// Returns the nullifications between a parent's view and its child's: the newest, as many as one proposal carries.
    pub(crate) fn nullifications_between(
        &self,
        parent: View,
        view: View,
    ) -> BoundedVec<Certificate, CARRIED_NULLIFICATIONS_MAX> {
        let first = View(parent.0 + 1).max(View(view.0.saturating_sub(CARRIED_NULLIFICATIONS_MAX as u64)));
        let views = (first.0..view.0).map(View);
        let held = views.filter_map(|v| self.tally.certificate(VoteKind::Nullify, v)).map(|c| (**c).clone());
        BoundedVec::new(held.collect()).unwrap_or_default()
    }

    /// Returns the newest notarizations above `view` and above the last finalization, at most `count`.
    pub(crate) fn notarizations_above(&self, view: View, count: usize) -> impl Iterator<Item = &Verified<Certificate>> {
        self.tally.notarizations_above(view.max(self.final_view())).take(count)
    }

    /// Returns the kept certificates of these views, oldest first.
    pub(crate) fn kept_between(&self, first: View, last: View) -> impl Iterator<Item = KeptCertificate> {
        self.tally.kept_between(first, last)
    }

    /// Forgets what views up to this one made necessary. The view is final and handed to execution.
    pub(crate) fn settle(&mut self, view: View) {
        self.tally.prune_below(view);
        self.guard.prune_below(view);
        self.open.forget_through(view);
    }

    /// Takes a certificate that the journal holds at `position`. Certificates that aren't kept `whole` were checked
    /// before they were written. Returns false if it is refused.
    pub(crate) fn recover_certificate(&mut self, position: u64, certificate: Certificate, whole: bool) -> bool {
        let VoteBody { kind, view, .. } = certificate.body;
        // Events of this certificate were told before the restart.
        let taken = if whole {
            self.tally.add_certificate(certificate, &mut Vec::new())
        } else {
            self.tally.restore(&certificate.body, position)
        };
        if taken.is_err() {
            return false;
        }
        self.tally.journaled(kind, view, position);
        self.certified_to = self.certified_to.max(view);
        true
    }

    /// Takes the journal's own votes. The guard gets all of them. The tally and the open votes get those above the tip
    /// that no certificate has made needless. Returns the names of the votes above the tip, and the events of the
    /// certificates that they complete.
    ///
    /// `floor`: the view up to which the journal has freed votes. `own`: the key that signed them.
    pub(crate) fn recover(
        &mut self,
        tip: View,
        floor: View,
        own: Option<PublicKey>,
        votes: &[(u64, SignedVote)],
    ) -> (Vec<CertificateName>, Vec<TallyEvent>) {
        self.guard = guard_of(votes.iter().map(|(_, vote)| &vote.body));
        // The journal may have freed votes up to the tip.
        self.guard.prune_below(tip.max(floor).next());
        let mut names = Vec::new();
        let mut events = Vec::new();
        let mut signed = BTreeSet::new();
        for (_, vote) in votes.iter().filter(|(_, vote)| vote.body.view > tip) {
            let body = vote.body;
            // A vote that a certificate has made needless is neither sent again nor counted.
            let own = own.filter(|_| !self.tally.has(body.kind, body.view));
            if let Some(vote) = own.and_then(|own| rustorium_crypto::verify_vote(&own, *vote)) {
                self.note_open(*vote);
                self.tally.add_own_vote(vote, &mut events);
            }
            let digest = (body.kind != VoteKind::Nullify).then_some(body.block);
            // A vote that a signer was asked for is there twice: as requested, and as signed.
            if signed.insert((body.view, body.kind)) {
                names.push(CertificateName { kind: body.kind, view: body.view, digest });
            }
        }
        // A certificate that includes peers' votes is in the journal, or forms again when they resend those votes. A
        // committee of one has no peers: certificates that its journal lacks and these votes complete form now.
        (names, events)
    }
}

/// Returns a guard that already knows these votes.
fn guard_of<'a>(votes: impl IntoIterator<Item = &'a VoteBody>) -> VoteGuard {
    let mut guard = VoteGuard::new();
    votes.into_iter().for_each(|vote| guard.record(vote));
    guard
}

/// Returns a test for the journal's certificates that are checked again and kept in memory. These are the newest
/// `CERTIFICATES_WHOLE_MIN`, and the newest notarization and finalization. The others were checked before they were
/// written, and are kept by their positions, because checking 100,000 takes a quarter of a minute.
pub(crate) fn kept_whole(journaled: &[(u64, Certificate)]) -> impl Fn(&VoteBody) -> bool + use<> {
    let newest_of =
        |kind| journaled.iter().map(|(_, certificate)| certificate.body).filter(move |body| body.kind == kind);
    let newest = [VoteKind::Notarize, VoteKind::Finalize].map(|kind| newest_of(kind).map(|body| body.view).max());
    let mut views: Vec<View> = journaled.iter().map(|(_, certificate)| certificate.body.view).collect();
    views.sort_unstable();
    let from = views.len().checked_sub(CERTIFICATES_WHOLE_MIN).and_then(|at| views.get(at).copied());
    move |body| {
        let named = match body.kind {
            VoteKind::Notarize => newest[0] == Some(body.view),
            VoteKind::Finalize => newest[1] == Some(body.view),
            VoteKind::Nullify => false,
        };
        named || from.is_none_or(|from| body.view >= from)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustorium_crypto::SigningKey;
    use rustorium_types::{ChainId, Epoch, ShardId};

    fn keys() -> Vec<SigningKey> {
        (1..=4u8).map(|seed| SigningKey::from_seed(&[seed; 32])).collect()
    }

    fn votes() -> Votes {
        let keys = keys().iter().map(SigningKey::public).collect();
        let me = Some(ValidatorIndex(0));
        let committee = Committee { chain: ChainId([7; 32]), shard: ShardId(0), epoch: Epoch(0), keys, me };
        Votes::above(Arc::new(committee), View(0), 1 << 20)
    }

    fn body(kind: VoteKind, view: u64) -> VoteBody {
        let block = if kind == VoteKind::Nullify { BlockDigest::ZERO } else { BlockDigest([view as u8; 32]) };
        VoteBody { chain: ChainId([7; 32]), shard: ShardId(0), epoch: Epoch(0), view: View(view), kind, block }
    }

    fn certify(votes: &mut Votes, kind: VoteKind, view: u64) {
        let mut formed = Vec::new();
        votes.allow(16);
        for place in 1..4u16 {
            let vote = keys()[usize::from(place)].sign_own_vote(ValidatorIndex(place), body(kind, view));
            formed.extend(votes.count(*vote));
        }
        assert!(formed.iter().any(|event| matches!(event, TallyEvent::Formed(_))), "{kind:?} of {view}");
        votes.certified(kind, View(view));
    }

    #[test]
    fn an_own_vote_is_open_until_a_certificate_or_the_end_of_its_view() {
        let mut votes = votes();
        for (kind, view) in [(VoteKind::Notarize, 1), (VoteKind::Finalize, 1), (VoteKind::Notarize, 2)] {
            assert!(votes.permits(&body(kind, view)));
            votes.record(&body(kind, view));
            votes.count_own(keys()[0].sign_own_vote(ValidatorIndex(0), body(kind, view)));
        }
        assert!(!votes.permits(&body(VoteKind::Nullify, 1)), "it finalizes this view");
        assert_eq!((votes.open_from(View(0)).count(), votes.open_views()), (3, 2));
        certify(&mut votes, VoteKind::Notarize, 1);
        assert_eq!(votes.open_from(View(0)).count(), 2);
        votes.settle(View(1));
        assert_eq!(votes.open_from(View(0)).count(), 1);
    }

    #[test]
    fn a_block_is_certified_by_its_own_certificate_alone() {
        let mut votes = votes();
        certify(&mut votes, VoteKind::Notarize, 3);
        certify(&mut votes, VoteKind::Nullify, 4);
        assert!(votes.is_certified(View(3), &BlockDigest([3; 32])));
        assert!(!votes.is_certified(View(3), &BlockDigest([9; 32])));
        assert!(votes.lacks_notarization(View(4)) && !votes.lacks_notarization(View(3)));
        assert_eq!((votes.certified_to(), votes.final_view()), (View(4), View(0)));
        assert_eq!(votes.nullifications_between(View(3), View(5)).len(), 1);
        assert!(votes.of_parent(View(3)).is_some() && votes.of_parent(View(4)).is_none());
    }

    #[test]
    fn a_restart_knows_what_was_signed_and_sends_open_votes_again() {
        let signed = |kind, view| *keys()[0].sign_own_vote(ValidatorIndex(0), body(kind, view));
        let journal = [(1, signed(VoteKind::Notarize, 2)), (2, signed(VoteKind::Nullify, 5))];
        let mut votes = votes();
        let (names, events) = votes.recover(View(2), View(0), Some(keys()[0].public()), &journal);
        assert!(events.is_empty());
        let views: Vec<View> = names.iter().map(|name| name.view).collect();
        assert_eq!((views, votes.open_views()), (vec![View(5)], 1));
        assert!(!votes.permits(&body(VoteKind::Finalize, 5)), "it nullifies this view");
        assert!(!votes.permits(&body(VoteKind::Notarize, 2)), "the journal may have let go of votes up to the tip");
    }
}
