//! One shard's data plane as a machine without threads: events in, calls on `Ports` out.
//!
//! `Shard` is a table of contents: `handle` takes one event, and `end_turn` does the work that is done once a turn. Its
//! methods are the flows from an event to calls on `Ports`. All state belongs to `machines`.
//!
//! *Invariants:* what a vote rests on is appended to the journal before the vote, and a frame that promises something
//! leaves only when the journal is durable up to it; nothing is executed that is not final; everything held is bounded.

mod candidates;
mod certificates;
mod checking;
mod effects;
mod epochs;
mod execution;
mod holding;
mod holdings;
mod inbound;
mod journal_check;
mod leading;
mod machines;
mod memory;
mod named_work;
mod ports;
mod probing;
mod pushes;
mod recovery;
mod signing;
mod versions;
mod work;

use crate::context::Context;
use crate::periods::Periods;
use crate::port::{Input, PayloadStatus};
use crate::senders::Credit;
use bytes::Bytes;
use machines::batches::Batches;
use machines::blocks::BlockTree;
use machines::checks::Checks;
use machines::clocks::Clocks;
use machines::core_link::{CoreLink, Levels};
use machines::digests::Digests;
use machines::epoch_end::EpochEnd;
use machines::fetching::Fetching;
use machines::finality::Finality;
use machines::homes::Homes;
use machines::journal::Journal;
use machines::key_standing::KeyStanding;
use machines::liveness::Liveness;
use machines::own_lane::OwnLane;
use machines::pushed::Pushed;
use machines::results::Results;
use machines::round_trips::RoundTrips;
use machines::signer::Signer;
use machines::votes::Votes;
use rustorium_crypto::Admitted;
use rustorium_quorum::{Charge, TallyEvent};
use rustorium_storage::RecordKind;
use rustorium_types::{BlockDigest, Header, Height, Message, PublicKey, ValidatorIndex, View};
use std::sync::Arc;

pub use holdings::Holdings;
pub use machines::checks::CheckedCertificate;
pub use machines::clocks::BlockAhead;
pub use machines::homes::SkippedHome;
pub use machines::live_records::{JournalSizes, LiveRecords};
pub use machines::timing::Stage;
pub use ports::{EndReason, EndedEpoch, Event, Executed, ExecutionJob, FalseBatch, Now, Ports, SignerEvent};
pub use recovery::{Floor, Journaled, Records};
pub use work::WorkConfig;

/// Number of views beyond the current one for which peers' votes and proposals are kept.
const VIEW_WINDOW: u64 = 64;

/// Delay of non-urgent inputs, so that they share a wake-up of the core.
const COALESCE_US: u64 = 8_000;

/// Number of heights that a node may be behind and still count as synced, because it is executing them.
const SYNCED_WITHIN: u64 = 16;

/// One shard's data plane.
pub struct Shard<P: Ports> {
    /// Interface to everything outside the shard.
    pub ports: P,
    context: Arc<Context>,
    config: WorkConfig,
    tree: BlockTree,
    votes: Votes,
    key: KeyStanding,
    signer: Signer,
    results: Results,
    batches: Batches,
    fetching: Fetching,
    pushed: Pushed,
    digests: Digests,
    core: CoreLink,
    journal: Journal,
    epoch_end: EpochEnd,
    finality: Finality,
    liveness: Liveness,
    round_trips: RoundTrips,
    clocks: Clocks,
    homes: Homes,
    checks: Checks,
    own_lane: OwnLane,
}

impl<P: Ports> Shard<P> {
    fn empty(
        context: Arc<Context>,
        config: WorkConfig,
        ports: P,
        tip: (BlockDigest, Header),
        periods: Periods,
    ) -> Self {
        let n = context.n();
        let committee = context.committee.clone();
        let quorum = rustorium_types::quorum(n);
        let time_ms = tip.1.time_ms;
        Self {
            ports,
            votes: Votes::above(committee, tip.1.view, config.certificates_bytes_max),
            key: KeyStanding::default(),
            signer: Signer::default(),
            fetching: Fetching::new(config.fetch_timeout_ms, quorum, tip.1.view),
            pushed: Pushed::default(),
            results: Results::new(n, quorum, context.me()),
            batches: Batches::new(&context),
            digests: Digests::new(config.fetch_timeout_ms),
            core: CoreLink::after(tip.1.view),
            journal: Journal::default(),
            epoch_end: EpochEnd::default(),
            finality: Finality::default(),
            tree: BlockTree::new(tip.0, tip.1, periods),
            liveness: Liveness::new(config.heartbeat_us),
            round_trips: RoundTrips::new(config.probe_secret),
            clocks: Clocks::default(),
            homes: Homes::default(),
            checks: Checks::default(),
            own_lane: OwnLane::new(config.pool.clone(), time_ms),
            config,
            context,
        }
    }

    /// Handles one event.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.core.at(now.us);
        self.journal.at(now.us);
        self.checks.at(now);
        match event {
            Event::Peer { from, message, frame, credit } => self.peer_says(now, &from, message, frame, credit),
            Event::Link { node_key, up } => {
                self.liveness.link(node_key, up);
                match (self.context.place(&node_key), self.seed_place(&node_key)) {
                    (Some(peer), _) => self.on_link(now, peer, up),
                    (None, Some(seed)) if !up => {
                        self.fetching.disconnected(seed);
                    }
                    _ => {}
                }
            }
            Event::Replaced { node_key } => self.on_replaced(&node_key),
            Event::KeyRetired => self.sign_no_more(),
            Event::BatchChecked { peer, checked, bytes, wanted } => self.on_batch(now, peer, checked, &bytes, wanted),
            Event::CertificateChecked { peer, checked } => self.on_certificate_checked(peer, checked),
            Event::VotesChecked(checked) => self.on_votes_checked(checked),
            Event::InlineChecked { digest, good } => self.on_inline_checked(&digest, good),
            Event::Transactions { transactions, from_client } => {
                self.admit(now, transactions.into_iter().map(Admitted::into_parts), from_client);
            }
            Event::Effects(effects) => effects.into_iter().for_each(|effect| self.apply(now, effect)),
            Event::Durable(position) => self.on_durable(position),
            Event::Executed(executed) => self.on_executed(now, executed),
            Event::Rooted(rooted) => {
                self.results.on_rooted(now, rooted.period.end, rooted.root);
                self.tree.recheck_soon();
            }
            Event::StoreDurable(height) => self.on_store_durable(height),
            Event::ClaimWanted(height) => self.core.want_claim(height),
            Event::Signer(event) => self.on_signer(now, event),
            Event::Tick | Event::Stop => {}
        }
    }

    /// Returns the number of doublings of all views' timers that the core last reported.
    pub fn backoff(&self) -> u32 {
        self.config.backoff.unwrap_or_default()
    }

    fn peer_says(&mut self, now: Now, from: &PublicKey, message: Message, frame: Bytes, credit: Credit) {
        let Some(message) = self.of_this_epoch(now, from, message, &frame) else { return };
        match self.context.place(from) {
            Some(peer) => self.on_message(now, peer, message, frame, credit),
            None => self.on_outsider(now, from, message, credit),
        }
    }

    /// Does the work that is done once for all events of a turn: re-checks, cuts of batches, sends and level-triggered
    /// inputs.
    pub fn end_turn(&mut self, now: Now) {
        self.core.at(now.us);
        self.settle_checks(now);
        for peer in self.liveness.newly_silent(now, &self.context) {
            self.core.tell(Input::PeerSilence(peer, true));
        }
        self.forward_on(now);
        self.own_lane.open_delayed(now);
        self.cut_batches(now, false);
        self.tell_dropped();
        if self.tree.take_recheck(now) {
            self.recheck_all(now);
        }
        self.use_pushed(now);
        self.sweep_lanes(now);
        self.update_standing(now);
        self.ask_for_end(now);
        self.send_report(now);
        self.follow(now);
        self.poll_fetcher(now);
        self.probe(now);
        self.tell_held_by_nobody();
        self.tell_levels(now);
        let (inputs, wakes) = self.core.take_inputs();
        if !inputs.is_empty() {
            self.ports.inputs(inputs, wakes);
        }
        self.liveness.promise(self.next_deadline_us(now));
    }

    /// Returns when `Tick` is wanted next, monotonic microseconds.
    pub fn next_deadline_us(&self, now: Now) -> Option<u64> {
        let silence = self.liveness.next_silence_us();
        let fetch = self.pushed.wait_until_us().or_else(|| self.fetching.next_due_us());
        let told = self.digests.next_deadline_us();
        let delayed = self
            .own_lane
            .pool()
            .next_delayed_ms()
            .into_iter()
            .chain(self.homes.next_due_ms())
            .min()
            .map(|at| at * 1000);
        let cut = self.own_lane.cut_due_us();
        let levels = self.core.due_us();
        let ask = self.ask_due_us();
        let checks = self.checks.next_due_us(now);
        let end = self.next_end_us(now);
        let sweep = self.batches.sweep_at_us();
        let (report, recheck) = (self.results.report_due_us(), self.tree.recheck_at_us());
        let probe = self.round_trips.next_due_us();
        [probe, silence, fetch, told, delayed, cut, levels, ask, report, recheck, sweep, checks, end]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_tally(&mut self, events: Vec<TallyEvent>) {
        for event in events {
            match event {
                TallyEvent::Formed(certificate) => self.on_certificate(&certificate),
                TallyEvent::NullifiesSeen(view) => self.core.tell(Input::NullifiesSeen(view)),
                TallyEvent::Evidence(evidence) => self.ports.evidence(evidence),
                TallyEvent::BadSignature(peer) => self.charge(peer, Charge::Vote),
                TallyEvent::Check(votes) => self.ports.check_votes(votes),
            }
        }
    }

    fn append(&mut self, kind: RecordKind, payload: &[u8]) -> u64 {
        let position = self.ports.append(kind, payload);
        self.journal.appended(position, payload.len());
        position
    }

    fn tell_block(&mut self, digest: &BlockDigest) {
        if let Some((facts, status)) = self.tree.take_news(digest) {
            self.core.tell(Input::BlockSeen(facts, status));
        }
    }

    fn tell_own_block(&mut self, digest: &BlockDigest) {
        if let Some((facts, _)) = self.tree.take_news(digest) {
            self.core.tell_own_block(facts);
        }
    }

    /// Tells the core which levels have changed.
    fn tell_levels(&mut self, now: Now) {
        let levels = Levels {
            listable: self.listable(),
            claim: self.results.claimable(),
            root: self.results.claimable_root(),
            end_due: self.end_due(now),
            diverged: self.results.diverged(),
        };
        self.core.tell_levels(now, levels);
    }

    /// Returns the shard's view, for status.
    pub fn view(&self) -> View {
        self.core.view()
    }

    /// Returns the leaders that the core passes over.
    pub fn passed_over(&self) -> &[ValidatorIndex] {
        self.core.passed_over()
    }

    /// Returns, for each lane, the number of batches that this shard holds without a gap.
    pub fn held_lanes(&self) -> Vec<u64> {
        self.batches.lanes().held_ends()
    }

    /// Returns the number of transactions and of bytes in the pool, for back-pressure at the gateway.
    pub fn pool_size(&self) -> (usize, u64) {
        (self.own_lane.pool().len(), self.own_lane.pool().bytes())
    }

    /// Returns the number of transactions in the pool that lack neither a nonce before them nor quota: if they stay,
    /// the chain stands.
    pub fn pool_able(&self) -> usize {
        self.own_lane.pool().able_count()
    }

    /// Returns true if this node has executed about as far as its peers report. At least one honest peer is among those
    /// whose reports count.
    ///
    /// A member returns false until a quorum, itself included, has reported. A node that only follows gets few reports
    /// but every finalization, so it compares itself with the newest finalization.
    pub fn synced(&self) -> bool {
        let committee = &self.context.committee;
        let executed = self.results.executed();
        // A node that has no block yet would deny everything, however young the chain is.
        let near = |height: Height| {
            executed.0 + SYNCED_WITHIN >= height.0 && (executed > Height::default() || height == Height::default())
        };
        let told = self.votes.best_finalization().map(|best| best.body.view).filter(|_| committee.me.is_none());
        if let Some(told) = told {
            let (_, root) = self.tree.root();
            return root.view.0 + SYNCED_WITHIN >= told.0 && near(root.height.max(Height(1)));
        }
        self.results.honest_height(committee.quorum(), committee.faults()).is_some_and(near)
    }

    /// Returns the peers whose links are up.
    pub fn connected(&self) -> Vec<ValidatorIndex> {
        self.liveness.connected().iter().copied().collect()
    }

    /// Returns the number of other committee members whose link is down or whose core has been silent of late.
    pub fn missing(&self) -> usize {
        self.liveness.missing(&self.context)
    }

    /// Takes the times at which peers were heard since the last call, at most one per peer and heartbeat.
    pub fn take_arrivals(&mut self) -> Vec<(ValidatorIndex, u64)> {
        self.liveness.take_arrivals()
    }

    /// Returns the next height if no connected peer that has executed it still holds its block. `None` unless at least
    /// one of those peers must be honest.
    pub fn unserved(&self) -> Option<Height> {
        let height = self.tree.root().1.height.next();
        let refused = self.fetching.unserved_by(height)?;
        let connected = self.liveness.connected().iter();
        let holders: Vec<_> = connected.filter(|peer| self.results.has_executed(**peer, height)).collect();
        let all = holders.len() > self.context.committee.faults() && holders.iter().all(|peer| refused.contains(peer));
        all.then_some(height)
    }

    fn status_of(&self, digest: &BlockDigest) -> Option<PayloadStatus> {
        self.tree.get(digest).map(|entry| entry.status)
    }
}
