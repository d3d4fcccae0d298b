//! Signatures by another process: requested, waited for, and requested again after that process was away.
//!
//! *Invariants:* guard and journal here have a vote before the signer hears of it, and both disks have it before it
//! leaves; one batch is requested at a time, and is on the signer's disk before it leaves; while the signer is away
//! nothing is signed, and everything else goes on.

use super::machines::journal::Outgoing;
use super::machines::signer::OpenRequest;
use super::{Now, Ports, Shard, SignerEvent};
use crate::port::{CertificateName, Input};
use rustorium_crypto::{UnsignedBatch, Verified, verify_batch, verify_vote};
use rustorium_signer::protocol::{Request, SHOWN_VOTES_MAX};
use rustorium_signer::{Answer, JournalSummary, Refusal, RequestSubject};
use rustorium_storage::RecordKind;
use rustorium_types::{Batch, BoundedVec, Signature, SignedVote, ValidatorIndex, View, VoteBody, VoteKind, encode};
use std::collections::{BTreeMap, BTreeSet};

/// Placeholder in the journal for a signature that was requested. It is valid under no validator's key.
const UNSIGNED: Signature = [0; 64];

impl<P: Ports> Shard<P> {
    /// Returns true if another process holds this node's key.
    pub(super) fn signs_elsewhere(&self) -> bool {
        self.context.elsewhere.is_some()
    }

    /// Returns true if that process can't be asked at present.
    pub(super) fn signer_is_away(&self) -> bool {
        self.signs_elsewhere() && !self.signer.is_ready()
    }

    /// Returns true if a batch was cut and its signature hasn't come.
    pub(super) fn waits_for_batch(&self) -> bool {
        self.signer.has_batch()
    }

    pub(super) fn on_signer(&mut self, now: Now, event: SignerEvent) {
        match event {
            SignerEvent::Connected => self.show_journal(),
            SignerEvent::Lost => self.signer_lost(now),
            SignerEvent::Answer(number, answer) => self.on_signed(now, number, answer),
        }
    }

    pub(super) fn ask_for_vote(&mut self, body: VoteBody, carry: Option<CertificateName>) {
        let position = self.journal_asked(&body);
        self.ask_vote(body, OpenRequest::Vote(body, carry, position));
    }

    pub(super) fn ask_for_proposal(&mut self, body: VoteBody) {
        let position = self.journal_asked(&body);
        self.ask_vote(body, OpenRequest::Proposal(body, position));
    }

    /// Remembers a vote that the signer will be asked for. Both disks write at the same time: the signer's record and
    /// this journal each have the vote before it leaves. The signature is added here later, without another wait.
    fn journal_asked(&mut self, body: &VoteBody) -> u64 {
        self.votes.record(body);
        let signer = self.context.me().unwrap_or(ValidatorIndex(0));
        let position = self.journal_vote(&SignedVote { body: *body, signer, signature: UNSIGNED });
        self.ports.sync(position);
        position
    }

    fn journal_vote(&mut self, vote: &SignedVote) -> u64 {
        let position = self.append(RecordKind::Vote, &encode(vote));
        self.journal.note(vote.body.view, position);
        position
    }

    /// Finds votes that the journal has as requested and not as signed, because the node ended in between. They are
    /// requested again after peers were asked (R26), whichever process has the key by then.
    pub(super) fn recover_asked(&mut self, tip: View, votes: &[(u64, SignedVote)]) {
        let open = || votes.iter().map(|(_, vote)| vote).filter(|vote| vote.body.view > tip);
        let name = |vote: &SignedVote| (vote.body.view, vote.body.kind);
        let signed: BTreeSet<_> = open().filter(|vote| vote.signature != UNSIGNED).map(name).collect();
        let asked = open().filter(|vote| vote.signature == UNSIGNED && !signed.contains(&name(vote)));
        let bodies: BTreeMap<_, _> = asked.map(|vote| (name(vote), vote.body)).collect();
        for body in bodies.into_values().filter(|body| !self.votes.has(body.kind, body.view)) {
            // Records that were found in the journal are on disk.
            self.signer.ask(OpenRequest::Vote(body, None, 0));
        }
    }

    fn ask_vote(&mut self, body: VoteBody, asked: OpenRequest) {
        let settled = self.settled();
        let id = self.signer.ask(asked);
        self.ports.ask_signer(Request { id, what: RequestSubject::Vote { body, settled } });
    }

    pub(super) fn ask_for_batch(&mut self, unsigned: UnsignedBatch) {
        let body = Box::new(unsigned.body().clone());
        let id = self.signer.ask(OpenRequest::Batch(Box::new(unsigned)));
        self.ports.ask_signer(Request { id, what: RequestSubject::Batch(body) });
    }

    /// Returns the newest final view. Nothing is voted in it or below.
    fn settled(&self) -> View {
        self.tree.root().1.view
    }

    fn show_journal(&mut self) {
        let committee = &self.context.committee;
        let votes: Vec<SignedVote> = self.votes.open_from(self.settled().next()).copied().collect();
        let newest = votes.len().saturating_sub(SHOWN_VOTES_MAX);
        let shown = JournalSummary {
            chain: committee.chain,
            shard: committee.shard,
            epoch: committee.epoch,
            settled: self.settled(),
            next_seq: self.own_lane.next_seq(),
            votes: BoundedVec::new(votes.get(newest..).unwrap_or_default().to_vec()).unwrap_or_default(),
        };
        let id = self.signer.show();
        self.ports.ask_signer(Request { id, what: RequestSubject::Show(Box::new(shown)) });
    }

    /// Handles the loss of the signer. Open requests wait, except the batch: other validators can list its
    /// transactions.
    fn signer_lost(&mut self, now: Now) {
        let (carried, batch) = self.signer.is_lost();
        if let Some(unsigned) = batch {
            self.own_lane.uncut(unsigned.ids());
        }
        carried.iter().for_each(|name| self.send_certificate(name));
        self.propose_now(now);
        tracing::warn!(event = "signer_lost", waiting = self.signer.waiting(), "nothing is signed until it is back");
    }

    /// Goes on after the signer has compared the journal with its record: takes the batch that the journal lacks, and
    /// repeats open requests.
    fn signer_is_ready(&mut self, now: Now, newest: Option<Box<Batch>>) {
        self.signer.is_back();
        newest.into_iter().for_each(|batch| self.adopt(*batch));
        tracing::info!(event = "signer_ready", waiting = self.signer.waiting());
        if self.key.is_whole() {
            self.ask_again();
            self.go_on_with_waiting(now);
        }
        self.cut_batches(now, false);
    }

    /// Requests the votes that are still without a signature: from the signer, or from this node's key if it is back
    /// here.
    pub(super) fn ask_again(&mut self) {
        if !self.may_sign() {
            return;
        }
        let settled = self.settled();
        for (id, body) in self.signer.open_votes(settled) {
            if self.signs_elsewhere() {
                self.ports.ask_signer(Request { id, what: RequestSubject::Vote { body, settled } });
                continue;
            }
            self.signer.take(id);
            if let Some(vote) = self.sign(body) {
                self.send_when_durable(&vote.clone(), Outgoing::Vote(vote, None));
            }
        }
    }

    /// Takes a batch of the own lane that was signed and never journaled. A node that ended in between requests the
    /// batch again, or gets it from a peer.
    pub(super) fn adopt(&mut self, batch: Batch) {
        let body = &batch.body;
        let (epoch, next_seq) = (self.context.epoch(), self.own_lane.next_seq());
        let is_own = self.context.is_me(body.author) && body.epoch == epoch && !self.key.is_retired();
        if !is_own || body.seq < next_seq {
            return;
        }
        let next = self.own_lane.is_next(body);
        let own = self.context.own_key().filter(|_| next);
        match own.and_then(|own| verify_batch(&own, batch)) {
            Some(checked) => {
                self.own_lane.held_elsewhere(&checked);
                self.take_own_batch(checked);
            }
            None => self.lose_lane(next_seq),
        }
    }

    /// Handles a disagreement between the signer and this node about the lane: another node used the key, or the
    /// journal was lost.
    fn lose_lane(&mut self, seq: u64) {
        tracing::warn!(event = "signer_lane_lost", seq, "another batch was signed: others list what comes here");
        self.signer.lose_lane();
    }

    fn on_signed(&mut self, now: Now, number: u64, answer: Answer) {
        let Some(asked) = self.signer.get(number) else { return };
        let (shows, votes) =
            (matches!(asked, OpenRequest::Show), matches!(asked, OpenRequest::Vote(..) | OpenRequest::Proposal(..)));
        let signature = match answer {
            // The request was sent before the journal was shown on this connection. It is repeated after that.
            Answer::Refused(Refusal::NotShown) if votes => return,
            Answer::Ready(newest) if shows => {
                self.signer.take(number);
                return self.signer_is_ready(now, newest);
            }
            Answer::Signed(signature) => Some(signature),
            _ => None,
        };
        match self.signer.take(number) {
            Some(OpenRequest::Vote(body, carry, position)) => {
                let vote = signature.and_then(|signature| self.own_vote(body, signature));
                self.send_signed(&body, vote, carry, position);
            }
            Some(OpenRequest::Proposal(body, position)) => {
                let vote = signature.and_then(|signature| self.own_vote(body, signature));
                self.send_proposal(&body, vote, position);
            }
            Some(OpenRequest::Batch(unsigned)) => {
                self.on_signed_batch(*unsigned, signature);
                self.propose_now(now);
            }
            Some(OpenRequest::Show) | None => {}
        }
    }

    fn own_vote(&self, body: VoteBody, signature: Signature) -> Option<Verified<SignedVote>> {
        let (signer, own) = (self.context.me()?, self.context.own_key()?);
        verify_vote(&own, SignedVote { body, signer, signature })
    }

    fn send_signed(
        &mut self,
        body: &VoteBody,
        vote: Option<Verified<SignedVote>>,
        carry: Option<CertificateName>,
        position: u64,
    ) {
        match vote {
            _ if body.view <= self.settled() => carry.iter().for_each(|name| self.send_certificate(name)),
            Some(vote) => {
                self.journal_vote(&vote);
                self.leave_after(position, Outgoing::Vote(vote, carry));
            }
            None => {
                self.core.tell(Input::VoteRefused(body.kind, body.view));
                carry.iter().for_each(|name| self.send_certificate(name));
            }
        }
    }

    fn send_proposal(&mut self, body: &VoteBody, vote: Option<Verified<SignedVote>>, position: u64) {
        let Some(vote) = vote else { return self.core.tell(Input::VoteRefused(VoteKind::Notarize, body.view)) };
        let Some(block) = self.tree.get(&body.block).map(|entry| (*entry.block).clone()) else { return };
        if body.view > self.settled() {
            let frame = self.proposal_frame(block, &vote);
            self.journal_vote(&vote);
            self.leave_after(position, Outgoing::Proposal(frame, vote));
        }
    }

    fn on_signed_batch(&mut self, unsigned: UnsignedBatch, signature: Option<Signature>) {
        let (ids, seq) = (unsigned.ids().to_vec(), unsigned.body().seq);
        let own = self.context.own_key();
        let checked = signature.zip(own).and_then(|(signature, own)| unsigned.signed(&own, signature));
        match checked {
            Some(checked) if seq == self.own_lane.next_seq() => self.take_own_batch(checked),
            _ => {
                self.own_lane.uncut(&ids);
                self.lose_lane(seq);
            }
        }
    }

    /// Goes on with a proposal that waited for a batch.
    fn propose_now(&mut self, now: Now) {
        if let Some(effect) = self.signer.take_proposal() {
            self.catch_up_with(now, effect);
        }
    }
}
