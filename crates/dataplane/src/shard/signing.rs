//! Signatures by another process: asked for, waited for, and asked for again when that process was away.
//!
//! *Invariants:* the guard here remembers a vote before the signer hears of it; nothing leaves before its signature came and
//! the journal has it; one batch is asked for at a time; while the signer is away nothing is signed, and all else goes on.

use super::{Now, Outgoing, Ports, Shard, SignerEvent};
use crate::port::{CertificateName, Effect, Input};
use rustorium_crypto::{UnsignedBatch, Verified, verify_batch, verify_vote};
use rustorium_signer::protocol::{Request, SHOWN_VOTES_MAX};
use rustorium_signer::{Answer, Refusal, Shown, What};
use rustorium_types::{Batch, BoundedVec, Signature, SignedVote, View, VoteBody, VoteKind};
use std::collections::BTreeMap;

/// What a signature was asked for.
enum Asked {
    /// The journal was shown.
    Show,
    /// A vote, and the certificate that it is to carry.
    Vote(VoteBody, Option<CertificateName>),
    /// The notarize vote that makes a block a proposal.
    Proposal(VoteBody),
    Batch(Box<UnsignedBatch>),
}

/// Where the signer stands, and what it was asked.
#[derive(Default)]
pub(super) struct Signing {
    /// Whether it has compared the journal with its record, and signs.
    ready: bool,
    /// Numbers go on over epochs, so that an answer to an older one meets nothing.
    next: u64,
    /// By number. Bounded as the core's votes are: a few a view that isn't final, and one batch.
    asked: BTreeMap<u64, Asked>,
    /// A proposal that waits for the batch that was just cut.
    proposal: Option<Effect>,
    /// The signer signed another batch for the lane's next place: this node lists nothing in this epoch.
    lane_is_lost: bool,
}

impl Signing {
    /// The state in which the next epoch begins: what was asked is of the epoch that is over.
    pub(super) fn after(self) -> Self {
        Self { ready: self.ready, next: self.next, ..Self::default() }
    }

    /// Nothing is signed any more.
    pub(super) fn retire(&mut self) {
        self.asked.clear();
        self.proposal = None;
    }

    pub(super) fn propose_later(&mut self, proposal: Effect) {
        self.proposal = Some(proposal);
    }

    /// Whether no batch of this node's will be signed in this epoch.
    pub(super) fn has_no_lane(&self) -> bool {
        self.lane_is_lost
    }

    fn number(&mut self, asked: Asked) -> u64 {
        self.next += 1;
        self.asked.insert(self.next, asked);
        self.next
    }
}

impl<P: Ports> Shard<P> {
    /// Whether another process has this node's key.
    pub(super) fn signs_elsewhere(&self) -> bool {
        self.context.elsewhere.is_some()
    }

    /// Whether that process can't be asked now.
    pub(super) fn signer_is_away(&self) -> bool {
        self.signs_elsewhere() && !self.signing.ready
    }

    /// Whether a batch was cut and its signature hasn't come.
    pub(super) fn waits_for_batch(&self) -> bool {
        self.signing.asked.values().any(|asked| matches!(asked, Asked::Batch(_)))
    }

    pub(super) fn on_signer(&mut self, now: Now, event: SignerEvent) {
        match event {
            SignerEvent::Connected => self.show_journal(),
            SignerEvent::Lost => self.signer_lost(now),
            SignerEvent::Answer(number, answer) => self.on_signed(now, number, answer),
        }
    }

    pub(super) fn ask_for_vote(&mut self, body: VoteBody, carry: Option<CertificateName>) {
        self.guard.record(&body);
        self.ask_vote(body, Asked::Vote(body, carry));
    }

    pub(super) fn ask_for_proposal(&mut self, body: VoteBody) {
        self.guard.record(&body);
        self.ask_vote(body, Asked::Proposal(body));
    }

    fn ask_vote(&mut self, body: VoteBody, asked: Asked) {
        let settled = self.settled();
        let id = self.signing.number(asked);
        self.ports.ask_signer(Request { id, what: What::Vote { body, settled } });
    }

    pub(super) fn ask_for_batch(&mut self, unsigned: UnsignedBatch) {
        let body = Box::new(unsigned.body().clone());
        let id = self.signing.number(Asked::Batch(Box::new(unsigned)));
        self.ports.ask_signer(Request { id, what: What::Batch(body) });
    }

    /// The newest final view: nothing is voted in it or below.
    fn settled(&self) -> View {
        self.tree.root().1.view
    }

    fn show_journal(&mut self) {
        let committee = &self.context.committee;
        let votes: Vec<SignedVote> = self.own_votes.from(self.settled().next()).copied().collect();
        let newest = votes.len().saturating_sub(SHOWN_VOTES_MAX);
        let shown = Shown {
            chain: committee.chain,
            shard: committee.shard,
            epoch: committee.epoch,
            settled: self.settled(),
            next_seq: self.own_lane.next_seq,
            votes: BoundedVec::new(votes.get(newest..).unwrap_or_default().to_vec()).unwrap_or_default(),
        };
        self.signing.asked.retain(|_, asked| !matches!(asked, Asked::Show));
        let id = self.signing.number(Asked::Show);
        self.ports.ask_signer(Request { id, what: What::Show(Box::new(shown)) });
    }

    /// The signer is gone: what was asked waits, but for the batch, whose transactions others can list.
    fn signer_lost(&mut self, now: Now) {
        self.signing.ready = false;
        let mut carried = Vec::new();
        for asked in self.signing.asked.values_mut() {
            match asked {
                Asked::Vote(_, carry) => carried.extend(carry.take()),
                Asked::Batch(unsigned) => self.pool.uncut(unsigned.ids()),
                Asked::Show | Asked::Proposal(_) => {}
            }
        }
        self.signing.asked.retain(|_, asked| matches!(asked, Asked::Vote(..) | Asked::Proposal(_)));
        carried.iter().for_each(|name| self.send_certificate(name));
        self.propose_now(now);
        tracing::warn!(event = "signer_lost", waiting = self.signing.asked.len(), "nothing is signed until it is back");
    }

    /// The signer has compared the journal with its record: takes what the journal lacks, and asks again for what was asked.
    fn signer_is_ready(&mut self, now: Now, newest: Option<Box<Batch>>) {
        self.signing.ready = true;
        newest.into_iter().for_each(|batch| self.adopt(*batch));
        let settled = self.settled();
        for (number, asked) in std::mem::take(&mut self.signing.asked) {
            match asked {
                Asked::Vote(body, _) | Asked::Proposal(body) if body.view > settled => {
                    self.signing.asked.insert(number, asked);
                    self.ports.ask_signer(Request { id: number, what: What::Vote { body, settled } });
                }
                _ => {}
            }
        }
        tracing::info!(event = "signer_ready", waiting = self.signing.asked.len());
        if self.is_whole() {
            self.go_on_with_waiting(now);
        }
        self.cut_batches(now, false);
    }

    /// Takes a batch of the own lane that was signed and never journaled: a node that ended in between asks for it anew.
    fn adopt(&mut self, batch: Batch) {
        let body = &batch.body;
        let (epoch, next_seq) = (self.context.epoch(), self.own_lane.next_seq);
        let is_own = self.context.is_me(body.author) && body.epoch == epoch && !self.is_retired();
        if !is_own || body.seq < next_seq {
            return;
        }
        let next = body.seq == next_seq && body.previous == self.own_lane.previous;
        let own = self.context.own_key().filter(|_| next);
        match own.and_then(|own| verify_batch(&own, batch)) {
            Some(checked) => {
                self.pool.held_elsewhere(&checked);
                self.take_own_batch(checked);
            }
            None => self.lose_lane(next_seq),
        }
    }

    /// The signer and this node disagree on the lane: another node used the key, or the journal was lost.
    fn lose_lane(&mut self, seq: u64) {
        tracing::warn!(event = "signer_lane_lost", seq, "another batch was signed: others list what comes here");
        self.signing.lane_is_lost = true;
    }

    fn on_signed(&mut self, now: Now, number: u64, answer: Answer) {
        let Some(asked) = self.signing.asked.get(&number) else { return };
        let (shows, votes) = (matches!(asked, Asked::Show), matches!(asked, Asked::Vote(..) | Asked::Proposal(_)));
        let signature = match answer {
            // Asked before the journal was shown on this connection: asked again after it.
            Answer::Refused(Refusal::NotShown) if votes => return,
            Answer::Ready(newest) if shows => {
                self.signing.asked.remove(&number);
                return self.signer_is_ready(now, newest);
            }
            Answer::Signed(signature) => Some(signature),
            _ => None,
        };
        match self.signing.asked.remove(&number) {
            Some(Asked::Vote(body, carry)) => {
                let vote = signature.and_then(|signature| self.own_vote(body, signature));
                self.send_signed(&body, vote, carry);
            }
            Some(Asked::Proposal(body)) => {
                let vote = signature.and_then(|signature| self.own_vote(body, signature));
                self.send_proposal(&body, vote);
            }
            Some(Asked::Batch(unsigned)) => {
                self.on_signed_batch(*unsigned, signature);
                self.propose_now(now);
            }
            Some(Asked::Show) | None => {}
        }
    }

    fn own_vote(&self, body: VoteBody, signature: Signature) -> Option<Verified<SignedVote>> {
        let (signer, own) = (self.context.me()?, self.context.own_key()?);
        verify_vote(&own, SignedVote { body, signer, signature })
    }

    fn send_signed(&mut self, body: &VoteBody, vote: Option<Verified<SignedVote>>, carry: Option<CertificateName>) {
        match vote {
            _ if body.view <= self.settled() => carry.iter().for_each(|name| self.send_certificate(name)),
            Some(vote) => self.send_when_durable(&vote.clone(), Outgoing::Vote(vote, carry)),
            None => {
                self.tell(Input::VoteRefused(body.kind, body.view));
                carry.iter().for_each(|name| self.send_certificate(name));
            }
        }
    }

    fn send_proposal(&mut self, body: &VoteBody, vote: Option<Verified<SignedVote>>) {
        let Some(vote) = vote else { return self.tell(Input::VoteRefused(VoteKind::Notarize, body.view)) };
        let Some(block) = self.tree.get(&body.block).map(|entry| (*entry.block).clone()) else { return };
        if body.view > self.settled() {
            let frame = self.proposal_frame(block, &vote);
            self.send_when_durable(&vote.clone(), Outgoing::Proposal(frame, vote));
        }
    }

    fn on_signed_batch(&mut self, unsigned: UnsignedBatch, signature: Option<Signature>) {
        let (ids, seq) = (unsigned.ids().to_vec(), unsigned.body().seq);
        let own = self.context.own_key();
        let checked = signature.zip(own).and_then(|(signature, own)| unsigned.signed(&own, signature));
        match checked {
            Some(checked) if seq == self.own_lane.next_seq => self.take_own_batch(checked),
            _ => {
                self.pool.uncut(&ids);
                self.lose_lane(seq);
            }
        }
    }

    /// Goes on with a proposal that waited for a batch.
    fn propose_now(&mut self, now: Now) {
        if let Some(effect) = self.signing.proposal.take() {
            self.catch_up_with(now, effect);
        }
    }
}
