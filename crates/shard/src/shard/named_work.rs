//! Work told by names (R44): what this node sees and others may lack, and batches that others named.
//!
//! *Invariants:* no batch leaves unasked except an own one, to all peers, when it is cut; peers of an older release get
//! the older forms.

use super::machines::digests::PeerKnowledge;
use super::probing::rtt_us;
use super::{Now, Ports, Shard};
use crate::senders::Credit;
use bytes::Bytes;
use rustorium_crypto::CheckedBatch;
use rustorium_sync::named_work::NamedWork;
use rustorium_txpool::BlockCaps;
use rustorium_types::limits::{VALIDATORS_MAX, WORK_NOTARIZATIONS_MAX};
use rustorium_types::{
    Batch, BoundedVec, Class, Cursor, Message, Request, Response, ValidatorIndex, View, VoteKind, Work,
};
use std::sync::Arc;

/// Maximum number of batches that one `SendWork` sends to a peer of an older release.
const WORK_BATCHES_MAX: usize = 16;

impl<P: Ports> Shard<P> {
    /// Sends a message to all peers, in the older form to those that understand no other.
    pub(super) fn broadcast_by_version(&mut self, message: &Message, older: impl FnOnce(&Self) -> Vec<Message>) {
        let (class, frame) = (message.class(), Bytes::from(message.to_frame()));
        if self.digests.all_speak() {
            return self.ports.broadcast(class, frame);
        }
        let forms: Vec<(Class, Bytes)> =
            older(self).into_iter().map(|form| (form.class(), Bytes::from(form.to_frame()))).collect();
        for peer in (0..self.context.n() as u16).map(ValidatorIndex) {
            if self.context.is_me(peer) {
                continue;
            }
            if self.digests.speaks(peer) {
                self.ports.send(peer, class, frame.clone());
            } else {
                forms.iter().for_each(|(class, frame)| self.ports.send(peer, *class, frame.clone()));
            }
        }
    }

    /// Tells peers why this node sees work: ends of lanes that no certified block lists, notarizations above the last
    /// final view, and the report.
    pub(super) fn send_work(&mut self, now: Now, peer: Option<ValidatorIndex>) {
        match peer {
            Some(peer) if self.digests.speaks(peer) => {
                let work = self.work(|shard, lane, end| shard.batches.peers().of(peer, lane) < end.next_seq);
                let message = Message::Work(Box::new(work));
                self.ports.send(peer, message.class(), message.to_frame().into());
            }
            Some(peer) => {
                for message in self.work_whole() {
                    self.ports.send(peer, message.class(), message.to_frame().into());
                }
            }
            None => {
                let all = self.digests.tells_all(now, self.config.heartbeat_us);
                let work = self.work(|shard, lane, end| {
                    all || shard.batches.peers().quorum_held(usize::from(lane.0)) < end.next_seq
                });
                self.broadcast_by_version(&Message::Work(Box::new(work)), Self::work_whole);
            }
        }
    }

    fn work(&self, tells: impl Fn(&Self, ValidatorIndex, &Cursor) -> bool) -> Work {
        let tips = self.unlisted_ends().into_iter().filter(|(lane, end)| tells(self, *lane, end)).collect();
        let newest = self.votes.notarizations_above(self.tree.root().1.view, WORK_NOTARIZATIONS_MAX);
        let named: Vec<_> = newest.map(|certificate| (certificate.body.view, certificate.body.block)).collect();
        Work {
            epoch: self.context.epoch(),
            tips: BoundedVec::new(tips).unwrap_or_default(),
            notarizations: BoundedVec::new(named).unwrap_or_default(),
            report: self.results.report(),
        }
    }

    /// Returns the lanes that go beyond the newest certified block, and how far. The own lane counts as far as it is on
    /// disk.
    fn unlisted_ends(&self) -> Vec<(ValidatorIndex, Cursor)> {
        let parent = self.tree.newest_certified();
        let mut ends = Vec::new();
        for (lane, listed) in (0..VALIDATORS_MAX as u16).map(ValidatorIndex).zip(parent.cursors.iter()) {
            let end = if self.context.is_me(lane) { self.own_end() } else { self.batches.lanes().tip(lane) };
            ends.extend(end.filter(|end| end.next_seq > listed.next_seq).map(|end| (lane, end)));
        }
        ends
    }

    /// Returns how far the own lane has left this node.
    fn own_end(&self) -> Option<Cursor> {
        let me = self.context.me()?;
        let sent = self.own_lane.sent();
        let batches = self.batches.lanes().unlisted(me);
        let last = batches.iter().rev().find(|batch| batch.batch.body.seq < sent)?;
        Some(Cursor { next_seq: last.batch.body.seq + 1, tip: last.digest })
    }

    /// Returns the same work for a peer of an older release: certificates, the report, and the batches themselves.
    fn work_whole(&self) -> Vec<Message> {
        let mut messages = self.open_notarizations(WORK_NOTARIZATIONS_MAX);
        messages.push(Message::Report(self.results.report()));
        let sent = self.own_lane.sent();
        let may_leave =
            |batch: &Arc<CheckedBatch>| !self.context.is_me(batch.batch.body.author) || batch.batch.body.seq < sent;
        let batches = self.unlisted().into_iter().filter(may_leave).take(WORK_BATCHES_MAX);
        messages.extend(batches.map(|batch| Message::Batch(Box::new((*batch.batch).clone()))));
        messages
    }

    fn unlisted(&self) -> Vec<Arc<CheckedBatch>> {
        let parent = self.tree.newest_certified();
        let caps = BlockCaps::for_parameters(&self.context.parameters);
        let extension = self.batches.lanes().extend(&parent.cursors, &caps, |_| None);
        let payload = self.batches.lanes().payload(&parent.cursors, &extension.cursors);
        payload.map(|lanes| lanes.into_iter().flatten().collect()).unwrap_or_default()
    }

    /// Takes a peer's statement of why it sees work.
    pub(super) fn on_work(&mut self, now: Now, peer: ValidatorIndex, work: &Work) {
        self.results.on_report(peer, work.report);
        self.ask_for_notarizations(peer, work);
        let finals = self.batches.lanes().final_cursors();
        let window = u64::from(self.context.parameters.lane_window_batches);
        let rtt_us = |peer| rtt_us(&self.round_trips, &self.context, peer);
        let (context, batches, liveness) = (&*self.context, &self.batches, &self.liveness);
        let known = PeerKnowledge { context, batches, liveness, rtt_us: &rtt_us };
        for (lane, end) in work.tips.iter() {
            let last = finals.get(usize::from(lane.0)).map_or(0, |cursor| cursor.next_seq.saturating_add(window));
            if !context.is_me(*lane) && end.next_seq <= last {
                self.digests.tell(now, peer, *lane, *end, &known);
            }
        }
    }

    /// Requests the notarizations that a peer named and this node lacks, in one question.
    fn ask_for_notarizations(&mut self, peer: ValidatorIndex, work: &Work) {
        let above = self.votes.final_view().max(self.tree.root().1.view);
        let lacks = |view: &View| *view > above && self.votes.certificate(VoteKind::Notarize, *view).is_none();
        let views: Vec<View> = work.notarizations.iter().map(|(view, _)| *view).filter(lacks).collect();
        let (Some(first), Some(last)) = (views.iter().min().copied(), views.iter().max().copied()) else { return };
        let request = Request::Certificates { first, last };
        let message = Message::Request { id: super::journal_check::TOLD, request };
        self.ports.send(peer, Class::Sync, message.to_frame().into());
    }

    /// Requests what peers named.
    pub(super) fn poll_named_work(&mut self, now: Now) {
        let rtt_us = |peer| rtt_us(&self.round_trips, &self.context, peer);
        let (context, batches, liveness) = (&*self.context, &self.batches, &self.liveness);
        let asks = self.digests.poll(now, &PeerKnowledge { context, batches, liveness, rtt_us: &rtt_us });
        for ask in asks {
            let request = Request::Batches { lane: ask.lane, first: ask.first, end: ask.end };
            let message = Message::Request { id: ask.id, request };
            self.ports.send(ask.peer, Class::Sync, message.to_frame().into());
        }
    }

    /// Takes an answer to such a question. Gives back any other answer.
    pub(super) fn on_named_answer(
        &mut self,
        now: Now,
        peer: ValidatorIndex,
        id: u64,
        response: Response,
        credit: Credit,
    ) -> Option<(Response, Credit)> {
        match response {
            Response::Certificates(certificates) if id == super::journal_check::TOLD => {
                for certificate in certificates.into_vec() {
                    self.add_certificate(peer, certificate);
                }
            }
            Response::Batches(batches) => {
                let lane = self.digests.on_answer(now, peer, id, batches.len());
                let mut credit = Some(credit);
                for batch in batches.into_vec() {
                    if Some(batch.body.author) == lane {
                        self.check_named(peer, batch, credit.take().unwrap_or_default());
                    }
                }
            }
            Response::NotHeld if NamedWork::is_number(id) => {
                self.digests.on_answer(now, peer, id, 0);
            }
            other => return Some((other, credit)),
        }
        None
    }

    fn check_named(&mut self, peer: ValidatorIndex, batch: Batch, credit: Credit) {
        if self.is_news(&batch) {
            let bytes = Bytes::from(rustorium_types::encode(&batch));
            self.check_signatures_of(peer, batch, bytes, false, credit);
        }
    }

    /// Returns true if a batch that a peer sent unasked is accepted: the author may push it, and so may peers that know
    /// no other way.
    pub(super) fn is_pushed_by_author(&self, peer: ValidatorIndex, batch: &Batch) -> bool {
        batch.body.author == peer || !self.digests.speaks(peer)
    }
}
