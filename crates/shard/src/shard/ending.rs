//! The end of the epoch: when it is due, what headers may say of it, its proof, and the start of the next one in place.
//!
//! *Invariants:* whether the end is due at a block follows from its header's time and the state after the height that it
//! claims, so that all who executed that far agree; the next epoch begins only when the boundary is executed and on disk;
//! what peers say of the next epoch until then is kept within bounds, and of older ones dropped.

use super::clocks::Clocks;
use super::homes::Homes;
use super::recovery::Journaled;
use super::{Ended, Now, Ports, Shard};
use crate::port::{Effect, Input, PayloadStatus};
use crate::senders::{Credit, epoch_of};
use bytes::Bytes;
use rustorium_crypto::{block_digest, domain, hash::hash_value};
use rustorium_execution::CommitteeRecord;
use rustorium_types::{
    Block, BlockDigest, BlockProof, BoundedVec, Certificate, Class, Epoch, EpochChange, Hash, Header, Height, Message,
    PublicKey, Request, ResultClaim, VoteKind,
};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Messages of the next epoch that are kept of each sender, and their bytes.
const EARLY_MESSAGES_MAX: usize = 64;
const EARLY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What operators want, as of a height.
#[derive(Clone, Copy)]
struct Wanted {
    /// Hash of the committee that comes next.
    set: Hash,
    end_asked: Option<Epoch>,
}

/// What a sender said of the next epoch.
#[derive(Default)]
struct Early {
    messages: Vec<(Message, Bytes)>,
    bytes: usize,
}

/// How the epoch comes to its end.
#[derive(Default)]
pub(super) struct Ending {
    /// By the height that wrote it. The newest one up to the tip's claim is there, but where the store was filled with a
    /// snapshot above it.
    wanted: BTreeMap<Height, Wanted>,
    /// The node keys of the committee that operators want.
    target: BTreeSet<PublicKey>,
    /// What the core was told of the end being due.
    pub(super) told: bool,
    /// The boundary is executed and on disk.
    pub(super) over: Option<Box<Ended>>,
    early: BTreeMap<PublicKey, Early>,
    /// When it may be asked again how the epoch ended, monotonic microseconds.
    ask_at_us: u64,
    /// Who was asked last.
    asked: PublicKey,
}

impl Ending {
    /// A height wrote the committee record.
    pub(super) fn note(&mut self, height: Height, record: &CommitteeRecord) {
        let set = Hash(hash_value(domain::VALIDATOR_SET, &record.target));
        self.target = record.target.iter().map(|member| member.node_key).collect();
        self.wanted.insert(height, Wanted { set, end_asked: record.end_asked });
    }

    /// Claims never go back below this height.
    fn forget_below(&mut self, claimed: Height) {
        if let Some((kept, _)) = self.wanted.range(..=claimed).next_back() {
            self.wanted = self.wanted.split_off(&{ *kept });
        }
    }
}

impl<P: Ports> Shard<P> {
    /// Whether the epoch's end is due in a block of this time with this claim, and the committee that its header then
    /// names. None: the claimed height isn't executed here.
    pub(super) fn end_at(&self, time_ms: u64, claimed: Height) -> Option<(bool, Hash)> {
        let wanted = self.ending.wanted.range(..=claimed).next_back().filter(|_| claimed <= self.executed)?.1;
        let (own, epoch) = (self.context.hashes.validator_set, self.context.epoch());
        let end_ms = self.context.start_ms.saturating_add(self.context.parameters.epoch_ms);
        let by_time = time_ms >= end_ms;
        let asked = wanted.end_asked == Some(epoch);
        let due = by_time || wanted.set != own && time_ms >= self.wish_ms() || asked;
        Some((due, if due { wanted.set } else { own }))
    }

    /// R45: the header time from which a wish for another committee ends the epoch; under version 1 at any.
    fn wish_ms(&self) -> u64 {
        let age_ms = self.context.parameters.epoch_age_min_ms;
        self.context.start_ms.saturating_add(age_ms.unwrap_or(0))
    }

    /// R28: whether a header says of the epoch's end what this node finds.
    pub(super) fn check_end(&self, parent: &Header, header: &Header) -> PayloadStatus {
        if parent.ends_epoch() {
            return PayloadStatus::Ready;
        }
        match self.end_at(header.time_ms, header.result.height) {
            None => PayloadStatus::Pending,
            Some(found) if found == (header.ends_epoch(), header.next_validator_set) => PayloadStatus::Ready,
            Some((true, _)) if !header.ends_epoch() => super::inbound::invalid(header.view, "the epoch's end is due"),
            Some((false, _)) => super::inbound::invalid(header.view, "it ends the epoch before its end is due"),
            Some(_) => super::inbound::invalid(header.view, "it names another next committee"),
        }
    }

    /// Whether a block proposed now could be the boundary.
    pub(super) fn end_due(&self, now: Now) -> bool {
        let (_, root) = self.tree.root();
        let parent = self.tree.header(&self.best_parent).unwrap_or(root);
        let ready = self.reports.claimable().map_or(Height(0), |claim| claim.height);
        let claim = ready.max(parent.result.height).min(self.executed);
        let time_ms = now.wall_ms.max(parent.time_ms.saturating_add(1));
        !root.ends_epoch() && self.end_at(time_ms, claim).is_some_and(|(due, _)| due)
    }

    /// When the end is due by time, be it for a wish, or it is asked again how the epoch ended; monotonic microseconds.
    pub(super) fn next_end_us(&self, now: Now) -> Option<u64> {
        let end_ms = self.context.start_ms.saturating_add(self.context.parameters.epoch_ms);
        let due = [end_ms, self.wish_ms()].into_iter().filter(|at_ms| *at_ms > now.wall_ms);
        let due = due.map(|at_ms| now.us.saturating_add((at_ms - now.wall_ms).saturating_mul(1000)));
        let ask = self.asks_for_end().then_some(self.ending.ask_at_us);
        due.chain(ask).min()
    }

    /// Shows that a block that ends the epoch is final: `above` leads from it to the finalized one. None for other blocks.
    pub(super) fn end_proof(
        &self,
        digest: &BlockDigest,
        above: &[BlockDigest],
    ) -> Result<Option<BlockProof>, &'static str> {
        if self.tree.header(digest).is_none_or(|header| !header.ends_epoch()) {
            return Ok(None);
        }
        let last = above.last().unwrap_or(digest);
        let view = self.tree.header(last).map(|header| header.view);
        let held = view.and_then(|view| self.tally.certificate(VoteKind::Finalize, view));
        let proven = self.proven.as_ref().map(|(_, certificate)| certificate);
        let finalization = held.into_iter().chain(proven).find(|certificate| certificate.body.block == *last);
        let finalization = finalization.ok_or("there is no finalization of the last closing block")?;
        let headers: Vec<Header> = above.iter().filter_map(|digest| self.tree.header(digest)).cloned().collect();
        let descendants = BoundedVec::new(headers).map_err(|_| "there are too many closing blocks for one proof")?;
        Ok(Some(BlockProof { descendants, finalization: (**finalization).clone() }))
    }

    /// Passes on what is of this epoch, or of none.
    pub(super) fn of_this_epoch(
        &mut self,
        now: Now,
        from: &PublicKey,
        message: Message,
        frame: &Bytes,
    ) -> Option<Message> {
        let Some(epoch) = epoch_of(&message) else { return Some(message) };
        match epoch.cmp(&self.context.epoch()) {
            Ordering::Equal => return Some(message),
            Ordering::Less => {
                if let (Message::Heartbeat(_), Some(change)) = (&message, self.ports.epoch_end(epoch)) {
                    self.show_end(from, change);
                }
            }
            Ordering::Greater => {
                if now.us >= self.ending.ask_at_us {
                    self.ask_how_it_ended(now, *from);
                }
                let comes = self.context.place(from).is_some() || self.ending.target.contains(from);
                if epoch == self.context.epoch().next() && comes {
                    self.keep_early(*from, message, frame);
                }
            }
        }
        None
    }

    fn keep_early(&mut self, from: PublicKey, message: Message, frame: &Bytes) {
        let early = self.ending.early.entry(from).or_default();
        if early.messages.len() < EARLY_MESSAGES_MAX && early.bytes + frame.len() <= EARLY_BYTES_MAX {
            early.bytes += frame.len();
            early.messages.push((message, frame.clone()));
        }
    }

    /// R31: gives the end of an epoch to a peer that is still in it.
    fn show_end(&mut self, to: &PublicKey, change: EpochChange) {
        let response = rustorium_types::Response::EpochEnd(Box::new(change));
        let frame = Message::Response { id: 0, response }.to_frame();
        self.ports.send_to(to, Class::Sync, frame.into());
    }

    fn asks_for_end(&self) -> bool {
        self.only_follows() && !self.linked.is_empty() && !self.tree.root().1.ends_epoch()
    }

    /// R31: who sends no heartbeats, and so is told nothing unasked, asks one peer after the other.
    pub(super) fn ask_for_end(&mut self, now: Now) {
        if !self.asks_for_end() || now.us < self.ending.ask_at_us {
            return;
        }
        let after = self.linked.range((std::ops::Bound::Excluded(self.ending.asked), std::ops::Bound::Unbounded));
        let Some(next) = after.chain(&self.linked).next().copied() else { return };
        self.ask_how_it_ended(now, next);
    }

    fn ask_how_it_ended(&mut self, now: Now, peer: PublicKey) {
        self.ending.asked = peer;
        self.ending.ask_at_us = now.us + self.config.heartbeat_us;
        let message = Message::Request { id: super::stale::QUESTION, request: Request::EpochEnd(self.context.epoch()) };
        self.ports.send_to(&peer, Class::Sync, message.to_frame().into());
    }

    /// Someone shows how this epoch ended. Closing headers are all that there is of their blocks; the boundary and what is
    /// below are fetched.
    pub(super) fn on_epoch_end(&mut self, change: EpochChange) {
        let known = self.tree.root().1.ends_epoch() || change.boundary.epoch != self.context.epoch();
        if known {
            return;
        }
        if let Err(part) = self.context.check_change(&change) {
            tracing::warn!(event = "epoch_end_refused", epoch = change.boundary.epoch.0, reason = part);
            return;
        }
        let certified = change.proof.finalization.body.block;
        let last = change.proof.descendants.last().unwrap_or(&change.boundary);
        self.proven = self.context.finalization_of(last, &change.proof.finalization).map(|found| (certified, found));
        for header in change.proof.descendants.into_vec() {
            self.keep_block(block_digest(&header), Block { header, inline: BoundedVec::default() }, true);
        }
        if self.note_owners_end(&change.proof.finalization) {
            return;
        }
        self.watch_certificate(&change.proof.finalization);
        let mut events = Vec::new();
        if let Err(refused) = self.tally.add_certificate(change.proof.finalization, &mut events) {
            tracing::warn!(event = "certificate_refused", reason = %refused);
        }
        self.on_tally(events);
    }

    /// R33: a finalization that holds and isn't the members' is their owners', of which the core is told nothing: the block is
    /// final, and the next epoch begins. Whether it is one.
    pub(super) fn note_owners_end(&mut self, finalization: &Certificate) -> bool {
        if !self.context.committee.owns(&finalization.body) {
            // A run of blocks may lead into a later epoch: what ended that one is said there.
            return false;
        }
        let members = rustorium_crypto::verify_certificate(&self.context.committee.keys, finalization.clone());
        if members.is_none() {
            self.is_final(finalization.body.view, finalization.body.block);
        }
        members.is_none()
    }

    /// R29: an effect of the core's from before it went into this epoch.
    pub(super) fn is_of_an_older_epoch(&mut self, effect: &Effect) -> bool {
        if let Effect::EnterView { epoch, .. } = effect {
            self.entered |= *epoch == self.context.epoch();
        }
        !self.entered
    }

    /// A height wrote the committee record, or was the boundary.
    pub(super) fn note_epoch(&mut self, height: Height, record: Option<&CommitteeRecord>, ended: Option<Box<Ended>>) {
        if let Some(record) = record {
            self.note_wanted(height, record);
        }
        self.ending.forget_below(self.tree.root().1.result.height);
        if ended.is_some() {
            self.ending.over = ended;
        }
    }

    /// A height wrote what committee operators want.
    pub(super) fn note_wanted(&mut self, height: Height, record: &CommitteeRecord) {
        self.ending.note(height, record);
        self.ports.target(&self.ending.target);
    }

    /// Whether `next_epoch` has something to do.
    pub fn epoch_is_over(&self) -> bool {
        self.ending.over.is_some()
    }

    /// Goes on in the next epoch, as a restart would: from the boundary, with the new committee. What was in flight is void;
    /// links, waiting transactions and what was said of the new epoch already are taken along.
    pub fn next_epoch(mut self, now: Now) -> Self {
        let Some(ended) = self.ending.over.take() else { return self };
        let Ended { change, payload_height } = *ended;
        let context = Arc::new(self.context.after(&change));
        tracing::info!(event = "epoch", epoch = context.epoch().0, n = context.n(), me = ?context.me().map(|me| me.0));
        let (whole, retired) = (self.is_whole() && !self.is_past(), self.is_retired());
        let (records, later) = std::mem::take(&mut self.later).split(context.epoch());
        let journaled = Journaled {
            records,
            later,
            live: self.retained.into_live(),
            floor: self.floor,
            retired,
            periods: self.tree.root_periods().clone(),
            roots: self.roots.into_iter().collect(),
            payload_height,
            finalization: None,
            committees: Vec::new(),
        };
        self.ports.begin_epoch(&context);
        let tip = (block_digest(&change.boundary), change.boundary);
        let (mut offenders, members) = (self.checks.into_offenders(), context.places.keys().copied().collect());
        offenders.begin_epoch(&members, now.ms(), context.committee.faults());
        let mut next = Self::recover(context, self.config, self.ports, now, tip, journaled);
        next.go_on_with(offenders);
        next.signing = self.signing.after();
        (next.ending.wanted, next.ending.target) = (self.ending.wanted, self.ending.target);
        next.appended = self.appended;
        next.clocks = Clocks::after(&self.clocks);
        next.homes = Homes::after(self.homes);
        if let Some((height, root)) = self.state_roots.last_key_value() {
            next.rooted.own(ResultClaim { height: *height, root: *root });
        }
        next.state_roots = self.state_roots;
        next.take_standing(now, whole);
        next.linked = self.linked;
        for node_key in next.linked.clone() {
            if let Some(peer) = next.context.place(&node_key) {
                next.on_link(now, peer, true);
            }
        }
        if self.claim_wanted > next.tree.root().1.result.height {
            next.claim_wanted = self.claim_wanted;
            next.tell(Input::ClaimWanted(self.claim_wanted));
        }
        let unlisted = self.pool.into_transactions();
        next.admit(now, unlisted.into_iter(), true);
        for (from, early) in self.ending.early {
            for (message, frame) in early.messages {
                next.peer_says(now, &from, message, frame, Credit::default());
            }
        }
        next
    }
}
