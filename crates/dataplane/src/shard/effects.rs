//! The core's effects, carried out: proposing, voting, and telling peers.

use super::{Now, Outgoing, Ports, Shard};
use crate::port::{CertificateName, Effect, Input, PayloadStatus};
use bytes::Bytes;
use rustorium_crypto::{Verified, block_digest, payload_root};
use rustorium_storage::RecordKind;
use rustorium_sync::Want;
use rustorium_txpool::BlockCaps;
use rustorium_types::limits::{self, CARRIED_NULLIFICATIONS_MAX};
use rustorium_types::{
    Block, BlockDigest, BoundedVec, Certificate, Class, Header, Heartbeat, Height, Message, PROTOCOL_VERSION, Proposal,
    Report, ResultClaim, SignedVote, StateClaim, ValidatorIndex, View, VoteBody, VoteKind, VoteMessage, encode,
};

impl<P: Ports> Shard<P> {
    pub(super) fn apply(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::EnterView { view, because } => self.enter_view(view, because),
            Effect::Propose { view, parent, claim_height, distrusted_lanes } => {
                self.propose(now, view, &parent, claim_height, &distrusted_lanes);
            }
            Effect::Vote { kind, view, digest, carry } => self.vote(kind, view, digest, carry),
            Effect::SendCertificate(name) => {
                if let Some(certificate) = self.certificate(&name) {
                    let frame = Message::Certificate(Box::new((**certificate).clone())).to_frame();
                    self.ports.broadcast(Class::Consensus, frame.into());
                }
            }
            Effect::Finalize { view, digest } => {
                if self.final_target.is_none_or(|(known, _)| view > known) {
                    self.final_target = Some((view, digest));
                }
                self.recheck = true;
            }
            Effect::FetchBlock(digest) => match self.tree.get_mut(&digest) {
                Some(held) => {
                    held.told = None;
                    self.tell_block(&digest);
                }
                None => self.fetcher.want(now.ms(), Want::Block(digest), None),
            },
            Effect::FetchCertificates { first, last, peer } => {
                self.fetcher.want(now.ms(), Want::Certificates { first, last }, Some(peer));
            }
            Effect::SendWork(peer) => self.send_work(peer),
            Effect::ResendVotes(_) => self.resend(),
            Effect::Heartbeat(_) => self.heartbeat(),
        }
    }

    fn enter_view(&mut self, view: View, because: Option<CertificateName>) {
        self.view = view;
        self.entered_by = because;
        self.served.retain(|(_, served_in), _| *served_in >= view);
    }

    fn vote_body(&self, kind: VoteKind, view: View, block: BlockDigest) -> VoteBody {
        let committee = &self.context.committee;
        VoteBody { chain: committee.chain, shard: committee.shard, epoch: committee.epoch, view, kind, block }
    }

    fn vote(&mut self, kind: VoteKind, view: View, digest: Option<BlockDigest>, carry: Option<CertificateName>) {
        let body = self.vote_body(kind, view, digest.unwrap_or(BlockDigest::ZERO));
        let unready = kind == VoteKind::Notarize
            && digest.and_then(|digest| self.status_of(&digest)) != Some(PayloadStatus::Ready);
        if unready || self.guard.check(&body).is_err() {
            self.tell(Input::VoteRefused(kind, view));
            return;
        }
        if let (VoteKind::Notarize, Some(digest)) = (kind, digest) {
            self.journal_block(&digest);
        }
        let vote = self.sign(body);
        self.send_when_durable(&vote.clone(), Outgoing::Vote(vote, carry));
    }

    /// Signs what the guard let pass, and makes the guard remember it before anything else can see it.
    fn sign(&mut self, body: VoteBody) -> Verified<SignedVote> {
        self.guard.record(&body);
        self.context.key.sign_own_vote(self.context.me, body)
    }

    fn send_when_durable(&mut self, vote: &SignedVote, outgoing: Outgoing) {
        let position = self.append(RecordKind::Vote, &encode(vote));
        self.retained.note(vote.body.view, position);
        self.ports.sync(position);
        self.outbox.push_back((position, outgoing));
    }

    fn journal_block(&mut self, digest: &BlockDigest) {
        let Some(entry) = self.tree.get_mut(digest) else { return };
        if !std::mem::replace(&mut entry.journaled, true) {
            let block = entry.block.clone();
            let position = self.append(RecordKind::Proposal, &encode(&*block));
            self.retained.note(block.header.view, position);
        }
    }

    fn propose(&mut self, now: Now, view: View, parent: &BlockDigest, claim: Height, distrusted: &[ValidatorIndex]) {
        let Some(parent_header) = self.tree.header(parent).cloned() else { return };
        self.cut_batches(now, true);
        self.held.update(self.context.me, &self.lanes.held());
        let block = self.build_block(now, view, parent, &parent_header, claim, distrusted);
        let digest = block_digest(&block.header);
        let body = self.vote_body(VoteKind::Notarize, view, digest);
        if self.guard.check(&body).is_err() {
            self.tell(Input::VoteRefused(VoteKind::Notarize, view));
            return;
        }
        self.tree.claim_first(view, self.context.me, digest);
        self.tree.insert(digest, block.clone());
        if let Some(entry) = self.tree.get_mut(&digest) {
            entry.status = PayloadStatus::Ready;
        }
        self.journal_block(&digest);
        let vote = self.sign(body);
        let frame = self.proposal_frame(block, &vote);
        self.send_when_durable(&vote.clone(), Outgoing::Proposal(frame, vote));
        self.tell_block(&digest);
    }

    fn proposal_frame(&self, block: Block, vote: &SignedVote) -> Bytes {
        let (view, parent_view) = (block.header.view, block.header.parent_view);
        let proposal = Proposal {
            header: block.header,
            inline: block.inline,
            signature: vote.signature,
            notarization: self.certified(parent_view),
            nullifications: self.nullifications_between(parent_view, view),
        };
        Bytes::from(Message::Proposal(Box::new(proposal)).to_frame())
    }

    fn build_block(
        &self,
        now: Now,
        view: View,
        parent: &BlockDigest,
        above: &Header,
        claim: Height,
        distrusted: &[ValidatorIndex],
    ) -> Block {
        let parameters = &self.context.parameters;
        let result = self.claim_at(claim, above);
        let height = above.height.next();
        let may_list = height.0 - result.height.0 <= parameters.claim_lag_max;
        let limit = |lane: usize| -> Option<u64> {
            if !may_list {
                return Some(0);
            }
            distrusted.iter().any(|l| usize::from(l.0) == lane).then(|| self.held.quorum_held(lane))
        };
        let extension = self.lanes.extend(&above.cursors, &BlockCaps::for_parameters(parameters), limit);
        let committee = &self.context.committee;
        let header = Header {
            version: PROTOCOL_VERSION,
            chain: committee.chain,
            shard: committee.shard,
            epoch: committee.epoch,
            view,
            height,
            parent: *parent,
            parent_view: above.view,
            proposer: self.context.me,
            time_ms: now.wall_ms.max(above.time_ms + 1),
            payload_root: payload_root(&[], &above.cursors, &extension.cursors),
            cursors: BoundedVec::new(extension.cursors).unwrap_or_default(),
            transactions: extension.transactions,
            declared_work: extension.work,
            load_history: 0,
            validator_set: self.context.hashes.validator_set,
            next_validator_set: self.context.hashes.validator_set,
            parameters: self.context.hashes.parameters,
            shard_map: self.context.hashes.shard_map,
            result,
            state: StateClaim::NoneYet,
        };
        Block { header, inline: BoundedVec::default() }
    }

    /// The claim of `height`, or the parent's where that is not executed here or not newer.
    fn claim_at(&self, height: Height, above: &Header) -> ResultClaim {
        let newer = height > above.result.height && height <= above.height;
        match self.roots.get(&height) {
            Some(root) if newer => ResultClaim { height, root: *root },
            _ => above.result,
        }
    }

    /// A certificate that makes the block of `view` fit to be a parent.
    fn certified(&self, view: View) -> Option<Certificate> {
        let notarization = self.tally.certificate(VoteKind::Notarize, view);
        notarization.or_else(|| self.tally.certificate(VoteKind::Finalize, view)).map(|c| (**c).clone())
    }

    fn nullifications_between(&self, parent: View, view: View) -> BoundedVec<Certificate, CARRIED_NULLIFICATIONS_MAX> {
        let first = View(parent.0 + 1).max(View(view.0.saturating_sub(CARRIED_NULLIFICATIONS_MAX as u64)));
        let views = (first.0..view.0).map(View);
        let held = views.filter_map(|v| self.tally.certificate(VoteKind::Nullify, v)).map(|c| (**c).clone());
        BoundedVec::new(held.collect()).unwrap_or_default()
    }

    pub(super) fn on_durable(&mut self, position: u64) {
        while self.outbox.front().is_some_and(|(at, _)| *at <= position) {
            let Some((_, outgoing)) = self.outbox.pop_front() else { return };
            match outgoing {
                Outgoing::Batch(frame) => {
                    self.own_lane.sent += 1;
                    self.ports.broadcast(Class::Data, frame);
                }
                Outgoing::Proposal(frame, vote) => {
                    self.own_proposal = Some(vote.body.view);
                    self.ports.broadcast(Class::Consensus, frame);
                    self.count_own(vote);
                }
                Outgoing::Vote(vote, carry) => {
                    let carry = carry.and_then(|name| self.certificate(&name)).map(|c| (**c).clone());
                    let (report, held) = self.beside();
                    let message = VoteMessage { vote: *vote, report, held, carry };
                    let frame = Message::Vote(Box::new(message)).to_frame();
                    self.ports.broadcast(Class::Consensus, frame.into());
                    self.count_own(vote);
                }
            }
        }
    }

    fn count_own(&mut self, vote: Verified<SignedVote>) {
        self.own_votes.entry(vote.body.view).or_default().push(*vote);
        let mut events = Vec::new();
        self.tally.add_own_vote(vote, &mut events);
        self.on_tally(events);
    }

    /// What rides beside votes and heartbeats.
    fn beside(&mut self) -> (Report, BoundedVec<u64, { limits::VALIDATORS_MAX }>) {
        self.report_sent = self.executed;
        self.report_due_us = None;
        (self.own_report(), BoundedVec::new(self.lanes.held()).unwrap_or_default())
    }

    pub(super) fn own_report(&self) -> Report {
        let root = self.roots.get(&self.executed).copied().unwrap_or_default();
        Report { executed: self.executed, root }
    }

    pub(super) fn send_report(&mut self, now: Now) {
        if self.report_due_us.is_some_and(|at| at <= now.us) {
            self.report_due_us = None;
            self.report_sent = self.executed;
            let frame = Message::Report(self.own_report()).to_frame();
            self.ports.broadcast(Class::Consensus, frame.into());
        }
    }

    fn heartbeat(&mut self) {
        let (report, held) = self.beside();
        let entered_by = self.entered_by.and_then(|name| self.certificate(&name)).map(|c| (**c).clone());
        let mut votes: Vec<SignedVote> = self.own_votes.values().flatten().rev().copied().collect();
        votes.truncate(limits::HEARTBEAT_VOTES_MAX);
        let heartbeat = Heartbeat {
            finalization: self.tally.best_finalization().map(|c| (**c).clone()),
            entered_by,
            votes: BoundedVec::new(votes).unwrap_or_default(),
            report,
            held,
        };
        let frame = Message::Heartbeat(Box::new(heartbeat)).to_frame();
        self.ports.broadcast(Class::Consensus, frame.into());
        for notarization in self.open_notarizations() {
            self.ports.broadcast(Class::Consensus, notarization.to_frame().into());
        }
        // What an answer that was no use ended is asked for again.
        self.recheck = true;
    }

    /// Own votes again, and the proposals among them: also those from before a restart.
    fn resend(&mut self) {
        self.heartbeat();
        let notarizes = self.own_votes.values().flatten().filter(|vote| vote.body.kind == VoteKind::Notarize);
        let own = notarizes.filter_map(|vote| {
            let block = &self.tree.get(&vote.body.block)?.block;
            (block.header.proposer == self.context.me).then(|| self.proposal_frame((**block).clone(), vote))
        });
        let frames: Vec<Bytes> = own.collect();
        frames.into_iter().for_each(|frame| self.ports.broadcast(Class::Consensus, frame));
    }
}
