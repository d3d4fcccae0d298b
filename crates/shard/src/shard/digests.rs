//! Work told by names (R44): what this node sees and others may lack, batches that others told of, and what it holds.
//!
//! *Invariants:* no batch leaves unasked but an own one, to all, when it is cut; peers of an older release get the older
//! forms; what is told to all that a quorum already holds is told at most once a heartbeat.

use super::{Now, Ports, Shard};
use crate::senders::Credit;
use bytes::Bytes;
use rustorium_crypto::CheckedBatch;
use rustorium_sync::told::{Peers, Told};
use rustorium_txpool::BlockCaps;
use rustorium_types::limits::{VALIDATORS_MAX, WORK_NOTARIZATIONS_MAX};
use rustorium_types::{
    Batch, BoundedVec, Class, Cursor, Held, Message, Request, Response, ValidatorIndex, View, VoteKind, Work,
    link_version,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Batches that one `SendWork` sends to a peer of an older release, at most.
const WORK_BATCHES_MAX: usize = 16;
/// Votes between two that say all that is held.
const WHOLE_EVERY: u32 = 16;

/// What this node told and was told by names.
pub(super) struct Digests {
    told: Told,
    /// Peers that understand the forms of 0.2.0 alone.
    older: BTreeSet<ValidatorIndex>,
    /// What was last said of `held`, and how many votes ago all of it.
    held: Vec<u64>,
    since_whole: u32,
    /// When work was last told to all, monotonic microseconds.
    told_all_us: Option<u64>,
}

impl Digests {
    pub(super) fn new(timeout_ms: u64) -> Self {
        let told = Told::new(timeout_ms);
        Self { told, older: BTreeSet::new(), held: Vec::new(), since_whole: 0, told_all_us: None }
    }

    /// When it wants a turn, in monotonic microseconds.
    pub(super) fn next_deadline_us(&self) -> Option<u64> {
        self.told.next_deadline_ms().map(|ms| ms.saturating_mul(1000))
    }
}

/// What the shard knows of its peers.
struct Known<'a, P: Ports>(&'a Shard<P>);

impl<P: Ports> Peers for Known<'_, P> {
    fn reachable(&self, peer: ValidatorIndex) -> bool {
        self.0.speaks_digests(peer) && self.0.liveness.speaks(peer)
    }

    fn rtt_ms(&self, peer: ValidatorIndex) -> Option<u64> {
        self.0.ports.rtt_us(peer).map(|us| us / 1000)
    }

    fn holds(&self, peer: ValidatorIndex, lane: ValidatorIndex) -> u64 {
        self.0.batches.peers().of(peer, lane)
    }

    fn have(&self, lane: ValidatorIndex) -> u64 {
        self.0.batches.lanes().tip(lane).map_or(u64::MAX, |tip| tip.next_seq)
    }

    fn n(&self) -> u16 {
        self.0.context.n() as u16
    }
}

impl<P: Ports> Shard<P> {
    pub(super) fn speaks_digests(&self, peer: ValidatorIndex) -> bool {
        !self.digests.older.contains(&peer)
    }

    /// A link came up: which forms its peer understands, and that it has heard nothing of `held`.
    pub(super) fn note_version(&mut self, peer: ValidatorIndex) {
        if self.ports.link_version(peer) < link_version::DIGESTS {
            self.digests.older.insert(peer);
        } else {
            self.digests.older.remove(&peer);
        }
        self.digests.since_whole = 0;
    }

    /// Sends to all peers, in the older form to those that know no other.
    pub(super) fn broadcast_by_version(&mut self, message: &Message, older: impl FnOnce(&Self) -> Vec<Message>) {
        let (class, frame) = (message.class(), Bytes::from(message.to_frame()));
        if self.digests.older.is_empty() {
            return self.ports.broadcast(class, frame);
        }
        let forms: Vec<(Class, Bytes)> =
            older(self).into_iter().map(|form| (form.class(), Bytes::from(form.to_frame()))).collect();
        for peer in (0..self.context.n() as u16).map(ValidatorIndex) {
            if self.context.is_me(peer) {
                continue;
            }
            if self.speaks_digests(peer) {
                self.ports.send(peer, class, frame.clone());
            } else {
                forms.iter().for_each(|(class, frame)| self.ports.send(peer, *class, frame.clone()));
            }
        }
    }

    /// What changed of `held` since the last vote; all of it after a link came up, and now and then.
    pub(super) fn held_change(&mut self) -> Held {
        let held = self.batches.lanes().held();
        let digests = &mut self.digests;
        let before = std::mem::replace(&mut digests.held, held.clone());
        let whole = digests.since_whole == 0 || before.len() != held.len();
        digests.since_whole = (digests.since_whole + 1) % WHOLE_EVERY;
        if whole {
            return Held::Whole(BoundedVec::new(held).unwrap_or_default());
        }
        let changed = held.into_iter().zip(before).enumerate().filter(|(_, (count, before))| count != before);
        let changed = changed.map(|(lane, (count, _))| (ValidatorIndex(lane as u16), count)).collect();
        Held::Changes(BoundedVec::new(changed).unwrap_or_default())
    }

    /// Tells what makes this node see work: ends of lanes that no certified block lists, notarizations above the last final
    /// view, the report.
    pub(super) fn send_work(&mut self, now: Now, peer: Option<ValidatorIndex>) {
        match peer {
            Some(peer) if self.speaks_digests(peer) => {
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
                let beat = self.config.heartbeat_us;
                let all = self.digests.told_all_us.is_none_or(|at| now.us >= at + beat);
                if all {
                    self.digests.told_all_us = Some(now.us);
                }
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

    /// Lanes that go beyond the newest certified block, and how far; the own one as far as it is on disk.
    fn unlisted_ends(&self) -> Vec<(ValidatorIndex, Cursor)> {
        let parent = self.tree.newest_certified();
        let mut ends = Vec::new();
        for (lane, listed) in (0..VALIDATORS_MAX as u16).map(ValidatorIndex).zip(parent.cursors.iter()) {
            let end = if self.context.is_me(lane) { self.own_end() } else { self.batches.lanes().tip(lane) };
            ends.extend(end.filter(|end| end.next_seq > listed.next_seq).map(|end| (lane, end)));
        }
        ends
    }

    /// How far the own lane has left this node.
    fn own_end(&self) -> Option<Cursor> {
        let me = self.context.me()?;
        let sent = self.own_lane.sent();
        let batches = self.batches.lanes().unlisted(me);
        let last = batches.iter().rev().find(|batch| batch.batch.body.seq < sent)?;
        Some(Cursor { next_seq: last.batch.body.seq + 1, tip: last.digest })
    }

    /// The same for a peer of an older release: certificates, the report, and the batches themselves.
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

    /// A peer tells what makes it see work.
    pub(super) fn on_work(&mut self, now: Now, peer: ValidatorIndex, work: &Work) {
        self.results.on_report(peer, work.report);
        self.ask_for_notarizations(peer, work);
        let finals = self.batches.lanes().final_cursors();
        let window = u64::from(self.context.parameters.lane_window_batches);
        let mut told = std::mem::replace(&mut self.digests.told, Told::new(0));
        for (lane, end) in work.tips.iter() {
            let last = finals.get(usize::from(lane.0)).map_or(0, |cursor| cursor.next_seq.saturating_add(window));
            if !self.context.is_me(*lane) && end.next_seq <= last {
                told.tell(now.ms(), peer, *lane, *end, &Known(self));
            }
        }
        self.digests.told = told;
    }

    /// Asks a peer for the notarizations that it named and this node lacks: once for all of them.
    fn ask_for_notarizations(&mut self, peer: ValidatorIndex, work: &Work) {
        let above = self.votes.final_view().max(self.tree.root().1.view);
        let lacks = |view: &View| *view > above && self.votes.certificate(VoteKind::Notarize, *view).is_none();
        let views: Vec<View> = work.notarizations.iter().map(|(view, _)| *view).filter(lacks).collect();
        let (Some(first), Some(last)) = (views.iter().min().copied(), views.iter().max().copied()) else { return };
        let request = Request::Certificates { first, last };
        let message = Message::Request { id: super::journal_check::TOLD, request };
        self.ports.send(peer, Class::Sync, message.to_frame().into());
    }

    /// Asks for what peers told of.
    pub(super) fn poll_told(&mut self, now: Now) {
        let mut told = std::mem::replace(&mut self.digests.told, Told::new(0));
        let asks = told.poll(now.ms(), &Known(self));
        self.digests.told = told;
        for ask in asks {
            let request = Request::Batches { lane: ask.lane, first: ask.first, end: ask.end };
            let message = Message::Request { id: ask.id, request };
            self.ports.send(ask.peer, Class::Sync, message.to_frame().into());
        }
    }

    /// Takes an answer to such a question; gives back any other one.
    pub(super) fn on_told_answer(
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
                let lane = self.digests.told.on_answer(now.ms(), peer, id, batches.len());
                let mut credit = Some(credit);
                for batch in batches.into_vec() {
                    if Some(batch.body.author) == lane {
                        self.check_told(peer, batch, credit.take().unwrap_or_default());
                    }
                }
            }
            Response::NotHeld if Told::is_number(id) => {
                self.digests.told.on_answer(now.ms(), peer, id, 0);
            }
            other => return Some((other, credit)),
        }
        None
    }

    fn check_told(&mut self, peer: ValidatorIndex, batch: Batch, credit: Credit) {
        if self.is_news(&batch) {
            let bytes = Bytes::from(rustorium_types::encode(&batch));
            self.ports.check_batch(peer, batch, bytes, false, credit);
        }
    }

    /// Whether a batch that a peer sent unasked is taken: its author's alone, but for peers that know no other way.
    pub(super) fn is_pushed_by_author(&self, peer: ValidatorIndex, batch: &Batch) -> bool {
        batch.body.author == peer || !self.speaks_digests(peer)
    }
}
