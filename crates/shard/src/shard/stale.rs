//! Whether this node's journal is whole: asked of the peers before anything new is signed, watched for as long as it runs.
//!
//! *Invariants:* a journal that was lost, restored or copied can't know what it lacks, so that only signatures count, never
//! a peer's word; nothing new is signed before a quorum was asked (R26), nor ever again once the journal lacks something
//! (R27); what the journal may have let go of (below its floor) is never held against it; of two processes with one key,
//! the one that has not signed yet ends.

use super::{Ending, Now, Ports, Shard};
use crate::port::{Effect, Input};
use bytes::Bytes;
use rustorium_crypto::{CheckedBatch, verify_batch, verify_vote};
use rustorium_txpool::check_batch;
use rustorium_types::limits::SYNC_ITEMS_MAX;
use rustorium_types::{
    Batch, BlockDigest, BoundedVec, Certificate, Class, Cursor, Header, Message, PublicKey, Request, Response,
    SignedVote, ValidatorIndex, View, VoteKind,
};
use std::collections::BTreeSet;

/// The number of the question what peers hold of this node's; other questions count up from 0.
pub(super) const QUESTION: u64 = u64::MAX;
/// The number of the question for certificates that a peer named (R44).
pub(super) const TOLD: u64 = u64::MAX - 1;

/// How far this node is with finding out what it signed.
enum Standing {
    /// Peers are being asked; times in monotonic microseconds.
    Asking {
        answered: BTreeSet<ValidatorIndex>,
        /// When those without an answer are asked (again).
        due_us: u64,
        /// Since when a quorum has answered: who is connected beyond it gets some more time.
        enough_us: Option<u64>,
    },
    /// A quorum has answered, and knew of a final block of this view: what is below is looked at first.
    CatchingUp(View),
    /// The journal lacks nothing that anyone showed.
    Whole,
    /// It does: nothing is signed any more.
    Retired,
}

/// The validator key's standing, and what waits for it.
pub(super) struct KeyState {
    standing: Standing,
    /// Below this seq the journal may have let go of own batches.
    floor_seq: u64,
    /// Whether the journal has let go of a later epoch's records already: what was signed in this one isn't known.
    past: bool,
    /// Peers that took another process' link for this one's.
    replaced_at: BTreeSet<PublicKey>,
    /// Votes and proposals of the core, oldest first. Bounded as they are in the core: a few per view that isn't final.
    waiting: Vec<Effect>,
}

impl Default for KeyState {
    fn default() -> Self {
        let standing = Standing::Asking { answered: BTreeSet::new(), due_us: u64::MAX, enough_us: None };
        Self { standing, floor_seq: 0, past: false, replaced_at: BTreeSet::new(), waiting: Vec::new() }
    }
}

impl KeyState {
    /// A key whose journal goes back to here in its lane, or that an earlier start found retired.
    pub(super) fn recovered(floor: Cursor, past: bool, retired: bool) -> Self {
        let found = Self { floor_seq: floor.next_seq, past, ..Self::default() };
        if retired { Self { standing: Standing::Retired, ..found } } else { found }
    }

    /// Returns true if this node signs nothing more.
    pub(super) fn is_retired(&self) -> bool {
        matches!(self.standing, Standing::Retired)
    }

    /// When peers are to be asked again.
    pub(super) fn due_us(&self) -> Option<u64> {
        match self.standing {
            Standing::Asking { due_us, .. } if due_us < u64::MAX => Some(due_us),
            _ => None,
        }
    }
}

impl<P: Ports> Shard<P> {
    pub(super) fn may_sign(&self) -> bool {
        let whole = matches!(self.key.standing, Standing::Whole) && !self.is_past();
        whole && self.context.me().is_some() && !self.signer_is_away()
    }

    /// Whether this node says nothing in this epoch: its key is retired, or no member's.
    pub(super) fn only_follows(&self) -> bool {
        self.is_retired() || self.context.me().is_none()
    }

    /// Whether the journal holds all that was signed, as far as anyone showed.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.key.standing, Standing::Whole)
    }

    /// Whether the journal has let go of what was signed in this epoch.
    pub(super) fn is_past(&self) -> bool {
        self.key.past
    }

    /// R32: begins an epoch in place. The process has had its journal all along, so that nobody is asked where it was whole.
    pub(super) fn take_standing(&mut self, now: Now, whole: bool) {
        self.key.replaced_at.clear();
        if whole && !self.is_retired() {
            self.key.standing = Standing::Whole;
        } else {
            self.ask_soon(now);
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.key.is_retired()
    }

    /// Votes and proposals wait until this node may sign, as they would for a slow disk; others pass.
    pub(super) fn hold_back(&mut self, effect: Effect) -> Option<Effect> {
        let signs = matches!(effect, Effect::Vote { .. } | Effect::Propose { .. });
        if self.context.me().is_none() {
            return (!signs).then_some(effect);
        }
        match self.key.standing {
            _ if self.key.past => unsigned(effect),
            Standing::Retired => unsigned(effect),
            Standing::Whole if signs && self.signer_is_away() => {
                self.wait_for_signer(effect);
                None
            }
            Standing::Whole => Some(effect),
            _ if signs => {
                self.key.waiting.push(effect);
                None
            }
            _ => Some(effect),
        }
    }

    /// A link came up: its peer is asked at once.
    pub(super) fn ask_soon(&mut self, now: Now) {
        if let Standing::Asking { due_us, .. } = &mut self.key.standing {
            *due_us = now.us;
        }
    }

    /// Votes and proposals that wait until this node may sign.
    pub fn held_back(&self) -> usize {
        self.key.waiting.len()
    }

    /// Asks whom it is time to ask, and goes on where the answers suffice.
    pub(super) fn update_standing(&mut self, now: Now) {
        self.forget_waiting();
        self.ask_peers(now);
        if self.have_answered(now) {
            let told = self.votes.final_view();
            self.key.standing = Standing::CatchingUp(told);
        }
        let caught_up = |told: View| self.tree.root().1.view >= told;
        if matches!(self.key.standing, Standing::CatchingUp(told) if caught_up(told)) {
            self.key.standing = Standing::Whole;
            tracing::info!(
                event = "may_sign",
                view = self.core.view().0,
                "no peer holds a signature that the journal lacks"
            );
            self.ask_again();
            self.cut_batches(now, false);
            self.go_on_with_waiting(now);
        }
    }

    /// Carries out what waited until this node may sign.
    pub(super) fn go_on_with_waiting(&mut self, now: Now) {
        let waiting = std::mem::take(&mut self.key.waiting);
        waiting.into_iter().for_each(|effect| self.catch_up_with(now, effect));
    }

    /// Lets a vote or proposal wait for the signer. The certificate that a vote was to carry is sent on at once (R2).
    fn wait_for_signer(&mut self, effect: Effect) {
        match effect {
            Effect::Vote { kind, view, digest, carry } => {
                carry.iter().for_each(|name| self.send_certificate(name));
                self.key.waiting.push(Effect::Vote { kind, view, digest, carry: None });
            }
            other => self.key.waiting.push(other),
        }
    }

    /// What is at or below the newest final block has one outcome: no vote of it leaves, however long a node catches up.
    fn forget_waiting(&mut self) {
        let (_, root) = self.tree.root();
        let settled = root.view;
        self.key.waiting.retain(|effect| match effect {
            Effect::Vote { view, .. } | Effect::Propose { view, .. } => *view > settled,
            _ => true,
        });
    }

    /// When it is time to ask, or to go on with the answers.
    pub(super) fn ask_due_us(&self) -> Option<u64> {
        self.context.me()?;
        self.key.due_us().into_iter().chain(self.heard_at_us()).min()
    }

    /// Where a quorum has answered, this node included: when whoever else is connected, or would take its links, had the
    /// time to.
    fn heard_at_us(&self) -> Option<u64> {
        let Standing::Asking { answered, enough_us: Some(since), .. } = &self.key.standing else { return None };
        // Twice: an answer that was lost is asked for again.
        let patience_us = 2 * self.config.fetch_timeout_ms * 1000;
        // Alone there is nobody who could tell of a rival.
        let rival_us = if self.context.committee.quorum() == 1 { 0 } else { self.config.rival_wait_us };
        let all = self.liveness.connected().iter().all(|peer| answered.contains(peer));
        Some(since + if all { rival_us } else { patience_us.max(rival_us) })
    }

    /// A peer ended the link because a process with the same key made another one. Nobody can tell which of the two is to
    /// be; but one that has signed in its life can't take that back, and one that hasn't can end. One peer may lie.
    pub(super) fn on_replaced(&mut self, node_key: &PublicKey) {
        self.key.replaced_at.insert(*node_key);
        let members = self.key.replaced_at.iter().filter(|key| self.context.place(key).is_some()).count();
        let is_member = self.context.me().is_some();
        let liars_max = self.context.n() - self.context.committee.quorum();
        let enough = members > liars_max;
        if is_member && enough && !self.is_whole() {
            self.ports.end(Ending::Rival);
        }
    }

    fn have_answered(&mut self, now: Now) -> bool {
        let others = self.context.committee.quorum() - 1;
        let Standing::Asking { answered, enough_us, .. } = &mut self.key.standing else { return false };
        if answered.len() >= others {
            enough_us.get_or_insert(now.us);
        }
        self.heard_at_us().is_some_and(|at| now.us >= at)
    }

    /// Carries out what waited. A proposal is for its view only; a vote is as good late.
    pub(super) fn catch_up_with(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Propose { view, .. } if view != self.core.view() => {}
            effect => self.apply(now, effect),
        }
    }

    fn ask_peers(&mut self, now: Now) {
        if self.context.me().is_none() || self.key.due_us().is_none_or(|due| due > now.us) {
            return;
        }
        let peers = self.connected();
        let Standing::Asking { answered, due_us, .. } = &mut self.key.standing else { return };
        let silent: Vec<ValidatorIndex> = peers.into_iter().filter(|peer| !answered.contains(peer)).collect();
        *due_us = if silent.is_empty() { u64::MAX } else { now.us + self.config.fetch_timeout_ms * 1000 };
        let request = Request::OwnSignatures { next_seq: self.own_lane.next_seq() };
        let frame = Bytes::from(Message::Request { id: QUESTION, request }.to_frame());
        silent.into_iter().for_each(|peer| self.ports.send(peer, Class::Sync, frame.clone()));
    }

    /// What this node holds with a peer's signature on it.
    pub(super) fn signatures_of(&self, peer: ValidatorIndex, next_seq: u64) -> Response {
        let finalization = self.votes.best_finalization().map(|best| (**best).clone());
        let votes = self.votes.votes_of(peer).take(SYNC_ITEMS_MAX);
        let votes = BoundedVec::new(votes.collect()).unwrap_or_default();
        let tip = self.batches.lanes().tip(peer).filter(|tip| tip.next_seq > next_seq);
        let batch =
            tip.and_then(|tip| self.batches.lanes().get(peer, &tip.tip)).map(|held| Box::new((*held.batch).clone()));
        Response::OwnSignatures { epoch: self.context.epoch(), finalization, votes, batch }
    }

    /// A peer's answer; the first one counts.
    pub(super) fn on_own_signatures(
        &mut self,
        peer: ValidatorIndex,
        finalization: Option<Certificate>,
        votes: &[SignedVote],
        batch: Option<Batch>,
    ) {
        let Standing::Asking { answered, .. } = &mut self.key.standing else { return };
        if !answered.insert(peer) {
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

    /// A batch of this node's lane, all of whose signatures hold.
    fn checked_own(&self, batch: Batch) -> Option<CheckedBatch> {
        let (committee, body) = (&self.context.committee, &batch.body);
        let (chain, shard, epoch) = (committee.chain, committee.shard, committee.epoch);
        let ours =
            self.context.is_me(body.author) && check_batch(body, chain, shard, epoch, &self.context.parameters).is_ok();
        let own = self.context.own_key().filter(|_| ours)?;
        verify_batch(&own, batch)
    }

    /// A vote, perhaps with this node's signature. False if it is a forged one.
    fn watch_vote(&mut self, vote: &SignedVote) -> bool {
        let body = &vote.body;
        let ours = self.context.is_me(vote.signer) && self.context.committee.owns(body) && !self.is_retired();
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

    /// A certificate, not verified yet, perhaps with this node's signature in it. False if that is a forged one.
    pub(super) fn watch_certificate(&mut self, certificate: &Certificate) -> bool {
        let Some(me) = self.context.me() else { return true };
        let own = certificate.signatures.iter().find(|(signer, _)| *signer == me);
        let own = own.map(|(_, signature)| SignedVote { body: certificate.body, signer: me, signature: *signature });
        own.is_none_or(|vote| self.watch_vote(&vote))
    }

    /// A batch of this chain whose signatures hold, perhaps of this node's lane.
    pub(super) fn watch_batch(&mut self, checked: &CheckedBatch) {
        let Some(me) = self.context.me() else { return };
        let body = &checked.batch.body;
        let forgotten = self.tree.root_cursors().get(usize::from(me.0)).map_or(0, |cursor| cursor.next_seq);
        let known =
            body.seq < forgotten.max(self.key.floor_seq) || self.batches.lanes().get(me, &checked.digest).is_some();
        if body.author != me || known {
            return;
        }
        if self.signs_elsewhere() && self.own_lane.is_next(body) {
            // It left once it was on the signer's disk, and this node ended before its own had it.
            self.adopt((*checked.batch).clone());
        } else {
            self.retire(&format!("batch {} of its lane", body.seq));
        }
    }

    /// A final block, perhaps of this node's making: then a quorum saw its vote.
    pub(super) fn watch_final(&mut self, digest: &BlockDigest, header: &Header) {
        let body = self.context.committee.body(VoteKind::Notarize, header.view, *digest);
        let lacks = !self.votes.accounts_for(&body);
        if self.context.is_me(header.proposer) && lacks {
            self.retire(&format!("the block of view {}", header.view.0));
        }
    }

    /// How far a block lists this node's own lane.
    pub(super) fn own_cursor(&self, header: &Header) -> Cursor {
        let cursor = self.context.me().and_then(|me| header.cursors.get(usize::from(me.0)));
        cursor.copied().unwrap_or_default()
    }

    /// Signs nothing any more, and lets nothing leave that was signed and waits for the disk.
    fn retire(&mut self, lacks: &str) {
        if self.is_retired() || !self.config.retires {
            return;
        }
        self.key.standing = Standing::Retired;
        self.key.waiting.clear();
        self.signing.retire();
        self.journal.drop_outbox();
        self.ports.retire(lacks);
        self.core.tell(Input::KeyRetired);
    }
}

/// What is left of an effect where nothing is signed: the certificate that a vote was to carry is sent on all the same (R2).
fn unsigned(effect: Effect) -> Option<Effect> {
    match effect {
        Effect::Vote { carry, .. } => carry.map(Effect::SendCertificate),
        Effect::Propose { .. } => None,
        other => Some(other),
    }
}

fn vote_name(kind: VoteKind) -> &'static str {
    match kind {
        VoteKind::Notarize => "the notarize vote",
        VoteKind::Nullify => "the nullify vote",
        VoteKind::Finalize => "the finalize vote",
    }
}
