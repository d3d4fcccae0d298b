//! The own lane: admitting transactions, cutting them into batches, forwarding those of other lanes; links and silence.

use super::machines::homes::{NEXT_RANKS, Reach, SkippedHome};
use super::machines::journal::Outgoing;
use super::machines::own_lane::{ForwardGroups, HAND_ON_AFTER_MS};
use super::{Now, Ports, Shard, Stage};
use crate::periods::claimed_height;
use crate::rules;
use bytes::Bytes;
use rustorium_crypto::{CheckedBatch, UnsignedBatch, Verified, own_batch};
use rustorium_storage::RecordKind;
use rustorium_txpool::{Admission, PoolConfig};
use rustorium_types::limits::VALIDATORS_MAX;
use rustorium_types::{
    BatchBody, BoundedVec, Class, Height, Message, PublicKey, Transaction, TxId, ValidatorIndex, View,
};
use std::sync::Arc;

/// Number of transactions in one forwarded frame. That many of the largest size fit into a frame.
const FORWARDED_TOGETHER: usize = 15;

/// Settings of a shard for its own lane and its peers.
#[derive(Clone, Debug)]
pub struct WorkConfig {
    /// Bounds of the pool.
    pub pool: PoolConfig,
    /// Delay before transactions are cut while the lane's last batch isn't listed yet, so that more of them share a
    /// batch.
    pub batch_delay_us: u64,
    /// Time after which an unanswered question goes to the next peer.
    pub fetch_timeout_ms: u64,
    /// Interval of the core's heartbeats. Three intervals without a sign of life count as silence.
    pub heartbeat_us: u64,
    /// Node keys that this node asks, while it is no member, for what no connected member may be able to tell.
    pub seeds: Vec<PublicKey>,
    /// True if the key is retired once somebody shows a signature of it that the journal lacks (R27). True on every
    /// node; false for a simulated traitor that runs twice under one key.
    pub retires: bool,
    /// Time after a quorum's answers during which a starting process listens for another one with its keys, before it
    /// signs.
    pub rival_wait_us: u64,
    /// Number of doublings of all views' timers when this node last knew it. `None` if it knew none within an hour.
    pub backoff: Option<u32>,
    /// A secret of this node, from which the numbers of its probes are drawn. `None` if this node measures no round trips.
    pub probe_secret: Option<[u8; 32]>,
    /// Bytes of certificates kept in memory beyond the newest 256. Older ones are read from the journal.
    pub certificates_bytes_max: usize,
    /// Bytes of the journal that nobody needs, in excess of the needed bytes, at which old records are copied forward
    /// (R36).
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
            probe_secret: None,
            certificates_bytes_max: 4 * 1024 * 1024,
            journal_slack_bytes: 4 * 1024 * 1024,
        }
    }
}

impl<P: Ports> Shard<P> {
    pub(super) fn admit(
        &mut self,
        now: Now,
        transactions: impl ExactSizeIterator<Item = (TxId, Arc<Verified<Transaction>>)>,
        from_client: bool,
    ) {
        let mut away = ForwardGroups::new();
        let mut held = Vec::with_capacity(transactions.len());
        for (id, transaction) in transactions {
            tracing::debug!(event = "transaction_came", transaction = %id, from_client);
            let sender = *transaction.sender();
            let reach = Reach::of(&self.context, &self.liveness, self.key.is_retired());
            let first = self.homes.first_lane(now, &reach, &sender);
            let here =
                first.is_none_or(|first| self.context.is_me(first)) || !from_client && self.context.me().is_some();
            let away_to = first.filter(|_| !here).map(|first| (first, self.step_ms(first)));
            let not_before_ms = match away_to {
                _ if first.is_some() && self.lists_nothing() => now.ms() + HAND_ON_AFTER_MS,
                // R47: two steps, whatever this node's rank is.
                Some((_, step_ms)) => now.ms() + 2 * step_ms,
                None => 0,
            };
            let account = || self.ports.account(&sender);
            match self.own_lane.admit(now, (id, transaction.clone()), not_before_ms, account) {
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
                        // Another node has left the transaction to others for long enough.
                        self.own_lane.open(&id);
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

    /// Reports transactions that the pool doesn't hold any more.
    pub(super) fn tell_dropped(&mut self) {
        let dropped = self.own_lane.take_dropped();
        if !dropped.expired.is_empty() {
            self.ports.expired(&dropped.expired);
        }
        if !dropped.given_up.is_empty() {
            self.ports.given_up(&dropped.given_up);
        }
        let used = self.own_lane.take_used();
        if !used.is_empty() {
            self.ports.used(&used);
        }
    }

    /// Marks a transaction that is in a held batch: it is not cut here while that batch is held.
    fn note_listed(&mut self, id: &TxId) {
        if self.batches.lanes().has_transaction(id) {
            self.own_lane.mark_listed(id);
        }
    }

    pub(super) fn forward(&mut self, home: ValidatorIndex, group: &[Transaction]) {
        for chunk in group.chunks(FORWARDED_TOGETHER) {
            if let Ok(transactions) = BoundedVec::new(chunk.to_vec()) {
                let frame = Message::Transactions(transactions).to_frame();
                self.ports.send(home, Class::Data, frame.into());
            }
        }
    }

    /// Returns true if this node makes no batch in this epoch.
    fn lists_nothing(&self) -> bool {
        self.only_follows() || self.key.is_past() || self.signer_is_away() || self.signer.has_no_lane()
    }

    /// Cuts own batches: at once if the last one is listed, otherwise when enough time has passed or enough bytes have
    /// gathered.
    pub(super) fn cut_batches(&mut self, now: Now, proposing: bool) {
        self.own_lane.begin_cut();
        if self.lists_nothing() {
            let reach = Reach::of(&self.context, &self.liveness, self.key.is_retired());
            let away = self.own_lane.hand_on(now, &reach);
            return away.into_iter().for_each(|(next, group)| self.forward(next, &group));
        }
        while self.own_lane.pool().ready_count() > 0 && self.may_sign() {
            // The signer keeps one batch for a node that loses it, so each batch is on disk here before the next is
            // requested.
            if self.waits_for_batch() || self.signs_elsewhere() && !self.own_lane.all_sent() {
                return;
            }
            self.own_lane.gather(now);
            if self.own_window_full() {
                return;
            }
            let at_once = proposing || self.own_lane_listed();
            let (delay_us, bytes_max) = (self.config.batch_delay_us, self.context.parameters.batch_bytes_max);
            if !self.own_lane.is_cut_due(now, at_once, delay_us, bytes_max) || !self.cut_one(now) {
                return;
            }
        }
        self.own_lane.take_ready_since();
    }

    /// Returns true if the waiting transactions can become a batch.
    fn may_cut(&self) -> bool {
        self.own_lane.pool().ready_count() > 0 && self.may_sign() && !self.own_window_full()
    }

    fn own_window_full(&self) -> bool {
        let Some(me) = self.context.me() else { return true };
        !self.batches.has_room(&self.context, me)
    }

    fn own_lane_listed(&self) -> bool {
        let header = self.tree.best_parent();
        header.is_none_or(|header| self.own_cursor(header).next_seq >= self.own_lane.next_seq())
    }

    fn cut_one(&mut self, now: Now) -> bool {
        let Some(author) = self.context.me() else { return false };
        let transactions = self.own_lane.cut(now, &self.context.parameters);
        if transactions.is_empty() {
            return false;
        }
        let committee = &self.context.committee;
        let (seq, previous) = self.own_lane.end();
        let body = |transactions| BatchBody {
            chain: committee.chain,
            shard: committee.shard,
            epoch: committee.epoch,
            author,
            seq,
            previous,
            transactions: BoundedVec::new(transactions).unwrap_or_default(),
        };
        if let Some(since) = self.own_lane.take_ready_since() {
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

    /// Takes the next batch of the own lane, with its signature: journals, holds and sends it. The batch leaves once it
    /// is on disk. A batch that a signer signed is on the signer's disk already, because the signer keeps the newest
    /// batch for a node that loses it, so it leaves at once.
    pub(super) fn take_own_batch(&mut self, checked: CheckedBatch) {
        self.own_lane.extend(checked.digest);
        let frame = Bytes::from(Message::Batch(Box::new((*checked.batch).clone())).to_frame());
        let position = self.append(RecordKind::Batch, &frame[1..]);
        self.ports.sync(position);
        self.journal.note_batch(position);
        self.batches.insert(checked, position);
        let later = if self.signs_elsewhere() {
            self.ports.broadcast(Class::Data, frame);
            None
        } else {
            Some(frame)
        };
        self.journal.push(position, Outgoing::Batch(later));
    }

    /// Returns true if something could be listed on the newest certified block.
    pub(super) fn listable(&self) -> bool {
        let parent = self.tree.newest_certified();
        // A new block may claim exactly what is executed here, so the lag is computed for that claim.
        let claim = self.results.claimable().map_or(0, |height| height.0).max(parent.result.height.0);
        let rooted = self.results.claimable_root().unwrap_or_default().max(claimed_height(&parent.state));
        let (height, parameters) = (parent.height.next(), &self.context.parameters);
        let lag_allows = rules::may_list(height, Height(claim.min(parent.height.0)), rooted, parameters);
        // R28: nothing is listed on a block that ends the epoch.
        !parent.ends_epoch() && lag_allows && (self.batches.lanes().listable(&parent.cursors) || self.may_cut())
    }

    pub(super) fn poll_fetcher(&mut self, now: Now) {
        let mut peers: Vec<ValidatorIndex> = self.connected();
        // More than f members include an honest one.
        if peers.len() <= self.context.committee.faults() {
            peers.extend(self.liveness.linked().iter().filter_map(|key| self.seed_place(key)));
        }
        let questions = match self.pushed.wait_until_us() {
            Some(_) => Vec::new(),
            None => self.fetching.poll(now, &peers),
        };
        self.poll_named_work(now);
        for (peer, id, request) in questions {
            let frame = Message::Request { id, request }.to_frame().into();
            match self.seed_at(peer).copied() {
                Some(seed) => self.ports.send_to(&seed, Class::Sync, frame),
                None => self.ports.send(peer, Class::Sync, frame),
            }
        }
    }

    /// Returns the number of a seed among the peers that are asked, beyond every committee's places. `None` if the key
    /// is a member's or no seed's, or if this node is a member and needs no seed.
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
            self.fetching.connected();
            if let Some(member) = self.context.validators.get(usize::from(peer.0)) {
                self.digests.note_version(peer, self.ports.link_version(&member.node_key));
            }
            self.link_to_probe(now, peer);
            self.liveness.member_link(now, peer, true);
            self.help(peer, View(0));
            self.key.ask_soon(now);
        } else {
            self.liveness.member_link(now, peer, false);
            self.homes.link_lost(peer);
            self.unlink_to_probe(peer);
            self.fetching.disconnected(peer);
            if let Some(node_key) = self.node_key(peer) {
                self.pushed.lost(&node_key);
            }
        }
    }

    /// Returns how long a transaction is left to this validator, ms.
    pub(super) fn step_ms(&self, home: ValidatorIndex) -> u64 {
        self.homes.step_ms(self.round_trip_us(home).unwrap_or_default() / 1000)
    }

    /// Notes that a transaction in the pool goes to `first` and is left to it for one step.
    pub(super) fn left_to(
        &mut self,
        now: Now,
        id: &TxId,
        transaction: &Transaction,
        first: ValidatorIndex,
        step_ms: u64,
    ) {
        let (sender, nonce) = (transaction.sender(), transaction.nonce());
        let home = rustorium_txpool::home_lane(sender, self.context.epoch(), &self.context.regions);
        // A home can't list a transaction that waits for an earlier nonce, which may be with another node or nowhere.
        let could_list = self.own_lane.pool().next_nonce(sender) == Some(nonce) && self.lane_has_room(home);
        self.homes.left_to(now, (id, home), first, step_ms, could_list && self.context.me().is_some());
    }

    fn lane_has_room(&self, lane: ValidatorIndex) -> bool {
        self.batches.has_room(&self.context, lane)
    }

    /// Forwards transactions to the next two in rank if no batch has them one step after they were forwarded. This node
    /// may be one of the two.
    pub(super) fn forward_on(&mut self, now: Now) {
        let (context, batches, retired) = (&self.context, &self.batches, self.key.is_retired());
        let reach = Reach::of(context, &self.liveness, retired);
        self.homes.judge(now, |home| reach.is_reachable(home) && batches.has_room(context, home));
        let mut away = ForwardGroups::new();
        while let Some((id, first)) = self.homes.pop_due(now) {
            // A lane without room has no use for another copy. Other lanes have none either while this load fills that
            // lane, unless the load is of one region.
            let full = !batches.has_room(context, first);
            let unlisted = self.own_lane.pool().unlisted(&id).filter(|_| !full || context.has_regions());
            let Some(transaction) = unlisted else { continue };
            let next = self.homes.next_lanes(now, &reach, transaction.sender(), first);
            let next: Vec<_> = next.filter(|lane| !full || batches.has_room(context, *lane)).take(NEXT_RANKS).collect();
            for lane in next {
                if context.is_me(lane) {
                    self.own_lane.open(&id);
                } else {
                    away.entry(lane).or_default().push((**transaction).clone());
                }
            }
        }
        for (lane, group) in away {
            self.forward(lane, &group);
        }
    }

    /// Returns the homes that are passed over, for status and metrics.
    pub fn homes_left_out(&self, now: Now) -> Vec<SkippedHome> {
        self.homes.left_out(now)
    }
}
