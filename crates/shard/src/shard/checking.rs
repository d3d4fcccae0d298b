//! Checks of members' signatures: which run on the shard's thread, which go to the checking threads, and who is charged
//! for a false one (R37, R38, R39).
//!
//! *Invariants:* nothing is checked that can't matter; each peer has at most one certificate under check, and the rest
//! of what it sent waits at its own cost, answers for the gap last; a proposal is judged after the certificates that it
//! carries; a turn checks at most `INLINE_SIGNATURES` on the shard's thread, and none of a peer that was charged within
//! the hour.

use super::machines::checks::{CheckedCertificate, name};
use super::{FalseBatch, Now, Ports, Shard, VIEW_WINDOW};
use rustorium_crypto::{BatchFault, block_digest, false_signers, verify_certificate};
use rustorium_quorum::{CertificateUse, Charge, CheckedVote, CutOffMember, Offenders, Sentence};
use rustorium_sync::Want;
use rustorium_types::{
    Block, BlockDigest, Certificate, Proposal, PublicKey, SignedVote, ValidatorIndex, View, VoteBody, VoteKind,
};
use std::collections::{BTreeSet, VecDeque};

/// Number of signatures that a turn checks on the shard's thread. A few checks cost less than the two hops to another
/// thread and back.
const INLINE_SIGNATURES: usize = 16;

impl<P: Ports> Shard<P> {
    pub(super) fn add_vote(&mut self, peer: ValidatorIndex, vote: SignedVote) {
        let (_, root) = self.tree.root();
        let in_window = vote.body.view >= root.view && vote.body.view.0 <= self.core.view().0 + VIEW_WINDOW;
        if vote.signer != peer || !self.is_ours(&vote.body) || !in_window {
            return;
        }
        let events = self.votes.count(vote);
        self.on_tally(events);
        let VoteBody { kind, view, .. } = vote.body;
        if kind == VoteKind::Finalize && self.lacks_notarization(view) {
            self.checks.note_lacking(view, peer);
        }
    }

    fn lacks_notarization(&self, view: View) -> bool {
        view > self.tree.root().1.view && self.votes.lacks_notarization(view)
    }

    /// R2: asks the member that sent a finalize vote for the notarization that it must hold. Otherwise a member that
    /// sends its vote to one node alone could keep the others waiting for the rest of the view.
    fn ask_for_lacking(&mut self, now: Now) {
        for (view, peer) in self.checks.take_lacking(now) {
            // Views without any certificate are fetched as part of the gap.
            let nullified = self.votes.has(VoteKind::Nullify, view);
            if self.lacks_notarization(view) && (nullified || view > self.votes.certified_to()) {
                self.fetching.wish(view, view, peer);
            }
        }
    }

    /// Takes a certificate from a peer: at once if it is known or may be checked here, otherwise after its check.
    pub(super) fn add_certificate(&mut self, peer: ValidatorIndex, certificate: Certificate) {
        if !self.may_be_of_use(peer, &certificate) {
            return;
        }
        if let Some(certificate) = self.check_inline(peer, certificate) {
            self.checks.wait(peer, certificate);
            self.check_next();
        }
    }

    /// Takes a peer's answer for the gap, in this order. The answer is settled once all of it is checked.
    pub(super) fn add_answer(&mut self, peer: ValidatorIndex, id: u64, answer: impl Iterator<Item = Certificate>) {
        let mut left = VecDeque::new();
        for certificate in answer {
            if !self.may_be_of_use(peer, &certificate) {
                continue;
            }
            if left.is_empty() {
                left.extend(self.check_inline(peer, certificate));
            } else {
                left.push_back(certificate);
            }
        }
        if !self.checks.add_answer(peer, id, left) {
            return self.fetching.settled(id);
        }
        self.check_next_of(peer);
    }

    /// Returns true if a peer's certificate is worth a check.
    fn may_be_of_use(&mut self, peer: ValidatorIndex, certificate: &Certificate) -> bool {
        if !self.is_ours(&certificate.body) {
            return false;
        }
        if !self.watch_certificate(certificate) {
            self.charge(peer, Charge::Certificate);
            return false;
        }
        self.is_needed(peer, certificate)
    }

    /// Checks and takes a certificate if that may be done here. Otherwise gives it back.
    fn check_inline(&mut self, peer: ValidatorIndex, certificate: Certificate) -> Option<Certificate> {
        let trusted = !self.is_suspect(peer) && !self.checks.is_busy(peer);
        if !trusted || !self.votes.spend(certificate.signatures.len()) {
            return Some(certificate);
        }
        let checked = check_certificate(&self.context.committee.keys, certificate);
        self.take_certificate(peer, checked);
        None
    }

    /// Returns true if a certificate can still matter (R37). Nobody is charged for a malformed one.
    fn is_needed(&self, peer: ValidatorIndex, certificate: &Certificate) -> bool {
        match self.votes.judge(certificate) {
            Ok(judged) => judged == CertificateUse::ToCheck,
            Err(refused) => {
                tracing::warn!(event = "certificate_refused", peer = peer.0, reason = %refused);
                false
            }
        }
    }

    /// Takes a peer's certificate that another thread has checked.
    pub(super) fn on_certificate_checked(&mut self, peer: ValidatorIndex, checked: CheckedCertificate) {
        let body = match &checked {
            Ok(certificate) => certificate.body,
            Err((certificate, _)) => certificate.body,
        };
        if !self.is_ours(&body) {
            return;
        }
        self.checks.checked(peer);
        self.take_certificate(peer, checked);
        self.check_next();
    }

    pub(super) fn take_certificate(&mut self, peer: ValidatorIndex, checked: CheckedCertificate) {
        match checked {
            Ok(certificate) => {
                self.note_told(peer, &certificate.body);
                let events = self.votes.take(certificate);
                self.on_tally(events);
            }
            Err((_, liar)) => {
                tracing::warn!(event = "certificate_refused", peer = peer.0, "a signature in it does not hold");
                self.drop_checks_of(peer);
                if liar {
                    self.charge(peer, Charge::Certificate);
                }
            }
        }
    }

    /// Drops everything from this peer that waits for its check.
    fn drop_checks_of(&mut self, peer: ValidatorIndex) {
        self.checks.drop_of(peer).for_each(|id| self.fetching.settled(id));
    }

    /// Sends the next certificates to their checks, and judges the proposals that waited for them.
    pub(super) fn check_next(&mut self) {
        for peer in self.checks.peers() {
            self.check_next_of(peer);
        }
        for peer in self.checks.ready_proposals() {
            if let Some(proposal) = self.checks.take_proposal(peer) {
                self.take_proposal(peer, proposal);
            }
        }
    }

    fn check_next_of(&mut self, peer: ValidatorIndex) {
        while !self.checks.is_under_check(peer) {
            while let Some(id) = self.checks.take_finished(peer) {
                self.fetching.settled(id);
            }
            let Some(next) = self.checks.next_of(peer).map(name) else { return };
            if self.checks.is_checked_now(&next) {
                // Another peer's copy is under check. This one is of use only if that one is false.
                return;
            }
            let Some(certificate) = self.checks.take_next_of(peer) else { return };
            if self.is_needed(peer, &certificate) {
                self.checks.begin(peer, next);
                self.ports.check_certificate(peer, certificate);
            }
        }
    }

    /// Takes a proposal that can matter (R37), after the certificates that it carries.
    pub(super) fn on_proposal(&mut self, peer: ValidatorIndex, mut proposal: Proposal) {
        let header = &proposal.header;
        let of_proposer = header.proposer == peer;
        let ours = self.context.header_is_ours(header);
        let view = header.view;
        let leads = header.proposer == self.context.leaders.of(view);
        let mut certificates = std::mem::take(&mut proposal.nullifications).into_vec();
        certificates.extend(proposal.notarization.take());
        certificates.sort_by_key(|certificate| std::cmp::Reverse(certificate.body.view));
        let newest = certificates.first().map(|certificate| certificate.body.view);
        if !(of_proposer && ours && leads) {
            return;
        }
        self.core.note_proposed(peer, view, self.newest_timely());
        if self.proposal_matters(view, newest, || block_digest(&proposal.header)) {
            self.await_certificates(peer, certificates, proposal);
        }
    }

    /// Returns true if a leader's proposal of this view may be of use here. It is if the view is the current one, the
    /// next one, or one that the proposal's newest certificate proves. It is for an older view if the block is
    /// certified or requested, or if the view is one of the last n: the vote in the proposal may be the one that the
    /// block lacks.
    fn proposal_matters(&self, view: View, newest: Option<View>, digest: impl FnOnce() -> BlockDigest) -> bool {
        let (_, root) = self.tree.root();
        if view <= root.view || view.0 > self.core.view().0 + VIEW_WINDOW {
            return false;
        }
        if view.0 + (self.context.n() as u64) < self.core.view().0 {
            let digest = digest();
            return self.votes.is_certified(view, &digest)
                || self.fetching.is_named(&digest)
                || self.fetching.contains(&Want::Block(digest));
        }
        view <= self.newest_timely() || newest.map(View::next) == Some(view)
    }

    fn take_proposal(&mut self, peer: ValidatorIndex, proposal: Proposal) {
        let Proposal { header, inline, signature, .. } = proposal;
        let digest = block_digest(&header);
        let body = self.vote_body(VoteKind::Notarize, header.view, digest);
        let first = self.is_timely(body.view, peer, &digest) && self.tree.claim_first(body.view, peer, digest);
        self.add_vote(peer, SignedVote { body, signer: peer, signature });
        if first {
            self.keep_block(digest, Block { header, inline }, false);
        }
    }

    /// Keeps a proposal until its certificates are checked. Takes it at once if there are none to check.
    fn await_certificates(&mut self, peer: ValidatorIndex, certificates: Vec<Certificate>, proposal: Proposal) {
        let names: BTreeSet<_> = certificates.iter().map(name).collect();
        certificates.into_iter().for_each(|certificate| self.add_certificate(peer, certificate));
        if !names.iter().any(|name| self.checks.awaits(peer, name)) {
            return self.take_proposal(peer, proposal);
        }
        self.checks.keep_proposal(peer, names, proposal);
    }

    /// Counts votes that reach a threshold and that another thread has checked.
    pub(super) fn on_votes_checked(&mut self, checked: Vec<CheckedVote>) {
        let ours = checked.into_iter().filter(|(vote, _)| self.context.committee.owns(&vote.body));
        let events = self.votes.count_checked(ours.collect());
        self.on_tally(events);
    }

    /// Charges a member for a false signature (R39).
    pub(super) fn charge(&mut self, peer: ValidatorIndex, charge: Charge) {
        let Some(key) = self.node_key(peer) else { return };
        let faults = self.context.committee.faults();
        let (now_ms, what) = (self.checks.now().ms(), charge.what());
        self.votes.suspect(peer);
        match self.checks.charge(key, charge, faults) {
            Sentence::Noted => tracing::warn!(event = "false_signature", peer = peer.0, "it sent {what}"),
            Sentence::CutUntil(until_ms) => {
                let seconds = until_ms.saturating_sub(now_ms) / 1000;
                tracing::warn!(event = "peer_cut_off", peer = peer.0, seconds, "it sent {what}");
                self.drop_checks_of(peer);
                self.ports.drop_unchecked(peer);
            }
            Sentence::TooMany => tracing::warn!(event = "many_liars", peer = peer.0, "it sent {what}, as others did"),
        }
    }

    /// Charges whoever is responsible for a false batch: its author, or the sender who should have checked it.
    pub(super) fn charge_batch(&mut self, peer: ValidatorIndex, found: &FalseBatch, wanted: bool) {
        if found.epoch != self.context.epoch() {
            return;
        }
        match found.fault {
            Some(BatchFault::Transaction) => self.charge(found.author, Charge::Transaction),
            Some(BatchFault::Author) if peer == found.author || wanted => self.charge(peer, Charge::Batch),
            Some(BatchFault::Author) | None => {}
        }
    }

    /// Once a turn: looks again at waiting checks if a certificate was formed, and renews the turn's budget of
    /// signatures.
    pub(super) fn settle_checks(&mut self, now: Now) {
        self.checks.at(now);
        if self.checks.take_stirred() {
            self.check_next();
        }
        self.ask_for_lacking(now);
        self.votes.allow(INLINE_SIGNATURES);
    }

    /// Takes over the offenders of the previous epoch.
    pub(super) fn go_on_with(&mut self, offenders: Offenders) {
        let places = self.context.places.iter();
        places.filter(|(key, _)| offenders.is_suspect(key)).for_each(|(_, place)| self.votes.suspect(*place));
        self.checks.go_on_with(offenders);
    }

    pub(super) fn node_key(&self, peer: ValidatorIndex) -> Option<PublicKey> {
        self.context.validators.get(usize::from(peer.0)).map(|member| member.node_key)
    }

    fn is_suspect(&self, peer: ValidatorIndex) -> bool {
        self.checks.is_suspect(|| self.node_key(peer))
    }

    /// Returns the node keys whose frames aren't read at present.
    pub fn cut_off(&self, now: Now) -> BTreeSet<PublicKey> {
        self.checks.cut_off(now)
    }

    /// Returns the same for people, and whether more members are affected than may be.
    pub fn cuts(&self, now: Now) -> (Vec<CutOffMember>, bool) {
        self.checks.cuts(now)
    }
}

fn check_certificate(keys: &[PublicKey], certificate: Certificate) -> CheckedCertificate {
    verify_certificate(keys, certificate.clone()).ok_or_else(|| {
        let liar = !false_signers(keys, &certificate).is_empty();
        (certificate, liar)
    })
}
