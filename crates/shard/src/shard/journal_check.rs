//! The check that this node's journal is whole: peers are asked before anything new is signed, and observed afterwards.
//!
//! *Invariants:* a journal that was lost, restored or copied can't know what it lacks, so only signatures count, never
//! a peer's word; nothing new is signed before a quorum was asked (R26), and nothing ever again once the journal lacks
//! something (R27); what the journal may have freed (below its floor) is never held against it; of two processes with
//! one key, the one that has not signed yet ends.

use super::machines::key_standing::WaitLimits;
use super::{EndReason, Now, Ports, Shard};
use crate::port::{Effect, Input};
use bytes::Bytes;
use rustorium_crypto::{CheckedBatch, verify_batch, verify_vote};
use rustorium_txpool::check_batch;
use rustorium_types::limits::SYNC_ITEMS_MAX;
use rustorium_types::{
    Batch, BlockDigest, BoundedVec, Certificate, Class, Cursor, Header, Message, PublicKey, Request, Response,
    SignedVote, ValidatorIndex, VoteKind,
};

/// Number of the question which signatures of this node a peer holds. Other questions count up from 0.
pub(super) const QUESTION: u64 = u64::MAX;
/// Number of the question for certificates that a peer named (R44).
pub(super) const TOLD: u64 = u64::MAX - 1;

impl<P: Ports> Shard<P> {
    pub(super) fn may_sign(&self) -> bool {
        let whole = self.key.is_whole() && !self.key.is_past();
        whole && self.context.me().is_some() && !self.signer_is_away()
    }

    /// Returns true if this node signs nothing in this epoch: its key is retired or belongs to no member.
    pub(super) fn only_follows(&self) -> bool {
        self.key.is_retired() || self.context.me().is_none()
    }

    /// Returns the number of votes and proposals that wait until this node may sign.
    pub fn held_back(&self) -> usize {
        self.key.held_back()
    }

    /// Returns how long this node waits for answers of peers and for rivals.
    fn patience(&self) -> WaitLimits {
        WaitLimits {
            quorum: self.context.committee.quorum(),
            timeout_us: self.config.fetch_timeout_ms * 1000,
            rival_us: self.config.rival_wait_us,
        }
    }

    /// Returns when it is time to ask peers, or to go on with their answers.
    pub(super) fn ask_due_us(&self) -> Option<u64> {
        self.context.me()?;
        self.key.due_us(self.liveness.connected(), self.patience())
    }

    /// Handles that a peer ended the link because another process with the same key made one.
    pub(super) fn on_replaced(&mut self, node_key: &PublicKey) {
        if self.key.has_rival(&self.context, node_key) {
            self.ports.end(EndReason::Rival);
        }
    }

    /// Asks the peers that are due, and goes on if the answers suffice.
    pub(super) fn update_standing(&mut self, now: Now) {
        let (patience, settled) = (self.patience(), self.tree.root().1.view);
        self.key.forget_waiting(settled);
        self.ask_peers(now, patience);
        let views = (self.votes.final_view(), settled);
        if self.key.advance(now, self.liveness.connected(), patience, views) {
            let view = self.core.view().0;
            tracing::info!(event = "may_sign", view, "no peer holds a signature that the journal lacks");
            self.ask_again();
            self.cut_batches(now, false);
            self.go_on_with_waiting(now);
        }
    }

    fn ask_peers(&mut self, now: Now, patience: WaitLimits) {
        if self.context.me().is_none() {
            return;
        }
        let asked = self.key.ask(now, self.liveness.connected(), patience);
        if !asked.is_empty() {
            let request = Request::OwnSignatures { next_seq: self.own_lane.next_seq() };
            let frame = Bytes::from(Message::Request { id: QUESTION, request }.to_frame());
            asked.into_iter().for_each(|peer| self.ports.send(peer, Class::Sync, frame.clone()));
        }
    }

    /// Carries out the effects that waited until this node may sign.
    pub(super) fn go_on_with_waiting(&mut self, now: Now) {
        let waiting = self.key.take_waiting();
        waiting.into_iter().for_each(|effect| self.catch_up_with(now, effect));
    }

    /// Carries out a delayed effect. A proposal is only for its view; a vote is as good late.
    pub(super) fn catch_up_with(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Propose { view, .. } if view != self.core.view() => {}
            effect => self.apply(now, effect),
        }
    }

    /// Returns what this node holds with a peer's signature on it.
    pub(super) fn signatures_of(&self, peer: ValidatorIndex, next_seq: u64) -> Response {
        let finalization = self.votes.best_finalization().map(|best| (**best).clone());
        let votes = self.votes.votes_of(peer).take(SYNC_ITEMS_MAX);
        let votes = BoundedVec::new(votes.collect()).unwrap_or_default();
        let tip = self.batches.lanes().tip(peer).filter(|tip| tip.next_seq > next_seq);
        let batch =
            tip.and_then(|tip| self.batches.lanes().get(peer, &tip.tip)).map(|held| Box::new((*held.batch).clone()));
        Response::OwnSignatures { epoch: self.context.epoch(), finalization, votes, batch }
    }

    /// Takes a peer's answer. Only the first one counts.
    pub(super) fn on_own_signatures(
        &mut self,
        peer: ValidatorIndex,
        finalization: Option<Certificate>,
        votes: &[SignedVote],
        batch: Option<Batch>,
    ) {
        if !self.key.answered(peer) {
            return;
        }
        for vote in votes {
            self.watch_vote(vote);
        }
        if let Some(checked) = batch.and_then(|batch| self.checked_own(batch)) {
            self.watch_batch(&checked);
        }
        if let Some(finalization) = finalization {
            self.add_certificate(peer, finalization);
        }
        self.tree.recheck_soon();
    }

    /// Checks a batch of this node's lane. `None` unless all its signatures verify.
    fn checked_own(&self, batch: Batch) -> Option<CheckedBatch> {
        let (committee, body) = (&self.context.committee, &batch.body);
        let (chain, shard, epoch) = (committee.chain, committee.shard, committee.epoch);
        let (rules, parameters) = (self.context.rules, &self.context.parameters);
        let ours = self.context.is_me(body.author) && check_batch(body, chain, shard, epoch, rules, parameters).is_ok();
        let own = self.context.own_key().filter(|_| ours)?;
        verify_batch(&own, batch)
    }

    /// Looks at a vote that may have this node's signature. Returns false if that is forged.
    fn watch_vote(&mut self, vote: &SignedVote) -> bool {
        let body = &vote.body;
        let ours = self.context.is_me(vote.signer) && self.context.committee.owns(body) && !self.key.is_retired();
        let Some(own) = self.context.own_key().filter(|_| ours) else { return true };
        if self.votes.accounts_for(body) {
            return true;
        }
        let signed = verify_vote(&own, *vote).is_some();
        if signed {
            self.retire(&format!("{} of view {}", vote_name(body.kind), body.view.0));
        }
        signed
    }

    /// Looks at an unverified certificate that may have this node's signature. Returns false if that is forged.
    pub(super) fn watch_certificate(&mut self, certificate: &Certificate) -> bool {
        let Some(me) = self.context.me() else { return true };
        let own = certificate.signatures.iter().find(|(signer, _)| *signer == me);
        let own = own.map(|(_, signature)| SignedVote { body: certificate.body, signer: me, signature: *signature });
        own.is_none_or(|vote| self.watch_vote(&vote))
    }

    /// Looks at a batch of this chain with verified signatures, which may be of this node's lane.
    pub(super) fn watch_batch(&mut self, checked: &CheckedBatch) {
        let Some(me) = self.context.me() else { return };
        let body = &checked.batch.body;
        let forgotten = self.tree.root_cursors().get(usize::from(me.0)).map_or(0, |cursor| cursor.next_seq);
        let known =
            body.seq < forgotten.max(self.key.floor_seq()) || self.batches.lanes().get(me, &checked.digest).is_some();
        if body.author != me || known {
            return;
        }
        if self.signs_elsewhere() && self.own_lane.is_next(body) {
            // The batch left once it was on the signer's disk, and this node ended before its own disk had it.
            self.adopt((*checked.batch).clone());
        } else {
            self.retire(&format!("batch {} of its lane", body.seq));
        }
    }

    /// Looks at a final block. If this node made it, a quorum has seen this node's vote for it.
    pub(super) fn watch_final(&mut self, digest: &BlockDigest, header: &Header) {
        let body = self.context.committee.body(VoteKind::Notarize, header.view, *digest);
        let lacks = !self.votes.accounts_for(&body);
        if self.context.is_me(header.proposer) && lacks {
            self.retire(&format!("the block of view {}", header.view.0));
        }
    }

    /// Returns how far a block lists this node's own lane.
    pub(super) fn own_cursor(&self, header: &Header) -> Cursor {
        let cursor = self.context.me().and_then(|me| header.cursors.get(usize::from(me.0)));
        cursor.copied().unwrap_or_default()
    }

    /// Retires the key, and stops signing with it for good.
    fn retire(&mut self, lacks: &str) {
        if self.key.is_retired() || !self.config.retires {
            return;
        }
        self.sign_no_more();
        self.ports.retire(lacks);
    }

    /// Stops signing for good, and drops what was signed and waits for the disk.
    pub(super) fn sign_no_more(&mut self) {
        if self.key.is_retired() {
            return;
        }
        self.key.retire();
        self.signer.retire();
        self.journal.drop_outbox();
        self.core.tell(Input::KeyRetired);
    }
}

fn vote_name(kind: VoteKind) -> &'static str {
    match kind {
        VoteKind::Notarize => "the notarize vote",
        VoteKind::Nullify => "the nullify vote",
        VoteKind::Finalize => "the finalize vote",
    }
}
