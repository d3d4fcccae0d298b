//! Carries out the core's effects: proposing, voting, and telling peers.

use super::machines::journal::Outgoing;
use super::{Now, Ports, Shard, Stage};
use crate::log_marks;
use crate::port::{CertificateName, Effect, Input, PayloadStatus};
use bytes::Bytes;
use rustorium_crypto::Verified;
use rustorium_storage::RecordKind;
use rustorium_types::limits;
use rustorium_types::{
    BlockDigest, BoundedVec, Certificate, Class, Heartbeat, Held, Message, Report, SignedVote, ValidatorIndex, View,
    VoteBody, VoteKind, VoteMessage, encode,
};
use std::collections::BTreeMap;

impl<P: Ports> Shard<P> {
    pub(super) fn apply(&mut self, now: Now, effect: Effect) {
        if self.core.is_of_an_older_epoch(self.context.epoch(), &effect) {
            return;
        }
        let (is_member, signer_is_away) = (self.context.me().is_some(), self.signer_is_away());
        let Some(effect) = self.key.hold_back(effect, is_member, signer_is_away) else { return };
        match effect {
            Effect::EnterView { view, because, leads, backoff, passed_over, .. } => {
                self.config.backoff = Some(backoff);
                self.core.pass_over(passed_over);
                self.enter_view(view, because, leads, backoff);
            }
            Effect::Propose { view, parent, claim_height, root_height, distrusted_lanes } => {
                let claims = (claim_height, root_height);
                self.propose(now, view, &parent, claims, &distrusted_lanes);
            }
            Effect::Vote { kind, view, digest, carry } => {
                if kind == VoteKind::Nullify {
                    self.doubt_leader(now, view);
                }
                self.vote(kind, view, digest, carry);
            }
            Effect::SendCertificate(name) => self.send_certificate(&name),
            Effect::FetchBlock(digest) => self.fetch_block(digest),
            Effect::FetchCertificates { first, last, peer } => {
                self.fetching.wish(first, last, peer);
            }
            Effect::SendWork(peer) => self.send_work(now, peer),
            // Peers go on at once past the views of a leader that shows no life.
            Effect::ResendVotes(_) | Effect::Heartbeat(_) if self.only_follows() => self.tree.recheck_soon(),
            Effect::ResendVotes(_) => self.resend(),
            Effect::Heartbeat(_) => self.heartbeat(),
        }
    }

    fn enter_view(&mut self, view: View, because: Option<CertificateName>, leads: bool, backoff: u32) {
        if let Some(us) = self.core.enter(view, because, leads, backoff) {
            self.ports.measured(Stage::View, us);
        }
        self.fetching.entered(view);
        self.batches.entered(view);
        self.forget_failed_blocks();
    }

    pub(super) fn vote_body(&self, kind: VoteKind, view: View, block: BlockDigest) -> VoteBody {
        let committee = &self.context.committee;
        VoteBody { chain: committee.chain, shard: committee.shard, epoch: committee.epoch, view, kind, block }
    }

    fn vote(&mut self, kind: VoteKind, view: View, digest: Option<BlockDigest>, carry: Option<CertificateName>) {
        let body = self.vote_body(kind, view, digest.unwrap_or(BlockDigest::ZERO));
        let unready = kind == VoteKind::Notarize
            && digest.and_then(|digest| self.status_of(&digest)) != Some(PayloadStatus::Ready);
        let notarized = digest.filter(|_| kind == VoteKind::Notarize);
        if unready || !self.votes.permits(&body) || notarized.is_some_and(|digest| !self.journal_payload(&digest)) {
            self.core.tell(Input::VoteRefused(kind, view));
            // R2: the certificate that the vote was to carry is sent by itself.
            carry.iter().for_each(|name| self.send_certificate(name));
            return;
        }
        if let (VoteKind::Notarize, Some(digest)) = (kind, digest) {
            self.journal_block(&digest);
        }
        if self.signs_elsewhere() {
            return self.ask_for_vote(body, carry);
        }
        match self.sign(body) {
            Some(vote) => self.send_when_durable(&vote.clone(), Outgoing::Vote(vote, carry)),
            None => self.core.tell(Input::VoteRefused(kind, view)),
        }
    }

    /// Signs a vote that the guard permits. The guard remembers the vote before anything else can see it. `None` if
    /// this node has no place in the committee.
    pub(super) fn sign(&mut self, body: VoteBody) -> Option<Verified<SignedVote>> {
        let (place, key) = (self.context.me()?, self.context.key.as_ref()?);
        self.votes.record(&body);
        Some(key.sign_own_vote(place, body))
    }

    pub(super) fn send_when_durable(&mut self, vote: &SignedVote, outgoing: Outgoing) {
        let position = self.append(RecordKind::Vote, &encode(vote));
        self.journal.note(vote.body.view, position);
        self.ports.sync(position);
        self.journal.push(position, outgoing);
    }

    /// Sends something once the journal is on disk up to `position`, which may be the case already.
    pub(super) fn leave_after(&mut self, position: u64, outgoing: Outgoing) {
        let durable = self.journal.insert(position, outgoing);
        self.on_durable(durable);
    }

    pub(super) fn journal_block(&mut self, digest: &BlockDigest) {
        let Some(entry) = self.tree.get_mut(digest) else { return };
        if !std::mem::replace(&mut entry.journaled, true) {
            let block = entry.block.clone();
            let position = self.append(RecordKind::Proposal, &encode(&*block));
            self.journal.note(block.header.view, position);
        }
    }

    pub(super) fn on_durable(&mut self, position: u64) {
        self.journal.durable_to(position);
        while let Some(outgoing) = self.journal.take_due(position) {
            match outgoing {
                Outgoing::Batch(frame) => {
                    self.own_lane.one_left();
                    frame.into_iter().for_each(|frame| self.ports.broadcast(Class::Data, frame));
                }
                Outgoing::Proposal(frame, vote) => {
                    self.batches.note_proposal(vote.body.view);
                    self.mark_proposed(&vote.body.block);
                    self.ports.broadcast(Class::Consensus, frame);
                    self.count_own(vote);
                }
                Outgoing::Vote(vote, carry) => {
                    let carry = carry.and_then(|name| self.certificate(&name)).map(|c| (**c).clone());
                    let held = self.digests.held_change(self.batches.lanes().held_ends());
                    let report = self.results.report_now();
                    self.send_vote(&VoteMessage { vote: *vote, report, held, carry: None }, carry.as_ref());
                    self.count_own(vote);
                }
            }
        }
    }

    /// Sends an own vote. R2: a certificate is attached only for peers whose vote in it isn't held here; the others
    /// form it from the votes. Peers of an older release get the complete list of held batches.
    fn send_vote(&mut self, plain: &VoteMessage, carry: Option<&Certificate>) {
        let mut forms: BTreeMap<(bool, bool), Vec<ValidatorIndex>> = BTreeMap::new();
        for peer in (0..self.context.n() as u16).map(ValidatorIndex).filter(|peer| !self.context.is_me(*peer)) {
            let lacks = carry.is_some_and(|carry| !self.votes.has_vote(&carry.body, peer));
            forms.entry((lacks, self.digests.speaks(peer))).or_default().push(peer);
        }
        let to_all = forms.len() == 1;
        for ((lacks, brief), peers) in forms {
            let mut message = plain.clone();
            message.carry = carry.filter(|_| lacks).cloned();
            if !brief {
                message.held = Held::Whole(BoundedVec::new(self.batches.lanes().held_ends()).unwrap_or_default());
            }
            let frame = Bytes::from(Message::Vote(Box::new(message)).to_frame());
            if to_all {
                self.ports.broadcast(Class::Consensus, frame);
            } else {
                peers.into_iter().for_each(|peer| self.ports.send(peer, Class::Consensus, frame.clone()));
            }
        }
    }

    fn mark_proposed(&self, digest: &BlockDigest) {
        let header = self.tree.get(digest).map(|entry| &entry.block.header);
        if let Some((header, above)) = header.and_then(|header| Some((header, self.tree.header(&header.parent)?))) {
            log_marks::proposed(header, above.time_ms);
        }
    }

    fn count_own(&mut self, vote: Verified<SignedVote>) {
        let events = self.votes.count_own(vote);
        self.on_tally(events);
    }

    /// Returns the report and the held batches, which accompany heartbeats.
    fn beside(&mut self) -> (Report, BoundedVec<u64, { limits::VALIDATORS_MAX }>) {
        (self.results.report_now(), BoundedVec::new(self.batches.lanes().held_ends()).unwrap_or_default())
    }

    pub(super) fn send_report(&mut self, now: Now) {
        if self.results.report_due_us().is_some_and(|at| at <= now.us) {
            let frame = Message::Report(self.results.report_now()).to_frame();
            self.ports.broadcast(Class::Consensus, frame.into());
        }
    }

    fn heartbeat(&mut self) {
        let (report, held) = self.beside();
        let entered_by = self.core.entered_by().and_then(|name| self.certificate(&name)).map(|c| (**c).clone());
        let mut votes = self.votes.open_frame(self.core.view());
        votes.truncate(limits::HEARTBEAT_VOTES_MAX);
        let events = self.votes.count_again(&votes, self.core.view());
        self.on_tally(events);
        let heartbeat = Heartbeat {
            epoch: self.context.epoch(),
            finalization: self.votes.best_finalization().map(|c| (**c).clone()),
            entered_by,
            votes: BoundedVec::new(votes).unwrap_or_default(),
            report,
            held,
        };
        let frame = Bytes::from(Message::Heartbeat(Box::new(heartbeat)).to_frame());
        // Followers get it too: from it they learn how far the chain is, and that an epoch is over.
        self.ports.tell_followers(Class::Consensus, frame.clone());
        self.ports.broadcast(Class::Consensus, frame);
        for notarization in self.open_notarizations(1) {
            self.ports.broadcast(Class::Consensus, notarization.to_frame().into());
        }
        // Requests again what a useless answer left unanswered.
        self.tree.recheck_soon();
    }

    /// Sends own open votes again, and the proposal of this view if it is this node's own, even one from before a
    /// restart. Peers in lower views get here by the certificate that goes along.
    fn resend(&mut self) {
        self.heartbeat();
        let notarizes = self.votes.open_from(self.core.view()).filter(|vote| vote.body.kind == VoteKind::Notarize);
        let own = notarizes.filter_map(|vote| {
            let block = &self.tree.get(&vote.body.block)?.block;
            let own = self.context.is_me(block.header.proposer);
            own.then(|| self.proposal_frame((**block).clone(), vote))
        });
        let frames: Vec<Bytes> = own.collect();
        frames.into_iter().for_each(|frame| self.ports.broadcast(Class::Consensus, frame));
    }
}
