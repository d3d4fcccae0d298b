//! From one epoch to the next: asking and showing how an epoch ended, and starting the next one in place.
//!
//! *Invariants:* the next epoch begins only when the boundary is executed and on disk; messages of an older epoch are
//! dropped.

use super::machines::clocks::Clocks;
use super::machines::homes::Homes;
use super::recovery::Journaled;
use super::{EndReason, EndedEpoch, Now, Ports, Shard};
use crate::senders::{Credit, epoch_of};
use bytes::Bytes;
use rustorium_crypto::block_digest;
use rustorium_execution::CommitteeRecord;
use rustorium_sync::for_link;
use rustorium_types::{
    Block, BoundedVec, Certificate, Class, EpochTransition, Hash, Height, Message, PublicKey, Request, Response,
};
use std::cmp::Ordering;
use std::sync::Arc;

impl<P: Ports> Shard<P> {
    /// Returns whether the epoch's end is due in a block with this time and claim, and the committee or term that its
    /// header then names.
    pub(super) fn end_at(&self, time_ms: u64, claimed: Height) -> Option<(bool, Hash)> {
        self.epoch_end.due_at(&self.context, self.results.executed(), time_ms, claimed)
    }

    /// Returns true if a block proposed now could be the boundary.
    pub(super) fn end_due(&self, now: Now) -> bool {
        let parent = self.tree.newest_certified();
        let ready = self.results.claimable().unwrap_or_default();
        let claim = ready.max(parent.result.height).min(self.results.executed());
        let time_ms = now.wall_ms.max(parent.time_ms.saturating_add(1));
        !self.tree.root().1.ends_epoch() && self.end_at(time_ms, claim).is_some_and(|(due, _)| due)
    }

    /// Returns when the epoch's end is due by time or by a wish of the operators, or when a peer is next asked how the
    /// epoch ended; monotonic microseconds.
    pub(super) fn next_end_us(&self, now: Now) -> Option<u64> {
        let due = self.epoch_end.due_by_time_us(&self.context, now).into_iter();
        let ask = self.asks_for_end().then_some(self.epoch_end.ask_at_us());
        due.chain(ask).min()
    }

    /// Returns the message if it belongs to this epoch or to none. Otherwise handles it as one of an older or a later
    /// epoch.
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
                if self.epoch_end.may_ask(now) {
                    self.ask_how_it_ended(now, *from);
                }
                if epoch == self.context.epoch().next() && self.epoch_end.expects(&self.context, from) {
                    self.epoch_end.keep_early(*from, message, frame);
                }
            }
        }
        None
    }

    /// R31: sends the proof of an epoch's end to a peer that is still in it, if it can decode it.
    fn show_end(&mut self, to: &PublicKey, change: EpochTransition) {
        let response = for_link(Response::EpochEnd(change), self.ports.link_version(to));
        if response == Response::NotHeld {
            return;
        }
        let frame = Message::Response { id: 0, response }.to_frame();
        self.ports.send_to(to, Class::Sync, frame.into());
    }

    fn asks_for_end(&self) -> bool {
        self.only_follows() && !self.liveness.linked().is_empty() && !self.tree.root().1.ends_epoch()
    }

    /// R31: asks one peer after the other how the epoch ended. A node without heartbeats must ask, because nobody tells
    /// it unasked.
    pub(super) fn ask_for_end(&mut self, now: Now) {
        if !self.asks_for_end() || !self.epoch_end.may_ask(now) {
            return;
        }
        let Some(next) = self.liveness.linked_after(self.epoch_end.asked()) else { return };
        self.ask_how_it_ended(now, next);
    }

    fn ask_how_it_ended(&mut self, now: Now, peer: PublicKey) {
        self.epoch_end.ask(now, peer, self.config.heartbeat_us);
        let message =
            Message::Request { id: super::journal_check::QUESTION, request: Request::EpochEnd(self.context.epoch()) };
        self.ports.send_to(&peer, Class::Sync, message.to_frame().into());
    }

    /// Takes a peer's proof of how this epoch ended. A closing block consists of its header alone; the boundary and the
    /// blocks below it are fetched.
    pub(super) fn on_epoch_end(&mut self, change: EpochTransition) {
        let known = self.tree.root().1.ends_epoch() || change.epoch() != self.context.epoch();
        if known {
            return;
        }
        if let Some(version) = self.context.unknown_version(&change) {
            let height = change.boundary().height.next();
            self.ports.end(EndReason::Version { version, height });
            return;
        }
        if let Err(part) = self.context.check_change(&change) {
            tracing::warn!(event = "epoch_end_refused", epoch = change.epoch().0, reason = part);
            return;
        }
        let (boundary, proof) = change.into_boundary();
        let certified = proof.finalization.body.block;
        let last = proof.descendants.last().unwrap_or(&boundary);
        self.finality.prove(certified, self.context.finalization_of(last, &proof.finalization));
        for header in proof.descendants.into_vec() {
            self.keep_block(block_digest(&header), Block { header, inline: BoundedVec::default() }, true);
        }
        if self.note_owners_end(&proof.finalization) {
            return;
        }
        self.watch_certificate(&proof.finalization);
        match self.votes.check_and_take(proof.finalization) {
            Ok(events) => self.on_tally(events),
            Err(refused) => tracing::warn!(event = "certificate_refused", reason = %refused),
        }
    }

    /// R33: takes a valid finalization that members did not sign as their owners'. The block is final and the next
    /// epoch begins; the core is told nothing. Returns true if it is one.
    pub(super) fn note_owners_end(&mut self, finalization: &Certificate) -> bool {
        if !self.context.committee.owns(&finalization.body) {
            // A range of blocks may lead into a later epoch. How that epoch ended is told within it.
            return false;
        }
        let members = rustorium_crypto::verify_certificate(&self.context.committee.keys, finalization.clone());
        if members.is_none() {
            self.is_final(finalization.body.view, finalization.body.block);
        }
        members.is_none()
    }

    /// Notes that a height wrote the committee record or was the boundary.
    pub(super) fn note_epoch(
        &mut self,
        height: Height,
        record: Option<&CommitteeRecord>,
        ended: Option<Box<EndedEpoch>>,
    ) {
        if let Some(record) = record {
            self.note_wanted(height, record);
        }
        self.epoch_end.forget_below(self.tree.root().1.result.height);
        if let Some(ended) = ended {
            self.epoch_end.end(ended);
        }
    }

    /// Notes the committee that operators want, as a height wrote it.
    pub(super) fn note_wanted(&mut self, height: Height, record: &CommitteeRecord) {
        self.ports.target(self.epoch_end.note(height, record));
    }

    /// Returns true if `next_epoch` has something to do.
    pub fn epoch_is_over(&self) -> bool {
        self.epoch_end.is_over()
    }

    /// Goes on in the next epoch as a restart would: from the boundary, with the new committee. Work in flight is void.
    /// Links, waiting transactions and early messages of the new epoch are taken along.
    pub fn next_epoch(mut self, now: Now) -> Self {
        let Some(ended) = self.epoch_end.take_over() else { return self };
        let EndedEpoch { change, payload_height } = *ended;
        let context = Arc::new(self.context.after(&change));
        tracing::info!(event = "epoch", epoch = context.epoch().0, n = context.n(), me = ?context.me().map(|me| me.0));
        let (whole, retired) = (self.key.is_whole() && !self.key.is_past(), self.key.is_retired());
        let (records, later) = self.journal.take_later(context.epoch());
        let (roots, state_roots) = self.results.into_roots();
        let (floor, appended) = (self.journal.floor(), self.journal.end());
        let journaled = Journaled {
            records,
            later,
            live: self.journal.into_live(),
            floor,
            retired,
            periods: self.tree.root_periods().clone(),
            roots: roots.into_iter().collect(),
            payload_height,
            finalization: None,
            committees: Vec::new(),
        };
        self.ports.begin_epoch(&context);
        self.config.pool = self.config.pool.in_epoch(context.rules, &context.parameters);
        let (boundary, _) = change.into_boundary();
        let tip = (block_digest(&boundary), boundary);
        let (mut offenders, members) = (self.checks.into_offenders(), context.places.keys().copied().collect());
        offenders.begin_epoch(&members, now.ms(), context.committee.faults());
        let mut next = Self::recover(context, self.config, self.ports, now, tip, journaled);
        next.go_on_with(offenders);
        next.signer = self.signer.after();
        let (epoch_end, said) = self.epoch_end.into_next();
        next.epoch_end = epoch_end;
        next.journal.goes_on_at(appended);
        next.clocks = Clocks::after(&self.clocks);
        next.homes = Homes::after(self.homes);
        next.round_trips = self.round_trips.after();
        next.pushed = self.pushed.after();
        next.forget_former_members();
        next.results.go_on_with(state_roots);
        next.key.begin_epoch(now, whole);
        let linked = self.liveness.into_linked();
        next.liveness.go_on_with(linked.clone());
        for node_key in linked {
            if let Some(peer) = next.context.place(&node_key) {
                next.on_link(now, peer, true);
            }
        }
        if self.core.claim_wanted() > next.tree.root().1.result.height {
            next.core.want_claim(self.core.claim_wanted());
        }
        let unlisted = self.own_lane.into_transactions();
        next.admit(now, unlisted.into_iter(), true);
        for (from, message, frame) in said {
            next.peer_says(now, &from, message, frame, Credit::default());
        }
        next
    }
}
