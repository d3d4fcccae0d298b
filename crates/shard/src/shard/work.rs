//! The own lane: admitting transactions, cutting them into batches, forwarding those of other lanes; links and silence.

use super::{Now, Outgoing, Ports, Shard, Stage};
use crate::periods::claimed_height;
use crate::rules;
use bytes::Bytes;
use rustorium_crypto::{CheckedBatch, UnsignedBatch, Verified, own_batch};
use rustorium_storage::RecordKind;
use rustorium_txpool::{Admission, Clock, CutLimits, PoolConfig, lanes_by_rank};
use rustorium_types::limits::VALIDATORS_MAX;
use rustorium_types::{
    BatchBody, BatchDigest, BoundedVec, Class, Height, Message, PublicKey, Request, Transaction, TxId, ValidatorIndex,
    View,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Transactions in one forwarded frame: the largest fit into a frame then.
const FORWARDED_TOGETHER: usize = 15;
/// How long a node that lists nothing leaves a transaction to the first in rank and the two after them, until it hands it on
/// to one after the other, and how long after each frame of such ones the next may follow.
const HAND_ON_AFTER_MS: u64 = 900;
const HAND_ON_PAUSE_US: u64 = 300_000;

/// How a shard treats its own lane and its peers.
#[derive(Clone, Debug)]
pub struct WorkConfig {
    /// Bounds of the pool.
    pub pool: PoolConfig,
    /// How long transactions wait for company while the lane's last batch isn't listed yet.
    pub batch_delay_us: u64,
    /// When an unanswered question goes to the next peer.
    pub fetch_timeout_ms: u64,
    /// The core's heartbeat; three without a sign of life are silence.
    pub heartbeat_us: u64,
    /// Node keys of whom this node asks, while it is no member, what no connected member may be there to tell.
    pub seeds: Vec<PublicKey>,
    /// Whether the key is given up once somebody shows a signature of it that the journal lacks (R27). Every node does;
    /// a simulated traitor that runs twice under one key must not.
    pub retires: bool,
    /// How long after a quorum's answers a process that starts listens for another one with its keys, before it signs.
    pub rival_wait_us: u64,
    /// How often the timers of all views were doubled when this node last knew; none: not within an hour.
    pub backoff: Option<u32>,
    /// Bytes of certificates in memory, beyond the newest 256; older ones are read from the journal.
    pub certificates_bytes_max: usize,
    /// Bytes of the journal that nobody needs, beyond as many as are needed, until old records are copied forward (R36).
    pub journal_slack_bytes: u64,
}

impl Default for WorkConfig {
    fn default() -> Self {
        Self {
            pool: PoolConfig::default(),
            batch_delay_us: 25_000,
            fetch_timeout_ms: 300,
            heartbeat_us: 500_000,
            seeds: Vec::new(),
            retires: true,
            rival_wait_us: 0,
            backoff: None,
            certificates_bytes_max: 4 * 1024 * 1024,
            journal_slack_bytes: 4 * 1024 * 1024,
        }
    }
}

/// The chain of this validator's own batches.
#[derive(Default)]
pub(super) struct OwnLane {
    pub(super) next_seq: u64,
    /// From this seq on batches wait for the disk: they must not leave, for a power loss would let the seq be used again.
    pub(super) sent: u64,
    pub(super) previous: BatchDigest,
    pub(super) cut_due_us: Option<u64>,
    ready_since_us: Option<u64>,
    /// While this node lists nothing: how often it has handed on what waits, and when it may do so again.
    handed_on: u64,
    hand_on_at_us: u64,
}

impl<P: Ports> Shard<P> {
    pub(super) fn admit(
        &mut self,
        now: Now,
        transactions: impl ExactSizeIterator<Item = (TxId, Arc<Verified<Transaction>>)>,
        from_client: bool,
    ) {
        let mut away: BTreeMap<ValidatorIndex, Vec<Transaction>> = BTreeMap::new();
        let mut held = Vec::with_capacity(transactions.len());
        let clock = Clock { ms: now.ms(), wall_ms: now.wall_ms };
        for (id, transaction) in transactions {
            tracing::debug!(event = "transaction_came", transaction = %id, from_client);
            let sender = transaction.body.sender;
            let first = self.first_lane(now, &sender);
            let here =
                first.is_none_or(|first| self.context.is_me(first)) || !from_client && self.context.me().is_some();
            let away_to = first.filter(|_| !here).map(|first| (first, self.step_ms(now, first)));
            let not_before_ms = match away_to {
                _ if first.is_some() && self.lists_nothing() => now.ms() + HAND_ON_AFTER_MS,
                // R47: two steps, whatever this node's rank is.
                Some((_, step_ms)) => now.ms() + 2 * step_ms,
                None => 0,
            };
            let account = || self.ports.account(&sender);
            match self.pool.admit_later(clock, id, transaction.clone(), not_before_ms, account) {
                Ok(Admission::Queued) => {
                    held.push(id);
                    self.note_listed(&id);
                    if let Some((first, step_ms)) = away_to {
                        self.left_to(now, &id, &transaction, first, step_ms);
                        away.entry(first).or_default().push((**transaction).clone());
                    }
                }
                Ok(Admission::Duplicate) => {
                    held.push(id);
                    self.ports.duplicate(&id);
                    if !from_client && self.context.me().is_some() {
                        // Another node has left it to others for long enough.
                        self.pool.open(&id);
                    }
                }
                Err(refused) => self.ports.refused(&id, refused),
            }
        }
        for (home, group) in away {
            self.forward(home, &group);
        }
        if from_client {
            self.ports.admitted(&held);
        }
    }

    /// Tells of transactions that the pool dropped.
    pub(super) fn tell_dropped(&mut self) {
        let dropped = self.pool.take_dropped();
        if !dropped.expired.is_empty() {
            self.ports.expired(&dropped.expired);
        }
        if !dropped.given_up.is_empty() {
            self.ports.given_up(&dropped.given_up);
        }
    }

    /// A transaction that a held batch already has is not cut here while that batch is held.
    fn note_listed(&mut self, id: &TxId) {
        if self.lanes.has_transaction(id) {
            self.pool.mark_elsewhere(id, true);
        }
    }

    /// Who isn't in the committee hears none of its votes: to it silence says nothing.
    pub(super) fn is_reachable(&self, peer: ValidatorIndex) -> bool {
        self.connected.contains(&peer) && (self.context.me().is_none() || !self.signs.is_silent(peer))
    }

    pub(super) fn forward(&mut self, home: ValidatorIndex, group: &[Transaction]) {
        for chunk in group.chunks(FORWARDED_TOGETHER) {
            if let Ok(transactions) = BoundedVec::new(chunk.to_vec()) {
                let frame = Message::Transactions(transactions).to_frame();
                self.ports.send(home, Class::Data, frame.into());
            }
        }
    }

    /// Whether no batch of this node's will come in this epoch.
    fn lists_nothing(&self) -> bool {
        self.only_follows() || self.is_past() || self.signer_is_away() || self.signing.has_no_lane()
    }

    /// Who can't list what waits here hands it on until it is executed, each time to the next in rank, and at most a batch's
    /// worth at once: the frame before may have been lost with a link, or be kept back by who got it.
    fn hand_on(&mut self, now: Now) {
        if self.pool.ready_count() == 0 {
            return;
        }
        if now.us < self.own_lane.hand_on_at_us {
            self.own_lane.cut_due_us = Some(self.own_lane.hand_on_at_us);
            return;
        }
        self.own_lane.hand_on_at_us = now.us + HAND_ON_PAUSE_US;
        self.own_lane.handed_on += 1;
        let turn = self.own_lane.handed_on as usize;
        let mut away: BTreeMap<ValidatorIndex, Vec<Transaction>> = BTreeMap::new();
        for (id, transaction) in self.pool.cut(now.ms(), &self.cut_limits()) {
            self.pool.wait_until(&id, now.ms() + HAND_ON_AFTER_MS);
            let ranks = lanes_by_rank(&transaction.body.sender, self.context.epoch(), self.context.n()).into_iter();
            let reachable: Vec<_> = ranks.filter(|lane| self.is_reachable(*lane)).collect();
            if let Some(next) = turn.checked_rem(reachable.len()).map(|place| reachable[place]) {
                away.entry(next).or_default().push((**transaction).clone());
            }
        }
        for (next, group) in away {
            self.forward(next, &group);
        }
        self.own_lane.cut_due_us = (self.pool.ready_count() > 0).then_some(self.own_lane.hand_on_at_us);
    }

    /// Cuts own batches: at once when the last one is listed, else when enough time or bytes have gathered.
    pub(super) fn cut_batches(&mut self, now: Now, proposing: bool) {
        self.own_lane.cut_due_us = None;
        if self.lists_nothing() {
            return self.hand_on(now);
        }
        while self.pool.ready_count() > 0 && self.may_sign() {
            // The signer keeps one batch for a node that loses it, so each is on disk here before the next is asked for.
            if self.waits_for_batch() || self.signs_elsewhere() && self.own_lane.sent < self.own_lane.next_seq {
                return;
            }
            let since = *self.own_lane.ready_since_us.get_or_insert(now.us);
            if self.own_window_full() {
                return;
            }
            let due = since + self.config.batch_delay_us;
            let full = self.pool.ready_bytes() >= u64::from(self.context.parameters.batch_bytes_max);
            if !(proposing || full || now.us >= due || self.own_lane_listed()) {
                self.own_lane.cut_due_us = Some(due);
                return;
            }
            if !self.cut_one(now) {
                return;
            }
        }
        self.own_lane.ready_since_us = None;
    }

    /// Whether what waits in the pool can become a batch.
    fn may_cut(&self) -> bool {
        self.pool.ready_count() > 0 && self.may_sign() && !self.own_window_full()
    }

    fn own_window_full(&self) -> bool {
        let Some(me) = self.context.me() else { return true };
        let (batches, bytes) = self.lanes.window_left(me);
        batches == 0 || bytes < u64::from(self.context.parameters.batch_bytes_max)
    }

    fn own_lane_listed(&self) -> bool {
        let header = self.tree.header(&self.best_parent);
        header.is_none_or(|header| self.own_cursor(header).next_seq >= self.own_lane.next_seq)
    }

    fn cut_limits(&self) -> CutLimits {
        let parameters = &self.context.parameters;
        CutLimits {
            bytes: u64::from(parameters.batch_bytes_max),
            transactions: parameters.batch_transactions_max as usize,
            work: parameters.batch_work_max,
        }
    }

    fn cut_one(&mut self, now: Now) -> bool {
        let Some(author) = self.context.me() else { return false };
        let transactions = self.pool.cut(now.ms(), &self.cut_limits());
        if transactions.is_empty() {
            return false;
        }
        let committee = &self.context.committee;
        let (seq, previous) = (self.own_lane.next_seq, self.own_lane.previous);
        let body = |transactions| BatchBody {
            chain: committee.chain,
            shard: committee.shard,
            epoch: committee.epoch,
            author,
            seq,
            previous,
            transactions: BoundedVec::new(transactions).unwrap_or_default(),
        };
        if let Some(since) = self.own_lane.ready_since_us.take() {
            self.ports.measured(Stage::Gather, now.us.saturating_sub(since));
        }
        match &self.context.key {
            Some(key) => {
                let checked = own_batch(transactions, body, key);
                self.take_own_batch(checked);
            }
            None => {
                let unsigned = UnsignedBatch::new(transactions, body);
                self.ask_for_batch(unsigned);
            }
        }
        true
    }

    /// The next batch of the own lane, with its signature: journaled, held, and sent once it is on disk, which it is where a
    /// signer gave the signature: that keeps the newest batch for a node that loses it.
    pub(super) fn take_own_batch(&mut self, checked: CheckedBatch) {
        self.own_lane.next_seq += 1;
        self.own_lane.previous = checked.digest;
        let frame = Bytes::from(Message::Batch(Box::new((*checked.batch).clone())).to_frame());
        let position = self.append(RecordKind::Batch, &frame[1..]);
        self.ports.sync(position);
        self.retained.note_batch(position);
        self.lanes.insert(Arc::new(checked), position, true);
        let later = if self.signs_elsewhere() {
            self.ports.broadcast(Class::Data, frame);
            None
        } else {
            Some(frame)
        };
        self.outbox.push_back((position, Outgoing::Batch(later)));
    }

    /// Whether something could be listed on the newest certified block.
    pub(super) fn listable(&self) -> bool {
        let (_, root) = self.tree.root();
        let parent = self.tree.header(&self.best_parent).unwrap_or(root);
        // A new block may claim what is executed here, and only that: the lag is what it would be then.
        let claim = self.reports.claimable().map_or(0, |report| report.height.0).max(parent.result.height.0);
        let rooted = self.newest_rooted().max(claimed_height(&parent.state));
        let (height, parameters) = (parent.height.next(), &self.context.parameters);
        let lag_allows = rules::may_list(height, Height(claim.min(parent.height.0)), rooted, parameters);
        // R28: nothing is listed on a block that ends the epoch.
        !parent.ends_epoch() && lag_allows && (self.lanes.listable(&parent.cursors) || self.may_cut())
    }

    pub(super) fn poll_fetcher(&mut self, now: Now) {
        let mut peers: Vec<ValidatorIndex> = self.connected();
        // Of more than f members one is honest.
        if peers.len() <= self.context.committee.faults() {
            peers.extend(self.linked.iter().filter_map(|key| self.seed_place(key)));
        }
        let mut questions: Vec<(ValidatorIndex, u64, Request)> = Vec::new();
        self.fetcher.poll(now.ms(), &peers, &mut questions);
        self.gap.poll(now.ms(), &peers, &mut questions);
        self.poll_told(now);
        for (peer, id, request) in questions {
            let frame = Message::Request { id, request }.to_frame().into();
            match self.seed_at(peer).copied() {
                Some(seed) => self.ports.send_to(&seed, Class::Sync, frame),
                None => self.ports.send(peer, Class::Sync, frame),
            }
        }
    }

    /// The number of a seed among those who are asked, beyond every committee's places. None: it is a member, or no seed,
    /// or this node is a member and needs none.
    pub(super) fn seed_place(&self, key: &PublicKey) -> Option<ValidatorIndex> {
        if self.context.me().is_some() || self.context.place(key).is_some() {
            return None;
        }
        let number = self.config.seeds.iter().position(|seed| seed == key)?;
        u16::try_from(VALIDATORS_MAX + number).ok().map(ValidatorIndex)
    }

    fn seed_at(&self, place: ValidatorIndex) -> Option<&PublicKey> {
        self.config.seeds.get(usize::from(place.0).checked_sub(VALIDATORS_MAX)?)
    }

    pub(super) fn on_link(&mut self, now: Now, peer: ValidatorIndex, up: bool) {
        if up {
            self.connected.insert(peer);
            self.gap.connected();
            self.note_version(peer);
            self.signs.expect(now, peer);
            self.help(peer, View(0));
            self.ask_soon(now);
        } else {
            self.connected.remove(&peer);
            self.homes.link_lost(peer);
            self.fetcher.disconnected(peer);
            self.gap.disconnected(peer);
        }
    }
}
